//! What viewers want, added up over relays. Soft state: what is not repeated ends. Pure but for the clock it is given.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rsm_shared::stream::demand::Demand;
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::messages::DemandMessage;
use rsm_shared::wire::trace_context::TraceContext;

/// Streams with demand that are kept in mind; further ones are not heard.
const MAX_STREAMS: usize = 20_000;
/// Relays per stream.
const MAX_RELAYS: usize = 64;
/// Longest time a demand may hold, whatever it says.
const MAX_TTL: Duration = Duration::from_secs(60);

/// The table of demands.
#[derive(Default)]
pub struct Demands(HashMap<Slug, HashMap<String, Said>>);

/// What one relay said last.
struct Said {
    demand: Demand,
    until: Instant,
    wish: Option<TraceContext>,
}

impl Demands {
    /// Takes in what a relay says; the new sum for that stream.
    pub fn hear(&mut self, slug: &Slug, message: DemandMessage, now: Instant) -> Demand {
        if !message.demand.any() {
            if let Some(relays) = self.0.get_mut(slug) {
                relays.remove(&message.from);
            }
        } else if self.0.contains_key(slug) || self.0.len() < MAX_STREAMS {
            let relays = self.0.entry(slug.clone()).or_default();
            if relays.contains_key(&message.from) || relays.len() < MAX_RELAYS {
                let until = now + Duration::from_millis(message.ttl_ms).min(MAX_TTL);
                let said = Said { demand: message.demand, until, wish: message.traceparent };
                relays.insert(message.from, said);
            }
        }
        self.of(slug, now)
    }

    /// The sum for one stream.
    pub fn of(&self, slug: &Slug, now: Instant) -> Demand {
        self.0
            .get(slug)
            .into_iter()
            .flat_map(HashMap::values)
            .filter(|said| said.until > now)
            .fold(Demand::default(), |sum, said| sum.or(said.demand))
    }

    /// The span of a wish for one stream, if any was told.
    pub fn wish(&self, slug: &Slug) -> Option<TraceContext> {
        self.0.get(slug)?.values().find_map(|said| said.wish)
    }

    /// Forgets what has ended.
    pub fn prune(&mut self, now: Instant) {
        self.0.retain(|_, relays| {
            relays.retain(|_, said| said.until > now);
            !relays.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_shared::stream::spec::JpegParams;

    fn message(from: &str, jpeg_fps: Option<u32>, hls: bool) -> DemandMessage {
        let jpeg = jpeg_fps.map(|max_fps| JpegParams { max_fps, max_width: 640, quality: 80 });
        let demand = Demand { jpeg, hls, ..Demand::default() };
        DemandMessage { v: 1, from: from.into(), ttl_ms: 6000, demand, traceparent: None }
    }

    #[test]
    fn adds_up_over_relays_and_ends_by_itself() {
        let (mut demands, slug, start) = (Demands::default(), Slug::parse("yard").unwrap(), Instant::now());
        demands.hear(&slug, message("a", Some(5), false), start);
        let sum = demands.hear(&slug, message("b", Some(10), true), start + Duration::from_secs(3));
        assert_eq!((sum.jpeg.map(|j| j.max_fps), sum.hls), (Some(10), true));
        let later = demands.of(&slug, start + Duration::from_secs(7));
        assert_eq!((later.jpeg.map(|j| j.max_fps), later.hls), (Some(10), true));
        demands.prune(start + Duration::from_secs(10));
        assert!(!demands.of(&slug, start + Duration::from_secs(10)).any());
        assert!(demands.0.is_empty());
    }

    #[test]
    fn a_relay_can_take_its_demand_back() {
        let (mut demands, slug, now) = (Demands::default(), Slug::parse("yard").unwrap(), Instant::now());
        demands.hear(&slug, message("a", Some(5), false), now);
        assert!(!demands.hear(&slug, message("a", None, false), now).any());
    }

    #[test]
    fn the_table_is_bounded() {
        let (mut demands, now) = (Demands::default(), Instant::now());
        let slug = Slug::parse("yard").unwrap();
        for n in 0..200 {
            demands.hear(&slug, message(&format!("relay-{n}"), Some(5), false), now);
        }
        assert_eq!(demands.0[&slug].len(), MAX_RELAYS);
    }
}
