//! Logs to stderr: one line per event, text for people or JSON for machines. docs/logs.md lists all of them. A thread of
//! its own writes them, so that a reader that stops (a paused terminal, a full pipe) delays nothing.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use tracing::{Level, error, warn};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Layer, Registry};

pub use super::logs::causes::Causes;
pub use super::logs::event::LogOrigin;
use super::logs::lines::Lines;
use super::logs::masking::mask;
use super::logs::queue::LogQueue;
use super::metrics::log_lines;
use crate::config::{LogConfig, LogFormat, log_filter};

/// Format and filter of the log, once logging has begun.
static BEGUN: OnceLock<(LogFormat, Targets)> = OnceLock::new();

/// Lines on their way to stderr.
static QUEUE: LazyLock<LogQueue> = LazyLock::new(LogQueue::default);
/// Time that the end of a process leaves for its last lines: enough for a reader that reads, short within the 10 s that
/// supervisors grant.
const LAST_LINES: Duration = Duration::from_millis(500);
/// Pause before a standard error that another program has made non-blocking is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// Begins logging. The second call in one process changes nothing.
pub fn start(config: &LogConfig, who: LogOrigin) {
    // The configuration was checked: a filter that cannot be read came here without it, in tests.
    let filter = log_filter::parse(&config.filter, gstreamer_asked()).unwrap_or_default();
    let colours = config.format == LogFormat::Text && std::io::stderr().is_terminal();
    let lines = Lines::new(config.format, colours, who, put).with_filter(filter.clone());
    // Each layer has a filter of its own: another layer may take events that the log leaves out.
    let layers = vec![lines.boxed()];
    if tracing::subscriber::set_global_default(Registry::default().with(layers)).is_ok() {
        let writer = std::thread::Builder::new().name("log".into()).spawn(|| QUEUE.write_all(write_stderr, tell_loss));
        if writer.is_ok() {
            let _ = BEGUN.set((config.format, filter));
        }
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
/// begun. Unlike `eprintln!` it does not panic when the reader of the log has ended before this process, and does not
/// wait for one that has stopped. Call [`flush`] before the process ends.
pub fn say(line: &str) {
    match BEGUN.get() {
        Some((LogFormat::Json, _)) => error!(error = line.trim_start_matches("rsm: "), "this process cannot go on"),
        _ => put(format!("{}\n", mask(line)).as_bytes()),
    }
}

/// Waits until the lines so far are written, for 0.5 s at most. To be called before the process ends, which ends the
/// thread that writes them.
pub fn flush() {
    if BEGUN.get().is_some() {
        QUEUE.flush(LAST_LINES);
    }
}

/// Gives a line to the thread that writes; before logging has begun there is none, and nothing that could be delayed.
fn put(line: &[u8]) {
    if BEGUN.get().is_none() {
        let _ = std::io::stderr().write_all(line);
    } else if !QUEUE.offer(line) {
        log_lines::count_dropped();
    }
}

/// One write for each line, so that lines of several processes do not mix. Standard error may be gone, which is no
/// error.
#[expect(clippy::disallowed_methods, reason = "the thread of the log, which serves nothing else")]
fn write_stderr(mut line: &[u8]) {
    let mut stderr = std::io::stderr();
    while !line.is_empty() {
        match stderr.write(line) {
            Ok(0) => return,
            Ok(written) => line = &line[written..],
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            // Its reader shares the descriptor with another program, and is only slow.
            Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::sleep(FULL_PAUSE),
            Err(_) => return,
        }
    }
}

/// Called on the thread that writes, whose queue has room again.
fn tell_loss(lines: u64) {
    warn!(lines, "lines of the log were dropped: its reader did not take them");
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
    // The process ends with its main thread.
    if thread == "main" {
        flush();
    }
}
