//! The ordered end of a process: the first signal drains within a deadline, a second one ends at once.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Exit code of a wrong flag or configuration (EX_USAGE of sysexits.h).
pub const EXIT_USAGE: i32 = 64;
/// Exit code after a second signal, or when draining took too long.
const EXIT_FORCED: i32 = 1;

/// Watches SIGTERM, SIGINT and SIGHUP (a terminal that closes): the first cancels `token`, and ends the process by force
/// after `deadline` if it is still there; the second ends it at once. SIGHUP stays ignored where it was at the start
/// (nohup). Call inside the runtime that drains.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn on_signal(token: CancellationToken, deadline: Duration) -> std::io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut hup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
    // A thread of its own, because a stuck runtime must not outlive the deadline.
    let runtime = tokio::runtime::Handle::current();
    runtime.spawn(async move {
        let name = tokio::select! {
            _ = term.recv() => "SIGTERM",
            _ = int.recv() => "SIGINT",
            () = hangup(&mut hup) => "SIGHUP",
            () = token.cancelled() => return,
        };
        info!(signal = name, deadline_s = deadline.as_secs(), "stopping");
        force_exit_after(deadline);
        token.cancel();
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        // A second SIGHUP forces nothing: a terminal that closes may send several.
        warn!("second signal, ending at once");
        end_by_force();
    });
    Ok(())
}

/// Waits for SIGHUP; for ever where it is ignored.
async fn hangup(signals: &mut Option<Signal>) {
    match signals {
        Some(signals) => drop(signals.recv().await),
        None => std::future::pending().await,
    }
}

/// True when the process was started with SIGHUP ignored, as by nohup: a handler would undo that.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_signals(&status).is_some_and(|mask| mask & (1 << (nix::libc::SIGHUP - 1)) != 0)
}

/// The mask of ignored signals in `/proc/self/status` (proc(5)): signal n is bit n - 1.
fn ignored_signals(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

/// The last lines of the log have half a second to be written.
#[expect(clippy::disallowed_methods, reason = "an end by force is what this is for")]
fn end_by_force() -> ! {
    super::telemetry::flush();
    std::process::exit(EXIT_FORCED);
}

/// Ends the process by force once `deadline` has passed. Runs on a thread of its own, so that a stuck runtime
/// cannot outlive it.
#[expect(clippy::disallowed_methods, reason = "an end by force is what this is for")]
pub fn force_exit_after(deadline: Duration) {
    let _ = std::thread::Builder::new().name("deadline".into()).spawn(move || {
        std::thread::sleep(deadline);
        super::telemetry::say(&format!("rsm: not everything ended within {} s, ending by force", deadline.as_secs()));
        end_by_force();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_hangup_is_seen_in_the_status() {
        for (status, want) in [
            ("Name:\trsm\nSigIgn:\t0000000000000001\n", Some(1)),
            ("SigIgn:\t0000000000001000\n", Some(0x1000)),
            ("SigIgn:\tx\n", None),
            ("Name:\trsm\n", None),
        ] {
            assert_eq!(ignored_signals(status), want, "{status}");
        }
    }
}
