//! A site behind a leaf node.

use async_nats::{Client, Subscriber, jetstream};
use futures_util::stream::SelectAll;
use futures_util::{FutureExt as _, StreamExt as _};
use reqwest::StatusCode;
use serde_json::json;

use crate::harness::camera::Camera;
use crate::harness::cluster::{NatsServer, environment};
use crate::harness::eventually;
use crate::harness::service::Service;
use crate::harness::viewer::JpegViewer;

/// The zone that cameras are in.
const ZONE: &str = "default";

#[tokio::test]
async fn a_worker_behind_a_leaf_serves_the_hub_and_does_not_take_its_absence_for_an_absent_api() {
    let (camera, mut hub) = (Camera::start().await, NatsServer::hub(ZONE, &[]).await);
    let leaf = NatsServer::leaf_of(&hub, ZONE).await;
    let (dir, segments) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let api = Service::api(dir.path(), &environment(&hub.url, "api")).await;
    let mut site = environment(&leaf.url, "worker-north");
    site.push(("RSM__NATS__DOMAIN", "hub".into()));
    site.push(("RSM__CONTROL__HOLD_S", "10".into()));
    let worker = Service::worker("w1", segments.path(), &site).await;
    api.until_ready().await;
    worker.until_ready().await;

    let slug = api.add(&json!({ "url": camera.url(), "always_on": true, "exclusive": true })).await;
    assert_eq!(api.until_state(&slug, "running").await["worker"], "w1");
    let mut viewer = JpegViewer::try_open_at(&api.base, &slug).await.unwrap();
    viewer.frame_number().await;
    assert_eq!(camera.sessions().await, (1, 1));
    for role in [&api, &worker] {
        assert_eq!(role.errors(""), 0, "{}\n{}\n{}", role.log.text(), hub.log(), leaf.log());
    }

    // The leaf still answers, and reports at once that there is no subscriber.
    hub.kill().await;
    worker.until_unready("no contact").await;
    let (status, _) = worker.get("/health/live").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(camera.sessions().await, (1, 1), "it holds on");
    // Another worker may run the stream by now: after hold_s it stops.
    eventually("the camera to be let go", async || camera.sessions().await, |seen| *seen == (0, 1)).await;

    hub.start();
    worker.until_ready().await;
    api.until_state(&slug, "running").await;
    viewer.frame_number().await;
}

async fn ear(client: &Client, subjects: [&'static str; 2]) -> SelectAll<Subscriber> {
    let mut all = SelectAll::new();
    for subject in subjects {
        all.push(client.subscribe(subject).await.unwrap());
    }
    all
}

#[tokio::test]
async fn a_site_that_forbids_itself_nothing_still_has_only_its_own_zone() {
    let hub = NatsServer::single().await;
    let site = NatsServer::rogue_leaf_of(&hub).await;
    let dir = tempfile::tempdir().unwrap();
    let api = Service::api(dir.path(), &environment(&hub.url, "api")).await;
    api.until_ready().await;
    let (rogue, relay) = (site.client("worker-north").await, hub.client("relay").await);

    // Out of the site: frames of its own zone only. They are sent in pairs until the second of one is heard.
    let mut frames = ear(&relay, ["rsm.v1.frame.default.yard", "rsm.v1.frame.north.yard"]).await;
    let mut stops = hub.client("worker-default").await.subscribe("rsm.v1.cmd.stop.default.*").await.unwrap();
    relay.flush().await.unwrap();
    let heard = async || {
        rogue.publish("rsm.v1.cmd.stop.default.yard", "".into()).await.unwrap();
        rogue.publish("rsm.v1.frame.default.yard", "".into()).await.unwrap();
        rogue.publish("rsm.v1.frame.north.yard", "".into()).await.unwrap();
        rogue.flush().await.unwrap();
        frames.next().now_or_never().flatten().map(|frame| frame.subject.to_string())
    };
    let first = eventually("a frame of the site", heard, Option::is_some).await;
    assert_eq!(first.as_deref(), Some("rsm.v1.frame.north.yard"));
    assert!(stops.next().now_or_never().is_none(), "a site stopped a stream of another zone");

    // Into the site: its own zone only.
    let mut all = ear(&rogue, ["rsm.v1.demand.default.*", "rsm.v1.demand.north.*"]).await;
    rogue.flush().await.unwrap();
    let heard = async || {
        relay.publish("rsm.v1.demand.default.yard", "".into()).await.unwrap();
        relay.publish("rsm.v1.demand.north.yard", "".into()).await.unwrap();
        relay.flush().await.unwrap();
        all.next().now_or_never().flatten().map(|demand| demand.subject.to_string())
    };
    let first = eventually("demand at the site", heard, Option::is_some).await;
    assert_eq!(first.as_deref(), Some("rsm.v1.demand.north.yard"));

    // Records, which have passwords of cameras.
    let writer = jetstream::new(hub.client("api").await);
    for zone in ["default", "north"] {
        writer.publish(format!("$KV.RSM_DESIRED.{zone}.yard"), "{}".into()).await.unwrap().await.unwrap();
        let read = format!("$JS.hub.API.DIRECT.GET.KV_RSM_DESIRED.$KV.RSM_DESIRED.{zone}.yard");
        let answer = rogue.request(read, "".into()).await;
        assert_eq!(answer.is_ok(), zone == "north", "{zone}: {answer:?}");
    }
    for forbidden in ["STREAM.MSG.GET.KV_RSM_DESIRED", "STREAM.PURGE.KV_RSM_DESIRED", "STREAM.DELETE.RSM_CMD"] {
        let answer = rogue
            .request(format!("$JS.hub.API.{forbidden}"), r#"{"last_by_subj":"$KV.RSM_DESIRED.default.yard"}"#.into());
        let answer = answer.await;
        assert!(answer.is_err(), "{forbidden}: {answer:?}");
    }
}
