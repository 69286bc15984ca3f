//! Cameras that cannot be watched: each leads to a state and a reason that tell an operator the remedy.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::harness::camera::Camera;
use crate::harness::eventually;
use crate::harness::system::System;

/// Registers an always-on link and waits for a state with a reason.
async fn ends_in(system: &System, body: Value, state: &str, code: &str) -> Value {
    let (slug, _) = system.add(body).await;
    let look = async || system.status(&slug).await;
    let status =
        eventually(&format!("{state} because of {code}"), look, |s| s["state"] == state && s["reason_code"] == code)
            .await;
    let text = status["reason"].as_str().unwrap();
    assert!(text.len() > 20 && text.contains(' '), "a sentence for a person: {text}");
    status
}

#[tokio::test]
async fn a_refused_connection_and_an_unknown_name() {
    let system = System::start().await;
    // A port without a listener: bound and released.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let refused = json!({ "url": format!("rtsp://127.0.0.1:{port}/x"), "always_on": true });
    ends_in(&system, refused, "reconnecting", "refused").await;
    let unknown = json!({ "url": "rtsp://no-such-camera.invalid/x", "always_on": true });
    ends_in(&system, unknown, "reconnecting", "name_not_found").await;
}

#[tokio::test]
async fn a_host_that_never_answers() {
    // A full backlog: the kernel drops connections, as a host that is switched off does.
    let system = System::start_with(None, &[], &[("RSM__CAMERA__CONNECT_TIMEOUT_S", "1")]).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut filling = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(std::time::Duration::from_millis(500), tokio::net::TcpStream::connect(address)).await
    {
        filling.push(stream);
        assert!(filling.len() < 100, "the backlog never fills");
    }
    let link = json!({ "url": format!("rtsp://{address}/x"), "always_on": true });
    ends_in(&system, link, "reconnecting", "unreachable").await;
}

#[tokio::test]
async fn a_wrong_path_and_wrong_credentials() {
    let (open, locked) = (Camera::start().await, Camera::start_with(0, &[], Some("right-s3cret")).await);
    let system = System::start().await;
    let wrong_path = json!({ "url": format!("rtsp://127.0.0.1:{}/nowhere", open.port), "always_on": true });
    ends_in(&system, wrong_path, "failed", "not_found").await;

    let body = json!({ "url": locked.url(), "username": "admin", "password": "wr0ng-s3cret", "always_on": true });
    let status = ends_in(&system, body, "auth_failed", "auth_failed").await;
    assert!(status["reason"].as_str().unwrap().contains("401"), "{status}");
    let none = json!({ "url": locked.url(), "always_on": true });
    ends_in(&system, none, "auth_failed", "auth_failed").await;

    // Corrected credentials are tried at once, not after the pause that protects the account.
    let list = system.json("/video/?q=").await;
    let slug = list.as_array().unwrap().iter().find(|l| l["username"] == "admin").unwrap()["slug"]
        .as_str()
        .unwrap()
        .to_owned();
    let (status, _) =
        system.send(reqwest::Method::PATCH, &format!("/video/{slug}/"), &json!({ "password": "right-s3cret" })).await;
    assert_eq!(status, 200);
    system.until_state(&slug, "running").await;
    assert!(!system.log.text().contains("s3cret"), "no password in a log");
    for path in ["/video/", "/metrics", &format!("/video/{slug}/status")] {
        assert!(!system.get(path).await.text().await.unwrap().contains("s3cret"), "no password in {path}");
    }
}

#[tokio::test]
async fn a_server_that_speaks_no_rtsp() {
    let system = System::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await;
        }
    });
    let link = json!({ "url": format!("rtsp://{address}/x"), "always_on": true });
    ends_in(&system, link, "failed", "not_rtsp").await;
}

#[tokio::test]
async fn a_camera_that_refuses_more_sessions_comes_back_by_itself() {
    let (camera, system) = (Camera::start().await, System::start().await);
    camera.command("refuse cam1").await;
    let link = json!({ "url": camera.url(), "always_on": true, "name": "Busy" });
    let status = ends_in(&system, link, "reconnecting", "busy").await;
    assert!(status["reason"].is_string());
    camera.command("resume cam1").await;
    let slug = system.json("/video/").await[0]["slug"].as_str().unwrap().to_owned();
    system.until_state(&slug, "running").await;
}
