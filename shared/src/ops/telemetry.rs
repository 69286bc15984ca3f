//! Logs to stderr: one line per event, text for people or JSON for machines.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::config::{LogConfig, LogFormat};

/// What libraries say below these levels helps nobody and can be a flood.
const QUIET: &str = "async_nats=error,retina=error,salvo=warn,salvo_core=error,hyper=warn,config=warn";

/// Begins logging. The second call in one process changes nothing.
pub fn start(config: &LogConfig) {
    // A filter that names one of the quiet parts wins over the line above: later directives do.
    let filter = EnvFilter::try_new(format!("{QUIET},{}", config.filter)).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_span_events(FmtSpan::NONE)
        .with_ansi(std::io::stderr().is_terminal());
    // An error means that logging was begun before: in tests only.
    let _ = match config.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}
