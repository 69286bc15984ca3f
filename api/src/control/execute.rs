//! Carries one step out: SQLite first, then NATS. Each step is a short task of its own; what became of it goes back
//! to the reconciler, which tries again where it must.

use rsm_shared::bus::connect::Bus;
use rsm_shared::bus::topology::Found;
use rsm_shared::bus::{BusError, claims, control, registers, tickets, topology};
use rsm_shared::stream::names::{SessionId, WorkerId, Zone};
use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::spec::StreamSpec;
use rsm_shared::wire::messages::{Desired, Priority, Stop, Ticket, TicketReason, VERSION, Want};

use crate::store::assignments::{Assignment, Seen};
use crate::store::{Store, StoreError};

/// What the reconciler hands to a task.
#[derive(Clone)]
pub struct Executor {
    pub store: Store,
    pub bus: Bus,
    pub replicas: usize,
}

/// Everything a placement needs.
pub struct Placement {
    pub slug: Slug,
    pub zone: Zone,
    pub spec: StreamSpec,
    pub spec_rev: i64,
    pub priority: Priority,
    pub reason: TicketReason,
    /// What was seen of earlier owners.
    pub seen: Seen,
    /// Where the next owner's playlist goes on at the earliest.
    pub media_sequence: u64,
}

/// What became of a step.
pub enum Done {
    /// The epoch is committed; the ticket has this sequence number, or was not taken by NATS.
    Placed {
        assignment: Assignment,
        priority: Priority,
        reason: TicketReason,
        ticket: Result<u64, BusError>,
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
    /// Nothing was published, because nothing could be committed.
    NotStored {
        slug: Slug,
        error: StoreError,
    },
    /// Whether a stream was missing: NATS is new or was wiped, and what it held must be written again.
    Topology {
        fresh: bool,
        found: Result<Found, BusError>,
    },
    /// How far the consumers of a zone have come.
    Queue {
        zone: Zone,
        priority: Priority,
        result: Result<tickets::Queue, BusError>,
    },
    /// Whether `session` is there, whose name `challenger` has too.
    Probed {
        worker: WorkerId,
        session: SessionId,
        challenger: SessionId,
        probe: control::Probe,
    },
}

impl Executor {
    /// New epoch, desired record, ticket: in this order, so that whoever pulls the ticket finds the record.
    pub async fn place(self, p: Placement) -> Done {
        let assigned = self.store.assign(p.slug.clone(), p.zone.clone(), Want::Run, p.spec_rev, p.seen).await;
        let assignment = match assigned {
            Ok(assignment) => assignment,
            Err(error) => return Done::NotStored { slug: p.slug, error },
        };
        let ticket = Ticket {
            v: VERSION,
            cam: p.slug,
            zone: p.zone,
            epoch: assignment.epoch,
            reason: p.reason,
            media_sequence: p.media_sequence,
            discontinuity_sequence: assignment.discontinuity,
            avoid: None,
        };
        let published = async {
            registers::put(&self.bus, &ticket.zone, &run_record(&assignment, p.spec)).await?;
            tickets::publish(&self.bus, &ticket, p.priority).await
        };
        let ticket_sequence = published.await;
        Done::Placed { assignment, priority: p.priority, reason: p.reason, ticket: ticket_sequence }
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

    /// Removes claims that no longer count.
    pub async fn tidy(self, assignment: Assignment) -> Done {
        let keep_newest = assignment.want == Want::Run;
        let result = claims::purge(&self.bus, &assignment.zone, &assignment.slug, keep_newest).await;
        Done::Tidied { slug: assignment.slug, result }
    }

    /// Removes the last traces of a removed link.
    pub async fn forget(self, assignment: Assignment) -> Done {
        let result = match registers::purge(&self.bus, &assignment.zone, &assignment.slug).await {
            Ok(()) => self.store.forget(assignment.slug.clone()).await.map_err(|e| e.to_string()),
            Err(e) => Err(e.to_string()),
        };
        Done::Forgotten { slug: assignment.slug, result }
    }

    /// Makes what is missing on NATS.
    pub async fn topology(self, zones: Vec<Zone>) -> Done {
        let mut fresh = false;
        let found = topology::ensure(&self.bus, &zones, self.replicas, &mut fresh).await;
        Done::Topology { fresh, found }
    }

    /// Asks how far a queue has come.
    pub async fn queue(self, zone: Zone, priority: Priority) -> Done {
        let result = tickets::queue(&self.bus, &zone, priority).await;
        Done::Queue { zone, priority, result }
    }

    /// Asks a worker process whether it is there.
    pub async fn probe(self, worker: WorkerId, session: SessionId, challenger: SessionId) -> Done {
        let probe = control::probe(&self.bus, &worker, &session).await;
        Done::Probed { worker, session, challenger, probe }
    }
}

fn run_record(assignment: &Assignment, spec: StreamSpec) -> Desired {
    Desired { v: VERSION, cam: assignment.slug.clone(), epoch: assignment.epoch, state: Want::Run, spec: Some(spec) }
}
