//! The page in headless Chromium, used as a person would: see `tests/browser/page.mjs`.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::Semaphore;

use crate::harness::camera::Camera;
use crate::harness::nats::Nats;
use crate::harness::service::Service;
use crate::harness::system::System;

/// Longest that a script takes.
const SCRIPT: Duration = Duration::from_secs(1800);
/// Browsers at a time: each keeps two processors busy, and more of them only wait for each other until deadlines pass.
static BROWSERS: Semaphore = Semaphore::const_new(2);
/// Where no camera answers.
const DEAD: &str = "rtsp://127.0.0.1:9/nobody";

#[tokio::test]
async fn a_camera_added_on_the_page_moves_as_jpeg_and_as_hls() {
    // Large enough for a lower rendition to be offered.
    let camera = Camera::start_as(&["--width", "640", "--height", "480"]).await;
    let system = System::start().await;
    run("page.mjs", &["--base", &system.base, "--camera", camera.url()]).await;
}

#[tokio::test]
async fn the_wall_shows_what_is_asked_for_and_asks_for_what_it_shows() {
    let camera = Camera::start_as(&["--fps", "5", "--gop", "5"]).await;
    let system = System::start().await;
    run("wall.mjs", &["--base", &system.base, "--camera", camera.url(), "--dead", DEAD]).await;
}

#[tokio::test]
async fn everything_can_be_done_with_the_keyboard_alone() {
    let (camera, system) = (Camera::start().await, System::start().await);
    run("keyboard.mjs", &["--base", &system.base, "--camera", camera.url()]).await;
}

#[tokio::test]
async fn no_state_of_the_page_keeps_people_out() {
    let (camera, system) = (Camera::start().await, System::start().await);
    let locked = Camera::start_with(0, &[], Some("secret-word")).await;
    let cameras = ["--camera", camera.url(), "--locked", locked.url(), "--dead", DEAD];
    run("everybody.mjs", &[&["--base", system.base.as_str()], &cameras[..]].concat()).await;
}

/// `make pictures` names a place for them to stay.
#[tokio::test]
async fn the_pictures_of_the_readme_can_be_taken() {
    let flags =
        ["--count", "8", "--width", "640", "--height", "360", "--fps", "5", "--gop", "5", "--clip-seconds", "10"];
    let camera = Camera::start_as(&flags).await;
    let (system, dir) = (System::start().await, tempfile::tempdir().unwrap());
    let out = std::env::var_os("RSM_TEST_PICTURES").map_or_else(|| dir.path().to_owned(), PathBuf::from);
    let arguments = ["--cameras", &camera.urls.join(","), "--out", out.to_str().unwrap()];
    run("pictures.mjs", &[&["--base", system.base.as_str()], &arguments[..]].concat()).await;
    for name in ["wall.png", "wall-light.png", "camera.png", "phone.png"] {
        let picture = std::fs::read(out.join(name)).unwrap();
        assert!(picture.starts_with(b"\x89PNG"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_a_relay_shows_cameras_and_offers_no_change() {
    let (nats, camera, dir) = (Nats::start().await, Camera::start().await, tempfile::tempdir().unwrap());
    let environment = [("RSM__NATS__URLS", nats.url.clone())];
    let api = Service::api(&dir.path().join("api"), &environment).await;
    let _worker = Service::worker("w1", &dir.path().join("w1"), &environment).await;
    let relay = Service::relay(&dir.path().join("relay"), &environment).await;
    run("relay.mjs", &["--relay", &relay.base, "--api", &api.base, "--camera", camera.url()]).await;
}

/// Runs one of the scripts; it must end well.
pub async fn run(name: &str, arguments: &[&str]) {
    let (code, said) = outcome(name, arguments).await;
    assert_eq!(code, Some(0), "{said}");
}

/// Runs one of the scripts; its exit code, and all that it said.
pub async fn outcome(name: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    assert!(dir.join("node_modules").is_dir(), "playwright-core is missing: run `make deps-test` first");
    let _turn = BROWSERS.acquire().await.unwrap();
    let script = Command::new("node")
        .current_dir(&dir)
        .arg(name)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = within_script(script).await;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code(), said)
}

/// Scripts have deadlines of their own for each step; this bounds one that hangs.
async fn within_script(script: impl Future<Output = std::io::Result<Output>>) -> Output {
    tokio::time::timeout(SCRIPT, script).await.expect("the browser test to end").unwrap()
}
