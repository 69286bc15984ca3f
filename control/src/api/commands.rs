//! One pass of the arbiter: what should be, what is, what to do about it.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use rsm_shared::stream::fence::Epoch;
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::messages::{Owned, Priority, TicketReason};
use tracing::{info, warn};

use super::arbiter::{Arbiter, Wish};
use super::command::{Command, Place, Question};
use super::moves::{self, Move};
use super::plan::{self, Facts, Step, Told};
use super::roster::{Roster, Session};
use super::tracked::Tracked;
use crate::metrics::control::ClaimChange;
use crate::store::assignments::Assignment;

/// Commands under way at one time; further ones wait for the next pass.
const MAX_UNDER_WAY: usize = 32;
/// Commands of the least class under way at one time: nobody waits for them, and they must not keep others waiting.
const MAX_UNHURRIED: usize = 8;
/// A playlist of a new owner goes on this much later than was last heard of: what happened since is not known.
const SEQUENCE_SLACK: u64 = 16;
/// Between two passes lies more than this only when this process did not run: heartbeats may wait unread.
const STALL: Duration = Duration::from_secs(1);
/// A refused process beats each second; one that has not for this long has ended.
const CHALLENGER_KEPT: Duration = Duration::from_secs(10);

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

impl Arbiter {
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
        self.metrics.count_claims(self.owners.len());
        self.metrics.count_workers(self.roster.workforce(now));
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
            warn!(
                repeats = true,
                silent, all, "most workers fell silent at once: taken for a fault of the network and waited out"
            );
        }
        for (worker, session) in look.ask {
            commands.push(Command::Probe(Question { worker, session, challenger: None }));
        }
        for id in look.dead {
            let gone = self.detector.is_gone(&id);
            if let Some(session) = self.roster.lose(&id, now) {
                let silent_s = now.saturating_duration_since(session.last_heard).as_secs_f32();
                warn!(worker = %session.worker, session = %id, silent_s, streams = session.owned.len(), "a worker is dead, its streams are placed again");
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
                self.metrics.claim_change(ClaimChange::Quarantined);
            }
        }
    }

    fn facts(&mut self, wish: &Wish, moves: Option<TicketReason>, now: Instant) -> Facts {
        let tracked = self.placements.get(&wish.slug);
        let held = self.held(&wish.slug);
        let owned = tracked.is_some_and(|t| held == Some(t.assignment.epoch));
        let wanted = self.wanted(wish, now);
        let queued = tracked.is_some_and(|t| matches!(t.told, Told::Queued { .. }));
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
            room: queued && self.roster.capacity(&wish.zone).1 > 0,
            placement: tracked.map(|t| t.placed(&self.roster, now)),
            settled: self.detector.settled(now),
            held_back: wanted && !owned && self.suspects.held_back(&wish.slug, now).is_some(),
            exclusive: wish.exclusive,
            moves,
        }
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
            room: false,
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
            info!(stream = %wish.slug, ?reason, "a stream is placed again");
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
}

/// For how long a live worker has owned the newest placement.
fn owned_for(tracked: &Tracked, roster: &Roster, now: Instant) -> Option<Duration> {
    let (owner, since) = tracked.owner()?;
    let owned: &Owned = roster.get(owner)?.owned.get(&tracked.assignment.slug)?;
    (owned.epoch == tracked.assignment.epoch).then(|| now.saturating_duration_since(since))
}
