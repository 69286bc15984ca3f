//! The command line: its options, and every bound that is checked before anything starts.

use std::net::SocketAddr;

use clap::{Parser, ValueEnum};
use rsm_simulator::schedule::Schedule;

use crate::{
    audio::AudioCodec,
    clip::ClipSpec,
    codec::{Codec, Encoding, Profile},
    feed::RtpStart,
    picture::Size,
    programme::{ParameterSets, ProgrammeSpec},
};

/// Memory that a clip may take. 128 MiB is 60 s at 17 Mbit/s.
const MAX_CLIP_BYTES: u64 = 128 << 20;

/// Bounds of --second; clap has the same for the first clip.
const WIDTHS: std::ops::RangeInclusive<usize> = 320..=3840;
const HEIGHTS: std::ops::RangeInclusive<usize> = 180..=2160;

const AFTER_HELP: &str = "\
EXAMPLE
  rsm-camera --count 4 --width 1920 --height 1080 --fps 30 --bitrate-kbps 4000
  ffplay -rtsp_transport tcp rtsp://127.0.0.1:8554/cam1

READY
  Once it serves, one line of JSON goes to standard output: {\"ready\":true,\"port\":8554,\"urls\":[...]}.
  Logs go to standard error.

COMMANDS on standard input, one a line, each answered by one line of JSON on standard output
  status               who is playing, and the fault and quirks of every camera
  freeze   cam1|all    sockets stay open, media stops
  refuse   cam1|all    close the clients and answer new ones 503 until resume
  answer   cam1|all N  answer every DESCRIBE and SETUP N (401, 404, 453, 500, 503) until resume
  reboot   cam1|all S  close the clients and answer 503 for S seconds; then all is new, the timestamps too
  close    cam1|all    close the clients' connections once; new ones are welcome
  jump     cam1|all S  RTP timestamps jump by S seconds, backward if negative
  drift    cam1|all N  RTP timestamps run N millionths too fast, too slow if negative
  jitter   cam1|all N  each packet is late by a random time of up to N ms, in order, with true timestamps
  fps      cam1|all N  leave out pictures down to about N a second, the last of each GOP; 0 ends it
  resize   cam1|all    show the other clip (--second) from the next key frame on; again: the first one
  mute, unmute cam1|all  sound stops while pictures go on
  half     cam1|all    leave out the second half of every picture's bytes
  noparams cam1|all    leave out parameter sets in band
  resume   cam1|all    end all of these but jump and resize
  quit                 end

PICTURES
  All cameras loop one clip. Its frame k is sent when unix time modulo the clip's length is k / fps, so the burnt-in
  clock tells the age of a picture. The squares along the top edge hold k for machines (rsm_simulator::clock_row).
  With B-frames pictures are sent in the order of decoding, as many frames later as there are B-frames in a row.

SOUND
  A quiet tone of 220 Hz with a beep of 1000 Hz in the first 100 ms of each second of unix time.

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
    /// Audio codec
    #[arg(long, value_enum, default_value_t)]
    audio: AudioCodec,
    /// Width in pixels (320 to 3840, even)
    #[arg(long, value_name = "PIXELS", default_value_t = 1280, value_parser = clap::value_parser!(u32).range(320..=3840))]
    width: u32,
    /// Height in pixels (180 to 2160, even; between a third and the double of the width)
    #[arg(long, value_name = "PIXELS", default_value_t = 720, value_parser = clap::value_parser!(u32).range(180..=2160))]
    height: u32,
    /// Frames per second (1 to 60)
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=60))]
    fps: u32,
    /// Frames from one key frame to the next (1 to 1800) [default: one second]
    #[arg(long, value_name = "FRAMES", value_parser = clap::value_parser!(u32).range(1..=1800))]
    gop: Option<u32>,
    /// B-frames between two other frames, H.264 and H.265 (0 to 3)
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=3))]
    bframes: u32,
    /// Slices of each picture, H.264 and H.265 (1 to 8)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=8))]
    slices: u32,
    /// H.264 profile [default: the encoder's choice]
    #[arg(long, value_enum)]
    profile: Option<Profile>,
    /// Where the decoder's parameter sets are sent
    #[arg(long, value_enum, default_value_t)]
    parameter_sets: ParameterSets,
    /// Size of a second clip, which `resize` switches to
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = size)]
    second: Option<Size>,
    /// Bit rate of one camera in kbit/s (64 to 50000)
    #[arg(long, value_name = "KBPS", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(64..=50_000))]
    bitrate_kbps: u32,
    /// Length of the looped clip in seconds (1 to 60), a whole number of GOPs
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=60))]
    clip_seconds: u32,
    /// Serve rtsps:// with a certificate that is made at start and that no client trusts
    #[arg(long)]
    tls: bool,
    /// Send no RTCP
    #[arg(long)]
    no_rtcp: bool,
    /// First RTP timestamp of every session: random or a number (4294877296 wraps a second later)
    #[arg(long, value_name = "random|N", default_value = "random", value_parser = rtp_start)]
    rtp_start: RtpStart,
    /// Ways of authentication that are offered
    #[arg(long, value_enum, default_value_t)]
    auth: AuthMethods,
    /// Ask clients for this user name
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
    pub programme: ProgrammeSpec,
    pub tls: bool,
    pub rtcp: bool,
    pub rtp_start: RtpStart,
    pub credentials: Option<Credentials>,
    pub exit_with_stdin: bool,
}

