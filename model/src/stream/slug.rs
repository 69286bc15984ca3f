//! The name of a stream in URLs, subjects and paths.

use std::fmt;
use std::sync::Arc;

use rand::RngExt as _;
use serde::{Deserialize, Serialize};

/// Longest slug: one DNS label, so that it fits a subject token, a directory name and a host name alike.
pub const MAX_SLUG_LEN: usize = 63;

/// Random characters at the end of a generated slug: 36^6 is 2.2 billion, and the store refuses the rare double.
const RANDOM_LEN: usize = 6;

/// `[a-z0-9][a-z0-9-]{0,62}`: safe by type in a subject, a path and HTML. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slug(Arc<str>);

/// The text is not a slug.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a slug is 1 to 63 characters of a-z, 0-9 and -, and does not begin with -")]
pub struct NotASlug;

impl Slug {
    /// Checks `text`; nothing is changed or repaired.
    ///
    /// # Errors
    /// [`NotASlug`] for anything but `[a-z0-9][a-z0-9-]{0,62}`.
    pub fn parse(text: &str) -> Result<Self, NotASlug> {
        let bytes = text.as_bytes();
        let fits = (1..=MAX_SLUG_LEN).contains(&bytes.len());
        let chars = bytes.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if fits && chars && bytes[0] != b'-' { Ok(Self(text.into())) } else { Err(NotASlug) }
    }

    /// A new slug: `label` (a name, or host and path; never user info) reduced to the alphabet, and a random part.
    pub fn generate(label: &str) -> Self {
        let mut rng = rand::rng();
        let random: String = (0..RANDOM_LEN)
            .map(|_| char::from(b"abcdefghijklmnopqrstuvwxyz0123456789"[rng.random_range(0..36)]))
            .collect();
        Self::compose(label, &random)
    }

    fn compose(label: &str, random: &str) -> Self {
        let mut base = String::new();
        for c in label.chars().flat_map(char::to_lowercase) {
            if base.len() >= MAX_SLUG_LEN - RANDOM_LEN - 1 {
                break;
            }
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                base.push(c);
            } else if !base.is_empty() && !base.ends_with('-') {
                base.push('-');
            }
        }
        let base = base.trim_end_matches('-');
        let text = if base.is_empty() { format!("camera-{random}") } else { format!("{base}-{random}") };
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Slug {
    type Error = NotASlug;
    fn try_from(text: String) -> Result<Self, NotASlug> {
        Self::parse(&text)
    }
}

impl From<Slug> for String {
    fn from(slug: Slug) -> Self {
        slug.0.as_ref().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn accepts_and_refuses() {
        for good in ["a", "0", "front-door-x1", "a-", &"a".repeat(63)] {
            assert_eq!(Slug::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", "A", "a.b", "a/b", "..", "a b", "ä", "a*", "a>", &"a".repeat(64), "a\n"] {
            assert_eq!(Slug::parse(bad), Err(NotASlug), "{bad:?}");
        }
    }

    #[test]
    fn composes_from_names_and_addresses() {
        for (label, want) in [
            ("Front Door", "front-door-r4nd0m"),
            ("192.168.0.7/Streaming/Channels/101", "192-168-0-7-streaming-channels-101-r4nd0m"),
            ("  ---  ", "camera-r4nd0m"),
            ("Küche", "k-che-r4nd0m"),
            ("监控", "camera-r4nd0m"),
        ] {
            assert_eq!(Slug::compose(label, "r4nd0m").as_str(), want);
        }
    }

    proptest! {
        #[test]
        fn whatever_the_label_the_result_is_a_slug(label in ".{0,200}") {
            let slug = Slug::generate(&label);
            prop_assert_eq!(Slug::parse(slug.as_str()).unwrap(), slug);
        }
    }
}
