//! Faults around a process: a log that is not read, a database that another program holds or moves, sockets that cannot
//! be served, closed pipes and terminals.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::Signal;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;

use crate::harness::camera::Camera;
use crate::harness::process::{pass_listeners, rsm, signal, spawn};
use crate::harness::system::System;
use crate::harness::viewer::JpegViewer;
use crate::harness::{eventually, within};

/// A camera that refuses connections.
const AWAY: &str = "rtsp://127.0.0.1:9/none";
/// Cameras whose first lines, of 150 bytes and more, are several times what the smallest pipe holds.
const CAMERAS: usize = 40;
/// The smallest pipe of Linux: one page.
const SMALL_PIPE: i32 = 4096;

#[tokio::test]
async fn a_log_that_is_not_read_stops_nothing_and_not_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(rsm());
    command
        .args(["up", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = spawn(&mut command);
    // Nothing is read from it until the end.
    let mut unread = child.stderr.take().unwrap();
    fcntl(unread.as_fd(), FcntlArg::F_SETPIPE_SZ(SMALL_PIPE)).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = within("rsm up to be ready", lines.next_line()).await.unwrap().unwrap();
    let base = line.rsplit(' ').next().unwrap().to_owned();
    let http = reqwest::Client::builder().no_proxy().timeout(crate::harness::DEADLINE).build().unwrap();
    for _ in 0..CAMERAS {
        let answer = http.post(format!("{base}video/")).json(&json!({ "url": AWAY, "always_on": true })).send().await;
        assert_eq!(answer.unwrap().status(), StatusCode::CREATED);
    }
    let states = async || -> Vec<Value> {
        let list: Vec<Value> = http.get(format!("{base}video/")).send().await.unwrap().json().await.unwrap();
        list.into_iter().map(|link| link["state"].clone()).collect()
    };
    let tried = |states: &Vec<Value>| states.len() == CAMERAS && states.iter().all(|state| state == "reconnecting");
    eventually("every camera to be tried, with a line of the log for each", states, tried).await;
    signal(child.id().unwrap(), Signal::SIGTERM);
    let status = within("rsm up to end although its log is not read", child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
    let mut rest = String::new();
    within("the log to end", unread.read_to_string(&mut rest)).await.unwrap();
    assert!(rest.contains("a child is started"), "{rest}");
}

#[tokio::test]
async fn a_closed_terminal_ends_it_in_order() {
    let mut system = System::start().await;
    signal(system.child.id().unwrap(), Signal::SIGHUP);
    let status = within("rsm up to end", system.child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0), "{}", system.log.text());
    assert!(system.log.ended().await.contains("SIGHUP"));
}

/// Takes the lock that writing takes, as another program does: byte 120 of the index of the write-ahead log
/// (WAL_WRITE_LOCK, sqlite.org/walformat.html, 2.3.1).
/// It is held until the file is closed.
fn lock(system: &System) -> std::fs::File {
    let index = std::fs::OpenOptions::new().write(true).open(system.data_dir().join("rsm.sqlite3-shm")).unwrap();
    let lock = nix::libc::flock {
        l_type: i16::try_from(nix::libc::F_WRLCK).unwrap(),
        l_whence: i16::try_from(nix::libc::SEEK_SET).unwrap(),
        l_start: 120,
        l_len: 1,
        l_pid: 0,
    };
    fcntl(&index, FcntlArg::F_SETLKW(&lock)).unwrap();
    index
}

#[tokio::test]
async fn a_locked_database_is_waited_for_then_changes_are_refused_and_pictures_go_on() {
    let camera = Camera::start().await;
    let system = System::start().await;
    let (slug, _) = system.add(json!({ "url": camera.url() })).await;
    let mut viewer = JpegViewer::open(&system, &slug).await;
    viewer.frame_number().await;
    let held = lock(&system);
    let changes = [
        (Method::POST, "/video/".to_owned(), json!({ "url": AWAY })),
        (Method::PATCH, format!("/video/{slug}/"), json!({ "name": "Another" })),
        (Method::POST, format!("/video/{slug}/stop"), json!({})),
    ];
    for (method, path, body) in &changes {
        let sent = system.http.request(method.clone(), system.url(path)).json(body).send();
        let answer = within("an answer", sent).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{method} {path}");
        assert!(answer.headers().contains_key("retry-after"), "{method} {path}");
    }
    assert_eq!(system.json("/video/").await.as_array().unwrap().len(), 1, "reading goes on");
    viewer.frame_number().await;
    // One that waits is carried out once the lock is released.
    let waiting = system.send(changes[0].0.clone(), &changes[0].1, &changes[0].2);
    let release = async { drop(held) };
    let ((status, answer), ()) = tokio::join!(waiting, release);
    assert_eq!(status, StatusCode::CREATED, "{answer}");
}

#[tokio::test]
async fn a_database_that_is_moved_away_takes_no_changes() {
    let system = System::start().await;
    system.add(json!({ "url": AWAY })).await;
    let (here, away) = (system.data_dir().join("rsm.sqlite3"), system.data_dir().join("away"));
    std::fs::rename(&here, &away).unwrap();
    let (status, answer) = system.send(Method::POST, "/video/", &json!({ "url": AWAY })).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    let ready = async || system.get("/health/ready").await.text().await.unwrap();
    eventually("readiness to say so", ready, |text| text.contains("moved, replaced or removed")).await;
    assert_eq!(system.json("/video/").await.as_array().unwrap().len(), 1, "reading goes on");
    // Another file in its place, such as a backup, is not the one that is open.
    std::fs::copy(&away, &here).unwrap();
    let (status, answer) = system.send(Method::POST, "/video/", &json!({ "url": AWAY })).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    std::fs::rename(&away, &here).unwrap();
    eventually("the file to be back", ready, |text| text.contains("\"ready\":true")).await;
    system.add(json!({ "url": AWAY })).await;
}

#[tokio::test]
async fn commands_end_quietly_without_a_reader_and_tell_a_full_disk() {
    for arguments in [&["config", "show"][..], &["config", "check"], &["--help"], &["--version"]] {
        for (what, code) in [("gone", 0), ("full", 69)] {
            let mut command = Command::new(rsm());
            command.args(arguments).stdin(Stdio::null()).stderr(Stdio::piped());
            if what == "gone" {
                // The reading end is closed at once.
                let (_, writer) = std::io::pipe().unwrap();
                command.stdout(writer);
            } else {
                command.stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
            }
            let child = spawn(&mut command);
            let output = within("a command to end", child.wait_with_output()).await.unwrap();
            let text = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(code), "{arguments:?}, {what}: {text}");
            assert_eq!(text.lines().count(), usize::from(code != 0), "{arguments:?}, {what}: {text}");
        }
    }
}

