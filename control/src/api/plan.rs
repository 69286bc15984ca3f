//! What to do about one stream, decided from what should be and what is. Pure: no clock, no I/O.

use std::time::Duration;

use rsm_shared::stream::fence::Epoch;
use rsm_shared::wire::messages::{TicketReason, Want};

/// A ticket that led to nothing is replaced after this long, doubled with each try.
const RETRY_FIRST: Duration = Duration::from_secs(6);
/// And not later than this.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// A ticket that waits this long, while workers have room, is replaced, doubled with each try: whatever keeps it, a new
/// one is handed out by itself. Longer than a full worker takes to start all that it may, so that queues keep their
/// order.
const WAITED_LONG: Duration = Duration::from_secs(300);
/// And not later than this.
const WAITED_LONGEST: Duration = Duration::from_secs(1200);
/// A command that NATS did not take is tried again after this long.
pub const TELL_AGAIN: Duration = Duration::from_secs(1);
/// A live worker that owned a stream and stopped reporting it has lost it after this long: longer than the way from
/// a claim to the next heartbeat.
const ADOPT_GRACE: Duration = Duration::from_secs(4);
/// Claims of a stopped stream are removed after this long: a claim that was under way is then written, seen to be
/// out of date, and covered.
const TIDY_AFTER: Duration = Duration::from_secs(6);
/// An old owner goes on for this long at most while a new one has no picture yet.
const HANDOFF_MAX: Duration = Duration::from_secs(15);
/// A worker that was asked to let a stream go, and did not, is asked again after this long.
const RECALL_AGAIN: Duration = Duration::from_secs(2);
/// A worker that has let a stream go tells so at once, but its camera session takes a moment to end.
const CAMERA_REST: Duration = Duration::from_secs(2);
/// What is left of a removed link is forgotten after this long.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// What is known of one stream. Durations are ages by this process's monotonic clock.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The link exists; `false` for what is left of a removed one.
    pub registered: bool,
    /// It should run now.
    pub wanted: bool,
    /// The link's revision; a placement of another one is out of date.
    pub spec_rev: i64,
    pub placement: Option<Placed>,
    /// A live worker owns the newest placement.
    pub owned: bool,
    /// The largest epoch under which a live worker owns this stream.
    pub held: Option<Epoch>,
    /// Somebody waits for a picture.
    pub urgent: bool,
    /// A ticket waits, and live workers of its zone have room.
    pub room: bool,
    /// Silence of a worker can be told from our own deafness.
    pub settled: bool,
    /// It is suspected of ending its workers and must not start now.
    pub held_back: bool,
    /// The camera serves one session only: never two owners at a time.
    pub exclusive: bool,
    /// It is to move to another worker, for this reason.
    pub moves: Option<TicketReason>,
}

/// The newest placement of a stream.
#[derive(Clone, Debug)]
pub struct Placed {
    pub epoch: Epoch,
    pub want: Want,
    pub spec_rev: i64,
    /// How the command stands.
    pub told: Told,
    /// Since it was committed, or since this process began.
    pub age: Duration,
    /// Its old claims are removed.
    pub tidy: bool,
    /// Tickets of this start that led to nothing so far.
    pub tries: u32,
    /// Who owned it last.
    pub lost: Lost,
    /// An earlier owner goes on until this placement has pictures.
    pub handoff: Option<Handoff>,
    /// Its owner was asked to let it go, this long ago.
    pub recalled: Option<Duration>,
}

/// How a hand-off stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handoff {
    /// The new owner has had it for this long and has nothing to show yet; zero while there is none.
    Waiting(Duration),
    /// The same, and it has no picture from the camera at all, while the earlier owner need not leave.
    InVain(Duration),
    /// The new owner has pictures, or the old one has none to lose.
    Over,
}

/// How the command of a placement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing was sent by this process: it began after the placement, or NATS was wiped.
    Never,
    /// NATS did not take it.
    Failed,
    /// A ticket waits in the queue, as far as is known; it may be the queue for those that nobody waits for.
    Queued { urgent: bool },
    /// A worker took the ticket, or a stop was sent.
    Taken,
}

