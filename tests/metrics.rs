//! The metrics of each role: `promtool` accepts them, all documented ones are there, they hold no secret, and removed
//! streams leave nothing behind.

use std::fmt::Write as _;
use std::process::Stdio;

use reqwest::StatusCode;
use rsm_shared::ops::metrics::table::Spec;
use rsm_worker::metrics::WorkerTable;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::harness::camera::Camera;
use crate::harness::nats::Nats;
use crate::harness::process::spawn;
use crate::harness::{eventually, within};
use crate::relay::RunningRole;

/// Where each metric is written down for people; everything from here on is made from the tables.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
const MADE_FROM_HERE: &str = "## Every role\n";

/// Metrics that users' dashboards rely on, by role.
const EVERYWHERE: &str = "rsm_build_info rsm_nats_connected rsm_ready rsm_log_lines_total rsm_log_lines_dropped_total \
    process_cpu_seconds_total process_resident_memory_bytes process_open_fds process_max_fds process_threads \
    process_start_time_seconds";
const SERVING: &str = "rsm_streams rsm_stream_state rsm_stream_viewers rsm_viewers rsm_viewer_seats \
    rsm_viewer_refusals_total rsm_viewers_closed_total rsm_viewer_frames_skipped_total rsm_viewer_sent_bytes_total \
    rsm_frame_relay_seconds rsm_stale_frames_total rsm_malformed_frames_total rsm_hls_requests_total \
    rsm_hls_fetches_total rsm_http_requests_total rsm_http_request_seconds";
const API: &str = "rsm_stream_last_frame_age_seconds rsm_workers rsm_farm_capacity rsm_farm_room rsm_stream_worker \
    rsm_stream_start_seconds rsm_commands_total rsm_claims rsm_claim_changes_total";
const WORKER: &str = "rsm_claims rsm_worker_capacity rsm_worker_load_ratio rsm_worker_draining \
    rsm_stream_restarts_total rsm_ingest_bytes_total rsm_ingest_access_units_total rsm_frames_published_total \
    rsm_frame_bytes_total rsm_frame_encode_seconds rsm_hls_segments_total rsm_hls_segment_bytes_total \
    rsm_hls_disk_bytes rsm_hls_disk_budget_bytes rsm_hls_segments_evicted_total";
/// Nothing of these is seen while all goes well.
const SELDOM: &str = "rsm_deaths_by_signal_total rsm_fault rsm_frames_dropped_total rsm_output_failures_total";

