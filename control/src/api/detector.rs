//! The failure detector: which workers are dead, by this process's monotonic clock and by asking them. It declares none
//! dead while this process may not have heard them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rsm_model::stream::names::{SessionId, WorkerId};
use rsm_model::wire::presence::Presence;

use super::roster::Roster;

/// A worker that missed two heartbeats is asked whether it is there.
const ASK_AFTER: Duration = Duration::from_secs(2);
/// It is asked again after this long. NATS reports at once that no subscriber exists when the process is gone; one that
/// reconnects looks the same for less than a second.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Fewest workers that can make a mass silence.
const MASS_OF: usize = 3;
/// A larger share of the workers silent at once is taken for a fault of the network, percent. The node controller of
/// Kubernetes uses the same share for a zone in trouble.
const MASS_PERCENT: usize = 55;
/// A mass silence is waited out for this long.
const MASS_WAIT: Duration = Duration::from_secs(20);

/// The failure detector.
#[derive(Debug)]
pub struct Detector {
    dead_after: Duration,
    /// Before this, this process may not have heard a worker that is alive.
    settles_at: Instant,
    /// A mass silence is waited out until then.
    mass_until: Option<Instant>,
    /// Silent workers that were asked; at most one entry for each live one.
    asked: HashMap<SessionId, Asked>,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    at: Instant,
    /// When NATS first reported that no subscriber exists.
    gone_since: Option<Instant>,
    /// NATS reported it twice, [`ASK_AGAIN`] apart.
    gone: bool,
}

/// The result of one check of all workers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SilenceReport {
    /// Silent workers that should be asked whether they are there.
    pub ask: Vec<(WorkerId, SessionId)>,
    pub dead: Vec<SessionId>,
    /// A mass silence began just now: the number of silent workers, and of all.
    pub mass_silence: Option<(usize, usize)>,
}

impl Detector {
    /// A worker that is silent for `dead_after` is dead. Silence counts only once every worker had time to be heard.
    pub fn new(dead_after: Duration, now: Instant) -> Self {
        let mut detector = Self { dead_after, settles_at: now, mass_until: None, asked: HashMap::new() };
        detector.unsettle(now);
        detector
    }

    /// No worker could be heard until now: after the start of this process, a reconnect, or a pause of this process.
    pub fn unsettle(&mut self, now: Instant) {
        self.settles_at = now + self.dead_after + Duration::from_secs(1);
        self.mass_until = None;
        self.asked.clear();
    }

    /// Returns whether silence means something now.
    pub fn settled(&self, now: Instant) -> bool {
        now >= self.settles_at
    }

    /// Judges the silence of all workers.
    pub fn check(&mut self, roster: &Roster, now: Instant) -> SilenceReport {
        let mut report = SilenceReport::default();
        if !self.settled(now) {
            return report;
        }
        let (mut all, mut quiet) = (0, 0);
        for session in roster.live() {
            all += 1;
            let silent = now.saturating_duration_since(session.last_heard);
            if silent < ASK_AFTER {
                self.asked.remove(&session.id);
                continue;
            }
            quiet += 1;
            let asked = self.asked.get(&session.id);
            if silent > self.dead_after || asked.is_some_and(|asked| asked.gone) {
                report.dead.push(session.id.clone());
            } else if asked.is_none_or(|asked| now.saturating_duration_since(asked.at) >= ASK_AGAIN) {
                let gone_since = asked.and_then(|asked| asked.gone_since);
                self.asked.insert(session.id.clone(), Asked { at: now, gone_since, gone: false });
                report.ask.push((session.worker.clone(), session.id.clone()));
            }
        }
        self.asked.retain(|id, _| roster.get(id).is_some());
        // All late workers count, not only those whose time is up: the heartbeats of many do not end at one moment.
        if all >= MASS_OF && quiet * 100 > all * MASS_PERCENT {
            if !report.dead.is_empty() && self.mass_until.is_none() {
                report.mass_silence = Some((quiet, all));
                self.mass_until = Some(now + MASS_WAIT);
            }
            if self.mass_until.is_some_and(|until| now < until) {
                report.dead.clear();
            }
        } else if self.mass_until.take().is_some_and(|until| now < until) {
            // Workers come back one after the other: the rest gets time to do so too.
            report.dead.clear();
            self.unsettle(now);
        }
        report
    }

    /// Returns whether NATS reported twice that a worker has no subscriber: its process is gone, not only cut off.
    pub fn is_gone(&self, session: &SessionId) -> bool {
        self.asked.get(session).is_some_and(|asked| asked.gone)
    }

