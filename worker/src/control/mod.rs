//! From tickets to running streams, and the word to the API about them. Runs on a small runtime of its own with its
//! own connection, so that no amount of media can make this worker look dead.

pub mod admission;
mod boot_clock;
pub mod contact;
pub mod decide;
pub mod demands;
pub mod drain;
pub mod gate;
pub mod held;
pub mod holding;
pub mod intake;
pub mod keeper;
pub mod load;
