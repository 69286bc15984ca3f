//! HLS without files and sockets, in the order in which a picture goes through it.
//!
//! ```text
//! planner        at which key frames segments begin
//!   cuts         the segments that began so far: other renditions follow them
//! picture_track  pictures of one rendition, with decoding times    audio_track  AAC frames, gaps filled with silence
//! segmenter      samples of a track to parts and segments
//! parts, window  the contents of a media playlist
//! playlist       the text of a media playlist                      multivariant  the text of the multivariant playlist
//! address, query the names and directives of a request
//! ```

pub mod address;
pub mod audio_track;
pub mod cuts;
pub mod multivariant;
pub mod parts;
pub mod picture_track;
pub mod planner;
pub mod playlist;
pub mod query;
pub mod segmenter;
pub mod window;
