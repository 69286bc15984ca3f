//! Server-sent events of the built binary: their contents and order for a page that follows them.

use nix::sys::signal::Signal;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::camera::Camera;
use crate::harness::nats::Nats;
use crate::harness::process::signal;
use crate::harness::service::Service;
use crate::harness::sse::{Events, SseEvent};
use crate::harness::system::System;
use crate::harness::viewer::JpegViewer;

fn resync() -> SseEvent {
    SseEvent { name: "resync".into(), data: json!({}) }
}

fn of(slug: &str) -> impl Fn(&SseEvent) -> bool {
    move |event| event.name == "stream" && event.data["slug"] == slug
}

#[tokio::test]
async fn a_camera_that_dies_and_returns_is_told_of_and_so_are_its_changes() {
    let (camera, system) = (Camera::start().await, System::start().await);
    let mut events = Events::open(&system.base, "").await;
    assert_eq!(events.next().await, Some(resync()), "get the list now");
    let (slug, id) = system.add(json!({ "url": camera.url(), "name": "Yard", "always_on": true })).await;
    let added = events.until("the camera is added", of(&slug)).await;
    assert_eq!((&added.data["id"], &added.data["name"]), (&json!(id), &json!("Yard")));
    let running = events.until_state(&slug, "running").await;
    assert_eq!(running.data, system.json("/video/").await[0], "an item of the list");

    let port = camera.port;
    camera.kill().await;
    let lost = events.until_state(&slug, "reconnecting").await;
    assert!(lost.data["reason"].as_str().is_some_and(|reason| reason.contains(' ')), "for a person: {lost:?}");
    let _camera = Camera::start_with(port, &[], None).await;
    events.until_state(&slug, "running").await;

    let place = format!("/video/{slug}/");
    assert_eq!(system.send(Method::PATCH, &place, &json!({ "name": "Gate" })).await.0, StatusCode::OK);
    events.until("the new name", |event| of(&slug)(event) && event.data["name"] == "Gate").await;
    assert_eq!(system.send(Method::DELETE, &place, &Value::Null).await.0, StatusCode::NO_CONTENT);
    let removed = events.until("the removal", |event| event.name == "removed").await;
    assert_eq!(removed.data, json!({ "id": id, "slug": slug }));
}

#[tokio::test]
async fn who_comes_back_is_told_what_was_missed_and_to_begin_anew_when_nobody_knows() {
    let system = System::start().await;
    let link = |name: &str| json!({ "url": "rtsp://127.0.0.1:9/x", "name": name });
    let mut events = Events::open(&system.base, "").await;
    assert_eq!(events.next().await, Some(resync()));
    let (first, _) = system.add(link("First")).await;
    events.until("the first camera", of(&first)).await;
    let mark = events.mark.clone().expect("an id");
    drop(events);

    let (second, _) = system.add(link("Second")).await;
    let mut events = Events::open_behind(&system.base, "", Some(&mark)).await;
    let missed = events.next().await.unwrap();
    assert!(of(&second)(&missed), "what was missed, and no resync: {missed:?}");
    let mark = events.mark.clone().expect("an id");

    let old = system.process("api").unwrap();
    signal(old.pid, Signal::SIGKILL);
    while events.next().await.is_some() {}
    // The address stays; new connections wait for the new process.
    let mut events = Events::open_behind(&system.base, "", Some(&mark)).await;
    assert_eq!(events.next().await, Some(resync()), "another process does not know what this one saw");
    let (third, _) = system.add(link("Third")).await;
    events.until("the third camera", of(&third)).await;
}

#[tokio::test]
async fn who_follows_a_few_cameras_is_told_of_those_and_of_their_ages() {
    let (camera, system) = (Camera::start().await, System::start().await);
    let (wanted, _) = system.add(json!({ "url": camera.url(), "always_on": true })).await;
    let (other, _) = system.add(json!({ "url": "rtsp://127.0.0.1:9/x" })).await;
    let mut events = Events::open(&system.base, &format!("?slug={wanted}&ages=1")).await;
    assert_eq!(events.next().await, Some(resync()));
    for slug in [&other, &wanted] {
        let renamed = json!({ "name": format!("Now {slug}") });
        assert_eq!(system.send(Method::PATCH, &format!("/video/{slug}/"), &renamed).await.0, StatusCode::OK);
    }
    let told = events
        .until("the second of two changes", |event| {
            assert_ne!(event.data["slug"], other.as_str(), "nobody asked for this one");
            of(&wanted)(event) && event.data["name"] == format!("Now {wanted}")
        })
        .await;
    assert_eq!(told.data["slug"], wanted.as_str());
    let ages = events.until("an age", |event| event.name == "ages" && event.data["ages"][&wanted].is_u64()).await;
    assert_eq!(ages.data["ages"].as_object().unwrap().len(), 1, "{ages:?}");
    for query in ["?slug=", "?slug=NO", "?ages=0", "?ages=61"] {
        let status = system.get(&format!("/video/events{query}")).await.status();
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
    }
}

#[tokio::test]
async fn the_end_of_the_server_is_told_before_it_comes() {
    let mut system = System::start().await;
    let mut events = Events::open(&system.base, "").await;
    assert_eq!(events.next().await, Some(resync()));
    let told = async {
        let closing = events.until("the end", |event| event.name == "closing").await;
        assert!(closing.data["in_ms"].is_u64(), "{closing:?}");
        assert_eq!(events.next().await, None, "nothing comes after it");
    };
    let (status, ()) = tokio::join!(system.stop(), told);
    assert!(status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_tells_what_the_api_and_the_workers_change() {
    let (nats, camera, dir) = (Nats::start().await, Camera::start().await, tempfile::tempdir().unwrap());
    let environment = [("RSM__NATS__URLS", nats.url.clone())];
    let api = Service::api(&dir.path().join("api"), &environment).await;
    let _worker = Service::worker("w1", &dir.path().join("w1"), &environment).await;
    let relay = Service::relay(&dir.path().join("relay"), &environment).await;
    relay.until_ready().await;
    let mut events = Events::open(&relay.base, "").await;
    assert_eq!(events.next().await, Some(resync()));
    let slug = api.add(&json!({ "url": camera.url(), "name": "Yard", "password": "s3cret-pw", "username": "u" })).await;
    let added = events.until("the camera is added", of(&slug)).await;
    assert!(added.data.get("url").is_none() && !added.data.to_string().contains("s3cret-pw"), "{added:?}");
    let mut viewer = JpegViewer::try_open_at(&relay.base, &slug).await.unwrap();
    viewer.next().await.expect("a frame");
    events.until_state(&slug, "running").await;
    let removal = api.http.delete(format!("{}/video/{slug}/", api.base)).send().await.unwrap();
    assert_eq!(removal.status(), StatusCode::NO_CONTENT);
    let removed = events.until("the removal", |event| event.name == "removed").await;
    assert_eq!(removed.data["slug"], slug.as_str());
}
