use super::*;

fn slug(name: &str) -> Slug {
    Slug::parse(name).unwrap()
}

const A_SECOND: Duration = Duration::from_secs(1);

/// A worker of that name died, and had owned these streams for a second. Returns those that are quarantined.
fn die(suspects: &mut Suspects, name: &str, alone: bool, streams: &[&Slug], now: Instant) -> Vec<Slug> {
    let streams = streams.iter().map(|slug| ((*slug).clone(), A_SECOND));
    suspects.on_worker_death(DeadWorker { name, alone }, streams, now)
}

#[test]
fn a_stream_that_ended_two_workers_is_tried_alone_and_quarantined_at_the_third() {
    let (mut suspects, start) = (Suspects::default(), Instant::now());
    let (bad, other) = (slug("bad"), slug("other"));
    die(&mut suspects, "w1", false, &[&bad], start);
    assert_eq!(suspects.hold_back(&bad, start), None, "once is an accident");
    for name in ["w2", "w3"] {
        die(&mut suspects, name, false, &[&bad, &other], start);
    }
    assert_eq!(suspects.hold_back(&bad, start), None, "on trial");
    assert_eq!(suspects.hold_back(&other, start), Some(HoldBack::AwaitsTrial));
    assert_eq!(suspects.status(&bad, start), None);
    assert_eq!(die(&mut suspects, "w1", false, &[&bad], start), std::slice::from_ref(&bad));
    assert_eq!(suspects.hold_back(&bad, start), Some(HoldBack::Quarantined(QUARANTINE[0])));
    assert_eq!(suspects.hold_back(&other, start), None, "its turn");
    suspects.tick(|_| Some(A_SECOND + LONGER), start);
    assert_eq!(suspects.status(&other, start), None, "cleared");
    let later = start + QUARANTINE[0];
    assert_eq!(suspects.hold_back(&bad, later), None, "another trial");
    assert_eq!(die(&mut suspects, "w1", false, &[&bad], later), std::slice::from_ref(&bad));
    assert_eq!(suspects.status(&bad, later), Some(HoldBack::Quarantined(QUARANTINE[1])));
    suspects.clear(&bad);
    assert_eq!(suspects.status(&bad, start), None);
}

#[test]
fn a_stream_that_ran_for_a_while_is_no_suspect() {
    let (mut suspects, start) = (Suspects::default(), Instant::now());
    for name in ["w1", "w2", "w3", "w4"] {
        let dead = DeadWorker { name, alone: false };
        suspects.on_worker_death(dead, [(slug("yard"), YOUNG)].into_iter(), start);
    }
    assert_eq!(suspects.hold_back(&slug("yard"), start), None);
}

#[test]
fn a_worker_that_dies_twice_while_others_live_is_the_likelier_reason() {
    let (start, yard) = (Instant::now(), slug("yard"));
    for (alone, deaths) in [(true, DEATHS), (false, DEATHS_OF_ONE)] {
        let mut suspects = Suspects::default();
        for death in 1..=deaths {
            die(&mut suspects, "w1", alone, &[&yard], start);
            assert_eq!(suspects.marks[&yard].suspect, death == deaths, "{death} deaths, alone: {alone}");
        }
    }
}

#[test]
fn a_trial_that_no_worker_takes_up_does_not_keep_others_waiting() {
    let (mut suspects, start) = (Suspects::default(), Instant::now());
    for name in ["w1", "w2"] {
        die(&mut suspects, name, false, &[&slug("a"), &slug("b")], start);
    }
    assert_eq!(suspects.hold_back(&slug("a"), start), None);
    let later = start + TRIAL_MAX;
    assert_eq!(suspects.hold_back(&slug("b"), later), Some(HoldBack::AwaitsTrial));
    suspects.tick(|_| None, later);
    // In whatever order they ask, the one that was just tried is not the next.
    assert_eq!(suspects.hold_back(&slug("a"), later), Some(HoldBack::AwaitsTrial));
    assert_eq!(suspects.hold_back(&slug("b"), later), None);
}

#[test]
fn marks_are_forgotten() {
    let (mut suspects, start) = (Suspects::default(), Instant::now());
    die(&mut suspects, "w1", false, &[&slug("yard")], start);
    suspects.tick(|_| None, start + WINDOW);
    assert!(suspects.marks.is_empty());
}

/// One worker with these streams, of which `bad` ends it after a second: the time until every other one runs for good, and
/// the deaths until then. Heartbeats come each second, a dead worker is back after three.
fn heal(streams: usize, bad: Option<usize>, accidents: usize) -> (Duration, usize) {
    let start = Instant::now();
    let all: Vec<Slug> = (0..streams).map(|n| slug(&format!("cam{n}"))).collect();
    let bad = bad.map(|n| all[n].clone());
    let mut suspects = Suspects::default();
    let mut running: HashMap<Slug, Instant> = HashMap::new();
    let (mut deaths, mut back_at) = (0, start);
    for tick in 0..2000_u32 {
        let now = start + Duration::from_millis(250) * tick;
        suspects.tick(|slug| running.get(slug).map(|since| now - *since), now);
        if now < back_at {
            continue;
        }
        for slug in &all {
            if !running.contains_key(slug) && suspects.hold_back(slug, now).is_none() {
                running.insert(slug.clone(), now);
            }
        }
        let ended = bad.as_ref().is_some_and(|bad| running.get(bad).is_some_and(|since| now - *since >= A_SECOND));
        let accident =
            deaths < accidents && running.len() == streams && running.values().all(|at| now - *at >= A_SECOND);
        if ended || accident {
            deaths += 1;
            let owned: Vec<_> = running.drain().map(|(slug, since)| (slug, now - since)).collect();
            suspects.on_worker_death(DeadWorker { name: "w1", alone: true }, owned.into_iter(), now);
            back_at = now + Duration::from_secs(3);
        }
        let quarantined = bad.as_ref().is_none_or(|bad| suspects.marks.get(bad).is_some_and(|m| m.quarantines > 0));
        if quarantined && deaths >= accidents && running.len() == streams - usize::from(bad.is_some()) {
            return (now - start, deaths);
        }
    }
    panic!("it does not heal: {} of {streams} run after {deaths} deaths", running.len());
}

#[test]
fn the_reason_is_found_in_groups_and_the_others_do_not_wait_for_each_other() {
    for streams in [1, 2, 3, 12, 40, 200] {
        for bad in [0, streams / 2, streams - 1] {
            let (took, deaths) = heal(streams, Some(bad), 0);
            assert!(deaths <= 8, "{deaths} deaths for the one of {streams} at {bad}");
            assert!(took < Duration::from_secs(60), "{took:?} for the one of {streams} at {bad}");
        }
    }
}

#[test]
fn streams_that_are_innocent_of_three_deaths_run_again_soon() {
    for streams in [24, 40, 200] {
        let (took, _) = heal(streams, None, 3);
        assert!(took < Duration::from_secs(40), "{took:?} for {streams}");
    }
}
