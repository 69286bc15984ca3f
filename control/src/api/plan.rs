//! The next step of one stream, decided from its intended and its actual state.

use std::time::Duration;

use rsm_model::stream::fence::Epoch;
use rsm_model::wire::messages::{TicketReason, Want};

/// A ticket that was taken and led to no owner is replaced after this long, doubled with each try.
const RETRY_FIRST: Duration = Duration::from_secs(6);
/// Longest such wait.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// A ticket that waits this long, while workers have room, is replaced, doubled with each try: the server may have lost
/// its place, and hands out a new one. The bound is longer than one worker takes to start as many streams as its
/// capacity allows, so that a long queue keeps its order.
const WAITED_LONG: Duration = Duration::from_secs(300);
/// Longest such wait.
const WAITED_LONGEST: Duration = Duration::from_secs(1200);
/// A command that NATS did not take is sent again after this long.
pub const RESEND_AFTER: Duration = Duration::from_secs(1);
/// A live worker that owned a stream and stopped reporting it has lost it after this long: longer than the way from
/// a claim to the next heartbeat.
const ADOPT_GRACE: Duration = Duration::from_secs(4);
/// Claims of a stopped stream are removed after this long: a claim that was under way is then written, and its worker
/// has seen that it is out of date.
const TIDY_AFTER: Duration = Duration::from_secs(6);
/// An earlier owner goes on for this long at most while the new one has no picture yet.
const HANDOFF_MAX: Duration = Duration::from_secs(15);
/// A worker that was asked to release a stream, and did not, is asked again after this long.
const RECALL_AGAIN: Duration = Duration::from_secs(2);
/// The heartbeats of a worker that released a stream no longer list it, while its camera session may still be closing:
/// the camera is left alone for this long.
const CAMERA_REST: Duration = Duration::from_secs(2);
/// The records of a removed link are forgotten after this long.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// StreamFacts of one stream. Durations are ages by this process's monotonic clock.
#[derive(Clone, Debug)]
pub struct StreamFacts {
    /// The link exists; `false` for a removed one.
    pub registered: bool,
    /// It should run now.
    pub wanted: bool,
    /// Revision of the link; a placement of another one is out of date.
    pub spec_rev: i64,
    pub placement: Option<PlacementFacts>,
    /// A live worker owns the newest placement.
    pub owned: bool,
    /// The largest epoch under which a live worker owns this stream.
    pub owned_epoch: Option<Epoch>,
    /// A viewer waits for a picture.
    pub urgent: bool,
    /// A ticket waits, and live workers of its zone have room.
    pub has_room: bool,
    /// The failure detector has settled: silence of a worker means something.
    pub settled: bool,
    /// It is suspected of ending its workers and must not start now.
    pub held_back: bool,
    /// The camera serves one session only: never two owners at a time.
    pub exclusive: bool,
    /// It is to move to another worker, for this reason.
    pub move_reason: Option<TicketReason>,
}

/// The newest placement of a stream.
#[derive(Clone, Debug)]
pub struct PlacementFacts {
    pub epoch: Epoch,
    pub want: Want,
    pub spec_rev: i64,
    pub delivery: DeliveryState,
    /// Time since it was committed, taken from its queue, or found at the start of this process.
    pub age: Duration,
    /// The claims of earlier placements are removed.
    pub tidy: bool,
    /// Tickets of this start that led to nothing so far.
    pub tries: u32,
    pub ownership: Ownership,
    /// An earlier owner goes on until this placement has pictures.
    pub handoff: Option<HandoffProgress>,
    /// Time since its owner was asked to release it.
    pub recalled: Option<Duration>,
}

/// Progress of a hand-off from an earlier owner to a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandoffProgress {
    /// The new owner has had the stream for this long and has nothing to show yet; zero while there is no new owner.
    Waiting(Duration),
    /// The same, and the camera sends it no picture at all, while the earlier owner need not leave.
    NoPicture(Duration),
    /// The new owner has pictures, or the earlier one has none to lose.
    Complete,
}

/// The progress of the command of a placement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// This process has sent nothing: it began after the placement, or NATS was wiped.
    Unsent,
    /// NATS did not take it.
    Failed,
    /// A ticket waits in a queue, as far as is known; `urgent` when that is the queue for streams that viewers wait
    /// for.
    Queued { urgent: bool },
    /// A worker took the ticket, or NATS took the stop.
    Delivered,
}

/// The last owner of the newest placement, when no live worker reports to own it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// No worker was seen to own it.
    NeverOwned,
    /// Its owner is dead or said goodbye; it last reported the stream this long ago.
    OwnerGone(Duration),
    /// Its owner is alive and has not reported the stream for this long.
    OwnerSilent(Duration),
}

