//! The task around the arbiter: it receives messages, has the arbiter decide, and has commands carried out.
//!
//! It never waits for the disk, and for NATS only where it answers a heartbeat: the client queues the answer, and a queue
//! that is full delays the task by the deadline of one request. Everything else that waits is a task of its own; see
//! [`super::execute`] and [`super::nats_watch`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rsm_control::api::agenda::Looks;
use rsm_control::api::arbiter::{Arbiter, ArbiterSettings};
use rsm_control::api::assignment::Assignment;
use rsm_control::api::command::Command;
use rsm_control::api::outcome::CommandOutcome;
use rsm_control::api::start_times::{StartObservation, StartTimes};
use rsm_shared::bus::BusError;
use rsm_shared::bus::demand::Demands;
use rsm_shared::bus::heartbeat::{Answer, WorkerListener, WorkerMessage};
use rsm_shared::config::Config;
use rsm_shared::ops::health::{Concern, Health};
use rsm_shared::stream::names::Zone;
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::messages::{DemandMessage, Heartbeat};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::client_view;
use super::execute::{self, Executor};
use super::intents::Intents;
use super::nats_watch::NatsWatch;
use crate::directory::{Directory, Entry};
use crate::discovery::workers::WorkerInfo;
use crate::metrics::control::ControlMetrics;

/// Longest time between two passes; events wake it at once.
const PASS: Duration = Duration::from_millis(250);
/// Events that come close together are served by one pass.
const LEAST_PAUSE: Duration = Duration::from_millis(10);
/// A pass over ten thousand streams takes some milliseconds: between two of them lies this many times what the last one
/// took, so that events cannot make them take more than a third of a core.
const REST: u32 = 2;
/// Most commands under way. The arbiter bounds those that change something; questions and releases are left out beyond
/// this.
const MAX_TASKS: usize = 128;
/// Longest time that the demand of another process may hold, whatever its message says.
const MAX_DEMAND: Duration = Duration::from_secs(60);

/// The task, ready to [`run`](Reconciler::run).
pub struct Reconciler {
    config: Config,
    directory: Directory,
    executor: Executor,
    ear: WorkerListener,
    demands: Demands,
    health: Health,
    metrics: ControlMetrics,
    workers: watch::Sender<Vec<WorkerInfo>>,
    arbiter: Arbiter,
    intents: Intents,
    starts: StartTimes,
    /// Commands under way; `None` is one without an outcome.
    tasks: JoinSet<Option<CommandOutcome>>,
    nats: NatsWatch,
}

/// The parts that the reconciler is made of.
pub struct ReconcilerParts {
    pub config: Config,
    pub directory: Directory,
    pub executor: Executor,
    pub ear: WorkerListener,
    pub demands: Demands,
    pub health: Health,
    pub metrics: ControlMetrics,
    pub workers: watch::Sender<Vec<WorkerInfo>>,
    /// Unique to this process.
    pub api_session: String,
    pub assignments: Vec<Assignment>,
}

impl Reconciler {
    /// Starts from the stored placements; nothing has been sent about them yet.
    pub fn new(parts: ReconcilerParts) -> Self {
        let now = Instant::now();
        let observer = Box::new(parts.metrics.clone());
        let Executor { bus, replicas, .. } = parts.executor.clone();
        let mut arbiter = Arbiter::new(settings(&parts.config), observer, parts.api_session, parts.assignments, now);
        let mut intents = Intents::default();
        intents.read_all(&parts.directory, &parts.config, &mut arbiter);
        Self {
            arbiter,
            intents,
            config: parts.config,
            directory: parts.directory,
            executor: parts.executor,
            ear: parts.ear,
            demands: parts.demands,
            health: parts.health,
            metrics: parts.metrics,
            workers: parts.workers,
            starts: StartTimes::default(),
            tasks: JoinSet::new(),
            nats: NatsWatch::new(bus, replicas, now),
        }
    }

