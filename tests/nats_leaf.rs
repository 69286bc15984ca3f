//! A site behind a leaf node.

use reqwest::StatusCode;
use serde_json::json;

use crate::harness::camera::Camera;
use crate::harness::cluster::{Server, environment};
use crate::harness::eventually;
use crate::harness::role::Role;
use crate::harness::viewer::JpegViewer;

/// The zone that cameras are in.
const ZONE: &str = "default";

#[tokio::test]
async fn a_worker_behind_a_leaf_serves_the_hub_and_does_not_take_its_absence_for_an_absent_api() {
    let (camera, mut hub) = (Camera::start().await, Server::hub(ZONE, &[]).await);
    let leaf = Server::leaf_of(&hub, ZONE).await;
    let (dir, segments) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let api = Role::api(dir.path(), &environment(&hub.url, "api")).await;
    let mut site = environment(&leaf.url, "worker-north");
    site.push(("RSM__NATS__DOMAIN", "hub".into()));
    site.push(("RSM__CONTROL__HOLD_S", "10".into()));
    let worker = Role::worker("w1", segments.path(), &site).await;
    api.until_ready().await;
    worker.until_ready().await;

    let slug = api.add(&json!({ "url": camera.url(), "always_on": true })).await;
    assert_eq!(api.until_state(&slug, "running").await["worker"], "w1");
    let mut viewer = JpegViewer::try_open_at(&api.base, &slug).await.unwrap();
    viewer.frame_number().await;
    assert_eq!(camera.sessions().await, (1, 1));
    for role in [&api, &worker] {
        assert_eq!(role.errors(""), 0, "{}\n{}\n{}", role.log.text(), hub.log(), leaf.log());
    }

    // The leaf still answers, and says at once that nobody listens.
    hub.kill().await;
    worker.until_unready("no contact").await;
    let (status, _) = worker.get("/health/live").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(camera.sessions().await, (1, 1), "it holds on");
    // Somebody else may run the stream by now: after hold_s it stops.
    eventually("the camera to be let go", async || camera.sessions().await, |seen| *seen == (0, 1)).await;

    hub.start();
    worker.until_ready().await;
    api.until_state(&slug, "running").await;
    viewer.frame_number().await;
}
