//! What became of the steps that the reconciler began.

use std::time::{Duration, Instant};

use rsm_shared::bus::BusError;
use rsm_shared::bus::control::Probe;
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::messages::{Priority, TicketReason, Want};
use tracing::{error, info, warn};

use super::execute::Done;
use super::plan::{self, Told};
use super::reconciler::{MAX_CHALLENGERS, Reconciler};
use super::tracked::Tracked;
use crate::store::assignments::Assignment;

/// Failures of steps are told this often at most.
const COMPLAIN_EVERY: Duration = Duration::from_secs(5);

impl Reconciler {
    /// Takes in what became of a step.
    pub(super) fn note(&mut self, done: Done) {
        let now = Instant::now();
        match done {
            Done::Placed { assignment, priority, reason, ticket } => {
                let slug = assignment.slug.clone();
                self.busy.remove(&slug);
                let tries = match reason {
                    TicketReason::Retry => self.placements.get(&slug).map_or(0, |t| t.tries + 1),
                    _ => 0,
                };
                if reason == TicketReason::Failover {
                    self.metrics.claim_changes.with_label_values(&["failover"]).inc();
                }
                let tracked = self.tracked(assignment, now, tries);
                match ticket {
                    Ok(sequence) => {
                        tracked.told = Told::Queued { urgent: priority == Priority::Hi };
                        tracked.ticket = Some((sequence, priority));
                        self.metrics.commands.with_label_values(&["start", "ok"]).inc();
                    }
                    Err(e) => {
                        tracked.told = Told::Failed;
                        self.metrics.commands.with_label_values(&["start", "error"]).inc();
                        self.complain(&slug, &format!("start command not taken: {e}"), now);
                    }
                }
            }
            Done::Halted { assignment, told } => {
                let slug = assignment.slug.clone();
                self.busy.remove(&slug);
                self.metrics.claim_changes.with_label_values(&["released"]).inc();
                self.tracked(assignment, now, 0);
                self.note_told(&slug, told);
            }
            Done::Told { slug, result } => {
                self.busy.remove(&slug);
                self.note_told(&slug, result);
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
                    }
                    Err(e) => self.complain(&slug, &e, now),
                }
            }
            Done::NotStored { slug, error } => {
                self.busy.remove(&slug);
                self.metrics.commands.with_label_values(&["store", "error"]).inc();
                self.complain(&slug, &format!("no epoch could be committed, nothing was published: {error}"), now);
            }
            Done::Topology { fresh, found } => self.note_topology(fresh, found, now),
            Done::Queue { zone, priority, result } => match result {
                Ok(queue) => {
                    for tracked in self.placements.values_mut() {
                        tracked.note_queue(&zone, priority, queue, now);
                    }
                }
                Err(e) => warn!(%zone, "{e}"),
            },
            Done::Probed { worker, session, challenger, probe } => match probe {
                Probe::Gone => {
                    if self.roster.remove(&session) {
                        info!(%worker, %session, "worker process is gone, a new one of its name takes over");
                        self.show_workers();
                    }
                }
                Probe::There => {
                    error!(%worker, running = %session, refused = %challenger, "two live workers have one name; the second is refused");
                    if self.challengers.len() < MAX_CHALLENGERS {
                        self.challengers.insert(challenger);
                    }
                }
                Probe::Unknown => {}
            },
        }
    }

    fn note_told(&mut self, slug: &Slug, result: Result<(), BusError>) {
        let Some(tracked) = self.placements.get_mut(slug) else { return };
        let outcome = if result.is_ok() { "ok" } else { "error" };
        tracked.told = if result.is_ok() { Told::Taken } else { Told::Failed };
        tracked.since = Instant::now();
        if tracked.assignment.want == Want::Stop {
            self.metrics.commands.with_label_values(&["stop", outcome]).inc();
        }
        if let Err(e) = result {
            self.complain(slug, &format!("command not taken: {e}"), Instant::now());
        }
    }

    /// A step of a stream failed: it is not tried again for a moment. One line every few seconds is enough, whatever
    /// the number of streams that fail for the same reason.
    fn complain(&mut self, slug: &Slug, text: &str, now: Instant) {
        self.not_before.insert(slug.clone(), now + plan::TELL_AGAIN);
        self.complaints += 1;
        if self.complained_at.is_none_or(|at| now.saturating_duration_since(at) >= COMPLAIN_EVERY) {
            warn!(stream = %slug, since_last_line = self.complaints, "{text}");
            self.complained_at = Some(now);
            self.complaints = 0;
        }
    }

    fn tracked(&mut self, assignment: Assignment, now: Instant, tries: u32) -> &mut Tracked {
        let slug = assignment.slug.clone();
        let tracked = self.placements.entry(slug).or_insert_with(|| Tracked::new(assignment.clone(), Told::Never, now));
        tracked.renew(assignment, now, tries);
        tracked
    }
}