    /// Takes in the answer to a question to a silent worker.
    pub fn on_presence(&mut self, session: &SessionId, presence: Presence, now: Instant) {
        let Some(asked) = self.asked.get_mut(session) else { return };
        match (presence, asked.gone_since) {
            (Presence::Gone, None) => asked.gone_since = Some(now),
            // Answers of two questions. The bound is a little less than the pause between them, as they travel at
            // different speeds.
            (Presence::Gone, Some(since)) => asked.gone = now.saturating_duration_since(since) >= ASK_AGAIN * 9 / 10,
            (Presence::Present | Presence::Unknown, _) => asked.gone_since = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_model::stream::names::Zone;
    use rsm_model::wire::messages::{Heartbeat, Load, WorkerState};

    const DEAD: Duration = Duration::from_secs(4);

    fn beat(worker: &str) -> Heartbeat {
        Heartbeat {
            v: 1,
            session: session(worker),
            worker: WorkerId::parse(worker).unwrap(),
            seq: 1,
            state: WorkerState::Up,
            zones: vec![Zone::default_zone()],
            cap: 10,
            room: 10,
            load: Load::default(),
            http: "127.0.0.1:9".into(),
            inv: Vec::new(),
        }
    }

    fn session(worker: &str) -> SessionId {
        SessionId::parse(&format!("{worker}-a")).unwrap()
    }

    struct World {
        roster: Roster,
        detector: Detector,
        start: Instant,
    }

    impl World {
        /// A settled detector that heard all workers at 0 s.
        fn of(workers: &[&str]) -> Self {
            let start = Instant::now() + Duration::from_secs(100);
            let detector = Detector::new(DEAD, start - Duration::from_secs(50));
            let mut world = Self { roster: Roster::default(), detector, start };
            workers.iter().for_each(|worker| world.beat(worker, 0));
            world
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        fn beat(&mut self, worker: &str, ms: u64) {
            let now = self.at(ms);
            self.roster.on_heartbeat(&beat(worker), now);
        }

        fn check(&mut self, ms: u64) -> SilenceReport {
            let now = self.at(ms);
            self.detector.check(&self.roster, now)
        }

        fn gone(&mut self, worker: &str, ms: u64) {
            let now = self.at(ms);
            self.detector.on_presence(&session(worker), Presence::Gone, now);
        }
    }

    #[test]
    fn a_silent_worker_is_dead_and_a_late_one_is_not() {
        let mut world = World::of(&["w1"]);
        assert!(world.check(4000).dead.is_empty());
        assert_eq!(world.check(4001).dead, [session("w1")]);
        world.beat("w1", 4100);
        assert!(world.check(5000).dead.is_empty());
    }

    #[test]
    fn one_without_a_subscriber_is_dead_earlier_but_only_when_that_was_reported_twice() {
        let mut world = World::of(&["w1"]);
        assert!(world.check(1900).ask.is_empty());
        assert_eq!(world.check(2000).ask.len(), 1);
        world.gone("w1", 2001);
        assert_eq!(world.check(2500), SilenceReport::default(), "asked already, and once is not enough");
        assert_eq!(world.check(3000).ask.len(), 1);
        world.gone("w1", 3001);
        assert_eq!(world.check(3002).dead, [session("w1")]);
    }

    #[test]
    fn one_that_was_heard_again_begins_anew() {
        let mut world = World::of(&["w1"]);
        world.check(2000);
        world.gone("w1", 2001);
        world.beat("w1", 2500);
        assert!(world.check(2600).dead.is_empty());
        world.check(4600);
        world.gone("w1", 4601);
        assert!(world.check(4602).dead.is_empty(), "the first time counts no more");
    }

    #[test]
    fn no_worker_is_dead_before_all_had_time_to_be_heard() {
        let mut world = World::of(&["w1"]);
        world.detector.unsettle(world.start + Duration::from_secs(10));
        assert_eq!(world.check(14_999), SilenceReport::default());
        assert_eq!(world.check(15_000).dead, [session("w1")]);
    }

    #[test]
    fn a_mass_silence_is_waited_out() {
        let mut world = World::of(&["w1", "w2", "w3"]);
        world.beat("w3", 4000);
        let report = world.check(4500);
        assert_eq!((report.dead.len(), report.mass_silence), (0, Some((2, 3))));
        world.beat("w3", 20_000);
        assert_eq!(world.check(20_001), SilenceReport::default());
        world.beat("w3", 24_400);
        assert_eq!(world.check(24_500).dead.len(), 2, "they are gone after all");
    }

    #[test]
    fn a_mass_silence_is_seen_though_heartbeats_end_one_after_the_other() {
        let names: Vec<String> = (0..20).map(|n| format!("w{n}")).collect();
        let mut world = World::of(&names.iter().map(String::as_str).collect::<Vec<_>>());
        // Twelve fall silent within a second, eight go on.
        for (n, name) in names.iter().enumerate() {
            world.beat(name, u64::try_from(n).unwrap() * 50);
        }
        for ms in (1000..9000).step_by(100) {
            names[12..].iter().for_each(|name| world.beat(name, ms));
            assert!(world.check(ms).dead.is_empty(), "at {ms} ms");
        }
    }

    #[test]
    fn those_that_come_back_late_from_a_mass_silence_are_not_dead() {
        let mut world = World::of(&["w1", "w2", "w3"]);
        world.beat("w3", 9000);
        assert_eq!(world.check(9100).mass_silence, Some((2, 3)));
        world.beat("w1", 9500);
        assert!(world.check(9600).dead.is_empty());
        world.beat("w1", 14_000);
        world.beat("w3", 14_000);
        assert!(world.check(14_500).dead.is_empty());
        assert_eq!(world.check(14_700).dead, [session("w2")]);
    }

    #[test]
    fn half_of_the_workers_are_no_mass_and_two_are_too_few() {
        let mut world = World::of(&["w1", "w2", "w3", "w4"]);
        world.beat("w3", 4000);
        world.beat("w4", 4000);
        assert_eq!(world.check(4500).dead.len(), 2);
        let mut small = World::of(&["w1", "w2"]);
        assert_eq!(small.check(4500).dead.len(), 2);
    }
}
