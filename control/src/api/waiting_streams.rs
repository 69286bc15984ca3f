//! Streams that wait for a worker. What clients are told of them follows the free room of their zone, which changes with
//! heartbeats that say nothing of these streams.

use std::collections::{HashMap, HashSet};

use rsm_model::stream::names::Zone;
use rsm_model::stream::slug::Slug;

/// Wanted streams without an owner, by zone: one entry for each registered stream at most.
#[derive(Debug, Default)]
pub struct WaitingStreams {
    by_zone: HashMap<Zone, ZoneQueue>,
    zones: HashMap<Slug, Zone>,
}

#[derive(Debug, Default)]
struct ZoneQueue {
    streams: HashSet<Slug>,
    /// Workers, and free slots as far as they matter: whether there is none, and whether there are more than workers.
    room: Option<(usize, u32)>,
}

impl WaitingStreams {
    /// Notes that a stream waits in that zone, or does not wait.
    pub fn note(&mut self, slug: &Slug, zone: Option<&Zone>) {
        if self.zones.get(slug) == zone {
            return;
        }
        if let Some(before) = self.zones.remove(slug)
            && let Some(queue) = self.by_zone.get_mut(&before)
        {
            queue.streams.remove(slug);
            if queue.streams.is_empty() {
                self.by_zone.remove(&before);
            }
        }
        if let Some(zone) = zone {
            self.by_zone.entry(zone.clone()).or_default().streams.insert(slug.clone());
            self.zones.insert(slug.clone(), zone.clone());
        }
    }

    /// The streams of zones whose room has changed since the last call. `capacity` gives the live workers of a zone and
    /// their free slots.
    pub fn of_changed_zones(&mut self, capacity: impl Fn(&Zone) -> (usize, u32)) -> impl Iterator<Item = &Slug> {
        let changed = self.by_zone.iter_mut().filter_map(move |(zone, queue)| {
            let (workers, free) = capacity(zone);
            let enough = u32::try_from(workers).unwrap_or(u32::MAX).saturating_add(1);
            let room = Some((workers, free.min(enough)));
            (std::mem::replace(&mut queue.room, room) != room).then_some(&queue.streams)
        });
        changed.flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_a_zone_are_named_when_its_room_changes() {
        let (mut waiting, north, south) =
            (WaitingStreams::default(), Zone::parse("north").unwrap(), Zone::parse("south").unwrap());
        let slug = |name: &str| Slug::parse(name).unwrap();
        for (name, zone) in [("a", &north), ("b", &south), ("c", &north)] {
            waiting.note(&slug(name), Some(zone));
        }
        let named = |waiting: &mut WaitingStreams, free: u32| {
            let room = |zone: &Zone| if *zone == north { (2, free) } else { (1, 0) };
            let mut named: Vec<String> = waiting.of_changed_zones(room).map(Slug::to_string).collect();
            named.sort();
            named.join(" ")
        };
        assert_eq!(named(&mut waiting, 0), "a b c", "never seen before");
        assert_eq!(named(&mut waiting, 0), "");
        assert_eq!(named(&mut waiting, 1), "a c");
        waiting.note(&slug("a"), None);
        assert_eq!(named(&mut waiting, 50), "c");
        assert_eq!(named(&mut waiting, 60), "", "more than enough is as good as enough");
        waiting.note(&slug("c"), Some(&south));
        assert_eq!(named(&mut waiting, 0), "");
        assert_eq!(waiting.by_zone.len(), 1, "no zone without streams is kept");
    }
}