/// Whether the newest placement had an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Nobody was seen to own it.
    NeverOwned,
    /// Its owner is dead or said goodbye; it was last heard of with it this long ago.
    OwnerGone(Duration),
    /// Its owner lives and has not reported it for this long.
    OwnerSilent(Duration),
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Nothing,
    /// New epoch, desired record, ticket.
    Place(TicketReason),
    /// New epoch, desired record, fast stop, ticket taken back.
    Halt,
    /// The desired record of the newest placement again; nothing restarts.
    Rewrite,
    /// The stop of the newest placement again.
    HaltAgain,
    /// The earlier owner lets go: the new one has pictures.
    EndHandoff,
    /// The new owner gets no picture and the earlier one has them: back to that one.
    Undo,
    /// Its owner lets go before another one begins.
    Recall,
    /// Remove claims that no longer count.
    Tidy,
    /// Remove the last traces of a removed link.
    Forget,
}

impl Step {
    /// What goes first when not everything can: 0 what somebody waits for, 2 what nobody notices.
    pub fn class(self, urgent: bool) -> u8 {
        match self {
            Self::Nothing | Self::Halt | Self::EndHandoff | Self::Recall => 0,
            Self::Place(_) if urgent => 0,
            Self::Place(_) | Self::Undo | Self::Rewrite => 1,
            Self::HaltAgain | Self::Tidy | Self::Forget => 2,
        }
    }
}

/// Decides.
pub fn step(facts: &Facts) -> Step {
    if facts.wanted { towards_running(facts) } else { towards_stopped(facts) }
}

fn towards_running(facts: &Facts) -> Step {
    if facts.held_back && !facts.owned {
        return Step::Nothing;
    }
    let Some(placed) = facts.placement.as_ref().filter(|p| p.want == Want::Run) else {
        // A stop is under way: the answer to a heartbeat repeats it.
        let runs = facts.exclusive && facts.held.is_some();
        return if runs { Step::Nothing } else { Step::Place(TicketReason::Start) };
    };
    if placed.spec_rev != facts.spec_rev {
        return match placed.recalled {
            Some(age) if facts.exclusive && facts.held.is_some() && age < RECALL_AGAIN => Step::Nothing,
            _ if facts.exclusive && facts.held.is_some() => Step::Recall,
            _ => Step::Place(TicketReason::Change),
        };
    }
    if facts.owned { owned(facts, placed) } else { ownerless(facts, placed) }
}

fn owned(facts: &Facts, placed: &Placed) -> Step {
    if matches!(placed.told, Told::Never | Told::Failed) {
        return Step::Rewrite;
    }
    match (placed.handoff, facts.moves) {
        (Some(Handoff::Over), _) => Step::EndHandoff,
        (Some(Handoff::Waiting(age)), _) if age >= HANDOFF_MAX => Step::EndHandoff,
        (Some(Handoff::InVain(age)), _) if age >= HANDOFF_MAX => Step::Undo,
        (Some(Handoff::Waiting(_) | Handoff::InVain(_)), _) => Step::Nothing,
        (None, Some(_)) if facts.exclusive => match placed.recalled {
            Some(age) if age < RECALL_AGAIN => Step::Nothing,
            _ => Step::Recall,
        },
        (None, Some(reason)) => Step::Place(reason),
        (None, None) if !placed.tidy => Step::Tidy,
        (None, None) => Step::Nothing,
    }
}

