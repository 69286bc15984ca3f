//! What bounds the requests of operators.

pub mod change_order;
pub mod probe_slots;
