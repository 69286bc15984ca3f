//! Serving HLS from the disk that a worker writes: paths safe by type, playlists held until they are there, players
//! counted.

pub mod janitor;
pub mod locate;
pub mod playlist;
pub mod serve;
pub mod viewers;
