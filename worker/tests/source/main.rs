//! Camera sessions against scripted cameras: every fault with its reason, received units, their times, and leftovers.
//! No GStreamer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails by a panic, and shows what it saw"
)]

mod bench;
mod faults;
mod kept;
mod leftovers;
mod login;
mod received;
// The black-box tests use the rest of it.
#[allow(dead_code, reason = "the other test programs use the rest")]
#[path = "../scripted/mod.rs"]
mod scripted;
mod time;
