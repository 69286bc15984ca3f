//! Carries out one command: SQLite first, then NATS. Each command is a short task of its own; its outcome goes back to the
//! reconciler, which tries again where it must.

use std::time::Instant;

use rsm_control::api::assignment::{Assignment, PlacementFloor};
use rsm_control::api::command::{PlaceCommand, PresenceQuery};
use rsm_control::api::outcome::{Cause, CommandOutcome, PlacedOutcome};
use rsm_control::api::plan::DeliveryState;
use rsm_shared::bus::connect::Bus;
use rsm_shared::bus::{BusError, claims, control, registers, tickets};
use rsm_shared::ops::traces::{self, Span};
use rsm_shared::stream::fence::Epoch;
use rsm_shared::stream::names::{SessionId, WorkerId, Zone};
use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::spec::StreamSpec;
use rsm_shared::wire::messages::{Desired, Priority, Stop, Ticket, TicketReason, VERSION, Want};
use tracing::debug;

use crate::store::Store;
use rsm_viewing::streams::start_trace::StartTrace;

/// Carries out commands: the database and NATS. Cheap to clone.
#[derive(Clone)]
pub struct Executor {
    pub store: Store,
    pub bus: Bus,
    pub replicas: usize,
}

impl Executor {
    /// Commits an epoch, writes the desired record and publishes a ticket: in this order, so that the worker that gets the
    /// ticket finds the record. A stream that changes its zone is stopped in the old one before that: no worker there hears
    /// of the new one.
    pub async fn place(self, p: PlaceCommand, spec: StreamSpec, spec_rev: i64, mut span: Span) -> CommandOutcome {
        if let Some(leaves) = &p.leaves
            && let Err(error) = self.send_stop(leaves).await
        {
            span.fail("nats", &error);
            return CommandOutcome::NotLeft { slug: p.slug, error: error.into() };
        }
        let commit = span.child("commit epoch");
        let floor = self.floor(&p).await;
        let assigned = self.store.assign(p.slug.clone(), p.zone.clone(), Want::Run, spec_rev, floor).await;
        let assignment = match assigned {
            Ok(assignment) => assignment,
            Err(error) => {
                span.fail("store", &error);
                return CommandOutcome::NotStored { slug: p.slug, error: error.into() };
            }
        };
        commit.end();
        span.count("rsm.epoch", assignment.epoch.0);
        let claimed_by = match (p.reason, p.floor.epoch) {
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
        let (delivery, ticket) = match self.publish(&ticket, run_record(&assignment, spec), p.priority, p.to).await {
            Ok(Some(sequence)) => {
                let urgent = p.priority == Priority::Hi;
                (Ok(DeliveryState::Queued { urgent }), Some((sequence, p.priority)))
            }
            Ok(None) => (Ok(DeliveryState::Delivered), None),
            Err(e) => {
                span.fail("nats", &e);
                (Err(Cause::from(e)), None)
            }
        };
        publish.end();
        let (reason, from) = (p.reason, p.from);
        CommandOutcome::Placed(PlacedOutcome { assignment, reason, from, to, delivery, ticket, claimed_by })
    }

    /// The numbers to go beyond. The desired record counts too: it is newer than a database that was restored from an old
    /// copy.
    async fn floor(&self, p: &PlaceCommand) -> PlacementFloor {
        let recorded = registers::get(&self.bus, &p.zone, &p.slug).await.ok().flatten().map(|desired| desired.epoch);
        PlacementFloor { epoch: p.floor.epoch.max(recorded), ..p.floor }
    }

    /// Writes the record, then offers or publishes the ticket. Returns its sequence number in the queue, or `None` when a
    /// worker was asked to take it.
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
                // It may have taken it: its heartbeats will tell.
                Err(BusError::Deadline { .. }) => return Ok(None),
                Ok(false) | Err(_) => {}
            }
        }
        tickets::publish(&self.bus, ticket, priority).await.map(Some)
    }

    /// Commits an epoch that says stop, writes the desired record, publishes the fast stop and purges the ticket.
    pub async fn halt(self, slug: Slug, zone: Zone, spec_rev: i64, floor: PlacementFloor) -> CommandOutcome {
        match self.store.assign(slug.clone(), zone, Want::Stop, spec_rev, floor).await {
            Ok(assignment) => {
                let delivery = self.send_stop(&assignment).await.map_err(Cause::from);
                CommandOutcome::Halted { assignment, delivery }
            }
            Err(error) => CommandOutcome::NotStored { slug, error: error.into() },
        }
    }

    /// Sends the stop of the newest placement again.
    pub async fn halt_again(self, assignment: Assignment) -> CommandOutcome {
        let result = self.send_stop(&assignment).await.map_err(Cause::from);
        CommandOutcome::Resent { slug: assignment.slug, result }
    }

    async fn send_stop(&self, assignment: &Assignment) -> Result<(), BusError> {
        let Assignment { slug, zone, epoch, .. } = assignment;
        let record = Desired { v: VERSION, cam: slug.clone(), epoch: *epoch, state: Want::Stop, spec: None };
        registers::put(&self.bus, zone, &record).await?;
        control::stop(&self.bus, zone, slug, &Stop { v: VERSION, epoch_le: *epoch }).await?;
        tickets::purge(&self.bus, slug).await
    }

    /// Writes the desired record of a running placement again: NATS may have been wiped.
    pub async fn rewrite(self, assignment: Assignment, spec: StreamSpec) -> CommandOutcome {
        let written = registers::put(&self.bus, &assignment.zone, &run_record(&assignment, spec)).await;
        CommandOutcome::Resent { slug: assignment.slug, result: written.map_err(Cause::from) }
    }

    /// Removes claims that no longer count, and the records of zones that the stream has left.
    pub async fn tidy(self, assignment: Assignment) -> CommandOutcome {
        let keep_newest = assignment.want == Want::Run;
        let mut result = claims::purge(&self.bus, &assignment.slug, keep_newest).await;
        if result.is_ok() {
            result = registers::purge(&self.bus, &assignment.slug, true).await;
        }
        CommandOutcome::Tidied { slug: assignment.slug, result: result.map_err(Cause::from) }
    }

    /// Removes the last records of a removed link.
    pub async fn forget(self, assignment: Assignment) -> CommandOutcome {
        let result = match registers::purge(&self.bus, &assignment.slug, false).await {
            Ok(()) => self.store.forget(assignment.slug.clone()).await.map_err(Cause::from),
            Err(e) => Err(Cause::from(e)),
        };
        CommandOutcome::Forgotten { slug: assignment.slug, result }
    }

    /// Tells owners of epochs up to `up_to` to release the stream. Lost messages do not matter: the answers to heartbeats
    /// repeat them.
    pub async fn release(self, slug: Slug, zone: Zone, up_to: Epoch) {
        if let Err(e) = control::stop(&self.bus, &zone, &slug, &Stop { v: VERSION, epoch_le: up_to }).await {
            debug!(stream = %slug, error = %e, "the release of an earlier owner was not sent; the answers to its heartbeats repeat it");
        }
    }

    /// Asks a worker process whether it is there.
    pub async fn ask_presence(self, query: PresenceQuery) -> CommandOutcome {
        let presence = control::probe(&self.bus, &query.worker, &query.session).await;
        CommandOutcome::PresenceAnswered { query, presence }
    }
}

/// The span of a placement: in the trace of the wish that it serves first, or in one of its own.
pub fn placing(place: &PlaceCommand, start: &StartTrace) -> Span {
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
