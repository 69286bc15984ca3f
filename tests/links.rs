//! `rsm links`: cameras of a running API from the command line.

use std::process::{Output, Stdio};

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::harness::process::rsm;
use crate::harness::system::System;
use crate::harness::within;

const PASSWORD: &str = "right-s3cret";

async fn links(api: &str, arguments: &[&str], environment: &[(&str, &str)], input: &str) -> Output {
    let mut command = Command::new(rsm());
    command.arg("links").args(arguments).args(["--api", api]).envs(environment.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    // One that reads nothing may have ended by now.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
    within("rsm links to end", child.wait_with_output()).await.unwrap()
}

/// Exit code, stdout and stderr.
fn said(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn cameras_are_added_listed_exported_imported_and_removed() {
    let system = System::start().await;
    let at = |arguments: Vec<&'static str>, environment: Vec<(&'static str, &'static str)>, input: String| {
        let api = system.base.clone();
        async move { said(links(&api, &arguments, &environment, &input).await) }
    };
    let add = vec!["add", "rtsp://admin@127.0.0.1:9/one", "--name", "Yard\u{7f}", "--transport", "tcp"];
    let (code, out, error) = at(add, vec![("RSM_LINK_PASSWORD", PASSWORD)], String::new()).await;
    assert_eq!((code, out.as_str()), (1, ""), "a name with a control sign is refused: {error}");
    assert!(error.contains("name") && error.lines().count() == 1, "{error}");

    let add = vec!["add", "rtsp://admin@127.0.0.1:9/one", "--name", "Yard", "--transport", "tcp"];
    let (code, out, error) = at(add, vec![("RSM_LINK_PASSWORD", PASSWORD)], String::new()).await;
    assert_eq!((code, error.as_str()), (0, ""));
    let yard = out.trim_end().to_owned();
    let add = vec!["add", "rtsp://127.0.0.1:9/two", "--username", "u", "--password-file", "-", "--always-on"];
    let (code, door, error) = at(add, vec![], format!("{PASSWORD}\nmore\n")).await;
    assert_eq!((code, error.as_str()), (0, ""));
    let shown = system.json("/video/").await;
    assert_eq!((&shown[0]["slug"], &shown[0]["name"]), (&json!(yard), &json!("Yard")), "{shown}");
    assert_eq!((&shown[0]["transport"], &shown[0]["url"]), (&json!("tcp"), &json!("rtsp://admin:***@127.0.0.1:9/one")));
    assert_eq!((&shown[1]["always_on"], &shown[1]["url"]), (&json!(true), &json!("rtsp://u:***@127.0.0.1:9/two")));

    let (code, list, error) = at(vec!["list"], vec![], String::new()).await;
    assert_eq!((code, error.as_str()), (0, ""));
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(
        (rows.len(), rows[0][0], rows[0][2], rows[0][3]),
        (2, &*yard, "rtsp://admin:***@127.0.0.1:9/one", "Yard")
    );

    let (code, exported, _) = at(vec!["export"], vec![], String::new()).await;
    assert!(code == 0 && exported.starts_with("url,name,") && !exported.contains("s3cret"), "{exported}");
    let broken = format!("{exported}http://127.0.0.1/x,Gate\n");
    let (code, out, error) = at(vec!["import", "-"], vec![], broken.clone()).await;
    assert_eq!((code, out.as_str()), (1, ""), "all or none");
    assert!(error.contains("line 4") && error.ends_with("1 lines are wrong; 0 registered\n"), "{error}");
    let (code, out, _) = at(vec!["import", "-", "--dry-run"], vec![], exported.clone()).await;
    assert_eq!((code, out.lines().count()), (0, 2), "{out}");
    assert_eq!(system.json("/video/").await.as_array().unwrap().len(), 2, "nothing was registered");
    let (code, out, _) = at(vec!["import", "-", "--skip-invalid"], vec![], broken).await;
    assert_eq!((code, out.lines().count()), (1, 2), "{out}");
    assert_eq!(system.json("/video/").await.as_array().unwrap().len(), 4);

    let (code, out, error) = said(links(&system.base, &["remove", &yard], &[], "").await);
    assert_eq!((code, out.as_str(), error.as_str()), (0, "", ""));
    let (code, _, error) = said(links(&system.base, &["remove", &yard], &[], "").await);
    assert!(code == 1 && error.lines().count() == 1, "{code}: {error}");
    let (code, _, _) = said(links(&system.base, &["remove", door.trim_end()], &[], "").await);
    assert_eq!((code, system.json("/video/").await.as_array().unwrap().len()), (0, 2));
    let log = system.log.text();
    assert!(!log.contains("s3cret"), "a password is in the log:\n{log}");
}

#[tokio::test]
async fn what_is_asked_wrongly_and_an_api_that_is_away_are_told_apart() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let away = format!("http://{}/", taken.local_addr().unwrap());
    drop(taken);
    for (api, arguments, want, word) in [
        (&*away, vec!["list"], 69, "cannot be reached"),
        ("https://127.0.0.1/", vec!["list"], 64, "--api"),
        ("http://u:hunter2@127.0.0.1/", vec!["list"], 64, "--api"),
        (&*away, vec!["add", "rtsp://admin:hunter2@127.0.0.1/"], 64, "--password-file"),
        (&*away, vec!["add", "rtsp://127.0.0.1/", "--password-file", "/no/such/file"], 64, "/no/such/file"),
        (&*away, vec!["remove", "../x"], 64, "SLUG"),
        (&*away, vec!["import"], 64, "FILE"),
        (&*away, vec!["sing"], 64, "sing"),
    ] {
        let (code, out, error) = said(links(api, &arguments, &[], "").await);
        assert_eq!((code, out.as_str(), error.lines().count()), (want, "", 1), "{arguments:?}: {error}");
        assert!(error.contains(word) && !error.contains("hunter2"), "{arguments:?}: {error}");
    }
}
