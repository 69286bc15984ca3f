//! The command line: what it offers, and every bound that is checked before anything starts.

use std::net::SocketAddr;

use clap::Parser;
use rsm_simulator::schedule::Schedule;

use crate::{
    clip::ClipSpec,
    codec::{Codec, Encoding},
    picture::Size,
};

/// Memory that a clip may take. 128 MiB is 60 s at 17 Mbit/s.
const MAX_CLIP_BYTES: u64 = 128 << 20;

const AFTER_HELP: &str = "\
EXAMPLE
  rsm-camera --count 4 --width 1920 --height 1080 --fps 30 --bitrate-kbps 4000
  ffplay -rtsp_transport tcp rtsp://127.0.0.1:8554/cam1

READY
  Once it serves, one line of JSON goes to standard output: {\"ready\":true,\"port\":8554,\"urls\":[...]}.
  Logs go to standard error.

COMMANDS on standard input, one a line, each answered by one line of JSON on standard output
  status             who is playing, and the fault of every camera
  freeze  cam1|all   sockets stay open, media stops
  refuse  cam1|all   close the clients and answer new ones 503 until resume
  resume  cam1|all   end freeze and refuse
  close   cam1|all   close the clients' connections once; new ones are welcome
  quit               end

PICTURES
  All cameras loop one clip. Its frame k is sent when unix time modulo the clip's length is k / fps, so the burnt-in
  clock tells the age of a picture. The squares along the top edge hold k for machines (rsm_simulator::clock_row).

EXIT CODES
  0 ended by quit, SIGTERM or SIGINT; 1 could not start, for example because the port is in use; 64 wrong options.";

/// RTSP test cameras: moving pictures with a clock, served over RTP/UDP and RTP/TCP, with faults on command.
#[derive(Debug, Parser)]
#[command(name = "rsm-camera", version, after_help = AFTER_HELP, args_override_self = true)]
pub struct Options {
    /// Address and port to serve on; port 0 takes a free one, which the ready line tells
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8554")]
    listen: SocketAddr,
    /// Number of cameras: /cam1, /cam2, ... (1 to 1000)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    count: u32,
    /// Video codec
    #[arg(long, value_enum, default_value_t)]
    codec: Codec,
    /// Width in pixels (320 to 3840, even)
    #[arg(long, value_name = "PIXELS", default_value_t = 1280, value_parser = clap::value_parser!(u32).range(320..=3840))]
    width: u32,
    /// Height in pixels (180 to 2160, even; between a third and the double of the width)
    #[arg(long, value_name = "PIXELS", default_value_t = 720, value_parser = clap::value_parser!(u32).range(180..=2160))]
    height: u32,
    /// Frames per second (1 to 60)
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=60))]
    fps: u32,
    /// Frames from one key frame to the next (1 to 600) [default: one second]
    #[arg(long, value_name = "FRAMES", value_parser = clap::value_parser!(u32).range(1..=600))]
    gop: Option<u32>,
    /// Bit rate of one camera in kbit/s (64 to 50000)
    #[arg(long, value_name = "KBPS", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(64..=50_000))]
    bitrate_kbps: u32,
    /// Length of the looped clip in seconds (1 to 60), a whole number of GOPs
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=60))]
    clip_seconds: u32,
    /// Ask clients for this user name (Basic and Digest are offered)
    #[arg(long, value_name = "NAME", requires = "password")]
    username: Option<String>,
    /// The password; better given by environment, where the process list does not show it
    #[arg(long, value_name = "PASSWORD", env = "RSM_CAMERA_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// End when standard input ends, so that nothing outlives the program that started it
    #[arg(long)]
    exit_with_stdin: bool,
}

/// Options that have been checked.
pub struct Settings {
    pub listen: SocketAddr,
    pub cameras: usize,
    pub clip: ClipSpec,
    pub credentials: Option<Credentials>,
    pub exit_with_stdin: bool,
}

/// No `Debug`: it would print the password.
pub struct Credentials {
    pub username: String,
    pub password: String,
}

