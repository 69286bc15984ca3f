//! What the arbiter asks for: data, carried out by whoever runs it.

use rsm_shared::stream::fence::Epoch;
use rsm_shared::stream::names::{SessionId, WorkerId, Zone};
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::messages::{Priority, TicketReason};

use crate::store::assignments::{Assignment, Seen};

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
