//! Log lines: machines can read them, a failure is logged once and so is its end, and a credential never.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::harness::camera::Camera;
use crate::harness::process::{Found, rsm, signal, spawn};
use crate::harness::system::System;
use crate::harness::{eventually, within};

/// Odd in every way that an address, a header, JSON and a shell know, and found again by any of its parts.
const PASSWORD: &str = "s3cret@:/?#[]&% \u{fc}\"\\'s3cret";
const WRONG: &str = "wr0ng,s3cret: \"{}\"";
/// Texts that no line may hold.
const SECRETS: [&str; 3] = ["s3cret", "S3CRET", "czNjcmV0"];

/// The lines so far, each of which must be JSON with the fields of every line.
fn lines(system: &System) -> Vec<Value> {
    let text = system.log.text();
    let parsed = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line:?}"));
        for key in ["time", "level", "role", "part", "target", "message"] {
            assert!(value[key].is_string(), "no {key} in {line}");
        }
        assert!(value["role"] != "worker" || value["worker"].is_string(), "no worker in {line}");
        assert!(value.as_object().unwrap().values().all(|v| !v.is_object() && !v.is_array()), "not flat: {line}");
        value
    };
    text.lines().map(parsed).collect()
}

fn said<'a>(lines: &'a [Value], message: &str, stream: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["message"] == message && line["stream"] == stream).collect()
}

async fn system(filter: &str) -> System {
    let environment = [("RSM_LOG", filter), ("RSM__CAMERA__BACKOFF_MAX_S", "1")];
    System::start_with(None, &["--log-format", "json", "--workers", "2"], &environment).await
}

/// The nats-server of `rsm up`.
fn nats(system: &System) -> Found {
    let found = system.family().into_iter().find(|child| child.command_line.contains("nats-server"));
    found.expect("nats-server to run")
}

/// The password that `rsm up` made for NATS.
fn nats_password(system: &System) -> String {
    let worker = system.family().into_iter().find(|child| child.command_line.contains(" worker ")).unwrap();
    let environment = std::fs::read(format!("/proc/{}/environ", worker.pid)).unwrap();
    let environment = String::from_utf8_lossy(&environment).into_owned();
    environment.split('\0').find_map(|pair| pair.strip_prefix("RSM__NATS__PASSWORD=")).unwrap().to_owned()
}

/// NATS is killed; `rsm up` starts it again. Waits until everybody has said so.
async fn nats_goes_and_comes(system: &System) {
    signal(nats(system).pid, Signal::SIGKILL);
    let connections = |message: &str| -> BTreeSet<String> {
        let of = |line: &Value| format!("{} {} {}", line["role"], line["worker"], line["connection"]);
        lines(system).iter().filter(|line| line["message"] == message).map(of).collect()
    };
    let lost = "the connection to NATS is lost, trying again";
    let look = async || (connections(lost), connections("connected to NATS again"));
    eventually("every connection to be back", look, |(lost, back)| lost.len() >= 4 && lost == back).await;
}

fn no_secret(system: &System, more: &str) {
    let text = system.log.text();
    for secret in SECRETS.into_iter().chain([more]) {
        let line = text.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret:?} is in {line:?}");
    }
}

