//! What became of the steps that the reconciler began.

use std::time::{Duration, Instant};

use rsm_shared::bus::BusError;
use rsm_shared::stream::fence::Epoch;
use rsm_shared::stream::names::{SessionId, Zone};
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::messages::{Priority, TicketReason, Want};
use rsm_shared::wire::presence::Presence;
use rsm_shared::wire::ticket_queue::TicketQueue;
use tracing::{error, info, warn};

use super::arbiter::{Arbiter, MAX_CHALLENGERS};
use super::command::Question;
use super::plan::{self, Told};
use super::tracked::{HandoffFrom, Tracked};
use crate::metrics::control::{ClaimChange, Commanded};
use crate::store::StoreError;
use crate::store::assignments::Assignment;

/// Failures of commands are told this often at most.
const COMPLAIN_EVERY: Duration = Duration::from_secs(5);

/// What became of a command.
pub enum Done {
    /// The epoch is committed.
    Placed {
        assignment: Assignment,
        reason: TicketReason,
        /// The owner that goes on, and its epoch.
        from: Option<(SessionId, Epoch)>,
        /// Who was asked to take it.
        to: Option<SessionId>,
        told: Result<Told, BusError>,
        /// Where the ticket waits, when it does.
        ticket: Option<(u64, Priority)>,
        /// Who had claimed the epoch before it, as far as that was looked up.
        claimed_by: Option<SessionId>,
    },
    /// The stop is committed; whether NATS took it.
    Halted {
        assignment: Assignment,
        told: Result<(), BusError>,
    },
    /// The newest placement was told again.
    Told {
        slug: Slug,
        result: Result<(), BusError>,
    },
    Tidied {
        slug: Slug,
        result: Result<(), BusError>,
    },
    Forgotten {
        slug: Slug,
        result: Result<(), String>,
    },
    /// Nothing was placed, because the zone that the stream leaves could not be told.
    NotLeft {
        slug: Slug,
        error: BusError,
    },
    /// Nothing was published, because nothing could be committed.
    NotStored {
        slug: Slug,
        error: StoreError,
    },
    Probed {
        question: Question,
        probe: Presence,
    },
}

impl Arbiter {
    /// Takes in what became of a command.
    pub fn note(&mut self, done: Done, now: Instant) {
        match done {
            Done::Placed { assignment, reason, from, to, told, ticket, claimed_by } => {
                let slug = assignment.slug.clone();
                self.busy.remove(&slug);
                // What an earlier process placed says nothing: its workers may have ended in order since.
                let ours = self.placements.get(&slug).is_some_and(Tracked::is_ours);
                if let Some(session) = claimed_by.filter(|session| ours && self.roster.get(session).is_none())
                    && self.suspects.died(&slug, Duration::ZERO, now)
                {
                    self.metrics.claim_change(ClaimChange::Quarantined);
                    warn!(stream = %slug, %session, "set aside: its worker died before it could say that it owns it");
                }
                let from = from.map(|(session, epoch)| HandoffFrom { session, epoch, to, reason, since: now });
                self.note_placed(assignment, reason, from, told, ticket, now);
            }
            Done::Halted { assignment, told } => {
                let slug = assignment.slug.clone();
                self.busy.remove(&slug);
                self.metrics.claim_change(ClaimChange::Released);
                self.tracked(assignment, now, 0, false);
                self.note_told(&slug, told, now);
            }
            Done::Told { slug, result } => {
                self.busy.remove(&slug);
                self.note_told(&slug, result, now);
            }
            Done::Tidied { slug, result } => {
                self.busy.remove(&slug);
                match (self.placements.get_mut(&slug), result) {
                    (Some(tracked), Ok(())) => tracked.tidy = true,
                    (_, Err(e)) => self.complain(&slug, &e.to_string(), now),
                    (None, Ok(())) => {}
                }
            }
            Done::Forgotten { slug, result } => {
                self.busy.remove(&slug);
                match result {
                    Ok(()) => {
                        self.placements.remove(&slug);
                        self.details.remove(&slug);
                        self.suspects.forgive(&slug);
                    }
                    Err(e) => self.complain(&slug, &e, now),
                }
            }
            Done::NotLeft { slug, error } => {
                self.busy.remove(&slug);
                self.complain(&slug, &format!("the zone that it leaves was not told, so it waits: {error}"), now);
            }
            Done::NotStored { slug, error } => {
                self.busy.remove(&slug);
                self.metrics.commanded(Commanded::NotStored);
                self.complain(&slug, &format!("no epoch could be committed, nothing was published: {error}"), now);
            }
            Done::Probed { question: Question { worker, session, challenger: Some(challenger) }, probe } => match probe
            {
                Presence::Gone => {
                    if let Some(gone) = self.roster.lose(&session, now) {
                        info!(%worker, %session, "a worker process is gone, a new one of its name takes over");
                        self.mourn(&gone, true, now);
                    }
                }
                Presence::Present => {
                    error!(repeats = true, %worker, running = %session, refused = %challenger, "two live workers have one name; the second is refused");
                    if self.challengers.len() < MAX_CHALLENGERS {
                        self.challengers.insert(challenger, now);
                    }
                }
                Presence::Unknown => {}
            },
            Done::Probed { question, probe } => self.detector.answered(&question.session, probe, now),
        }
    }

