//! Tokens that stand in NATS subjects: zones, workers and their sessions.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest zone or worker name.
pub const MAX_TOKEN_LEN: usize = 32;
/// Longest session: a worker name, a dash and a 22-character unique id, with room to spare.
const MAX_SESSION_LEN: usize = 80;

/// The text is not usable as a token of a subject.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected 1 to {0} characters of A-Z, a-z, 0-9, _ and -")]
pub struct NotAToken(usize);

fn check(text: &str, max: usize) -> Result<Arc<str>, NotAToken> {
    let fits = (1..=max).contains(&text.len());
    if fits && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
        Ok(text.into())
    } else {
        Err(NotAToken(max))
    }
}

macro_rules! token {
    ($(#[$doc:meta])* $name:ident, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text`.
            ///
            /// # Errors
            /// [`NotAToken`] when it is empty, too long or has another character.
            pub fn parse(text: &str) -> Result<Self, NotAToken> {
                check(text, $max).map(Self)
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotAToken;
            fn try_from(text: String) -> Result<Self, NotAToken> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(token: $name) -> Self {
                token.0.as_ref().into()
            }
        }
    };
}

token!(
    /// A site or network: cameras of a zone are run by workers of that zone.
    Zone,
    MAX_TOKEN_LEN
);
token!(
    /// The name of a worker; unique among the workers that live.
    WorkerId,
    MAX_TOKEN_LEN
);
token!(
    /// One process of a worker: `<worker>-<unique id>`. Never used again after that process ended.
    SessionId,
    MAX_SESSION_LEN
);

impl Zone {
    /// The zone of every camera until an operator names others.
    pub fn default_zone() -> Self {
        Self("default".into())
    }
}

impl WorkerId {
    /// A name made from any text, such as a host name: other characters become dashes.
    pub fn from_lossy(text: &str) -> Self {
        let name: String = text
            .chars()
            .take(MAX_TOKEN_LEN)
            .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' })
            .collect();
        Self(if name.is_empty() { "worker".into() } else { name.into() })
    }
}

impl SessionId {
    /// The session of a process of `worker` that starts now; `unique` is at most 40 characters of the alphabet.
    ///
    /// # Errors
    /// [`NotAToken`] when `unique` has another character or is too long.
    pub fn new(worker: &WorkerId, unique: &str) -> Result<Self, NotAToken> {
        Self::parse(&format!("{worker}-{unique}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_cannot_hold_subject_syntax() {
        for bad in ["", "a.b", "*", ">", "a b", "a\r\n", &"x".repeat(33)] {
            assert!(Zone::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Zone::parse("site_1-b").unwrap().as_str(), "site_1-b");
    }

    #[test]
    fn any_host_name_gives_a_worker_name() {
        assert_eq!(WorkerId::from_lossy("cam.host.example").as_str(), "cam-host-example");
        assert_eq!(WorkerId::from_lossy("").as_str(), "worker");
        assert!(WorkerId::parse(WorkerId::from_lossy(&"ü".repeat(99)).as_str()).is_ok());
    }
}
