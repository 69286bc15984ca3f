//! Starts that cannot succeed: one clear line, an exit code that is not 0, nothing overwritten.

use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::json;
use tokio::process::Command;

use crate::harness::process::rsm;
use crate::harness::system::System;
use crate::harness::within;

async fn run(arguments: &[&str], data_dir: &Path, environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(rsm());
    command.args(arguments).arg("--data-dir").arg(data_dir).envs(environment.iter().copied());
    let output = command.env("RSM_LOG", "off").stdin(Stdio::null()).kill_on_drop(true).output();
    within("rsm to end", output).await.unwrap()
}

/// Exit code and the lines of the error output.
async fn fails(arguments: &[&str], data_dir: &Path, environment: &[(&str, &str)]) -> (i32, String) {
    let output = run(arguments, data_dir, environment).await;
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(text.lines().count(), 1, "one line: {text}");
    (output.status.code().unwrap(), text)
}

#[tokio::test]
async fn wrong_flags_and_settings_exit_with_64_and_name_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rsm.toml");
    std::fs::write(&file, "[hls]\nsegment_seconds = 99\n").unwrap();
    let file = file.to_str().unwrap();
    for (arguments, environment, words) in [
        (vec!["up", "--nonsense"], vec![], vec!["--nonsense"]),
        (vec!["up", "--workers", "0"], vec![], vec!["workers", "0"]),
        (vec!["up", "--listen", "here"], vec![], vec!["api.listen", "here"]),
        (vec!["api", "--nats", "http://x"], vec![], vec!["nats.urls", "http://x"]),
        (vec!["worker", "--name", "a.b"], vec![], vec!["worker.name", "a.b"]),
        (vec!["worker", "--config", file], vec![], vec!["hls.segment_seconds", "99", "1 to 10"]),
        (vec!["up", "--config", "/no/such/file"], vec![], vec!["/no/such/file"]),
        (vec!["api"], vec![("RSM__API__LISTN", "127.0.0.1:1")], vec!["api.listn", "not a known key"]),
        (vec!["config", "check"], vec![("RSM__LOG__FORMAT", "xml")], vec!["log.format", "xml"]),
    ] {
        let (code, text) = fails(&arguments, dir.path(), &environment).await;
        assert_eq!(code, 64, "{arguments:?}: {text}");
        for word in words {
            assert!(text.contains(word), "{arguments:?}: {text} should name {word}");
        }
    }
}

#[tokio::test]
async fn the_configuration_is_shown_with_secrets_masked() {
    let dir = tempfile::tempdir().unwrap();
    let environment = [("RSM__NATS__USER", "u"), ("RSM__NATS__PASSWORD", "hunter2")];
    let shown = run(&["config", "show"], dir.path(), &environment).await;
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.status.success() && text.contains("password = \"***\"") && !text.contains("hunter2"), "{text}");
    let checked = run(&["config", "check"], dir.path(), &environment).await;
    assert!(checked.status.success());
}

#[tokio::test]
async fn a_port_in_use_and_a_data_directory_that_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for role in ["up", "api"] {
        let (code, text) = fails(&[role, "--listen", &address], dir.path(), &[]).await;
        assert_ne!(code, 0);
        assert!(text.contains(&address) && text.contains("in use"), "{text}");
    }
    let file = dir.path().join("a-file");
    std::fs::write(&file, "x").unwrap();
    for role in ["up", "api", "worker"] {
        let (code, text) = fails(&[role], &file.join("data"), &[("RSM__API__LISTEN", "127.0.0.1:0")]).await;
        assert_ne!(code, 0);
        assert!(text.contains("a-file/data"), "{text}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "x");
}

#[tokio::test]
async fn a_damaged_or_newer_database_is_refused_and_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rsm.sqlite3");
    let diary = "not a database. ".repeat(1000);
    std::fs::write(&path, &diary).unwrap();
    for role in ["up", "api"] {
        let (code, text) = fails(&[role, "--listen", "127.0.0.1:0"], dir.path(), &[]).await;
        assert_eq!(code, 69, "{text}");
        assert!(text.contains("rsm.sqlite3") && text.contains("damaged"), "{text}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), diary);
    }
    std::fs::remove_file(&path).unwrap();
    assert!(System::start_with(Some(dir.path()), &[], &[]).await.stop().await.success());
    // user_version is the big-endian number at offset 60 of the file header (sqlite.org/fileformat2.html, 1.3).
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[60..64].copy_from_slice(&999_u32.to_be_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let (code, text) = fails(&["up", "--listen", "127.0.0.1:0"], dir.path(), &[]).await;
    assert_eq!(code, 69, "{text}");
    assert!(text.contains("newer version"), "{text}");
}

#[tokio::test]
async fn missing_gstreamer_elements_are_named_with_their_debian_packages() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("no-plugins");
    std::fs::create_dir(&empty).unwrap();
    let registry = dir.path().join("registry.bin");
    let environment = [
        ("GST_PLUGIN_SYSTEM_PATH_1_0", empty.to_str().unwrap()),
        ("GST_PLUGIN_PATH_1_0", ""),
        ("GST_REGISTRY_1_0", registry.to_str().unwrap()),
    ];
    for role in [vec!["worker"], vec!["up", "--listen", "127.0.0.1:0"]] {
        let (code, text) = fails(&role, &dir.path().join("data"), &environment).await;
        assert_eq!(code, 69, "{text}");
        for word in ["avdec_h264", "gstreamer1.0-libav", "jpegenc", "gstreamer1.0-plugins-good", "apt-get install"] {
            assert!(text.contains(word), "{role:?}: {text} should name {word}");
        }
    }
}

#[tokio::test]
async fn a_second_rsm_up_keeps_out_of_a_data_directory_in_use() {
    let system = System::start().await;
    let (code, text) = fails(&["up", "--listen", "127.0.0.1:0"], system.data_dir(), &[]).await;
    assert_ne!(code, 0);
    assert!(text.contains("in use"), "{text}");
    system.add(json!({ "url": "rtsp://127.0.0.1:9/x" })).await;
}
