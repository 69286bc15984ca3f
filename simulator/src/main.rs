//! `rsm-camera`: RTSP test cameras. Draws and encodes one clip, then serves it from every camera for ever.
//!
//! ```text
//!   options -> picture -> clip -> feeder -> camera (appsrc) -> server -> clients
//!                                    console (stdin) -> command -> server
//! ```

mod camera;
mod clip;
mod codec;
mod command;
mod console;
mod feeder;
mod font;
mod ledger;
mod options;
mod picture;
mod server;

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
    clip::{Clip, ClipError, ClipSpec},
    options::{Options, Settings},
    server::{Server, ServerError, Site},
};

/// `EX_USAGE` of sysexits.h.
const EXIT_USAGE: u8 = 64;
/// signal(7) on Linux.
const SIGNALS: [i32; 2] = [2, 15];

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
    #[error("the clip cannot be made")]
    Clip(#[from] ClipError),
    #[error("the clip's thread panicked")]
    ClipThread,
    #[error("the server does not start")]
    Server(#[from] ServerError),
    #[error("the ready line cannot be written")]
    Output(#[from] io::Error),
}

/// Returns only when the cameras cannot start: once they serve, the process ends by command or signal.
fn serve(settings: Settings) -> Result<(), StartError> {
    gst::init()?;
    for signal in SIGNALS {
        glib::source::unix_signal_add(signal, || end("signal"));
    }
    let clip = make_clip(settings.clip)?;
    let site = Site::new(clip, settings.cameras);
    let server = Server::start(Arc::clone(&site), settings.listen, settings.credentials.as_ref())?;

    thread::Builder::new().name("feeder".into()).spawn(move || feeder::run(&site.clip, &site.cameras))?;
    console::print(&server.ready())?;
    thread::Builder::new().name("console".into()).spawn(move || {
        let end_of_console = console::run(io::stdin().lock(), &server, settings.cameras);
        if end_of_console == console::End::Quit || settings.exit_with_stdin {
            end("standard input");
        }
    })?;
    glib::MainLoop::new(None, false).run();
    Ok(())
}

/// Makes the clip on another thread, so that a signal still ends the process meanwhile.
fn make_clip(spec: ClipSpec) -> Result<Clip, StartError> {
    let begun = Instant::now();
    let making = gio::spawn_blocking(move || Clip::make(spec));
    let clip = glib::MainContext::default().block_on(making).map_err(|_| StartError::ClipThread)??;
    let (frames, kib) = (spec.schedule.frames(), clip.bytes() >> 10);
    eprintln!("rsm-camera: clip of {frames} frames, {kib} KiB, made in {} ms", begun.elapsed().as_millis());
    Ok(clip)
}

/// Ends the process at once. Cameras have nothing to save, and clients must cope with a camera that vanishes.
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
