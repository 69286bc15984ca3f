//! The state machine of the API: its knowledge of streams and workers, and the commands that follow from it. It has no
//! clock, disk or network of its own: the reconciler feeds it and carries out its commands, and a simulation does the
//! same with a model of the world.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use rsm_model::stream::names::Zone;
use rsm_model::stream::slug::Slug;
use rsm_model::wire::messages::{Event, Heartbeat, HeartbeatReply, Priority, TicketReason, VERSION, Want};
use rsm_model::wire::ticket_queue::TicketQueue;
use tracing::warn;

use super::agenda::{Agenda, Looks};
use super::assignment::Assignment;
use super::command::{Command, PresenceQuery};
use super::commands::{self, Decision};
use super::failures::Failures;
use super::fleet::BalanceWatch;
use super::in_flight::InFlight;
use super::intent::StreamIntent;
use super::moves::StreamMove;
use super::observer::{ClaimChange, CommandResult, Observer};
use super::outcome::{Cause, CommandOutcome, PlacedOutcome};
use super::placement::{EarlierOwner, TrackedPlacement};
use super::placements::{InventoryRow, Placements};
use super::plan::{self, DeliveryState, Step, StreamFacts};
use super::registered_streams::RegisteredStreams;
use super::roster::Roster;
use super::snapshot::StreamSnapshot;
use super::suspects::{DeadWorker, Suspects};
use super::waiting_streams::WaitingStreams;
use super::workers::{WorkerDeath, Workers};
use super::{facts, fleet, snapshot};

/// Two passes lie further apart than this only when this process did not run: heartbeats may wait unread.
const PAUSE: Duration = Duration::from_secs(1);

/// Settings of the arbiter.
#[derive(Clone, Copy, Debug)]
pub struct ArbiterSettings {
    /// A worker that is silent for this long is dead.
    pub dead_after: Duration,
    /// A stream without viewers for this long is stopped.
    pub idle_timeout: Duration,
    /// Streams move to emptier workers while the use of two differs by more than this share of capacity, and by more than
    /// one stream; `None` for never.
    pub balance: Option<f32>,
}

/// The state machine. Each part owns its state; this composes them.
pub struct Arbiter {
    settings: ArbiterSettings,
    observer: Box<dyn Observer>,
    /// Unique to this process.
    api_session: String,
    begun: Instant,
    last_pass: Instant,
    workers: Workers,
    placements: Placements,
    suspects: Suspects,
    in_flight: InFlight,
    failures: Failures,
    streams: RegisteredStreams,
    agenda: Agenda,
    waiting: WaitingStreams,
    settled: bool,
    balance: BalanceWatch,
}

/// The result of one pass.
pub struct Pass {
    pub commands: Vec<Command>,
    /// Streams whose clients' view may have changed.
    pub changed: Looks,
}

impl Arbiter {
    /// Starts from the stored placements; nothing has been sent about them yet. `observer` gets the numbers.
    pub fn new(
        settings: ArbiterSettings,
        observer: Box<dyn Observer>,
        api_session: String,
        assignments: Vec<Assignment>,
        now: Instant,
    ) -> Self {
        let mut arbiter = Self {
            settings,
            observer,
            api_session,
            begun: now,
            last_pass: now,
            workers: Workers::new(settings.dead_after, now),
            placements: Placements::new(assignments, now),
            suspects: Suspects::default(),
            in_flight: InFlight::default(),
            failures: Failures::default(),
            streams: RegisteredStreams::default(),
            agenda: Agenda::default(),
            waiting: WaitingStreams::default(),
            settled: false,
            balance: BalanceWatch::new(now),
        };
        arbiter.agenda.mark_all();
        arbiter
    }

    /// Takes in what is wanted of a registered stream.
    pub fn intend(&mut self, intent: StreamIntent) {
        let slug = intent.slug.clone();
        if self.streams.insert(intent) {
            self.agenda.mark(&slug);
        }
    }

    /// The link of a stream was removed.
    pub fn withdraw(&mut self, slug: &Slug) {
        if self.streams.remove(slug) {
            self.agenda.mark(slug);
        }
    }

    /// The registered streams.
    pub fn streams(&self) -> &RegisteredStreams {
        &self.streams
    }

    /// The connection to NATS was made anew: no worker could be heard until now.
    pub fn reconnected(&mut self, now: Instant) {
        self.workers.unsettle(now);
    }

