//! All that crosses NATS, versioned: subjects, messages, frame headers.

pub mod frame_headers;
pub mod messages;
pub mod subjects;
pub mod trace_context;
