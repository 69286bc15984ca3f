//! Which workers are dead: by our monotonic clock, by asking, and not at all while silence may be our own deafness.
//! Pure but for the clock it is given.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rsm_shared::stream::names::{SessionId, WorkerId};
use rsm_shared::wire::presence::Presence;

use super::roster::Roster;

/// A worker that missed two heartbeats is asked whether it is there.
const ASK_AFTER: Duration = Duration::from_secs(2);
/// And again after this long. NATS says at once that nobody listens when the process is gone; one that reconnects looks
/// the same for less than a second.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// So many workers at least make a mass silence.
const MASS_OF: usize = 3;
/// More than this share of the workers silent at once is taken for a fault of the network, percent. Kubernetes' node
/// controller uses the same share for a zone in trouble.
const MASS_PERCENT: usize = 55;
/// How long a mass silence is waited out.
const BRAKE: Duration = Duration::from_secs(20);

/// The failure detector.
#[derive(Debug)]
pub struct Detector {
    dead_after: Duration,
    /// Before this, silence of a worker may be our own deafness.
    settles_at: Instant,
    /// Until then a mass silence is waited out.
    brake_until: Option<Instant>,
    /// Silent workers that were asked; at most one entry for each live one.
    asked: HashMap<SessionId, Asked>,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    at: Instant,
    /// Since when NATS says that nobody listens.
    gone_since: Option<Instant>,
    /// It said so twice, [`ASK_AGAIN`] apart.
    gone: bool,
}

/// What a look found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Silent ones that should be asked.
    pub ask: Vec<(WorkerId, SessionId)>,
    pub dead: Vec<SessionId>,
    /// A mass silence began just now; so many of all are silent.
    pub brake: Option<(usize, usize)>,
}

impl Detector {
    /// A worker that is silent for `dead_after` is dead. Silence counts only once every worker had time to be heard.
    pub fn new(dead_after: Duration, now: Instant) -> Self {
        let mut detector = Self { dead_after, settles_at: now, brake_until: None, asked: HashMap::new() };
        detector.unsettle(now);
        detector
    }

    /// Nobody could be heard until now: after our own beginning, a reconnect, or a pause of this process.
    pub fn unsettle(&mut self, now: Instant) {
        self.settles_at = now + self.dead_after + Duration::from_secs(1);
        self.brake_until = None;
        self.asked.clear();
    }

    /// Whether silence means something now.
    pub fn settled(&self, now: Instant) -> bool {
        now >= self.settles_at
    }

