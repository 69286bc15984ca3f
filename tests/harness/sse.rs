//! A reader of server-sent events (HTML Living Standard section 9.2).

use reqwest::{Response, StatusCode};
use serde_json::Value;

use super::within;

/// Events that a reader waits through for the one it wants; bounds a test that fails.
const MOST: usize = 500;

#[derive(Clone, Debug, PartialEq)]
pub struct SseEvent {
    pub name: String,
    pub data: Value,
}

/// One connection.
pub struct Events {
    answer: Response,
    unread: Vec<u8>,
    /// Id of the newest event that has one: another connection continues there.
    pub mark: Option<String>,
}

impl Events {
    /// At `http://host:port`, with a query such as `?ages=1`.
    pub async fn open(base: &str, query: &str) -> Self {
        Self::open_behind(base, query, None).await
    }

    /// The same, behind the last event of an earlier connection.
    pub async fn open_behind(base: &str, query: &str, mark: Option<&str>) -> Self {
        // Without a deadline for the whole answer: it has no end.
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = http.get(format!("{base}/video/events{query}"));
        if let Some(mark) = mark {
            request = request.header("Last-Event-ID", mark);
        }
        let answer = within("an answer with events", request.send()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { answer, unread: Vec::new(), mark: mark.map(str::to_owned) }
    }

    /// The next one; `None` at the end, however the connection ended. Comments are passed over.
    pub async fn next(&mut self) -> Option<SseEvent> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.unread.drain(..end + 2).collect();
                if let Some(event) = self.take(&String::from_utf8(block).unwrap()) {
                    return Some(event);
                }
                continue;
            }
            let piece = within("an event", self.answer.chunk()).await.ok().flatten()?;
            self.unread.extend_from_slice(&piece);
        }
    }

    /// The first that fits, of those to come.
    pub async fn until(&mut self, what: &str, fits: impl Fn(&SseEvent) -> bool) -> SseEvent {
        let mut seen = Vec::new();
        let found = async {
            while seen.len() < MOST {
                let event = self.next().await?;
                if fits(&event) {
                    return Some(event);
                }
                seen.push(event);
            }
            None
        };
        match tokio::time::timeout(super::DEADLINE, found).await {
            Ok(Some(event)) => event,
            _ => panic!("no event: {what}; these came: {seen:#?}"),
        }
    }

    /// The next that says that a stream is in that state.
    pub async fn until_state(&mut self, slug: &str, state: &str) -> SseEvent {
        let fits =
            |event: &SseEvent| event.name == "stream" && event.data["slug"] == slug && event.data["state"] == state;
        self.until(&format!("{slug} is {state}"), fits).await
    }

    fn take(&mut self, block: &str) -> Option<SseEvent> {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        if let Some(mark) = field("id") {
            self.mark = Some(mark.to_owned());
        }
        let data = field("data")?;
        let data = serde_json::from_str(data).unwrap_or_else(|e| panic!("{e}: {data}"));
        Some(SseEvent { name: field("event").unwrap_or("message").to_owned(), data })
    }
}
