//! Commands of the arbiter: data, carried out by the task around it.

use rsm_model::stream::fence::Epoch;
use rsm_model::stream::names::{SessionId, WorkerId, Zone};
use rsm_model::stream::slug::Slug;
use rsm_model::wire::messages::{Priority, TicketReason};

use super::assignment::{Assignment, PlacementFloor};

/// An action outside the arbiter. Every command but [`Command::Release`] is answered with a
/// [`super::outcome::CommandOutcome`]; a lost answer to [`Command::AskPresence`] is made up for by the next question.
#[derive(Clone, Debug)]
pub enum Command {
    Place(PlaceCommand),
    /// Commit an epoch that says stop, write the desired record, publish the fast stop, purge the ticket.
    Halt {
        slug: Slug,
        zone: Zone,
        spec_rev: i64,
        floor: PlacementFloor,
    },
    /// Send the stop of the newest placement again.
    HaltAgain(Assignment),
    /// Write the desired record of the newest placement again.
    Rewrite(Assignment),
    /// Remove claims that no longer count, and records of zones that the stream has left.
    Tidy(Assignment),
    /// Remove the last records of a removed link.
    Forget(Assignment),
    /// Tell owners of epochs up to `up_to` to release the stream.
    Release {
        slug: Slug,
        zone: Zone,
        up_to: Epoch,
    },
    /// Ask a worker process whether it is there.
    AskPresence(PresenceQuery),
}

/// A new placement.
#[derive(Clone, Debug)]
pub struct PlaceCommand {
    pub slug: Slug,
    pub zone: Zone,
    pub priority: Priority,
    pub reason: TicketReason,
    /// The numbers of earlier owners that the placement has to go beyond.
    pub floor: PlacementFloor,
    /// The smallest media sequence number that the next owner's playlist may go on with.
    pub media_sequence: u64,
    /// The owner that goes on until the new one has pictures, and its epoch.
    pub from: Option<(SessionId, Epoch)>,
    /// The worker process that it is offered to; `None` for the first that pulls the ticket.
    pub to: Option<(WorkerId, SessionId)>,
    /// The newest placement, with the largest epoch seen, when that was for another zone: it is stopped there first.
    pub leaves: Option<Assignment>,
}

/// The question whether a worker process is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceQuery {
    pub worker: WorkerId,
    pub session: SessionId,
    /// Another process that uses the same worker name; `None` when `session` is only silent.
    pub challenger: Option<SessionId>,
}