    /// NATS has lost what it stored: everything has to be sent again. Returns the number of placements.
    pub fn store_lost(&mut self) -> usize {
        self.agenda.mark_all();
        self.placements.mark_all_unsent()
    }

    /// Placements whose desired record NATS must hold, as of an answer at most `age` old.
    pub fn delivered_before(&self, now: Instant, age: Duration) -> usize {
        self.placements.delivered_before(now, age)
    }

    /// All live workers.
    pub fn roster(&self) -> &Roster {
        self.workers.roster()
    }

    /// The newest placement of a stream.
    pub fn placement(&self, slug: &Slug) -> Option<&TrackedPlacement> {
        self.placements.get(slug)
    }

    /// Returns whether workers came or went since the last call.
    pub fn take_roster_changed(&mut self) -> bool {
        self.workers.take_changed()
    }

    /// Zones whose queues have tickets waiting, as of the last pass.
    pub fn waiting_zones(&self) -> BTreeSet<Zone> {
        self.placements.waiting_zones()
    }

    /// Takes in a heartbeat. Returns the answer, and a question that has to be asked because of it.
    pub fn on_heartbeat(&mut self, beat: &Heartbeat, now: Instant) -> (HeartbeatReply, Option<PresenceQuery>) {
        let check = self.workers.on_heartbeat(beat, now);
        let counts = self.roster().get(&beat.session).is_some();
        let mut drop = Vec::new();
        for owned in &beat.inv {
            // A placement that is being committed is not known here yet, but may have an owner already.
            let busy = self.in_flight.contains(&owned.cam);
            let row = self.placements.on_inventory(&beat.session, owned, counts, now);
            if row.new_owner {
                self.observer.claim_changed(ClaimChange::Claimed);
            }
            if row.news {
                self.agenda.mark(&owned.cam);
            }
            if let InventoryRow { release: Some(up_to), .. } = row
                && !busy
            {
                drop.push((owned.cam.clone(), up_to));
            }
        }
        let fleet = self.roster().fleet(&beat.session, &beat.zones, self.placements.queued_in(&beat.zones));
        let api_session = self.api_session.clone();
        (HeartbeatReply { v: VERSION, api_session, conflict: check.conflict, drop, fleet }, check.query)
    }

    /// Takes in a state change that an owner reports. Returns whether it is news.
    pub fn on_event(&mut self, event: Event, now: Instant) -> bool {
        let alive = self.roster().get(&event.session).is_some();
        self.agenda.mark(&event.cam);
        self.placements.on_event(event, alive, now)
    }

    /// Takes in the state of one queue of tickets.
    pub fn on_queue(&mut self, zone: &Zone, priority: Priority, queue: TicketQueue, now: Instant) {
        for slug in self.placements.on_queue(zone, priority, queue, now) {
            self.agenda.mark(&slug);
        }
    }

    /// A command could not be begun, because its stream is gone.
    pub fn abandon(&mut self, slug: &Slug) {
        self.end(slug);
    }

    /// The command of a stream has ended.
    fn end(&mut self, slug: &Slug) {
        self.in_flight.end(slug);
        self.agenda.mark(slug);
    }

    /// One pass over all streams that have news, or whose time has come; idempotent. While NATS is not `connected` no
    /// worker is declared dead and nothing is commanded.
    pub fn pass(&mut self, connected: bool, now: Instant) -> Pass {
        let paused = now.saturating_duration_since(self.last_pass) > PAUSE;
        self.last_pass = now;
        if paused || !connected {
            self.workers.unsettle(now);
        }
        let mut commands = self.find_dead(now);
        self.refresh(now);
        let changed = self.agenda.take_unshown();
        if !connected {
            return Pass { commands: Vec::new(), changed };
        }
        let mut decisions = self.decide(now);
        // Not everything may fit: streams that viewers wait for come first.
        decisions.sort_by(|a, b| (a.class, a.id, &a.slug).cmp(&(b.class, b.id, &b.slug)));
        for decision in decisions {
            // The end of the command under way, or of the wait, is news.
            if !self.in_flight.contains(&decision.slug) && !self.failures.waits(&decision.slug) {
                commands.extend(self.begin(&decision, now));
            }
        }
        Pass { commands, changed }
    }

