//! The page in headless Chromium, used as a person would: see `tests/browser/page.mjs`.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::harness::camera::Camera;
use crate::harness::system::System;
use crate::harness::within;

#[tokio::test]
async fn a_camera_added_on_the_page_moves_as_jpeg_and_as_hls() {
    let (camera, system) = (Camera::start().await, System::start().await);
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    assert!(dir.join("node_modules").is_dir(), "playwright-core is missing: run `make deps-test` first");
    let script = Command::new("node")
        .current_dir(&dir)
        .arg("page.mjs")
        .args(["--base", &system.base, "--camera", camera.url()])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = within("the browser test", script).await.unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
}
