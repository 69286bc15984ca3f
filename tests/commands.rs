//! The control plane on NATS: a worker's reaction to tickets that are old, doubled or broken.

use async_nats::jetstream;
use serde_json::json;

use crate::harness::camera::Camera;
use crate::harness::nats::Nats;
use crate::harness::system::System;
use crate::harness::viewer::JpegViewer;
use crate::harness::{eventually, within};

#[tokio::test]
async fn old_doubled_and_malformed_tickets_start_nothing() {
    let (camera, nats) = (Camera::start().await, Nats::start().await);
    let system = System::start_with(None, &["--nats", &nats.url], &[]).await;
    let (slug, _) = system.add(json!({ "url": camera.url(), "always_on": true })).await;
    let epoch = system.until_state(&slug, "running").await["epoch"].as_u64().unwrap();
    let js = jetstream::new(nats.client().await);
    let ticket =
        |epoch: u64| json!({ "v": 1, "cam": slug, "zone": "default", "epoch": epoch, "reason": "start" }).to_string();
    let subject = format!("rsm.v1.cmd.start.default.hi.{slug}");
    for payload in
        [ticket(epoch), ticket(epoch - 1), ticket(1), "{".to_owned(), "{}".to_owned(), "\u{0}\u{ff}".to_owned()]
    {
        let ack = within("a publish", js.publish(subject.clone(), payload.clone().into())).await.unwrap();
        within("its acknowledgement", ack.into_future()).await.unwrap();
        let left = async || nats.count("RSM_CMD", ">").await;
        eventually(&format!("{payload} to be dealt with"), left, |left| *left == 0).await;
    }
    // A ticket from the future has no record yet: it is given back, and starts nothing either.
    let ack = within("a publish", js.publish(subject, ticket(epoch + 1_000_000).into())).await.unwrap();
    within("its acknowledgement", ack.into_future()).await.unwrap();
    assert_eq!(system.status(&slug).await["epoch"], epoch);
    assert_eq!(camera.sessions().await, (1, 1), "started once");
    assert_eq!(system.status(&slug).await["state"], "running");
}

#[tokio::test]
async fn frames_on_nats_carry_what_the_contract_says() {
    let (camera, nats) = (Camera::start().await, Nats::start().await);
    let system = System::start_with(None, &["--nats", &nats.url], &[]).await;
    let (slug, _) = system.add(json!({ "url": camera.url() })).await;
    let client = nats.client().await;
    let mut frames = client.subscribe(format!("rsm.v1.frame.default.{slug}")).await.unwrap();
    let mut viewer = JpegViewer::open(&system, &slug).await;
    viewer.frame_number().await;
    let mut last = 0_u64;
    for _ in 0..5 {
        let frame = within("a frame", futures_util::StreamExt::next(&mut frames)).await.unwrap();
        let headers = frame.headers.unwrap();
        let number = |name: &str| -> u64 { headers.get(name).unwrap().as_str().parse().unwrap() };
        assert!(number("Rsm-Seq") > last, "the sequence grows");
        last = number("Rsm-Seq");
        assert!(number("Rsm-Published-At") >= number("Rsm-Captured-At"));
        let picture = image::load_from_memory(&frame.payload).unwrap();
        assert_eq!(
            (u64::from(picture.width()), u64::from(picture.height())),
            (number("Rsm-Width"), number("Rsm-Height"))
        );
        let (epoch, revision) = headers.get("Rsm-Fence").unwrap().as_str().split_once('.').unwrap();
        assert_eq!(epoch, system.status(&slug).await["epoch"].to_string());
        assert!(revision.parse::<u64>().unwrap() > 0);
    }
    // A frame of a stale owner reaches no viewer.
    let mut stale = async_nats::HeaderMap::new();
    for (name, value) in [
        ("Rsm-Fence", "1.1"),
        ("Rsm-Seq", "1"),
        ("Rsm-Captured-At", "1"),
        ("Rsm-Published-At", "1"),
        ("Rsm-Width", "1"),
        ("Rsm-Height", "1"),
    ] {
        stale.insert(name, value);
    }
    client.publish_with_headers(format!("rsm.v1.frame.default.{slug}"), stale, "stale".into()).await.unwrap();
    client.flush().await.unwrap();
    let metrics = async || system.get("/metrics").await.text().await.unwrap();
    eventually("the stale frame to be counted", metrics, |m| m.contains("rsm_stale_frames_total 1")).await;
    for _ in 0..5 {
        assert_ne!(viewer.next().await.unwrap(), b"stale");
    }
}

