//! The facts that the step of one stream is decided from, gathered from the parts of the arbiter.

use std::time::Instant;

use rsm_model::stream::slug::Slug;

use super::intent::StreamIntent;
use super::placement::TrackedPlacement;
use super::placements::Placements;
use super::plan::StreamFacts;
use super::workers::Workers;

/// Facts of a registered stream. The caller adds what suspects and moves say of it.
pub fn of_registered(
    intent: &StreamIntent,
    wanted: bool,
    placements: &Placements,
    workers: &Workers,
    now: Instant,
) -> StreamFacts {
    let tracked = placements.get(&intent.slug);
    let owned_epoch = workers.owned_epoch(&intent.slug);
    let queued = tracked.is_some_and(TrackedPlacement::is_queued);
    StreamFacts {
        registered: true,
        wanted,
        spec_rev: intent.spec_rev,
        owned: tracked.is_some_and(|t| owned_epoch == Some(t.assignment().epoch)),
        owned_epoch,
        urgent: intent.demanded,
        has_room: queued && workers.roster().capacity(&intent.zone).1 > 0,
        placement: tracked.map(|t| t.facts(workers.roster(), now)),
        settled: workers.settled(now),
        held_back: false,
        exclusive: intent.exclusive,
        move_reason: None,
    }
}

/// Facts of a stream whose link was removed.
pub fn of_removed(slug: &Slug, placements: &Placements, workers: &Workers, now: Instant) -> StreamFacts {
    StreamFacts {
        registered: false,
        wanted: false,
        spec_rev: 0,
        owned: false,
        owned_epoch: workers.owned_epoch(slug),
        urgent: false,
        has_room: false,
        placement: placements.get(slug).map(|t| t.facts(workers.roster(), now)),
        settled: workers.settled(now),
        held_back: false,
        exclusive: false,
        move_reason: None,
    }
}
