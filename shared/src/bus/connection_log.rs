//! Log lines about one connection to NATS.

use std::time::Instant;

use async_nats::{ClientError, Event, ServerError};
use tracing::{debug, error, info, warn};

use super::refusals::{Kind, Refusals};
use crate::ops::logs::repeated::{Failed, Repeated};

const WRONG_USER: &str = "NATS refuses the user or password; check nats.user and nats.password";

/// The lines of one connection.
pub(super) struct ConnectionLog {
    name: String,
    away: Repeated<String>,
    refused: Repeated<String>,
    /// The last connection was made, and is gone since.
    lost_at: Option<Instant>,
    tries: u64,
}

impl ConnectionLog {
    pub fn new(name: &str) -> Self {
        let (away, refused) = (Repeated::default(), Repeated::default());
        Self { name: name.to_owned(), away, refused, lost_at: None, tries: 0 }
    }

    /// Takes an event of the client in. Slow consumers come per message and are counted elsewhere.
    pub fn event(&mut self, event: &Event, refusals: &mut Refusals, now: Instant) {
        let connection = self.name.as_str();
        match event {
            Event::Connected => {
                refusals.connected();
                self.connected(now);
            }
            Event::Disconnected => {
                if self.lost_at.is_none() {
                    self.lost_at = Some(now);
                    warn!(connection, "the connection to NATS is lost, trying again");
                }
            }
            Event::SlowConsumer(_) => debug!(connection, "frames come faster than they are read"),
            Event::ServerError(ServerError::Other(text)) if text.contains("ermissions") => {
                let kind = if text.contains("Subscription") { Kind::Subscription } else { Kind::Publish };
                let error = format!("NATS refuses: {}; the user of this role lacks a permission", without_inbox(text));
                refusals.note(kind, &error, now);
                if let Some(Failed { times, lasting }) = self.refused.failed(error.clone(), now) {
                    error!(connection, error, times, lasting_s = lasting.as_secs(), "NATS refuses a subject");
                }
            }
            Event::ServerError(ServerError::AuthorizationViolation) => self.not_let_in(refusals, now),
            // A try to connect failed: the client's words for why.
            Event::ClientError(ClientError::Other(text)) if text.contains("authorization violation") => {
                self.not_let_in(refusals, now);
            }
            Event::ClientError(ClientError::Other(text)) => {
                let error = format!("cannot connect to NATS: {text}; check nats.urls, with tls:// also nats.ca_file");
                refusals.note(Kind::Connection, &error, now);
                self.tries += 1;
                if let Some(Failed { times, lasting }) = self.away.failed(error.clone(), now) {
                    warn!(connection, error, times, lasting_s = lasting.as_secs(), "NATS cannot be reached");
                }
            }
            other => debug!(connection, event = %other, "an event of the NATS client"),
        }
    }

    fn connected(&mut self, now: Instant) {
        let connection = self.name.as_str();
        let (lost, tries) = (self.lost_at.take(), std::mem::take(&mut self.tries));
        let failed = self.away.well(now).map(|back| back.away);
        match lost.map(|at| now.saturating_duration_since(at)).or(failed) {
            Some(away) => info!(connection, away_s = away.as_secs(), tries, "connected to NATS again"),
            None => info!(connection, "connected to NATS"),
        }
    }

    fn not_let_in(&mut self, refusals: &mut Refusals, now: Instant) {
        refusals.note(Kind::Connection, WRONG_USER, now);
        self.tries += 1;
        if let Some(Failed { times, lasting }) = self.refused.failed(WRONG_USER.to_owned(), now) {
            let connection = self.name.as_str();
            error!(connection, error = WRONG_USER, times, lasting_s = lasting.as_secs(), "NATS refuses the connection");
        }
    }
}

/// The server's words, without the random part of an inbox: it would make every one of them new.
fn without_inbox(text: &str) -> String {
    let Some(start) = text.find("_INBOX") else { return text.to_owned() };
    let token = text[start..].find(['.', '"']).map_or(text.len(), |end| start + end);
    format!("{}.>\"", &text[..token])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_and_an_outage_is_no_refusal() {
        let refused = |event| {
            let mut refusals = Refusals::default();
            ConnectionLog::new("test").event(&event, &mut refusals, Instant::now());
            refusals.standing(Instant::now()).map(str::to_owned)
        };
        let violation = |text: &str| Event::ServerError(ServerError::Other(text.to_owned()));
        let subject = "rsm.v1.hb.w1";
        let text = refused(violation(&format!("Permissions Violation for Publish to \"{subject}\""))).unwrap();
        assert!(text.contains(subject), "{text}");
        let text = refused(violation("Permissions Violation for Subscription to \"_INBOX_api.Xy7.*\"")).unwrap();
        assert!(text.contains("\"_INBOX_api.>\"") && !text.contains("Xy7"), "{text}");
        let text = refused(Event::ClientError(ClientError::Other("authorization violation".into()))).unwrap();
        assert!(text.contains("nats.password"), "{text}");
        assert_eq!(refused(Event::Disconnected), None);
        assert_eq!(refused(Event::LameDuckMode), None);
    }
}
