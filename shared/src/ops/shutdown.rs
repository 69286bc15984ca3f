//! The ordered end of a process: the first signal drains within a deadline, a second one ends at once.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Exit code of a wrong flag or configuration (EX_USAGE of sysexits.h).
pub const EXIT_USAGE: i32 = 64;
/// Exit code after a second signal, or when draining took too long.
const EXIT_FORCED: i32 = 1;

/// Watches SIGTERM and SIGINT: the first cancels `token`, and ends the process by force after `deadline` if it is
/// still there; the second ends it at once. Call inside the runtime that drains.
///
/// # Errors
/// When the handlers cannot be installed.
#[expect(clippy::disallowed_methods, reason = "an end by force is what this is for")]
pub fn on_signal(token: CancellationToken, deadline: Duration) -> std::io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    // A thread of its own, because a stuck runtime must not outlive the deadline.
    let runtime = tokio::runtime::Handle::current();
    runtime.spawn(async move {
        let name = tokio::select! {
            _ = term.recv() => "SIGTERM",
            _ = int.recv() => "SIGINT",
            () = token.cancelled() => return,
        };
        info!(signal = name, deadline_s = deadline.as_secs(), "stopping");
        force_exit_after(deadline);
        token.cancel();
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        warn!("second signal, ending at once");
        std::process::exit(EXIT_FORCED);
    });
    Ok(())
}

/// Ends the process by force once `deadline` has passed. Runs on a thread of its own, so that a stuck runtime
/// cannot outlive it.
#[expect(clippy::disallowed_methods, reason = "an end by force is what this is for")]
pub fn force_exit_after(deadline: Duration) {
    let _ = std::thread::Builder::new().name("deadline".into()).spawn(move || {
        std::thread::sleep(deadline);
        super::telemetry::say(&format!("rsm: not everything ended within {} s, ending by force", deadline.as_secs()));
        std::process::exit(EXIT_FORCED);
    });
}
