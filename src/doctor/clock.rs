//! The clock: checks that something keeps it right, and its distance from the clocks of the servers.

use super::patient::Patient;
use super::ports::RunningProcesses;
use super::report::Check;

/// HTTP dates have whole seconds, and an answer takes a while; only more than this disturbs players and logs.
const SKEW_S: i64 = 3;

pub async fn look(patient: &Patient, running: &RunningProcesses) -> Vec<Check> {
    let mut checks = vec![kept()];
    if !patient.readable {
        return checks;
    }
    if let Some(api) = &running.api
        && let Some(there) = api.date.as_deref().and_then(seconds)
    {
        checks.push(skew(&format!("the API at {}", api.base), now() - there));
    }
    checks
}

/// State of the kernel's clock.
#[allow(clippy::useless_conversion, reason = "the type of `maxerror` differs between platforms")]
#[expect(unsafe_code, reason = "nix has no call for adjtimex(2)")]
fn kept() -> Check {
    // SAFETY: all-zero is a valid `timex`, with `modes` 0: nothing is set.
    let mut timex: nix::libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live, writable `timex`.
    let state = unsafe { nix::libc::adjtimex(&raw mut timex) };
    judge(state, timex.status & nix::libc::STA_UNSYNC != 0, i64::from(timex.maxerror))
}

/// Pure: the clock's state as adjtimex(2) returns it, and the bound of its error in microseconds.
fn judge(state: i32, unsynchronised: bool, error: i64) -> Check {
    if state < 0 {
        let advice = "make sure that the machine's clock is kept by NTP";
        return Check::warning("clock", "the kernel does not tell", advice);
    }
    if state == nix::libc::TIME_ERROR || unsynchronised {
        let advice = "install chrony or systemd-timesyncd; times in playlists and logs are this clock's";
        return Check::warning("clock", "nothing keeps the clock right", advice);
    }
    Check::ok("clock", format!("kept right, to {} ms at most", error / 1000 + 1))
}

/// Pure: `ahead` of the other's clock, seconds.
pub fn skew(of: &str, ahead: i64) -> Check {
    let found = match ahead {
        0 => format!("the same time as {of}"),
        _ => format!("{} s {} {of}", ahead.abs(), if ahead > 0 { "ahead of" } else { "behind" }),
    };
    if ahead.abs() > SKEW_S {
        return Check::warning("clock_skew", found, "let both machines ask the same time servers");
    }
    Check::ok("clock_skew", found)
}

/// Seconds since the Unix epoch.
pub fn now() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(0))
}

/// A time of HTTP (IMF-fixdate) or of JSON (RFC 3339), in seconds since the Unix epoch.
pub fn seconds(text: &str) -> Option<i64> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time.as_second());
    }
    jiff::fmt::rfc2822::parse(text).ok().map(|time| time.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::report::Status;

    #[test]
    fn a_clock_that_nobody_keeps_and_one_that_differs_are_warned_of() {
        assert_eq!(judge(0, false, 1500).found, "kept right, to 2 ms at most");
        for (state, unsynchronised) in [(5, false), (0, true), (-1, false)] {
            assert_eq!(judge(state, unsynchronised, 0).status, Status::Warning);
        }
        for (ahead, want, words) in [
            (0, Status::Ok, "the same time as x"),
            (3, Status::Ok, "3 s ahead of x"),
            (-4, Status::Warning, "4 s behind x"),
        ] {
            let check = skew("x", ahead);
            assert_eq!((check.status, check.found.as_str()), (want, words));
        }
    }

    #[test]
    fn reads_the_times_of_http_and_json() {
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(seconds("1994-11-06T08:49:37.5Z"), Some(784_111_777));
        assert_eq!(seconds("yesterday"), None);
    }
}
