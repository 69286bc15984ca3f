//! The demand of viewers, added up over relays. It is soft state: demand that is not repeated ends.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rsm_model::stream::demand::Demand;
use rsm_model::stream::slug::Slug;
use rsm_model::wire::messages::DemandMessage;
use rsm_model::wire::trace_context::TraceContext;

/// Most streams with demand; demand for further ones is ignored.
const MAX_STREAMS: usize = 20_000;
/// Most relays of one stream; demand of further ones is ignored.
const MAX_RELAYS: usize = 64;
/// Longest time that a demand may hold, whatever its message says.
const MAX_TTL: Duration = Duration::from_secs(60);

/// The demand for each stream, by relay.
#[derive(Default)]
pub struct DemandTable(HashMap<Slug, HashMap<String, RelayDemand>>);

/// The last message of one relay.
struct RelayDemand {
    demand: Demand,
    until: Instant,
    /// The span of the wish that it began with.
    wish: Option<TraceContext>,
}

impl DemandTable {
    /// Takes in the message of a relay. Returns the new sum for that stream.
    pub fn on_message(&mut self, slug: &Slug, message: DemandMessage, now: Instant) -> Demand {
        if !message.demand.any() {
            if let Some(relays) = self.0.get_mut(slug) {
                relays.remove(&message.from);
            }
        } else if self.0.contains_key(slug) || self.0.len() < MAX_STREAMS {
            let relays = self.0.entry(slug.clone()).or_default();
            if relays.contains_key(&message.from) || relays.len() < MAX_RELAYS {
                let until = now + Duration::from_millis(message.ttl_ms).min(MAX_TTL);
                let demand = RelayDemand { demand: message.demand, until, wish: message.traceparent };
                relays.insert(message.from, demand);
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
            .filter(|relay| relay.until > now)
            .fold(Demand::default(), |sum, relay| sum.or(relay.demand))
    }

    /// The span of a wish for one stream, if a relay sent one.
    pub fn wish(&self, slug: &Slug) -> Option<TraceContext> {
        self.0.get(slug)?.values().find_map(|relay| relay.wish)
    }

    /// Forgets demand that has ended.
    pub fn prune(&mut self, now: Instant) {
        self.0.retain(|_, relays| {
            relays.retain(|_, relay| relay.until > now);
            !relays.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_model::stream::spec::JpegParams;

    fn message(from: &str, jpeg_fps: Option<u32>, hls: bool) -> DemandMessage {
        let jpeg = jpeg_fps.map(|max_fps| JpegParams { max_fps, max_width: 640, quality: 80 });
        let demand = Demand { jpeg, hls, ..Demand::default() };
        DemandMessage { v: 1, from: from.into(), ttl_ms: 6000, demand, traceparent: None }
    }

    #[test]
    fn adds_up_over_relays_and_ends_by_itself() {
        let (mut demands, slug, start) = (DemandTable::default(), Slug::parse("yard").unwrap(), Instant::now());
        demands.on_message(&slug, message("a", Some(5), false), start);
        let sum = demands.on_message(&slug, message("b", Some(10), true), start + Duration::from_secs(3));
        assert_eq!((sum.jpeg.map(|j| j.max_fps), sum.hls), (Some(10), true));
        let later = demands.of(&slug, start + Duration::from_secs(7));
        assert_eq!((later.jpeg.map(|j| j.max_fps), later.hls), (Some(10), true));
        demands.prune(start + Duration::from_secs(10));
        assert!(!demands.of(&slug, start + Duration::from_secs(10)).any());
        assert!(demands.0.is_empty());
    }

    #[test]
    fn a_relay_can_take_its_demand_back() {
        let (mut demands, slug, now) = (DemandTable::default(), Slug::parse("yard").unwrap(), Instant::now());
        demands.on_message(&slug, message("a", Some(5), false), now);
        assert!(!demands.on_message(&slug, message("a", None, false), now).any());
    }

    #[test]
    fn the_table_is_bounded() {
        let (mut demands, now) = (DemandTable::default(), Instant::now());
        let slug = Slug::parse("yard").unwrap();
        for n in 0..200 {
            demands.on_message(&slug, message(&format!("relay-{n}"), Some(5), false), now);
        }
        assert_eq!(demands.0[&slug].len(), MAX_RELAYS);
    }
}
