//! What the API knows of streams and workers, and what it does about it: one state machine without a clock, a disk or
//! a network of its own. The reconciler feeds it and carries out its commands; a simulation does the same with a
//! model of the world.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use rsm_shared::stream::fence::Epoch;
use rsm_shared::stream::names::{SessionId, WorkerId, Zone};
use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::state::StreamState;
use rsm_shared::wire::messages::{Event, Heartbeat, HeartbeatReply, Owned, Priority, TicketReason, VERSION, Want};
use tracing::{info, warn};

use super::ControlMetrics;
use super::detector::Detector;
use super::moves::{self, Berth, Movable, Move};
use super::plan::{self, Facts, Step, Told};
use super::roster::{Noted, Owner, Roster, Session};
use super::suspects::{HeldBack, Suspects};
use super::tracked::Tracked;
use crate::store::assignments::{Assignment, Seen};

/// Commands under way at one time; further ones wait for the next pass.
pub(super) const MAX_UNDER_WAY: usize = 32;
/// A playlist of a new owner goes on this much later than was last heard of: what happened since is not known.
const SEQUENCE_SLACK: u64 = 16;
/// Between two passes lies more than this only when this process did not run: heartbeats may wait unread.
const STALL: Duration = Duration::from_secs(1);
/// Processes whose name is another live one's, kept in mind.
pub(super) const MAX_CHALLENGERS: usize = 64;
/// A refused process beats each second; one that has not for this long has ended.
const CHALLENGER_KEPT: Duration = Duration::from_secs(10);
/// Commands of the least class under way at one time: nobody waits for them, and they must not keep others waiting.
const MAX_UNHURRIED: usize = 8;

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

/// Something to be done outside. Everything but [`Command::Probe`] and [`Command::Release`] is answered with a
/// [`super::outcomes::Done`] about the same stream.
#[derive(Clone, Debug)]
pub enum Command {
    Place(Place),
    /// New epoch that says stop, desired record, fast stop, ticket taken back.
    Halt {
        slug: Slug,
        zone: Zone,
        spec_rev: i64,
        seen: Seen,
    },
    /// The stop of the newest placement again.
    HaltAgain(Assignment),
    /// The desired record of the newest placement again.
    Rewrite(Assignment),
    /// Remove claims that no longer count, and records of zones that it has left.
    Tidy(Assignment),
    /// Remove the last traces of a removed link.
    Forget(Assignment),
    /// Tell owners of epochs up to `up_to` to let go.
    Release {
        slug: Slug,
        zone: Zone,
        up_to: Epoch,
    },
    /// Ask a process whether it is there.
    Probe(Question),
}

/// A new placement.
#[derive(Clone, Debug)]
pub struct Place {
    pub slug: Slug,
    pub zone: Zone,
    pub priority: Priority,
    pub reason: TicketReason,
    /// What was seen of earlier owners.
    pub seen: Seen,
    /// Where the next owner's playlist goes on at the earliest.
    pub media_sequence: u64,
    /// The owner that goes on until the new one has pictures, and its epoch.
    pub from: Option<(SessionId, Epoch)>,
    /// Who shall have it; `None` for whoever pulls the ticket.
    pub to: Option<(WorkerId, SessionId)>,
    /// The newest placement, with the largest epoch seen, when that was for another zone: it is stopped there first.
    pub leaves: Option<Assignment>,
}

/// Why a process is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub worker: WorkerId,
    pub session: SessionId,
    /// Another process that has its name; `None` when it is only silent.
    pub challenger: Option<SessionId>,
}

/// What is to be done about one stream.
struct Decision<'a> {
    /// See [`Step::class`].
    class: u8,
    step: Step,
    slug: &'a Slug,
    /// `None` for what is left of a removed one.
    wish: Option<&'a Wish>,
    moving: Option<&'a Move>,
}

