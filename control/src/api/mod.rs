//! Decisions of the API: from the links and the workers' reports to commands, and to the state that clients see.
//!
//! [`arbiter`] composes the parts, each of which owns its state: [`registered_streams`] (what is wanted), [`workers`] (which
//! processes are alive, by [`roster`] and [`detector`]), [`placements`] (one [`placement`] for each stream), [`suspects`]
//! (streams that must not start now), [`in_flight`] (commands under way), [`failures`], and the [`agenda`] (streams that the
//! next pass has to look at). The decisions themselves are functions: [`plan`] for one stream, [`facts`] for what it is
//! decided from, [`commands`] for what follows, [`moves`] and [`fleet`] for moves between workers, [`snapshot`] for what
//! clients are shown.

pub mod agenda;
pub mod arbiter;
pub mod assignment;
pub mod client_state;
pub mod command;
pub mod commands;
pub mod detector;
pub mod facts;
pub mod failures;
pub mod fleet;
pub mod in_flight;
pub mod intent;
pub mod moves;
pub mod observer;
pub mod outcome;
pub mod owners;
pub mod placement;
pub mod placements;
pub mod plan;
pub mod queue_progress;
pub mod registered_streams;
pub mod roster;
pub mod snapshot;
pub mod start_times;
pub mod suspects;
pub mod waiting_streams;
pub mod workers;