#[tokio::test]
async fn a_consumer_on_nats_gets_frames_by_asking_for_them() {
    let (camera, nats) = (Camera::start().await, Nats::start().await);
    let system = System::start_with(None, &["--nats", &nats.url], &[]).await;
    // The demand is published once: the worker has to be subscribed before.
    let joined = async || system.json("/metrics/targets").await;
    eventually("the worker to join", joined, |t| t[1]["labels"]["role"] == "worker").await;
    let (slug, _) = system.add(json!({ "url": camera.url() })).await;
    let client = nats.client().await;
    let mut frames = client.subscribe(format!("rsm.v1.frame.default.{slug}")).await.unwrap();
    let wish =
        json!({ "v": 1, "from": "me", "ttl_ms": 6000, "jpeg": { "max_fps": 5, "max_width": 160, "quality": 70 } });
    client.publish(format!("rsm.v1.demand.default.{slug}"), wish.to_string().into()).await.unwrap();
    let frame = within("a frame", futures_util::StreamExt::next(&mut frames)).await.unwrap();
    assert_eq!(image::load_from_memory(&frame.payload).unwrap().width(), 160);
    // The demand is not repeated: it ends by itself.
    eventually("no RTSP session", async || camera.sessions().await.0, |playing| *playing == 0).await;
}

#[tokio::test]
async fn a_wiped_nats_is_written_again_and_no_pipeline_restarts() {
    let (camera, nats) = (Camera::start().await, Nats::start().await);
    let system = System::start_with(None, &["--nats", &nats.url], &[]).await;
    let (slug, _) = system.add(json!({ "url": camera.url(), "always_on": true })).await;
    let epoch = system.until_state(&slug, "running").await["epoch"].clone();
    let js = jetstream::new(nats.client().await);
    for stream in ["RSM_CMD", "KV_RSM_DESIRED", "KV_RSM_CLAIMS"] {
        within("a stream to be deleted", js.delete_stream(stream)).await.unwrap();
    }
    eventually("the record to be there again", async || nats.count("KV_RSM_DESIRED", ">").await, |n| *n == 1).await;
    assert_eq!(system.status(&slug).await["epoch"], epoch);
    assert_eq!(camera.sessions().await, (1, 1), "nothing restarted");
    let (other, _) = system.add(json!({ "url": camera.url() })).await;
    JpegViewer::open(&system, &other).await.frame_number().await;
}

#[tokio::test]
async fn a_second_worker_of_the_same_name_is_refused() {
    let nats = Nats::start().await;
    let system = System::start_with(None, &["--nats", &nats.url], &[("RSM__WORKER__NAME", "twin")]).await;
    let joined = async || system.json("/metrics/targets").await;
    eventually("the worker to join", joined, |t| t[1]["labels"]["role"] == "worker").await;
    let dir = tempfile::tempdir().unwrap();
    // `rsm up` numbers its workers.
    let output = tokio::process::Command::new(crate::harness::process::rsm())
        .args(["worker", "--name", "twin-1", "--nats", &nats.url, "--log", "off", "--data-dir"])
        .arg(dir.path())
        .kill_on_drop(true)
        .output();
    let output = within("the second worker to end", output).await.unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("twin-1") && text.contains("another live worker"), "{text}");
}
