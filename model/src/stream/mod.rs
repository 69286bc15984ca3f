//! The nouns of the system, pure: no I/O happens here.

pub mod bit_set;
pub mod camera_link;
pub mod demand;
pub mod fence;
pub mod jpeg_width;
pub mod names;
pub mod rendition;
pub mod secret;
pub mod slug;
pub mod spec;
pub mod state;
