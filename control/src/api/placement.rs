//! The newest placement of one stream: how far its command has come, its owner, and the earlier owner that goes on meanwhile.

use std::time::{Duration, Instant};

use rsm_model::stream::fence::Epoch;
use rsm_model::stream::names::{SessionId, Zone};
use rsm_model::stream::state::StreamState;
use rsm_model::wire::messages::{Event, Owned, Priority, TicketReason, Want};
use rsm_model::wire::ticket_queue::TicketQueue;

use super::assignment::{Assignment, PlacementFloor};
use super::moves;
use super::plan::{self, DeliveryState, HandoffProgress, Ownership, PlacementFacts};
use super::roster::Roster;

/// Placements younger than this may be newer than an answer that was asked for before them.
pub const ANSWER_AGE: Duration = Duration::from_secs(5);
/// An owner that has not reported a stream for this long may be followed by another one with a claim of the same
/// number.
const RIVAL_AFTER: Duration = Duration::from_secs(4);
/// Camera sessions that may have begun since the last heartbeat: one each second, at worst, until a worker is dead.
const DISCONTINUITY_SLACK: u64 = 5;

/// The newest placement of a stream, with all that was observed of it.
pub struct TrackedPlacement {
    assignment: Assignment,
    /// When it was committed, found at the start of this process, sent again, or taken from its queue.
    since: Instant,
    delivery: DeliveryState,
    /// Sequence number of its ticket in the queue of that priority.
    ticket: Option<(u64, Priority)>,
    /// Tickets of this start that led to no owner.
    tries: u32,
    /// The claims of earlier placements are removed.
    tidy: bool,
    /// The session that owns it, or owned it last.
    owner: Option<SessionId>,
    /// Revision of the owner's claim.
    revision: u64,
    owner_last_seen: Option<Instant>,
    owned_since: Option<Instant>,
    /// This process made the placement, so it has observed all of it.
    ours: bool,
    earlier_owner: Option<EarlierOwner>,
    /// When its owner was asked to release it.
    recalled: Option<Instant>,
    /// When it last moved from one worker to another; in the future when it is to stay for longer.
    moved: Option<Instant>,
    /// Largest epoch seen anywhere.
    largest_epoch: Epoch,
    /// Largest that any owner reported.
    media_sequence: u64,
    /// Largest that an owner reported; `None` before the first report.
    discontinuity_sequence: Option<u64>,
}

/// The earlier owner of a stream that is being handed to another worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlierOwner {
    pub session: SessionId,
    pub epoch: Epoch,
    /// The worker process that the stream was offered to, if it was.
    pub to: Option<SessionId>,
    /// Why it moves.
    pub reason: TicketReason,
    pub since: Instant,
}

/// The effect of one row of an inventory on the placement that it is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowEffect {
    /// The newest placement has a new owner.
    pub new_owner: bool,
    /// Something changed that steps or clients' views follow.
    pub news: bool,
}

impl TrackedPlacement {
    /// A placement that was found in the database: nothing was observed of it.
    pub fn new(assignment: Assignment, now: Instant) -> Self {
        Self {
            largest_epoch: assignment.epoch,
            assignment,
            since: now,
            delivery: DeliveryState::Unsent,
            ticket: None,
            tries: 0,
            tidy: false,
            owner: None,
            revision: 0,
            owner_last_seen: None,
            owned_since: None,
            ours: false,
            earlier_owner: None,
            recalled: None,
            moved: None,
            media_sequence: 0,
            discontinuity_sequence: None,
        }
    }

    /// This process has committed a newer placement of the same stream. The numbers that were seen of the older one
    /// stay. With `keep_handoff` an earlier owner that goes on stays too: unless the placement has other settings, or
    /// is a stop.
    pub fn renew(&mut self, assignment: Assignment, now: Instant, tries: u32, keep_handoff: bool) {
        let (largest_epoch, delivery) = (self.largest_epoch.max(assignment.epoch), self.delivery);
        let (media_sequence, discontinuity_sequence) = (self.media_sequence, self.discontinuity_sequence);
        let (earlier_owner, moved) = (self.earlier_owner.take().filter(|_| keep_handoff), self.moved);
        *self = Self {
            delivery,
            tries,
            ours: true,
            earlier_owner,
            moved,
            largest_epoch,
            media_sequence,
            discontinuity_sequence,
            ..Self::new(assignment, now)
        };
    }

