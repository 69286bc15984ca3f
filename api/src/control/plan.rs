//! What to do about one stream, decided from what should be and what is. Pure: no clock, no I/O.

use std::time::Duration;

use rsm_shared::stream::fence::Epoch;
use rsm_shared::wire::messages::{TicketReason, Want};

/// A ticket that led to nothing is replaced after this long, doubled with each try.
const RETRY_FIRST: Duration = Duration::from_secs(6);
/// And not later than this.
const RETRY_MAX: Duration = Duration::from_secs(60);
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
    RETRY_FIRST.saturating_mul(1 << tries.min(8)).min(RETRY_MAX)
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn placed() -> Placed {
        Placed {
            epoch: Epoch(5),
            want: Want::Run,
            spec_rev: 1,
            told: Told::Taken,
            age: S(1),
            tidy: true,
            tries: 0,
            lost: Lost::NeverOwned,
            handoff: None,
            recalled: None,
        }
    }

    fn facts(wanted: bool, placement: Option<Placed>) -> Facts {
        Facts {
            registered: true,
            wanted,
            spec_rev: 1,
            placement,
            owned: false,
            held: None,
            urgent: false,
            settled: true,
            held_back: false,
            exclusive: false,
            moves: None,
        }
    }

    #[test]
    fn starts_what_is_wanted_and_stops_what_is_not() {
        let stopped = Placed { want: Want::Stop, ..placed() };
        assert_eq!(step(&facts(true, None)), Step::Place(TicketReason::Start));
        assert_eq!(step(&facts(true, Some(stopped.clone()))), Step::Place(TicketReason::Start));
        assert_eq!(step(&facts(false, Some(placed()))), Step::Halt);
        assert_eq!(step(&facts(false, None)), Step::Nothing);
        assert_eq!(step(&facts(false, Some(stopped))), Step::Nothing);
    }

    #[test]
    fn a_user_start_never_waits_for_the_failure_detector() {
        let boot = Facts { settled: false, ..facts(true, None) };
        assert_eq!(step(&boot), Step::Place(TicketReason::Start));
        let changed = Facts { settled: false, spec_rev: 2, ..facts(true, Some(placed())) };
        assert_eq!(step(&changed), Step::Place(TicketReason::Change));
    }

    #[test]
    fn leaves_a_running_stream_alone_and_rewrites_its_record_after_a_wipe() {
        let running = Facts { owned: true, held: Some(Epoch(5)), ..facts(true, Some(placed())) };
        assert_eq!(step(&running), Step::Nothing);
        let wiped = Placed { told: Told::Never, ..placed() };
        assert_eq!(step(&Facts { placement: Some(wiped), ..running }), Step::Rewrite);
    }

    #[test]
    fn a_ticket_is_replaced_only_once_it_was_taken_and_came_to_nothing() {
        for (told, age, tries, want) in [
            (Told::Queued { urgent: true }, 3600, 0, Step::Nothing),
            (Told::Taken, 5, 0, Step::Nothing),
            (Told::Taken, 6, 0, Step::Place(TicketReason::Retry)),
            (Told::Taken, 6, 1, Step::Nothing),
            (Told::Taken, 12, 1, Step::Place(TicketReason::Retry)),
            (Told::Taken, 59, 30, Step::Nothing),
            (Told::Taken, 60, 30, Step::Place(TicketReason::Retry)),
            (Told::Failed, 0, 0, Step::Nothing),
            (Told::Failed, 1, 0, Step::Place(TicketReason::Retry)),
        ] {
            let stands = Placed { told, age: S(age), tries, ..placed() };
            assert_eq!(step(&facts(true, Some(stands))), want, "{told:?} {age} s, {tries} tries");
        }
    }

    #[test]
    fn a_viewer_does_not_wait_behind_streams_that_nobody_watches() {
        let queued = |urgent| Some(Placed { told: Told::Queued { urgent }, ..placed() });
        let waits = |placement| Facts { urgent: true, ..facts(true, placement) };
        assert_eq!(step(&waits(queued(false))), Step::Place(TicketReason::Start));
        assert_eq!(step(&waits(queued(true))), Step::Nothing);
        assert_eq!(step(&facts(true, queued(false))), Step::Nothing);
    }

    #[test]
    fn failover_waits_until_silence_means_something() {
        for (lost, settled, want) in [
            (Lost::OwnerGone(S(1)), true, Step::Place(TicketReason::Failover)),
            (Lost::OwnerGone(S(1)), false, Step::Nothing),
            (Lost::OwnerSilent(S(3)), true, Step::Nothing),
            (Lost::OwnerSilent(S(4)), true, Step::Place(TicketReason::Failover)),
            (Lost::OwnerSilent(S(9)), false, Step::Nothing),
        ] {
            let stands = Facts { settled, ..facts(true, Some(Placed { lost, ..placed() })) };
            assert_eq!(step(&stands), want, "{lost:?}, settled {settled}");
        }
        let after_boot = Placed { told: Told::Never, ..placed() };
        assert_eq!(step(&Facts { settled: false, ..facts(true, Some(after_boot.clone())) }), Step::Nothing);
        assert_eq!(step(&facts(true, Some(after_boot))), Step::Place(TicketReason::Retry));
    }

    #[test]
    fn a_move_makes_the_new_owner_before_it_breaks_with_the_old_one() {
        let running = Facts { owned: true, held: Some(Epoch(5)), ..facts(true, Some(placed())) };
        let moving = Facts { moves: Some(TicketReason::Drain), ..running.clone() };
        assert_eq!(step(&moving), Step::Place(TicketReason::Drain));
        for (handoff, want) in [
            (Handoff::Waiting(S(0)), Step::Nothing),
            (Handoff::Waiting(S(14)), Step::Nothing),
            (Handoff::Waiting(S(15)), Step::EndHandoff),
            (Handoff::InVain(S(14)), Step::Nothing),
            (Handoff::InVain(S(15)), Step::Undo),
            (Handoff::Over, Step::EndHandoff),
        ] {
            let placement = Some(Placed { handoff: Some(handoff), ..placed() });
            assert_eq!(step(&Facts { placement: placement.clone(), ..running.clone() }), want, "{handoff:?}");
            let nobody_yet = facts(true, placement);
            assert_eq!(step(&nobody_yet), Step::Nothing, "the old owner goes on: {handoff:?}");
            let queued = |age| {
                let told = Told::Queued { urgent: true };
                Some(Placed { handoff: Some(handoff), told, age: S(age), ..placed() })
            };
            assert_eq!(step(&facts(true, queued(14))), Step::Nothing);
            assert_eq!(step(&facts(true, queued(15))), Step::Place(TicketReason::Retry));
        }
    }

    #[test]
    fn an_exclusive_camera_is_let_go_before_it_is_placed_again() {
        let running = Facts {
            owned: true,
            held: Some(Epoch(5)),
            exclusive: true,
            moves: Some(TicketReason::Drain),
            ..facts(true, Some(placed()))
        };
        assert_eq!(step(&running), Step::Recall);
        let recalled = |age| Some(Placed { recalled: Some(age), lost: Lost::OwnerSilent(age), ..placed() });
        assert_eq!(step(&Facts { placement: recalled(S(1)), ..running.clone() }), Step::Nothing);
        assert_eq!(step(&Facts { placement: recalled(S(2)), ..running.clone() }), Step::Recall);
        assert_eq!(
            step(&Facts { owned: false, placement: recalled(S(1)), ..running.clone() }),
            Step::Nothing,
            "its camera session may not have ended"
        );
        assert_eq!(
            step(&Facts { owned: false, placement: recalled(S(2)), ..running.clone() }),
            Step::Place(TicketReason::Drain)
        );
        let changed = Facts { spec_rev: 2, moves: None, ..running };
        assert_eq!(step(&changed), Step::Recall);
        assert_eq!(step(&Facts { owned: false, held: None, ..changed.clone() }), Step::Place(TicketReason::Change));
        let stopping = Some(Placed { want: Want::Stop, ..placed() });
        assert_eq!(step(&Facts { owned: false, placement: stopping, ..changed }), Step::Nothing);
    }

    #[test]
    fn a_suspect_waits_for_its_turn_but_is_not_taken_from_its_owner() {
        let suspect = Facts { held_back: true, ..facts(true, None) };
        assert_eq!(step(&suspect), Step::Nothing);
        let owned = Facts { owned: true, held: Some(Epoch(5)), placement: Some(placed()), ..suspect };
        assert_eq!(step(&owned), Step::Nothing);
    }

    #[test]
    fn a_stopped_stream_is_tidied_and_a_removed_one_forgotten() {
        let stop = |age, tidy| Placed { want: Want::Stop, age: S(age), tidy, ..placed() };
        assert_eq!(step(&facts(false, Some(stop(5, false)))), Step::Nothing);
        assert_eq!(step(&facts(false, Some(stop(6, false)))), Step::Tidy);
        let held = |epoch| Facts { held: Some(Epoch(epoch)), ..facts(false, Some(stop(6, false))) };
        assert_eq!(step(&held(4)), Step::Nothing, "the answer to its heartbeat drops it");
        assert_eq!(step(&held(9)), Step::Halt, "the database was an old copy");
        let removed = Facts { registered: false, ..facts(false, Some(stop(60, true))) };
        assert_eq!(step(&removed), Step::Forget);
        assert_eq!(step(&facts(false, Some(stop(3600, true)))), Step::Nothing);
    }

    #[test]
    fn wanted_follows_the_operator_then_the_viewers() {
        let idle = S(30);
        assert!(!wanted(false, true, true, true, S(0), idle), "stopped by an operator");
        assert!(wanted(true, true, false, false, S(999), idle), "always on");
        assert!(wanted(true, false, true, false, S(0), idle), "somebody watches");
        assert!(wanted(true, false, false, true, S(29), idle), "just left");
        assert!(!wanted(true, false, false, true, S(30), idle), "left long ago");
        assert!(!wanted(true, false, false, false, S(0), idle), "not running and nobody there");
    }

    #[test]
    fn drops_what_is_older_stopped_or_unknown() {
        let e = Epoch;
        assert_eq!(to_drop(e(5), None), Some(e(5)));
        assert_eq!(to_drop(e(5), Some((e(5), Want::Run))), None);
        assert_eq!(to_drop(e(4), Some((e(5), Want::Run))), Some(e(4)));
        assert_eq!(to_drop(e(4), Some((e(5), Want::Stop))), Some(e(5)));
        assert_eq!(to_drop(e(9), Some((e(5), Want::Run))), None);
    }

    proptest! {
        #[test]
        fn the_newest_running_placement_is_never_dropped(owned in 1_u64..1000, newest in 1_u64..1000) {
            if let Some(up_to) = to_drop(Epoch(owned), Some((Epoch(newest), Want::Run))) {
                prop_assert!(up_to < Epoch(newest) && Epoch(owned) <= up_to);
            }
        }

        #[test]
        fn nothing_unwanted_is_ever_placed(age in 0_u64..4000, tries in 0_u32..9, held: bool, settled: bool, run: bool) {
            let want = if run { Want::Run } else { Want::Stop };
            let stands = Facts { held: held.then_some(Epoch(5)), settled, ..facts(false, Some(Placed { want, age: S(age), tries, ..placed() })) };
            prop_assert!(!matches!(step(&stands), Step::Place(_) | Step::Rewrite));
        }
    }
}
