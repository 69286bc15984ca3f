//! A real Prometheus with the project's own rules looks at real processes: every alert comes when its fault is made, and
//! ends when it is mended. A few farms, each for several alerts; the rules' durations are divided by twenty.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::browser::run;
use crate::farm::busiest;
use crate::harness::camera::Camera;
use crate::harness::chaos::{Chaos, Mode};
use crate::harness::eventually;
use crate::harness::farm::{Farm, Plan};
use crate::harness::frames::{Listener, refusal};
use crate::harness::process::signal;
use crate::harness::prometheus::{ALERT_DEADLINE, Alert, Prometheus};
use crate::harness::service::Service;
use crate::harness::system::System;
use crate::harness::watch::Watcher;

/// Repeats `act` until an alert fires with these labels.
async fn again_until_fires(prometheus: &Prometheus, name: &str, labels: &[(&str, &str)], mut act: impl AsyncFnMut()) {
    let end = Instant::now() + ALERT_DEADLINE;
    loop {
        let alerts = prometheus.alerts().await;
        if alerts.iter().any(|alert| alert.is(name, labels) && alert.state == "firing") {
            return;
        }
        assert!(Instant::now() < end, "{name} with {labels:?} never fired; alerts: {alerts:?}");
        act().await;
    }
}

/// The texts of an alert name its subject.
fn tells(alert: &Alert, part: &str) {
    let said = format!("{} {}", alert.annotations["summary"], alert.annotations["description"]);
    assert!(said.contains(part) && !said.contains("error"), "{} should tell of {part}: {said}", alert.name);
}

