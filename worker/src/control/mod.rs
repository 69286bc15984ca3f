//! The tasks of control: from tickets to running streams, and reports to the API about them. They run on a small runtime of
//! their own with a connection of their own, so that no amount of media can make this worker look dead. The decisions are
//! in `rsm_control::worker`.

mod boot_clock;
pub mod gate;
pub mod intake;
pub mod keeper;
pub mod load;
pub mod running_stream;
