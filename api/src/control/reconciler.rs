//! The task that makes streams be what they should be. Woken by event and by timer, it takes no input: each pass
//! looks at everything. It never waits for the disk or for NATS; see [`super::execute`].

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rsm_shared::bus::BusError;
use rsm_shared::bus::demand::Demands;
use rsm_shared::bus::heartbeat::{Answer, Ear, Heard};
use rsm_shared::stream::fence::Epoch;
use rsm_shared::stream::names::{SessionId, Zone};
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::messages::{
    DemandMessage, Event, Fleet, Heartbeat, HeartbeatReply, Priority, TicketReason, VERSION, Want,
};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::execute::{Done, Executor, Placement};
use super::nats_watch::NatsWatch;
use super::plan::{self, Facts, Step, Told};
use super::roster::{Noted, Owner, Roster};
use super::tracked::Tracked;
use super::{ControlMetrics, view};
use crate::app::WorkerInfo;
use crate::directory::{Directory, Entry, View};
use crate::store::assignments::Assignment;
use crate::store::links::CameraLink;
use rsm_shared::config::Config;
use rsm_shared::ops::health::Health;

/// A pass at least this often; events wake it at once.
const PASS: Duration = Duration::from_millis(250);
/// Steps under way at one time; further ones wait for the next pass.
pub(super) const MAX_STEPS: usize = 32;
/// A playlist of a new owner goes on this much later than was last heard of: what happened since is not known.
const SEQUENCE_SLACK: u64 = 16;
/// Between two passes lies more than this only when this process did not run: heartbeats may wait unread.
const STALL: Duration = Duration::from_secs(1);
/// Longest time that somebody else's demand may hold, whatever it says.
const MAX_DEMAND: Duration = Duration::from_secs(60);
pub(super) const MAX_CHALLENGERS: usize = 64;

/// Starts the reconciler's state from what is stored; [`Reconciler::run`] does the rest.
pub struct Reconciler {
    pub(super) config: Config,
    pub(super) directory: Directory,
    pub(super) executor: Executor,
    pub(super) ear: Ear,
    pub(super) demands: Demands,
    pub(super) health: Health,
    pub(super) metrics: ControlMetrics,
    pub(super) workers: watch::Sender<Vec<WorkerInfo>>,
    pub(super) api_session: String,
    pub(super) begun: Instant,
    /// Before this, silence of a worker may be our own deafness.
    pub(super) settles_at: Instant,
    pub(super) roster: Roster,
    /// One for each stream that was ever placed and is not forgotten: links and a minute of removed ones.
    pub(super) placements: HashMap<Slug, Tracked>,
    /// Words of owners about their streams: at most one for each placement.
    pub(super) details: HashMap<Slug, Event>,
    pub(super) steps: JoinSet<Done>,
    /// Streams with a step under way: the next one waits for it.
    pub(super) busy: HashSet<Slug>,
    /// Processes whose name is another live one's: refused at their next heartbeat. At most [`MAX_CHALLENGERS`].
    pub(super) challengers: HashSet<SessionId>,
    pub(super) nats: NatsWatch,
    /// Streams whose last step failed: one entry for each at most, gone after [`plan::TELL_AGAIN`].
    pub(super) not_before: HashMap<Slug, Instant>,
    pub(super) complaints: u64,
    pub(super) complained_at: Option<Instant>,
    last_pass: Instant,
}

/// A step to be taken for one stream.
struct Decision {
    step: Step,
    slug: Slug,
    /// `None` for what is left of a removed one.
    link: Option<Arc<CameraLink>>,
    priority: Priority,
}

/// What the reconciler is made of.
pub struct Parts {
    pub config: Config,
    pub directory: Directory,
    pub executor: Executor,
    pub ear: Ear,
    pub demands: Demands,
    pub health: Health,
    pub metrics: ControlMetrics,
    pub workers: watch::Sender<Vec<WorkerInfo>>,
    /// Unique to this process.
    pub api_session: String,
    pub assignments: Vec<Assignment>,
}

