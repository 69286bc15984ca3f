//! Rules of a log line: its parts, the texts that are left out, and the limits of repetition.

pub mod causes;
mod counted;
pub(super) mod event;
pub(super) mod lines;
pub mod masking;
pub(super) mod queue;
pub mod repeated;
