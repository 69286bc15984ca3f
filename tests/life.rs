//! Processes and cameras that die and come back.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::harness::camera::Camera;
use crate::harness::eventually;
use crate::harness::process::{alive, signal};
use crate::harness::system::System;
use crate::harness::viewer::{JpegViewer, MediaPlaylist};

#[tokio::test]
async fn a_camera_that_was_killed_goes_on_in_the_same_socket_and_playlist() {
    let (camera, system) = (Camera::start().await, System::start().await);
    let port = camera.port;
    let (slug, id) = system.add(json!({ "url": camera.url() })).await;
    let mut viewer = JpegViewer::open(&system, &slug).await;
    viewer.frame_number().await;
    let fetch = async || MediaPlaylist::fetch(&system, id).await.unwrap_or_default();
    let before = eventually("two segments", fetch, |p| p.segments.len() >= 2).await;

    camera.kill().await;
    system.until_state(&slug, "reconnecting").await;
    let camera = Camera::start_with(port, &[], None).await;
    viewer.frame_number().await;
    let after = eventually("a discontinuity", fetch, |p| p.discontinuities == 1).await;
    assert!(after.media_sequence >= before.media_sequence, "{}\n{}", before.text, after.text);
    let newest = after.segments.last().unwrap();
    assert!(system.get(newest).await.status().is_success(), "{newest}");
    assert!(system.status(&slug).await["restarts"].as_u64().unwrap() >= 1);
    assert_eq!(camera.sessions().await, (1, 1));
}

#[tokio::test]
async fn a_frozen_camera_is_noticed_and_taken_up_again() {
    let camera = Camera::start().await;
    let system = System::start_with(None, &[], &[("RSM__CAMERA__STALL_TIMEOUT_S", "5")]).await;
    let (slug, _) = system.add(json!({ "url": camera.url() })).await;
    let mut viewer = JpegViewer::open(&system, &slug).await;
    viewer.frame_number().await;
    camera.command("freeze cam1").await;
    let status = system.until_state(&slug, "reconnecting").await;
    assert_eq!(status["reason_code"], "stalled", "{status}");
    camera.command("resume cam1").await;
    viewer.frame_number().await;
    system.until_state(&slug, "running").await;
}

#[tokio::test]
async fn a_restart_of_the_api_forgets_no_link_and_stops_no_stream() {
    let (camera, system) = (Camera::start().await, System::start().await);
    let (slug, _) = system.add(json!({ "url": camera.url(), "always_on": true, "name": "Always" })).await;
    let epoch = system.until_state(&slug, "running").await["epoch"].clone();
    let old = system.process("api").unwrap();
    signal(old.pid, Signal::SIGKILL);
    eventually("a new API process", async || system.process("api"), |p| p.as_ref().is_some_and(|p| p.pid != old.pid))
        .await;
    assert_eq!(system.json("/video/").await[0]["name"], "Always");
    let status = system.until_state(&slug, "running").await;
    assert_eq!(status["epoch"], epoch, "placed once");
    assert_eq!(status["video"]["width"], 320, "the details are known again: {status}");
    assert_eq!(camera.sessions().await, (1, 1), "the session goes on");
    JpegViewer::open(&system, &slug).await.frame_number().await;
}

#[tokio::test]
async fn a_killed_worker_is_replaced_and_its_viewers_stay() {
    let (camera, system) = (Camera::start().await, System::start().await);
    let (slug, id) = system.add(json!({ "url": camera.url() })).await;
    let mut viewer = JpegViewer::open(&system, &slug).await;
    viewer.frame_number().await;
    let fetch = async || MediaPlaylist::fetch(&system, id).await.unwrap_or_default();
    let before = eventually("two segments", fetch, |p| p.segments.len() >= 2).await;
    let epoch = system.status(&slug).await["epoch"].as_u64().unwrap();
    signal(system.process("worker").unwrap().pid, Signal::SIGKILL);

    let moved = async || system.status(&slug).await;
    eventually("a new owner", moved, |s| s["epoch"].as_u64() > Some(epoch) && s["state"] == "running").await;
    viewer.frame_number().await;
    let after = eventually("a playlist of the new owner", fetch, |p| !p.segments.is_empty()).await;
    assert!(after.media_sequence > before.media_sequence, "{}\n{}", before.text, after.text);
}

#[tokio::test]
async fn a_killed_nats_server_comes_back_and_no_pipeline_restarts() {
    let (camera, system) = (Camera::start().await, System::start().await);
    let (slug, _) = system.add(json!({ "url": camera.url() })).await;
    let mut viewer = JpegViewer::open(&system, &slug).await;
    viewer.frame_number().await;
    let old = system.process("nats-server").unwrap();
    signal(old.pid, Signal::SIGKILL);
    eventually(
        "nats-server to be back",
        async || system.process("nats-server"),
        |p| p.as_ref().is_some_and(|p| p.pid != old.pid),
    )
    .await;
    viewer.frame_number().await;
    let (other, _) = system.add(json!({ "url": camera.url() })).await;
    JpegViewer::open(&system, &other).await.frame_number().await;
    assert_eq!(camera.sessions().await.1, 2, "one session each, none again");
}

