//! One placement of a stream and how it goes.

use std::time::{Duration, Instant};

use rsm_shared::stream::fence::Epoch;
use rsm_shared::stream::names::{SessionId, Zone};
use rsm_shared::stream::state::StreamState;
use rsm_shared::wire::messages::{Event, Owned, Priority, TicketReason, Want};
use rsm_shared::wire::ticket_queue::TicketQueue;

use super::plan::{self, Handoff, Lost, Placed, Told};
use super::roster::Roster;
use crate::store::assignments::{Assignment, Seen};

/// Placements younger than this may be newer than an answer that was asked for before them.
pub(super) const ANSWER_AGE: Duration = Duration::from_secs(5);
/// An owner that has not reported a stream for this long may be followed by another one of the same claim number.
const RIVAL_AFTER: Duration = Duration::from_secs(4);
/// Camera sessions that may have begun since the last heartbeat: one each second, at worst, until a worker is dead.
const DISCONTINUITY_SLACK: u64 = 5;

/// A placement and how it goes.
pub struct Tracked {
    pub assignment: Assignment,
    pub since: Instant,
    pub told: Told,
    /// Its sequence number in the queue of that priority.
    pub ticket: Option<(u64, Priority)>,
    pub tries: u32,
    pub tidy: bool,
    owner: Option<SessionId>,
    /// Of the owner's claim.
    revision: u64,
    owner_last_seen: Option<Instant>,
    owned_since: Option<Instant>,
    /// This process made the placement: what it knows of its owner is not from hearsay.
    ours: bool,
    handoff: Option<HandoffFrom>,
    recalled: Option<Instant>,
    /// When it was last moved from one worker to another; in the future when it is to stay for longer.
    pub moved: Option<Instant>,
    /// Largest epoch seen anywhere.
    seen: Epoch,
    /// Largest that any owner reported.
    pub media_sequence: u64,
    /// Largest that an owner reported; `None` when none was heard.
    discontinuity_sequence: Option<u64>,
}

/// The earlier owner of a stream that is being handed to another worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandoffFrom {
    pub session: SessionId,
    pub epoch: Epoch,
    /// Who shall have it, if that was said.
    pub to: Option<SessionId>,
    /// Why it moves.
    pub reason: TicketReason,
    pub since: Instant,
}

impl Tracked {
    /// Nothing is known of it yet.
    pub fn new(assignment: Assignment, told: Told, now: Instant) -> Self {
        Self {
            seen: assignment.epoch,
            assignment,
            since: now,
            told,
            ticket: None,
            tries: 0,
            tidy: false,
            owner: None,
            revision: 0,
            owner_last_seen: None,
            owned_since: None,
            ours: false,
            handoff: None,
            recalled: None,
            moved: None,
            media_sequence: 0,
            discontinuity_sequence: None,
        }
    }

    /// A newer placement of the same stream: what was seen of the older one stays. An earlier owner that goes on stays
    /// too, unless the placement is for other settings, or a stop.
    pub fn renew(&mut self, assignment: Assignment, now: Instant, tries: u32, keep_handoff: bool) {
        self.seen = self.seen.max(assignment.epoch);
        if !keep_handoff {
            self.handoff = None;
        }
        self.assignment = assignment;
        self.since = now;
        self.ticket = None;
        self.tries = tries;
        self.tidy = false;
        self.owner = None;
        self.revision = 0;
        self.owner_last_seen = None;
        self.owned_since = None;
        self.ours = true;
        self.recalled = None;
    }

    /// The placement was made to take the stream over from `from`, which goes on meanwhile.
    pub fn hand_off(&mut self, from: HandoffFrom) {
        self.moved = Some(from.since);
        self.handoff = Some(from);
    }

    /// It was moved in vain: it stays where it is for `rest`.
    pub fn stay(&mut self, now: Instant, rest: Duration) {
        self.moved = Some(now + rest);
    }

    /// The earlier owner has to let go now.
    pub fn end_handoff(&mut self) {
        self.handoff = None;
    }

    /// The earlier owner, while there is one.
    pub fn handed_from(&self) -> Option<&HandoffFrom> {
        self.handoff.as_ref()
    }

    /// Whether the placement was made by this process.
    pub fn is_ours(&self) -> bool {
        self.ours
    }

    /// Forgets an earlier owner that has gone, or has let go by itself.
    pub fn forget_gone(&mut self, roster: &Roster) {
        let slug = &self.assignment.slug;
        let goes_on = |from: &HandoffFrom| {
            let owned = roster.get(&from.session).and_then(|session| session.owned.get(slug));
            owned.is_some_and(|owned| owned.epoch == from.epoch)
        };
        self.handoff = self.handoff.take().filter(goes_on);
    }

