//! Who lives: the workers' processes, by their heartbeats and our monotonic clock. Clocks of other hosts decide nothing.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rsm_shared::stream::names::{SessionId, WorkerId, Zone};
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::messages::{Heartbeat, Owned, WorkerState};

/// Worker processes that are kept in mind; heartbeats of further ones are not answered.
const MAX_SESSIONS: usize = 2000;

/// One live worker process.
#[derive(Debug)]
pub struct Session {
    pub id: SessionId,
    pub worker: WorkerId,
    pub zones: Vec<Zone>,
    pub capacity: u32,
    pub draining: bool,
    /// `host:port` of its metrics and health.
    pub http: String,
    pub owned: HashMap<Slug, Owned>,
    last_heard: Instant,
}

/// A live process and one stream that it owns.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    pub session: &'a Session,
    pub owned: &'a Owned,
}

impl Owner<'_> {
    /// When the camera's last picture came, by our clock.
    pub fn last_media(&self) -> Option<Instant> {
        self.session.last_heard.checked_sub(Duration::from_millis(self.owned.media_age_ms?))
    }
}

/// All live worker processes.
#[derive(Debug, Default)]
pub struct Roster {
    sessions: HashMap<SessionId, Session>,
}

/// What a heartbeat changed.
#[derive(Debug, PartialEq, Eq)]
pub enum Noted {
    /// A process that was known.
    Known,
    /// A process that was not.
    New,
    /// It has said goodbye: draining, and owns nothing.
    Left,
    /// A process that was not known, and another one of the same name lives: which of them is real must be found out.
    SameName(SessionId),
    /// There are too many.
    Refused,
}

impl Roster {
    /// Takes a heartbeat in.
    pub fn note(&mut self, beat: &Heartbeat, now: Instant) -> Noted {
        if beat.state == WorkerState::Draining && beat.inv.is_empty() {
            self.sessions.remove(&beat.session);
            return Noted::Left;
        }
        let known = self.sessions.contains_key(&beat.session);
        if !known {
            if let Some(other) = self.sessions.values().find(|s| s.worker == beat.worker) {
                return Noted::SameName(other.id.clone());
            }
            if self.sessions.len() >= MAX_SESSIONS {
                return Noted::Refused;
            }
        }
        let session = Session {
            id: beat.session.clone(),
            worker: beat.worker.clone(),
            zones: beat.zones.clone(),
            capacity: beat.cap,
            draining: beat.state == WorkerState::Draining,
            http: beat.http.clone(),
            owned: beat.inv.iter().map(|o| (o.cam.clone(), o.clone())).collect(),
            last_heard: now,
        };
        self.sessions.insert(beat.session.clone(), session);
        if known { Noted::Known } else { Noted::New }
    }

    /// Forgets a process that is known to be gone; whether it was there.
    pub fn remove(&mut self, session: &SessionId) -> bool {
        self.sessions.remove(session).is_some()
    }

    /// Removes those that were silent for `dead_after`, and names them.
    pub fn bury(&mut self, now: Instant, dead_after: Duration) -> Vec<SessionId> {
        let dead: Vec<_> = self
            .sessions
            .values()
            .filter(|s| now.saturating_duration_since(s.last_heard) > dead_after)
            .map(|s| s.id.clone())
            .collect();
        for id in &dead {
            self.sessions.remove(id);
        }
        dead
    }

    /// A live process.
    pub fn get(&self, session: &SessionId) -> Option<&Session> {
        self.sessions.get(session)
    }

    /// All that live.
    pub fn live(&self) -> impl Iterator<Item = &Session> {
        self.sessions.values()
    }

