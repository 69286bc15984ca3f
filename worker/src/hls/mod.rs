//! HLS without I/O where it can be: where to cut, what a playlist says, and the files that a player gets.

pub mod address;
pub mod disk;
pub mod live;
pub mod multivariant;
pub mod parts;
pub mod pictures;
pub mod plan;
pub mod playlist;
pub mod query;
pub mod segment_dir;
pub mod segmenter;
pub mod serve;
pub mod sound;
pub mod window;
