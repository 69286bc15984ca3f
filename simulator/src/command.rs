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
pub enum CameraCommand {
    Status,
    Freeze(CameraTarget),
    Resume(CameraTarget),
    Close(CameraTarget),
    Refuse(CameraTarget),
    /// Every DESCRIBE and SETUP gets this status, one of [`STATUSES`].
    Answer(CameraTarget, u16),
    /// Switched off for so long.
    Reboot(CameraTarget, Duration),
    /// Timestamps jump by so many seconds.
    Jump(CameraTarget, f64),
    /// Timestamps run too fast by so many millionths.
    Drift(CameraTarget, i32),
    /// Pictures are late by up to so many milliseconds.
    Jitter(CameraTarget, u32),
    /// Pictures a second that are left; 0: all.
    Fps(CameraTarget, u32),
    Resize(CameraTarget),
    Mute(CameraTarget),
    Unmute(CameraTarget),
    Half(CameraTarget),
    NoParams(CameraTarget),
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
pub enum CameraTarget {
    All,
    /// Counted from 0: `cam1` is 0.
    Camera(usize),
}

impl CameraTarget {
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
pub fn parse(line: &str, cameras: usize) -> Result<CameraCommand, CommandError> {
    let mut words = line.split_whitespace();
    let (verb, object, value, rest) = (words.next(), words.next(), words.next(), words.next());
    let alone = |verb, command| match object {
        None => Ok(command),
        Some(_) => Err(CommandError::Arguments(verb, "nothing more")),
    };
    let targeted = |verb, command: fn(CameraTarget) -> CameraCommand| match (object, value) {
        (Some(name), None) => target(name, cameras).map(command),
        _ => Err(CommandError::Arguments(verb, "one camera or all")),
    };
    let valued = |verb, takes, read: &dyn Fn(CameraTarget, &str) -> Option<CameraCommand>| match (object, value, rest) {
        (Some(name), Some(value), None) => {
            read(target(name, cameras)?, value).ok_or(CommandError::Arguments(verb, takes))
        }
        _ => Err(CommandError::Arguments(verb, takes)),
    };
    match verb {
        Some("status") => alone("status", CameraCommand::Status),
        Some("quit") => alone("quit", CameraCommand::Quit),
        Some("freeze") => targeted("freeze", CameraCommand::Freeze),
        Some("resume") => targeted("resume", CameraCommand::Resume),
        Some("close") => targeted("close", CameraCommand::Close),
        Some("refuse") => targeted("refuse", CameraCommand::Refuse),
        Some("resize") => targeted("resize", CameraCommand::Resize),
        Some("mute") => targeted("mute", CameraCommand::Mute),
        Some("unmute") => targeted("unmute", CameraCommand::Unmute),
        Some("half") => targeted("half", CameraCommand::Half),
        Some("noparams") => targeted("noparams", CameraCommand::NoParams),
        Some("answer") => valued("answer", "a camera or all, and 401, 404, 453, 500 or 503", &|target, value| {
            let status = value.parse().ok().filter(|status| STATUSES.contains(status))?;
            Some(CameraCommand::Answer(target, status))
        }),
        Some("reboot") => valued("reboot", "a camera or all, and seconds (0 to 86400)", &|target, value| {
            Some(CameraCommand::Reboot(target, Duration::from_secs_f64(seconds(value).filter(|s| *s >= 0.0)?)))
        }),
        Some("jump") => valued("jump", "a camera or all, and seconds (-86400 to 86400)", &|target, value| {
            Some(CameraCommand::Jump(target, seconds(value)?))
        }),
        Some("drift") => valued("drift", "a camera or all, and ppm (-100000 to 100000)", &|target, value| {
            let ppm = value.parse().ok().filter(|ppm| (-MAX_DRIFT_PPM..=MAX_DRIFT_PPM).contains(ppm))?;
            Some(CameraCommand::Drift(target, ppm))
        }),
        Some("jitter") => valued("jitter", "a camera or all, and ms (0 to 10000)", &|target, value| {
            Some(CameraCommand::Jitter(target, value.parse().ok().filter(|ms| *ms <= MAX_JITTER_MS)?))
        }),
        Some("fps") => valued("fps", "a camera or all, and pictures a second (0: all)", &|target, value| {
            Some(CameraCommand::Fps(target, value.parse().ok()?))
        }),
        _ => Err(CommandError::Unknown),
    }
}

fn seconds(word: &str) -> Option<f64> {
    word.parse().ok().filter(|seconds: &f64| seconds.abs() <= MAX_SECONDS)
}

fn target(name: &str, cameras: usize) -> Result<CameraTarget, CommandError> {
    if name == "all" {
        return Ok(CameraTarget::All);
    }
    camera_index(name.trim_start_matches('/'))
        .filter(|index| *index < cameras)
        .map(CameraTarget::Camera)
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
pub enum CommandAnswer {
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
            ("status", CameraCommand::Status),
            ("  quit \r\n", CameraCommand::Quit),
            ("freeze cam1", CameraCommand::Freeze(CameraTarget::Camera(0))),
            ("resume cam20", CameraCommand::Resume(CameraTarget::Camera(19))),
            ("close all", CameraCommand::Close(CameraTarget::All)),
            ("refuse /cam2", CameraCommand::Refuse(CameraTarget::Camera(1))),
            ("answer cam1 453", CameraCommand::Answer(CameraTarget::Camera(0), 453)),
            ("reboot all 1.5", CameraCommand::Reboot(CameraTarget::All, Duration::from_millis(1500))),
            ("jump cam1 -3.5", CameraCommand::Jump(CameraTarget::Camera(0), -3.5)),
            ("drift cam1 -200", CameraCommand::Drift(CameraTarget::Camera(0), -200)),
            ("jitter cam1 80", CameraCommand::Jitter(CameraTarget::Camera(0), 80)),
            ("fps cam1 7", CameraCommand::Fps(CameraTarget::Camera(0), 7)),
            ("resize cam1", CameraCommand::Resize(CameraTarget::Camera(0))),
            ("mute cam1", CameraCommand::Mute(CameraTarget::Camera(0))),
            ("unmute cam1", CameraCommand::Unmute(CameraTarget::Camera(0))),
            ("half cam1", CameraCommand::Half(CameraTarget::Camera(0))),
            ("noparams all", CameraCommand::NoParams(CameraTarget::All)),
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
        let json = |answer: &CommandAnswer| serde_json::to_string(answer).expect("plain data");
        assert_eq!(json(&CommandAnswer::Done { ok: true, closed: 2 }), r#"{"ok":true,"closed":2}"#);
        assert_eq!(json(&CommandAnswer::Error { error: "no".into() }), r#"{"error":"no"}"#);
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
            json(&CommandAnswer::Status { cameras, connections: 1 }),
            concat!(
                r#"{"cameras":[{"path":"/cam1","playing":1,"played_total":3,"fault":"none","media":true,"#,
                r#""frames_sent":7,"frames_dropped":0,"quirks":{"jumped_s":0.0,"drift_ppm":0,"jitter_ms":0,"fps":0,"#,
                r#""resized":false,"muted":false,"half":false,"noparams":false}}],"connections":1}"#
            )
        );
    }
}
