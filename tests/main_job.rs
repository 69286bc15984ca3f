//! The main job: a camera is registered, and watched as JPEG and as HLS.

use std::collections::HashSet;
use std::process::Stdio;

use serde_json::json;

use crate::harness::camera::Camera;
use crate::harness::nats::Nats;
use crate::harness::system::System;
use crate::harness::viewer::{JpegViewer, MediaPlaylist};
use crate::harness::{eventually, within};

#[tokio::test]
async fn two_viewers_one_jpeg_and_one_hls_share_one_camera_session() {
    let (camera, system) = (Camera::start().await, System::start().await);
    let (slug, id) = system.add(json!({ "url": camera.url(), "name": "Front door" })).await;
    assert!(slug.starts_with("front-door-"), "{slug}");

    let mut viewer = JpegViewer::open(&system, &slug).await;
    let asked = system.json(&format!("/video/{slug}/")).await;
    assert_eq!(asked["playlist_url"], format!("/video/play/{id}/"));

    let mut numbers = HashSet::new();
    while numbers.len() < 5 {
        numbers.insert(viewer.frame_number().await);
    }
    let playlist = eventually(
        "three segments",
        async || {
            viewer.next().await;
            MediaPlaylist::fetch(&system, id).await
        },
        |p| p.as_ref().is_some_and(|p| p.segments.len() >= 3),
    )
    .await
    .unwrap();
    assert_eq!(playlist.discontinuities, 0, "{}", playlist.text);
    assert_eq!(playlist.maps.len(), 1, "{}", playlist.text);

    let status = system.status(&slug).await;
    assert_eq!(status["state"], "running", "{status}");
    assert_eq!((&status["video"]["width"], &status["video"]["height"]), (&json!(320), &json!(180)), "{status}");
    assert_eq!(status["viewers"]["mjpeg"], 1, "{status}");
    assert!(status["viewers"]["hls"].as_u64().unwrap() >= 1, "{status}");
    assert_eq!(camera.sessions().await, (1, 1), "one RTSP session for all viewers");
}

#[tokio::test]
async fn an_independent_player_decodes_every_frame_of_the_playlist() {
    let (camera, system) = (Camera::start().await, System::start().await);
    let (_, id) = system.add(json!({ "url": camera.url() })).await;
    let window = async || MediaPlaylist::fetch(&system, id).await;
    let playlist =
        eventually("four segments", window, |p| p.as_ref().is_some_and(|p| p.segments.len() >= 4)).await.unwrap();
    // The window as a file: ffprobe reads the present list, and does not follow the live edge.
    let mut media = Vec::new();
    for part in playlist.maps.iter().chain(&playlist.segments) {
        let answer = system.get(part).await;
        assert!(answer.status().is_success(), "{part}: {}", answer.status());
        media.extend_from_slice(&answer.bytes().await.unwrap());
    }
    let file = system.data_dir().join("window.mp4");
    std::fs::write(&file, media).unwrap();
    let probe = tokio::process::Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-select_streams", "v:0"])
        .args(["-show_entries", "stream=nb_read_frames,codec_name,width", "-of", "json"])
        .arg(&file)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let probe = within("ffprobe", probe).await.unwrap();
    let errors = String::from_utf8_lossy(&probe.stderr);
    assert!(probe.status.success() && errors.is_empty(), "{errors}");
    let found: serde_json::Value = serde_json::from_slice(&probe.stdout).unwrap();
    let stream = &found["streams"][0];
    assert_eq!((&stream["codec_name"], &stream["width"]), (&json!("h264"), &json!(320)));
    // 15 fps and segments of one group of pictures: whole seconds of media.
    let frames: usize = stream["nb_read_frames"].as_str().unwrap().parse().unwrap();
    assert_eq!(frames, playlist.segments.len() * 15, "{}", playlist.text);
}

#[tokio::test]
async fn after_the_last_viewer_left_nothing_of_the_stream_is_left() {
    let (camera, nats) = (Camera::start().await, Nats::start().await);
    let system = System::start_with(None, &["--nats", &nats.url], &[]).await;
    let (slug, id) = system.add(json!({ "url": camera.url() })).await;
    let mut viewer = JpegViewer::open(&system, &slug).await;
    viewer.frame_number().await;
    let played = async || MediaPlaylist::fetch(&system, id).await;
    eventually("a playlist", played, Option::is_some).await;
    assert_eq!(nats.count("KV_RSM_CLAIMS", ">").await, 1);
    drop(viewer);

    system.until_state(&slug, "idle").await;
    eventually("no RTSP session", async || camera.sessions().await.0, |playing| *playing == 0).await;
    eventually("no claim", async || nats.count("KV_RSM_CLAIMS", ">").await, |claims| *claims == 0).await;
    assert_eq!(nats.count("RSM_CMD", ">").await, 0, "no ticket");
    let files = async || std::fs::read_dir(system.data_dir().join("hls")).unwrap().count();
    eventually("no segments", files, |dirs| *dirs == 0).await;

    let mut again = JpegViewer::open(&system, &slug).await;
    again.frame_number().await;
}