    /// Looks at everybody.
    pub fn look(&mut self, roster: &Roster, now: Instant) -> Look {
        let mut look = Look::default();
        if !self.settled(now) {
            return look;
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
                look.dead.push(session.id.clone());
            } else if asked.is_none_or(|asked| now.saturating_duration_since(asked.at) >= ASK_AGAIN) {
                let gone_since = asked.and_then(|asked| asked.gone_since);
                self.asked.insert(session.id.clone(), Asked { at: now, gone_since, gone: false });
                look.ask.push((session.worker.clone(), session.id.clone()));
            }
        }
        self.asked.retain(|id, _| roster.get(id).is_some());
        // All that are late count, not only those whose time is up: heartbeats of many do not end at one moment.
        if all >= MASS_OF && quiet * 100 > all * MASS_PERCENT {
            if !look.dead.is_empty() && self.brake_until.is_none() {
                look.brake = Some((quiet, all));
                self.brake_until = Some(now + BRAKE);
            }
            if self.brake_until.is_some_and(|until| now < until) {
                look.dead.clear();
            }
        } else if self.brake_until.take().is_some_and(|until| now < until) {
            // They come back, one after the other: the rest has time to do so, too.
            look.dead.clear();
            self.unsettle(now);
        }
        look
    }

    /// Whether NATS said twice that nobody listens for a worker: its process is gone, not only cut off.
    pub fn is_gone(&self, session: &SessionId) -> bool {
        self.asked.get(session).is_some_and(|asked| asked.gone)
    }

    /// Takes in what asking a silent worker met.
    pub fn answered(&mut self, session: &SessionId, probe: Presence, now: Instant) {
        let Some(asked) = self.asked.get_mut(session) else { return };
        match (probe, asked.gone_since) {
            (Presence::Gone, None) => asked.gone_since = Some(now),
            // Answers of two questions; a little less than the pause between them, as they travel at different speeds.
            (Presence::Gone, Some(since)) => asked.gone = now.saturating_duration_since(since) >= ASK_AGAIN * 9 / 10,
            (Presence::Present | Presence::Unknown, _) => asked.gone_since = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_shared::stream::names::Zone;
    use rsm_shared::wire::messages::{Heartbeat, Load, WorkerState};

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
        /// Settled, and everybody was heard at 0 s.
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
            self.roster.note(&beat(worker), now);
        }

        fn look(&mut self, ms: u64) -> Look {
            let now = self.at(ms);
            self.detector.look(&self.roster, now)
        }

        fn gone(&mut self, worker: &str, ms: u64) {
            let now = self.at(ms);
            self.detector.answered(&session(worker), Presence::Gone, now);
        }
    }

    #[test]
    fn a_silent_worker_is_dead_and_a_late_one_is_not() {
        let mut world = World::of(&["w1"]);
        assert!(world.look(4000).dead.is_empty());
        assert_eq!(world.look(4001).dead, [session("w1")]);
        world.beat("w1", 4100);
        assert!(world.look(5000).dead.is_empty());
    }

    #[test]
    fn one_that_nobody_listens_for_is_dead_earlier_but_only_when_that_was_said_twice() {
        let mut world = World::of(&["w1"]);
        assert!(world.look(1900).ask.is_empty());
        assert_eq!(world.look(2000).ask.len(), 1);
        world.gone("w1", 2001);
        assert_eq!(world.look(2500), Look::default(), "asked already, and once is not enough");
        assert_eq!(world.look(3000).ask.len(), 1);
        world.gone("w1", 3001);
        assert_eq!(world.look(3002).dead, [session("w1")]);
    }

    #[test]
    fn one_that_was_heard_again_begins_anew() {
        let mut world = World::of(&["w1"]);
        world.look(2000);
        world.gone("w1", 2001);
        world.beat("w1", 2500);
        assert!(world.look(2600).dead.is_empty());
        world.look(4600);
        world.gone("w1", 4601);
        assert!(world.look(4602).dead.is_empty(), "the first time counts no more");
    }

    #[test]
    fn nobody_is_dead_before_everybody_had_time_to_be_heard() {
        let mut world = World::of(&["w1"]);
        world.detector.unsettle(world.start + Duration::from_secs(10));
        assert_eq!(world.look(14_999), Look::default());
        assert_eq!(world.look(15_000).dead, [session("w1")]);
    }

    #[test]
    fn a_mass_silence_is_waited_out() {
        let mut world = World::of(&["w1", "w2", "w3"]);
        world.beat("w3", 4000);
        let look = world.look(4500);
        assert_eq!((look.dead.len(), look.brake), (0, Some((2, 3))));
        world.beat("w3", 20_000);
        assert_eq!(world.look(20_001), Look::default());
        world.beat("w3", 24_400);
        assert_eq!(world.look(24_500).dead.len(), 2, "they are gone after all");
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
            assert!(world.look(ms).dead.is_empty(), "at {ms} ms");
        }
    }

    #[test]
    fn those_that_come_back_late_from_a_mass_silence_are_not_dead() {
        let mut world = World::of(&["w1", "w2", "w3"]);
        world.beat("w3", 9000);
        assert_eq!(world.look(9100).brake, Some((2, 3)));
        world.beat("w1", 9500);
        assert!(world.look(9600).dead.is_empty());
        world.beat("w1", 14_000);
        world.beat("w3", 14_000);
        assert!(world.look(14_500).dead.is_empty());
        assert_eq!(world.look(14_700).dead, [session("w2")]);
    }

    #[test]
    fn half_of_the_workers_are_no_mass_and_two_are_too_few() {
        let mut world = World::of(&["w1", "w2", "w3", "w4"]);
        world.beat("w3", 4000);
        world.beat("w4", 4000);
        assert_eq!(world.look(4500).dead.len(), 2);
        let mut small = World::of(&["w1", "w2"]);
        assert_eq!(small.look(4500).dead.len(), 2);
    }
}