    /// Who owns which stream, the newest fence where several do.
    pub fn owners(&self) -> HashMap<Slug, Owner<'_>> {
        let mut owners: HashMap<Slug, Owner<'_>> = HashMap::new();
        for session in self.sessions.values() {
            for (slug, owned) in &session.owned {
                if owners.get(slug).is_none_or(|other| owned.fence() > other.owned.fence()) {
                    owners.insert(slug.clone(), Owner { session, owned });
                }
            }
        }
        owners
    }

    /// Whether another live process owns the same epoch of the same stream by a later claim.
    pub fn outranks(&self, session: &SessionId, owned: &Owned) -> bool {
        self.sessions.values().filter(|other| other.id != *session).any(|other| {
            let theirs = other.owned.get(&owned.cam);
            theirs.is_some_and(|o| o.epoch == owned.epoch && o.revision > owned.revision)
        })
    }

    /// How a zone stands: `(workers, free slots)`.
    pub fn capacity(&self, zone: &Zone) -> (usize, u32) {
        self.sessions.values().filter(|s| s.zones.contains(zone) && !s.draining).fold((0, 0), |(workers, free), s| {
            let used = u32::try_from(s.owned.len()).unwrap_or(u32::MAX);
            (workers + 1, free + s.capacity.saturating_sub(used))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_shared::stream::fence::Epoch;
    use rsm_shared::stream::state::StreamState;
    use rsm_shared::wire::messages::Load;

    fn beat(worker: &str, session: &str, owned: &[(&str, u64)]) -> Heartbeat {
        Heartbeat {
            v: 1,
            session: SessionId::parse(session).unwrap(),
            worker: WorkerId::parse(worker).unwrap(),
            seq: 1,
            state: WorkerState::Up,
            zones: vec![Zone::default_zone()],
            cap: 10,
            room: 10,
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
    fn a_silent_worker_is_dead_and_a_late_one_is_not() {
        let (mut roster, start, dead) = (Roster::default(), Instant::now(), Duration::from_secs(4));
        assert_eq!(roster.note(&beat("w1", "w1-a", &[("yard", 1)]), start), Noted::New);
        assert_eq!(roster.note(&beat("w1", "w1-a", &[("yard", 1)]), start + dead), Noted::Known);
        assert!(roster.bury(start + dead * 2, dead).is_empty());
        assert_eq!(roster.bury(start + dead * 2 + Duration::from_millis(1), dead).len(), 1);
        assert!(roster.owners().is_empty());
    }

    #[test]
    fn a_second_process_of_one_name_is_not_taken_in() {
        let (mut roster, now) = (Roster::default(), Instant::now());
        roster.note(&beat("w1", "w1-a", &[]), now);
        let first = SessionId::parse("w1-a").unwrap();
        assert_eq!(roster.note(&beat("w1", "w1-b", &[]), now), Noted::SameName(first.clone()));
        assert!(roster.remove(&first));
        assert_eq!(roster.note(&beat("w1", "w1-b", &[]), now), Noted::New);
    }

    #[test]
    fn a_goodbye_ends_a_session_at_once() {
        let (mut roster, now) = (Roster::default(), Instant::now());
        roster.note(&beat("w1", "w1-a", &[("yard", 1)]), now);
        let bye = Heartbeat { state: WorkerState::Draining, ..beat("w1", "w1-a", &[]) };
        assert_eq!(roster.note(&bye, now), Noted::Left);
        assert_eq!(roster.live().count(), 0);
    }

    #[test]
    fn the_newest_owner_counts_and_free_slots_add_up() {
        let (mut roster, now) = (Roster::default(), Instant::now());
        roster.note(&beat("w1", "w1-a", &[("yard", 1), ("door", 1)]), now);
        roster.note(&beat("w2", "w2-a", &[("yard", 2)]), now);
        let yard = Slug::parse("yard").unwrap();
        assert_eq!(roster.owners()[&yard].owned.epoch, Epoch(2));
        assert_eq!(roster.capacity(&Zone::default_zone()), (2, 17));
        assert_eq!(roster.capacity(&Zone::parse("other").unwrap()), (0, 0));
    }
}
