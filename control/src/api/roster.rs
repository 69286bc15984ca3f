//! The live worker processes, by their heartbeats and this process's monotonic clock. Clocks of other hosts decide nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use rsm_model::stream::names::{SessionId, WorkerId, Zone};
use rsm_model::stream::slug::Slug;
use rsm_model::wire::messages::{Fleet, Heartbeat, Load, Owned, WorkerState};

use super::observer::Workforce;
use super::owners::Owners;

/// Most worker processes in the roster; heartbeats of further ones are not taken in.
const MAX_SESSIONS: usize = 2000;
/// Most lost workers remembered; the oldest go first.
const MAX_LOST: usize = MAX_SESSIONS;
/// A lost worker is remembered for this long: long enough for operators to see it, and not for ever, as one that was
/// replaced by another of a new name never comes back.
const LOST_KEPT: Duration = Duration::from_secs(15 * 60);

/// One live worker process.
#[derive(Debug)]
pub struct WorkerSession {
    pub id: SessionId,
    pub worker: WorkerId,
    pub zones: Vec<Zone>,
    pub capacity: u32,
    /// Streams that it would take now.
    pub room: u32,
    pub load: Load,
    pub draining: bool,
    /// `host:port` of its metrics and health.
    pub http: String,
    pub owned: HashMap<Slug, Owned>,
    pub last_heard: Instant,
}

impl WorkerSession {
    /// The share of its capacity that it uses, 0 to 1.
    pub fn used(&self) -> f32 {
        share(self.owned.len(), self.capacity)
    }

    /// Takes in the rows of a heartbeat. Most are as they were, but for the age of the last picture, so they are
    /// compared and not replaced.
    fn report(&mut self, rows: &[Owned], owners: &mut Owners, news: &mut HashSet<Slug>) {
        for row in rows {
            let decisive = |row: &Owned| (row.epoch, row.revision, row.state, row.ready);
            let before = self.owned.get_mut(&row.cam);
            if before.as_ref().is_none_or(|before| decisive(before) != decisive(row)) {
                owners.set(&row.cam, &self.id, row.fence());
                news.insert(row.cam.clone());
            }
            match before {
                Some(before) => before.clone_from(row),
                None => drop(self.owned.insert(row.cam.clone(), row.clone())),
            }
        }
        if self.owned.len() > rows.len() {
            let reported: HashSet<&Slug> = rows.iter().map(|row| &row.cam).collect();
            for (slug, _) in self.owned.extract_if(|slug, _| !reported.contains(slug)) {
                owners.unset(&slug, &self.id);
                news.insert(slug);
            }
        }
    }
}

/// The share of `capacity` that `streams` streams use; 1 when there is none.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^24")]
pub fn share(streams: usize, capacity: u32) -> f32 {
    if capacity == 0 { 1.0 } else { streams as f32 / capacity as f32 }
}

/// A live process and one stream that it owns.
#[derive(Clone, Copy, Debug)]
pub struct StreamOwner<'a> {
    pub session: &'a WorkerSession,
    pub owned: &'a Owned,
}

impl StreamOwner<'_> {
    /// When the camera's last picture came, by this process's clock.
    pub fn last_media(&self) -> Option<Instant> {
        self.session.last_heard.checked_sub(Duration::from_millis(self.owned.media_age_ms?))
    }
}

/// All live worker processes.
#[derive(Debug, Default)]
pub struct Roster {
    /// In order, so that the same history leads to the same decisions.
    sessions: BTreeMap<SessionId, WorkerSession>,
    /// Workers that fell silent without a goodbye and are not back, and when that was; at most [`MAX_LOST`], each for
    /// [`LOST_KEPT`].
    lost: BTreeMap<WorkerId, Instant>,
    /// The owners of streams, by the rows of all processes.
    owners: Owners,
    news: RosterNews,
}

/// Changes that concern the steps of streams.
#[derive(Debug, Default)]
pub struct RosterNews {
    /// A process came or went, or began or ended to drain: this may concern every stream.
    pub all: bool,
    /// Streams that a process began or ceased to report, or reports otherwise than before. At most one entry for each
    /// stream.
    pub streams: HashSet<Slug>,
}

/// The change of the roster by a heartbeat.
#[derive(Debug, PartialEq, Eq)]
pub enum RosterChange {
    /// The process was in the roster.
    Known,
    /// The process is new in the roster.
    Joined,
    /// The process said goodbye: it drains and owns nothing.
    Left,
    /// The process is new, and another one of the same name is in the roster: the caller has to find out whether that one
    /// is still there.
    SameName(SessionId),
    /// The roster is full.
    Refused,
}

