//! What a line of the log is: which part may say what, what is left out of it, and how often it is said.

pub mod causes;
mod counted;
pub(super) mod event;
pub(super) mod lines;
pub mod masking;
pub mod repeated;
