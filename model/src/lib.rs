//! The agreement of all parts of `rsm`, as plain data: ids, camera links, specs and states ([`stream`]), and the
//! messages, subjects and headers that cross NATS ([`wire`]); and the pauses between attempts ([`backoff`]). No I/O, no clock, no task: the decisions of API and
//! worker depend on this crate and on nothing that could wait.

// The surface of this crate is what others build on: `pub` says that they may.
#![warn(unreachable_pub)]

pub mod backoff;
pub mod stream;
pub mod wire;
