//! The state machine of the API: its knowledge of streams and workers, and the commands that follow from it. It has no
//! clock, disk or network of its own: the reconciler feeds it and carries out its commands, and a simulation does the
//! same with a model of the world.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use rsm_model::stream::fence::Epoch;
use rsm_model::stream::names::{SessionId, Zone};
use rsm_model::stream::slug::Slug;
use rsm_model::wire::messages::{Event, Heartbeat, HeartbeatReply, Priority, TicketReason, VERSION, Want};
use rsm_model::wire::ticket_queue::TicketQueue;
use tracing::warn;

use super::assignment::Assignment;
use super::command::{Command, PresenceQuery};
use super::commands::{self, Decision};
use super::failures::Failures;
use super::in_flight::InFlight;
use super::intent::StreamIntent;
use super::observer::{ClaimChange, CommandResult, Observer};
use super::outcome::{Cause, CommandOutcome, PlacedOutcome};
use super::placement::{EarlierOwner, TrackedPlacement};
use super::placements::{InventoryRow, Placements};
use super::plan::{self, DeliveryState, Step, StreamFacts};
use super::roster::{Roster, StreamOwner};
use super::suspects::{HoldBack, Suspects};
use super::workers::{WorkerDeath, Workers};
use super::{facts, fleet};

/// Two passes lie further apart than this only when this process did not run: heartbeats may wait unread.
const PAUSE: Duration = Duration::from_secs(1);

