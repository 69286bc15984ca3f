//! A text that must not be shown.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The text in place of a password that is left out. When a client sends it back it means "unchanged".
pub const MASK: &str = "***";

/// A password. `Debug` and `Display` show [`MASK`]; serde writes the real text, because the desired record must
/// carry it to a worker, so a type that is shown to people must never hold one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The real text: for the RTSP session, the store and NATS, never for a log or an answer.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}
