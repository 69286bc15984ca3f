use bytes::Bytes;
use rsm_shared::bus::demand::Demands;
use rsm_shared::bus::frames::{FramePublisher, Published};
use rsm_shared::bus::{directory, topology};
use rsm_shared::stream::names::Zone;
use rsm_shared::stream::rendition::Rendition;
use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::state::StreamState;
use rsm_shared::wire::frame_headers::FrameHeaders;
use rsm_shared::wire::messages::DirectoryRecord;
use rsm_viewing::process::relay as serve_relay;

use super::events::Events;
use super::frames::{Socket, close_of, next_frame};
use super::hls_worker::{Worker, media_playlist};
use super::*;
use crate::directory::publisher::DirectoryPublisher;

/// An API that tells relays, a whole relay, and a worker's side, at one NATS server.
struct Stage {
    api: Api,
    /// Ends the API's tasks.
    telling: CancellationToken,
    relay: Relay,
    worker: Bus,
    nats: Nats,
}

/// A relay, found as Prometheus finds it.
struct Relay {
    base: String,
    client: Client,
    stop: CancellationToken,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Relay {
    #[expect(clippy::disallowed_methods, reason = "a test has its own deadline")]
    async fn start(nats: &str, api: &Api) -> Self {
        let dir = api.dir.path().join("relay").to_str().unwrap().to_owned();
        let flags = [("data_dir", dir), ("nats.urls", nats.into()), ("api.listen", "127.0.0.1:0".into())];
        let config = Config::load(None, &flags).unwrap();
        let stop = CancellationToken::new();
        let before = api.app.relays.live();
        tokio::spawn(serve_relay::run(config, "test", stop.clone()));
        let find = || api.app.relays.live().into_iter().find(|http| !before.contains(http));
        let http = until("the relay's hello", find, Option::is_some).await.unwrap();
        Self { base: format!("http://{http}"), client: Client::new(), stop }
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.base)).timeout(DEADLINE * 2).send().await.unwrap()
    }

    async fn cameras(&self) -> Vec<Value> {
        self.get("/video/").await.json().await.unwrap()
    }

    async fn eventually(&self, path: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let seen: Value = self.get(path).await.json().await.unwrap();
            if fits(&seen) {
                return seen;
            }
            assert!(begun.elapsed() < DEADLINE, "{path}: saw {seen} last");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn watch(&self, slug: &Slug) -> Socket {
        let url = format!("{}/ws/stream/{slug}/", self.base.replace("http", "ws"));
        tokio::time::timeout(DEADLINE, tokio_tungstenite::connect_async(url)).await.unwrap().unwrap().0
    }
}

impl Stage {
    async fn start() -> Self {
        let nats = Nats::start().await;
        let api = Api::start_with(&[("nats.urls", nats.url.as_str())]).await;
        let worker = Bus::connect(&api.app.viewing.config.nats, Purpose::Control, "test-worker").await.unwrap();
        until("the connection", || worker.connected(), |connected| *connected).await;
        let telling = tell(&api, &worker);
        let relay = Relay::start(&nats.url, &api).await;
        Self { api, telling, relay, worker, nats }
    }

    async fn make_store(&self) {
        topology::ensure(&self.worker, &[Zone::default_zone()], 1, &mut false).await.unwrap();
    }

    async fn publish(&self, slug: &Slug, owner: Fence, seq: u64, jpeg: &'static [u8]) {
        let now = u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap();
        let headers =
            FrameHeaders { fence: owner, seq, captured_at_us: now, published_at_us: now, width: 320, height: 180 };
        let publisher = FramePublisher::new(self.worker.clone());
        let sent = publisher.publish(&Zone::default_zone(), slug, None, &headers, Bytes::from_static(jpeg)).await;
        assert_eq!(sent, Published::Sent);
    }
}

