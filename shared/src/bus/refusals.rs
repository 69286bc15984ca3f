//! Refusals by NATS, and the time for which they count. Pure. A refused request only times out, so this is where its
//! reason stands.

use std::time::{Duration, Instant};

/// A refused publish counts for this long. All that matters is repeated within 20 s.
const FADES: Duration = Duration::from_secs(30);

/// The refused action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The connection itself: user, password, certificate. Ends with the next connect.
    Connection,
    /// A subscription: asked for once for each connect, so it counts until the next.
    Subscription,
    /// A publish: asked for again and again, so it counts for [`FADES`].
    Publish,
}

/// Refusals of one connection.
#[derive(Debug, Default)]
pub struct Refusals {
    lasting: Option<String>,
    fading: Option<(String, Instant)>,
}

impl Refusals {
    /// Takes a refusal in.
    pub fn note(&mut self, kind: Kind, text: &str, now: Instant) {
        match kind {
            Kind::Connection => self.lasting = Some(text.to_owned()),
            // The first one: those that follow mostly have the same cause.
            Kind::Subscription => self.lasting = self.lasting.take().or_else(|| Some(text.to_owned())),
            Kind::Publish => self.fading = Some((text.to_owned(), now)),
        }
    }

    /// The connection stands anew: actions that are still refused will be refused again.
    pub fn connected(&mut self) {
        self.lasting = None;
        self.fading = None;
    }

    /// The present refusal.
    pub fn standing(&self, now: Instant) -> Option<&str> {
        let fading = self.fading.as_ref().filter(|(_, at)| now.saturating_duration_since(*at) < FADES);
        self.lasting.as_deref().or(fading.map(|(text, _)| text.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publish_fades_and_a_subscription_stays_until_the_next_connect() {
        let (start, mut refusals) = (Instant::now(), Refusals::default());
        let at = |s| start + Duration::from_secs(s);
        refusals.note(Kind::Publish, "publish", at(0));
        assert_eq!(refusals.standing(at(29)), Some("publish"));
        assert_eq!(refusals.standing(at(30)), None);
        refusals.note(Kind::Subscription, "subscribe", at(31));
        refusals.note(Kind::Publish, "publish", at(31));
        assert_eq!(refusals.standing(at(3000)), Some("subscribe"));
        refusals.connected();
        assert_eq!(refusals.standing(at(3000)), None);
        refusals.note(Kind::Connection, "password", at(3001));
        assert_eq!(refusals.standing(at(6000)), Some("password"));
    }
}
