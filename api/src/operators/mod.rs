//! Limits of operators' requests.

pub mod change_order;
pub mod probe_slots;
