//! The registered streams: what is wanted of each, and the zones that they are in.

use std::collections::HashMap;

use rsm_model::stream::names::Zone;
use rsm_model::stream::slug::Slug;

use super::intent::StreamIntent;

/// One intent for each registered stream; the database bounds their number.
#[derive(Debug, Default)]
pub struct RegisteredStreams {
    intents: HashMap<Slug, StreamIntent>,
    /// Streams in each zone; no zone without streams.
    zones: HashMap<Zone, usize>,
}

impl RegisteredStreams {
    /// Takes in an intent. Returns whether it differs from the one that was known.
    pub fn insert(&mut self, intent: StreamIntent) -> bool {
        if self.get(&intent.slug) == Some(&intent) {
            return false;
        }
        *self.zones.entry(intent.zone.clone()).or_default() += 1;
        if let Some(before) = self.intents.insert(intent.slug.clone(), intent) {
            self.leave_zone(&before.zone);
        }
        true
    }

    /// Forgets a stream. Returns whether it was registered.
    pub fn remove(&mut self, slug: &Slug) -> bool {
        let Some(before) = self.intents.remove(slug) else { return false };
        self.leave_zone(&before.zone);
        true
    }

    fn leave_zone(&mut self, zone: &Zone) {
        if let Some(streams) = self.zones.get_mut(zone) {
            *streams -= 1;
            if *streams == 0 {
                self.zones.remove(zone);
            }
        }
    }

    /// The intent of a registered stream.
    pub fn get(&self, slug: &Slug) -> Option<&StreamIntent> {
        self.intents.get(slug)
    }

    /// All intents, in no order.
    pub fn all(&self) -> impl ExactSizeIterator<Item = &StreamIntent> {
        self.intents.values()
    }

    /// Zones that registered streams are in, in no order.
    pub fn zones(&self) -> impl Iterator<Item = &Zone> {
        self.zones.keys()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An enabled stream of the default zone that is always on.
    pub(crate) fn intent(name: &str, id: i64) -> StreamIntent {
        StreamIntent {
            slug: Slug::parse(name).unwrap(),
            id,
            zone: Zone::default_zone(),
            enabled: true,
            always_on: true,
            exclusive: false,
            spec_rev: 1,
            demanded: false,
            unwanted_since: None,
        }
    }

    #[test]
    fn a_zone_is_known_while_a_stream_is_in_it() {
        let mut streams = RegisteredStreams::default();
        let north = |id| StreamIntent { zone: Zone::parse("north").unwrap(), ..intent("yard", id) };
        let zones = |streams: &RegisteredStreams| streams.zones().map(ToString::to_string).collect::<Vec<_>>();
        assert!(streams.insert(intent("yard", 1)) && !streams.insert(intent("yard", 1)));
        assert_eq!(zones(&streams), ["default"]);
        assert!(streams.insert(north(1)) && streams.insert(north(2)));
        assert_eq!((zones(&streams), streams.all().len()), (vec!["north".to_owned()], 1));
        assert!(streams.remove(&north(2).slug) && !streams.remove(&north(2).slug));
        assert!(zones(&streams).is_empty() && streams.get(&north(2).slug).is_none());
    }
}