    /// The placement as it is stored.
    pub fn assignment(&self) -> &Assignment {
        &self.assignment
    }

    /// Returns whether the placement was made by this process.
    pub fn is_ours(&self) -> bool {
        self.ours
    }

    /// Returns whether a ticket of it waits in a queue, as far as is known.
    pub fn is_queued(&self) -> bool {
        matches!(self.delivery, DeliveryState::Queued { .. })
    }

    /// Returns whether NATS must hold its desired record, as of an answer at most `age` old.
    pub fn is_delivered_before(&self, now: Instant, age: Duration) -> bool {
        let delivered = self.is_queued() || self.delivery == DeliveryState::Delivered;
        delivered && now.saturating_duration_since(self.since) > age
    }

    /// Largest media sequence number that any owner reported.
    pub fn media_sequence(&self) -> u64 {
        self.media_sequence
    }

    /// The session that owns the newest placement, or owned it last, and since when.
    pub fn owner(&self) -> Option<(&SessionId, Instant)> {
        self.owner.as_ref().zip(self.owned_since)
    }

    /// The earlier owner, while there is one.
    pub fn earlier_owner(&self) -> Option<&EarlierOwner> {
        self.earlier_owner.as_ref()
    }

    /// Time for which a live worker has owned the newest placement.
    pub fn owned_for(&self, roster: &Roster, now: Instant) -> Option<Duration> {
        let (owner, since) = self.owner()?;
        let owned = roster.get(owner)?.owned.get(&self.assignment.slug)?;
        (owned.epoch == self.assignment.epoch).then(|| now.saturating_duration_since(since))
    }

    /// Returns whether it has not moved for long enough to move again.
    pub fn has_rested(&self, now: Instant) -> bool {
        self.moved.is_none_or(|at| now.saturating_duration_since(at) >= moves::MOVE_REST)
    }

    /// The tries of a further placement for that reason. A ticket that NATS did not take was no try.
    pub fn next_tries(&self, reason: TicketReason) -> u32 {
        match reason {
            TicketReason::Retry => self.tries + u32::from(self.delivery != DeliveryState::Failed),
            _ => 0,
        }
    }

    /// The numbers that the next placement must go beyond. Events since the last heartbeat are not known, so it leaves
    /// some room.
    pub fn floor(&self) -> PlacementFloor {
        PlacementFloor {
            epoch: Some(self.largest_epoch),
            discontinuity: self.discontinuity_sequence.map_or(0, |last| last + DISCONTINUITY_SLACK),
        }
    }

    /// The newest placement with the largest epoch seen anywhere: a stop of it is a stop of all before.
    pub fn all_so_far(&self) -> Assignment {
        Assignment { epoch: self.largest_epoch, ..self.assignment.clone() }
    }

    /// NATS may not hold its record: nothing was sent, or what was sent is lost, or about to be removed.
    pub fn mark_unsent(&mut self) {
        self.delivery = DeliveryState::Unsent;
        self.ticket = None;
    }

    /// Its start command was sent. `ticket` is its sequence number in the queue of that priority.
    pub fn sent(&mut self, delivery: DeliveryState, ticket: Option<(u64, Priority)>) {
        self.delivery = delivery;
        self.ticket = ticket;
    }

    /// Its record or its stop was sent, and NATS took it or did not.
    pub fn resent(&mut self, taken: bool, now: Instant) {
        self.delivery = if taken { DeliveryState::Delivered } else { DeliveryState::Failed };
        self.since = now;
    }

    /// The claims of earlier placements are removed.
    pub fn tidied(&mut self) {
        self.tidy = true;
    }

    /// The placement was made to take the stream over from `from`, which goes on meanwhile.
    pub fn hand_off(&mut self, from: EarlierOwner) {
        self.moved = Some(from.since);
        self.earlier_owner = Some(from);
    }

    /// A move failed: the stream stays where it is for `rest`.
    pub fn stay(&mut self, now: Instant, rest: Duration) {
        self.moved = Some(now + rest);
    }

    /// The earlier owner has to release the stream now.
    pub fn end_handoff(&mut self) {
        self.earlier_owner = None;
    }

    /// Its owner was asked to release it.
    pub fn recall(&mut self, now: Instant) {
        self.recalled = Some(now);
    }

