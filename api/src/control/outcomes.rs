//! What became of the steps that the reconciler began.

use std::time::Instant;

use rsm_shared::bus::BusError;
use rsm_shared::bus::control::Probe;
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::messages::{TicketReason, Want};
use tracing::{error, info, warn};

use super::execute::Done;
use super::plan::Told;
use super::reconciler::{MAX_CHALLENGERS, Reconciler};
use super::tracked::Tracked;
use crate::store::assignments::Assignment;

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
                    TicketReason::Start | TicketReason::Change | TicketReason::Failover => 0,
                };
                if reason == TicketReason::Failover {
                    self.metrics.claim_changes.with_label_values(&["failover"]).inc();
                }
                let tracked = self.tracked(assignment, now, tries);
                match ticket {
                    Ok(sequence) => {
                        tracked.told = Told::Queued;
                        tracked.ticket = Some((sequence, priority));
                        self.metrics.commands.with_label_values(&["start", "ok"]).inc();
                    }
                    Err(e) => {
                        tracked.told = Told::Failed;
                        self.metrics.commands.with_label_values(&["start", "error"]).inc();
                        warn!(stream = %slug, "start command not taken: {e}");
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
                    (_, Err(e)) => warn!(stream = %slug, "{e}"),
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
                    Err(e) => warn!(stream = %slug, "{e}"),
                }
            }
            Done::NotStored { slug, error } => {
                self.busy.remove(&slug);
                self.metrics.commands.with_label_values(&["store", "error"]).inc();
                error!(stream = %slug, "no epoch could be committed, nothing was published: {error}");
            }
            Done::Topology(found) => self.note_topology(found, now),
            Done::Delivered { zone, priority, result } => match result {
                Ok(last) => {
                    for tracked in self.placements.values_mut() {
                        tracked.note_delivered(&zone, priority, last, now);
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
            warn!(stream = %slug, "command not taken: {e}");
        }
    }

    fn tracked(&mut self, assignment: Assignment, now: Instant, tries: u32) -> &mut Tracked {
        let slug = assignment.slug.clone();
        let tracked = self.placements.entry(slug).or_insert_with(|| Tracked::new(assignment.clone(), Told::Never, now));
        tracked.renew(assignment, now, tries);
        tracked
    }
}
