//! Messages in JSON for a viewer that asked for them: the stream's state, and the goodbye of the server.

use rsm_shared::stream::state::{Reason, StreamState};
use serde::Serialize;

use crate::closing::Moment;
use crate::streams::{Stream, View};

/// The notices that one viewer has got and is to get.
pub struct StateNotices {
    /// True when the viewer asked for notices.
    wanted: bool,
    /// The slot's count when it was last looked at.
    news: u64,
    /// True when the state may differ from the one that was sent.
    stale: bool,
    state: Option<(StreamState, Option<Reason>)>,
    closing: Option<Moment>,
}

/// A state as a viewer is told it.
#[derive(Serialize)]
struct StateMessage<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    slug: &'a str,
    state: &'static str,
    reason: Option<&'a str>,
    /// RFC 3339.
    since: String,
}

/// The goodbye as a viewer is told it.
#[derive(Serialize)]
struct ClosingMessage {
    #[serde(rename = "type")]
    kind: &'static str,
    in_ms: u64,
}

impl StateNotices {
    /// For a viewer that was sent nothing yet.
    pub fn new(wanted: bool) -> Self {
        Self { wanted, news: 0, stale: true, state: None, closing: None }
    }

    /// The slot counts that much news.
    pub fn hear(&mut self, news: u64) {
        self.stale |= news != self.news;
        self.news = news;
    }

    /// The server says goodbye.
    pub fn closing(&mut self, moment: Moment) {
        self.closing = Some(moment);
    }

    /// The next message, if there is something to tell.
    pub fn next(&mut self, stream: &Stream) -> Option<String> {
        if !self.wanted {
            return None;
        }
        if let Some(moment) = self.closing.take() {
            return serde_json::to_string(&ClosingMessage { kind: "closing", in_ms: moment.in_ms() }).ok();
        }
        if !std::mem::take(&mut self.stale) {
            return None;
        }
        self.state(stream, &stream.view())
    }

    fn state(&mut self, stream: &Stream, view: &View) -> Option<String> {
        let now = (view.state, view.reason.clone());
        if self.state.as_ref() == Some(&now) {
            return None;
        }
        self.state = Some(now);
        let message = StateMessage {
            kind: "state",
            slug: stream.slug.as_str(),
            state: view.state.as_str(),
            reason: view.reason.as_ref().map(|reason| reason.text.as_str()),
            since: view.since.to_string(),
        };
        serde_json::to_string(&message).ok()
    }
}
