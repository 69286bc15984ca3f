//! `rsm-camera`: RTSP test cameras. Draws and encodes one clip, then serves it from every camera for ever.
//!
//! ```text
//!   options -> picture -> clip -+
//!                        audio -+-> programme -> feeder -> camera -> feed (RTP) -> server -> clients
//!                                    console (stdin) -> command -> server -> quirks
//! ```

mod audio;
mod camera;
mod camera_clock;
mod chance;
mod clip;
mod codec;
mod command;
mod console;
mod conveyor;
mod feed;
mod feeder;
mod font;
mod ledger;
mod mount;
mod options;
mod packet;
mod picture;
mod programme;
mod quirks;
mod scheduling;
mod server;
mod site;
mod source;
mod tls;

use std::{
    io,
    process::{self, ExitCode},
    sync::Arc,
    thread,
    time::Instant,
};

use clap::Parser;
use gstreamer as gst;
use gstreamer::glib;
use gstreamer_rtsp_server::gio;

use crate::{
    options::{Options, Settings},
    programme::{Programme, ProgrammeError, ProgrammeSpec},
    server::{RtspServer, ServerError},
    site::Site,
};

/// `EX_USAGE` of sysexits.h.
const EXIT_USAGE: u8 = 64;
/// signal(7) on Linux.
const SIGNALS: [i32; 2] = [2, 15];

#[expect(clippy::print_stderr, reason = "a test camera has no log")]
fn main() -> ExitCode {
    let settings = match settings() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    match serve(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rsm-camera: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// The checked options, or the exit code after having said why not.
#[expect(clippy::print_stderr, reason = "a test camera has no log")]
fn settings() -> Result<Settings, ExitCode> {
    let refuse = |reason: &str| {
        eprintln!("rsm-camera: {reason} (see --help)");
        ExitCode::from(EXIT_USAGE)
    };
    let options = Options::try_parse().map_err(|error| {
        if !error.use_stderr() {
            // --help and --version; a closed pipe is the reader's wish.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        let text = error.to_string();
        refuse(text.lines().next().unwrap_or_default().trim_start_matches("error: "))
    })?;
    options.check().map_err(|error| refuse(&error.to_string()))
}

#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("GStreamer does not start")]
    Gstreamer(#[from] glib::Error),
    #[error("the programme cannot be made")]
    Programme(#[from] ProgrammeError),
    #[error("the programme's thread panicked")]
    ProgrammeThread,
    #[error("an element of its own cannot be made")]
    Element(#[from] glib::BoolError),
    #[error("the server does not start")]
    Server(#[from] ServerError),
    #[error("the ready line cannot be written")]
    Output(#[from] io::Error),
}

/// Returns only when the cameras cannot start: once they serve, the process ends by command or signal.
fn serve(settings: Settings) -> Result<(), StartError> {
    scheduling::prefer_throughput();
    gst::init()?;
    for signal in SIGNALS {
        glib::source::unix_signal_add(signal, || end("signal"));
    }
    source::register()?;
    let programme = make_programme(settings.programme)?;
    let site = Site::new(programme, settings.cameras, settings.rtp_start);
    let cameras = settings.cameras;
    let exit_with_stdin = settings.exit_with_stdin;
    let server = RtspServer::start(Arc::clone(&site), &settings)?;

    thread::Builder::new().name("feeder".into()).spawn(move || feeder::run(&site.programme, &site.cameras))?;
    console::print(&server.ready())?;
    thread::Builder::new().name("console".into()).spawn(move || {
        let end_of_console = console::run(io::stdin().lock(), &server, cameras);
        if end_of_console == console::ConsoleEnd::Quit || exit_with_stdin {
            end("standard input");
        }
    })?;
    glib::MainLoop::new(None, false).run();
    Ok(())
}

/// Makes the programme on another thread, so that a signal still ends the process meanwhile.
#[expect(clippy::print_stderr, reason = "a test camera has no log")]
fn make_programme(spec: ProgrammeSpec) -> Result<Programme, StartError> {
    let begun = Instant::now();
    let making = gio::spawn_blocking(move || Programme::make(spec));
    let programme = glib::MainContext::default().block_on(making).map_err(|_| StartError::ProgrammeThread)??;
    let (frames, kib) = (programme.schedule.frames(), programme.bytes() >> 10);
    eprintln!("rsm-camera: clip of {frames} frames, {kib} KiB, made in {} ms", begun.elapsed().as_millis());
    Ok(programme)
}

/// Ends the process at once. Cameras have nothing to save, and clients must cope with a camera that vanishes.
#[expect(
    clippy::disallowed_methods,
    reason = "there is nothing to save, and clients must cope with a camera that vanishes"
)]
#[expect(clippy::print_stderr, reason = "a test camera has no log")]
fn end(cause: &str) -> ! {
    eprintln!("rsm-camera: ended by {cause}");
    process::exit(0)
}

/// An error and everything beneath it, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