    fn note_placed(
        &mut self,
        assignment: Assignment,
        reason: TicketReason,
        from: Option<HandoffFrom>,
        told: Result<Told, BusError>,
        ticket: Option<(u64, Priority)>,
        now: Instant,
    ) {
        let slug = assignment.slug.clone();
        let tries = match reason {
            // Only a ticket that somebody took, or that waited, was a try; that NATS was away is none.
            TicketReason::Retry => {
                self.placements.get(&slug).map_or(0, |t| t.tries + u32::from(t.told != Told::Failed))
            }
            _ => 0,
        };
        match reason {
            TicketReason::Failover => self.metrics.claim_change(ClaimChange::Failover),
            TicketReason::Drain => self.metrics.claim_change(ClaimChange::Drain),
            TicketReason::Rebalance => self.metrics.claim_change(ClaimChange::Rebalance),
            _ => {}
        }
        let moves = matches!(reason, TicketReason::Drain | TicketReason::Rebalance);
        let tracked = self.tracked(assignment, now, tries, from.is_some());
        if let (true, Some(from)) = (moves, from) {
            tracked.hand_off(from);
        }
        tracked.ticket = ticket;
        match told {
            Ok(told) => {
                tracked.told = told;
                self.metrics.commanded(Commanded::Started);
            }
            Err(e) => {
                tracked.told = Told::Failed;
                self.metrics.commanded(Commanded::NotStarted);
                self.complain(&slug, &format!("start command not taken: {e}"), now);
            }
        }
    }

    /// A queue was looked at.
    pub fn note_queue(&mut self, zone: &Zone, priority: Priority, queue: TicketQueue, now: Instant) {
        for tracked in self.placements.values_mut() {
            tracked.note_queue(zone, priority, queue, now);
        }
    }

    fn note_told(&mut self, slug: &Slug, result: Result<(), BusError>, now: Instant) {
        let Some(tracked) = self.placements.get_mut(slug) else { return };
        tracked.told = if result.is_ok() { Told::Taken } else { Told::Failed };
        tracked.since = now;
        if tracked.assignment.want == Want::Stop {
            let done = if result.is_ok() { Commanded::Stopped } else { Commanded::NotStopped };
            self.metrics.commanded(done);
        }
        if let Err(e) = result {
            self.complain(slug, &format!("command not taken: {e}"), now);
        }
    }

    /// A command about a stream failed: it is not tried again for a moment. One line every few seconds is enough, whatever
    /// the number of streams that fail for the same reason.
    fn complain(&mut self, slug: &Slug, text: &str, now: Instant) {
        self.not_before.insert(slug.clone(), now + plan::TELL_AGAIN);
        self.complaints += 1;
        if self.complained_at.is_none_or(|at| now.saturating_duration_since(at) >= COMPLAIN_EVERY) {
            warn!(stream = %slug, failures = self.complaints, error = text, "a placement is not carried out, trying again");
            self.complained_at = Some(now);
            self.complaints = 0;
        }
    }

    fn tracked(&mut self, assignment: Assignment, now: Instant, tries: u32, keep_handoff: bool) -> &mut Tracked {
        let slug = assignment.slug.clone();
        let first = !self.placements.contains_key(&slug);
        let tracked = self.placements.entry(slug).or_insert_with(|| Tracked::new(assignment.clone(), Told::Never, now));
        tracked.renew(assignment, now, tries, keep_handoff);
        // There is no earlier claim to remove.
        tracked.tidy = first;
        tracked
    }
}
