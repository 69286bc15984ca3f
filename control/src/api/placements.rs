//! The placements of all streams, and the reports of workers about them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use rsm_model::stream::fence::{Epoch, Fence};
use rsm_model::stream::names::{SessionId, Zone};
use rsm_model::stream::slug::Slug;
use rsm_model::wire::messages::{Event, Owned, Priority, Want};
use rsm_model::wire::ticket_queue::TicketQueue;

use super::assignment::Assignment;
use super::intent::StreamIntent;
use super::placement::TrackedPlacement;
use super::roster::Roster;

/// The newest placement of every stream, one for each that was ever placed and is not forgotten: links, and removed
/// ones for a minute.
pub struct Placements {
    tracked: HashMap<Slug, TrackedPlacement>,
    /// The last event of each stream's owner: at most one for each placement.
    details: HashMap<Slug, Event>,
    /// Tickets that wait, by zone, as of the last refresh.
    queued: HashMap<Zone, u32>,
}

/// Consequences of one row of a heartbeat's inventory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InventoryRow {
    /// The newest placement has a new owner.
    pub new_owner: bool,
    /// The sender has to release the stream, up to this epoch.
    pub release: Option<Epoch>,
}

impl Placements {
    /// Starts from the stored placements; nothing has been sent about them yet.
    pub fn new(assignments: Vec<Assignment>, now: Instant) -> Self {
        let tracked = assignments.into_iter().map(|a| (a.slug.clone(), TrackedPlacement::new(a, now))).collect();
        Self { tracked, details: HashMap::new(), queued: HashMap::new() }
    }

    /// The newest placement of a stream.
    pub fn get(&self, slug: &Slug) -> Option<&TrackedPlacement> {
        self.tracked.get(slug)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, slug: &Slug) -> Option<&mut TrackedPlacement> {
        self.tracked.get_mut(slug)
    }

    /// Every placement, in no order.
    pub fn all(&self) -> impl Iterator<Item = &TrackedPlacement> {
        self.tracked.values()
    }

    /// The last event of the owner with that fence.
    pub fn detail(&self, slug: &Slug, fence: Fence) -> Option<&Event> {
        self.details.get(slug).filter(|detail| detail.fence() == fence)
    }

    /// Streams whose newest placement this process made and `session` owns, or owned last, and since when.
    pub fn owned_by<'a>(&'a self, session: &'a SessionId) -> impl Iterator<Item = (&'a Slug, Instant)> {
        let ours = self.tracked.iter().filter(|(_, tracked)| tracked.is_ours());
        ours.filter_map(move |(slug, tracked)| {
            let (owner, since) = tracked.owner()?;
            (owner == session).then_some((slug, since))
        })
    }

    /// Slugs of placements whose links are gone, in order.
    pub fn unregistered(&self, intents: &[StreamIntent]) -> Vec<Slug> {
        let registered = intents.iter().filter(|intent| self.tracked.contains_key(&intent.slug)).count();
        if self.tracked.len() <= registered {
            return Vec::new();
        }
        let registered: HashSet<&Slug> = intents.iter().map(|intent| &intent.slug).collect();
        let mut removed: Vec<Slug> = self.tracked.keys().filter(|slug| !registered.contains(slug)).cloned().collect();
        removed.sort();
        removed
    }

    /// NATS has lost what it stored. Returns the number of placements.
    pub fn mark_all_unsent(&mut self) -> usize {
        self.tracked.values_mut().for_each(TrackedPlacement::mark_unsent);
        self.tracked.len()
    }

    /// Placements whose desired record NATS must hold, as of an answer at most `age` old.
    pub fn delivered_before(&self, now: Instant, age: Duration) -> usize {
        self.tracked.values().filter(|tracked| tracked.is_delivered_before(now, age)).count()
    }

    /// Forgets earlier owners that are gone, and counts the tickets that wait.
    pub fn refresh(&mut self, roster: &Roster) {
        self.queued.clear();
        for tracked in self.tracked.values_mut() {
            tracked.forget_gone(roster);
            if tracked.is_queued() {
                *self.queued.entry(tracked.assignment().zone.clone()).or_default() += 1;
            }
        }
    }

    /// Returns whether no ticket waits.
    pub fn none_queued(&self) -> bool {
        self.queued.is_empty()
    }

    /// Zones whose queues have tickets waiting.
    pub fn waiting_zones(&self) -> BTreeSet<Zone> {
        self.queued.keys().cloned().collect()
    }

    /// Tickets that wait in these zones.
    pub fn queued_in(&self, zones: &[Zone]) -> u32 {
        zones.iter().filter_map(|zone| self.queued.get(zone)).sum()
    }

    /// Takes in one row of a heartbeat; `counts` when its sender is in the roster. A stream without a placement was
    /// removed, or never existed: its owner has to release it.
    pub fn on_inventory(&mut self, session: &SessionId, owned: &Owned, counts: bool, now: Instant) -> InventoryRow {
        let Some(tracked) = self.tracked.get_mut(&owned.cam) else {
            return InventoryRow { new_owner: false, release: Some(owned.epoch) };
        };
        let detail = self.details.get_mut(&owned.cam);
        let new_owner = counts && tracked.on_inventory(session, owned, detail, now);
        InventoryRow { new_owner, release: tracked.to_release(session, owned) }
    }

    /// Takes in an event; `alive` when its sender is in the roster. Returns whether it is news.
    pub fn on_event(&mut self, event: Event, alive: bool, now: Instant) -> bool {
        let older = self.details.get(&event.cam).is_some_and(|known| event.fence() < known.fence());
        let Some(tracked) = self.tracked.get_mut(&event.cam).filter(|_| !older) else { return false };
        if alive {
            tracked.on_event(&event, now);
        }
        self.details.insert(event.cam.clone(), event);
        true
    }

    /// Takes in the state of one queue.
    pub fn on_queue(&mut self, zone: &Zone, priority: Priority, queue: TicketQueue, now: Instant) {
        for tracked in self.tracked.values_mut() {
            tracked.on_queue(zone, priority, queue, now);
        }
    }

    /// Takes in a new placement, which this process has committed; see [`TrackedPlacement::renew`].
    pub fn renew(
        &mut self,
        assignment: Assignment,
        now: Instant,
        tries: u32,
        keep_handoff: bool,
    ) -> &mut TrackedPlacement {
        let slug = assignment.slug.clone();
        // The first placement of a stream has no earlier claims to remove.
        let first = !self.tracked.contains_key(&slug);
        let tracked = self.tracked.entry(slug).or_insert_with(|| TrackedPlacement::new(assignment.clone(), now));
        tracked.renew(assignment, now, tries, keep_handoff);
        if first {
            tracked.tidied();
        }
        tracked
    }

    /// The newest placement was sent to NATS, which took it or did not. Returns whether that was a run or a stop.
    pub fn delivered(&mut self, slug: &Slug, taken: bool, now: Instant) -> Option<Want> {
        let tracked = self.tracked.get_mut(slug)?;
        tracked.resent(taken, now);
        Some(tracked.assignment().want)
    }

    /// The claims of earlier placements are removed.
    pub fn tidied(&mut self, slug: &Slug) {
        if let Some(tracked) = self.tracked.get_mut(slug) {
            tracked.tidied();
        }
    }

    /// Forgets a stream.
    pub fn remove(&mut self, slug: &Slug) {
        self.tracked.remove(slug);
        self.details.remove(slug);
    }
}
