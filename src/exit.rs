//! Exit codes, and the last line of a process that cannot continue.

use std::process::ExitCode;

use rsm_shared::ops::{shutdown, telemetry};

/// Something that the role needs is missing, in use or damaged (EX_UNAVAILABLE of sysexits.h): starting again as it
/// is would not help.
pub const EXIT_UNAVAILABLE: u8 = 69;
/// The configuration names something that this machine does not have (EX_USAGE), as a wrong flag does.
pub const EXIT_USAGE: u8 = shutdown::EXIT_USAGE as u8;

/// Prints the last line of a process that cannot continue, and gives its exit code.
pub fn fail(text: &str, code: u8) -> ExitCode {
    telemetry::say(&format!("rsm: {text}"));
    ExitCode::from(code)
}
