//! A player in headless Chromium lives through what happens to its camera: see `tests/browser/through.mjs`.

use std::path::Path;
use std::process::Stdio;

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use crate::harness::camera::Camera;
use crate::harness::system::System;
use crate::harness::within;

#[tokio::test]
async fn one_player_plays_on_through_all_that_a_camera_does() {
    let camera = Camera::start_as(&["--second", "640x360", "--audio", "aac"]).await;
    let system = System::start().await;
    let (slug, _) = system.add(json!({ "url": camera.url(), "always_on": true })).await;
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    assert!(dir.join("node_modules").is_dir(), "playwright-core is missing: run `make deps-test` first");
    let mut script = Command::new("node")
        .current_dir(&dir)
        .args(["through.mjs", "--base", &system.base, "--slug", &slug])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = script.stdin.take().unwrap();
    let mut errors = script.stderr.take().unwrap();
    let mut lines = BufReader::new(script.stdout.take().unwrap()).lines();
    let mut next = async || within("the browser to play", lines.next_line()).await.unwrap();
    let mut plays = next().await.as_deref() == Some("playing");
    let events = [
        "jump cam1 3600",
        "resize cam1",
        "mute cam1",
        "unmute cam1",
        "jump cam1 -3600",
        "resize cam1",
        "reboot cam1 1",
    ];
    for event in events {
        if !plays {
            break;
        }
        assert_eq!(camera.command(event).await["ok"], true, "{event}");
        input.write_all(format!("{event}\n").as_bytes()).await.unwrap();
        plays = next().await.as_deref() == Some("through");
    }
    drop(input);
    let mut said = String::new();
    within("the browser to say how it went", errors.read_to_string(&mut said)).await.unwrap();
    let status = within("the browser to end", script.wait()).await.unwrap();
    assert!(status.success() && plays, "{said}");
    // It lived through the reboot, not beside it.
    assert_eq!(system.status(&slug).await["restarts"], 1);
}