    fn begin(&mut self, decision: &Decision, now: Instant) -> Option<Command> {
        let Self { placements, workers, in_flight, streams, agenda, .. } = self;
        let intent = streams.get(&decision.slug);
        let command = commands::begin(decision, intent, placements, workers, in_flight, now);
        if !in_flight.contains(&decision.slug) {
            match command {
                // A release has no outcome: the next step follows at once.
                Some(_) => agenda.mark(&decision.slug),
                None => agenda.defer(&decision.slug, decision.class, decision.id),
            }
        }
        command
    }

    fn find_dead(&mut self, now: Instant) -> Vec<Command> {
        let (deaths, queries) = self.workers.find_dead(now);
        for death in &deaths {
            self.on_worker_death(death, now);
        }
        queries.into_iter().map(Command::AskPresence).collect()
    }

    /// Derives what follows from the workers' reports and from time, and forgets what has ended.
    fn refresh(&mut self, now: Instant) {
        self.workers.refresh(now);
        self.observer.count_claims(self.workers.owned_streams());
        self.observer.count_workers(self.workers.workforce(now));
        let news = self.workers.take_news();
        let settled = self.workers.settled(now);
        if news.all || settled != std::mem::replace(&mut self.settled, settled) {
            self.agenda.mark_all();
        }
        let Self { agenda, suspects, placements, workers, .. } = self;
        news.streams.iter().for_each(|slug| agenda.mark(slug));
        self.failures.take_over(now).iter().for_each(|slug| agenda.mark(slug));
        suspects.marked().for_each(|slug| agenda.mark(slug));
        suspects.tick(|slug| placements.get(slug)?.owned_for(workers.roster(), now), now);
        placements.forget_gone(workers.roster()).iter().for_each(|slug| agenda.mark(slug));
        for slug in self.waiting.of_changed_zones(|zone| workers.roster().capacity(zone)) {
            agenda.mark(slug);
        }
        agenda.advance(now);
    }

    /// The steps that streams need now, without those that need none.
    fn decide(&mut self, now: Instant) -> Vec<Decision> {
        let moves = self.choose_moves(now);
        let mut moves: HashMap<Slug, _> = moves.into_iter().map(|m| (m.slug.clone(), m)).collect();
        let mut looks = match self.agenda.take() {
            Looks::All => self.known(),
            Looks::These(looks) => looks,
        };
        looks.extend(moves.keys().cloned());
        // In order: which of several suspects is tried first must not depend on a hash.
        let mut looks: Vec<Slug> = looks.into_iter().collect();
        looks.sort_by_cached_key(|slug| (self.streams.get(slug).map(|intent| intent.id), slug.clone()));
        let mut decisions = Vec::new();
        for slug in looks {
            decisions.extend(self.look(slug.clone(), moves.remove(&slug), now));
        }
        decisions
    }

    fn choose_moves(&mut self, now: Instant) -> Vec<StreamMove> {
        let Self { workers, placements, in_flight, streams, balance, .. } = self;
        let threshold = self.settings.balance.filter(|threshold| balance.due(*threshold, workers, now));
        fleet::choose_moves(streams, workers, placements, in_flight, threshold, now)
    }

    /// Every stream that is registered or has a placement.
    fn known(&self) -> HashSet<Slug> {
        let placed = self.placements.all().map(|tracked| &tracked.assignment().slug);
        self.streams.all().map(|intent| &intent.slug).chain(placed).cloned().collect()
    }

    /// Decides the step of one stream, and when it may be another one.
    fn look(&mut self, slug: Slug, stream_move: Option<StreamMove>, now: Instant) -> Option<Decision> {
        let Some(intent) = self.streams.get(&slug).cloned() else {
            let facts = facts::of_removed(&slug, &self.placements, &self.workers, now);
            self.waiting.note(&slug, None);
            self.agenda.schedule(&slug, plan::next_look(&facts).map(|after| now + after));
            let step = plan::step(&facts);
            let class = step.class(false);
            return (step != Step::Nothing).then_some(Decision { class, id: 0, step, slug, to: None });
        };
        let facts = self.facts(&intent, stream_move.as_ref().map(|m| m.reason), now);
        let unwanted_at = self.unwanted_at(&intent).filter(|at| *at > now);
        let next = plan::next_look(&facts).map(|after| now + after);
        self.agenda.schedule(&slug, next.into_iter().chain(unwanted_at).min());
        self.waiting.note(&slug, (facts.wanted && !facts.owned).then_some(&intent.zone));
        if stream_move.is_some() {
            // It may not be chosen again, which is no news of the stream.
            self.agenda.mark(&slug);
        }
        let step = plan::step(&facts);
        let to = stream_move.map(|m| (m.worker, m.to));
        let class = step.class(intent.demanded);
        (step != Step::Nothing).then_some(Decision { class, id: intent.id, step, slug, to })
    }