    /// Runs until `stop`. Streams go on without it.
    pub async fn run(mut self, stop: CancellationToken) {
        let wake = self.directory.wake.clone();
        let mut connects = self.executor.bus.connects();
        let mut timer = tokio::time::interval(PASS);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next_pass = Instant::now();
        let mut due = true;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(next_pass.into()), if due => {
                    let begun = Instant::now();
                    self.pass();
                    due = false;
                    next_pass = Instant::now() + LEAST_PAUSE.max(begun.elapsed() * REST);
                }
                Ok(()) = connects.changed() => {
                    connects.borrow_and_update();
                    self.nats.reconnected(Instant::now());
                    self.arbiter.reconnected(Instant::now());
                    due = true;
                }
                heard = self.ear.next() => match heard {
                    Some(heard) => due |= self.on_message(heard).await,
                    None => return,
                },
                Some(done) = self.tasks.join_next() => match done {
                    Ok(outcome) => {
                        outcome.into_iter().for_each(|outcome| self.arbiter.on_outcome(outcome, Instant::now()));
                        due = true;
                    }
                    // The stream of the command is not known any more: begin anew, from the database.
                    Err(e) => return log_failed_task(&e),
                },
                Some(report) = self.nats.next() => match report {
                    Ok(report) => { self.nats.on_report(report, &mut self.arbiter, Instant::now()); due = true; }
                    Err(e) => return log_failed_task(&e),
                },
                demand = self.demands.next() => match demand {
                    Some(Ok((slug, message))) => due |= self.on_demand(&slug, &message),
                    Some(Err(e)) => warn!(repeats = true, error = %e, "a demand of viewers is not readable"),
                    None => return,
                },
                () = wake.woken() => due = true,
                _ = timer.tick() => due = true,
            }
        }
    }

    /// Takes in a message of a worker. Returns whether a pass is due.
    async fn on_message(&mut self, heard: Result<WorkerMessage, BusError>) -> bool {
        match heard {
            Ok(WorkerMessage::Beat(beat, answer)) => {
                self.on_heartbeat(&beat, answer).await;
                false
            }
            Ok(WorkerMessage::Event(event)) => self.arbiter.on_event(event, Instant::now()),
            Err(e) => {
                warn!(repeats = true, error = %e, "a heartbeat or an event of a worker is not readable");
                false
            }
        }
    }

    async fn on_heartbeat(&mut self, beat: &Heartbeat, answer: Answer) {
        let now = Instant::now();
        let (reply, query) = self.arbiter.on_heartbeat(beat, now);
        self.note_media(beat, now);
        if let Err(e) = answer.send(&reply).await {
            warn!(repeats = true, worker = %beat.worker, error = %e, "a heartbeat was not answered");
        }
        if let Some(query) = query {
            self.carry_out(Command::AskPresence(query));
        }
        self.show_workers();
    }

    /// Notes when the last picture of each stream came: it changes with each heartbeat, so it waits for no pass.
    fn note_media(&self, beat: &Heartbeat, now: Instant) {
        for owned in &beat.inv {
            let at = owned.media_age_ms.and_then(|age| now.checked_sub(Duration::from_millis(age)));
            if let (Some(at), Some(stream)) = (at, self.directory.streams.get(&owned.cam)) {
                stream.saw_media(owned.fence(), at);
            }
        }
    }

    /// Takes in the demand of viewers at another process: the stream has to run for them too. The worker gets the message
    /// itself. Returns whether a pass is due.
    fn on_demand(&mut self, slug: &Slug, message: &DemandMessage) -> bool {
        let Some(entry) = self.directory.get(slug) else { return false };
        let hold = Duration::from_millis(message.ttl_ms).min(MAX_DEMAND);
        if !message.demand.any() {
            return false;
        }
        let new = entry.demand.wanted_elsewhere(hold);
        if new {
            self.directory.wake.note(slug);
        }
        // This process receives its own messages too, with wishes that it knows.
        if let Some(wish) = message.traceparent {
            entry.start.wanted(wish, new, Instant::now());
        }
        new
    }

    /// One pass of the arbiter: begins its commands, and updates the views of clients.
    fn pass(&mut self) {
        let now = Instant::now();
        let connected = self.executor.bus.connected();
        self.metrics.nats_connected.set(i64::from(connected));
        self.intents.read(&self.directory, &self.config, &mut self.arbiter, now);
        self.nats.check(&self.arbiter, &self.health, now);
        let pass = self.arbiter.pass(connected, now);
        for command in pass.commands {
            self.carry_out(command);
        }
        self.starts.retain(|slug| self.directory.get(slug).is_some());
        self.warn_of_workers();
        self.show_changed(pass.changed, now);
        self.show_workers();
        if connected {
            self.nats.read_queues(self.arbiter.waiting_zones(), now);
        }
    }

    fn show_changed(&mut self, changed: Looks, now: Instant) {
        let entries: Vec<Arc<Entry>> = match changed {
            Looks::All => self.directory.all(),
            Looks::These(slugs) => slugs.iter().filter_map(|slug| self.directory.get(slug)).collect(),
        };
        // Counted once for each zone, not for each stream.
        let mut capacities = HashMap::new();
        for entry in entries {
            self.show(&entry, &mut capacities, now);
        }
    }

    fn warn_of_workers(&self) {
        let none = !self.arbiter.roster().live().any(|session| !session.draining);
        let why = "no worker is running, so no stream can; start one with `rsm worker`, or `rsm up` for everything";
        self.health.warn(Concern::Workers, none.then(|| why.to_owned()));
    }

    fn carry_out(&mut self, command: Command) {
        let executor = self.executor.clone();
        match command {
            Command::Place(place) => {
                let entry = self.directory.by_slug(place.slug.as_str()).map(|entry| (entry.link(), entry));
                let Some((link, entry)) = entry.filter(|(link, _)| link.zone == place.zone) else {
                    // It was removed or moved to another zone in this moment.
                    self.arbiter.abandon(&place.slug);
                    return;
                };
                let spec = link.spec(self.config.hls.params());
                let span = execute::placing(&place, &entry.start);
                self.command(executor.place(place, spec, link.spec_rev, span));
            }
            Command::Rewrite(assignment) => {
                let Some(link) = self.directory.by_slug(assignment.slug.as_str()).map(|entry| entry.link()) else {
                    self.arbiter.abandon(&assignment.slug);
                    return;
                };
                self.command(executor.rewrite(assignment, link.spec(self.config.hls.params())));
            }
            Command::Halt { slug, zone, spec_rev, floor } => self.command(executor.halt(slug, zone, spec_rev, floor)),
            Command::HaltAgain(assignment) => self.command(executor.halt_again(assignment)),
            Command::Tidy(assignment) => self.command(executor.tidy(assignment)),
            Command::Forget(assignment) => self.command(executor.forget(assignment)),
            // These two may be left out: the arbiter repeats them.
            Command::AskPresence(query) if self.tasks.len() < MAX_TASKS => self.command(executor.ask_presence(query)),
            Command::Release { slug, zone, up_to } if self.tasks.len() < MAX_TASKS => {
                self.tasks.spawn(async move {
                    executor.release(slug, zone, up_to).await;
                    None
                });
            }
            Command::AskPresence(_) | Command::Release { .. } => {}
        }
    }

    fn command(&mut self, work: impl Future<Output = CommandOutcome> + Send + 'static) {
        self.tasks.spawn(async move { Some(work.await) });
    }

    fn show_workers(&mut self) {
        if !self.arbiter.take_roster_changed() {
            return;
        }
        let live = self.arbiter.roster().live();
        let mut workers: Vec<_> =
            live.map(|s| WorkerInfo { worker: s.worker.to_string(), http: s.http.clone() }).collect();
        workers.sort_by(|a, b| a.worker.cmp(&b.worker));
        self.workers.send_replace(workers);
    }

    /// Updates the view of a stream, if it changed.
    fn show(&mut self, entry: &Arc<Entry>, capacities: &mut HashMap<Zone, (usize, u32)>, now: Instant) {
        let Some(snapshot) = self.arbiter.snapshot(&entry.slug, now) else { return };
        let zone = &snapshot.intent.zone;
        let capacity = match capacities.get(zone) {
            Some(capacity) => *capacity,
            None => *capacities.entry(zone.clone()).or_insert(self.arbiter.roster().capacity(zone)),
        };
        let (state, reason) = client_view::state_of(&snapshot, capacity);
        let observed = StartObservation {
            state,
            owned: snapshot.owner.is_some(),
            adopted: snapshot.adopted,
            held_back: snapshot.hold_back.is_some(),
        };
        if let Some(took) = self.starts.observe(&entry.slug, observed, now) {
            self.metrics.started(took);
        }
        let before = entry.view();
        let after = client_view::view((state, reason), &snapshot, &before);
        let media = snapshot.owner.and_then(|owner| Some((owner.owned.fence(), owner.last_media()?)));
        if *before != after {
            self.directory.show(entry, after);
        }
        if let Some((fence, at)) = media {
            entry.saw_media(fence, at);
        }
    }
}

fn log_failed_task(error: &JoinError) {
    error!(error = %error, "a control task failed, reading everything anew");
}

fn settings(config: &Config) -> ArbiterSettings {
    let percent = f32::from(u8::try_from(config.control.rebalance_percent).unwrap_or(u8::MAX));
    ArbiterSettings {
        dead_after: Duration::from_secs(config.control.worker_dead_s),
        idle_timeout: Duration::from_secs(config.camera.idle_timeout_s),
        balance: config.control.rebalance.then_some(percent / 100.0),
    }
}