/// The next step of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Nothing,
    /// Commit an epoch, write the desired record, publish a ticket.
    Place(TicketReason),
    /// Commit an epoch that says stop, write the desired record, publish the fast stop, purge the ticket.
    Halt,
    /// Write the desired record of the newest placement again; nothing restarts.
    Rewrite,
    /// Send the stop of the newest placement again.
    HaltAgain,
    /// The earlier owner releases the stream: the new one has pictures.
    EndHandoff,
    /// Place the stream with the earlier owner, which has pictures, as the new one gets none.
    Revert,
    /// The owner releases the stream before another one begins.
    Recall,
    /// Remove claims that no longer count.
    Tidy,
    /// Remove the last records of a removed link.
    Forget,
}

impl Step {
    /// The order in which steps begin when not all can: 0 for those that viewers wait for, 2 for those that no viewer
    /// notices.
    pub fn class(self, urgent: bool) -> u8 {
        match self {
            Self::Nothing | Self::Halt | Self::EndHandoff | Self::Recall => 0,
            Self::Place(_) if urgent => 0,
            Self::Place(_) | Self::Revert => 1,
            // After a restart every record is to be written: starts and failovers do not wait for that.
            Self::Rewrite | Self::HaltAgain | Self::Tidy | Self::Forget => 2,
        }
    }
}

/// Decides the next step.
pub fn step(facts: &StreamFacts) -> Step {
    if facts.wanted { towards_running(facts) } else { towards_stopped(facts) }
}

fn towards_running(facts: &StreamFacts) -> Step {
    if facts.held_back && !facts.owned {
        return Step::Nothing;
    }
    let Some(placed) = facts.placement.as_ref().filter(|p| p.want == Want::Run) else {
        // A stop is under way: the answer to a heartbeat repeats it.
        let runs = facts.exclusive && facts.owned_epoch.is_some();
        return if runs { Step::Nothing } else { Step::Place(TicketReason::Start) };
    };
    if placed.spec_rev != facts.spec_rev {
        return match placed.recalled {
            Some(age) if facts.exclusive && facts.owned_epoch.is_some() && age < RECALL_AGAIN => Step::Nothing,
            _ if facts.exclusive && facts.owned_epoch.is_some() => Step::Recall,
            _ => Step::Place(TicketReason::Change),
        };
    }
    if facts.owned { with_owner(facts, placed) } else { without_owner(facts, placed) }
}

fn with_owner(facts: &StreamFacts, placed: &PlacementFacts) -> Step {
    if matches!(placed.delivery, DeliveryState::Unsent | DeliveryState::Failed) {
        return Step::Rewrite;
    }
    match (placed.handoff, facts.move_reason) {
        (Some(HandoffProgress::Complete), _) => Step::EndHandoff,
        (Some(HandoffProgress::Waiting(age)), _) if age >= HANDOFF_MAX => Step::EndHandoff,
        (Some(HandoffProgress::NoPicture(age)), _) if age >= HANDOFF_MAX => Step::Revert,
        (Some(HandoffProgress::Waiting(_) | HandoffProgress::NoPicture(_)), _) => Step::Nothing,
        (None, Some(_)) if facts.exclusive => match placed.recalled {
            Some(age) if age < RECALL_AGAIN => Step::Nothing,
            _ => Step::Recall,
        },
        (None, Some(reason)) => Step::Place(reason),
        (None, None) if !placed.tidy => Step::Tidy,
        (None, None) => Step::Nothing,
    }
}

fn without_owner(facts: &StreamFacts, placed: &PlacementFacts) -> Step {
    match placed.ownership {
        // Before the failure detector has settled no owner is declared lost: it may not have been heard yet.
        _ if !facts.settled && placed.delivery == DeliveryState::Unsent => Step::Nothing,
        Ownership::OwnerSilent(age) if placed.recalled.is_some() && age >= CAMERA_REST => {
            Step::Place(TicketReason::Drain)
        }
        // An owner that left in order may still be closing its camera session.
        Ownership::OwnerGone(age) if facts.exclusive && age < CAMERA_REST => Step::Nothing,
        Ownership::OwnerGone(_) if facts.settled => Step::Place(TicketReason::Failover),
        Ownership::OwnerSilent(age) if facts.settled && age >= ADOPT_GRACE => Step::Place(TicketReason::Failover),
        Ownership::OwnerGone(_) | Ownership::OwnerSilent(_) => Step::Nothing,
        Ownership::NeverOwned => match placed.delivery {
            DeliveryState::Unsent => Step::Place(TicketReason::Retry),
            DeliveryState::Failed if placed.age >= RESEND_AFTER => Step::Place(TicketReason::Retry),
            // A viewer has come: the ticket must not stay behind those of streams without viewers.
            DeliveryState::Queued { urgent: false } if facts.urgent => Step::Place(TicketReason::Start),
            // The earlier owner goes on counting segments: the numbers in a ticket that waits long are used up.
            DeliveryState::Queued { .. }
                if placed.handoff.is_some() && placed.age >= HANDOFF_MAX.max(retry_after(placed.tries)) =>
            {
                Step::Place(TicketReason::Retry)
            }
            DeliveryState::Queued { .. }
                if facts.has_room && placed.age >= doubled(WAITED_LONG, placed.tries, WAITED_LONGEST) =>
            {
                Step::Place(TicketReason::Retry)
            }
            DeliveryState::Delivered if facts.settled && placed.age >= retry_after(placed.tries) => {
                Step::Place(TicketReason::Retry)
            }
            DeliveryState::Failed | DeliveryState::Queued { .. } | DeliveryState::Delivered => Step::Nothing,
        },
    }
}

