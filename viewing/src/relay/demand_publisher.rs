//! Publishes the demand of this process's viewers to workers: at once when it changes, and every two seconds while it
//! holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rsm_shared::bus::connect::Bus;
use rsm_shared::bus::demand::{self, REPEAT, TTL};
use rsm_shared::stream::demand::Demand;
use rsm_shared::stream::names::Zone;
use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::spec::JpegParams;
use rsm_shared::wire::messages::{DemandMessage, VERSION};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::streams::Streams;

/// Least time between two rounds: a thousand viewers that come together are published in a few rounds.
const LEAST_PAUSE: Duration = Duration::from_millis(5);

/// Demand of each stream that has any: at most one per registered stream.
pub type WantedOutputs = BTreeMap<Slug, (Zone, Demand)>;

/// The task that publishes demand.
pub struct DemandPublisher {
    pub streams: Streams,
    pub bus: Bus,
    /// Names this process among relays: 1 to 64 characters.
    pub from: String,
    /// JPEG settings of links that have none of their own.
    pub defaults: JpegParams,
    /// Woken when demand changes.
    pub changed: Arc<Notify>,
}

impl DemandPublisher {
    /// Runs until `stop`, then withdraws the demand that it published.
    pub async fn run(self, stop: CancellationToken) {
        let mut published = WantedOutputs::new();
        let mut repeat = tokio::time::interval(REPEAT);
        repeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut connects = self.bus.connects();
        let mut failing = false;
        loop {
            let all = tokio::select! {
                () = stop.cancelled() => break,
                _ = repeat.tick() => true,
                // After a reconnect workers may have missed repeats.
                Ok(()) = connects.changed() => true,
                () = self.changed.notified() => false,
            };
            let wanted = self.wanted();
            let round = due(&published, &wanted, all);
            published = wanted;
            match self.publish(round).await {
                Ok(()) => failing = false,
                Err(e) if !failing => {
                    warn!(error = %e, again_s = REPEAT.as_secs(), "demand of viewers could not be published to workers, trying again");
                    failing = true;
                }
                Err(e) => debug!(error = %e, "demand of viewers could still not be published to workers"),
            }
            tokio::time::sleep_until(Instant::now() + LEAST_PAUSE).await;
        }
        let nothing = due(&published, &WantedOutputs::new(), false);
        if let Err(e) = self.publish(nothing).await {
            debug!(error = %e, ends_s = TTL.as_secs(), "the end of demand could not be published; it expires at the workers");
        }
        self.bus.flush().await;
    }

    fn wanted(&self) -> WantedOutputs {
        let mut wanted = WantedOutputs::new();
        for stream in self.streams.all() {
            let offer = stream.offer();
            let demand = stream.demand.current(offer.jpeg.over(self.defaults));
            if offer.enabled && demand.any() {
                wanted.insert(stream.slug.clone(), (offer.zone.clone(), demand));
            }
        }
        wanted
    }

    async fn publish(&self, round: WantedOutputs) -> Result<(), rsm_shared::bus::BusError> {
        if !self.bus.connected() {
            return Ok(());
        }
        let ttl_ms = u64::try_from(TTL.as_millis()).unwrap_or(u64::MAX);
        for (slug, (zone, demand)) in round {
            let stream = self.streams.by_slug(slug.as_str()).filter(|_| demand.any());
            let traceparent = stream.and_then(|stream| stream.start.recent(std::time::Instant::now()));
            let message = DemandMessage { v: VERSION, from: self.from.clone(), ttl_ms, demand, traceparent };
            demand::publish(&self.bus, &zone, &slug, &message).await?;
        }
        Ok(())
    }
}

/// Demand to publish now: all of it in a round of repeats, else only changes; and, once, the end of demand that is over.
/// Pure.
pub fn due(published: &WantedOutputs, wanted: &WantedOutputs, all: bool) -> WantedOutputs {
    let slugs: BTreeSet<&Slug> = published.keys().chain(wanted.keys()).collect();
    let mut round = WantedOutputs::new();
    for slug in slugs {
        match (published.get(slug), wanted.get(slug)) {
            (Some((zone, _)), None) => drop(round.insert(slug.clone(), (zone.clone(), Demand::default()))),
            (before, Some(now)) if all || before != Some(now) => drop(round.insert(slug.clone(), now.clone())),
            _ => {}
        }
    }
    round
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_shared::stream::rendition::{Rendition, RenditionSet};

    fn wanted(streams: &[(&str, bool)]) -> WantedOutputs {
        streams
            .iter()
            .map(|(slug, hls)| {
                let jpeg = JpegParams { max_fps: 5, max_width: 640, quality: 80 };
                let demand = Demand { jpeg: Some(jpeg), hls: *hls, ..Demand::default() };
                (Slug::parse(slug).unwrap(), (Zone::default_zone(), demand))
            })
            .collect()
    }

    #[test]
    fn only_changes_are_published_between_repeats() {
        let nothing = WantedOutputs::new();
        let (one, both) = (wanted(&[("a", false)]), wanted(&[("a", false), ("b", true)]));
        assert_eq!(due(&nothing, &one, false), one);
        assert_eq!(due(&one, &one, false), nothing);
        assert_eq!(due(&one, &one, true), one);
        assert_eq!(due(&one, &both, false), wanted(&[("b", true)]));
        assert_eq!(due(&wanted(&[("a", true)]), &one, false), one);
    }

    #[test]
    fn another_rendition_is_a_change() {
        let plain = wanted(&[("a", true)]);
        let mut small = plain.clone();
        for (_, demand) in small.values_mut() {
            demand.renditions = RenditionSet::NONE.with(Rendition::P360);
        }
        assert_eq!(due(&plain, &small, false), small);
        assert_eq!(due(&small, &plain, false), plain);
    }

    #[test]
    fn the_end_of_demand_is_published_once() {
        let round = due(&wanted(&[("a", true)]), &WantedOutputs::new(), false);
        assert_eq!(round.len(), 1);
        assert!(round.values().all(|(_, demand)| !demand.any()));
        assert!(due(&WantedOutputs::new(), &WantedOutputs::new(), true).is_empty());
    }
}