/// The tasks that the API's process runs for relays.
fn tell(api: &Api, bus: &Bus) -> CancellationToken {
    let stop = CancellationToken::new();
    let publisher = DirectoryPublisher::new(
        bus.clone(),
        api.app.directory.streams.clone(),
        api.app.viewing.config.mjpeg,
        Duration::ZERO,
    );
    tokio::spawn(publisher.run(stop.clone()));
    tokio::spawn(api.app.relays.clone().listen(bus.clone(), stop.clone()));
    stop
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_waits_for_the_directory_then_shows_what_the_api_has_and_no_address() {
    let stage = Stage::start().await;
    let relay = &stage.relay;
    let answer = relay.get("/health/ready").await;
    assert_eq!(answer.status(), 503);
    assert!(answer.json::<Value>().await.unwrap()["reasons"]["directory"].is_string());
    assert!(relay.cameras().await.is_empty());
    let entry = stage.api.add_one().await;
    stage.make_store().await;
    relay.eventually("/health/ready", |ready| ready["ready"] == true).await;
    relay.eventually("/video/", |list| list.as_array().unwrap().len() == 1).await;

    let list = relay.get("/video/?q=yard&state=idle&limit=5").await;
    assert_eq!(list.headers()["x-total-count"], "1");
    let text = list.text().await.unwrap();
    for secret in ["hunter2", "10.0.0.1", "admin", "rtsp", "url"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    let shown: Value = serde_json::from_str(&text).unwrap();
    let link = entry.link();
    assert_eq!((&shown[0]["id"], &shown[0]["slug"]), (&json!(link.id), &json!(link.slug.as_str())));
    assert_eq!((&shown[0]["name"], &shown[0]["created"]), (&json!("Yard"), &json!(link.created.to_string())));
    assert_eq!(relay.get("/video/?q=10.0.0.1").await.headers()["x-total-count"], "0");
    let numbers = relay.get("/metrics").await.text().await.unwrap();
    assert!(numbers.contains("rsm_streams{state=\"idle\"} 1"), "{numbers}");
    assert!(!numbers.contains("rsm_claims"), "a relay controls nothing");

    let mut events = Events::open(relay.client.get(format!("{}/video/events", relay.base))).await;
    assert_eq!(events.next().await.unwrap().name, "resync");
    stage.api.send(Method::PATCH, &format!("/video/{}/", link.slug), json!({"name": "Garden"})).await;
    let told = events.until("stream", |data| data["name"] == "Garden").await;
    assert_eq!(relay.cameras().await, [told.data]);
    let second = stage.api.add_one().await;
    relay.eventually("/video/", |list| list[1]["id"] == second.link().id).await;

    let targets: Value = stage.api.get("/metrics/targets").await.json().await.unwrap();
    let here = relay.base.trim_start_matches("http://");
    assert_eq!(
        targets,
        json!([
            { "targets": [stage.api.address.to_string()], "labels": { "role": "api" } },
            { "targets": [here], "labels": { "role": "relay" } },
        ])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_refused_with_the_way_to_the_api() {
    let stage = Stage::start().await;
    stage.make_store().await;
    let slug = stage.api.add_one().await.slug.clone();
    let relay = &stage.relay;
    relay.eventually("/video/", |list| !list.as_array().unwrap().is_empty()).await;
    for (method, path, allow) in [
        (Method::POST, "/video/".to_owned(), "GET, HEAD"),
        (Method::PATCH, format!("/video/{slug}/"), "GET, HEAD"),
        (Method::DELETE, format!("/video/{slug}/"), "GET, HEAD"),
        (Method::POST, format!("/video/{slug}/start"), ""),
        (Method::POST, format!("/video/{slug}/stop"), ""),
    ] {
        let request = relay.client.request(method.clone(), format!("{}{path}", relay.base)).json(&json!({}));
        let answer = request.timeout(DEADLINE).send().await.unwrap();
        assert_eq!(answer.headers()["allow"], allow, "{method} {path}");
        let body = problem(answer, 405).await;
        assert!(body["error"].as_str().unwrap().contains("this is a relay"), "{body}");
    }
    for path in ["/", "/docs", "/assets/app.js", "/health/live"] {
        assert_eq!(relay.get(path).await.status(), 200, "{path}");
    }
    let document: Value = relay.get("/openapi.json").await.json().await.unwrap();
    assert!(document["paths"]["/video/"]["post"].is_null() && document["paths"]["/video/"]["get"].is_object());
    problem(relay.get("/metrics/targets").await, 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_of_a_relay_start_the_stream_see_the_current_owner_only_and_are_sent_away_at_its_end() {
    let stage = Stage::start().await;
    stage.make_store().await;
    let entry = stage.api.add_one().await;
    let (relay, slug) = (&stage.relay, entry.slug.clone());
    stage.api.show(&entry, |view| {
        view.state = StreamState::Running;
        view.worker = Some("w1".into());
        view.http = Some("127.0.0.1:1".into());
        (view.fence, view.epoch) = (Some(fence(9, 2)), Some(9));
    });
    let status = format!("/video/{slug}/status");
    relay.eventually("/video/", |list| list[0]["state"] == "running").await;
    let shown = relay.eventually(&status, |status| status["epoch"] == 9).await;
    assert_eq!((&shown["worker"], &shown["last_frame_age_ms"]), (&json!("w1"), &Value::Null));

    let mut ear = Demands::open_all(&stage.worker).await.unwrap();
    stage.worker.flush().await;
    let mut socket = relay.watch(&slug).await;
    let (wanted, demand) = tokio::time::timeout(DEADLINE, ear.next()).await.unwrap().unwrap().unwrap();
    assert_eq!((wanted, demand.demand.jpeg), (slug.clone(), Some(stage.api.app.viewing.config.mjpeg)));
    // The relay has seen no frame yet, and still shows none of a stale owner.
    for seq in 1.. {
        stage.publish(&slug, fence(9, 1), seq, b"stale owner").await;
        stage.publish(&slug, fence(9, 2), seq, b"owner").await;
        if let Ok(frame) = tokio::time::timeout(Duration::from_millis(20), next_frame(&mut socket)).await {
            assert_eq!(&frame[..], b"owner");
            break;
        }
        assert!(seq < 500, "no frame arrived");
    }

    let played = relay.get(&format!("/video/{slug}/")).await;
    assert_eq!(played.json::<Value>().await.unwrap()["playlist_url"], format!("/video/play/{}/", entry.link().id));
    stage.api.call(Method::POST, &format!("/video/{slug}/stop")).send().await.unwrap();
    assert_eq!(close_of(&mut socket).await, (1000, "stream stopped".into()));
    problem(relay.get(&format!("/video/{slug}/")).await, 409).await;
    stage.api.call(Method::POST, &format!("/video/{slug}/start")).send().await.unwrap();
    relay.eventually(&status, |status| status["state"] != "stopped").await;
    let mut socket = relay.watch(&slug).await;
    stage.api.call(Method::DELETE, &format!("/video/{slug}/")).send().await.unwrap();
    assert_eq!(close_of(&mut socket).await, (1000, "stream removed".into()));
    problem(relay.get(&status).await, 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_goes_on_without_the_api_and_a_second_one_begins_without_it() {
    let stage = Stage::start().await;
    stage.make_store().await;
    stage.api.add_one().await;
    stage.relay.eventually("/video/", |list| list[0]["name"] == "Yard").await;
    stage.telling.cancel();
    // Its address comes from a hello; the list from the stored records.
    let ear = CancellationToken::new();
    tokio::spawn(stage.api.app.relays.clone().listen(stage.worker.clone(), ear.clone()));
    let second = Relay::start(&stage.nats.url, &stage.api).await;
    second.eventually("/video/", |list| list[0]["name"] == "Yard").await;
    second.eventually("/health/ready", |ready| ready["ready"] == true).await;
    assert_eq!(stage.relay.cameras().await.len(), 1);
    ear.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_store_is_filled_again_and_viewers_stay() {
    let mut stage = Stage::start().await;
    stage.make_store().await;
    let entry = stage.api.add_one().await;
    stage.relay.eventually("/video/", |list| list[0]["name"] == "Yard").await;
    let mut socket = stage.relay.watch(&entry.slug).await;
    stage.nats.kill();
    let away = stage.relay.eventually("/health/ready", |ready| ready["ready"] == false).await;
    assert!(!away["reasons"].as_object().unwrap().is_empty());
    assert_eq!(stage.relay.cameras().await.len(), 1, "what is known stays");
    stage.nats.start_empty();
    until("the connection", || stage.worker.connected(), |connected| *connected).await;
    let begun = Instant::now();
    while topology::ensure(&stage.worker, &[Zone::default_zone()], 1, &mut false).await.is_err() {
        assert!(begun.elapsed() < DEADLINE, "JetStream does not come back");
    }
    stage.relay.eventually("/health/ready", |ready| ready["ready"] == true).await;
    stage.api.send(Method::PATCH, &format!("/video/{}/", entry.slug), json!({"name": "Garden"})).await;
    stage.relay.eventually("/video/", |list| list[0]["name"] == "Garden").await;
    let records = directory::read_all(&stage.worker).await.unwrap();
    assert_eq!(records.len(), 1);
    // The same socket, from before the wipe.
    for seq in 1.. {
        stage.publish(&entry.slug, fence(1, 1), seq, b"frame").await;
        if tokio::time::timeout(Duration::from_millis(20), next_frame(&mut socket)).await.is_ok() {
            break;
        }
        assert!(seq < 500, "no frame arrived");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_went_while_the_api_was_away_are_told_as_removed() {
    let stage = Stage::start().await;
    stage.make_store().await;
    let (gone, stays) = (stage.api.add_one().await, stage.api.add_one().await);
    stage.relay.eventually("/video/", |list| list.as_array().unwrap().len() == 2).await;
    stage.telling.cancel();
    let mut socket = stage.relay.watch(&gone.slug).await;
    stage.api.call(Method::DELETE, &format!("/video/{}/", gone.slug)).send().await.unwrap();
    // A new process of the API, which knows only its database.
    let _telling = tell(&stage.api, &stage.worker).drop_guard();
    assert_eq!(close_of(&mut socket).await, (1000, "stream removed".into()));
    let list = stage.relay.cameras().await;
    assert_eq!((list.len(), &list[0]["id"]), (1, &json!(stays.link().id)));
    let records = directory::read_all(&stage.worker).await.unwrap();
    let removed: Vec<_> = records.iter().filter(|record| record.removed).map(|record| &record.cam).collect();
    assert_eq!(removed, [&gone.slug]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_looks_at_no_disk() {
    let stage = Stage::start().await;
    stage.make_store().await;
    let entry = stage.api.add_one().await;
    // Nothing listens there.
    stage.api.show(&entry, |view| {
        view.state = StreamState::Running;
        view.worker = Some("w1".into());
        view.http = Some("127.0.0.1:1".into());
        (view.fence, view.epoch) = (Some(fence(9, 2)), Some(9));
    });
    stage.relay.eventually("/video/", |list| list[0]["state"] == "running").await;
    let segment = format!("/video/play/{}/9-2/source/7.m4s", entry.link().id);
    let config = |data_dir: &Path| {
        let flags = [("data_dir", data_dir.to_str().unwrap().to_owned()), ("nats.urls", NO_NATS.into())];
        Config::load(None, &flags).unwrap()
    };
    let roots = [stage.api.hls_root(), config(&stage.api.dir.path().join("relay")).hls_root()];
    for root in roots {
        let dir = root.join(entry.slug.as_str()).join("9-2/source");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("7.m4s"), "segment").unwrap();
    }
    assert_eq!(stage.api.get(&segment).await.status(), 200);
    problem(stage.relay.get(&segment).await, 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_in_a_zone_that_the_stream_had_left_is_removed_and_viewers_stay() {
    let stage = Stage::start().await;
    stage.make_store().await;
    let entry = stage.api.add_one().await;
    stage.relay.eventually("/video/", |list| list[0]["name"] == "Yard").await;
    let mut socket = stage.relay.watch(&entry.slug).await;
    stage.telling.cancel();
    // As after an end between the new record and the removal of the old one.
    let stale = directory::read_all(&stage.worker).await.unwrap().remove(0);
    stage.api.send(Method::PATCH, &format!("/video/{}/", entry.slug), json!({"zone": "north"})).await;
    let north = Zone::parse("north").unwrap();
    directory::put(&stage.worker, &DirectoryRecord { zone: north.clone(), ..stale }).await.unwrap();
    assert_eq!(directory::count(&stage.worker).await.unwrap(), 2);
    let telling = tell(&stage.api, &stage.worker);
    let begun = Instant::now();
    while directory::count(&stage.worker).await.unwrap() != 1 {
        assert!(begun.elapsed() < DEADLINE, "the old record stays");
    }
    assert_eq!(directory::read_all(&stage.worker).await.unwrap()[0].zone, north);
    stage.relay.eventually("/video/", |list| list[0]["zone"] == "north").await;
    stage.api.send(Method::DELETE, &format!("/video/{}/", entry.slug), Value::Null).await;
    assert_eq!(close_of(&mut socket).await, (1000, "stream removed".into()), "and not before");
    telling.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn players_of_a_relay_that_wait_make_one_request_and_it_tells_which_renditions_they_want() {
    let stage = Stage::start().await;
    stage.make_store().await;
    let entry = stage.api.add_one().await;
    let worker = Worker::default();
    let http = worker.start().await;
    worker.write(&entry, "9-2");
    let dir = format!("/hls/{}/9-2", entry.slug);
    worker.put(format!("{dir}/360p.m3u8"), media_playlist("9-2", "360p"));
    stage.api.show(&entry, |view| {
        view.state = StreamState::Running;
        view.worker = Some("w1".into());
        view.http = Some(http);
        (view.fence, view.epoch) = (Some(fence(9, 2)), Some(9));
    });
    let relay = &stage.relay;
    relay.eventually("/video/", |list| list[0]["state"] == "running").await;
    let asked = format!("{dir}/source.m3u8?_HLS_msn=8&_HLS_part=0");
    let path = format!("/video/play/{}/source.m3u8?_HLS_msn=8&_HLS_part=0", entry.link().id);
    let appearing = async {
        worker.until_asked(&asked).await;
        worker.put(asked.clone(), "#EXTM3U\nwaited for\n");
    };
    let together = futures_util::future::join_all((0..5).map(|_| relay.get(&path)));
    let (answers, ()) = tokio::join!(together, appearing);
    for answer in answers {
        assert_eq!(answer.text().await.unwrap(), "#EXTM3U\nwaited for\n");
    }
    assert_eq!(worker.asked(&asked), 1);

    let mut ear = Demands::open_all(&stage.worker).await.unwrap();
    stage.worker.flush().await;
    let small = relay.get(&format!("/video/play/{}/360p.m3u8", entry.link().id)).await;
    assert_eq!(small.text().await.unwrap(), media_playlist("9-2", "360p"));
    let told = async {
        loop {
            let (_, message) = ear.next().await.unwrap().unwrap();
            if message.demand.renditions.contains(Rendition::P360) {
                return message.demand;
            }
        }
    };
    assert!(tokio::time::timeout(DEADLINE, told).await.unwrap().hls);
}
