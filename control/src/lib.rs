//! Decisions of the control plane, without I/O: no network, no disk, no task, and no clock but the time that the caller
//! passes in. [`api`] has the API's side, [`worker`] the worker's. The tasks that feed them and carry out what they
//! decide are in `rsm-api` and `rsm-worker`; a simulation runs both sides in a model of the world.

// The surface of this crate is what others build on: `pub` says that they may.
#![warn(unreachable_pub)]

pub mod api;
pub mod worker;