impl Reconciler {
    /// With the stored placements; nothing is told yet.
    pub fn new(parts: Parts) -> Self {
        let now = Instant::now();
        let placements =
            parts.assignments.into_iter().map(|a| (a.slug.clone(), Tracked::new(a, Told::Never, now))).collect();
        Self {
            settles_at: now + settle(&parts.config),
            config: parts.config,
            directory: parts.directory,
            executor: parts.executor,
            ear: parts.ear,
            demands: parts.demands,
            health: parts.health,
            metrics: parts.metrics,
            workers: parts.workers,
            api_session: parts.api_session,
            begun: now,
            roster: Roster::default(),
            placements,
            details: HashMap::new(),
            steps: JoinSet::new(),
            busy: HashSet::new(),
            challengers: HashSet::new(),
            nats: NatsWatch::new(now),
            not_before: HashMap::new(),
            complaints: 0,
            complained_at: None,
            last_pass: now,
        }
    }

    /// Runs until `stop`. Streams go on without it.
    pub async fn run(mut self, stop: CancellationToken) {
        let wake = self.directory.wake.clone();
        let mut connects = self.executor.bus.connects();
        let mut timer = tokio::time::interval(PASS);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                heard = self.ear.next() => match heard {
                    Some(heard) => self.hear(heard).await,
                    None => return,
                },
                demand = self.demands.next() => match demand {
                    Some(Ok((slug, message))) => self.hear_demand(&slug, &message),
                    Some(Err(e)) => warn!("{e}"),
                    None => return,
                },
                Some(done) = self.steps.join_next() => match done {
                    Ok(done) => { self.note(done); self.pass(); }
                    // What it was about is not known any more: begin anew, from the database.
                    Err(e) => {
                        error!("a control step failed: {e}");
                        return;
                    }
                },
                Ok(()) = connects.changed() => {
                    connects.borrow_and_update();
                    self.nats.next_topology = Instant::now();
                    self.settles_at = Instant::now() + settle(&self.config);
                    self.pass();
                }
                () = wake.notified() => self.pass(),
                _ = timer.tick() => self.pass(),
            }
        }
    }

    async fn hear(&mut self, heard: Result<Heard, BusError>) {
        match heard {
            Ok(Heard::Beat(beat, answer)) => self.hear_beat(*beat, answer).await,
            Ok(Heard::Event(event)) => {
                let known = self.details.get(&event.cam);
                let older = known.is_some_and(|k| (event.epoch, event.revision) < (k.epoch, k.revision));
                if !older && self.placements.contains_key(&event.cam) {
                    self.details.insert(event.cam.clone(), event);
                    // Many may wait to be heard; one pass serves them all.
                    self.directory.wake.notify_one();
                }
            }
            Err(e) => warn!("{e}"),
        }
    }

    /// Somebody else's viewers: the stream has to run for them too. What they want of it the worker hears itself.
    fn hear_demand(&mut self, slug: &Slug, message: &DemandMessage) {
        let Some(entry) = self.directory.by_slug(slug.as_str()) else { return };
        let hold = Duration::from_millis(message.ttl_ms).min(MAX_DEMAND);
        if message.demand.any() && entry.wishes.wanted_elsewhere(hold) {
            self.pass();
        }
    }

    async fn hear_beat(&mut self, beat: Heartbeat, answer: Answer) {
        let now = Instant::now();
        let mut reply = HeartbeatReply {
            v: VERSION,
            api_session: self.api_session.clone(),
            conflict: false,
            drop: Vec::new(),
            fleet: Fleet::default(),
        };
        match self.roster.note(&beat, now) {
            Noted::Known => {}
            Noted::New => {
                info!(worker = %beat.worker, session = %beat.session, capacity = beat.cap, "worker joined");
                self.show_workers();
            }
            Noted::Left => {
                info!(worker = %beat.worker, session = %beat.session, "worker left");
                self.show_workers();
            }
            Noted::SameName(other) => {
                // It is told to end only once the other was seen to answer: see `note`.
                reply.conflict = self.challengers.remove(&beat.session);
                if !reply.conflict && self.steps.len() < MAX_STEPS {
                    self.steps.spawn(self.executor.clone().probe(beat.worker.clone(), other, beat.session.clone()));
                }
            }
            Noted::Refused => warn!(worker = %beat.worker, "too many workers, its heartbeat is not taken in"),
        }
        let counts = self.roster.get(&beat.session).is_some();
        for owned in &beat.inv {
            if let (true, Some(tracked)) = (counts, self.placements.get_mut(&owned.cam)) {
                let details = self.details.get_mut(&owned.cam);
                if tracked.take_in(&beat.session, owned, details, now) {
                    self.metrics.claim_changes.with_label_values(&["claimed"]).inc();
                }
            }
            // A placement that is just being made is not known here yet, but may have an owner already.
            if self.busy.contains(&owned.cam) {
                continue;
            }
            let newest = self.placements.get(&owned.cam).map(|t| (t.assignment.epoch, t.assignment.want));
            let outranked = self.roster.outranks(&beat.session, owned).then_some(owned.epoch);
            if let Some(up_to) = plan::to_drop(owned.epoch, newest).or(outranked) {
                reply.drop.push((owned.cam.clone(), up_to));
            }
        }
        if let Err(e) = answer.send(&reply).await {
            warn!(worker = %beat.worker, "{e}");
        }
    }

    /// One pass over everything: level-triggered, idempotent.
    fn pass(&mut self) {
        let now = Instant::now();
        self.check_nats(now);
        let paused = now.saturating_duration_since(self.last_pass) > STALL;
        self.last_pass = now;
        let connected = self.executor.bus.connected();
        if paused || !connected {
            // Nobody could be heard.
            self.settles_at = now + settle(&self.config);
        }
        if now >= self.settles_at {
            for dead in self.roster.bury(now, Duration::from_secs(self.config.control.worker_dead_s)) {
                warn!(session = %dead, "worker is silent, taken for dead");
                self.show_workers();
            }
        }
        self.not_before.retain(|_, until| *until > now);
        let (decisions, waiting) = self.decide(now);
        if connected {
            for decision in decisions {
                self.start(decision);
            }
            self.ask_delivered(waiting, now);
        }
    }

    /// What is to be done, and the zones whose queues have tickets waiting. Shows clients what is seen on the way.
    fn decide(&self, now: Instant) -> (Vec<Decision>, BTreeSet<Zone>) {
        let owners = self.roster.owners();
        self.metrics.claims.set(i64::try_from(owners.len()).unwrap_or(i64::MAX));
        let mut decisions = Vec::new();
        let mut waiting = BTreeSet::new();
        let mut registered = HashSet::new();
        for entry in self.directory.all() {
            let link = entry.link();
            let demanded = entry.wishes.demand(link.jpeg_params(self.config.mjpeg)).any() || entry.wishes.elsewhere();
            let owner = owners.get(&link.slug);
            let facts = self.facts(&link, demanded, &entry, owner, now);
            if facts.placement.as_ref().is_some_and(|p| matches!(p.told, Told::Queued { .. })) {
                waiting.insert(link.zone.clone());
            }
            self.show(&entry, &link, facts.wanted, owner);
            registered.insert(link.slug.clone());
            let priority = if demanded { Priority::Hi } else { Priority::Lo };
            decisions.push(Decision { step: plan::step(&facts), slug: link.slug.clone(), link: Some(link), priority });
        }
        for slug in self.placements.keys().filter(|slug| !registered.contains(*slug)) {
            let held = owners.get(slug).map(|o| o.owned.epoch);
            let step = plan::step(&self.facts_of_removed(slug, held, now));
            decisions.push(Decision { step, slug: slug.clone(), link: None, priority: Priority::Lo });
        }
        decisions.retain(|d| d.step != Step::Nothing);
        (decisions, waiting)
    }

    fn facts(
        &self,
        link: &CameraLink,
        demanded: bool,
        entry: &Entry,
        owner: Option<&Owner<'_>>,
        now: Instant,
    ) -> Facts {
        let tracked = self.placements.get(&link.slug);
        let running = tracked.is_some_and(|t| t.assignment.want == Want::Run);
        let unwanted_for = entry.wishes.unwanted_for().unwrap_or_else(|| now - self.begun);
        let idle_timeout = Duration::from_secs(self.config.camera.idle_timeout_s);
        Facts {
            registered: true,
            wanted: plan::wanted(link.enabled, link.always_on, demanded, running, unwanted_for, idle_timeout),
            spec_rev: link.spec_rev,
            owned: tracked.is_some_and(|t| owner.is_some_and(|o| o.owned.epoch == t.assignment.epoch)),
            held: owner.map(|o| o.owned.epoch),
            urgent: demanded,
            placement: tracked.map(|t| t.placed(&self.roster, now)),
            settled: now >= self.settles_at,
        }
    }

    fn facts_of_removed(&self, slug: &Slug, held: Option<Epoch>, now: Instant) -> Facts {
        Facts {
            registered: false,
            wanted: false,
            spec_rev: 0,
            owned: false,
            held,
            urgent: false,
            placement: self.placements.get(slug).map(|t| t.placed(&self.roster, now)),
            settled: now >= self.settles_at,
        }
    }

    /// Begins a step, unless one of the same stream or too many others are under way.
    fn start(&mut self, decision: Decision) {
        let Decision { step, slug, link, priority } = decision;
        if self.steps.len() >= MAX_STEPS || self.busy.contains(&slug) || self.not_before.contains_key(&slug) {
            return;
        }
        let executor = self.executor.clone();
        let tracked = self.placements.get(&slug);
        let assignment = tracked.map(|t| t.assignment.clone());
        let seen = tracked.map(Tracked::seen).unwrap_or_default();
        match (step, link.as_deref(), assignment) {
            (Step::Place(reason), Some(link), _) => {
                if matches!(reason, TicketReason::Failover | TicketReason::Retry) {
                    info!(stream = %slug, ?reason, "placing again");
                }
                self.steps.spawn(executor.place(Placement {
                    slug: slug.clone(),
                    zone: link.zone.clone(),
                    spec: link.spec(self.config.hls.params()),
                    spec_rev: link.spec_rev,
                    priority,
                    reason,
                    seen,
                    media_sequence: tracked.map_or(0, |t| t.media_sequence + SEQUENCE_SLACK),
                }));
            }
            (Step::Halt, _, Some(a)) => {
                self.steps.spawn(executor.halt(slug.clone(), a.zone, a.spec_rev, seen));
            }
            (Step::HaltAgain, _, Some(a)) => drop(self.steps.spawn(executor.halt_again(a))),
            (Step::Rewrite, Some(link), Some(a)) => {
                self.steps.spawn(executor.rewrite(a, link.spec(self.config.hls.params())));
            }
            (Step::Tidy, _, Some(a)) => drop(self.steps.spawn(executor.tidy(a))),
            (Step::Forget, _, Some(a)) => drop(self.steps.spawn(executor.forget(a))),
            _ => return,
        }
        self.busy.insert(slug);
    }

    pub(super) fn show_workers(&self) {
        let mut workers: Vec<_> =
            self.roster.live().map(|s| WorkerInfo { worker: s.worker.to_string(), http: s.http.clone() }).collect();
        workers.sort_by(|a, b| a.worker.cmp(&b.worker));
        self.workers.send_replace(workers);
    }

    /// Puts what clients see, if it changed.
    fn show(&self, entry: &Entry, link: &CameraLink, wanted: bool, owner: Option<&Owner<'_>>) {
        let tracked = self.placements.get(&link.slug);
        let newest = owner.filter(|o| tracked.is_some_and(|t| o.owned.epoch == t.assignment.epoch));
        let detail = newest.and_then(|o| self.details.get(&link.slug).filter(|d| d.fence() == o.owned.fence()));
        let (workers, free) = self.roster.capacity(&link.zone);
        let (state, reason) = view::state(&view::Seen {
            enabled: link.enabled,
            wanted,
            owner: newest.map(|o| detail.map_or((o.owned.state, None), |d| (d.state, d.reason.as_ref()))),
            workers,
            free,
            zone: link.zone.as_str(),
        });
        let before = entry.view();
        let since = match detail.filter(|d| d.state == state) {
            Some(d) => from_millis(d.since_ms).unwrap_or(before.since),
            None if before.state == state => before.since,
            None => jiff::Timestamp::now(),
        };
        let after = View {
            state,
            reason,
            since,
            worker: newest.map(|o| o.session.worker.to_string()),
            fence: newest.map(|o| o.owned.fence()),
            http: newest.map(|o| o.session.http.clone()),
            epoch: tracked.map(|t| t.assignment.epoch.0),
            video: detail.and_then(|d| d.video.clone()),
            restarts: detail.map_or(0, |d| d.restarts),
            last_media: newest.and_then(Owner::last_media),
            hls_error: detail.and_then(|d| d.hls_error.clone()),
        };
        if *before != after {
            self.directory.show(entry, after);
        }
    }
}

/// Silence after our own beginning or reconnect means nothing until every worker had time to be heard.
fn settle(config: &Config) -> Duration {
    Duration::from_secs(config.control.worker_dead_s + 1)
}

fn from_millis(ms: u64) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()
}
