//! A wall that is left open in headless Chromium while camera, worker and API go away and come back: see
//! `tests/browser/faults.mjs`.

use serde_json::json;

use crate::harness::camera::Camera;
use crate::harness::eventually;
use crate::harness::nats::Nats;
use crate::harness::script::Script;
use crate::harness::service::Service;

#[tokio::test(flavor = "multi_thread")]
async fn a_wall_left_open_says_what_is_away_and_goes_on_when_it_is_back() {
    let (nats, camera, dir) = (Nats::start().await, Camera::start().await, tempfile::tempdir().unwrap());
    let environment = [("RSM__NATS__URLS", nats.url.clone())];
    let mut api = Service::api(&dir.path().join("api"), &environment).await;
    let mut worker = Service::worker("w1", &dir.path().join("w1"), &environment).await;
    let slug = api.add(&json!({ "url": camera.url() })).await;
    let mut page = Script::start("faults.mjs", &["--base", &api.base, "--slug", &slug]);
    page.says("watching").await;

    let port = camera.port;
    camera.kill().await;
    page.hears("camera gone", "seen").await;
    let _camera = Camera::start_with(port, &[], None).await;
    page.hears("camera back", "seen").await;

    worker.child.kill().await.unwrap();
    let _other = Service::worker("w2", &dir.path().join("w2"), &environment).await;
    let moved = async || api.status(&slug).await;
    eventually("another owner", moved, |s| s["worker"] == "w2" && s["state"] == "running").await;
    page.hears("worker gone", "seen").await;

    let address = api.base.trim_start_matches("http://").to_owned();
    api.child.kill().await.unwrap();
    page.hears("api gone", "seen").await;
    let _api = Service::api_at(&address, &dir.path().join("api"), &environment).await;
    page.hears("api back", "seen").await;
    page.ends_well().await;
}