fn ownerless(facts: &Facts, placed: &Placed) -> Step {
    match placed.lost {
        // Before the failure detector has settled nobody is declared lost; an owner may just not have been heard yet.
        _ if !facts.settled && placed.told == Told::Never => Step::Nothing,
        Lost::OwnerSilent(age) if placed.recalled.is_some() && age >= CAMERA_REST => Step::Place(TicketReason::Drain),
        // One that left in order may still be closing its camera session.
        Lost::OwnerGone(age) if facts.exclusive && age < CAMERA_REST => Step::Nothing,
        Lost::OwnerGone(_) if facts.settled => Step::Place(TicketReason::Failover),
        Lost::OwnerSilent(age) if facts.settled && age >= ADOPT_GRACE => Step::Place(TicketReason::Failover),
        Lost::OwnerGone(_) | Lost::OwnerSilent(_) => Step::Nothing,
        Lost::NeverOwned => match placed.told {
            Told::Never => Step::Place(TicketReason::Retry),
            Told::Failed if placed.age >= TELL_AGAIN => Step::Place(TicketReason::Retry),
            // Somebody came to wait for it: it must not stay behind those that nobody waits for.
            Told::Queued { urgent: false } if facts.urgent => Step::Place(TicketReason::Start),
            // The earlier owner goes on counting segments: a ticket that waits long names numbers that are used.
            Told::Queued { .. }
                if placed.handoff.is_some() && placed.age >= HANDOFF_MAX.max(retry_after(placed.tries)) =>
            {
                Step::Place(TicketReason::Retry)
            }
            Told::Queued { .. } if facts.room && placed.age >= doubled(WAITED_LONG, placed.tries, WAITED_LONGEST) => {
                Step::Place(TicketReason::Retry)
            }
            Told::Taken if facts.settled && placed.age >= retry_after(placed.tries) => Step::Place(TicketReason::Retry),
            Told::Failed | Told::Queued { .. } | Told::Taken => Step::Nothing,
        },
    }
}

fn towards_stopped(facts: &Facts) -> Step {
    let Some(placed) = &facts.placement else { return Step::Nothing };
    if placed.want == Want::Run {
        return Step::Halt;
    }
    // Our database was an old copy when it said stop: the stop has to be newer than what runs.
    if facts.held.is_some_and(|held| held > placed.epoch) {
        return Step::Halt;
    }
    match placed.told {
        // A stop that an earlier process sent, or that a wiped NATS forgot: no record means the same as a stop, and
        // heartbeats are answered with what to drop.
        Told::Never | Told::Queued { .. } | Told::Taken => {}
        Told::Failed if placed.age >= TELL_AGAIN => return Step::HaltAgain,
        Told::Failed => return Step::Nothing,
    }
    if facts.held.is_some() {
        return Step::Nothing;
    }
    if !placed.tidy && placed.age >= TIDY_AFTER {
        return Step::Tidy;
    }
    if !facts.registered && placed.tidy && placed.age >= FORGET_AFTER {
        return Step::Forget;
    }
    Step::Nothing
}

/// How long a ticket may have been taken without an owner showing up.
fn retry_after(tries: u32) -> Duration {
    doubled(RETRY_FIRST, tries, RETRY_MAX)
}

fn doubled(first: Duration, tries: u32, longest: Duration) -> Duration {
    first.saturating_mul(1 << tries.min(8)).min(longest)
}

/// Whether a stream should run. `unwanted_for` is the time since anybody wanted it, through this process; a
/// restarted process knows of nobody and gives viewers `idle_timeout` from its beginning to come back.
pub fn wanted(
    enabled: bool,
    always_on: bool,
    demanded: bool,
    placed_running: bool,
    unwanted_for: Duration,
    idle_timeout: Duration,
) -> bool {
    enabled && (always_on || demanded || (placed_running && unwanted_for < idle_timeout))
}

/// What a worker must let go of a stream that it owns under `owned`: every epoch up to the answer.
pub fn to_drop(owned: Epoch, newest: Option<(Epoch, Want)>) -> Option<Epoch> {
    match newest {
        // Not ours: removed, or never there.
        None => Some(owned),
        Some((epoch, Want::Stop)) if owned <= epoch => Some(epoch),
        Some((epoch, Want::Run)) if owned < epoch => Some(Epoch(epoch.0 - 1)),
        // Newer than the newest: our database is an old copy. The next placement goes above it.
        Some(_) => None,
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
