//! The API process: how it begins and ends, and the chores that run beside it.

pub mod hls_janitor;
pub mod serve;
