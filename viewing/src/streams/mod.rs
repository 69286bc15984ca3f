//! Streams that can be watched: their state, their changes and the demand for them. No address of a camera, no
//! credential.

pub mod ages;
pub mod changed;
pub mod overrides;
pub mod start_trace;
pub mod stream;
pub mod stream_demand;
pub mod table;
pub mod wake;

pub use self::overrides::JpegOverrides;
pub use self::stream::{Offer, Stream, View};
pub use self::table::Streams;
pub use self::wake::{NotedStreams, Wake};
