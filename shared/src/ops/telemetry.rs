//! Logs to stderr: one line per event, text for people or JSON for machines. docs/logs.md lists all of them.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{IsTerminal as _, Write as _};
use std::sync::OnceLock;

use tracing::{Level, error};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Layer, Registry};

pub use super::logs::causes::Causes;
pub use super::logs::event::LogOrigin;
use super::logs::lines::Lines;
use super::logs::masking::mask;
use crate::config::{LogConfig, LogFormat, log_filter};

/// Format and filter of the log, once logging has begun.
static BEGUN: OnceLock<(LogFormat, Targets)> = OnceLock::new();

/// Begins logging. The second call in one process changes nothing.
pub fn start(config: &LogConfig, who: LogOrigin) {
    // The configuration was checked: a filter that cannot be read came here without it, in tests.
    let filter = log_filter::parse(&config.filter, gstreamer_asked()).unwrap_or_default();
    let colours = config.format == LogFormat::Text && std::io::stderr().is_terminal();
    let lines = Lines::new(config.format, colours, who, put).with_filter(filter.clone());
    // Each layer has a filter of its own: another layer may take events that the log leaves out.
    let layers = vec![lines.boxed()];
    if tracing::subscriber::set_global_default(Registry::default().with(layers)).is_ok() {
        let _ = BEGUN.set((config.format, filter));
        std::panic::set_hook(Box::new(panicked));
    }
}

/// True when the log has lines of this target and level: for messages that are costly to make. Other layers may take
/// events too, so `tracing::enabled!` does not answer this.
pub fn logs(target: &str, level: &Level) -> bool {
    BEGUN.get().is_some_and(|(_, filter)| filter.would_enable(target, level))
}

/// True when the environment sets GStreamer's own log variable.
pub fn gstreamer_asked() -> bool {
    std::env::var_os("GST_DEBUG").is_some_and(|text| !text.is_empty())
}

/// Prints the last line of a process: an error line of the log, or plain text when the log is for people or has not
/// begun. Unlike `eprintln!` it does not panic when the reader of the log has ended before this process.
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