#[tokio::test]
async fn ctrl_c_ends_everything_and_the_next_start_finds_its_data() {
    let dir = tempfile::tempdir().unwrap();
    let camera = Camera::start().await;
    let mut system = System::start_with(Some(dir.path()), &[], &[]).await;
    let (slug, _) = system.add(json!({ "url": camera.url(), "always_on": true })).await;
    system.until_state(&slug, "running").await;
    let family = system.family();
    assert!(family.len() >= 3, "{family:?}");
    let status = system.stop().await;
    assert_eq!(status.code(), Some(0), "{}", system.log.text());
    for process in &family {
        assert!(!alive(process.pid), "{process:?} is left over");
    }
    eventually("no RTSP session", async || camera.sessions().await.0, |playing| *playing == 0).await;

    let system = System::start_with(Some(dir.path()), &[], &[]).await;
    assert_eq!(system.json("/video/").await[0]["slug"], slug.as_str());
    system.until_state(&slug, "running").await;
}

#[tokio::test]
async fn when_rsm_up_is_killed_nothing_is_left_over() {
    let system = System::start().await;
    let family = system.family();
    assert!(family.len() >= 3, "{family:?}");
    signal(system.child.id().unwrap(), Signal::SIGKILL);
    let left = async || family.iter().filter(|p| alive(p.pid)).cloned().collect::<Vec<_>>();
    eventually("every child to end", left, Vec::is_empty).await;
}

#[tokio::test]
async fn that_nobody_reads_the_log_any_more_keeps_no_process_alive() {
    let system = System::start().await;
    system.add(json!({ "url": "rtsp://127.0.0.1:9/x", "always_on": true })).await;
    let family = system.family();
    system.log.close();
    signal(system.child.id().unwrap(), Signal::SIGKILL);
    let left = async || family.iter().filter(|p| alive(p.pid)).cloned().collect::<Vec<_>>();
    eventually("every child to end", left, Vec::is_empty).await;
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let mut system = System::start().await;
    let pid = system.child.id().unwrap();
    // A worker that cannot react keeps the orderly end waiting.
    let worker = system.process("worker").unwrap();
    signal(worker.pid, Signal::SIGSTOP);
    signal(pid, Signal::SIGINT);
    let said = async || system.log.text();
    eventually("the first signal to be seen", said, |log| log.contains("stopping")).await;
    signal(pid, Signal::SIGINT);
    let status = system.child.wait().await.unwrap();
    assert_eq!(status.code(), Some(1));
    signal(worker.pid, Signal::SIGKILL);
}

#[tokio::test]
async fn a_long_absence_of_nats_moves_and_restarts_nothing() {
    let (camera, system) = (Camera::start().await, System::start().await);
    let (slug, _) = system.add(json!({ "url": camera.url(), "always_on": true })).await;
    let epoch = system.until_state(&slug, "running").await["epoch"].clone();
    let nats = system.process("nats-server").unwrap();
    // Stopped, not killed: connections stay open and nothing answers, for longer than a silent worker may live.
    signal(nats.pid, Signal::SIGSTOP);
    let away = async || system.get("/health/ready").await.status();
    eventually("the API to notice", away, |status| *status == 503).await;
    let begun = std::time::Instant::now();
    eventually("twice the time until a worker is taken for dead", async || begun.elapsed().as_secs(), |s| *s >= 8)
        .await;
    signal(nats.pid, Signal::SIGCONT);
    eventually("the API to be ready again", away, |status| *status == 200).await;
    let (other, _) = system.add(json!({ "url": camera.url() })).await;
    JpegViewer::open(&system, &other).await.frame_number().await;
    assert_eq!(system.status(&slug).await["epoch"], epoch);
    assert_eq!(camera.sessions().await.1, 2, "one session each, none again");
}

#[tokio::test]
async fn rsm_up_can_be_started_again_right_after_it_was_killed() {
    let dir = tempfile::tempdir().unwrap();
    let first = System::start_with(Some(dir.path()), &[], &[]).await;
    let (slug, _) = first.add(json!({ "url": "rtsp://127.0.0.1:9/x" })).await;
    signal(first.child.id().unwrap(), Signal::SIGKILL);
    let second = System::start_with(Some(dir.path()), &[], &[]).await;
    assert_eq!(second.json("/video/").await[0]["slug"], slug.as_str());
}

#[tokio::test]
async fn the_last_free_slot_takes_an_always_on_stream_and_a_viewer_does_not_wait_behind_one() {
    let (camera, system) =
        (Camera::start().await, System::start_with(None, &[], &[("RSM__WORKER__CAPACITY", "2")]).await);
    let (first, _) = system.add(json!({ "url": camera.url(), "always_on": true })).await;
    system.until_state(&first, "running").await;
    // The other slot is kept for viewers: this one waits, until it has a viewer.
    let (second, _) = system.add(json!({ "url": camera.url(), "always_on": true })).await;
    JpegViewer::open(&system, &second).await.frame_number().await;
}
