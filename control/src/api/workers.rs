//! The worker processes: which are alive, which are dead, which use a name twice, and which streams they own.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rsm_model::stream::fence::Epoch;
use rsm_model::stream::names::SessionId;
use rsm_model::stream::slug::Slug;
use rsm_model::wire::messages::Heartbeat;
use rsm_model::wire::presence::Presence;
use tracing::{error, info, warn};

use super::command::PresenceQuery;
use super::detector::Detector;
use super::observer::Workforce;
use super::roster::{Roster, RosterChange, RosterNews, WorkerSession};

/// Most processes remembered whose name another live process uses.
const MAX_CHALLENGERS: usize = 64;
/// A refused process beats each second; one that has not for this long has ended.
const CHALLENGER_KEPT: Duration = Duration::from_secs(10);

/// The roster, the failure detector, and the state between them.
pub struct Workers {
    roster: Roster,
    detector: Detector,
    /// Processes whose name another live process uses, and since when: refused at their next heartbeat. At most
    /// [`MAX_CHALLENGERS`].
    challengers: HashMap<SessionId, Instant>,
    /// Workers came or went since this was last taken.
    changed: bool,
}

/// Consequences of a heartbeat for its sender.
pub struct HeartbeatCheck {
    /// The sender has to end: another live process has its name.
    pub conflict: bool,
    /// The other process of the same name has to be asked whether it is there.
    pub query: Option<PresenceQuery>,
}

/// A worker process that was declared dead.
pub struct WorkerDeath {
    pub session: WorkerSession,
    /// The process has ended; `false` when it is only silent, and may be cut off.
    pub process_gone: bool,
}

impl Workers {
    /// A worker that is silent for `dead_after` is dead.
    pub fn new(dead_after: Duration, now: Instant) -> Self {
        Self {
            roster: Roster::default(),
            detector: Detector::new(dead_after, now),
            challengers: HashMap::new(),
            changed: false,
        }
    }

    /// All live workers.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// No worker could be heard until now: after a reconnect, or a pause of this process.
    pub fn unsettle(&mut self, now: Instant) {
        self.detector.unsettle(now);
    }

    /// Returns whether silence of a worker means something now.
    pub fn settled(&self, now: Instant) -> bool {
        self.detector.settled(now)
    }

    /// Returns whether workers came or went since the last call.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The process that owns a stream by the newest fence.
    pub fn owner(&self, slug: &Slug) -> Option<&SessionId> {
        self.roster.owners().newest(slug)
    }

    /// Streams that have an owner.
    pub fn owned_streams(&self) -> usize {
        self.roster.owners().len()
    }

    /// The largest epoch under which a live worker owns a stream.
    pub fn owned_epoch(&self, slug: &Slug) -> Option<Epoch> {
        Some(self.roster.get(self.owner(slug)?)?.owned.get(slug)?.epoch)
    }

    /// Totals over the workers.
    pub fn workforce(&mut self, now: Instant) -> Workforce {
        self.roster.workforce(now)
    }

    /// Changes of the roster since the last call, as far as they concern the steps of streams.
    pub fn take_news(&mut self) -> RosterNews {
        self.roster.take_news()
    }

    /// Forgets challengers that have ended.
    pub fn refresh(&mut self, now: Instant) {
        self.challengers.retain(|_, since| now.saturating_duration_since(*since) < CHALLENGER_KEPT);
    }

    /// Takes in a heartbeat, without the streams that it lists.
    pub fn on_heartbeat(&mut self, beat: &Heartbeat, now: Instant) -> HeartbeatCheck {
        let mut check = HeartbeatCheck { conflict: false, query: None };
        match self.roster.on_heartbeat(beat, now) {
            RosterChange::Known => {}
            RosterChange::Joined => {
                info!(worker = %beat.worker, session = %beat.session, capacity = beat.cap, "a worker joined");
                self.challengers.remove(&beat.session);
                self.changed = true;
            }
            RosterChange::Left => {
                info!(worker = %beat.worker, session = %beat.session, "a worker left");
                self.changed = true;
            }
            RosterChange::SameName(other) => {
                // It is told to end only after the other process has answered.
                check.conflict = self.challengers.remove(&beat.session).is_some();
                if !check.conflict {
                    let (worker, challenger) = (beat.worker.clone(), Some(beat.session.clone()));
                    check.query = Some(PresenceQuery { worker, session: other, challenger });
                }
            }
            RosterChange::Refused => {
                warn!(repeats = true, worker = %beat.worker, "too many workers, its heartbeat is not taken in");
            }
        }
        check
    }

    /// Judges the silence of all workers. Returns those that are dead, which are no longer in the roster, and the
    /// questions to silent ones.
    pub fn find_dead(&mut self, now: Instant) -> (Vec<WorkerDeath>, Vec<PresenceQuery>) {
        let report = self.detector.check(&self.roster, now);
        if let Some((silent, all)) = report.mass_silence {
            warn!(
                repeats = true,
                silent, all, "most workers fell silent at once: taken for a fault of the network and waited out"
            );
        }
        let mut deaths = Vec::new();
        for id in report.dead {
            let process_gone = self.detector.is_gone(&id);
            if let Some(session) = self.roster.lose(&id, now) {
                let silent_s = now.saturating_duration_since(session.last_heard).as_secs_f32();
                warn!(worker = %session.worker, session = %id, silent_s, streams = session.owned.len(), "a worker is dead, its streams are placed again");
                self.changed = true;
                deaths.push(WorkerDeath { session, process_gone });
            }
        }
        let query = |(worker, session)| PresenceQuery { worker, session, challenger: None };
        (deaths, report.ask.into_iter().map(query).collect())
    }

    /// Takes in the answer to a question; a death that follows from it.
    pub fn on_presence(&mut self, query: PresenceQuery, presence: Presence, now: Instant) -> Option<WorkerDeath> {
        let PresenceQuery { worker, session, challenger } = query;
        let Some(challenger) = challenger else {
            self.detector.on_presence(&session, presence, now);
            return None;
        };
        match presence {
            Presence::Gone => {
                let gone = self.roster.lose(&session, now)?;
                info!(%worker, %session, "a worker process is gone, a new one of its name takes over");
                self.changed = true;
                Some(WorkerDeath { session: gone, process_gone: true })
            }
            Presence::Present => {
                error!(repeats = true, %worker, running = %session, refused = %challenger, "two live workers have one name; the second is refused");
                if self.challengers.len() < MAX_CHALLENGERS {
                    self.challengers.insert(challenger, now);
                }
                None
            }
            Presence::Unknown => None,
        }
    }
}
