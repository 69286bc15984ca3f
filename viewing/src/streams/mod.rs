//! What can be watched, what is known of it and what is wanted of it. No address of a camera, no credential.

pub mod ages;
pub mod changed;
pub mod overrides;
pub mod start_trace;
pub mod stream_demand;
pub mod table;

pub use self::overrides::JpegOverrides;
pub use self::table::{Offer, Stream, Streams, View};