/// No `Debug`: it would print the password.
pub struct Credentials {
    pub methods: AuthMethods,
    pub username: String,
    pub password: String,
}

/// Ways of HTTP authentication (RFC 2617), which RTSP shares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum AuthMethods {
    Basic,
    Digest,
    #[default]
    Both,
}

/// Contradictions between options; clap has checked each by itself.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    #[error("--width {0} and --height {1} must be even")]
    Odd(usize, usize),
    #[error("--height {height} must lie between a third and the double of --width {width}")]
    Shape { width: usize, height: usize },
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
    #[error("JPEG over RTP (RFC 2435) carries {0} up to 2040 pixels and a multiple of 8")]
    JpegSize(&'static str),
    #[error("--codec mjpeg has no --bframes, --slices and --parameter-sets")]
    JpegEncoding,
    #[error("--profile is for --codec h264, and baseline has no --bframes")]
    Profile,
    #[error("--second brings parameter sets that --parameter-sets sdp does not send")]
    SecondInSdp,
}

impl Options {
    /// Checks the options against each other.
    pub fn check(self) -> Result<Settings, OptionsError> {
        let first = Size { width: self.width as usize, height: self.height as usize };
        for size in std::iter::once(first).chain(self.second) {
            check_size(size, self.codec)?;
        }
        let encodes = self.bframes > 0 || self.slices > 1 || self.parameter_sets != ParameterSets::Both;
        if self.codec == Codec::Mjpeg && encodes {
            return Err(OptionsError::JpegEncoding);
        }
        let misses = self.codec != Codec::H264 || (self.bframes > 0 && self.profile == Some(Profile::Baseline));
        if self.profile.is_some() && misses {
            return Err(OptionsError::Profile);
        }
        if self.second.is_some() && self.parameter_sets == ParameterSets::Sdp {
            return Err(OptionsError::SecondInSdp);
        }
        let schedule = Schedule::new(self.fps, self.clip_seconds).ok_or(OptionsError::NoFrames)?;
        let gop = self.gop.unwrap_or(self.fps);
        if !schedule.frames().is_multiple_of(gop) {
            return Err(OptionsError::OddGop { frames: schedule.frames(), gop });
        }
        let clips = 1 + u64::from(self.second.is_some());
        if u64::from(self.bitrate_kbps) * u64::from(self.clip_seconds) * 125 * clips > MAX_CLIP_BYTES {
            return Err(OptionsError::ClipTooLarge);
        }
        Ok(Settings {
            listen: self.listen,
            cameras: self.count as usize,
            programme: ProgrammeSpec {
                clip: ClipSpec {
                    codec: self.codec,
                    size: first,
                    fps: self.fps,
                    schedule,
                    encoding: Encoding {
                        gop,
                        bitrate_kbps: self.bitrate_kbps,
                        bframes: self.bframes,
                        slices: self.slices,
                        profile: self.profile,
                    },
                },
                second: self.second,
                audio: self.audio,
                parameter_sets: self.parameter_sets,
            },
            tls: self.tls,
            rtcp: !self.no_rtcp,
            rtp_start: self.rtp_start,
            credentials: credentials(self.auth, self.username, self.password)?,
            exit_with_stdin: self.exit_with_stdin,
        })
    }
}

