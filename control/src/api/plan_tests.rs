//! Tables of the steps that [`super`] decides.

use super::*;
use proptest::prelude::*;

const S: fn(u64) -> Duration = Duration::from_secs;

fn placed() -> PlacementFacts {
    PlacementFacts {
        epoch: Epoch(5),
        want: Want::Run,
        spec_rev: 1,
        delivery: DeliveryState::Delivered,
        age: S(1),
        tidy: true,
        tries: 0,
        ownership: Ownership::NeverOwned,
        handoff: None,
        recalled: None,
    }
}

fn facts(wanted: bool, placement: Option<PlacementFacts>) -> StreamFacts {
    StreamFacts {
        registered: true,
        wanted,
        spec_rev: 1,
        placement,
        owned: false,
        owned_epoch: None,
        urgent: false,
        has_room: true,
        settled: true,
        held_back: false,
        exclusive: false,
        move_reason: None,
    }
}

#[test]
fn starts_what_is_wanted_and_stops_what_is_not() {
    let stopped = PlacementFacts { want: Want::Stop, ..placed() };
    assert_eq!(step(&facts(true, None)), Step::Place(TicketReason::Start));
    assert_eq!(step(&facts(true, Some(stopped.clone()))), Step::Place(TicketReason::Start));
    assert_eq!(step(&facts(false, Some(placed()))), Step::Halt);
    assert_eq!(step(&facts(false, None)), Step::Nothing);
    assert_eq!(step(&facts(false, Some(stopped))), Step::Nothing);
}

#[test]
fn a_user_start_never_waits_for_the_failure_detector() {
    let boot = StreamFacts { settled: false, ..facts(true, None) };
    assert_eq!(step(&boot), Step::Place(TicketReason::Start));
    let changed = StreamFacts { settled: false, spec_rev: 2, ..facts(true, Some(placed())) };
    assert_eq!(step(&changed), Step::Place(TicketReason::Change));
}

#[test]
fn leaves_a_running_stream_alone_and_rewrites_its_record_after_a_wipe() {
    let running = StreamFacts { owned: true, owned_epoch: Some(Epoch(5)), ..facts(true, Some(placed())) };
    assert_eq!(step(&running), Step::Nothing);
    let wiped = PlacementFacts { delivery: DeliveryState::Unsent, ..placed() };
    assert_eq!(step(&StreamFacts { placement: Some(wiped), ..running }), Step::Rewrite);
}

#[test]
fn a_ticket_is_replaced_once_it_was_taken_and_came_to_nothing_or_waited_beyond_all_measure() {
    for (delivery, age, tries, want) in [
        (DeliveryState::Queued { urgent: true }, 299, 0, Step::Nothing),
        (DeliveryState::Queued { urgent: true }, 300, 0, Step::Place(TicketReason::Retry)),
        (DeliveryState::Queued { urgent: false }, 599, 1, Step::Nothing),
        (DeliveryState::Queued { urgent: false }, 600, 1, Step::Place(TicketReason::Retry)),
        (DeliveryState::Queued { urgent: true }, 1199, 30, Step::Nothing),
        (DeliveryState::Queued { urgent: true }, 1200, 30, Step::Place(TicketReason::Retry)),
        (DeliveryState::Delivered, 5, 0, Step::Nothing),
        (DeliveryState::Delivered, 6, 0, Step::Place(TicketReason::Retry)),
        (DeliveryState::Delivered, 6, 1, Step::Nothing),
        (DeliveryState::Delivered, 12, 1, Step::Place(TicketReason::Retry)),
        (DeliveryState::Delivered, 59, 30, Step::Nothing),
        (DeliveryState::Delivered, 60, 30, Step::Place(TicketReason::Retry)),
        (DeliveryState::Failed, 0, 0, Step::Nothing),
        (DeliveryState::Failed, 1, 0, Step::Place(TicketReason::Retry)),
    ] {
        let stands = PlacementFacts { delivery, age: S(age), tries, ..placed() };
        assert_eq!(step(&facts(true, Some(stands))), want, "{delivery:?} {age} s, {tries} tries");
    }
}

