//! Age of the pictures that a browser shows of HLS: `tests/browser/latency.mjs` reads the camera's clock off the viewer
//! page's video.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::harness::camera::Camera;
use crate::harness::system::System;
use crate::table::line;

/// Deadline for one browser to start, to play and to be watched.
const DEADLINE: Duration = Duration::from_secs(180);

/// Camera to screen, with parts and with whole segments only. `settings` are the environment of both systems.
pub async fn latency(camera: &Camera, settings: &[(&str, &str)], fps: u32, clip_seconds: u32) {
    for (what, part_ms, aim) in [
        ("camera's clock to screen, HLS with parts (median / p99)", "333", "2000 ms"),
        ("  the same with whole segments only", "0", ""),
    ] {
        let settings = [settings, &[("RSM__HLS__PART_MS", part_ms)]].concat();
        let mut system = System::start_with(None, &[], &settings).await;
        let (slug, _) = system.add(json!({ "url": camera.url() })).await;
        line(what, &screen(&system.base, &slug, fps, clip_seconds).await, aim);
        system.stop().await;
    }
}

async fn screen(base: &str, slug: &str, fps: u32, clip_seconds: u32) -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/browser");
    if !dir.join("node_modules").is_dir() {
        return "make deps-test first".to_owned();
    }
    let script = Command::new("node")
        .current_dir(dir)
        .args(["latency.mjs", "--base", base, "--slug", slug])
        .args(["--fps", &fps.to_string(), "--clip-seconds", &clip_seconds.to_string()])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let Ok(Ok(output)) = tokio::time::timeout(DEADLINE, script).await else { return "no answer".to_owned() };
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    match (said["median_ms"].as_u64(), said["p99_ms"].as_u64()) {
        (Some(median), Some(p99)) => format!("{median} / {p99} ms"),
        _ => String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or("nothing").to_owned(),
    }
}
