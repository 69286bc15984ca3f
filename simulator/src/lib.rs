//! Everything that a test or a benchmark needs to understand the pictures of `rsm-camera`.
//!
//! The camera itself is the binary of this package. This library holds the two agreements between the camera and a
//! reader of its pictures: how the frame number is written into them ([`clock_row`]) and which frame is sent when
//! ([`schedule`]). Neither module knows GStreamer, so a reader of pictures links none of it.

pub mod clock_row;
pub mod schedule;
