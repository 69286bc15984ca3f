use rsm_shared::stream::state::{Reason, ReasonCode, StreamState};

use super::*;

/// A connection of server-sent events.
pub(super) struct Events {
    answer: Response,
    rest: String,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Event {
    pub name: String,
    pub id: Option<String>,
    pub data: Value,
}

impl Events {
    pub async fn open(request: RequestBuilder) -> Self {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        for (name, value) in
            [("content-type", "text/event-stream"), ("cache-control", "no-store"), ("x-accel-buffering", "no")]
        {
            assert_eq!(answer.headers()[name], value);
        }
        Self { answer, rest: String::new() }
    }

    /// The next one; `None` at the end. Comments and the pause before coming back are passed over.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.rest.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.rest = rest;
                let field = |name| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                if let (Some(name), Some(data)) = (field("event: "), field("data: ")) {
                    return Some(Event { name, id: field("id: "), data: serde_json::from_str(&data).unwrap() });
                }
            }
            let chunk =
                tokio::time::timeout(DEADLINE, self.answer.chunk()).await.expect("an event in time").unwrap()?;
            self.rest += std::str::from_utf8(&chunk).unwrap();
        }
    }

    /// The next one of that name that fits; those before it are passed over.
    pub async fn until(&mut self, name: &str, fits: impl Fn(&Value) -> bool) -> Event {
        let begun = Instant::now();
        loop {
            let event = self.next().await.expect("another event");
            if event.name == name && fits(&event.data) {
                return event;
            }
            assert!(begun.elapsed() < DEADLINE, "{name}: saw {event:?} last");
        }
    }
}

impl Api {
    async fn follow(&self, query: &str) -> Events {
        Events::open(self.call(Method::GET, &format!("/video/events{query}"))).await
    }

