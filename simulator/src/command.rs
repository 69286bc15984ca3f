//! The commands on standard input and their answers: words in, one line of JSON out.

use serde::Serialize;

/// Longest command line in bytes; `close cam1000` has 13.
pub const MAX_LINE: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Status,
    Freeze(Target),
    Resume(Target),
    Close(Target),
    Refuse(Target),
    Quit,
}

/// Which cameras a command is for.
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
    #[error("unknown command; known are status, freeze, resume, close, refuse, quit")]
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
    let (verb, object, rest) = (words.next(), words.next(), words.next());
    let alone = |verb, command| match object {
        None => Ok(command),
        Some(_) => Err(CommandError::Arguments(verb, "nothing more")),
    };
    let targeted = |verb, command: fn(Target) -> Command| match (object, rest) {
        (Some(name), None) => target(name, cameras).map(command),
        _ => Err(CommandError::Arguments(verb, "one camera or all")),
    };
    match verb {
        Some("status") => alone("status", Command::Status),
        Some("quit") => alone("quit", Command::Quit),
        Some("freeze") => targeted("freeze", Command::Freeze),
        Some("resume") => targeted("resume", Command::Resume),
        Some("close") => targeted("close", Command::Close),
        Some("refuse") => targeted("refuse", Command::Refuse),
        _ => Err(CommandError::Unknown),
    }
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
    /// Whether a media pipeline exists: from the first DESCRIBE until the last client leaves.
    pub media: bool,
    /// Pictures handed to RTSP since start, each counted once however many clients see it.
    pub frames_sent: u64,
    /// Pictures dropped because a pipeline did not keep up.
    pub frames_dropped: u64,
}

/// What a camera does wrong at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    #[default]
    None,
    Freeze,
    Refuse,
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
        }];
        assert_eq!(
            json(&Answer::Status { cameras, connections: 1 }),
            r#"{"cameras":[{"path":"/cam1","playing":1,"played_total":3,"fault":"none","media":true,"frames_sent":7,"frames_dropped":0}],"connections":1}"#
        );
    }
}
