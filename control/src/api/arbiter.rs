//! What the API knows of streams and workers, and what it does about it: one state machine without a clock, a disk or
//! a network of its own. The reconciler feeds it and carries out its commands; a simulation does the same with a
//! model of the world.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use rsm_shared::stream::fence::Epoch;
use rsm_shared::stream::names::{SessionId, Zone};
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::messages::{Event, Heartbeat, HeartbeatReply, VERSION, Want};
use tracing::{info, warn};

use super::ControlMetrics;
use super::command::Question;
use super::detector::Detector;
use super::plan::{self, Told};
use super::roster::{Noted, Owner, Roster};
use super::suspects::{HeldBack, Suspects};
use super::tracked::Tracked;
use crate::metrics::control::ClaimChange;
use crate::store::assignments::Assignment;

/// Processes whose name is another live one's, kept in mind.
pub(super) const MAX_CHALLENGERS: usize = 64;

/// What decides how the arbiter behaves.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// A worker that is silent for this long is dead.
    pub dead_after: Duration,
    /// A stream that nobody has wanted for this long is stopped.
    pub idle_timeout: Duration,
    /// From which difference in use on streams move to emptier workers, as a share of capacity; `None` for never.
    pub balance: Option<f32>,
}

/// What should be of one registered stream.
#[derive(Clone, Debug)]
pub struct Wish {
    pub slug: Slug,
    pub zone: Zone,
    /// No operator has stopped it.
    pub enabled: bool,
    pub always_on: bool,
    /// The camera serves one session only.
    pub exclusive: bool,
    /// A placement made for another revision is out of date.
    pub spec_rev: i64,
    /// Somebody wants it now.
    pub demanded: bool,
    /// How long nobody has wanted it; `None` when nobody ever did through this process.
    pub unwanted_for: Option<Duration>,
}

/// The state machine.
pub struct Arbiter {
    pub(super) settings: Settings,
    pub(super) metrics: ControlMetrics,
    /// Unique to this process.
    api_session: String,
    pub(super) begun: Instant,
    pub(super) detector: Detector,
    pub(super) roster: Roster,
    /// One for each stream that was ever placed and is not forgotten: links and a minute of removed ones.
    pub(super) placements: HashMap<Slug, Tracked>,
    /// Words of owners about their streams: at most one for each placement.
    pub(super) details: HashMap<Slug, Event>,
    pub(super) suspects: Suspects,
    /// Streams with a command under way: the next one waits for it.
    pub(super) busy: HashSet<Slug>,
    /// Where streams with a move under way are going to. One entry for each busy stream at most.
    pub(super) moving: HashMap<Slug, SessionId>,
    /// Processes whose name is another live one's, and since when: refused at their next heartbeat. At most
    /// [`MAX_CHALLENGERS`].
    pub(super) challengers: HashMap<SessionId, Instant>,
    /// Streams whose last command failed: one entry for each at most, gone after [`plan::TELL_AGAIN`].
    pub(super) not_before: HashMap<Slug, Instant>,
    pub(super) complaints: u64,
    pub(super) complained_at: Option<Instant>,
    /// Who owns which stream by the newest fence, as of the last pass.
    pub(super) owners: HashMap<Slug, SessionId>,
    /// Tickets that wait, by zone, as of the last pass.
    pub(super) queued: HashMap<Zone, u32>,
    pub(super) last_pass: Instant,
    /// Who lives has changed since this was last taken.
    pub(super) roster_changed: bool,
}

impl Arbiter {
    /// With the stored placements; nothing is told yet.
    pub fn new(
        settings: Settings,
        metrics: ControlMetrics,
        api_session: String,
        assignments: Vec<Assignment>,
        now: Instant,
    ) -> Self {
        let placements = assignments.into_iter().map(|a| (a.slug.clone(), Tracked::new(a, Told::Never, now))).collect();
        Self {
            detector: Detector::new(settings.dead_after, now),
            settings,
            metrics,
            api_session,
            begun: now,
            roster: Roster::default(),
            placements,
            details: HashMap::new(),
            suspects: Suspects::default(),
            busy: HashSet::new(),
            moving: HashMap::new(),
            challengers: HashMap::new(),
            not_before: HashMap::new(),
            complaints: 0,
            complained_at: None,
            owners: HashMap::new(),
            queued: HashMap::new(),
            last_pass: now,
            roster_changed: false,
        }
    }

    /// The connection was made anew: nobody could be heard until now.
    pub fn reconnected(&mut self, now: Instant) {
        self.detector.unsettle(now);
    }

    /// NATS has lost what it stored: everything has to be told again. How many streams that are.
    pub fn store_lost(&mut self) -> usize {
        for tracked in self.placements.values_mut() {
            tracked.told = Told::Never;
            tracked.ticket = None;
        }
        self.placements.len()
    }

    /// Placements whose desired record NATS must hold, as of an answer at most `age` old.
    pub fn told_before(&self, now: Instant, age: Duration) -> usize {
        self.placements.values().filter(|t| t.is_told_before(now, age)).count()
    }

    /// All live workers.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The newest placement of a stream and how it goes.
    pub fn placement(&self, slug: &Slug) -> Option<&Tracked> {
        self.placements.get(slug)
    }

    /// Whether workers came or went since this was last asked.
    pub fn take_roster_changed(&mut self) -> bool {
        std::mem::take(&mut self.roster_changed)
    }

