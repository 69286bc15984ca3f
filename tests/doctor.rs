//! `rsm doctor`: its report on healthy machines, and on those that lack something.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::process::Command;

use crate::harness::cluster::{NatsServer, environment, password};
use crate::harness::nats::Nats;
use crate::harness::process::rsm;
use crate::harness::system::System;
use crate::harness::within;

async fn doctor(data_dir: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(rsm());
    command.arg("doctor").arg("--data-dir").arg(data_dir).args(arguments);
    // Any port unless a test says which: others run beside it.
    command.env("RSM__API__LISTEN", "127.0.0.1:0").envs(environment.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    within("rsm doctor to end", command.output()).await.unwrap()
}

/// Its result as programs read it, and its exit code.
async fn told(data_dir: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> (i32, Value) {
    let output = doctor(data_dir, &[&["--json"], arguments].concat(), environment).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let told: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let code = output.status.code().unwrap();
    assert_eq!(told["ok"], code == 0, "{told}");
    for check in told["checks"].as_array().unwrap() {
        assert_eq!(check.as_object().unwrap().len(), 4, "{check}");
        let status = check["status"].as_str().unwrap();
        assert!(["ok", "warning", "failure"].contains(&status), "{check}");
    }
    (code, told)
}

/// One of its checks; status and all words.
fn check(told: &Value, name: &str) -> (String, String) {
    let checks = told["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["check"] == name).unwrap_or_else(|| panic!("no {name} in {told:#}"));
    let text = |member: &str| found[member].as_str().unwrap().to_owned();
    (text("status"), format!("{}; {}", text("found"), text("advice")))
}

#[tokio::test]
async fn a_machine_that_is_well_is_told_so_in_lines_and_in_json() {
    let (dir, nats) = (tempfile::tempdir().unwrap(), Nats::start().await);
    let (code, told) = told(dir.path(), &["--nats", &nats.url], &[]).await;
    assert_eq!(code, 0, "{told:#}");
    for name in [
        "configuration",
        "gstreamer",
        "elements",
        "h264_decoder",
        "h265_decoder",
        "jpeg_decoder",
        "h264_encoder",
        "dri",
        "v4l2",
        "nats_server",
        "nats",
        "nats_version",
        "jetstream",
        "nats_permissions",
        "nats_replicas",
        "nats_payload",
        "data_dir",
        "filesystem",
        "disk",
        "database",
        "api_port",
        "worker_port",
        "clock",
        "open_files",
        "memory",
        "user",
    ] {
        check(&told, name);
    }
    let roles = check(&told, "nats_permissions").1;
    assert!(roles.contains("api, relay, worker"), "{roles}");
    assert!(check(&told, "nats").1.contains(&nats.url));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "it leaves nothing behind");

    let output = doctor(dir.path(), &["--nats", &nats.url], &[]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains('\u{1b}'), "no colours in a pipe: {text}");
    assert_eq!(text.lines().count(), told["checks"].as_array().unwrap().len() + 1, "{text}");
    let line = text.lines().next().unwrap();
    assert!(line.starts_with("ok       configuration") && line.ends_with("  valid"), "{line}");
}

#[tokio::test]
async fn without_anything_that_runs_it_says_that_rsm_up_starts_its_own() {
    // An address without a listener, as the default address is on a machine without NATS.
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("not/yet");
    let (_, told) = told(&missing, &[], &[]).await;
    let (status, words) = check(&told, "nats");
    assert!(status == "ok" || words.contains("4222"), "{words}");
    assert!(check(&told, "data_dir").1.contains("will be made"), "{told:#}");
    assert!(!missing.exists());
}

#[tokio::test]
async fn a_running_system_is_recognised_and_not_disturbed() {
    let mut system = System::start().await;
    let listen = system.base.trim_start_matches("http://").to_owned();
    let (_, told) = told(system.data_dir(), &[], &[("RSM__API__LISTEN", &listen)]).await;
    let (status, words) = check(&told, "api_port");
    assert!(status == "ok" && words.contains("an rsm runs there, and is ready"), "{words}");
    let (status, words) = check(&told, "nats");
    assert!(status == "ok" && (words.contains("rsm up") || words.contains("4222")), "{words}");
    let (status, words) = check(&told, "database");
    assert!(status == "ok" && words.contains("0 cameras"), "{words}");
    assert_eq!(check(&told, "clock_skew").0, "ok");
    assert!(system.json("/health/ready").await["ready"] == true);
    assert!(system.stop().await.success());
}

#[tokio::test]
async fn what_is_wrong_is_named_with_what_to_change() {
    let (dir, nats) = (tempfile::tempdir().unwrap(), Nats::start().await);
    let file = dir.path().join("rsm.toml");
    std::fs::write(&file, "[hls]\nsegment_seconds = 99\n").unwrap();
    let (code, found) = told(dir.path(), &["--config", file.to_str().unwrap()], &[]).await;
    let (status, words) = check(&found, "configuration");
    assert!(code == 1 && status == "failure" && words.contains("hls.segment_seconds is 99"), "{found:#}");
    assert_eq!(check(&found, "elements").0, "ok", "the rest is looked at all the same");

    let blocked = dir.path().join("rsm.toml/data");
    let (code, found) = told(&blocked, &["--nats", &nats.url], &[]).await;
    let (status, words) = check(&found, "data_dir");
    assert!(code == 1 && status == "failure" && words.contains("data_dir"), "{found:#}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let (code, found) = told(dir.path(), &["--nats", &nats.url], &[("RSM__API__LISTEN", &listen)]).await;
    let (status, words) = check(&found, "api_port");
    assert!(code == 1 && status == "failure" && words.contains("another program"), "{found:#}");

    std::fs::write(dir.path().join("rsm.sqlite3"), "this is a diary, not a database. ".repeat(100)).unwrap();
    let (code, found) = told(dir.path(), &["--nats", &nats.url, "--role", "api"], &[]).await;
    let (status, words) = check(&found, "database");
    assert!(code == 1 && status == "failure" && words.contains("not a database"), "{found:#}");
    assert!(!found.to_string().contains("h264_decoder"), "an API codes no pictures: {found:#}");

    let away = format!("nats://{listen}");
    drop(taken);
    let (code, found) = told(dir.path(), &["--nats", &away], &[]).await;
    let (status, words) = check(&found, "nats");
    assert!(code == 1 && status == "failure" && words.contains(&away), "{found:#}");
}

#[tokio::test]
async fn an_old_nats_server_in_the_path_is_told() {
    let (dir, programs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let program = programs.path().join("nats-server");
    std::fs::write(&program, "#!/bin/sh\necho nats-server: v2.2.0\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", programs.path().display(), std::env::var("PATH").unwrap());
    let (_, found) = told(dir.path(), &[], &[("PATH", &path)]).await;
    let (status, words) = check(&found, "nats_server");
    assert!(status != "ok" && words.contains("2.2.0"), "{words}");
}

#[tokio::test]
async fn users_of_nats_are_judged_by_what_their_roles_need_and_passwords_stay_unsaid() {
    let (dir, server) = (tempfile::tempdir().unwrap(), NatsServer::single().await);
    for (user, role) in [("api", "api"), ("relay", "relay"), ("worker-default", "worker")] {
        let of_user = environment(&server.url, user);
        let of_user: Vec<_> = of_user.iter().map(|(key, value)| (*key, value.as_ref())).collect();
        let (_, found) = told(dir.path(), &["--role", role], &of_user).await;
        for name in ["nats", "jetstream", "nats_permissions"] {
            assert_eq!(check(&found, name).0, "ok", "{user}: {found:#}");
        }
        assert!(!found.to_string().contains(&password(user)), "{found:#}");
    }
    let of_relay = environment(&server.url, "relay");
    let of_relay: Vec<_> = of_relay.iter().map(|(key, value)| (*key, value.as_ref())).collect();
    let (code, found) = told(dir.path(), &["--role", "worker"], &of_relay).await;
    let (status, words) = check(&found, "nats_permissions");
    assert!(code == 1 && status == "failure" && words.contains("rsm.v1.frame.default."), "{words}");

    let wrong =
        [("RSM__NATS__URLS", server.url.as_str()), ("RSM__NATS__USER", "api"), ("RSM__NATS__PASSWORD", "hunter2")];
    let output = doctor(dir.path(), &[], &wrong).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.lines().any(|line| line.starts_with("failure") && line.contains("nats.password")), "{text}");
    assert!(!text.contains("hunter2") && !String::from_utf8(output.stderr).unwrap().contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_flag_that_is_none_is_a_wrong_use() {
    let output = doctor(Path::new("/tmp"), &["--sing"], &[]).await;
    assert_eq!(output.status.code(), Some(64));
}