    /// Forgets an earlier owner that is gone, or has released the stream by itself. Returns whether it did.
    pub fn forget_gone(&mut self, roster: &Roster) -> bool {
        let slug = &self.assignment.slug;
        let goes_on = |from: &EarlierOwner| {
            let owned = roster.get(&from.session).and_then(|session| session.owned.get(slug));
            owned.is_some_and(|owned| owned.epoch == from.epoch)
        };
        let gone = self.earlier_owner.take_if(|from| !goes_on(from));
        gone.is_some()
    }

    /// The epoch up to which `session` has to release what it owns of the stream.
    pub fn to_release(&self, session: &SessionId, owned: &Owned) -> Option<Epoch> {
        if self.earlier_owner.as_ref().is_some_and(|from| from.session == *session && from.epoch == owned.epoch) {
            return None;
        }
        let newest = self.assignment.epoch;
        let another = self.owner.as_ref().is_some_and(|owner| owner != session) && owned.revision <= self.revision;
        if owned.epoch == newest && (self.recalled.is_some() || another) {
            return Some(newest);
        }
        plan::to_release(owned.epoch, Some((newest, self.assignment.want)))
    }

    /// Takes in one row of an inventory. `detail` is the last event of the stream.
    pub fn on_inventory(
        &mut self,
        session: &SessionId,
        owned: &Owned,
        detail: Option<&mut Event>,
        now: Instant,
    ) -> RowEffect {
        let mut effect = RowEffect::default();
        self.largest_epoch = self.largest_epoch.max(owned.epoch);
        self.media_sequence = self.media_sequence.max(owned.media_sequence);
        self.discontinuity_sequence = self.discontinuity_sequence.max(Some(owned.discontinuity_sequence));
        // A state without the event that explains it: the event was lost, or is still on its way.
        if let Some(event) = detail
            && event.fence() == owned.fence()
            && event.state != owned.state
        {
            event.state = owned.state;
            event.reason = None;
            effect.news = true;
        }
        // The process before this one made the newest placement and may have been in the middle of a hand-off: the worker
        // that runs the stream goes on until the new owner has pictures.
        let newer = self.earlier_owner.as_ref().is_none_or(|from| from.epoch < owned.epoch);
        let between = owned.epoch < self.assignment.epoch && self.owner.is_none() && newer;
        if !self.ours && between && self.assignment.want == Want::Run {
            let (session, epoch, reason) = (session.clone(), owned.epoch, TicketReason::Drain);
            self.earlier_owner = Some(EarlierOwner { session, epoch, to: None, reason, since: now });
            effect.news = true;
        }
        // Between two owners of one epoch the later claim counts; the other one has to release the stream.
        if owned.epoch != self.assignment.epoch || owned.revision < self.revision || self.is_rival(session, owned, now)
        {
            return effect;
        }
        self.revision = owned.revision;
        self.owner_last_seen = Some(now);
        self.tries = 0;
        if self.owner.as_ref() != Some(session) {
            self.owner = Some(session.clone());
            self.owned_since = Some(now);
            effect = RowEffect { new_owner: true, news: true };
        }
        effect
    }

    /// Returns whether another session owns the same epoch by a claim of the same number, because NATS was wiped
    /// between the two. The first one stays.
    fn is_rival(&self, session: &SessionId, owned: &Owned, now: Instant) -> bool {
        let heard = self.owner_last_seen.is_some_and(|at| now.saturating_duration_since(at) < RIVAL_AFTER);
        owned.revision == self.revision && heard && self.owner.as_ref().is_some_and(|owner| owner != session)
    }

    /// Takes in an event of a session about the newest placement: it comes earlier than the next inventory.
    pub fn on_event(&mut self, event: &Event, now: Instant) {
        if event.epoch == self.assignment.epoch && event.revision > self.revision {
            self.revision = event.revision;
            self.owner = Some(event.session.clone());
            self.owner_last_seen = Some(now);
            self.owned_since = Some(now);
        }
    }

    /// Takes in the state of a queue. The time in which a taken ticket must lead to an owner begins when it was taken,
    /// as it may have waited long. A ticket that the queue neither handed out nor holds is gone: an operator purged
    /// it, or the store was lost. Returns whether its ticket waits no more.
    pub fn on_queue(&mut self, zone: &Zone, priority: Priority, queue: TicketQueue, now: Instant) -> bool {
        let Some((sequence, _)) = self.ticket.filter(|(_, of)| *of == priority) else { return false };
        if !self.is_queued() || self.assignment.zone != *zone {
            return false;
        }
        if sequence <= queue.delivered {
            self.delivery = DeliveryState::Delivered;
            self.since = now;
        } else if queue.waiting == 0 && now.saturating_duration_since(self.since) > ANSWER_AGE {
            self.delivery = DeliveryState::Failed;
        }
        !self.is_queued()
    }

