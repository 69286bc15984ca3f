//! Routes for viewers: one file per resource, one table that lists them all.

pub mod camera_items;
pub mod docs;
pub mod elsewhere;
pub mod events;
pub mod frame_request;
pub mod list;
pub mod live;
pub mod media_facts;
pub mod mjpeg;
pub mod page;
pub mod play;
pub mod playback;
pub mod probes;
pub mod seat;
pub mod shown;
pub mod snapshot;
pub mod table;