/// What one option says about another; clap has checked each by itself.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    #[error("--width {0} and --height {1} must be even")]
    Odd(u32, u32),
    #[error("--height {height} must lie between a third and the double of --width {width}")]
    Shape { width: u32, height: u32 },
    #[error("a clip of {frames} frames (--fps times --clip-seconds) is not a whole number of --gop {gop}")]
    OddGop { frames: u32, gop: u32 },
    #[error("--bitrate-kbps times --clip-seconds makes a clip of more than {} MiB", MAX_CLIP_BYTES >> 20)]
    ClipTooLarge,
    #[error("--username and the password must not be empty, and a user name has no colon")]
    Credentials,
    #[error("a password (--password or RSM_CAMERA_PASSWORD) without --username")]
    PasswordAlone,
    #[error("--fps and --clip-seconds must be positive")]
    NoFrames,
}

impl Options {
    /// Checks the options against each other.
    pub fn check(self) -> Result<Settings, OptionsError> {
        let (width, height) = (self.width, self.height);
        if !width.is_multiple_of(2) || !height.is_multiple_of(2) {
            return Err(OptionsError::Odd(width, height));
        }
        // The row of squares takes a 24th of the width and three lines of text must fit below it.
        if height * 3 < width || height > width * 2 {
            return Err(OptionsError::Shape { width, height });
        }
        let schedule = Schedule::new(self.fps, self.clip_seconds).ok_or(OptionsError::NoFrames)?;
        let gop = self.gop.unwrap_or(self.fps);
        if !schedule.frames().is_multiple_of(gop) {
            return Err(OptionsError::OddGop { frames: schedule.frames(), gop });
        }
        if u64::from(self.bitrate_kbps) * u64::from(self.clip_seconds) * 1000 / 8 > MAX_CLIP_BYTES {
            return Err(OptionsError::ClipTooLarge);
        }
        Ok(Settings {
            listen: self.listen,
            cameras: self.count as usize,
            clip: ClipSpec {
                codec: self.codec,
                size: Size { width: width as usize, height: height as usize },
                fps: self.fps,
                schedule,
                encoding: Encoding { gop, bitrate_kbps: self.bitrate_kbps },
            },
            credentials: credentials(self.username, self.password)?,
            exit_with_stdin: self.exit_with_stdin,
        })
    }
}

fn credentials(username: Option<String>, password: Option<String>) -> Result<Option<Credentials>, OptionsError> {
    match (username, password) {
        (None, None) => Ok(None),
        (Some(username), Some(password)) => {
            // RFC 7617 section 2: the colon parts user name and password in Basic.
            if username.is_empty() || password.is_empty() || username.contains(':') {
                return Err(OptionsError::Credentials);
            }
            Ok(Some(Credentials { username, password }))
        }
        _ => Err(OptionsError::PasswordAlone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str) -> Result<Settings, String> {
        Options::try_parse_from(std::iter::once("rsm-camera").chain(line.split_whitespace()))
            .map_err(|error| error.to_string())?
            .check()
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_gop_is_one_second_unless_told_otherwise() {
        let settings = check("--fps 15").expect("valid");
        assert_eq!(settings.clip.encoding.gop, 15);
        assert_eq!(settings.listen.to_string(), "127.0.0.1:8554");
        assert!(settings.credentials.is_none());
    }

    #[test]
    fn options_outside_their_bounds_are_refused() {
        for line in [
            "--count 0",
            "--count 1001",
            "--width 318",
            "--width 641",
            "--height 2162",
            "--width 1280 --height 180",
            "--width 320 --height 720",
            "--fps 0",
            "--fps 61",
            "--gop 0",
            "--fps 25 --gop 30",
            "--bitrate-kbps 50000 --clip-seconds 60",
            "--clip-seconds 61",
            "--listen localhost",
            "--username ann",
            "--password secret",
            "--username a:b --password secret",
            "--codec vp8",
        ] {
            assert!(check(line).is_err(), "{line} was accepted");
        }
    }

    #[test]
    fn a_name_with_a_password_is_accepted() {
        let settings = check("--username ann --password secret").expect("valid");
        assert_eq!(settings.credentials.expect("some").username, "ann");
    }
}