    async fn listed(&self, slug: &str) -> Value {
        let list: Vec<Value> = self.get("/video/").await.json().await.unwrap();
        list.into_iter().find(|item| item["slug"] == slug).expect("it is in the list")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_is_told_as_the_list_shows_it() {
    let api = Api::start().await;
    let mut events = api.follow("").await;
    assert_eq!(events.next().await.unwrap().name, "resync");
    let entry = api.add_one().await;
    let slug = entry.slug.as_str();
    let added = events.until("stream", |data| data["slug"] == slug).await;
    assert_eq!(added.data, api.listed(slug).await);

    api.show(&entry, |view| {
        view.state = StreamState::Reconnecting;
        view.reason = Some(Reason { code: ReasonCode::Refused, text: "two\nlines: \"quoted\"".into() });
    });
    let told = events.until("stream", |data| data["state"] == "reconnecting").await;
    assert_eq!(told.data, api.listed(slug).await);
    assert_eq!(told.data["reason"], "two\nlines: \"quoted\"");

    // Nothing that relays hear of; operators see it.
    api.send(Method::PATCH, &format!("/video/{slug}/"), json!({"transport": "tcp", "password": "S3CR3TPW"})).await;
    let told = events.until("stream", |data| data["transport"] == "tcp").await;
    assert!(!told.data.to_string().contains("S3CR3TPW") && !told.data.to_string().contains("hunter2"));
    api.send(Method::PATCH, &format!("/video/{slug}/"), json!({"name": "Garden"})).await;
    events.until("stream", |data| data["name"] == "Garden").await;
    api.call(Method::POST, &format!("/video/{slug}/stop")).send().await.unwrap();
    events.until("stream", |data| data["state"] == "stopped").await;
    let id = entry.link().id;
    api.call(Method::DELETE, &format!("/video/{slug}/")).send().await.unwrap();
    let removed = events.until("removed", |_| true).await;
    assert_eq!(removed.data, json!({"id": id, "slug": slug}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_back_is_told_what_it_missed_and_only_that() {
    let api = Api::start().await;
    let (first, second) = (api.add_one().await, api.add_one().await);
    let mut events = api.follow("").await;
    let begun = events.next().await.unwrap();
    drop(events);
    for name in ["a", "b", "c"] {
        api.send(Method::PATCH, &format!("/video/{}/", second.slug), json!({"name": name})).await;
    }
    let again = |mark: &str| api.call(Method::GET, "/video/events").header("last-event-id", mark);
    let mut events = Events::open(again(&begun.id.unwrap())).await;
    let missed = events.next().await.unwrap();
    assert_eq!((missed.name.as_str(), &missed.data["name"]), ("stream", &json!("c")), "three changes are one");
    let mark = missed.id.unwrap();

    let mut events = Events::open(again(&mark)).await;
    api.send(Method::PATCH, &format!("/video/{}/", first.slug), json!({"name": "d"})).await;
    let next = events.next().await.unwrap();
    assert_eq!((next.name.as_str(), &next.data["slug"]), ("stream", &json!(first.slug.as_str())));

    for unknown in ["0123456789abcdef-1", "", "x", &format!("{mark}999")] {
        assert_eq!(Events::open(again(unknown)).await.next().await.unwrap().name, "resync", "{unknown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_for_some_streams_is_answered_with_those() {
    let api = Api::start().await;
    let (first, second) = (api.add_one().await, api.add_one().await);
    for entry in [&first, &second] {
        api.show(entry, |view| view.fence = Some(fence(1, 1)));
        entry.saw_media(fence(1, 1), Instant::now());
    }
    let mut events = api.follow(&format!("?slug={},none-such&ages=1", second.slug)).await;
    let ages = events.until("ages", |_| true).await.data;
    let ages = ages["ages"].as_object().unwrap();
    assert_eq!(ages.keys().collect::<Vec<_>>(), [second.slug.as_str()]);
    assert!(ages.values().all(|age| age.as_u64().is_some_and(|age| age < 60_000)));
    for entry in [&first, &second] {
        api.send(Method::PATCH, &format!("/video/{}/", entry.slug), json!({"name": "x"})).await;
    }
    assert_eq!(events.until("stream", |_| true).await.data["slug"], second.slug.as_str());

    let mut all = api.follow("?ages=1").await;
    assert_eq!(all.until("ages", |_| true).await.data["ages"].as_object().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_that_cannot_be_answered_are_refused() {
    let api = Api::start().await;
    let many: Vec<String> = (0..65).map(|n| format!("cam-{n}")).collect();
    for (query, field) in [
        ("ages=0".to_owned(), "ages"),
        ("ages=61".into(), "ages"),
        ("slug=".into(), "slug"),
        ("slug=a,,b".into(), "slug"),
        ("slug=../x".into(), "slug"),
        (format!("slug={}", many.join(",")), "slug"),
    ] {
        assert_eq!(problem(api.get(&format!("/video/events?{query}")).await, 422).await["field"], field);
    }
    let head = api.call(Method::HEAD, "/video/events").send().await.unwrap();
    assert_eq!((head.status().as_u16(), &head.headers()["content-type"]), (200, &"text/event-stream".parse().unwrap()));
    assert_eq!(api.app.viewing.seats.taken(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_has_a_seat_while_it_is_there() {
    let api = Api::start_with(&[("api.max_viewers", "1")]).await;
    let events = api.follow("").await;
    let refused = api.get("/video/events").await;
    assert!(refused.headers().contains_key("retry-after"));
    problem(refused, 503).await;
    drop(events);
    until("the seat", || api.app.viewing.seats.taken(), |taken| *taken == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_says_so_and_ends_the_connection() {
    let api = Api::start().await;
    let mut events = api.follow("").await;
    assert_eq!(events.next().await.unwrap().name, "resync");
    let drain = api.app.viewing.closing.begin(1);
    let closing = events.next().await.unwrap();
    assert_eq!(closing.name, "closing");
    assert!(closing.data["in_ms"].as_u64().is_some_and(|ms| u128::from(ms) <= drain.as_millis()), "{closing:?}");
    assert!(events.next().await.is_none());
    problem(api.get("/video/events").await, 503).await;
}