    /// The placement as the planner sees it.
    pub fn facts(&self, roster: &Roster, now: Instant) -> PlacementFacts {
        let ownership = match (&self.owner, self.owner_last_seen) {
            (Some(owner), Some(seen)) if roster.get(owner).is_some() => {
                Ownership::OwnerSilent(now.saturating_duration_since(seen))
            }
            (Some(_), seen) => {
                Ownership::OwnerGone(seen.map_or(Duration::MAX, |seen| now.saturating_duration_since(seen)))
            }
            (None, _) => Ownership::NeverOwned,
        };
        PlacementFacts {
            epoch: self.assignment.epoch,
            want: self.assignment.want,
            spec_rev: self.assignment.spec_rev,
            delivery: self.delivery,
            age: now.saturating_duration_since(self.since),
            tidy: self.tidy,
            tries: self.tries,
            ownership,
            handoff: self.handoff(roster, now),
            recalled: self.recalled.map(|at| now.saturating_duration_since(at)),
        }
    }

    /// `None` also once the earlier owner is gone or has released the stream by itself.
    fn handoff(&self, roster: &Roster, now: Instant) -> Option<HandoffProgress> {
        let from = self.earlier_owner.as_ref()?;
        let slug = &self.assignment.slug;
        let old = roster.get(&from.session)?.owned.get(slug).filter(|owned| owned.epoch == from.epoch)?;
        let new = self.owner.as_ref().and_then(|owner| roster.get(owner)?.owned.get(slug));
        let Some(new) = new.filter(|new| new.epoch == self.assignment.epoch) else {
            return Some(HandoffProgress::Waiting(Duration::ZERO));
        };
        let runs = new.state == StreamState::Running;
        let age = self.owned_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        Some(if old.state != StreamState::Running || (runs && new.ready) {
            HandoffProgress::Complete
        } else if !runs && from.reason == TicketReason::Rebalance {
            HandoffProgress::NoPicture(age)
        } else {
            HandoffProgress::Waiting(age)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_model::stream::slug::Slug;

    fn tracked(start: Instant) -> TrackedPlacement {
        let assignment = Assignment {
            slug: Slug::parse("yard").unwrap(),
            zone: Zone::default_zone(),
            epoch: Epoch(1),
            want: Want::Run,
            spec_rev: 1,
            discontinuity: 0,
        };
        let mut tracked = TrackedPlacement::new(assignment, start);
        tracked.sent(DeliveryState::Queued { urgent: true }, Some((7, Priority::Hi)));
        tracked
    }

    #[test]
    fn a_ticket_that_waited_long_has_its_full_time_once_it_is_taken() {
        let (start, zone) = (Instant::now(), Zone::default_zone());
        let mut tracked = tracked(start);
        let later = start + Duration::from_secs(100);
        for (zone, priority, last) in
            [(&zone, Priority::Hi, 6), (&zone, Priority::Lo, 7), (&Zone::parse("other").unwrap(), Priority::Hi, 7)]
        {
            tracked.on_queue(
                zone,
                priority,
                TicketQueue { delivered: last, waiting: 1, ..TicketQueue::default() },
                later,
            );
            assert_eq!(tracked.delivery, DeliveryState::Queued { urgent: true });
        }
        tracked.on_queue(&zone, Priority::Hi, TicketQueue { delivered: 7, ..TicketQueue::default() }, later);
        let placed = tracked.facts(&Roster::default(), later);
        assert_eq!((placed.delivery, placed.age), (DeliveryState::Delivered, Duration::ZERO));
    }

    #[test]
    fn a_ticket_that_is_nowhere_is_noticed() {
        let (start, zone) = (Instant::now(), Zone::default_zone());
        let mut tracked = tracked(start);
        let empty = TicketQueue { delivered: 6, ..TicketQueue::default() };
        tracked.on_queue(&zone, Priority::Hi, empty, start + Duration::from_secs(1));
        assert_eq!(tracked.delivery, DeliveryState::Queued { urgent: true }, "the answer may be older than the ticket");
        tracked.on_queue(&zone, Priority::Hi, empty, start + Duration::from_secs(6));
        assert_eq!(tracked.delivery, DeliveryState::Failed);
    }
}
