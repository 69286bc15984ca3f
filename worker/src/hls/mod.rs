//! HLS that is made: files on disk, playlists and parts in memory, and the answers to requests for them.

pub mod disk;
pub mod lingering;
pub mod live;
pub mod segment_dir;
pub mod serve;