    fn facts(&mut self, intent: &StreamIntent, move_reason: Option<TicketReason>, now: Instant) -> StreamFacts {
        let revised = self.placements.get(&intent.slug).is_some_and(|t| t.assignment().spec_rev != intent.spec_rev);
        if revised || !intent.enabled {
            self.suspects.clear(&intent.slug);
        }
        let wanted = self.wanted(intent, now);
        let mut facts = facts::of_registered(intent, wanted, &self.placements, &self.workers, now);
        facts.held_back = wanted && !facts.owned && self.suspects.hold_back(&intent.slug, now).is_some();
        facts.move_reason = move_reason;
        facts
    }

    fn wanted(&self, intent: &StreamIntent, now: Instant) -> bool {
        let running = self.runs(intent);
        let unwanted_for = now.saturating_duration_since(intent.unwanted_since.unwrap_or(self.begun));
        let idle_timeout = self.settings.idle_timeout;
        plan::wanted(intent.enabled, intent.always_on, intent.demanded, running, unwanted_for, idle_timeout)
    }

    /// When a stream that runs without viewers is wanted no longer.
    fn unwanted_at(&self, intent: &StreamIntent) -> Option<Instant> {
        let ends = intent.enabled && !intent.always_on && !intent.demanded && self.runs(intent);
        ends.then(|| intent.unwanted_since.unwrap_or(self.begun) + self.settings.idle_timeout)
    }

    fn runs(&self, intent: &StreamIntent) -> bool {
        self.placements.get(&intent.slug).is_some_and(|t| t.assignment().want == Want::Run)
    }

    /// Takes in the result of a command.
    pub fn on_outcome(&mut self, outcome: CommandOutcome, now: Instant) {
        match outcome {
            CommandOutcome::Placed(placed) => self.on_placed(placed, now),
            CommandOutcome::Halted { assignment, delivery } => {
                let slug = assignment.slug.clone();
                self.observer.claim_changed(ClaimChange::Released);
                self.placements.renew(assignment, now, 0, false, |_| {});
                self.on_delivery(&slug, delivery, now);
            }
            CommandOutcome::Resent { slug, result } => self.on_delivery(&slug, result, now),
            CommandOutcome::Tidied { slug, result } => {
                self.end(&slug);
                match result {
                    Ok(()) => {
                        self.placements.change(&slug, TrackedPlacement::tidied);
                    }
                    Err(e) => self.failures.record(&slug, &e.to_string(), now),
                }
            }
            CommandOutcome::Forgotten { slug, result } => {
                self.end(&slug);
                match result {
                    Ok(()) => {
                        self.placements.remove(&slug);
                        self.suspects.clear(&slug);
                        self.agenda.forget(&slug);
                    }
                    Err(e) => self.failures.record(&slug, &e.to_string(), now),
                }
            }
            CommandOutcome::NotLeft { slug, error } => {
                self.end(&slug);
                let text = format!("the stop in the zone that it leaves was not sent, so it waits: {error}");
                self.failures.record(&slug, &text, now);
            }
            CommandOutcome::NotStored { slug, error } => {
                self.end(&slug);
                self.observer.command_ended(CommandResult::NotStored);
                let text = format!("no epoch could be committed, nothing was published: {error}");
                self.failures.record(&slug, &text, now);
            }
            CommandOutcome::PresenceAnswered { query, presence } => {
                if let Some(death) = self.workers.on_presence(query, presence, now) {
                    self.on_worker_death(&death, now);
                }
            }
        }
    }

