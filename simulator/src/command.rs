//! The commands on standard input and their answers: words in, one line of JSON out.

use std::time::Duration;

use serde::Serialize;

use crate::{
    camera::MAX_JITTER_MS,
    quirks::{Fault, Quirks},
};

/// Longest command line in bytes; `reboot cam1000 86400` has 20.
pub const MAX_LINE: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Command {
    Status,
    Freeze(Target),
    Resume(Target),
    Close(Target),
    Refuse(Target),
    /// Every DESCRIBE and SETUP gets this status, one of [`STATUSES`].
    Answer(Target, u16),
    /// Switched off for so long.
    Reboot(Target, Duration),
    /// Timestamps jump by so many seconds.
    Jump(Target, f64),
    /// Timestamps run too fast by so many millionths.
    Drift(Target, i32),
    /// Pictures are late by up to so many milliseconds.
    Jitter(Target, u32),
    /// Pictures a second that are left; 0: all.
    Fps(Target, u32),
    Resize(Target),
    Mute(Target),
    Unmute(Target),
    Half(Target),
    NoParams(Target),
    Quit,
}

/// RTSP statuses that `answer` knows (RFC 2326 section 7.1.1).
pub const STATUSES: [u16; 5] = [401, 404, 453, 500, 503];
/// Longest reboot and farthest jump in seconds.
const MAX_SECONDS: f64 = 86_400.0;
/// A tenth too fast or too slow.
const MAX_DRIFT_PPM: i32 = 100_000;

/// The cameras that a command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    All,
    /// Counted from 0: `cam1` is 0.
    Camera(usize),
}

impl Target {
    pub fn includes(self, camera: usize) -> bool {
        self == Self::All || self == Self::Camera(camera)
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error(
        "unknown command; known are status, freeze, refuse, answer, reboot, resume, close, jump, drift, jitter, fps, \
         resize, mute, unmute, half, noparams, quit"
    )]
    Unknown,
    #[error("{0} takes {1}")]
    Arguments(&'static str, &'static str),
    #[error("no such camera; known are cam1 to cam{0} and all")]
    NoCamera(usize),
    #[error("a command line is at most {MAX_LINE} bytes of UTF-8")]
    Line,
}

/// Reads one line; `cameras` is how many there are.
pub fn parse(line: &str, cameras: usize) -> Result<Command, CommandError> {
    let mut words = line.split_whitespace();
    let (verb, object, value, rest) = (words.next(), words.next(), words.next(), words.next());
    let alone = |verb, command| match object {
        None => Ok(command),
        Some(_) => Err(CommandError::Arguments(verb, "nothing more")),
    };
    let targeted = |verb, command: fn(Target) -> Command| match (object, value) {
        (Some(name), None) => target(name, cameras).map(command),
        _ => Err(CommandError::Arguments(verb, "one camera or all")),
    };
    let valued = |verb, takes, read: &dyn Fn(Target, &str) -> Option<Command>| match (object, value, rest) {
        (Some(name), Some(value), None) => {
            read(target(name, cameras)?, value).ok_or(CommandError::Arguments(verb, takes))
        }
        _ => Err(CommandError::Arguments(verb, takes)),
    };
    match verb {
        Some("status") => alone("status", Command::Status),
        Some("quit") => alone("quit", Command::Quit),
        Some("freeze") => targeted("freeze", Command::Freeze),
        Some("resume") => targeted("resume", Command::Resume),
        Some("close") => targeted("close", Command::Close),
        Some("refuse") => targeted("refuse", Command::Refuse),
        Some("resize") => targeted("resize", Command::Resize),
        Some("mute") => targeted("mute", Command::Mute),
        Some("unmute") => targeted("unmute", Command::Unmute),
        Some("half") => targeted("half", Command::Half),
        Some("noparams") => targeted("noparams", Command::NoParams),
        Some("answer") => valued("answer", "a camera or all, and 401, 404, 453, 500 or 503", &|target, value| {
            let status = value.parse().ok().filter(|status| STATUSES.contains(status))?;
            Some(Command::Answer(target, status))
        }),
        Some("reboot") => valued("reboot", "a camera or all, and seconds (0 to 86400)", &|target, value| {
            Some(Command::Reboot(target, Duration::from_secs_f64(seconds(value).filter(|s| *s >= 0.0)?)))
        }),
        Some("jump") => valued("jump", "a camera or all, and seconds (-86400 to 86400)", &|target, value| {
            Some(Command::Jump(target, seconds(value)?))
        }),
        Some("drift") => valued("drift", "a camera or all, and ppm (-100000 to 100000)", &|target, value| {
            let ppm = value.parse().ok().filter(|ppm| (-MAX_DRIFT_PPM..=MAX_DRIFT_PPM).contains(ppm))?;
            Some(Command::Drift(target, ppm))
        }),
        Some("jitter") => valued("jitter", "a camera or all, and ms (0 to 10000)", &|target, value| {
            Some(Command::Jitter(target, value.parse().ok().filter(|ms| *ms <= MAX_JITTER_MS)?))
        }),
        Some("fps") => valued("fps", "a camera or all, and pictures a second (0: all)", &|target, value| {
            Some(Command::Fps(target, value.parse().ok()?))
        }),
        _ => Err(CommandError::Unknown),
    }
}

fn seconds(word: &str) -> Option<f64> {
    word.parse().ok().filter(|seconds: &f64| seconds.abs() <= MAX_SECONDS)
}

