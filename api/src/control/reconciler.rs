//! The task around the arbiter: it hears, has the arbiter decide, and has commands carried out. It never waits for the
//! disk or for NATS; see [`super::execute`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rsm_shared::bus::BusError;
use rsm_shared::bus::demand::Demands;
use rsm_shared::bus::heartbeat::{Answer, Ear, Heard};
use rsm_shared::config::Config;
use rsm_shared::ops::health::{Concern, Health};
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::messages::{DemandMessage, Heartbeat};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::arbiter::{Arbiter, Settings, Sight, Wish};
use super::command::Command;
use super::execute::{self, Executor};
use super::nats_watch::{Finished, NatsWatch};
use super::outcomes::Done;
use super::roster::Owner;
use super::starts::{self, Starts};
use super::{ControlMetrics, view};
use crate::directory::{Directory, Entry, View};
use crate::discovery::workers::WorkerInfo;
use crate::store::assignments::Assignment;

/// A pass at least this often; events wake it at once.
const PASS: Duration = Duration::from_millis(250);
/// Events that come close together are served by one pass.
const LEAST_PAUSE: Duration = Duration::from_millis(10);
/// A pass over ten thousand streams takes some milliseconds: between two of them lies this many times what the last one
/// took, so that events cannot make them take more than a third of a core.
const REST: u32 = 2;
/// Tasks under way at one time: the arbiter's commands, and a few of our own.
pub(super) const MAX_TASKS: usize = 128;
/// Longest time that somebody else's demand may hold, whatever it says.
const MAX_DEMAND: Duration = Duration::from_secs(60);