/// Settings of the arbiter.
#[derive(Clone, Copy, Debug)]
pub struct ArbiterSettings {
    /// A worker that is silent for this long is dead.
    pub dead_after: Duration,
    /// A stream without viewers for this long is stopped.
    pub idle_timeout: Duration,
    /// Smallest difference in use, as a share of capacity, at which streams move to emptier workers; `None` for never.
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
        Self {
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
        }
    }

    /// The connection to NATS was made anew: no worker could be heard until now.
    pub fn reconnected(&mut self, now: Instant) {
        self.workers.unsettle(now);
    }

    /// NATS has lost what it stored: everything has to be sent again. Returns the number of placements.
    pub fn store_lost(&mut self) -> usize {
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
        self.placements.on_event(event, alive, now)
    }

    /// Takes in the state of one queue of tickets.
    pub fn on_queue(&mut self, zone: &Zone, priority: Priority, queue: TicketQueue, now: Instant) {
        self.placements.on_queue(zone, priority, queue, now);
    }

    /// A command could not be begun, because its stream is gone.
    pub fn abandon(&mut self, slug: &Slug) {
        self.in_flight.end(slug);
    }

    /// One pass over everything: level-triggered, idempotent. While NATS is not `connected` no worker is declared dead
    /// and nothing is commanded.
    pub fn pass(&mut self, intents: &[StreamIntent], connected: bool, now: Instant) -> Vec<Command> {
        let paused = now.saturating_duration_since(self.last_pass) > PAUSE;
        self.last_pass = now;
        if paused || !connected {
            self.workers.unsettle(now);
        }
        let mut commands = self.find_dead(now);
        self.refresh(now);
        if !connected {
            return Vec::new();
        }
        let mut decisions = self.decide(intents, now);
        // Not everything may fit: streams that viewers wait for come first. The sort keeps the order within a class.
        decisions.sort_by_key(|decision| decision.class);
        for decision in decisions {
            if !self.in_flight.contains(&decision.slug) && !self.failures.waits(&decision.slug) {
                commands.extend(commands::begin(
                    &decision,
                    &mut self.placements,
                    &self.workers,
                    &mut self.in_flight,
                    now,
                ));
            }
        }
        commands
    }

    fn find_dead(&mut self, now: Instant) -> Vec<Command> {
        let (deaths, queries) = self.workers.find_dead(now);
        for death in &deaths {
            self.on_worker_death(death, now);
        }
        queries.into_iter().map(Command::AskPresence).collect()
    }

    /// Derives what follows from the workers' reports, and forgets what has ended.
    fn refresh(&mut self, now: Instant) {
        self.workers.refresh(now);
        self.observer.count_claims(self.workers.owned_streams());
        self.observer.count_workers(self.workers.workforce(now));
        let (placements, roster) = (&self.placements, self.workers.roster());
        self.suspects.tick(|slug| placements.get(slug)?.owned_for(roster, now), now);
        self.failures.prune(now);
        self.placements.refresh(self.workers.roster());
    }

    /// The steps that streams need now, without those that need none.
    fn decide<'a>(&mut self, intents: &'a [StreamIntent], now: Instant) -> Vec<Decision<'a>> {
        let Self { workers, placements, in_flight, .. } = &*self;
        let moves = fleet::choose_moves(intents, workers, placements, in_flight, self.settings.balance, now);
        let mut moves: HashMap<Slug, _> = moves.into_iter().map(|m| (m.slug.clone(), m)).collect();
        let mut decisions = Vec::new();
        for intent in intents {
            let stream_move = moves.remove(&intent.slug);
            let step = plan::step(&self.facts(intent, stream_move.as_ref().map(|m| m.reason), now));
            if step != Step::Nothing {
                let to = stream_move.map(|m| (m.worker, m.to));
                let class = step.class(intent.demanded);
                decisions.push(Decision { class, step, slug: intent.slug.clone(), intent: Some(intent), to });
            }
        }
        for slug in self.placements.unregistered(intents) {
            let step = plan::step(&facts::of_removed(&slug, &self.placements, &self.workers, now));
            if step != Step::Nothing {
                decisions.push(Decision { class: step.class(false), step, slug, intent: None, to: None });
            }
        }
        decisions
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
        let running = self.placements.get(&intent.slug).is_some_and(|t| t.assignment().want == Want::Run);
        let unwanted_for = intent.unwanted_for.unwrap_or_else(|| now.saturating_duration_since(self.begun));
        let idle_timeout = self.settings.idle_timeout;
        plan::wanted(intent.enabled, intent.always_on, intent.demanded, running, unwanted_for, idle_timeout)
    }

    /// Takes in the result of a command.
    pub fn on_outcome(&mut self, outcome: CommandOutcome, now: Instant) {
        match outcome {
            CommandOutcome::Placed(placed) => self.on_placed(placed, now),
            CommandOutcome::Halted { assignment, delivery } => {
                let slug = assignment.slug.clone();
                self.observer.claim_changed(ClaimChange::Released);
                self.placements.renew(assignment, now, 0, false);
                self.on_delivery(&slug, delivery, now);
            }
            CommandOutcome::Resent { slug, result } => self.on_delivery(&slug, result, now),
            CommandOutcome::Tidied { slug, result } => {
                self.in_flight.end(&slug);
                match result {
                    Ok(()) => self.placements.tidied(&slug),
                    Err(e) => self.failures.record(&slug, &e.to_string(), now),
                }
            }
            CommandOutcome::Forgotten { slug, result } => {
                self.in_flight.end(&slug);
                match result {
                    Ok(()) => {
                        self.placements.remove(&slug);
                        self.suspects.clear(&slug);
                    }
                    Err(e) => self.failures.record(&slug, &e.to_string(), now),
                }
            }
            CommandOutcome::NotLeft { slug, error } => {
                self.in_flight.end(&slug);
                let text = format!("the stop in the zone that it leaves was not sent, so it waits: {error}");
                self.failures.record(&slug, &text, now);
            }
            CommandOutcome::NotStored { slug, error } => {
                self.in_flight.end(&slug);
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
        self.in_flight.end(&slug);
        // A placement of an earlier process proves nothing: its workers may have ended in order since.
        let ours = self.placements.get(&slug).is_some_and(TrackedPlacement::is_ours);
        if let Some(session) = claimed_by.filter(|session| ours && self.roster().get(session).is_none())
            && self.suspects.on_worker_death(&slug, Duration::ZERO, now)
        {
            self.observer.claim_changed(ClaimChange::Quarantined);
            warn!(stream = %slug, %session, "quarantined: its worker died before it could report that it owns it");
        }
        match reason {
            TicketReason::Failover => self.observer.claim_changed(ClaimChange::Failover),
            TicketReason::Drain => self.observer.claim_changed(ClaimChange::Drain),
            TicketReason::Rebalance => self.observer.claim_changed(ClaimChange::Rebalance),
            TicketReason::Start | TicketReason::Change | TicketReason::Retry => {}
        }
        let tries = self.placements.get(&slug).map_or(0, |tracked| tracked.next_tries(reason));
        let tracked = self.placements.renew(assignment, now, tries, from.is_some());
        if let (TicketReason::Drain | TicketReason::Rebalance, Some((session, epoch))) = (reason, from) {
            tracked.hand_off(EarlierOwner { session, epoch, to, reason, since: now });
        }
        match delivery {
            Ok(delivery) => {
                tracked.sent(delivery, ticket);
                self.observer.command_ended(CommandResult::Started);
            }
            Err(e) => {
                tracked.sent(DeliveryState::Failed, ticket);
                self.observer.command_ended(CommandResult::NotStarted);
                self.failures.record(&slug, &format!("NATS did not take the start command: {e}"), now);
            }
        }
    }

    fn on_delivery(&mut self, slug: &Slug, result: Result<(), Cause>, now: Instant) {
        self.in_flight.end(slug);
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
        let last_heard = death.session.last_heard;
        for (slug, since) in self.placements.owned_by(&death.session.id) {
            if self.suspects.on_worker_death(slug, last_heard.saturating_duration_since(since), now) {
                warn!(stream = %slug, "quarantined: its worker died right after its start, again and again");
                self.observer.claim_changed(ClaimChange::Quarantined);
            }
        }
    }

    /// The state of a stream for clients, as of the last pass.
    pub fn snapshot(&self, intent: &StreamIntent, now: Instant) -> StreamSnapshot<'_> {
        let tracked = self.placements.get(&intent.slug);
        let owner = tracked.and_then(|t| self.shown_owner(&intent.slug, t));
        StreamSnapshot {
            wanted: self.wanted(intent, now),
            owner,
            detail: owner.and_then(|owner| self.placements.detail(&intent.slug, owner.owned.fence())),
            epoch: tracked.map(|t| t.assignment().epoch),
            adopted: tracked.is_some_and(|t| t.assignment().want == Want::Run && !t.is_ours()),
            hold_back: self.suspects.status(&intent.slug, now),
        }
    }

    /// The owner whose media is shown: during a hand-off the earlier one.
    fn shown_owner<'a>(&'a self, slug: &Slug, tracked: &TrackedPlacement) -> Option<StreamOwner<'a>> {
        let owner = |session: &SessionId, epoch: Epoch| {
            let session = self.roster().get(session)?;
            let owned = session.owned.get(slug).filter(|owned| owned.epoch == epoch)?;
            Some(StreamOwner { session, owned })
        };
        let earlier = tracked.earlier_owner().and_then(|from| owner(&from.session, from.epoch));
        earlier.or_else(|| owner(self.workers.owner(slug)?, tracked.assignment().epoch))
    }
}

/// One stream as the arbiter sees it.
pub struct StreamSnapshot<'a> {
    pub wanted: bool,
    /// The owner whose media is shown.
    pub owner: Option<StreamOwner<'a>>,
    /// The last event of that owner.
    pub detail: Option<&'a Event>,
    /// Epoch of the newest placement.
    pub epoch: Option<Epoch>,
    /// The newest placement is a run that an earlier process made.
    pub adopted: bool,
    pub hold_back: Option<HoldBack>,
}
