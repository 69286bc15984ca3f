//! All that crosses NATS, versioned: subjects, messages, frame headers; and the plain facts that are read from it.

pub mod frame_headers;
pub mod latest_frame;
pub mod messages;
pub mod presence;
mod rows;
pub mod subjects;
pub mod ticket_queue;
pub mod trace_context;
