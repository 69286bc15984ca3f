//! Carries one step out: SQLite first, then NATS. Each step is a short task of its own; what became of it goes back
//! to the reconciler, which tries again where it must.

use std::time::Instant;

use rsm_shared::bus::connect::Bus;
use rsm_shared::bus::{BusError, claims, control, registers, tickets};
use rsm_shared::ops::traces::{self, Span};
use rsm_shared::stream::fence::Epoch;
use rsm_shared::stream::names::{SessionId, WorkerId, Zone};
use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::spec::StreamSpec;
use rsm_shared::wire::messages::{Desired, Priority, Stop, Ticket, TicketReason, VERSION, Want};
use tracing::debug;

use super::command::{Place, Question};
use super::outcomes::Done;
use super::plan::Told;
use crate::store::Store;
use crate::store::assignments::{Assignment, Seen};
use rsm_viewing::streams::start_trace::StartTrace;

/// What the reconciler hands to a task.
#[derive(Clone)]
pub struct Executor {
    pub store: Store,
    pub bus: Bus,
    pub replicas: usize,
}

impl Executor {
    /// New epoch, desired record, ticket: in this order, so that whoever gets the ticket finds the record. A stream that
    /// changes its zone is stopped in the old one before that: nothing there hears of the new one.
    pub async fn place(self, p: Place, spec: StreamSpec, spec_rev: i64, mut span: Span) -> Done {
        if let Some(leaves) = &p.leaves
            && let Err(error) = self.tell_stop(leaves).await
        {
            span.fail("nats", &error);
            return Done::NotLeft { slug: p.slug, error };
        }
        let commit = span.child("commit epoch");
        let seen = self.look_back(&p).await;
        let assigned = self.store.assign(p.slug.clone(), p.zone.clone(), Want::Run, spec_rev, seen).await;
        let assignment = match assigned {
            Ok(assignment) => assignment,
            Err(error) => {
                span.fail("store", &error);
                return Done::NotStored { slug: p.slug, error };
            }
        };
        commit.end();
        span.count("rsm.epoch", assignment.epoch.0);
        let claimed_by = match (p.reason, p.seen.epoch) {
            (TicketReason::Retry, Some(epoch)) => {
                claims::owner(&self.bus, &p.zone, &p.slug, epoch).await.ok().flatten()
            }
            _ => None,
        };
        let ticket = Ticket {
            v: VERSION,
            cam: p.slug,
            zone: p.zone,
            epoch: assignment.epoch,
            reason: p.reason,
            media_sequence: p.media_sequence,
            discontinuity_sequence: assignment.discontinuity,
            avoid: p.from.as_ref().map(|(session, _)| session.clone()),
            traceparent: span.context(),
        };
        let to = p.to.as_ref().map(|(_, session)| session.clone());
        let publish = span.child("publish ticket");
        let (told, ticket) = match self.publish(&ticket, run_record(&assignment, spec), p.priority, p.to).await {
            Ok(Some(sequence)) => {
                let urgent = p.priority == Priority::Hi;
                (Ok(Told::Queued { urgent }), Some((sequence, p.priority)))
            }
            Ok(None) => (Ok(Told::Taken), None),
            Err(e) => {
                span.fail("nats", &e);
                (Err(e), None)
            }
        };
        publish.end();
        Done::Placed { assignment, reason: p.reason, from: p.from, to, told, ticket, claimed_by }
    }

    /// What was seen of earlier owners. The desired record counts too: it is newer than a database that was restored
    /// from an old copy.
    async fn look_back(&self, p: &Place) -> Seen {
        let recorded = registers::get(&self.bus, &p.zone, &p.slug).await.ok().flatten().map(|desired| desired.epoch);
        Seen { epoch: p.seen.epoch.max(recorded), ..p.seen }
    }

    /// The ticket's place in the queue; `None` when it was given to a worker by hand.
    async fn publish(
        &self,
        ticket: &Ticket,
        record: Desired,
        priority: Priority,
        to: Option<(WorkerId, SessionId)>,
    ) -> Result<Option<u64>, BusError> {
        registers::put(&self.bus, &ticket.zone, &record).await?;
        if let Some((worker, session)) = to {
            match control::take(&self.bus, &worker, &session, ticket).await {
                Ok(true) => return Ok(None),
                // It may have taken it: whether it did its heartbeats tell.
                Err(BusError::Deadline { .. }) => return Ok(None),
                Ok(false) | Err(_) => {}
            }
        }
        tickets::publish(&self.bus, ticket, priority).await.map(Some)
    }

