//! Results of the arbiter's commands, as the task that carried them out reports them.

use rsm_model::stream::fence::Epoch;
use rsm_model::stream::names::SessionId;
use rsm_model::stream::slug::Slug;
use rsm_model::wire::messages::{Priority, TicketReason};
use rsm_model::wire::presence::Presence;

use super::assignment::Assignment;
use super::command::PresenceQuery;
use super::plan::DeliveryState;

/// Why a command failed. The arbiter only logs it, so any error of the bus or the store fits.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The result of one command.
#[derive(Debug)]
pub enum CommandOutcome {
    /// The epoch is committed.
    Placed(PlacedOutcome),
    /// The stop is committed; `delivery` says whether NATS took it.
    Halted {
        assignment: Assignment,
        delivery: Result<(), Cause>,
    },
    /// The newest placement was sent again.
    Resent {
        slug: Slug,
        result: Result<(), Cause>,
    },
    Tidied {
        slug: Slug,
        result: Result<(), Cause>,
    },
    Forgotten {
        slug: Slug,
        result: Result<(), Cause>,
    },
    /// Nothing was placed, because the stop in the zone that the stream leaves was not sent.
    NotLeft {
        slug: Slug,
        error: Cause,
    },
    /// Nothing was published, because nothing could be committed.
    NotStored {
        slug: Slug,
        error: Cause,
    },
    /// A worker process was asked whether it is there.
    PresenceAnswered {
        query: PresenceQuery,
        presence: Presence,
    },
}

/// A new placement, committed.
#[derive(Debug)]
pub struct PlacedOutcome {
    pub assignment: Assignment,
    pub reason: TicketReason,
    /// The owner that goes on, and its epoch.
    pub from: Option<(SessionId, Epoch)>,
    /// The worker process that it was offered to.
    pub to: Option<SessionId>,
    pub delivery: Result<DeliveryState, Cause>,
    /// Sequence number in the queue of that priority, when a ticket was published.
    pub ticket: Option<(u64, Priority)>,
    /// The session that had claimed the epoch before this one, as far as that was looked up.
    pub claimed_by: Option<SessionId>,
}
