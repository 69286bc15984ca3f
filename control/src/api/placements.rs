//! The placements of all streams, and the reports of workers about them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use rsm_model::stream::fence::{Epoch, Fence};
use rsm_model::stream::names::{SessionId, Zone};
use rsm_model::stream::slug::Slug;
use rsm_model::wire::messages::{Event, Owned, Priority, Want};
use rsm_model::wire::ticket_queue::TicketQueue;

use super::assignment::Assignment;
use super::placement::{RowEffect, TrackedPlacement};
use super::roster::Roster;

/// The newest placement of every stream, one for each that was ever placed and is not forgotten: links, and removed
/// ones for a minute.
#[derive(Default)]
pub struct Placements {
    tracked: HashMap<Slug, TrackedPlacement>,
    /// The last event of each stream's owner: at most one for each placement.
    details: HashMap<Slug, Event>,
    /// Streams whose tickets wait, by zone.
    queued: BTreeMap<Zone, BTreeSet<Slug>>,
    /// The zone in which the ticket of each of them waits.
    queued_at: HashMap<Slug, Zone>,
    /// Streams with an earlier owner.
    handing_off: BTreeSet<Slug>,
}

/// Consequences of one row of a heartbeat's inventory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InventoryRow {
    /// The newest placement has a new owner.
    pub new_owner: bool,
    /// Something changed that steps or clients' views follow.
    pub news: bool,
    /// The sender has to release the stream, up to this epoch.
    pub release: Option<Epoch>,
}

impl Placements {
    /// Starts from the stored placements; nothing has been sent about them yet.
    pub fn new(assignments: Vec<Assignment>, now: Instant) -> Self {
        let tracked = assignments.into_iter().map(|a| (a.slug.clone(), TrackedPlacement::new(a, now))).collect();
        Self { tracked, ..Self::default() }
    }

    /// The newest placement of a stream.
    pub fn get(&self, slug: &Slug) -> Option<&TrackedPlacement> {
        self.tracked.get(slug)
    }

    /// Changes the newest placement of a stream; `None` when it has none.
    pub fn change<R>(&mut self, slug: &Slug, change: impl FnOnce(&mut TrackedPlacement) -> R) -> Option<R> {
        let result = change(self.tracked.get_mut(slug)?);
        self.index(slug);
        Some(result)
    }

    /// Brings the indexes in line with the placement of a stream. To be called after each change of one.
    fn index(&mut self, slug: &Slug) {
        let tracked = self.tracked.get(slug);
        let zone = tracked.filter(|t| t.is_queued()).map(|t| t.assignment().zone.clone());
        if self.queued_at.get(slug) != zone.as_ref() {
            if let Some(before) = self.queued_at.remove(slug)
                && let Some(waiting) = self.queued.get_mut(&before)
            {
                waiting.remove(slug);
                if waiting.is_empty() {
                    self.queued.remove(&before);
                }
            }
            if let Some(zone) = zone {
                self.queued.entry(zone.clone()).or_default().insert(slug.clone());
                self.queued_at.insert(slug.clone(), zone);
            }
        }
        if tracked.is_some_and(|t| t.earlier_owner().is_some()) {
            self.handing_off.insert(slug.clone());
        } else {
            self.handing_off.remove(slug);
        }
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

    /// NATS has lost what it stored. Returns the number of placements.
    pub fn mark_all_unsent(&mut self) -> usize {
        self.tracked.values_mut().for_each(TrackedPlacement::mark_unsent);
        self.queued.clear();
        self.queued_at.clear();
        self.tracked.len()
    }

    /// Placements whose desired record NATS must hold, as of an answer at most `age` old.
    pub fn delivered_before(&self, now: Instant, age: Duration) -> usize {
        self.tracked.values().filter(|tracked| tracked.is_delivered_before(now, age)).count()
    }

    /// Streams with an earlier owner, in order.
    pub fn handing_off(&self) -> impl Iterator<Item = &TrackedPlacement> {
        self.handing_off.iter().filter_map(|slug| self.tracked.get(slug))
    }

    /// Forgets earlier owners that are gone. Returns their streams.
    pub fn forget_gone(&mut self, roster: &Roster) -> Vec<Slug> {
        let tracked = &mut self.tracked;
        let gone = |slug: &Slug| tracked.get_mut(slug).is_none_or(|tracked| tracked.forget_gone(roster));
        self.handing_off.extract_if(.., gone).collect()
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
        let waiting: usize = zones.iter().filter_map(|zone| self.queued.get(zone)).map(BTreeSet::len).sum();
        u32::try_from(waiting).unwrap_or(u32::MAX)
    }

    /// Takes in one row of a heartbeat; `counts` when its sender is in the roster. A stream without a placement was
    /// removed, or never existed: its owner has to release it.
    pub fn on_inventory(&mut self, session: &SessionId, owned: &Owned, counts: bool, now: Instant) -> InventoryRow {
        let Some(tracked) = self.tracked.get_mut(&owned.cam) else {
            return InventoryRow { release: Some(owned.epoch), ..InventoryRow::default() };
        };
        let detail = self.details.get_mut(&owned.cam);
        let effect = if counts { tracked.on_inventory(session, owned, detail, now) } else { RowEffect::default() };
        let release = tracked.to_release(session, owned);
        if effect.news {
            self.index(&owned.cam);
        }
        InventoryRow { new_owner: effect.new_owner, news: effect.news, release }
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

    /// Takes in the state of one queue. Returns the streams whose tickets wait in it no more.
    pub fn on_queue(&mut self, zone: &Zone, priority: Priority, queue: TicketQueue, now: Instant) -> Vec<Slug> {
        let Some(waiting) = self.queued.get(zone) else { return Vec::new() };
        let tracked = &mut self.tracked;
        let mut taken = |slug: &&Slug| tracked.get_mut(*slug).is_some_and(|t| t.on_queue(zone, priority, queue, now));
        let taken: Vec<Slug> = waiting.iter().filter(|slug| taken(slug)).cloned().collect();
        taken.iter().for_each(|slug| self.index(slug));
        taken
    }

    /// Takes in a new placement, which this process has committed, and changes it further; see
    /// [`TrackedPlacement::renew`].
    pub fn renew(
        &mut self,
        assignment: Assignment,
        now: Instant,
        tries: u32,
        keep_handoff: bool,
        further: impl FnOnce(&mut TrackedPlacement),
    ) {
        let slug = assignment.slug.clone();
        // The first placement of a stream has no earlier claims to remove.
        let first = !self.tracked.contains_key(&slug);
        let tracked =
            self.tracked.entry(slug.clone()).or_insert_with(|| TrackedPlacement::new(assignment.clone(), now));
        tracked.renew(assignment, now, tries, keep_handoff);
        if first {
            tracked.tidied();
        }
        further(tracked);
        self.index(&slug);
    }

    /// The newest placement was sent to NATS, which took it or did not. Returns whether that was a run or a stop.
    pub fn delivered(&mut self, slug: &Slug, taken: bool, now: Instant) -> Option<Want> {
        self.change(slug, |tracked| {
            tracked.resent(taken, now);
            tracked.assignment().want
        })
    }

    /// Forgets a stream.
    pub fn remove(&mut self, slug: &Slug) {
        self.tracked.remove(slug);
        self.details.remove(slug);
        self.index(slug);
    }
}
