//! Serving HLS over HTTP from the worker that makes it, or from the disk that it writes: paths safe by type, playlists
//! held until they are there or have the part that a player waits for, players counted.

mod disk;
pub mod fetch;
pub mod locate;
pub mod players;
pub mod playlist;
pub mod reload;
pub mod remote;
pub mod serve;
mod shared_fetches;
mod turns;