#[test]
fn a_ticket_waits_for_room_as_long_as_it_takes() {
    let queued = Some(PlacementFacts { delivery: DeliveryState::Queued { urgent: true }, age: S(36_000), ..placed() });
    assert_eq!(step(&StreamFacts { has_room: false, ..facts(true, queued) }), Step::Nothing);
}

#[test]
fn a_viewer_does_not_wait_behind_streams_without_viewers() {
    let queued = |urgent| Some(PlacementFacts { delivery: DeliveryState::Queued { urgent }, ..placed() });
    let waits = |placement| StreamFacts { urgent: true, ..facts(true, placement) };
    assert_eq!(step(&waits(queued(false))), Step::Place(TicketReason::Start));
    assert_eq!(step(&waits(queued(true))), Step::Nothing);
    assert_eq!(step(&facts(true, queued(false))), Step::Nothing);
}

#[test]
fn failover_waits_until_silence_means_something() {
    for (ownership, settled, want) in [
        (Ownership::OwnerGone(S(1)), true, Step::Place(TicketReason::Failover)),
        (Ownership::OwnerGone(S(1)), false, Step::Nothing),
        (Ownership::OwnerSilent(S(3)), true, Step::Nothing),
        (Ownership::OwnerSilent(S(4)), true, Step::Place(TicketReason::Failover)),
        (Ownership::OwnerSilent(S(9)), false, Step::Nothing),
    ] {
        let stands = StreamFacts { settled, ..facts(true, Some(PlacementFacts { ownership, ..placed() })) };
        assert_eq!(step(&stands), want, "{ownership:?}, settled {settled}");
    }
    let after_boot = PlacementFacts { delivery: DeliveryState::Unsent, ..placed() };
    assert_eq!(step(&StreamFacts { settled: false, ..facts(true, Some(after_boot.clone())) }), Step::Nothing);
    assert_eq!(step(&facts(true, Some(after_boot))), Step::Place(TicketReason::Retry));
}

#[test]
fn a_move_makes_the_new_owner_before_it_breaks_with_the_old_one() {
    let running = StreamFacts { owned: true, owned_epoch: Some(Epoch(5)), ..facts(true, Some(placed())) };
    let moving = StreamFacts { move_reason: Some(TicketReason::Drain), ..running.clone() };
    assert_eq!(step(&moving), Step::Place(TicketReason::Drain));
    for (handoff, want) in [
        (HandoffProgress::Waiting(S(0)), Step::Nothing),
        (HandoffProgress::Waiting(S(14)), Step::Nothing),
        (HandoffProgress::Waiting(S(15)), Step::EndHandoff),
        (HandoffProgress::NoPicture(S(14)), Step::Nothing),
        (HandoffProgress::NoPicture(S(15)), Step::Revert),
        (HandoffProgress::Complete, Step::EndHandoff),
    ] {
        let placement = Some(PlacementFacts { handoff: Some(handoff), ..placed() });
        assert_eq!(step(&StreamFacts { placement: placement.clone(), ..running.clone() }), want, "{handoff:?}");
        let unowned_yet = facts(true, placement);
        assert_eq!(step(&unowned_yet), Step::Nothing, "the earlier owner goes on: {handoff:?}");
        let queued = |age| {
            let delivery = DeliveryState::Queued { urgent: true };
            Some(PlacementFacts { handoff: Some(handoff), delivery, age: S(age), ..placed() })
        };
        assert_eq!(step(&facts(true, queued(14))), Step::Nothing);
        assert_eq!(step(&facts(true, queued(15))), Step::Place(TicketReason::Retry));
    }
}

