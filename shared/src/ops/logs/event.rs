//! One event, taken apart and put into a line. Every value passes the mask on its way.

use std::error::Error;
use std::fmt::{self, Write as _};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Level, Metadata};

use super::causes::Causes;
use super::masking::{is_secret, mask};
use crate::config::log_filter::part;
use crate::stream::secret::MASK;

/// Longest value, in bytes: libraries print packets.
const MAX_VALUE: usize = 8 << 10;
/// Bytes of a longer value that are read: enough to fill a value however much is masked in it.
const MAX_LOOKED_AT: usize = 64 << 10;
/// Names that every line has; a field of the same name gets a line below it.
const OWN: [&str; 6] = ["time", "level", "part", "target", "message", "role"];

/// The fields of an event.
#[derive(Debug, Default)]
pub(super) struct EventFields {
    pub message: String,
    /// In the order of the event; names are unique.
    pub fields: Vec<(&'static str, Value)>,
    /// The event has `repeats = true`: the same again is counted.
    pub repeats: bool,
}

impl EventFields {
    fn take(&mut self, field: &Field, value: Value) {
        let name = field.name();
        let value = if is_secret(name) { Value::from(MASK) } else { value };
        match (name, value) {
            ("message", Value::String(text)) => self.message = text,
            ("repeats", Value::Bool(repeats)) => self.repeats = repeats,
            // Fields that the `log` crate's bridge adds about the place in a library's source.
            (name, _) if name.starts_with("log.") => {}
            (name, value) => {
                self.fields.retain(|(other, _)| *other != name);
                self.fields.push((name, value));
            }
        }
    }

    /// The value of a field, as text.
    pub fn text_of(&self, name: &str) -> Option<String> {
        self.fields.iter().find(|(other, _)| *other == name).map(|(_, value)| bare(value))
    }
}

impl Visit for EventFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, Value::from(clean(&format!("{value:?}"))));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, Value::from(clean(value)));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.take(field, Value::from(clean(&Causes(value).to_string())));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, Value::from(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field, serde_json::Number::from_f64(value).map_or(Value::Null, Value::from));
    }
}

/// The text without credentials and without characters that break a line or control a terminal, cut to its bound.
pub(super) fn clean(text: &str) -> String {
    let masked = mask(&text[..text.floor_char_boundary(MAX_LOOKED_AT)]);
    let mut clean = String::with_capacity(masked.len().min(MAX_VALUE));
    for c in masked.chars() {
        if clean.len() >= MAX_VALUE {
            clean.push('…');
            break;
        }
        match c {
            '\n' => clean.push_str("\\n"),
            '\r' => clean.push_str("\\r"),
            '\t' => clean.push(' '),
            c if c.is_control() => {
                let _ = write!(clean, "\\u{{{:x}}}", u32::from(c));
            }
            c => clean.push(c),
        }
    }
    clean
}

/// Fields that every line of this process has.
#[derive(Clone, Debug, Default)]
pub struct LogOrigin {
    /// `api`, `relay`, `worker` or `up`.
    pub role: &'static str,
    /// The name of the worker, in its own lines.
    pub worker: Option<String>,
}

/// One line for machines, with its end.
pub(super) fn json(time: &str, process: &LogOrigin, meta: &Metadata<'_>, fields: &EventFields) -> String {
    let mut line = Map::new();
    line.insert("time".into(), time.into());
    line.insert("level".into(), meta.level().as_str().into());
    line.insert("role".into(), process.role.into());
    line.insert("part".into(), part(meta.target()).into());
    line.insert("target".into(), meta.target().into());
    line.insert("message".into(), fields.message.as_str().into());
    if let Some(worker) = &process.worker {
        line.insert("worker".into(), worker.as_str().into());
    }
    for (name, value) in &fields.fields {
        let name = if OWN.contains(name) { format!("{name}_") } else { (*name).to_owned() };
        line.insert(name, value.clone());
    }
    let mut line = Value::Object(line).to_string();
    line.push('\n');
    line
}

/// One line for people, with its end: time, level, whose, part, message, fields.
pub(super) fn text(
    time: &str,
    process: &LogOrigin,
    meta: &Metadata<'_>,
    fields: &EventFields,
    colours: bool,
) -> String {
    let (begin, end) = match (colours, *meta.level()) {
        (false, _) => ("", ""),
        (true, Level::ERROR) => ("\x1b[31m", "\x1b[0m"),
        (true, Level::WARN) => ("\x1b[33m", "\x1b[0m"),
        (true, Level::INFO) => ("\x1b[32m", "\x1b[0m"),
        (true, _) => ("\x1b[2m", "\x1b[0m"),
    };
    let mut line = format!("{time} {begin}{:>5}{end} ", meta.level());
    match &process.worker {
        Some(worker) => line.push_str(worker),
        None => line.push_str(process.role),
    }
    let _ = write!(line, " {}: {}", part(meta.target()), fields.message);
    for (name, value) in &fields.fields {
        let text = bare(value);
        let plain = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '='));
        let _ = if plain { write!(line, " {name}={text}") } else { write!(line, " {name}={text:?}") };
    }
    line.push('\n');
    line
}

fn bare(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
