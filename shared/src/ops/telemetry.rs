//! Logs to stderr: one line per event, text for people or JSON for machines. docs/logs.md lists all of them.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{IsTerminal as _, Write as _};
use std::sync::OnceLock;

use tracing::{Level, error};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Layer, Registry};

pub use super::logs::causes::Causes;
pub use super::logs::event::Who;
use super::logs::lines::Lines;
use super::logs::masking::mask;
use crate::config::{LogConfig, LogFormat, log_filter};

/// How lines look, and which there are, once logging has begun.
static BEGUN: OnceLock<(LogFormat, Targets)> = OnceLock::new();

/// Begins logging. The second call in one process changes nothing.
pub fn start(config: &LogConfig, who: Who) {
    // The configuration was checked: a filter that cannot be read came here without it, in tests.
    let filter = log_filter::parse(&config.filter, gstreamer_asked()).unwrap_or_default();
    let colours = config.format == LogFormat::Text && std::io::stderr().is_terminal();
    let lines = Lines::new(config.format, colours, who, put).with_filter(filter.clone());
    // Each layer has a filter of its own: another one may hear what the log does not tell.
    let layers = vec![lines.boxed()];
    if tracing::subscriber::set_global_default(Registry::default().with(layers)).is_ok() {
        let _ = BEGUN.set((config.format, filter));
        std::panic::set_hook(Box::new(panicked));
    }
}

/// Whether the log has lines of this target and level: for what costs something to say. Others than the log may listen to
/// events too, so `tracing::enabled!` does not tell.
pub fn logs(target: &str, level: &Level) -> bool {
    BEGUN.get().is_some_and(|(_, filter)| filter.would_enable(target, level))
}

/// Whether somebody asked for GStreamer's log by its own variable.
pub fn gstreamer_asked() -> bool {
    std::env::var_os("GST_DEBUG").is_some_and(|text| !text.is_empty())
}

/// The last word of a process: an error line of the log, or plain text when the log is for people or has not begun.
/// Unlike `eprintln!` it does not panic when nobody reads there any more: whoever read the logs may end before this
/// process does.
pub fn say(line: &str) {
    match BEGUN.get() {
        Some((LogFormat::Json, _)) => error!(error = line.trim_start_matches("rsm: "), "this process cannot go on"),
        _ => put(format!("{}\n", mask(line)).as_bytes()),
    }
}

/// One write for each line, so that lines of several processes do not mix. Standard error may be gone, which is no
/// error.
fn put(line: &[u8]) {
    let _ = std::io::stderr().lock().write_all(line);
}

/// A panic is a line of the log, too.
fn panicked(panic: &std::panic::PanicHookInfo<'_>) {
    let why = panic.payload_as_str().unwrap_or("no text");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let trace = Backtrace::capture();
    let backtrace = (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string());
    error!(why, place, thread, backtrace, "a task of this program broke off: a defect in it, please report it");
}