#[tokio::test]
async fn passed_sockets_that_cannot_be_served_are_refused_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let tcp = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (one, other) = (tcp(), tcp());
    let unix = UnixListener::bind(dir.path().join("socket")).unwrap();
    for (sockets, words) in [
        (vec![one.as_fd(), other.as_fd()], ["LISTEN_FDS=2", "one socket"]),
        (vec![unix.as_fd()], ["LISTEN_FDS", "not a TCP socket"]),
    ] {
        for role in ["up", "api"] {
            let mut command = Command::new(rsm());
            command.args([role, "--listen", "127.0.0.1:0", "--data-dir"]).arg(dir.path().join("data"));
            command.env("RSM_LOG", "off").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
            pass_listeners(&mut command, &sockets);
            let output = within("rsm to end", spawn(&mut command).wait_with_output()).await.unwrap();
            let text = String::from_utf8(output.stderr).unwrap();
            assert_eq!((output.status.code(), text.lines().count()), (Some(69), 1), "{role}: {text}");
            assert!(words.iter().all(|word| text.contains(word)), "{role}: {text}");
        }
    }
}

#[tokio::test]
async fn a_segment_directory_that_is_a_link_is_used_and_stays_one() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::os::unix::fs::symlink(disk.path(), dir.path().join("hls")).unwrap();
    std::fs::create_dir_all(disk.path().join("old-ab12/1700000000000-1")).unwrap();
    std::fs::write(disk.path().join("mine.txt"), "of another program").unwrap();
    let camera = Camera::start().await;
    let system = System::start_with(Some(dir.path()), &[], &[]).await;
    assert!(!disk.path().join("old-ab12").exists(), "segments of an earlier run are removed");
    let (slug, _) = system.add(json!({ "url": camera.url(), "hls": { "always_on": true } })).await;
    let made = async || disk.path().join(&slug).is_dir();
    eventually("segments behind the link", made, |made| *made).await;
    assert!(dir.path().join("hls").is_symlink() && disk.path().join("mine.txt").exists());
}