    /// Its owner was asked to let it go.
    pub fn recall(&mut self, now: Instant) {
        self.recalled = Some(now);
    }

    /// The session that owns the newest placement, or owned it last, and since when.
    pub fn owner(&self) -> Option<(&SessionId, Instant)> {
        self.owner.as_ref().zip(self.owned_since)
    }

    /// What `session` has to let go of what it owns: every epoch up to the answer.
    pub fn to_drop(&self, session: &SessionId, owned: &Owned) -> Option<Epoch> {
        if self.handoff.as_ref().is_some_and(|from| from.session == *session && from.epoch == owned.epoch) {
            return None;
        }
        let newest = self.assignment.epoch;
        let another = self.owner.as_ref().is_some_and(|owner| owner != session) && owned.revision <= self.revision;
        if owned.epoch == newest && (self.recalled.is_some() || another) {
            return Some(newest);
        }
        plan::to_drop(owned.epoch, Some((newest, self.assignment.want)))
    }

    /// Takes in what an inventory says; whether the newest placement has a new owner by that.
    pub fn take_in(&mut self, session: &SessionId, owned: &Owned, detail: Option<&mut Event>, now: Instant) -> bool {
        self.seen = self.seen.max(owned.epoch);
        self.media_sequence = self.media_sequence.max(owned.media_sequence);
        self.discontinuity_sequence = self.discontinuity_sequence.max(Some(owned.discontinuity_sequence));
        // A state without the event that explains it: the event was lost, or is still on its way.
        if let Some(event) = detail
            && event.fence() == owned.fence()
            && event.state != owned.state
        {
            event.state = owned.state;
            event.reason = None;
        }
        // Our predecessor made the newest placement and may have been in the middle of a hand-off: who runs the stream
        // goes on until the new owner has pictures.
        let newer = self.handoff.as_ref().is_none_or(|from| from.epoch < owned.epoch);
        let between = owned.epoch < self.assignment.epoch && self.owner.is_none() && newer;
        if !self.ours && between && self.assignment.want == Want::Run {
            let (session, epoch, reason) = (session.clone(), owned.epoch, TicketReason::Drain);
            self.handoff = Some(HandoffFrom { session, epoch, to: None, reason, since: now });
        }
        // Of two owners of one epoch the later claim counts; the other is told to let go.
        if owned.epoch != self.assignment.epoch || owned.revision < self.revision || self.is_rival(session, owned, now)
        {
            return false;
        }
        self.revision = owned.revision;
        self.owner_last_seen = Some(now);
        self.tries = 0;
        let new = self.owner.as_ref() != Some(session);
        if new {
            self.owner = Some(session.clone());
            self.owned_since = Some(now);
        }
        new
    }

    /// Another session owns the same epoch by a claim of the same number: NATS was wiped between the two. Who was first
    /// stays.
    fn is_rival(&self, session: &SessionId, owned: &Owned, now: Instant) -> bool {
        let heard = self.owner_last_seen.is_some_and(|at| now.saturating_duration_since(at) < RIVAL_AFTER);
        owned.revision == self.revision && heard && self.owner.as_ref().is_some_and(|owner| owner != session)
    }

    /// Takes in a word of a session about the newest placement: it is earlier than the next inventory.
    pub fn take_in_event(&mut self, event: &Event, now: Instant) {
        if event.epoch == self.assignment.epoch && event.revision > self.revision {
            self.revision = event.revision;
            self.owner = Some(event.session.clone());
            self.owner_last_seen = Some(now);
            self.owned_since = Some(now);
        }
    }

    /// A queue has handed out all tickets up to `last`. The time in which a taken ticket must lead to an owner begins
    /// when it was taken: under load it may have waited long.
    /// One that the queue neither handed out nor holds is gone, by an operator's hand or a lost store.
    pub fn note_queue(&mut self, zone: &Zone, priority: Priority, queue: TicketQueue, now: Instant) {
        let Some((sequence, _)) = self.ticket.filter(|(_, of)| *of == priority) else { return };
        let taken = sequence <= queue.delivered;
        let gone = !taken && queue.waiting == 0 && now.saturating_duration_since(self.since) > ANSWER_AGE;
        if gone && matches!(self.told, Told::Queued { .. }) && self.assignment.zone == *zone {
            self.told = Told::Failed;
        }
        if taken && matches!(self.told, Told::Queued { .. }) && self.assignment.zone == *zone {
            self.told = Told::Taken;
            self.since = now;
        }
    }