#[test]
fn an_exclusive_camera_is_released_before_it_is_placed_again() {
    let running = StreamFacts {
        owned: true,
        owned_epoch: Some(Epoch(5)),
        exclusive: true,
        move_reason: Some(TicketReason::Drain),
        ..facts(true, Some(placed()))
    };
    assert_eq!(step(&running), Step::Recall);
    let recalled =
        |age| Some(PlacementFacts { recalled: Some(age), ownership: Ownership::OwnerSilent(age), ..placed() });
    assert_eq!(step(&StreamFacts { placement: recalled(S(1)), ..running.clone() }), Step::Nothing);
    assert_eq!(step(&StreamFacts { placement: recalled(S(2)), ..running.clone() }), Step::Recall);
    assert_eq!(
        step(&StreamFacts { owned: false, placement: recalled(S(1)), ..running.clone() }),
        Step::Nothing,
        "its camera session may not have ended"
    );
    assert_eq!(
        step(&StreamFacts { owned: false, placement: recalled(S(2)), ..running.clone() }),
        Step::Place(TicketReason::Drain)
    );
    let changed = StreamFacts { spec_rev: 2, move_reason: None, ..running };
    assert_eq!(step(&changed), Step::Recall);
    assert_eq!(
        step(&StreamFacts { owned: false, owned_epoch: None, ..changed.clone() }),
        Step::Place(TicketReason::Change)
    );
    let stopping = Some(PlacementFacts { want: Want::Stop, ..placed() });
    assert_eq!(step(&StreamFacts { owned: false, placement: stopping, ..changed }), Step::Nothing);
}

#[test]
fn a_suspect_waits_for_its_turn_but_is_not_taken_from_its_owner() {
    let suspect = StreamFacts { held_back: true, ..facts(true, None) };
    assert_eq!(step(&suspect), Step::Nothing);
    let owned = StreamFacts { owned: true, owned_epoch: Some(Epoch(5)), placement: Some(placed()), ..suspect };
    assert_eq!(step(&owned), Step::Nothing);
}

#[test]
fn a_stopped_stream_is_tidied_and_a_removed_one_forgotten() {
    let stop = |age, tidy| PlacementFacts { want: Want::Stop, age: S(age), tidy, ..placed() };
    assert_eq!(step(&facts(false, Some(stop(5, false)))), Step::Nothing);
    assert_eq!(step(&facts(false, Some(stop(6, false)))), Step::Tidy);
    let owned = |epoch| StreamFacts { owned_epoch: Some(Epoch(epoch)), ..facts(false, Some(stop(6, false))) };
    assert_eq!(step(&owned(4)), Step::Nothing, "the answer to its heartbeat releases it");
    assert_eq!(step(&owned(9)), Step::Halt, "the database was an old copy");
    let removed = StreamFacts { registered: false, ..facts(false, Some(stop(60, true))) };
    assert_eq!(step(&removed), Step::Forget);
    assert_eq!(step(&facts(false, Some(stop(3600, true)))), Step::Nothing);
}

#[test]
fn wanted_follows_the_operator_then_the_viewers() {
    let idle = S(30);
    assert!(!wanted(false, true, true, true, S(0), idle), "stopped by an operator");
    assert!(wanted(true, true, false, false, S(999), idle), "always on");
    assert!(wanted(true, false, true, false, S(0), idle), "a viewer watches");
    assert!(wanted(true, false, false, true, S(29), idle), "just left");
    assert!(!wanted(true, false, false, true, S(30), idle), "left long ago");
    assert!(!wanted(true, false, false, false, S(0), idle), "not running and no viewer");
}

#[test]
fn releases_placements_that_are_older_stopped_or_unknown() {
    let e = Epoch;
    assert_eq!(to_release(e(5), None), Some(e(5)));
    assert_eq!(to_release(e(5), Some((e(5), Want::Run))), None);
    assert_eq!(to_release(e(4), Some((e(5), Want::Run))), Some(e(4)));
    assert_eq!(to_release(e(4), Some((e(5), Want::Stop))), Some(e(5)));
    assert_eq!(to_release(e(9), Some((e(5), Want::Run))), None);
}

proptest! {
    #[test]
    fn the_newest_running_placement_is_never_released(owned in 1_u64..1000, newest in 1_u64..1000) {
        if let Some(up_to) = to_release(Epoch(owned), Some((Epoch(newest), Want::Run))) {
            prop_assert!(up_to < Epoch(newest) && Epoch(owned) <= up_to);
        }
    }

    #[test]
    fn nothing_unwanted_is_ever_placed(age in 0_u64..4000, tries in 0_u32..9, owned: bool, settled: bool, run: bool) {
        let want = if run { Want::Run } else { Want::Stop };
        let stands = StreamFacts { owned_epoch: owned.then_some(Epoch(5)), settled, ..facts(false, Some(PlacementFacts { want, age: S(age), tries, ..placed() })) };
        prop_assert!(!matches!(step(&stands), Step::Place(_) | Step::Rewrite));
    }
}
