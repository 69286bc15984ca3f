//! The one place where lines of the log are written.

use std::time::Instant;

use jiff::Timestamp;
use parking_lot::Mutex;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::counted::{Counted, Subject};
use super::event::{EventFields, LogOrigin, json, text};
use crate::config::LogFormat;
use crate::ops::metrics::log_lines;

/// Fields that name the subject of an event. Two events of one place that agree in them are the same.
const ABOUT: [&str; 9] = ["stream", "zone", "worker", "connection", "camera", "child", "category", "element", "output"];

/// Turns events into lines.
pub struct Lines<W> {
    pub format: LogFormat,
    pub colours: bool,
    pub process: LogOrigin,
    counted: Mutex<Counted>,
    /// Takes one whole line, with its end.
    write: W,
}

impl<W: Fn(&[u8])> Lines<W> {
    pub fn new(format: LogFormat, colours: bool, process: LogOrigin, write: W) -> Self {
        Self { format, colours, process, counted: Mutex::default(), write }
    }

    fn line(&self, event: &Event<'_>, now: Instant) -> Option<String> {
        let meta = event.metadata();
        let mut fields = EventFields::default();
        event.record(&mut fields);
        let ours = meta.target().starts_with("rsm");
        if *meta.level() <= Level::WARN && (fields.repeats || !ours) {
            let mut about = meta.target().to_owned();
            for name in ABOUT {
                about.extend(fields.text_of(name).into_iter().flat_map(|text| [" ".to_owned(), text]));
            }
            let place = std::ptr::from_ref(meta).addr();
            let text = fields.text_of("error").unwrap_or_else(|| fields.message.clone());
            let mut counted = self.counted.lock();
            let told = counted.note(Subject { place, of: about }, text, now)?;
            if told.times > 1 {
                fields.fields.push(("times", told.times.into()));
                fields.fields.push(("lasting_s", told.lasting.as_secs().into()));
            }
        }
        let time = format!("{:.3}", Timestamp::now());
        Some(match self.format {
            LogFormat::Text => text(&time, &self.process, meta, &fields, self.colours),
            LogFormat::Json => json(&time, &self.process, meta, &fields),
        })
    }
}

impl<S: Subscriber, W: Fn(&[u8]) + 'static> Layer<S> for Lines<W> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Some(line) = self.line(event, Instant::now()) else { return };
        log_lines::count(event.metadata().level());
        (self.write)(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};
    use tracing::{error, info, warn};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// The lines that are written while `work` runs.
    fn lines(format: LogFormat, work: impl FnOnce()) -> Vec<String> {
        let written = Arc::new(Mutex::new(String::new()));
        let sink = written.clone();
        let process = LogOrigin { role: "worker", worker: Some("w1".into()) };
        let write = move |line: &[u8]| sink.lock().push_str(std::str::from_utf8(line).unwrap());
        let lines = Lines::new(format, false, process, write);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), work);
        let text = written.lock().clone();
        text.lines().map(str::to_owned).collect()
    }

    fn parsed(work: impl FnOnce()) -> Vec<Value> {
        lines(LogFormat::Json, work).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn json_has_flat_fields_of_their_types_and_the_chain_of_causes() {
        let fault = Outer(std::io::Error::other("rtsp://u:hunter2@h is away"));
        let fault: &(dyn std::error::Error + 'static) = &fault;
        let seen = parsed(|| error!(stream = "door", n = 3, ok = true, error = fault, level = "mine", "it\nfailed"));
        let line = &seen[0];
        assert!(line["time"].as_str().unwrap().parse::<Timestamp>().is_ok(), "{line}");
        for (key, want) in [
            ("level", json!("ERROR")),
            ("role", json!("worker")),
            ("worker", json!("w1")),
            ("part", json!("shared")),
            ("message", json!("it\\nfailed")),
            ("stream", json!("door")),
            ("n", json!(3)),
            ("ok", json!(true)),
            ("level_", json!("mine")),
            ("error", json!("cannot open: rtsp://***@h is away")),
        ] {
            assert_eq!(line[key], want, "{key}: {line}");
        }
    }

    #[test]
    fn text_is_one_line_without_credentials_or_escapes() {
        let seen =
            lines(LogFormat::Text, || warn!(password = "hunter2", why = "a b", "\x1b[31mnats://u:hunter2@h\r\nnext"));
        assert_eq!(seen.len(), 1);
        assert!(
            seen[0].ends_with(r#"  WARN w1 shared: \u{1b}[31mnats://***@h\r\nnext password=*** why="a b""#),
            "{seen:?}"
        );
    }

    #[test]
    fn libraries_and_those_who_ask_are_counted_and_others_are_not() {
        let seen = parsed(|| {
            for n in 0..100 {
                warn!(target: "a_library", n, "the same");
                warn!(repeats = true, stream = "door", "again");
                warn!(repeats = true, stream = "gate", "again");
                info!(target: "a_library", "told");
                warn!(n, "each");
            }
        });
        let of = |text: &str| seen.iter().filter(|line| line["message"] == text).count();
        assert_eq!([of("the same"), of("again"), of("told"), of("each")], [1, 2, 100, 100]);
        assert!(seen.iter().all(|line| line.get("repeats").is_none()));
    }

    #[test]
    fn warnings_and_errors_are_counted() {
        let before = log_lines::so_far();
        lines(LogFormat::Text, || {
            warn!("one");
            error!("two");
        });
        let after = log_lines::so_far();
        assert!(after.0 > before.0 && after.1 > before.1);
    }
}
