//! Serving HLS from the disk that a worker writes, or over HTTP from the worker itself when it has another disk: paths
//! safe by type, playlists held until they are there, players counted.

mod disk;
pub mod fetch;
pub mod janitor;
pub mod locate;
pub mod playlist;
pub mod serve;
mod turns;
pub mod viewers;
