//! Malformed requests: each gets its 4xx and a sentence, and nothing is lost.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::eventually;
use crate::harness::system::System;
use crate::harness::viewer::JpegViewer;

async fn check(system: &System, method: Method, path: &str, content_type: &str, body: &str, want: u16, word: &str) {
    let request = system.http.request(method.clone(), system.url(path)).header("content-type", content_type);
    let answer = request.body(body.to_owned()).send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let text = answer.text().await.unwrap();
    let what = format!("{method} {path} {}: {status} {text}", body.chars().take(80).collect::<String>());
    assert_eq!(status, want, "{what}");
    assert_eq!(headers["content-type"], "application/problem+json", "{what}");
    let problem: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(problem["status"], want, "{what}");
    let error = problem["error"].as_str().unwrap();
    assert!(error.to_lowercase().contains(word), "{what}: should name {word}");
    assert!(!text.contains("SELECT") && !text.contains(".rs") && !text.contains("hunter2"), "{what}");
}

#[tokio::test]
async fn every_malformed_request_gets_its_answer() {
    let system = System::start().await;
    let (slug, id) = system.add(json!({ "url": "rtsp://admin:hunter2@127.0.0.1:9/keep" })).await;
    let before = system.json("/video/").await;
    let long = format!(r#"{{"url": "rtsp://h/{}"}}"#, "a".repeat(2048));
    let huge = format!(r#"{{"url": "rtsp://h/x", "name": "{}"}}"#, "a".repeat(70_000));
    let (video, one, json) = ("/video/", &format!("/video/{slug}/"), "application/json");
    for (method, path, content_type, body, want, word) in [
        (Method::POST, video, json, "{}", 400, "url is not provided"),
        (Method::POST, video, json, "{", 400, "json"),
        (Method::POST, video, json, "[]", 422, "object"),
        (Method::POST, video, "text/plain", "rtsp://h/x", 415, "json"),
        (Method::POST, video, "application/x-www-form-urlencoded", "url=rtsp%3A%2F%2Fh", 415, "json"),
        (Method::POST, video, json, &huge, 413, "large"),
        (Method::POST, video, json, &long, 422, "2048"),
        (Method::POST, video, json, r#"{"url": 5}"#, 422, "url"),
        (Method::POST, video, json, r#"{"url": "http://h/x"}"#, 422, "rtsp"),
        (Method::POST, video, json, r#"{"url": "file:///etc/passwd"}"#, 422, "rtsp"),
        (Method::POST, video, json, r#"{"url": "rtsp:///x"}"#, 422, "host"),
        (Method::POST, video, json, r#"{"url": "rtsp://h/ ! filesink location=x"}"#, 422, "spaces"),
        (Method::POST, video, json, r#"{"url": "rtsp://h/x", "name": ""}"#, 422, "name"),
        (Method::POST, video, json, r#"{"url": "rtsp://h/x", "always_on": "yes"}"#, 422, "always_on"),
        (Method::POST, video, json, r#"{"url": "rtsp://h/x", "transport": "pigeon"}"#, 422, "transport"),
        (Method::POST, video, json, r#"{"url": "rtsp://h/x", "mjpeg": {"max_fps": 0}}"#, 422, "max_fps"),
        (Method::POST, video, json, r#"{"url": "rtsp://h/x", "hls": {"segment_seconds": 99}}"#, 422, "segment_seconds"),
        (Method::POST, video, json, r#"{"url": "rtsp://h/x", "colour": "red"}"#, 422, "colour"),
        (Method::POST, video, json, r#"{"url": "rtsp://h/x", "password": "***"}"#, 422, "password"),
        (Method::PUT, video, json, "{}", 405, "allow"),
        (Method::PATCH, one, json, r#"{"url": "gopher://x"}"#, 422, "rtsp"),
        (Method::PATCH, one, json, "nonsense", 400, "json"),
        (Method::PATCH, "/video/no-such-camera/", json, "{}", 404, "no camera"),
        (Method::DELETE, "/video/no-such-camera/", json, "", 404, "no camera"),
        (Method::GET, "/video/no-such-camera/", json, "", 404, "no camera"),
        (Method::GET, "/video/no-such-camera/status", json, "", 404, "no camera"),
        (Method::GET, "/video/no-such-camera/snapshot.jpg", json, "", 404, "no camera"),
        (Method::GET, "/video/?limit=many", json, "", 422, "limit"),
        (Method::GET, "/video/?state=asleep", json, "", 422, "state"),
        (Method::GET, &format!("/video/{slug}/snapshot.jpg?width=1"), json, "", 422, "width"),
        (Method::GET, "/video/play/999/", json, "", 404, ""),
        (Method::GET, "/video/play/abc/", json, "", 404, ""),
        (Method::GET, &format!("/video/play/{id}/1-1/source/nothing.m4s"), json, "", 404, ""),
        (Method::GET, &format!("/video/play/{id}/..%2f..%2frsm.sqlite3"), json, "", 404, ""),
        (Method::GET, &format!("/video/play/{id}/1-1/source/..%2f..%2f..%2f..%2frsm.sqlite3"), json, "", 404, ""),
        (Method::POST, &format!("/video/{slug}/fly"), json, "{}", 404, ""),
        (Method::GET, "/nothing/here", json, "", 404, ""),
    ] {
        check(&system, method, path, content_type, body, want, word).await;
    }
    let put = system.http.put(system.url(video)).send().await.unwrap();
    let allowed = put.headers()["allow"].to_str().unwrap().to_owned();
    assert!(allowed.contains("GET") && allowed.contains("POST") && !allowed.contains("PUT"), "{allowed}");
    let settled = |mut list: Value| {
        for link in list.as_array_mut().unwrap() {
            // Members that change by themselves.
            for member in ["state", "since", "viewers", "reason", "reason_code"] {
                link.as_object_mut().unwrap().remove(member);
            }
        }
        list
    };
    assert_eq!(settled(system.json("/video/").await), settled(before), "nothing was lost or changed");
    assert_eq!(JpegViewer::refusal(&system, "no-such-camera").await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn other_origins_may_not_change_anything() {
    let system = System::start().await;
    let port = system.base.rsplit(':').next().unwrap();
    let evil_host = "http://evil.example".to_owned();
    for (origin, want) in [
        (system.base.clone(), 201),
        (format!("http://localhost:{port}"), 201),
        ("http://127.0.0.1:3000".to_owned(), 201),
        (evil_host, 403),
        ("null".to_owned(), 403),
        ("http://127.0.0.1.evil.example".to_owned(), 403),
    ] {
        let request =
            system.http.post(system.url("/video/")).header("origin", &origin).json(&json!({ "url": "rtsp://h/x" }));
        assert_eq!(request.send().await.unwrap().status(), want, "{origin}");
    }
}

#[tokio::test]
async fn the_document_of_the_api_is_complete_and_the_health_is_told() {
    let system = System::start().await;
    let document = system.json("/openapi.json").await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    let paths = document["paths"].as_object().unwrap();
    let has = |path: &str, method: &str| {
        paths
            .iter()
            .any(|(p, item)| p.trim_end_matches('/') == path.trim_end_matches('/') && item.get(method).is_some())
    };
    for (path, method) in [
        ("/video/", "get"),
        ("/video/", "post"),
        ("/video/{slug}/", "get"),
        ("/video/{slug}/", "patch"),
        ("/video/{slug}/", "delete"),
        ("/video/{slug}/start", "post"),
        ("/video/{slug}/stop", "post"),
        ("/video/{slug}/status", "get"),
        ("/video/{slug}/snapshot.jpg", "get"),
        ("/video/play/{id}/", "get"),
        ("/ws/stream/{slug}/", "get"),
        ("/ws/hellostream/", "get"),
        ("/health/live", "get"),
        ("/health/ready", "get"),
        ("/metrics", "get"),
    ] {
        assert!(has(path, method), "{method} {path} is missing in {:?}", paths.keys());
    }
    let docs = system.get("/docs/").await.text().await.unwrap();
    assert!(!docs.contains("https://") && !docs.contains("src=\"//"), "no file from outside: {docs}");
    assert_eq!(system.json("/health/live").await["live"], true);
    assert_eq!(system.json("/health/ready").await["ready"], true);
    let metrics = system.get("/metrics").await.text().await.unwrap();
    for name in ["rsm_streams", "rsm_nats_connected 1", "rsm_build_info", "rsm_http_requests_total", "rsm_viewers"] {
        assert!(metrics.contains(name), "{name} is missing in\n{metrics}");
    }
    let listed = async || system.json("/metrics/targets").await;
    let worker_of = |targets: &Value| {
        let of_worker = |target: &&Value| target["labels"]["role"] == "worker";
        targets
            .as_array()
            .unwrap()
            .iter()
            .find(of_worker)
            .map(|target| target["targets"][0].as_str().unwrap().to_owned())
    };
    let targets = eventually("the worker to be listed", listed, |targets| worker_of(targets).is_some()).await;
    let worker = worker_of(&targets).unwrap();
    let metrics = system.http.get(format!("http://{worker}/metrics")).send().await.unwrap().text().await.unwrap();
    for name in ["rsm_claims", "rsm_worker_capacity", "rsm_nats_connected 1", "rsm_hls_disk_bytes"] {
        assert!(metrics.contains(name), "{name} is missing in\n{metrics}");
    }
}