fn towards_stopped(facts: &StreamFacts) -> Step {
    let Some(placed) = &facts.placement else { return Step::Nothing };
    if placed.want == Want::Run {
        return Step::Halt;
    }
    // The database was an old copy when it said stop: the stop has to be newer than the running placement.
    if facts.owned_epoch.is_some_and(|owned| owned > placed.epoch) {
        return Step::Halt;
    }
    match placed.delivery {
        // An earlier process sent the stop, or a wiped NATS forgot it. No record means the same as a stop, and the answer
        // to a heartbeat names the streams that must be released.
        DeliveryState::Unsent | DeliveryState::Queued { .. } | DeliveryState::Delivered => {}
        DeliveryState::Failed if placed.age >= RESEND_AFTER => return Step::HaltAgain,
        DeliveryState::Failed => return Step::Nothing,
    }
    if facts.owned_epoch.is_some() {
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

/// Time after which the step may be another one although nothing but time has changed; `None` when only news change it. It
/// may name a moment too early, never one too late.
pub fn next_look(facts: &StreamFacts) -> Option<Duration> {
    let placed = facts.placement.as_ref()?;
    let at_rest = placed.delivery == DeliveryState::Delivered && placed.tidy && placed.recalled.is_none();
    let runs = facts.wanted && facts.owned && placed.handoff.is_none();
    let stopped = !facts.wanted && facts.registered && placed.want == Want::Stop;
    if at_rest && (runs || stopped) {
        return None;
    }
    let bounds = [
        RESEND_AFTER,
        TIDY_AFTER,
        FORGET_AFTER,
        HANDOFF_MAX,
        retry_after(placed.tries),
        doubled(WAITED_LONG, placed.tries, WAITED_LONGEST),
    ];
    let since_owner = match placed.ownership {
        Ownership::NeverOwned => None,
        Ownership::OwnerGone(age) | Ownership::OwnerSilent(age) => Some(age),
    };
    let handoff = match placed.handoff {
        Some(HandoffProgress::Waiting(age) | HandoffProgress::NoPicture(age)) => Some(age),
        Some(HandoffProgress::Complete) | None => None,
    };
    let of_placement = bounds.into_iter().map(|bound| (Some(placed.age), bound));
    let others = [
        (since_owner, CAMERA_REST),
        (since_owner, ADOPT_GRACE),
        (handoff, HANDOFF_MAX),
        (placed.recalled, RECALL_AGAIN),
    ];
    of_placement.chain(others).filter_map(|(age, bound)| bound.checked_sub(age?)).filter(|left| !left.is_zero()).min()
}

/// Longest time from a ticket being taken to an owner reporting the stream.
fn retry_after(tries: u32) -> Duration {
    doubled(RETRY_FIRST, tries, RETRY_MAX)
}

fn doubled(first: Duration, tries: u32, longest: Duration) -> Duration {
    first.saturating_mul(1 << tries.min(8)).min(longest)
}

/// Returns whether a stream should run. `unwanted_for` is the time since this process saw a viewer of it; a restarted
/// process has seen none, and gives viewers `idle_timeout` from its start to come back.
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

/// The epoch up to which a worker has to release a stream that it owns under `owned`; `newest` is the newest placement.
pub fn to_release(owned: Epoch, newest: Option<(Epoch, Want)>) -> Option<Epoch> {
    match newest {
        // The stream was removed, or never existed.
        None => Some(owned),
        Some((epoch, Want::Stop)) if owned <= epoch => Some(epoch),
        Some((epoch, Want::Run)) if owned < epoch => Some(Epoch(epoch.0 - 1)),
        // Newer than the newest placement: the database is an old copy. The next placement goes above it.
        Some(_) => None,
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
