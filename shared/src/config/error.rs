//! The error of a configuration.

/// An invalid configuration: one line that names the key, the value and the expected form.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct BadConfig(pub(super) String);

/// The error of one key: `KEY is VALUE, expected EXPECTED`.
pub fn bad(key: &str, value: impl std::fmt::Display, expected: &str) -> BadConfig {
    BadConfig(format!("{key} is {value}, expected {expected}"))
}