/// Starts from what is stored; [`Reconciler::run`] does the rest.
pub struct Reconciler {
    config: Config,
    pub(super) directory: Directory,
    pub(super) executor: Executor,
    ear: Ear,
    demands: Demands,
    pub(super) health: Health,
    pub(super) metrics: ControlMetrics,
    workers: watch::Sender<Vec<WorkerInfo>>,
    pub(super) arbiter: Arbiter,
    starts: Starts,
    pub(super) tasks: JoinSet<Finished>,
    pub(super) nats: NatsWatch,
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
        let metrics = parts.metrics.clone();
        Self {
            arbiter: Arbiter::new(settings(&parts.config), metrics, parts.api_session, parts.assignments, now),
            config: parts.config,
            directory: parts.directory,
            executor: parts.executor,
            ear: parts.ear,
            demands: parts.demands,
            health: parts.health,
            metrics: parts.metrics,
            workers: parts.workers,
            starts: Starts::default(),
            tasks: JoinSet::new(),
            nats: NatsWatch::new(now),
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
                    self.nats.next_topology = Instant::now();
                    self.arbiter.reconnected(Instant::now());
                    due = true;
                }
                heard = self.ear.next() => match heard {
                    Some(heard) => due |= self.hear(heard).await,
                    None => return,
                },
                Some(finished) = self.tasks.join_next() => match finished {
                    Ok(finished) => { self.finished(finished); due = true; }
                    // What it was about is not known any more: begin anew, from the database.
                    Err(e) => {
                        error!(error = %e, "a control task failed, reading everything anew");
                        return;
                    }
                },
                demand = self.demands.next() => match demand {
                    Some(Ok((slug, message))) => due |= self.hear_demand(&slug, &message),
                    Some(Err(e)) => warn!(repeats = true, error = %e, "a demand of viewers is not readable"),
                    None => return,
                },
                () = wake.notified() => due = true,
                _ = timer.tick() => due = true,
            }
        }
    }

    /// Whether a pass is due.
    async fn hear(&mut self, heard: Result<Heard, BusError>) -> bool {
        match heard {
            Ok(Heard::Beat(beat, answer)) => {
                self.hear_beat(&beat, answer).await;
                false
            }
            Ok(Heard::Event(event)) => self.arbiter.hear_event(event, Instant::now()),
            Err(e) => {
                warn!(repeats = true, error = %e, "a heartbeat or an event of a worker is not readable");
                false
            }
        }
    }

    async fn hear_beat(&mut self, beat: &Heartbeat, answer: Answer) {
        let (reply, question) = self.arbiter.hear_beat(beat, Instant::now());
        if let Err(e) = answer.send(&reply).await {
            warn!(repeats = true, worker = %beat.worker, error = %e, "a heartbeat was not answered");
        }
        if let Some(question) = question {
            self.carry_out(Command::Probe(question));
        }
        self.show_workers();
    }

    /// Somebody else's viewers: the stream has to run for them too. What they want of it the worker hears itself.
    /// Whether a pass is due.
    fn hear_demand(&mut self, slug: &Slug, message: &DemandMessage) -> bool {
        let Some(entry) = self.directory.by_slug(slug.as_str()) else { return false };
        let hold = Duration::from_millis(message.ttl_ms).min(MAX_DEMAND);
        if !message.demand.any() {
            return false;
        }
        let new = entry.demand.wanted_elsewhere(hold);
        // What we said ourselves is heard, too, and known.
        if let Some(wish) = message.traceparent {
            entry.start.wanted(wish, new, Instant::now());
        }
        new
    }

    fn finished(&mut self, finished: Finished) {
        let now = Instant::now();
        match finished {
            Finished::Command(Some(done)) => self.arbiter.note(done, now),
            Finished::Command(None) => {}
            Finished::Topology { fresh, found } => self.note_topology(fresh, found, now),
            Finished::Queue { zone, priority, result } => self.note_queue(&zone, priority, result, now),
        }
    }

    /// Has the arbiter look at everything, carries out what it commands, and shows clients what is seen.
    fn pass(&mut self) {
        let now = Instant::now();
        let entries = self.directory.all();
        let wishes: Vec<Wish> = entries.iter().map(|entry| self.wish(entry)).collect();
        self.check_nats(&wishes, now);
        let connected = self.executor.bus.connected();
        for command in self.arbiter.pass(&wishes, connected, now) {
            self.carry_out(command);
        }
        self.starts.retain(|slug| self.directory.by_slug(slug.as_str()).is_some());
        self.warn_of_workers();
        // One look at the workers for each zone, not for each stream.
        let mut capacities = HashMap::new();
        for (entry, wish) in entries.iter().zip(&wishes) {
            let roster = self.arbiter.roster();
            let capacity = *capacities.entry(&wish.zone).or_insert_with(|| roster.capacity(&wish.zone));
            self.show(entry, wish, capacity, now);
        }
        self.show_workers();
        if connected {
            self.ask_queues(now);
        }
    }

    fn warn_of_workers(&self) {
        let none = !self.arbiter.roster().live().any(|session| !session.draining);
        let why = "no worker is running, so no stream can; start one with `rsm worker`, or `rsm up` for everything";
        self.health.warn(Concern::Workers, none.then(|| why.to_owned()));
    }

    fn wish(&self, entry: &Entry) -> Wish {
        let link = entry.link();
        let demanded = entry.demand.current(link.jpeg_params(self.config.mjpeg)).any() || entry.demand.elsewhere();
        Wish {
            slug: link.slug.clone(),
            zone: link.zone.clone(),
            enabled: link.enabled,
            always_on: link.runs_unwatched(self.config.hls.params()),
            exclusive: link.exclusive,
            spec_rev: link.spec_rev,
            demanded,
            unwanted_for: entry.demand.unwanted_for(),
        }
    }

    fn carry_out(&mut self, command: Command) {
        let executor = self.executor.clone();
        match command {
            Command::Place(place) => {
                let entry = self.directory.by_slug(place.slug.as_str()).map(|entry| (entry.link(), entry));
                let Some((link, entry)) = entry.filter(|(link, _)| link.zone == place.zone) else {
                    // Removed or moved to another zone in this very moment.
                    self.arbiter.give_up(&place.slug);
                    return;
                };
                let spec = link.spec(self.config.hls.params());
                let span = execute::placing(&place, &entry.start);
                self.command(executor.place(place, spec, link.spec_rev, span));
            }
            Command::Rewrite(assignment) => {
                let Some(link) = self.directory.by_slug(assignment.slug.as_str()).map(|entry| entry.link()) else {
                    self.arbiter.give_up(&assignment.slug);
                    return;
                };
                self.command(executor.rewrite(assignment, link.spec(self.config.hls.params())));
            }
            Command::Halt { slug, zone, spec_rev, seen } => self.command(executor.halt(slug, zone, spec_rev, seen)),
            Command::HaltAgain(assignment) => self.command(executor.halt_again(assignment)),
            Command::Tidy(assignment) => self.command(executor.tidy(assignment)),
            Command::Forget(assignment) => self.command(executor.forget(assignment)),
            // Lost ones of these are made up for: they are not waited for, and may be left out.
            Command::Probe(question) if self.tasks.len() < MAX_TASKS => self.command(executor.probe(question)),
            Command::Release { slug, zone, up_to } if self.tasks.len() < MAX_TASKS => {
                self.tasks.spawn(async move {
                    executor.release(slug, zone, up_to).await;
                    Finished::Command(None)
                });
            }
            Command::Probe(_) | Command::Release { .. } => {}
        }
    }

    fn command(&mut self, work: impl Future<Output = Done> + Send + 'static) {
        self.tasks.spawn(async move { Finished::Command(Some(work.await)) });
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

    /// Puts what clients see, if it changed.
    fn show(&mut self, entry: &Arc<Entry>, wish: &Wish, (workers, free): (usize, u32), now: Instant) {
        let sight = self.arbiter.sight(wish, now);
        let Sight { owner, detail, .. } = &sight;
        let (state, reason) = view::state(&view::Seen {
            enabled: wish.enabled,
            wanted: sight.wanted,
            demanded: wish.demanded,
            owner: owner.map(|o| detail.map_or((o.owned.state, None), |d| (d.state, d.reason.as_ref()))),
            held_back: sight.held_back,
            workers,
            free,
            zone: wish.zone.as_str(),
        });
        let seen = starts::Look {
            state,
            owned: owner.is_some(),
            adopted: sight.adopted,
            held_back: sight.held_back.is_some(),
        };
        if let Some(took) = self.starts.look(&wish.slug, seen, now) {
            self.metrics.started(took);
        }
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
            worker: owner.map(|o| o.session.worker.to_string()),
            fence: owner.map(|o| o.owned.fence()),
            http: owner.map(|o| o.session.http.clone()),
            epoch: sight.epoch.map(|epoch| epoch.0),
            video: detail.and_then(|d| d.video.clone()),
            audio: detail.and_then(|d| d.audio.clone()),
            restarts: detail.map_or(0, |d| d.restarts),
            last_media: owner.as_ref().and_then(Owner::last_media),
            hls_error: detail.and_then(|d| d.hls_error.clone()),
        };
        if *before != after {
            self.directory.show(entry, after);
        }
    }
}

fn settings(config: &Config) -> Settings {
    let percent = f32::from(u8::try_from(config.control.rebalance_percent).unwrap_or(u8::MAX));
    Settings {
        dead_after: Duration::from_secs(config.control.worker_dead_s),
        idle_timeout: Duration::from_secs(config.camera.idle_timeout_s),
        balance: config.control.rebalance.then_some(percent / 100.0),
    }
}

fn from_millis(ms: u64) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()
}