    /// What the next placement must go beyond. What happened since the last heartbeat is not known: some room is left.
    pub fn seen(&self) -> Seen {
        Seen {
            epoch: Some(self.seen),
            discontinuity: self.discontinuity_sequence.map_or(0, |last| last + DISCONTINUITY_SLACK),
        }
    }

    /// The newest placement with the largest epoch that was seen anywhere: a stop of it is one of all before.
    pub fn all_so_far(&self) -> Assignment {
        Assignment { epoch: self.seen, ..self.assignment.clone() }
    }

    /// The placement as the planner sees it.
    pub fn placed(&self, roster: &Roster, now: Instant) -> Placed {
        let lost = match (&self.owner, self.owner_last_seen) {
            (Some(owner), Some(seen)) if roster.get(owner).is_some() => {
                Lost::OwnerSilent(now.saturating_duration_since(seen))
            }
            (Some(_), seen) => Lost::OwnerGone(seen.map_or(Duration::MAX, |seen| now.saturating_duration_since(seen))),
            (None, _) => Lost::NeverOwned,
        };
        Placed {
            epoch: self.assignment.epoch,
            want: self.assignment.want,
            spec_rev: self.assignment.spec_rev,
            told: self.told,
            age: now.saturating_duration_since(self.since),
            tidy: self.tidy,
            tries: self.tries,
            lost,
            handoff: self.handoff_stands(roster, now),
            recalled: self.recalled.map(|at| now.saturating_duration_since(at)),
        }
    }

    /// `None` also once the earlier owner is gone or has let go by itself.
    fn handoff_stands(&self, roster: &Roster, now: Instant) -> Option<Handoff> {
        let from = self.handoff.as_ref()?;
        let slug = &self.assignment.slug;
        let old = roster.get(&from.session)?.owned.get(slug).filter(|owned| owned.epoch == from.epoch)?;
        let new = self.owner.as_ref().and_then(|owner| roster.get(owner)?.owned.get(slug));
        let Some(new) = new.filter(|new| new.epoch == self.assignment.epoch) else {
            return Some(Handoff::Waiting(Duration::ZERO));
        };
        let runs = new.state == StreamState::Running;
        let age = self.owned_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        Some(if old.state != StreamState::Running || (runs && new.ready) {
            Handoff::Over
        } else if !runs && from.reason == TicketReason::Rebalance {
            Handoff::InVain(age)
        } else {
            Handoff::Waiting(age)
        })
    }

    /// Whether NATS must hold its desired record, as of an answer at most `age` old.
    pub fn is_told_before(&self, now: Instant, age: Duration) -> bool {
        matches!(self.told, Told::Queued { .. } | Told::Taken) && now.saturating_duration_since(self.since) > age
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_shared::stream::slug::Slug;

    fn tracked(start: Instant) -> Tracked {
        let assignment = Assignment {
            slug: Slug::parse("yard").unwrap(),
            zone: Zone::default_zone(),
            epoch: Epoch(1),
            want: Want::Run,
            spec_rev: 1,
            discontinuity: 0,
        };
        let mut tracked = Tracked::new(assignment, Told::Queued { urgent: true }, start);
        tracked.ticket = Some((7, Priority::Hi));
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
            tracked.note_queue(
                zone,
                priority,
                TicketQueue { delivered: last, waiting: 1, ..TicketQueue::default() },
                later,
            );
            assert_eq!(tracked.told, Told::Queued { urgent: true });
        }
        tracked.note_queue(&zone, Priority::Hi, TicketQueue { delivered: 7, ..TicketQueue::default() }, later);
        let placed = tracked.placed(&Roster::default(), later);
        assert_eq!((placed.told, placed.age), (Told::Taken, Duration::ZERO));
    }

    #[test]
    fn a_ticket_that_is_nowhere_is_noticed() {
        let (start, zone) = (Instant::now(), Zone::default_zone());
        let mut tracked = tracked(start);
        let empty = TicketQueue { delivered: 6, ..TicketQueue::default() };
        tracked.note_queue(&zone, Priority::Hi, empty, start + Duration::from_secs(1));
        assert_eq!(tracked.told, Told::Queued { urgent: true }, "the answer may be older than the ticket");
        tracked.note_queue(&zone, Priority::Hi, empty, start + Duration::from_secs(6));
        assert_eq!(tracked.told, Told::Failed);
    }
}
