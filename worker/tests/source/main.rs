//! Camera sessions against scripted cameras: every fault with its reason, received units, their times, and leftovers.
//! No GStreamer.

mod bench;
mod faults;
mod kept;
mod leftovers;
mod login;
mod received;
// The black-box tests use the rest of it.
#[allow(dead_code)]
#[path = "../scripted/mod.rs"]
mod scripted;
mod time;