    /// Takes a heartbeat in: the answer, and what has to be found out because of it.
    pub fn hear_beat(&mut self, beat: &Heartbeat, now: Instant) -> (HeartbeatReply, Option<Question>) {
        let mut reply = HeartbeatReply {
            v: VERSION,
            api_session: self.api_session.clone(),
            conflict: false,
            drop: Vec::new(),
            fleet: rsm_shared::wire::messages::Fleet::default(),
        };
        let mut question = None;
        match self.roster.note(beat, now) {
            Noted::Known => {}
            Noted::New => {
                info!(worker = %beat.worker, session = %beat.session, capacity = beat.cap, "a worker joined");
                self.challengers.remove(&beat.session);
                self.roster_changed = true;
            }
            Noted::Left => {
                info!(worker = %beat.worker, session = %beat.session, "a worker left");
                self.roster_changed = true;
            }
            Noted::SameName(other) => {
                // It is told to end only once the other was seen to answer.
                reply.conflict = self.challengers.remove(&beat.session).is_some();
                if !reply.conflict {
                    let (worker, challenger) = (beat.worker.clone(), Some(beat.session.clone()));
                    question = Some(Question { worker, session: other, challenger });
                }
            }
            Noted::Refused => {
                warn!(repeats = true, worker = %beat.worker, "too many workers, its heartbeat is not taken in")
            }
        }
        let counts = self.roster.get(&beat.session).is_some();
        for owned in &beat.inv {
            // A placement that is just being made is not known here yet, but may have an owner already.
            let busy = self.busy.contains(&owned.cam);
            let Some(tracked) = self.placements.get_mut(&owned.cam) else {
                if !busy {
                    reply.drop.push((owned.cam.clone(), owned.epoch));
                }
                continue;
            };
            if counts && tracked.take_in(&beat.session, owned, self.details.get_mut(&owned.cam), now) {
                self.metrics.claim_change(ClaimChange::Claimed);
            }
            if !busy && let Some(up_to) = tracked.to_drop(&beat.session, owned) {
                reply.drop.push((owned.cam.clone(), up_to));
            }
        }
        let queued = beat.zones.iter().filter_map(|zone| self.queued.get(zone)).sum();
        reply.fleet = self.roster.fleet(&beat.session, &beat.zones, queued);
        (reply, question)
    }

    /// Takes in what an owner says of a stream; whether it is news.
    pub fn hear_event(&mut self, event: Event, now: Instant) -> bool {
        let older = self.details.get(&event.cam).is_some_and(|k| (event.epoch, event.revision) < (k.epoch, k.revision));
        let Some(tracked) = self.placements.get_mut(&event.cam).filter(|_| !older) else { return false };
        if self.roster.get(&event.session).is_some() {
            tracked.take_in_event(&event, now);
        }
        self.details.insert(event.cam.clone(), event);
        true
    }

    pub(super) fn count_queued(&mut self) {
        self.queued.clear();
        for tracked in self.placements.values().filter(|t| matches!(t.told, Told::Queued { .. })) {
            *self.queued.entry(tracked.assignment.zone.clone()).or_default() += 1;
        }
    }

    /// Zones whose queues have tickets waiting.
    pub fn waiting(&self) -> BTreeSet<Zone> {
        self.queued.keys().cloned().collect()
    }

    /// The largest epoch under which a live worker owns a stream.
    pub(super) fn held(&self, slug: &Slug) -> Option<Epoch> {
        Some(self.roster.get(self.owners.get(slug)?)?.owned.get(slug)?.epoch)
    }

    pub(super) fn wanted(&self, wish: &Wish, now: Instant) -> bool {
        let running = self.placements.get(&wish.slug).is_some_and(|t| t.assignment.want == Want::Run);
        let unwanted_for = wish.unwanted_for.unwrap_or_else(|| now.saturating_duration_since(self.begun));
        let idle_timeout = self.settings.idle_timeout;
        plan::wanted(wish.enabled, wish.always_on, wish.demanded, running, unwanted_for, idle_timeout)
    }

    /// A command could not even be begun: what it was about is gone.
    pub fn give_up(&mut self, slug: &Slug) {
        self.busy.remove(slug);
    }

    /// What clients are to see of a stream, as of the last pass.
    pub fn sight(&self, wish: &Wish, now: Instant) -> Sight<'_> {
        let tracked = self.placements.get(&wish.slug);
        let owner = tracked.and_then(|t| self.shown_owner(&wish.slug, t));
        let detail = owner.and_then(|o| self.details.get(&wish.slug).filter(|d| d.fence() == o.owned.fence()));
        Sight {
            wanted: self.wanted(wish, now),
            owner,
            detail,
            epoch: tracked.map(|t| t.assignment.epoch),
            adopted: tracked.is_some_and(|t| t.assignment.want == Want::Run && !t.is_ours()),
            held_back: self.suspects.look(&wish.slug, now),
        }
    }

    /// The owner whose media counts: during a hand-off the earlier one.
    fn shown_owner<'a>(&'a self, slug: &Slug, tracked: &Tracked) -> Option<Owner<'a>> {
        let owner = |session: &SessionId, epoch: Epoch| {
            let session = self.roster.get(session)?;
            let owned = session.owned.get(slug).filter(|owned| owned.epoch == epoch)?;
            Some(Owner { session, owned })
        };
        let earlier = tracked.handed_from().and_then(|from| owner(&from.session, from.epoch));
        earlier.or_else(|| owner(self.owners.get(slug)?, tracked.assignment.epoch))
    }
}

/// What is to be seen of one stream.
pub struct Sight<'a> {
    pub wanted: bool,
    /// The owner whose media counts.
    pub owner: Option<Owner<'a>>,
    /// What that owner said last.
    pub detail: Option<&'a Event>,
    /// Of the newest placement.
    pub epoch: Option<Epoch>,
    /// The newest placement is a run that an earlier process made.
    pub adopted: bool,
    pub held_back: Option<HeldBack>,
}
