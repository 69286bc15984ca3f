//! Which trace something belongs to, as it crosses processes: the `traceparent` of W3C Trace Context.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Length of what is written, and of the part of a longer one that is read.
const LEN: usize = 55;
/// Longest text that is looked at; a later version of the standard may append members.
const MAX_LEN: usize = 256;
/// The flag that says that the trace is recorded.
const SAMPLED: u8 = 1;

/// A span of a trace: the parent of what comes next. Random numbers and a flag; nothing in it is secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// Never 0.
    trace: u128,
    /// Never 0.
    span: u64,
    sampled: bool,
}

impl TraceContext {
    /// `None` for numbers that the standard forbids.
    pub fn new(trace: u128, span: u64, sampled: bool) -> Option<Self> {
        (trace != 0 && span != 0).then_some(Self { trace, span, sampled })
    }

    /// Reads a `traceparent`; `None` for what is none.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() < LEN || text.len() > MAX_LEN || !text.is_ascii() {
            return None;
        }
        let (own, rest) = text.split_at(LEN);
        let mut parts = own.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // Version 00 has nothing behind it; 255 is forbidden; what a later version appends is left unread.
        let fits = match number(version, 2)? {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest.starts_with('-'),
        };
        let flags = u8::try_from(number(flags, 2)?).ok()?;
        let (trace, span) = (number(trace, 32)?, u64::try_from(number(span, 16)?).ok()?);
        (fits && parts.next().is_none()).then(|| Self::new(trace, span, flags & SAMPLED != 0)).flatten()
    }

    /// The number of the trace: the same in every process that it crosses.
    pub fn trace(self) -> u128 {
        self.trace
    }

    /// The number of the span.
    pub fn span(self) -> u64 {
        self.span
    }

    /// Returns whether it is recorded.
    pub fn is_sampled(self) -> bool {
        self.sampled
    }

    /// For a member of a message: what cannot be read is no trace, never a reason to lose the message.
    ///
    /// # Errors
    /// Only what the format itself cannot read.
    pub fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(value.as_str().and_then(Self::parse))
    }
}

/// Exactly `digits` lower-case hexadecimal ones.
fn number(text: &str, digits: usize) -> Option<u128> {
    let fits = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    fits.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for TraceContext {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[derive(Deserialize)]
    struct Message {
        #[serde(default, deserialize_with = "TraceContext::lenient")]
        trace: Option<TraceContext>,
    }

    #[test]
    fn what_the_standard_forbids_is_no_trace() {
        let long = format!("01-{}-{}", &GOOD[3..], "a".repeat(MAX_LEN));
        for bad in [
            "",
            "00",
            &GOOD[..54],
            &GOOD.to_uppercase(),
            &GOOD.replace("00-", "ff-"),
            &GOOD.replace('-', "_"),
            &format!("{GOOD}-more"),
            &format!("{GOOD} "),
            &long,
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0+",
            "00-4bf92f3577b34da6a3ce929d0e0e47é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let known = TraceContext::parse(GOOD).unwrap();
        assert!(known.is_sampled());
        assert_eq!(TraceContext::parse(&format!("cc-{}-what-comes", &GOOD[3..])), Some(known));
        let unsampled = TraceContext::parse(&GOOD.replace("-01", "-02")).unwrap();
        assert!(!unsampled.is_sampled() && unsampled.trace() == known.trace());
    }

    #[test]
    fn a_message_with_an_unreadable_trace_is_read_without() {
        for text in [r#"{}"#, r#"{"trace":null}"#, r#"{"trace":7}"#, r#"{"trace":"00-x"}"#, r#"{"trace":["a"]}"#] {
            assert_eq!(serde_json::from_str::<Message>(text).unwrap().trace, None, "{text}");
        }
        let read: Message = serde_json::from_str(&format!(r#"{{"trace":"{GOOD}"}}"#)).unwrap();
        assert_eq!(read.trace.unwrap().to_string(), GOOD);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(trace in 1..u128::MAX, span in 1..u64::MAX, sampled: bool) {
            let context = TraceContext::new(trace, span, sampled).unwrap();
            prop_assert_eq!(context.to_string().len(), LEN);
            prop_assert_eq!(TraceContext::parse(&context.to_string()), Some(context));
        }

        #[test]
        fn any_text_is_survived(text in "\\PC{0,300}") {
            let _ = TraceContext::parse(&text);
        }
    }
}
