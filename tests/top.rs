//! `rsm top`: as text once, and live in a terminal.

use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Stdio;
use std::sync::Arc;

use nix::pty::{Winsize, openpty};
use nix::sys::signal::Signal;
use nix::sys::termios::{LocalFlags, tcgetattr};
use parking_lot::Mutex;
use serde_json::json;
use tokio::process::{Child, Command};

use crate::harness::camera::Camera;
use crate::harness::process::{rsm, signal, spawn};
use crate::harness::system::System;
use crate::harness::viewer::JpegViewer;
use crate::harness::{eventually, within};

/// A terminal with `rsm top` in it.
struct Terminal {
    child: Child,
    keys: std::fs::File,
    /// Ours: it stays open, so that its settings can be seen afterwards.
    inner: OwnedFd,
    shown: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    fn open(api: &str) -> Self {
        let size = Winsize { ws_row: 30, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let mut command = Command::new(rsm());
        command.args(["top", "--interval", "1", "--api", api]).env("TERM", "xterm-256color");
        command.stdin(end()).stdout(end()).stderr(end());
        let child = spawn(&mut command);
        let shown = Arc::new(Mutex::new(vt100::Parser::new(
            size.ws_row.try_into().unwrap(),
            size.ws_col.try_into().unwrap(),
            0,
        )));
        let (mut output, into) = (std::fs::File::from(pty.master.try_clone().unwrap()), shown.clone());
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            // Ends with an error once the other end is closed.
            while let Ok(count @ 1..) = output.read(&mut piece) {
                into.lock().process(&piece[..count]);
            }
        });
        Self { child, keys: pty.master.into(), inner: pty.slave, shown }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// The text on the screen.
    fn text(&self) -> String {
        self.shown.lock().screen().contents()
    }

    async fn until(&self, what: &str, fits: impl Fn(&str) -> bool) {
        eventually(what, async || self.text(), |text| fits(text)).await;
    }

    /// Lines are edited and signs echoed, as before.
    fn is_as_before(&self) -> bool {
        let flags = tcgetattr(self.inner.as_fd()).unwrap().local_flags;
        flags.contains(LocalFlags::ICANON | LocalFlags::ECHO)
    }

    /// Waits for its end, and sees that the terminal is as it was.
    async fn ended(&mut self) -> std::process::ExitStatus {
        let status = within("rsm top to end", self.child.wait()).await.unwrap();
        assert!(self.is_as_before(), "{}", self.text());
        let other_page = async || self.shown.lock().screen().alternate_screen();
        eventually("the terminal's other page to be left", other_page, |other| !other).await;
        status
    }
}

async fn once(api: &str) -> (i32, String, String) {
    let mut command = Command::new(rsm());
    command.args(["top", "--once", "--api", api]).stdin(Stdio::null()).kill_on_drop(true);
    let output = within("rsm top to end", command.output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn a_stream_with_a_viewer_is_in_the_tables_with_its_rates() {
    let (camera, system) = (Camera::start().await, System::start().await);
    let (slug, _) = system.add(json!({ "url": camera.url(), "name": "Front door" })).await;
    let mut viewer = JpegViewer::try_open_at(&system.base, &slug).await.unwrap();
    viewer.frame_number().await;
    let look = async || once(&system.base).await;
    let line = |text: &str| text.lines().find(|line| line.starts_with(&*slug)).map(str::to_owned);
    // Pictures come at some rate as soon as two looks fall into the session.
    let (_, text, _) = eventually("rates of the stream", look, |(code, text, error)| {
        assert_eq!((*code, error.as_str()), (0, ""), "{text}");
        let words: Vec<_> = line(text).unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        words.len() > 5 && words[1] == "running" && words[2].parse::<f64>().is_ok_and(|fps| fps > 0.0)
    })
    .await;
    assert!(line(&text).unwrap().ends_with("Front door"), "{text}");
    assert!(text.contains("cameras: 1 running") && text.contains("-1 "), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[tokio::test]
async fn in_a_terminal_it_shows_streams_obeys_keys_and_leaves_the_terminal_as_it_was() {
    let system = System::start().await;
    let (slug, _) = system.add(json!({ "url": "rtsp://127.0.0.1:9/one", "name": "Yard" })).await;
    let mut terminal = Terminal::open(&system.base);
    terminal.until("the stream", |text| text.contains(&*slug) && text.contains("1 of 1 streams")).await;
    assert!(!terminal.is_as_before(), "it reads single keys");
    terminal.press("w");
    terminal.until("the table of workers", |text| text.contains("capacity") && text.contains(" workers ")).await;
    terminal.press("w/nothing-has-this");
    terminal.until("no row", |text| text.contains("0 of 1 streams   filter: nothing-has-this_")).await;
    terminal.press("\u{1b}");
    terminal.until("all rows", |text| text.contains("1 of 1 streams   ?")).await;
    terminal.press("?");
    terminal.until("the help", |text| text.contains("reverse the order")).await;
    terminal.press("q");
    assert!(terminal.ended().await.success());
}

#[tokio::test]
async fn an_api_that_goes_away_is_said_and_a_signal_ends_it_in_order() {
    let mut system = System::start().await;
    let mut terminal = Terminal::open(&system.base);
    terminal.until("numbers", |text| text.contains("cameras: none")).await;
    assert!(system.stop().await.success());
    terminal.until("the absence", |text| text.contains("away: ") && text.contains("trying again")).await;
    signal(terminal.child.id().unwrap(), Signal::SIGTERM);
    assert!(terminal.ended().await.success());

    let (code, text, error) = once(&system.base).await;
    assert_eq!((code, text.as_str(), error.lines().count()), (69, "", 1), "{error}");
    let (code, _, error) = once("https://127.0.0.1/").await;
    assert!(code == 64 && error.contains("--api"), "{error}");
}