impl Roster {
    /// Takes in a heartbeat.
    pub fn on_heartbeat(&mut self, beat: &Heartbeat, now: Instant) -> RosterChange {
        if beat.state == WorkerState::Draining && beat.inv.is_empty() {
            self.remove(&beat.session);
            self.lost.remove(&beat.worker);
            return RosterChange::Left;
        }
        let known = self.sessions.contains_key(&beat.session);
        if !known {
            if let Some(other) = self.sessions.values().find(|s| s.worker == beat.worker) {
                return RosterChange::SameName(other.id.clone());
            }
            if self.sessions.len() >= MAX_SESSIONS {
                return RosterChange::Refused;
            }
        }
        let draining = beat.state != WorkerState::Up;
        let session = self.sessions.entry(beat.session.clone()).or_insert_with(|| WorkerSession {
            id: beat.session.clone(),
            worker: beat.worker.clone(),
            zones: Vec::new(),
            capacity: 0,
            room: 0,
            load: Load::default(),
            draining,
            http: String::new(),
            owned: HashMap::new(),
            last_heard: now,
        });
        self.news.all |= !known || session.draining != draining || session.zones != beat.zones;
        session.zones.clone_from(&beat.zones);
        session.http.clone_from(&beat.http);
        (session.capacity, session.room, session.load) = (beat.cap, beat.room, beat.load);
        (session.draining, session.last_heard) = (draining, now);
        session.report(&beat.inv, &mut self.owners, &mut self.news.streams);
        self.lost.remove(&beat.worker);
        if known { RosterChange::Known } else { RosterChange::Joined }
    }

    /// Removes a process that is gone, and returns it.
    pub fn remove(&mut self, session: &SessionId) -> Option<WorkerSession> {
        let gone = self.sessions.remove(session)?;
        self.news.all = true;
        for slug in gone.owned.keys() {
            self.owners.unset(slug, session);
        }
        Some(gone)
    }

    /// Changes since the last call.
    pub fn take_news(&mut self) -> RosterNews {
        std::mem::take(&mut self.news)
    }

    /// Removes a process that fell silent without a goodbye, and returns it. Its worker counts as lost.
    pub fn lose(&mut self, session: &SessionId, now: Instant) -> Option<WorkerSession> {
        let gone = self.remove(session)?;
        self.lost.insert(gone.worker.clone(), now);
        if self.lost.len() > MAX_LOST
            && let Some(oldest) = self.lost.iter().min_by_key(|(_, since)| **since).map(|(worker, _)| worker.clone())
        {
            self.lost.remove(&oldest);
        }
        Some(gone)
    }

    /// Totals over the workers; lost ones are forgotten after `LOST_KEPT`.
    pub fn workforce(&mut self, now: Instant) -> Workforce {
        self.lost.retain(|_, since| now.saturating_duration_since(*since) < LOST_KEPT);
        let mut force = Workforce { lost: self.lost.len(), ..Workforce::default() };
        for session in self.sessions.values() {
            if session.draining {
                force.draining += 1;
            } else {
                force.live += 1;
                force.capacity += u64::from(session.capacity);
                force.room += u64::from(session.room);
            }
        }
        force
    }

    /// A live process.
    pub fn get(&self, session: &SessionId) -> Option<&WorkerSession> {
        self.sessions.get(session)
    }

    /// All live processes, in the order of their sessions.
    pub fn live(&self) -> impl Iterator<Item = &WorkerSession> {
        self.sessions.values()
    }

    /// The owners of streams.
    pub fn owners(&self) -> &Owners {
        &self.owners
    }

    /// Workers and free slots of a zone, without draining workers.
    pub fn capacity(&self, zone: &Zone) -> (usize, u32) {
        self.sessions
            .values()
            .filter(|s| s.zones.contains(zone) && !s.draining)
            .fold((0, 0), |(workers, free), s| (workers + 1, free + s.room))
    }

