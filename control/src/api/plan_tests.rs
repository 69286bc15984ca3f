//! The tables of [`super`].

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
        room: true,
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
fn a_ticket_is_replaced_once_it_was_taken_and_came_to_nothing_or_waited_beyond_all_measure() {
    for (told, age, tries, want) in [
        (Told::Queued { urgent: true }, 299, 0, Step::Nothing),
        (Told::Queued { urgent: true }, 300, 0, Step::Place(TicketReason::Retry)),
        (Told::Queued { urgent: false }, 599, 1, Step::Nothing),
        (Told::Queued { urgent: false }, 600, 1, Step::Place(TicketReason::Retry)),
        (Told::Queued { urgent: true }, 1199, 30, Step::Nothing),
        (Told::Queued { urgent: true }, 1200, 30, Step::Place(TicketReason::Retry)),
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
fn a_ticket_waits_for_room_as_long_as_it_takes() {
    let queued = Some(Placed { told: Told::Queued { urgent: true }, age: S(36_000), ..placed() });
    assert_eq!(step(&Facts { room: false, ..facts(true, queued) }), Step::Nothing);
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
