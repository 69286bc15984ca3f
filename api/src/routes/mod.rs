//! What clients ask for: one file per thing, one table that lists them all.

pub mod body;
pub mod border;
pub mod camera_csv;
pub mod change;
pub mod docs;
pub mod elsewhere;
pub mod events;
pub mod extract;
pub mod fields;
pub mod import;
pub mod links;
pub mod list;
pub mod live;
pub mod look;
pub mod mjpeg;
pub mod origin;
pub mod page;
pub mod play;
pub mod playback;
pub mod probes;
pub mod query;
pub mod seat;
pub mod settings;
pub mod shown;
pub mod snapshot;
pub mod table;
pub mod upgrade;
pub mod wanted;

#[cfg(test)]
mod tests;
