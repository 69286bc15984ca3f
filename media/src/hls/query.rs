//! Parses the delivery directives of a playlist request (RFC 8216bis section 6.2.5). Pure.

/// Most digits of a number that fits 64 bits.
const MAX_DIGITS: usize = 20;

/// The delivery directives of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// `_HLS_msn`: not to be answered before this segment is listed, or `part` of it.
    pub msn: Option<u64>,
    /// `_HLS_part`, only together with `msn`.
    pub part: Option<u64>,
    /// `_HLS_skip`: the player knows the older segments.
    pub skip: bool,
}

/// A directive that is not as RFC 8216bis has it: status 400.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0} is not what RFC 8216bis section 6.2.5 allows")]
pub struct BadQuery(&'static str);

impl Query {
    /// Reads the query of an address, without its `?`. Other parameters are passed over: they are no directives.
    /// Nothing is decoded: no directive needs it.
    ///
    /// # Errors
    /// [`BadQuery`] when a directive has a value that it cannot have, comes twice, or `_HLS_part` comes alone.
    pub fn parse(text: &str) -> Result<Self, BadQuery> {
        let mut query = Self::default();
        for (name, value) in text.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))) {
            match name {
                "_HLS_msn" if query.msn.is_none() => query.msn = Some(number(value).ok_or(BadQuery("_HLS_msn"))?),
                "_HLS_part" if query.part.is_none() => query.part = Some(number(value).ok_or(BadQuery("_HLS_part"))?),
                // `v2` also leaves date ranges out, of which there are none.
                "_HLS_skip" if !query.skip && matches!(value, "YES" | "v2") => query.skip = true,
                "_HLS_msn" => return Err(BadQuery("_HLS_msn")),
                "_HLS_part" => return Err(BadQuery("_HLS_part")),
                "_HLS_skip" => return Err(BadQuery("_HLS_skip")),
                _ => {}
            }
        }
        if query.part.is_some() && query.msn.is_none() {
            return Err(BadQuery("_HLS_part without _HLS_msn"));
        }
        Ok(query)
    }
}

fn number(text: &str) -> Option<u64> {
    let plain = (1..=MAX_DIGITS).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn directives_are_read_and_others_passed_over() {
        let query = |msn, part, skip| Ok(Query { msn, part, skip });
        for (text, want) in [
            ("", query(None, None, false)),
            ("viewer=00ff&x", query(None, None, false)),
            ("_HLS_msn=7", query(Some(7), None, false)),
            ("viewer=1&_HLS_msn=1795350214&_HLS_part=0&_HLS_skip=YES", query(Some(1_795_350_214), Some(0), true)),
            ("_HLS_part=3&_HLS_msn=18446744073709551615", query(Some(u64::MAX), Some(3), false)),
            ("_HLS_skip=v2&", query(None, None, true)),
            ("_hls_msn=x&_HLS_other=1", query(None, None, false)),
        ] {
            assert_eq!(Query::parse(text), want, "{text:?}");
        }
    }

    #[test]
    fn bad_directives_are_refused() {
        for text in [
            "_HLS_msn",
            "_HLS_msn=",
            "_HLS_msn=-1",
            "_HLS_msn=+1",
            "_HLS_msn=1.5",
            "_HLS_msn=0x7",
            "_HLS_msn=%37",
            "_HLS_msn=18446744073709551616",
            "_HLS_msn=000000000000000000000",
            "_HLS_msn=1&_HLS_msn=1",
            "_HLS_msn=1&_HLS_part=",
            "_HLS_msn=1&_HLS_part=a",
            "_HLS_msn=1&_HLS_part=1&_HLS_part=2",
            "_HLS_part=0",
            "_HLS_skip=NO",
            "_HLS_skip",
            "_HLS_skip=yes",
            "_HLS_skip=YES&_HLS_skip=YES",
        ] {
            assert!(Query::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_asked_a_part_has_a_segment(text in "[_HLSmsnpartkip=&0-9YEv%]{0,60}") {
            if let Ok(query) = Query::parse(&text) {
                prop_assert!(query.part.is_none() || query.msn.is_some());
            }
        }
    }
}
