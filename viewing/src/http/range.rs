//! A part of an answer's bytes (RFC 9110 section 14): one range. Several in one request are answered with the whole. Pure.

use std::ops::Range;

use salvo::http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_RANGE, RANGE};
use salvo::http::{HeaderMap, HeaderValue, Method, StatusCode};
use salvo::{Request, Response};

use super::problem::Problem;

/// The part of a representation that a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestedRange {
    /// All of it.
    Whole,
    /// These bytes, at least one.
    Part(Range<u64>),
    /// None that it has.
    Unsatisfiable,
}

impl RequestedRange {
    /// The part of the answer under way, of `len` bytes, that `request` asks for. `Whole` unless the answer says that it
    /// takes ranges, and while the client holds a part of another version.
    pub fn of(request: &Request, answer: &HeaderMap, len: u64) -> Self {
        if *request.method() != Method::GET || answer.get(ACCEPT_RANGES).is_none_or(|unit| unit != "bytes") {
            return Self::Whole;
        }
        let text = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let same = match text(IF_RANGE) {
            // Strong comparison (section 13.1.5); no answer here has a date that is strong enough.
            Some(tag) => !tag.starts_with("W/") && answer.get(ETAG).is_some_and(|own| own == tag),
            None => !request.headers().contains_key(IF_RANGE),
        };
        match text(RANGE) {
            Some(range) if same => parse(range, len),
            _ => Self::Whole,
        }
    }

    /// Writes status and headers of an answer with that part of `len` bytes; true when a body goes with it.
    pub fn begin(&self, response: &mut Response, len: u64) -> bool {
        match self {
            Self::Whole => {
                response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(len));
                true
            }
            Self::Part(bytes) => {
                response.status_code(StatusCode::PARTIAL_CONTENT);
                let headers = response.headers_mut();
                headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.end - bytes.start));
                set_range(headers, &format!("bytes {}-{}/{len}", bytes.start, bytes.end - 1));
                true
            }
            Self::Unsatisfiable => {
                response.headers_mut().remove(CONTENT_LENGTH);
                response.headers_mut().remove(ETAG);
                response.render(Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "the file has no such bytes"));
                set_range(response.headers_mut(), &format!("bytes */{len}"));
                false
            }
        }
    }
}

fn set_range(headers: &mut HeaderMap, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(CONTENT_RANGE, value);
    }
}

/// Reads a Range header; anything that is not one range of bytes asks for the whole.
fn parse(header: &str, len: u64) -> RequestedRange {
    let unit_and_ranges = header.split_once('=').filter(|(unit, _)| unit.trim().eq_ignore_ascii_case("bytes"));
    let Some((first, last)) = unit_and_ranges.and_then(|(_, range)| range.trim().split_once('-')) else {
        return RequestedRange::Whole;
    };
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(len),
        (Some(first), None) if last.is_empty() => first..len,
        (None, Some(suffix)) if first.is_empty() => len.saturating_sub(suffix)..len,
        _ => return RequestedRange::Whole,
    };
    if range.is_empty() { RequestedRange::Unsatisfiable } else { RequestedRange::Part(range) }
}

/// Digits only; a number that is too large is larger than every file.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_range_is_cut_out_and_anything_else_is_the_whole() {
        use RequestedRange::{Part, Unsatisfiable, Whole};
        for (header, want) in [
            ("bytes=0-99", Part(0..100)),
            ("bytes=0-0", Part(0..1)),
            ("bytes=900-", Part(900..1000)),
            ("bytes=900-5000", Part(900..1000)),
            ("bytes=-100", Part(900..1000)),
            ("bytes=-5000", Part(0..1000)),
            ("Bytes = 1-2", Part(1..3)),
            ("bytes=0-99999999999999999999999", Part(0..1000)),
            ("bytes=1000-", Unsatisfiable),
            ("bytes=99999999999999999999999-", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=5-2", Whole),
            ("bytes=0-1,5-6", Whole),
            ("bytes=", Whole),
            ("bytes=-", Whole),
            ("bytes=a-b", Whole),
            ("bytes=+1-2", Whole),
            ("items=0-1", Whole),
            ("", Whole),
        ] {
            assert_eq!(parse(header, 1000), want, "{header}");
        }
        assert_eq!(parse("bytes=0-", 0), Unsatisfiable);
    }

    proptest! {
        #[test]
        fn a_part_lies_in_the_whole(header in "bytes=[0-9]{0,4}-[0-9]{0,4}", len in 0_u64..2000) {
            if let RequestedRange::Part(part) = parse(&header, len) {
                prop_assert!(part.start < part.end && part.end <= len);
            }
        }
    }
}