    fn on_placed(&mut self, placed: PlacedOutcome, now: Instant) {
        let PlacedOutcome { assignment, reason, from, to, delivery, ticket, claimed_by } = placed;
        let slug = assignment.slug.clone();
        self.end(&slug);
        // A placement of an earlier process proves nothing: its workers may have ended in order since.
        let ours = self.placements.get(&slug).is_some_and(TrackedPlacement::is_ours);
        if let Some(session) = claimed_by.filter(|session| ours && self.roster().get(session).is_none()) {
            let dead = DeadWorker { name: session.as_str(), alone: self.roster().live().next().is_none() };
            for slug in self.suspects.on_worker_death(dead, [(slug.clone(), Duration::ZERO)].into_iter(), now) {
                self.observer.claim_changed(ClaimChange::Quarantined);
                warn!(stream = %slug, %session, "quarantined: its worker died before it could report that it owns it");
            }
        }
        match reason {
            TicketReason::Failover => self.observer.claim_changed(ClaimChange::Failover),
            TicketReason::Drain => self.observer.claim_changed(ClaimChange::Drain),
            TicketReason::Rebalance => self.observer.claim_changed(ClaimChange::Rebalance),
            TicketReason::Start | TicketReason::Change | TicketReason::Retry => {}
        }
        let tries = self.placements.get(&slug).map_or(0, |tracked| tracked.next_tries(reason));
        let reached = *delivery.as_ref().unwrap_or(&DeliveryState::Failed);
        self.placements.renew(assignment, now, tries, from.is_some(), |tracked| {
            if let (TicketReason::Drain | TicketReason::Rebalance, Some((session, epoch))) = (reason, from) {
                tracked.hand_off(EarlierOwner { session, epoch, to, reason, since: now });
            }
            tracked.sent(reached, ticket);
        });
        match delivery {
            Ok(_) => self.observer.command_ended(CommandResult::Started),
            Err(e) => {
                self.observer.command_ended(CommandResult::NotStarted);
                self.failures.record(&slug, &format!("NATS did not take the start command: {e}"), now);
            }
        }
    }

    fn on_delivery(&mut self, slug: &Slug, result: Result<(), Cause>, now: Instant) {
        self.end(slug);
        let Some(want) = self.placements.delivered(slug, result.is_ok(), now) else { return };
        if want == Want::Stop {
            let ended = if result.is_ok() { CommandResult::Stopped } else { CommandResult::NotStopped };
            self.observer.command_ended(ended);
        }
        if let Err(e) = result {
            self.failures.record(slug, &format!("NATS did not take the command: {e}"), now);
        }
    }

    /// A worker died. Streams that it had just begun may be the reason, if its process has gone; one that is only
    /// silent may be cut off.
    fn on_worker_death(&mut self, death: &WorkerDeath, now: Instant) {
        if !death.process_gone {
            return;
        }
        let session = &death.session;
        let alone = self.roster().live().all(|other| other.worker == session.worker);
        let dead = DeadWorker { name: session.worker.as_str(), alone };
        let owned = self.placements.owned_by(&session.id);
        let streams = owned.map(|(slug, since)| (slug.clone(), session.last_heard.saturating_duration_since(since)));
        for slug in self.suspects.on_worker_death(dead, streams, now) {
            warn!(stream = %slug, "quarantined: its worker died right after its start, again and again");
            self.observer.claim_changed(ClaimChange::Quarantined);
        }
    }

    /// The state of a registered stream for clients; `None` for another.
    pub fn snapshot(&self, slug: &Slug, now: Instant) -> Option<StreamSnapshot<'_>> {
        let intent = self.streams.get(slug)?;
        let tracked = self.placements.get(&intent.slug);
        let owner = tracked.and_then(|t| snapshot::shown_owner(&intent.slug, t, &self.workers));
        Some(StreamSnapshot {
            intent,
            wanted: self.wanted(intent, now),
            owner,
            detail: owner.and_then(|owner| self.placements.detail(&intent.slug, owner.owned.fence())),
            epoch: tracked.map(|t| t.assignment().epoch),
            adopted: tracked.is_some_and(|t| t.assignment().want == Want::Run && !t.is_ours()),
            hold_back: self.suspects.status(&intent.slug, now),
        })
    }

    /// Streams that need a step which no pass would take, by looking at every one: the agenda missed their news. None, as
    /// simulations check.
    pub fn overlooked(&mut self, now: Instant) -> Vec<(Slug, Step)> {
        let mut overlooked = Vec::new();
        for slug in self.known() {
            let busy = self.in_flight.contains(&slug) || self.failures.waits(&slug);
            if busy || self.agenda.covers(&slug) || self.suspects.marked().any(|marked| *marked == slug) {
                continue;
            }
            let facts = match self.streams.get(&slug).cloned() {
                Some(intent) => self.facts(&intent, None, now),
                None => facts::of_removed(&slug, &self.placements, &self.workers, now),
            };
            let step = plan::step(&facts);
            if step != Step::Nothing {
                overlooked.push((slug, step));
            }
        }
        overlooked
    }
}
