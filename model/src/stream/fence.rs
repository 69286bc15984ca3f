//! Fencing: which owner's media is the newest.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The number of one placement of a stream: `max(old + 1, unix milliseconds)`, so that it grows past a restored
/// backup as well as past a clock that stepped back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after `old`, at `now_unix_ms`.
    pub fn next(old: Option<Self>, now_unix_ms: u64) -> Self {
        Self(old.map_or(now_unix_ms, |old| now_unix_ms.max(old.0.saturating_add(1))))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Epoch, then the revision of the claim: compared in that order. Media of a smaller fence than one already seen
/// comes from a stale owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fence {
    pub epoch: Epoch,
    /// Sequence number of the claim in its JetStream stream: tells two winners of one epoch apart.
    pub revision: u64,
}

/// The text is not `<epoch>.<revision>`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected <epoch>.<revision>, two decimal numbers")]
pub struct NotAFence;

impl Fence {
    /// The name of the directory that holds this owner's HLS files: `<epoch>-<revision>`.
    pub fn dir_name(self) -> String {
        format!("{}-{}", self.epoch.0, self.revision)
    }

    /// Reads a directory name back.
    pub fn from_dir_name(name: &str) -> Option<Self> {
        split(name, '-')
    }
}

/// Plain decimal only: no sign, no leading zero, so that one fence has one spelling.
fn number(text: &str) -> Option<u64> {
    let plain = text == "0" || (text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

fn split(text: &str, separator: char) -> Option<Fence> {
    let (epoch, revision) = text.split_once(separator)?;
    Some(Fence { epoch: Epoch(number(epoch)?), revision: number(revision)? })
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch.0, self.revision)
    }
}

impl FromStr for Fence {
    type Err = NotAFence;
    fn from_str(text: &str) -> Result<Self, NotAFence> {
        split(text, '.').ok_or(NotAFence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_other_texts() {
        for bad in ["", ".", "1", "1.", ".1", "1.2.3", "+1.2", "01.2", "1.-2", "99999999999999999999.1", "../..", "1/2"]
        {
            assert_eq!(bad.parse::<Fence>(), Err(NotAFence), "{bad:?}");
            assert_eq!(Fence::from_dir_name(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn round_trips(epoch: u64, revision: u64) {
            let fence = Fence { epoch: Epoch(epoch), revision };
            prop_assert_eq!(fence.to_string().parse(), Ok(fence));
            prop_assert_eq!(Fence::from_dir_name(&fence.dir_name()), Some(fence));
        }

        #[test]
        fn the_next_epoch_is_larger_whatever_the_clock_says(old in 0..u64::MAX - 1, now: u64) {
            prop_assert!(Epoch::next(Some(Epoch(old)), now) > Epoch(old));
        }
    }
}
