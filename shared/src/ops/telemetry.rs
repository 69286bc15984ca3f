//! Logs to stderr: one line per event, text for people or JSON for machines.

use std::io::{IsTerminal as _, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

use super::metrics::log_lines;
use crate::config::{LogConfig, LogFormat};

/// What libraries say below these levels helps nobody and can be a flood.
const QUIET: &str = "async_nats=error,retina=error,salvo=warn,salvo_core=error,hyper=warn,config=warn";

/// Begins logging. The second call in one process changes nothing.
pub fn start(config: &LogConfig) {
    // A filter that names one of the quiet parts wins over the line above: later directives do.
    let filter = EnvFilter::try_new(format!("{QUIET},{}", config.filter)).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Lines)
        // Its own complaints go to stderr by a macro that panics when nobody reads there any more.
        .log_internal_errors(false)
        .with_span_events(FmtSpan::NONE)
        .with_ansi(std::io::stderr().is_terminal());
    // An error means that logging was begun before: in tests only.
    let _ = match config.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// Writes one line to stderr. Unlike `eprintln!` it does not panic when nobody reads there any more: whoever read the
/// logs may end before this process does.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Counts the lines that ask for attention on their way.
struct Lines;

impl MakeWriter<'_> for Lines {
    type Writer = Stderr;

    fn make_writer(&self) -> Stderr {
        Stderr
    }

    fn make_writer_for(&self, line: &tracing::Metadata<'_>) -> Stderr {
        log_lines::count(line.level());
        Stderr
    }
}

/// Standard error, whose loss is no error.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(std::io::stderr().write(bytes).unwrap_or(bytes.len()))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
