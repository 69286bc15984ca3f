//! Cameras before they are saved: tried against a real one, and registered from a list.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::camera::Camera;
use crate::harness::eventually;
use crate::harness::process::signal;
use crate::harness::system::System;

const PASSWORD: &str = "right-s3cret";

async fn tried(system: &System, path: &str, body: Value) -> Value {
    // A worker that has just started may not listen yet.
    let ask = async || system.send(Method::POST, path, &body).await;
    let not_yet = |(status, _): &(StatusCode, Value)| *status != StatusCode::SERVICE_UNAVAILABLE;
    let (status, answer) = eventually("a worker to look", ask, not_yet).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert!(answer["took_ms"].is_u64() && answer["worker"].is_string(), "{answer}");
    answer
}

fn refused(answer: &Value, state: &str, code: &str) {
    assert_eq!((&answer["ok"], &answer["picture"]), (&json!(false), &Value::Null), "{answer}");
    assert_eq!((&answer["state"], &answer["reason"]["code"]), (&json!(state), &json!(code)), "{answer}");
    let text = answer["reason"]["text"].as_str().unwrap();
    assert!(text.len() > 20 && text.contains(' '), "a sentence for a person: {text}");
}

#[tokio::test]
async fn a_camera_is_tried_before_it_is_saved_and_says_what_is_wrong() {
    let flags = ["--width", "1280", "--height", "720", "--audio", "aac"];
    let (camera, system) = (Camera::start_with(0, &flags, Some(PASSWORD)).await, System::start().await);
    let link = |password: &str| json!({ "url": camera.url(), "username": "admin", "password": password });
    let answer = tried(&system, "/video/test", link(PASSWORD)).await;
    assert_eq!((&answer["ok"], &answer["state"]), (&json!(true), &json!("running")), "{answer}");
    assert_eq!((&answer["video"]["codec"], &answer["video"]["width"]), (&json!("h264"), &json!(1280)), "{answer}");
    assert_eq!(answer["audio"]["codec"], "aac", "{answer}");
    let picture = answer["picture"].as_str().unwrap().strip_prefix("data:image/jpeg;base64,").expect("a data URL");
    assert!(picture.len() > 1000 && picture.starts_with("/9j/"), "a JPEG, by its first bytes: {picture:.40}");

    refused(&tried(&system, "/video/test", link("wr0ng-s3cret")).await, "auth_failed", "auth_failed");
    // A port without a listener: bound and released.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let dead = json!({ "url": format!("rtsp://127.0.0.1:{port}/x") });
    refused(&tried(&system, "/video/test", dead).await, "reconnecting", "refused");
    let (status, answer) = system.send(Method::POST, "/video/test", &json!({ "url": "http://127.0.0.1/x" })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");

    assert_eq!(system.json("/video/").await, json!([]), "nothing is saved");
    eventually("no RTSP session", async || camera.sessions().await.0, |playing| *playing == 0).await;
    let log = system.log.text();
    assert!(!log.contains("s3cret"), "a password is in the log:\n{log}");
}

#[tokio::test]
async fn a_change_is_tried_with_the_stored_password_and_saves_nothing() {
    let (camera, system) = (Camera::start_with(0, &[], Some(PASSWORD)).await, System::start().await);
    let link = json!({ "url": camera.url(), "username": "admin", "password": PASSWORD });
    let (slug, _) = system.add(link).await;
    let path = format!("/video/{slug}/test");
    let shown = system.json("/video/").await[0].clone();
    let places =
        [json!({}), json!({ "password": "***" }), json!({ "url": shown["url"] }), json!({ "transport": "tcp" })];
    for change in places {
        let answer = tried(&system, &path, change.clone()).await;
        assert_eq!(answer["ok"], true, "{change}: {answer}");
        assert!(!answer.to_string().contains("s3cret"), "{answer}");
    }
    refused(&tried(&system, &path, json!({ "password": "wr0ng-s3cret" })).await, "auth_failed", "auth_failed");
    refused(
        &tried(&system, &path, json!({ "url": format!("rtsp://127.0.0.1:{}/nowhere", camera.port) })).await,
        "failed",
        "not_found",
    );
    assert_eq!(system.json("/video/").await[0]["url"], shown["url"], "nothing is saved");
    let (status, _) = system.send(Method::POST, "/video/no-such-camera/test", &json!({})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn nobody_to_look_is_said_and_to_try_again() {
    let system = System::start_with(None, &["--workers", "1"], &[("RSM__WORKER__ZONES", "attic")]).await;
    let answer = system
        .http
        .post(system.url("/video/test"))
        .json(&json!({ "url": "rtsp://127.0.0.1:9/x" }))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
}

async fn import(system: &System, query: &str, list: &str) -> (StatusCode, Value) {
    let request = system.http.post(system.url(&format!("/video/import{query}")));
    let answer = request.header("Content-Type", "text/csv").body(list.to_owned()).send().await.unwrap();
    let status = answer.status();
    (status, answer.json().await.unwrap_or(Value::Null))
}

#[tokio::test]
async fn a_list_is_tried_registered_as_a_whole_or_as_far_as_it_goes() {
    let (camera, system) = (Camera::start_with(0, &[], Some(PASSWORD)).await, System::start().await);
    let url = camera.url();
    let good = format!("name,url,username,password,always_on\nYard,{url},admin,{PASSWORD},true\n");
    let bad = format!("{good}\"Gate, back\",http://127.0.0.1/x,,,\nHall,{url}?2,,,\n");

    let (status, tried) = import(&system, "?dry_run=1", &bad).await;
    assert_eq!(status, StatusCode::OK, "{tried}");
    let counts = |answer: &Value| ["valid", "invalid", "created"].map(|name| answer[name].as_u64().unwrap());
    assert_eq!((&tried["dry_run"], counts(&tried)), (&json!(true), [2, 1, 0]), "{tried}");
    let row = &tried["rows"][1];
    assert_eq!((&row["line"], &row["ok"], &row["error"]["field"]), (&json!(3), &json!(false), &json!("url")), "{row}");
    assert!(!tried.to_string().contains(PASSWORD), "{tried}");
    let (status, refused) = import(&system, "", &bad).await;
    assert_eq!((status, counts(&refused)), (StatusCode::UNPROCESSABLE_ENTITY, [2, 1, 0]), "{refused}");
    assert_eq!(system.json("/video/").await, json!([]), "all or nothing");

    let (status, done) = import(&system, "", &good).await;
    assert_eq!((status, counts(&done)), (StatusCode::OK, [1, 0, 1]), "{done}");
    let slug = done["rows"][0]["slug"].as_str().expect("a slug").to_owned();
    // It runs with the password of the list.
    system.until_state(&slug, "running").await;
    let (status, done) = import(&system, "?skip_invalid=1", &bad).await;
    assert_eq!((status, counts(&done)), (StatusCode::OK, [2, 1, 2]), "{done}");
    assert!(done["rows"][0]["warning"].is_string(), "the same address again: {done}");
    assert_eq!(system.json("/video/").await.as_array().unwrap().len(), 3);

    // All of it is there after a crash.
    let old = system.process("api").unwrap();
    signal(old.pid, nix::sys::signal::Signal::SIGKILL);
    let list = async || {
        let answer = system.http.get(system.url("/video/")).send().await.ok()?;
        Some(answer.json::<Value>().await.ok()?.as_array()?.len())
    };
    eventually("the list after a restart of the API", list, |cameras| *cameras == Some(3)).await;
    let log = system.log.text();
    assert!(!log.contains("s3cret"), "a password is in the log:\n{log}");
}