fn check_size(size: Size, codec: Codec) -> Result<(), OptionsError> {
    let Size { width, height } = size;
    if !width.is_multiple_of(2) || !height.is_multiple_of(2) {
        return Err(OptionsError::Odd(width, height));
    }
    // The row of squares takes a 24th of the width and three lines of text must fit below it.
    if height * 3 < width || height > width * 2 {
        return Err(OptionsError::Shape { width, height });
    }
    let carried = |pixels: usize| pixels <= 2040 && pixels.is_multiple_of(8);
    match codec {
        Codec::Mjpeg if !carried(width) => Err(OptionsError::JpegSize("a width")),
        Codec::Mjpeg if !carried(height) => Err(OptionsError::JpegSize("a height")),
        _ => Ok(()),
    }
}

/// `WIDTHxHEIGHT`, within the bounds of --width and --height.
fn size(text: &str) -> Result<Size, String> {
    let number = |text: &str, range: std::ops::RangeInclusive<usize>| text.parse().ok().filter(|n| range.contains(n));
    text.split_once('x')
        .and_then(|(width, height)| Some(Size { width: number(width, WIDTHS)?, height: number(height, HEIGHTS)? }))
        .ok_or_else(|| "wanted is WIDTHxHEIGHT, 320x180 to 3840x2160".to_owned())
}

fn rtp_start(text: &str) -> Result<RtpStart, String> {
    match text {
        "random" => Ok(RtpStart::Random),
        number => number.parse().map(RtpStart::At).map_err(|_| "wanted is random or 0 to 4294967295".to_owned()),
    }
}

fn credentials(
    methods: AuthMethods,
    username: Option<String>,
    password: Option<String>,
) -> Result<Option<Credentials>, OptionsError> {
    match (username, password) {
        (None, None) => Ok(None),
        (Some(username), Some(password)) => {
            // RFC 7617 section 2: the colon parts user name and password in Basic.
            if username.is_empty() || password.is_empty() || username.contains(':') {
                return Err(OptionsError::Credentials);
            }
            Ok(Some(Credentials { methods, username, password }))
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
        assert_eq!(settings.programme.clip.encoding.gop, 15);
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
            "--codec mjpeg --width 1284 --height 720",
            "--codec mjpeg --bframes 1",
            "--codec h265 --profile main",
            "--profile baseline --bframes 2",
            "--bframes 4",
            "--slices 9",
            "--gop 1801",
            "--second 640",
            "--second 640x3000",
            "--second 640x360 --parameter-sets sdp",
            "--rtp-start 4294967296",
            "--auth none",
        ] {
            assert!(check(line).is_err(), "{line} was accepted");
        }
    }

    #[test]
    fn a_name_with_a_password_is_accepted() {
        let settings = check("--username ann --password secret").expect("valid");
        assert_eq!(settings.credentials.expect("some").username, "ann");
    }

    #[test]
    fn long_groups_and_cameras_of_all_kinds_are_accepted() {
        for line in [
            "--fps 30 --gop 1800 --clip-seconds 60 --bitrate-kbps 1000",
            "--codec h265 --bframes 3 --slices 8 --audio aac --parameter-sets sdp",
            "--codec mjpeg --audio pcmu --second 640x360 --no-rtcp --tls",
            "--profile high --bframes 2 --rtp-start 4294967295 --listen [::1]:0",
        ] {
            assert!(check(line).is_ok(), "{line} was refused");
        }
    }
}
