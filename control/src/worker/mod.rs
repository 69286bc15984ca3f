//! Decisions of a worker: which tickets it takes, which streams it owns, starts and releases, and what silence of the API
//! means for them.

pub mod admission;
pub mod contact;
pub mod demand_table;
pub mod drain;
pub mod holding;
pub mod machine_load;
pub mod readiness;
pub mod slots;
pub mod ticket;