    /// Totals over the workers other than `but` that could take streams of `zones`. `queued` tickets wait there.
    pub fn fleet(&self, but: &SessionId, zones: &[Zone], queued: u32) -> Fleet {
        let others = self
            .sessions
            .values()
            .filter(|s| s.id != *but && !s.draining && s.zones.iter().any(|zone| zones.contains(zone)));
        let mut fleet = Fleet { queued, least_used: 1.0, least_cpu: 1.0, ..Fleet::default() };
        for other in others {
            fleet.others += 1;
            fleet.room = fleet.room.saturating_add(other.room);
            if other.room > 0 {
                fleet.least_used = fleet.least_used.min(other.used());
                fleet.least_cpu = fleet.least_cpu.min(other.load.cpu);
            }
        }
        if fleet.room == 0 {
            fleet.least_used = 0.0;
        }
        fleet
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use rsm_model::stream::fence::Epoch;
    use rsm_model::stream::state::StreamState;

    /// A heartbeat of a worker of 10 slots that runs these streams, each beside its epoch.
    pub(crate) fn beat(worker: &str, session: &str, owned: &[(&str, u64)]) -> Heartbeat {
        Heartbeat {
            v: 1,
            session: SessionId::parse(session).unwrap(),
            worker: WorkerId::parse(worker).unwrap(),
            seq: 1,
            state: WorkerState::Up,
            zones: vec![Zone::default_zone()],
            cap: 10,
            room: 10 - u32::try_from(owned.len()).unwrap(),
            load: Load::default(),
            http: "127.0.0.1:9".into(),
            inv: owned
                .iter()
                .map(|(cam, epoch)| Owned {
                    cam: Slug::parse(cam).unwrap(),
                    epoch: Epoch(*epoch),
                    revision: 1,
                    state: StreamState::Running,
                    media_age_ms: None,
                    media_sequence: 0,
                    discontinuity_sequence: 0,
                    ready: true,
                })
                .collect(),
        }
    }

    #[test]
    fn a_second_process_of_one_name_is_not_taken_in() {
        let (mut roster, now) = (Roster::default(), Instant::now());
        roster.on_heartbeat(&beat("w1", "w1-a", &[]), now);
        let first = SessionId::parse("w1-a").unwrap();
        assert_eq!(roster.on_heartbeat(&beat("w1", "w1-b", &[]), now), RosterChange::SameName(first.clone()));
        assert!(roster.remove(&first).is_some());
        assert_eq!(roster.on_heartbeat(&beat("w1", "w1-b", &[]), now), RosterChange::Joined);
    }

    #[test]
    fn a_goodbye_ends_a_session_at_once() {
        let (mut roster, now) = (Roster::default(), Instant::now());
        roster.on_heartbeat(&beat("w1", "w1-a", &[("yard", 1)]), now);
        let bye = Heartbeat { state: WorkerState::Draining, ..beat("w1", "w1-a", &[]) };
        assert_eq!(roster.on_heartbeat(&bye, now), RosterChange::Left);
        assert_eq!(roster.live().count(), 0);
    }

    #[test]
    fn the_newest_owner_counts_and_free_slots_add_up() {
        let (mut roster, now) = (Roster::default(), Instant::now());
        roster.on_heartbeat(&beat("w1", "w1-a", &[("yard", 1), ("door", 1)]), now);
        roster.on_heartbeat(&beat("w2", "w2-a", &[("yard", 2)]), now);
        let yard = Slug::parse("yard").unwrap();
        assert_eq!(roster.owners().newest(&yard).unwrap().as_str(), "w2-a");
        assert_eq!(roster.capacity(&Zone::default_zone()), (2, 17));
        assert_eq!(roster.capacity(&Zone::parse("other").unwrap()), (0, 0));
        let fleet = roster.fleet(&SessionId::parse("w1-a").unwrap(), &[Zone::default_zone()], 3);
        assert_eq!((fleet.others, fleet.room, fleet.least_used, fleet.queued), (1, 9, 0.1, 3));
    }

    #[test]
    fn a_worker_that_fell_silent_is_lost_until_it_is_back_or_forgotten() {
        let (mut roster, now) = (Roster::default(), Instant::now());
        for worker in ["w1", "w2", "w3"] {
            roster.on_heartbeat(&beat(worker, &format!("{worker}-a"), &[("yard", 1)]), now);
        }
        let draining = Heartbeat { state: WorkerState::Draining, ..beat("w2", "w2-a", &[("yard", 1)]) };
        roster.on_heartbeat(&draining, now);
        let stands = |roster: &mut Roster, at: Instant| {
            let Workforce { live, draining, lost, capacity, room } = roster.workforce(at);
            (live, draining, lost, capacity, room)
        };
        assert_eq!(stands(&mut roster, now), (2, 1, 0, 20, 18), "a leaving worker takes nothing");
        let bye = Heartbeat { state: WorkerState::Draining, ..beat("w2", "w2-a", &[]) };
        roster.on_heartbeat(&bye, now);
        assert_eq!(stands(&mut roster, now), (2, 0, 0, 20, 18), "a goodbye is no loss");
        assert!(roster.lose(&SessionId::parse("w1-a").unwrap(), now).is_some());
        assert!(roster.lose(&SessionId::parse("w3-a").unwrap(), now).is_some());
        assert_eq!(stands(&mut roster, now), (0, 0, 2, 0, 0));
        roster.on_heartbeat(&beat("w1", "w1-b", &[]), now);
        assert_eq!(stands(&mut roster, now), (1, 0, 1, 10, 10), "back under its name");
        assert_eq!(stands(&mut roster, now + LOST_KEPT), (1, 0, 0, 10, 10));
    }

    #[test]
    fn lost_workers_are_bounded() {
        let (mut roster, now) = (Roster::default(), Instant::now());
        for n in 0..u32::try_from(MAX_LOST).unwrap() + 3 {
            let worker = format!("w{n}");
            roster.on_heartbeat(&beat(&worker, &format!("{worker}-a"), &[]), now);
            roster.lose(&SessionId::parse(&format!("{worker}-a")).unwrap(), now + Duration::from_millis(n.into()));
        }
        assert_eq!((roster.lost.len(), roster.workforce(now).lost), (MAX_LOST, MAX_LOST));
        assert!(!roster.lost.contains_key(&WorkerId::parse("w0").unwrap()), "the oldest goes first");
    }
}