/// The state machine.
pub struct Arbiter {
    pub(super) settings: Settings,
    pub(super) metrics: ControlMetrics,
    /// Unique to this process.
    api_session: String,
    begun: Instant,
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
    moving: HashMap<Slug, SessionId>,
    /// Processes whose name is another live one's, and since when: refused at their next heartbeat. At most
    /// [`MAX_CHALLENGERS`].
    pub(super) challengers: HashMap<SessionId, Instant>,
    /// Streams whose last command failed: one entry for each at most, gone after [`plan::TELL_AGAIN`].
    pub(super) not_before: HashMap<Slug, Instant>,
    pub(super) complaints: u64,
    pub(super) complained_at: Option<Instant>,
    /// Who owns which stream by the newest fence, as of the last pass.
    owners: HashMap<Slug, SessionId>,
    /// Tickets that wait, by zone, as of the last pass.
    queued: HashMap<Zone, u32>,
    last_pass: Instant,
    /// Who lives has changed since this was last taken.
    roster_changed: bool,
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
                info!(worker = %beat.worker, session = %beat.session, capacity = beat.cap, "worker joined");
                self.challengers.remove(&beat.session);
                self.roster_changed = true;
            }
            Noted::Left => {
                info!(worker = %beat.worker, session = %beat.session, "worker left");
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
            Noted::Refused => warn!(worker = %beat.worker, "too many workers, its heartbeat is not taken in"),
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
                self.metrics.claim_changes.with_label_values(&["claimed"]).inc();
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

    /// One pass over everything: level-triggered, idempotent. While NATS is not `connected` nobody is declared dead
    /// and nothing is commanded.
    pub fn pass(&mut self, wishes: &[Wish], connected: bool, now: Instant) -> Vec<Command> {
        let paused = now.saturating_duration_since(self.last_pass) > STALL;
        self.last_pass = now;
        if paused || !connected {
            self.detector.unsettle(now);
        }
        let mut commands = Vec::new();
        self.look_for_dead(&mut commands, now);
        self.owners = self.roster.owners();
        self.metrics.claims.set(i64::try_from(self.owners.len()).unwrap_or(i64::MAX));
        let (placements, roster) = (&self.placements, &self.roster);
        self.suspects.tick(|slug| owned_for(placements.get(slug)?, roster, now), now);
        self.not_before.retain(|_, until| *until > now);
        self.challengers.retain(|_, since| now.saturating_duration_since(*since) < CHALLENGER_KEPT);
        self.moving.retain(|slug, _| self.busy.contains(slug));
        self.placements.values_mut().for_each(|tracked| tracked.forget_gone(&self.roster));
        self.count_queued();
        if !connected {
            return Vec::new();
        }
        let moves: HashMap<Slug, Move> =
            self.choose_moves(wishes, now).into_iter().map(|m| (m.slug.clone(), m)).collect();
        let mut decisions = Vec::new();
        let mut registered = 0;
        for wish in wishes {
            registered += usize::from(self.placements.contains_key(&wish.slug));
            let moving = moves.get(&wish.slug);
            let step = plan::step(&self.facts(wish, moving.map(|m| m.reason), now));
            if step != Step::Nothing {
                let class = step.class(wish.demanded);
                decisions.push(Decision { class, step, slug: &wish.slug, wish: Some(wish), moving });
            }
        }
        let removed = if self.placements.len() > registered { self.removed(wishes) } else { Vec::new() };
        for slug in &removed {
            let step = plan::step(&self.facts_of_removed(slug, now));
            decisions.push(Decision { class: step.class(false), step, slug, wish: None, moving: None });
        }
        // Not everything may fit: first what somebody waits for. The sort keeps the order within a class.
        decisions.sort_by_key(|decision| decision.class);
        for decision in decisions {
            self.command(decision, &mut commands, now);
        }
        commands
    }

    fn look_for_dead(&mut self, commands: &mut Vec<Command>, now: Instant) {
        let look = self.detector.look(&self.roster, now);
        if let Some((silent, all)) = look.brake {
            warn!(silent, all, "most workers fell silent at once: taken for a fault of the network and waited out");
        }
        for (worker, session) in look.ask {
            commands.push(Command::Probe(Question { worker, session, challenger: None }));
        }
        for id in look.dead {
            let gone = self.detector.is_gone(&id);
            if let Some(session) = self.roster.remove(&id) {
                let silent_s = now.saturating_duration_since(session.last_heard).as_secs_f32();
                warn!(worker = %session.worker, session = %id, silent_s, streams = session.owned.len(), "worker is dead");
                self.mourn(&session, gone, now);
            }
        }
    }

    /// A worker died. Streams that it had just begun may be the reason, if its process is `gone`: one that is only
    /// silent may be cut off.
    pub(super) fn mourn(&mut self, dead: &Session, gone: bool, now: Instant) {
        self.roster_changed = true;
        for (slug, tracked) in self.placements.iter().filter(|(_, tracked)| gone && tracked.is_ours()) {
            if let Some((_, since)) = tracked.owner().filter(|(owner, _)| **owner == dead.id)
                && self.suspects.died(slug, dead.last_heard.saturating_duration_since(since), now)
            {
                warn!(stream = %slug, "set aside: its worker died right after its start, again and again");
                self.metrics.claim_changes.with_label_values(&["quarantined"]).inc();
            }
        }
    }

    fn count_queued(&mut self) {
        self.queued.clear();
        for tracked in self.placements.values().filter(|t| matches!(t.told, Told::Queued { .. })) {
            *self.queued.entry(tracked.assignment.zone.clone()).or_default() += 1;
        }
    }

    /// Zones whose queues have tickets waiting.
    pub fn waiting(&self) -> BTreeSet<Zone> {
        self.queued.keys().cloned().collect()
    }

    fn choose_moves(&self, wishes: &[Wish], now: Instant) -> Vec<Move> {
        if !self.detector.settled(now) {
            return Vec::new();
        }
        let sessions: Vec<&Session> = self.roster.live().collect();
        let mut fleet: Vec<Berth> = sessions.iter().map(|s| berth(s)).collect();
        let draining = fleet.iter().any(|b| b.draining && b.used > 0);
        let balance = self.settings.balance.filter(|_| self.queued.is_empty() && !draining && self.busy.is_empty());
        let shares = || sessions.iter().filter(|s| !s.draining).map(|s| s.used());
        let spread = shares().fold(0.0, f32::max) - shares().fold(1.0, f32::min);
        if !draining && balance.is_none_or(|balance| spread <= balance) {
            return Vec::new();
        }
        let index: HashMap<&SessionId, usize> = sessions.iter().enumerate().map(|(i, s)| (&s.id, i)).collect();
        let mut under_way = 0;
        for tracked in self.placements.values() {
            let Some(from) = tracked.handed_from() else { continue };
            under_way += 1;
            // Both own it for now: it counts for the one that shall have it.
            if let Some(berth) = index.get(&from.session).and_then(|at| fleet.get_mut(*at)) {
                berth.used = berth.used.saturating_sub(1);
            }
            match (tracked.owner(), &from.to) {
                (Some((owner, _)), _) => {
                    if let Some(berth) = index.get(owner).and_then(|at| fleet.get_mut(*at)) {
                        berth.arriving += 1;
                    }
                }
                (None, Some(to)) => expect(&mut fleet, index.get(to)),
                (None, None) => {}
            }
        }
        for (slug, to) in &self.moving {
            under_way += 1;
            expect(&mut fleet, index.get(to));
            let from = self.owners.get(slug).and_then(|owner| fleet.get_mut(*index.get(owner)?));
            if let Some(berth) = from {
                berth.used = berth.used.saturating_sub(1);
            }
        }
        let streams: Vec<Movable> =
            wishes.iter().filter_map(|wish| self.movable(wish, &index, draining, now)).collect();
        moves::choose(&mut fleet, &streams, under_way, balance)
    }

    fn movable(&self, wish: &Wish, index: &HashMap<&SessionId, usize>, drains: bool, now: Instant) -> Option<Movable> {
        let tracked = self.placements.get(&wish.slug)?;
        let owner = self.owners.get(&wish.slug)?;
        let owned = self.roster.get(owner)?.owned.get(&wish.slug)?;
        let unmoved = tracked.handed_from().is_none() && !self.busy.contains(&wish.slug);
        if owned.epoch != tracked.assignment.epoch || !unmoved || !wish.enabled {
            return None;
        }
        let rested = tracked.moved.is_none_or(|at| now.saturating_duration_since(at) >= moves::REST);
        let at_ease = !drains && owned.state == StreamState::Running && owned.ready && rested && !wish.exclusive;
        let owner = *index.get(owner)?;
        Some(Movable { slug: wish.slug.clone(), zone: tracked.assignment.zone.clone(), owner, at_ease })
    }

    fn facts(&mut self, wish: &Wish, moves: Option<TicketReason>, now: Instant) -> Facts {
        let tracked = self.placements.get(&wish.slug);
        let held = self.held(&wish.slug);
        let owned = tracked.is_some_and(|t| held == Some(t.assignment.epoch));
        let wanted = self.wanted(wish, now);
        let revised = tracked.is_some_and(|t| t.assignment.spec_rev != wish.spec_rev);
        if revised || !wish.enabled {
            self.suspects.forgive(&wish.slug);
        }
        Facts {
            registered: true,
            wanted,
            spec_rev: wish.spec_rev,
            owned,
            held,
            urgent: wish.demanded,
            placement: tracked.map(|t| t.placed(&self.roster, now)),
            settled: self.detector.settled(now),
            held_back: wanted && !owned && self.suspects.held_back(&wish.slug, now).is_some(),
            exclusive: wish.exclusive,
            moves,
        }
    }

    /// The largest epoch under which a live worker owns a stream.
    fn held(&self, slug: &Slug) -> Option<Epoch> {
        Some(self.roster.get(self.owners.get(slug)?)?.owned.get(slug)?.epoch)
    }

    fn wanted(&self, wish: &Wish, now: Instant) -> bool {
        let running = self.placements.get(&wish.slug).is_some_and(|t| t.assignment.want == Want::Run);
        let unwanted_for = wish.unwanted_for.unwrap_or_else(|| now.saturating_duration_since(self.begun));
        let idle_timeout = self.settings.idle_timeout;
        plan::wanted(wish.enabled, wish.always_on, wish.demanded, running, unwanted_for, idle_timeout)
    }

    /// Streams that were placed and whose links are gone, in order.
    fn removed(&self, wishes: &[Wish]) -> Vec<Slug> {
        let registered: HashSet<&Slug> = wishes.iter().map(|w| &w.slug).collect();
        let mut removed: Vec<Slug> =
            self.placements.keys().filter(|slug| !registered.contains(slug)).cloned().collect();
        removed.sort();
        removed
    }

    fn facts_of_removed(&self, slug: &Slug, now: Instant) -> Facts {
        Facts {
            registered: false,
            wanted: false,
            spec_rev: 0,
            owned: false,
            held: self.held(slug),
            urgent: false,
            placement: self.placements.get(slug).map(|t| t.placed(&self.roster, now)),
            settled: self.detector.settled(now),
            held_back: false,
            exclusive: false,
            moves: None,
        }
    }

    /// Turns a step into a command, unless one of the same stream or too many others are under way.
    fn command(&mut self, decision: Decision<'_>, commands: &mut Vec<Command>, now: Instant) {
        let Decision { class, step, slug, wish, moving } = decision;
        if step == Step::Nothing || self.busy.contains(slug) || self.not_before.contains_key(slug) {
            return;
        }
        let held = self.held(slug);
        let tracked = self.placements.get_mut(slug);
        // These two wait for nothing and cost one message.
        if let (Step::EndHandoff | Step::Recall, Some(tracked)) = (step, tracked) {
            let Assignment { zone, epoch, .. } = tracked.assignment.clone();
            let up_to = if step == Step::Recall {
                tracked.recall(now);
                held.map_or(epoch, |held| held.max(epoch))
            } else {
                tracked.end_handoff();
                Epoch(epoch.0 - 1)
            };
            commands.push(Command::Release { slug: slug.clone(), zone, up_to });
            return;
        }
        if self.busy.len() >= if class < 2 { MAX_UNDER_WAY } else { MAX_UNHURRIED } {
            return;
        }
        if let (Step::Forget, Some(tracked)) = (step, self.placements.get_mut(slug)) {
            // Its record is about to go: nobody is to miss it.
            tracked.told = Told::Never;
        }
        if let (Step::Undo, Some(tracked)) = (step, self.placements.get_mut(slug)) {
            tracked.stay(now, moves::LONG_REST);
        }
        let tracked = self.placements.get(slug);
        let command = match (step, wish, tracked.map(|t| t.assignment.clone())) {
            (Step::Place(reason), Some(wish), _) => Command::Place(self.place(reason, wish, tracked, moving)),
            (Step::Undo, Some(wish), _) => Command::Place(self.undo(wish, tracked)),
            (Step::Halt, _, Some(a)) => {
                let seen = tracked.map(Tracked::seen).unwrap_or_default();
                Command::Halt { slug: slug.clone(), zone: a.zone, spec_rev: a.spec_rev, seen }
            }
            (Step::HaltAgain, _, Some(a)) => Command::HaltAgain(a),
            (Step::Rewrite, Some(_), Some(a)) => Command::Rewrite(a),
            (Step::Tidy, _, Some(a)) => Command::Tidy(a),
            (Step::Forget, _, Some(a)) => Command::Forget(a),
            _ => return,
        };
        if let Command::Place(Place { to: Some((_, to)), .. }) = &command {
            self.moving.insert(slug.clone(), to.clone());
        }
        self.busy.insert(slug.clone());
        commands.push(command);
    }

    fn place(&self, reason: TicketReason, wish: &Wish, tracked: Option<&Tracked>, moving: Option<&Move>) -> Place {
        if !matches!(reason, TicketReason::Start | TicketReason::Change) {
            info!(stream = %wish.slug, ?reason, "placing again");
        }
        let goes_on = || Some((self.owners.get(&wish.slug)?.clone(), self.held(&wish.slug)?));
        let from = match reason {
            TicketReason::Drain | TicketReason::Rebalance => goes_on(),
            TicketReason::Change => None,
            // A hand-off whose new owner was lost: the old one still goes on.
            _ => tracked.and_then(|t| t.handed_from()).map(|from| (from.session.clone(), from.epoch)),
        };
        Place {
            slug: wish.slug.clone(),
            zone: wish.zone.clone(),
            priority: if wish.demanded { Priority::Hi } else { Priority::Lo },
            reason,
            seen: tracked.map(Tracked::seen).unwrap_or_default(),
            media_sequence: tracked.map_or(0, |t| t.media_sequence + SEQUENCE_SLACK),
            from,
            to: moving.map(|m| (m.worker.clone(), m.to.clone())),
            leaves: tracked.filter(|t| t.assignment.zone != wish.zone).map(Tracked::all_so_far),
        }
    }

    /// Back to the owner that goes on: it begins anew, under a new epoch.
    fn undo(&self, wish: &Wish, tracked: Option<&Tracked>) -> Place {
        let back = tracked.and_then(Tracked::handed_from).and_then(|from| self.roster.get(&from.session));
        let to = back.map(|session| (session.worker.clone(), session.id.clone()));
        Place { from: None, to, ..self.place(TicketReason::Retry, wish, tracked, None) }
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
    pub held_back: Option<HeldBack>,
}

/// A stream is on its way to the worker of that index, which does not know of it yet.
fn expect(fleet: &mut [Berth], at: Option<&usize>) {
    if let Some(berth) = at.and_then(|at| fleet.get_mut(*at)) {
        berth.arriving += 1;
        berth.used += 1;
        berth.room = berth.room.saturating_sub(1);
    }
}

fn berth(session: &Session) -> Berth {
    Berth {
        worker: session.worker.clone(),
        session: session.id.clone(),
        zones: session.zones.clone(),
        capacity: session.capacity,
        used: session.owned.len(),
        room: session.room,
        draining: session.draining,
        arriving: 0,
    }
}

/// For how long a live worker has owned the newest placement.
fn owned_for(tracked: &Tracked, roster: &Roster, now: Instant) -> Option<Duration> {
    let (owner, since) = tracked.owner()?;
    let owned: &Owned = roster.get(owner)?.owned.get(&tracked.assignment.slug)?;
    (owned.epoch == tracked.assignment.epoch).then(|| now.saturating_duration_since(since))
}