#[tokio::test]
async fn every_role_shows_its_metrics_and_promtool_finds_nothing() {
    let (camera, nats) = (Camera::start().await, Nats::start().await);
    let api = RunningRole::serving("api", &nats).await;
    let relay = RunningRole::serving("relay", &nats).await;
    let _worker = RunningRole::worker(&nats);
    let targets = async || api.json("/metrics/targets").await;
    let all = |all: &Value| ["api", "worker", "relay"].iter().all(|role| target(all, role).is_some());
    let targets = eventually("every role among the targets", targets, all).await;
    assert_eq!(target(&targets, "api").map(|base| format!("http://{base}")), Some(api.base.clone()));
    let worker = target(&targets, "worker").unwrap();

    let (slug, _) = api.add(&json!({ "url": camera.url() })).await;
    // Nothing answers there: its sessions are tried again and again.
    let dead = json!({ "url": "rtsp://admin:s3cret-pw@127.0.0.1:1/live", "always_on": true });
    let (dead, _) = api.add(&dead).await;
    eventually("the relay to know both", async || relay.json("/video/").await, |list| list[1].is_object()).await;
    let mut viewers = [api.watch(&slug).await, relay.watch(&slug).await];
    for viewer in &mut viewers {
        viewer.frame_number().await;
    }

    let read = async |base: &str| api.http.get(format!("{base}/metrics")).send().await.unwrap().text().await.unwrap();
    let worker = format!("http://{worker}");
    for (role, base, names) in [
        ("api", &api.base, [EVERYWHERE, SERVING, API]),
        ("relay", &relay.base, [EVERYWHERE, SERVING, ""]),
        ("worker", &worker, [EVERYWHERE, WORKER, ""]),
    ] {
        let names: Vec<&str> = names.iter().flat_map(|names| names.split_whitespace()).collect();
        let missing = |text: &String| -> Vec<String> {
            let shown = |name: &&&str| !text.contains(&format!("# TYPE {name} "));
            names.iter().filter(shown).map(|&name| name.to_owned()).collect()
        };
        let text = async || {
            let text = read(base).await;
            (missing(&text), text)
        };
        let what = format!("all metrics of the {role}");
        let (_, text) = eventually(&what, text, |(missing, _)| missing.is_empty()).await;
        check(role, &text).await;
        for secret in ["s3cret-pw", "rtsp://", "admin"] {
            assert!(!text.contains(secret), "{secret} in the metrics of the {role}");
        }
    }

    drop(viewers);
    for slug in [&slug, &dead] {
        let answer = api.http.delete(format!("{}/video/{slug}/", api.base)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        for base in [&api.base, &relay.base, &worker] {
            let label = format!("stream=\"{slug}\"");
            let left = async || {
                let text = read(base).await;
                text.lines().filter(|line| line.contains(&label)).map(str::to_owned).collect::<Vec<_>>()
            };
            eventually(&format!("the series of {slug} to go from {base}"), left, Vec::is_empty).await;
        }
    }
}

#[test]
fn what_is_promised_is_what_the_tables_declare() {
    let every = || rsm_shared::ops::metrics::specs();
    for (names, specs) in [
        (
            [EVERYWHERE, SERVING, API],
            every().chain(rsm_viewing::metrics::specs()).chain(rsm_api::metrics::specs()).collect::<Vec<_>>(),
        ),
        ([EVERYWHERE, SERVING, ""], every().chain(rsm_viewing::metrics::specs()).collect()),
        ([EVERYWHERE, WORKER, ""], every().chain(WorkerTable::SPECS).collect()),
    ] {
        let promised: Vec<&str> = names.iter().flat_map(|names| names.split_whitespace()).collect();
        for spec in &specs {
            let known = promised.contains(&spec.name) || SELDOM.split_whitespace().any(|name| name == spec.name);
            assert!(known, "{} is declared and looked for by no test", spec.name);
        }
        for name in promised {
            assert!(specs.iter().any(|spec| spec.name == name), "{name} is promised and not declared");
        }
    }
}

/// With `RSM_WRITE_DOCS=1` it writes the page instead.
#[test]
fn the_page_about_metrics_is_what_the_tables_declare() {
    let made = [
        section("Every role", rsm_shared::ops::metrics::specs()),
        section("API and relays", rsm_viewing::metrics::specs()),
        section("API", rsm_api::metrics::specs()),
        section("Workers", WorkerTable::SPECS.iter()),
    ]
    .join("\n");
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (head, written) = page.split_once(MADE_FROM_HERE).expect("the first table");
    if std::env::var_os("RSM_WRITE_DOCS").is_some() {
        std::fs::write(PAGE, format!("{head}{made}")).unwrap();
        return;
    }
    let written = format!("{MADE_FROM_HERE}{written}");
    for (want, found) in made.lines().zip(written.lines()) {
        assert_eq!(found, want, "docs/metrics.md is out of date; write it with RSM_WRITE_DOCS=1");
    }
    assert_eq!(written.lines().count(), made.lines().count(), "docs/metrics.md; write it with RSM_WRITE_DOCS=1");
}

fn section<'a>(title: &str, specs: impl Iterator<Item = &'a Spec>) -> String {
    let mut text =
        format!("## {title}\n\n| metric | type | labels | what it means, and what to do |\n|---|---|---|---|\n");
    for Spec { name, help, kind, labels, .. } in specs {
        let labels = labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        writeln!(text, "| `{name}` | {kind} | {labels} | {help} |").unwrap();
    }
    text
}

/// `host:port` of the first target of a role.
fn target(targets: &Value, role: &str) -> Option<String> {
    let group = targets.as_array()?.iter().find(|group| group["labels"]["role"] == role)?;
    group["targets"][0].as_str().map(str::to_owned)
}

/// Debian's package `prometheus` has it; `make deps-test` installs it.
async fn check(role: &str, text: &str) {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn(&mut command);
    let mut input = child.stdin.take().unwrap();
    within("promtool to read", input.write_all(text.as_bytes())).await.unwrap();
    drop(input);
    let output = within("promtool to end", child.wait_with_output()).await.unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.is_empty(), "metrics of the {role}: {said}");
}