fn target(name: &str, cameras: usize) -> Result<Target, CommandError> {
    if name == "all" {
        return Ok(Target::All);
    }
    camera_index(name.trim_start_matches('/'))
        .filter(|index| *index < cameras)
        .map(Target::Camera)
        .ok_or(CommandError::NoCamera(cameras))
}

/// `cam1` is 0. Other spellings of a number (`cam01`, `cam+1`) name no camera.
pub fn camera_index(name: &str) -> Option<usize> {
    let number: usize = name.strip_prefix("cam")?.parse().ok()?;
    let index = number.checked_sub(1)?;
    (camera_name(index) == name).then_some(index)
}

/// The inverse of [`camera_index`].
pub fn camera_name(index: usize) -> String {
    format!("cam{}", index + 1)
}

/// One line of JSON on standard output.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    Ready {
        ready: bool,
        port: u16,
        urls: Vec<String>,
    },
    Status {
        cameras: Vec<CameraStatus>,
        connections: usize,
    },
    /// `closed` counts the connections that the command closed.
    Done {
        ok: bool,
        closed: usize,
    },
    Error {
        error: String,
    },
}

#[derive(Debug, Serialize)]
pub struct CameraStatus {
    pub path: String,
    /// RTSP sessions playing now.
    pub playing: usize,
    /// RTSP sessions that ever began to play.
    pub played_total: u64,
    pub fault: Fault,
    /// True while a media pipeline exists: from the first DESCRIBE until the last client leaves.
    pub media: bool,
    /// Pictures handed to RTSP since start, each counted once however many clients see it.
    pub frames_sent: u64,
    /// Pictures dropped because a pipeline did not keep up.
    pub frames_dropped: u64,
    pub quirks: Quirks,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_read() {
        for (line, command) in [
            ("status", Command::Status),
            ("  quit \r\n", Command::Quit),
            ("freeze cam1", Command::Freeze(Target::Camera(0))),
            ("resume cam20", Command::Resume(Target::Camera(19))),
            ("close all", Command::Close(Target::All)),
            ("refuse /cam2", Command::Refuse(Target::Camera(1))),
            ("answer cam1 453", Command::Answer(Target::Camera(0), 453)),
            ("reboot all 1.5", Command::Reboot(Target::All, Duration::from_millis(1500))),
            ("jump cam1 -3.5", Command::Jump(Target::Camera(0), -3.5)),
            ("drift cam1 -200", Command::Drift(Target::Camera(0), -200)),
            ("jitter cam1 80", Command::Jitter(Target::Camera(0), 80)),
            ("fps cam1 7", Command::Fps(Target::Camera(0), 7)),
            ("resize cam1", Command::Resize(Target::Camera(0))),
            ("mute cam1", Command::Mute(Target::Camera(0))),
            ("unmute cam1", Command::Unmute(Target::Camera(0))),
            ("half cam1", Command::Half(Target::Camera(0))),
            ("noparams all", Command::NoParams(Target::All)),
        ] {
            assert_eq!(parse(line, 20), Ok(command), "{line}");
        }
    }

    #[test]
    fn everything_else_is_an_error_that_says_what_would_be_right() {
        assert_eq!(parse("", 2), Err(CommandError::Unknown));
        assert_eq!(parse("Status", 2), Err(CommandError::Unknown));
        assert_eq!(parse("status now", 2), Err(CommandError::Arguments("status", "nothing more")));
        assert_eq!(parse("freeze", 2), Err(CommandError::Arguments("freeze", "one camera or all")));
        assert_eq!(parse("close cam1 cam2", 2), Err(CommandError::Arguments("close", "one camera or all")));
        for line in [
            "answer cam1",
            "answer cam1 200",
            "reboot cam1 -1",
            "jump cam1 NaN",
            "jump cam1 1e9",
            "drift cam1 100001",
            "jitter cam1 10001",
            "fps cam1 -1",
            "fps cam1 5 5",
        ] {
            assert!(matches!(parse(line, 2), Err(CommandError::Arguments(..))), "{line}");
        }
        for name in ["cam0", "cam3", "cam01", "cam+1", "cam", "1", "cam99999999999999999999"] {
            assert_eq!(parse(&format!("freeze {name}"), 2), Err(CommandError::NoCamera(2)), "{name}");
        }
    }

    #[test]
    fn answers_are_json_of_the_promised_shape() {
        let json = |answer: &Answer| serde_json::to_string(answer).expect("plain data");
        assert_eq!(json(&Answer::Done { ok: true, closed: 2 }), r#"{"ok":true,"closed":2}"#);
        assert_eq!(json(&Answer::Error { error: "no".into() }), r#"{"error":"no"}"#);
        let cameras = vec![CameraStatus {
            path: "/cam1".into(),
            playing: 1,
            played_total: 3,
            fault: Fault::None,
            media: true,
            frames_sent: 7,
            frames_dropped: 0,
            quirks: Quirks::default(),
        }];
        assert_eq!(
            json(&Answer::Status { cameras, connections: 1 }),
            concat!(
                r#"{"cameras":[{"path":"/cam1","playing":1,"played_total":3,"fault":"none","media":true,"#,
                r#""frames_sent":7,"frames_dropped":0,"quirks":{"jumped_s":0.0,"drift_ppm":0,"jitter_ms":0,"fps":0,"#,
                r#""resized":false,"muted":false,"half":false,"noparams":false}}],"connections":1}"#
            )
        );
    }
}
