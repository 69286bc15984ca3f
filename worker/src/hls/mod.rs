//! HLS without I/O where it can be: where to cut, what a playlist says, and the files that a player gets.

pub mod disk;
pub mod old;
pub mod pictures;
pub mod plan;
pub mod playlist;
pub mod segment_dir;
pub mod segmenter;
pub mod serve;
pub mod sound;