#[tokio::test]
async fn a_failure_is_told_once_then_counted_and_its_end_is_told() {
    let camera = Camera::start().await;
    let locked = Camera::start_with(0, &["--auth", "digest"], Some(PASSWORD)).await;
    let system = system("info").await;
    let (dead, _) = system.add(json!({ "url": camera.url(), "always_on": true })).await;
    system.until_state(&dead, "running").await;
    let login = json!({ "url": locked.url(), "username": "admin", "password": WRONG, "always_on": true });
    let (wrong, _) = system.add(login).await;
    system.until_state(&wrong, "auth_failed").await;

    let port = camera.port;
    camera.kill().await;
    let restarts = async || system.json(&format!("/video/{dead}/status")).await["restarts"].as_u64();
    eventually("several tries", restarts, |restarts| restarts.is_some_and(|n| n >= 5)).await;
    let seen = lines(&system);
    let first = said(&seen, "no pictures from the camera", &dead);
    assert_eq!(first.len(), 1, "{first:#?}");
    for key in ["fence", "reason", "error", "worker", "state"] {
        assert!(first[0][key].is_string(), "no {key} in {}", first[0]);
    }
    // Another reason is told at once; the same one is not told again within a minute.
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for line in first.iter().chain(&said(&seen, "still no pictures from the camera", &dead)) {
        *reasons.entry(line["reason"].to_string()).or_default() += 1;
    }
    assert!(reasons.values().all(|times| *times == 1), "{reasons:?}");
    assert_eq!(said(&seen, "pictures from the camera again", &dead).len(), 0);

    let camera = Camera::start_with(port, &[], None).await;
    system.until_state(&dead, "running").await;
    let back = async || said(&lines(&system), "pictures from the camera again", &dead).into_iter().cloned().collect();
    let back: Vec<Value> = eventually("the end to be told", back, |back: &Vec<Value>| !back.is_empty()).await;
    assert!(back[0]["tries"].as_u64() >= Some(5) && back[0]["away_s"].is_u64(), "{back:?}");

    nats_goes_and_comes(&system).await;
    let seen = lines(&system);
    assert_eq!(said(&seen, "no pictures from the camera", &wrong).len(), 1);
    let again: Vec<_> = seen.iter().filter(|line| line["message"] == "connected to NATS again").collect();
    assert!(again.iter().all(|line| line["away_s"].is_u64() && line["tries"].is_u64()), "{again:#?}");
    let roles: BTreeSet<_> = seen.iter().map(|line| line["role"].as_str().unwrap()).collect();
    assert_eq!(roles, BTreeSet::from(["api", "up", "worker"]));
    no_secret(&system, &nats_password(&system));
    drop(camera);
}

#[tokio::test]
async fn whatever_is_asked_for_no_credential_is_in_a_line() {
    let basic = Camera::start_with(0, &["--auth", "basic"], Some(PASSWORD)).await;
    let digest = Camera::start_with(0, &["--auth", "digest"], Some(PASSWORD)).await;
    let system = system("trace,nats=trace,source=trace,http=trace,gstreamer=debug").await;
    for (camera, transport) in [(&basic, "udp"), (&digest, "udp"), (&basic, "tcp"), (&digest, "tcp")] {
        for password in [PASSWORD, WRONG] {
            let link = json!({
                "url": camera.url(), "username": "admin", "password": password,
                "transport": transport, "always_on": true,
            });
            let (slug, _) = system.add(link).await;
            let state = if password == PASSWORD { "running" } else { "auth_failed" };
            system.until_state(&slug, state).await;
        }
    }
    nats_goes_and_comes(&system).await;
    let seen = lines(&system);
    let targets: BTreeSet<_> = seen.iter().filter_map(|line| line["target"].as_str()).collect();
    for library in ["gstreamer", "async_nats"] {
        assert!(targets.iter().any(|target| target.starts_with(library)), "nothing of {library} in {targets:?}");
    }
    assert!(system.log.text().contains("***"), "nothing was masked, so nothing was tried");
    no_secret(&system, &nats_password(&system));
}

#[tokio::test]
async fn lines_are_chosen_by_part() {
    let camera = Camera::start().await;
    let system = system("off,control=info").await;
    let (slug, _) = system.add(json!({ "url": camera.url(), "always_on": true })).await;
    system.until_state(&slug, "running").await;
    let claimed = async || said(&lines(&system), "claimed", &slug).len();
    eventually("the claim to be told", claimed, |claimed| *claimed > 0).await;
    let parts: BTreeSet<String> = lines(&system).iter().map(|line| line["part"].to_string()).collect();
    assert_eq!(parts, BTreeSet::from(["\"control\"".to_owned()]));
}

#[tokio::test]
async fn a_filter_that_cannot_be_read_ends_the_process_with_the_key() {
    for (filter, word) in [("info,pipline=debug", "pipline"), ("loud", "loud"), ("hls=", "level")] {
        let mut command = Command::new(rsm());
        command.args(["config", "check"]).env("RSM_LOG", filter);
        let child = spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()));
        let output = within("rsm to end", child.wait_with_output()).await.unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{text}");
        assert!(text.contains("log.filter") && text.contains(word) && text.lines().count() == 1, "{text}");
    }
}