#[tokio::test(flavor = "multi_thread")]
async fn cameras_that_fail_raise_alerts_and_end_them_when_they_are_well() {
    // So long that a camera that freezes is still said to run when its pictures are stale.
    let plan = Plan::of(1, 6).env("RSM__CAMERA__STALL_TIMEOUT_S", "60").env("RSM__CAMERA__BACKOFF_MAX_S", "2");
    let farm = plan.start().await;
    let locked = Camera::start_with(0, &[], Some("right-s3cret")).await;
    let prometheus = Prometheus::start(&farm.base).await;
    prometheus.until_sees(&[("api", 1), ("worker", 1)]).await;
    let slugs = farm.slugs();
    // Nothing listens on its port, and it has no viewer.
    let idle = json!({ "url": "rtsp://127.0.0.1:9/idle", "name": "Idle" });
    let idle = farm.send(Method::POST, "/video/", &idle).await.1["slug"].as_str().unwrap().to_owned();

    farm.camera.command("freeze cam1").await;
    let link = json!({ "url": locked.url(), "username": "admin", "password": "wr0ng", "always_on": true });
    let (status, answer) = farm.send(Method::POST, "/video/", &link).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let refused = answer["slug"].as_str().unwrap().to_owned();
    prometheus.until_fires("RsmWrongCredentials", &[("stream", &refused), ("severity", "ticket")]).await;
    let stale = prometheus.until_fires("RsmFramesStale", &[("stream", &slugs[0]), ("severity", "page")]).await;
    tells(&stale, "w1");
    farm.camera.command("resume cam1").await;
    prometheus.until_clear("RsmFramesStale", &[]).await;

    // The camera hangs up on a session that has just been opened again.
    let played = async || farm.sessions().await[1].1;
    let flapping = [("stream", slugs[1].as_str()), ("severity", "ticket")];
    again_until_fires(&prometheus, "RsmRestartsFlapping", &flapping, async || {
        let before = played().await;
        farm.camera.command("close cam2").await;
        eventually("cam2 to be opened again", played, |now| *now > before).await;
    })
    .await;

    farm.camera.command("reboot all 3600").await;
    let down = prometheus.until_fires("RsmCameraDown", &[("stream", &slugs[2]), ("severity", "ticket")]).await;
    tells(&down, "w1");
    prometheus.until_fires("RsmManyCamerasDown", &[("severity", "page")]).await;
    assert!(!prometheus.alerts().await.iter().any(|a| a.is("RsmCameraDown", &[("stream", &idle)])), "nobody wants it");
    // `make pictures` names a place for those of docs/monitoring.md to stay.
    let dir = tempfile::tempdir().unwrap();
    let out = std::env::var_os("RSM_TEST_PICTURES").map_or_else(|| dir.path().to_owned(), PathBuf::from);
    let arguments = ["--prometheus", prometheus.base.as_str(), "--minutes", "3", "--out", out.to_str().unwrap()];
    run("monitoring-pictures.mjs", &arguments).await;
    for name in ["alerts.png", "states.png"] {
        assert!(std::fs::read(out.join(name)).unwrap().starts_with(b"\x89PNG"), "{name}");
    }
    farm.camera.command("resume all").await;
    farm.send(Method::PATCH, &format!("/video/{refused}/"), &json!({ "password": "right-s3cret" })).await;
    for ended in ["RsmCameraDown", "RsmManyCamerasDown", "RsmWrongCredentials", "RsmRestartsFlapping", "RsmFramesStale"]
    {
        prometheus.until_clear(ended, &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_farm_that_fail_raise_alerts_and_end_them_when_they_are_back() {
    let mut farm = Plan::of(2, 3).env("RSM__WORKER__CAPACITY", "4").start().await;
    let prometheus = Prometheus::start(&farm.base).await;
    prometheus.until_sees(&[("api", 1), ("worker", 2)]).await;

    // Six slots of eight are for streams without viewers: one of seven waits. Three fit on one worker.
    let mut more = Vec::new();
    for _ in 0..4 {
        more.push(farm.add(farm.camera.url()).await.0);
    }
    let full = prometheus.until_fires("RsmNoFreeCapacity", &[("severity", "page")]).await;
    tells(&full, "Waiting: 1");
    prometheus.until_fires("RsmStartsSlow", &[("waiting", "yes"), ("severity", "ticket")]).await;
    for slug in more {
        remove(&farm, &slug).await;
    }
    prometheus.until_clear("RsmNoFreeCapacity", &[]).await;
    prometheus.until_clear("RsmStartsSlow", &[("waiting", "yes")]).await;

    // The disk of a worker goes away, and comes back.
    let (data, away) = (farm.data_dir("w1"), farm.data_dir("w1-away"));
    std::fs::rename(&data, &away).unwrap();
    prometheus.until_fires("RsmNotReady", &[("worker", "w1"), ("dependency", "disk"), ("severity", "page")]).await;
    std::fs::rename(&away, &data).unwrap();
    prometheus.until_clear("RsmNotReady", &[]).await;

    farm.worker("w2").kill().await;
    let lost = prometheus.until_fires("RsmWorkerLost", &[("severity", "ticket")]).await;
    tells(&lost, "w2");
    farm.worker("w1").kill().await;
    prometheus.until_fires("RsmNoWorker", &[("severity", "page")]).await;
    // They wait long enough for a worker.
    prometheus.until_fires("RsmStartsSlow", &[]).await;
    farm.worker("w1").start_again();
    farm.worker("w2").start_again();
    prometheus.until_clear("RsmNoWorker", &[]).await;
    prometheus.until_clear("RsmWorkerLost", &[]).await;
    farm.until_all_run().await;

    farm.nats.kill().await;
    prometheus.until_fires("RsmNatsAway", &[("role", "api"), ("severity", "page")]).await;
    let cut_off = prometheus.until_fires("RsmNatsAway", &[("role", "worker")]).await;
    tells(&cut_off, "w1 w2");
    farm.nats.start_again().await;
    prometheus.until_clear("RsmNatsAway", &[]).await;

    farm.api.kill().await;
    prometheus.until_fires("RsmApiAway", &[("severity", "page")]).await;
    farm.api.start_again();
    prometheus.until_clear("RsmApiAway", &[]).await;
    farm.until_ready().await;
    prometheus.until_clear("RsmStartsSlow", &[]).await;
    churn(&mut farm, &prometheus).await;
    prometheus.until_clear("RsmClaimChurn", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_a_signal_ends_raises_an_alert_that_names_the_signal() {
    let system = System::start().await;
    let prometheus = Prometheus::start(&system.base).await;
    prometheus.until_sees(&[("api", 1), ("worker", 1)]).await;
    prometheus
        .until("rsm_deaths_by_signal_total{role='worker', signal='SIGABRT'} == 0", |found| !found.is_empty())
        .await;
    // Not SIGSEGV: Rust takes the first one for itself.
    signal(system.process("worker").unwrap().pid, Signal::SIGABRT);
    let labels = [("role", "worker"), ("signal", "SIGABRT"), ("severity", "ticket")];
    tells(&prometheus.until_fires("RsmProcessDied", &labels).await, "SIGABRT");
    let line = "a child ended by itself, killed by a signal; starting it again";
    assert!(system.log.text().lines().any(|l| l.contains(line) && l.contains("ERROR") && l.contains("signal=SIGABRT")));
    prometheus.until_clear("RsmProcessDied", &[]).await;
}

/// Workers die by turns, each after it has had its streams for so long that no stream is a suspect.
async fn churn(farm: &mut Farm, prometheus: &Prometheus) {
    /// A query of the test's own: longer than the ten seconds in which a death makes a suspect.
    const SETTLED: &str = "count(rsm_stream_worker and rsm_stream_worker offset 13s) == 3";
    again_until_fires(prometheus, "RsmClaimChurn", &[("severity", "ticket")], async || {
        let owners = farm.until_all_run().await;
        prometheus.until(SETTLED, |found| !found.is_empty()).await;
        let victim = busiest(&owners);
        farm.worker(&victim).kill().await;
        farm.until_owned("streams to move", |_, owner| owner.worker != victim).await;
        farm.worker(&victim).start_again();
    })
    .await;
}

/// Registers a camera; its slug and id.
async fn add(farm: &Farm, camera: &Camera, more: Value) -> (String, i64) {
    let mut link = json!({ "url": camera.url(), "mjpeg": { "max_width": 1280, "max_fps": 15, "quality": 90 } });
    link.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (status, answer) = farm.send(Method::POST, "/video/", &link).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    (answer["slug"].as_str().unwrap().to_owned(), answer["id"].as_i64().unwrap())
}

async fn remove(farm: &Farm, slug: &str) {
    let (status, answer) = farm.send(Method::DELETE, &format!("/video/{slug}/"), &json!({})).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{answer}");
}

/// Pictures of some 100 kB, and as much video each second, so that buffers and disks fill quickly.
async fn large_camera() -> Camera {
    Camera::start_as(&["--width", "1280", "--height", "720", "--bitrate-kbps", "8000"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn hls_that_fails_or_fills_the_disk_raises_alerts_and_ends_them_when_it_is_well() {
    /// Players, and the interval of their requests: they are the load, and the test waits for alerts.
    const PLAYERS: usize = 16;
    const PAUSE: Duration = Duration::from_millis(100);

    // Little room, and the worker's port cannot be reached.
    let plan = Plan::of(1, 0).env("RSM__HLS__DISK_BUDGET_MB", "64").env("RSM__HLS__WINDOW_SEGMENTS", "60").own_env(
        "w1",
        "RSM__WORKER__ADVERTISE",
        "127.0.0.1:9",
    );
    let (mut farm, camera) = (plan.start_bare().await, large_camera().await);
    let prometheus = Prometheus::start(&farm.base).await;
    let always = json!({ "always_on": true, "hls": { "always_on": true } });
    let (slug, id) = add(&farm, &camera, always.clone()).await;
    let mut players = JoinSet::new();
    for _ in 0..PLAYERS {
        let (http, playlist) = (farm.http.clone(), format!("{}/video/play/{id}/", farm.base));
        players.spawn(async move {
            loop {
                let _ = http.get(&playlist).send().await;
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
    prometheus.until_fires("RsmTargetAway", &[("worker", "w1"), ("severity", "ticket")]).await;
    prometheus.until_fires("RsmHlsErrors", &[("role", "api"), ("severity", "page")]).await;
    let worker = farm.worker("w1");
    worker.kill().await;
    worker.recipe.environment.retain(|(key, _)| key != "RSM__WORKER__ADVERTISE");
    worker.start_again();
    prometheus.until_clear("RsmTargetAway", &[]).await;
    prometheus.until_clear("RsmHlsErrors", &[]).await;
    players.shutdown().await;

    let mut written = vec![slug];
    for _ in 0..3 {
        written.push(add(&farm, &camera, always.clone()).await.0);
    }
    let full = prometheus.until_fires("RsmDiskBudget", &[("worker", "w1"), ("severity", "ticket")]).await;
    tells(&full, "%");
    for slug in &written {
        remove(&farm, slug).await;
    }
    prometheus.until_clear("RsmDiskBudget", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_who_are_many_or_slow_or_late_raise_alerts_and_end_them_when_it_is_over() {
    let plan = Plan::of(1, 0).env("RSM__API__VIEWER_STALL_S", "3600");
    let (farm, camera) = (plan.start_bare().await, large_camera().await);
    let (gate, yard) = (add(&farm, &camera, json!({})).await.0, add(&farm, &camera, json!({})).await.0);
    let chaos = Chaos::before(farm.nats.address()).await;
    let dir = tempfile::tempdir().unwrap();
    let environment = [
        ("RSM__NATS__URLS", format!("nats://{}", chaos.address)),
        ("RSM__API__MAX_VIEWERS", "3".to_owned()),
        ("RSM__API__MAX_VIEWERS_PER_STREAM", "2".to_owned()),
    ];
    let relay = Service::relay(dir.path(), &environment).await;
    relay.until_ready().await;
    let prometheus = Prometheus::start(&farm.base).await;
    prometheus.until_sees(&[("api", 1), ("worker", 1), ("relay", 1)]).await;

    let mut watchers = vec![Watcher::open(&relay.base, &gate).await, Watcher::open(&relay.base, &gate).await];
    let refused_at = async |slug: &str| {
        let opened = Listener::try_open(&relay.base, slug, "", None).await;
        assert_eq!(refusal(opened).0, StatusCode::SERVICE_UNAVAILABLE);
    };
    let labels = [("role", "relay"), ("reason", "stream"), ("severity", "ticket")];
    again_until_fires(&prometheus, "RsmViewersRefused", &labels, async || refused_at(&gate).await).await;
    watchers.push(Watcher::open(&relay.base, &yard).await);
    let labels = [("role", "relay"), ("reason", "all"), ("severity", "page")];
    again_until_fires(&prometheus, "RsmViewersRefused", &labels, async || refused_at(&yard).await).await;

    // Every frame for the relay is on its way for longer than a second. With three seconds back and forth its connection
    // would end, and no frame come at all.
    chaos.set(Mode::Late(Duration::from_millis(1200)));
    prometheus.until_fires("RsmRelayLatencyHigh", &[("role", "relay"), ("severity", "ticket")]).await;
    chaos.heal();
    prometheus.until_clear("RsmRelayLatencyHigh", &[]).await;
    prometheus.until_clear("RsmViewersRefused", &[]).await;
    drop(watchers);

    // One that takes two frames a second of fifteen, alone at the API.
    let mut socket = Listener::open_slow(&farm.base, &gate).await;
    let mut pace = tokio::time::interval(Duration::from_millis(500));
    let slow = tokio::spawn(async move {
        loop {
            pace.tick().await;
            socket.jpeg().await;
        }
    });
    prometheus.until_fires("RsmSlowViewers", &[("role", "api"), ("severity", "ticket")]).await;
    slow.abort();
    prometheus.until_clear("RsmSlowViewers", &[]).await;
}