#[tokio::test]
async fn a_stream_that_nobody_watches_does_not_open_its_camera() {
    let (camera, system) = (Camera::start().await, System::start().await);
    let (slug, _) = system.add(json!({ "url": camera.url() })).await;
    let (other, _) = system.add(json!({ "url": camera.url(), "always_on": true })).await;
    // The always-on one shows that commands do arrive.
    system.until_state(&other, "running").await;
    assert_eq!(system.status(&slug).await["state"], "idle");
    assert_eq!(camera.sessions().await, (1, 1));
}

#[tokio::test]
async fn a_snapshot_of_an_idle_stream_is_one_jpeg_of_the_size_asked_for() {
    let (camera, system) = (Camera::start().await, System::start().await);
    let (slug, _) = system.add(json!({ "url": camera.url() })).await;
    for (query, size) in [("", (320, 180)), ("?width=160", (160, 90)), ("?width=2000", (320, 180))] {
        let ask = async || system.get(&format!("/video/{slug}/snapshot.jpg{query}")).await;
        // A camera that takes longer to start than a request is held is asked again.
        let answer = eventually("a snapshot", ask, |answer| answer.status() != 503).await;
        assert_eq!(answer.status(), 200, "{query}");
        assert_eq!(answer.headers()["content-type"], "image/jpeg");
        let picture = image::load_from_memory(&answer.bytes().await.unwrap()).unwrap();
        assert_eq!((picture.width(), picture.height()), size, "{query}");
    }
}

#[tokio::test]
async fn links_are_changed_stopped_started_and_removed_while_watched() {
    let (camera, system) = (Camera::start_with(0, &["--count", "2"], None).await, System::start().await);
    let (slug, _) = system.add(json!({ "url": camera.urls[0], "name": "Gate" })).await;
    let path = format!("/video/{slug}/");
    let mut viewer = JpegViewer::open(&system, &slug).await;
    viewer.frame_number().await;

    // The shown values, sent back, change nothing: the session continues.
    let shown = system.json("/video/").await[0].clone();
    let (status, _) = system.send(reqwest::Method::PATCH, &path, &shown).await;
    assert_eq!(status, 200);
    let (status, _) = system.send(reqwest::Method::PATCH, &path, &json!({ "name": "North gate" })).await;
    assert_eq!(status, 200);
    viewer.frame_number().await;
    assert_eq!(camera.sessions().await, (1, 1), "a new name restarts nothing");

    // Another address: the same socket shows the other camera.
    let (status, _) = system.send(reqwest::Method::PATCH, &path, &json!({ "url": camera.urls[1] })).await;
    assert_eq!(status, 200);
    let moved = async || {
        viewer.next().await;
        camera.command("status").await["cameras"].clone()
    };
    eventually("the second camera to play", moved, |c| c[0]["playing"] == 0 && c[1]["playing"] == 1).await;
    viewer.frame_number().await;

    let (status, _) = system.send(reqwest::Method::POST, &format!("{path}stop"), &json!({})).await;
    assert_eq!(status, 202);
    while viewer.next().await.is_some() {}
    assert_eq!(JpegViewer::refusal(&system, &slug).await, 409);
    assert_eq!(system.get(&path).await.status(), 409);
    system.until_state(&slug, "stopped").await;

    let (status, _) = system.send(reqwest::Method::POST, &format!("{path}start"), &json!({})).await;
    assert_eq!(status, 202);
    JpegViewer::open(&system, &slug).await.frame_number().await;

    assert_eq!(system.http.delete(system.url(&path)).send().await.unwrap().status(), 204);
    assert_eq!(system.get(&path).await.status(), 404);
    assert_eq!(JpegViewer::refusal(&system, &slug).await, 404);
    let playing = async || camera.command("status").await["cameras"][1]["playing"].clone();
    eventually("the camera to be left alone", playing, |n| *n == 0).await;
}

#[tokio::test]
async fn the_old_front_end_finds_its_contract() {
    let system = System::start().await;
    let (status, answer) = system.send(reqwest::Method::POST, "/video/", &json!({})).await;
    assert_eq!((status.as_u16(), &answer["error"]), (400, &json!("URL is not provided")));
    let (_, answer) =
        system.send(reqwest::Method::POST, "/video", &json!({ "url": "rtsp://u:s3cret@127.0.0.1:9/x" })).await;
    assert_eq!(answer["message"], "Stream saved");
    let list = system.json("/video").await;
    let link = &list.as_array().unwrap()[0];
    assert_eq!(link["url"], "rtsp://u:***@127.0.0.1:9/x");
    for member in ["id", "slug", "name", "created", "state"] {
        assert!(!link[member].is_null(), "{member} in {link}");
    }
    assert!(!list.to_string().contains("s3cret"));

    let hello = format!("{}/ws/hellostream/", system.base.replace("http://", "ws://"));
    let (mut socket, _) = within("a WebSocket", tokio_tungstenite::connect_async(hello)).await.unwrap();
    let message = within("a message", futures_util::StreamExt::next(&mut socket)).await.unwrap().unwrap();
    assert_eq!(message.to_text().unwrap(), "Hello, world!");
}
