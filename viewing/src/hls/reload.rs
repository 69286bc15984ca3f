//! A blocking playlist reload: the player asks to be answered when a segment or part is there (RFC 8216bis section
//! 6.2.5). Pure.

use std::fmt;

use super::locate::number;

/// A playlist with this segment in it, or this part of it. Shown as the query that asks a worker for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reload {
    /// Media sequence number.
    pub msn: u64,
    /// Number of a part of that segment.
    pub part: Option<u32>,
    /// True when the playlist may leave out segments that the player has seen.
    pub skip: bool,
}

impl Reload {
    /// Reads `_HLS_msn`, `_HLS_part` and `_HLS_skip`; `None` when the player asks for no more than the playlist. A skip
    /// alone is passed over: a whole playlist is a right answer to it.
    ///
    /// # Errors
    /// A sentence for a person about a value that is not one.
    pub fn parse(msn: Option<&str>, part: Option<&str>, skip: Option<&str>) -> Result<Option<Self>, &'static str> {
        let skip = match skip {
            None => false,
            // A player that also knows how to go without date ranges; there are none.
            Some("YES" | "v2") => true,
            Some(_) => return Err("_HLS_skip must be YES or v2"),
        };
        let part = part
            .map(|text| number(text).and_then(|part| u32::try_from(part).ok()))
            .map(|part| part.ok_or("_HLS_part must be a whole number"))
            .transpose()?;
        match msn.map(number) {
            None if part.is_some() => Err("_HLS_part needs _HLS_msn"),
            None => Ok(None),
            Some(None) => Err("_HLS_msn must be a whole number"),
            Some(Some(msn)) => Ok(Some(Self { msn, part, skip })),
        }
    }
}

impl fmt::Display for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "_HLS_msn={}", self.msn)?;
        if let Some(part) = self.part {
            write!(f, "&_HLS_part={part}")?;
        }
        if self.skip {
            f.write_str("&_HLS_skip=YES")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_player_asks_for_a_segment_or_a_part_of_it() {
        for (msn, part, skip, want) in [
            (None, None, None, None),
            (None, None, Some("YES"), None),
            (Some("7"), None, None, Some("_HLS_msn=7")),
            (Some("7"), Some("0"), None, Some("_HLS_msn=7&_HLS_part=0")),
            (Some("7"), Some("2"), Some("YES"), Some("_HLS_msn=7&_HLS_part=2&_HLS_skip=YES")),
            (Some("1795350214"), None, Some("v2"), Some("_HLS_msn=1795350214&_HLS_skip=YES")),
        ] {
            let reload = Reload::parse(msn, part, skip).unwrap();
            assert_eq!(reload.map(|reload| reload.to_string()).as_deref(), want);
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (msn, part, skip, about) in [
            (Some(""), None, None, "_HLS_msn"),
            (Some("-1"), None, None, "_HLS_msn"),
            (Some("+1"), None, None, "_HLS_msn"),
            (Some("1.5"), None, None, "_HLS_msn"),
            (Some("07"), None, None, "_HLS_msn"),
            (Some("18446744073709551616"), None, None, "_HLS_msn"),
            (Some("7&x=1"), None, None, "_HLS_msn"),
            (Some("7"), Some("4294967296"), None, "_HLS_part"),
            (Some("7"), Some("x"), None, "_HLS_part"),
            (None, Some("1"), None, "_HLS_part"),
            (Some("7"), None, Some("yes"), "_HLS_skip"),
            (None, None, Some(""), "_HLS_skip"),
        ] {
            let sentence = Reload::parse(msn, part, skip).unwrap_err();
            assert!(sentence.starts_with(about), "{msn:?} {part:?} {skip:?}: {sentence}");
        }
    }
}