    /// New epoch that says stop, desired record, fast stop, ticket taken back.
    pub async fn halt(self, slug: Slug, zone: Zone, spec_rev: i64, seen: Seen) -> Done {
        match self.store.assign(slug.clone(), zone, Want::Stop, spec_rev, seen).await {
            Ok(assignment) => {
                let told = self.tell_stop(&assignment).await;
                Done::Halted { assignment, told }
            }
            Err(error) => Done::NotStored { slug, error },
        }
    }

    /// The stop of the newest placement again.
    pub async fn halt_again(self, assignment: Assignment) -> Done {
        let result = self.tell_stop(&assignment).await;
        Done::Told { slug: assignment.slug, result }
    }

    async fn tell_stop(&self, assignment: &Assignment) -> Result<(), BusError> {
        let Assignment { slug, zone, epoch, .. } = assignment;
        let record = Desired { v: VERSION, cam: slug.clone(), epoch: *epoch, state: Want::Stop, spec: None };
        registers::put(&self.bus, zone, &record).await?;
        control::stop(&self.bus, zone, slug, &Stop { v: VERSION, epoch_le: *epoch }).await?;
        tickets::purge(&self.bus, slug).await
    }

    /// The desired record of a running placement again: NATS may have been wiped.
    pub async fn rewrite(self, assignment: Assignment, spec: StreamSpec) -> Done {
        let result = registers::put(&self.bus, &assignment.zone, &run_record(&assignment, spec)).await;
        Done::Told { slug: assignment.slug, result }
    }

    /// Removes claims that no longer count, and the records of zones that the stream has left.
    pub async fn tidy(self, assignment: Assignment) -> Done {
        let keep_newest = assignment.want == Want::Run;
        let mut result = claims::purge(&self.bus, &assignment.slug, keep_newest).await;
        if result.is_ok() {
            result = registers::purge(&self.bus, &assignment.slug, true).await;
        }
        Done::Tidied { slug: assignment.slug, result }
    }

    /// Removes the last traces of a removed link.
    pub async fn forget(self, assignment: Assignment) -> Done {
        let result = match registers::purge(&self.bus, &assignment.slug, false).await {
            Ok(()) => self.store.forget(assignment.slug.clone()).await.map_err(|e| e.to_string()),
            Err(e) => Err(e.to_string()),
        };
        Done::Forgotten { slug: assignment.slug, result }
    }

    /// Tells owners of epochs up to `up_to` to let go. Lost words do not matter: heartbeats are answered with the same.
    pub async fn release(self, slug: Slug, zone: Zone, up_to: Epoch) {
        if let Err(e) = control::stop(&self.bus, &zone, &slug, &Stop { v: VERSION, epoch_le: up_to }).await {
            debug!(stream = %slug, error = %e, "an earlier owner was not told to let go; its heartbeats are");
        }
    }

    /// Asks a worker process whether it is there.
    pub async fn probe(self, question: Question) -> Done {
        let probe = control::probe(&self.bus, &question.worker, &question.session).await;
        Done::Probed { question, probe }
    }
}

/// The span of a placement: in the trace of the wish that it is the first for, or in one of its own.
pub fn placing(place: &Place, start: &StartTrace) -> Span {
    if !traces::is_on() {
        return Span::none();
    }
    let belongs = start.place(place.reason, Instant::now());
    let mut span = traces::span("place").under(belongs.under).linked(belongs.linked).begin();
    span.set("rsm.stream", &place.slug);
    span.set("rsm.zone", &place.zone);
    span.set("rsm.reason", place.reason.as_str());
    if let Some((worker, _)) = &place.to {
        span.set("rsm.worker", worker);
    }
    start.placed(span.context());
    span
}

fn run_record(assignment: &Assignment, spec: StreamSpec) -> Desired {
    Desired { v: VERSION, cam: assignment.slug.clone(), epoch: assignment.epoch, state: Want::Run, spec: Some(spec) }
}
