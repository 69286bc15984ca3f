//! A camera whose zone changes: it is run by workers of the new one, its viewers stay, and nothing of it is left behind.

use std::collections::BTreeSet;

use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use futures_util::StreamExt as _;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::eventually;
use crate::harness::farm::{Farm, Owner, Plan};
use crate::harness::service::Service;
use crate::harness::watch::Watcher;

/// The last records of all subjects with `filter`, among them those of other zones.
async fn stored(js: &jetstream::Context, stream: &str, filter: &str) -> BTreeSet<String> {
    let stream = js.get_stream(stream).await.unwrap();
    let config = pull::Config {
        deliver_policy: DeliverPolicy::LastPerSubject,
        ack_policy: AckPolicy::None,
        filter_subject: filter.to_owned(),
        ..pull::Config::default()
    };
    let mut consumer = stream.create_consumer(config).await.unwrap();
    let count = usize::try_from(consumer.info().await.unwrap().num_pending).unwrap();
    let mut subjects = BTreeSet::new();
    let mut messages = consumer.fetch().max_messages(count.max(1)).messages().await.unwrap();
    while let Some(Ok(message)) = messages.next().await {
        subjects.insert(message.subject.to_string());
    }
    subjects
}

/// Keys of a stream's records in three buckets, without the last part of a claim.
async fn traces(farm: &Farm, slug: &str) -> BTreeSet<String> {
    let js = jetstream::new(farm.nats.client().await);
    let mut all = BTreeSet::new();
    for (bucket, rest) in [("DESIRED", ""), ("CLAIMS", ".*"), ("DIRECTORY", "")] {
        let filter = format!("$KV.RSM_{bucket}.*.{slug}{rest}");
        all.extend(stored(&js, &format!("KV_RSM_{bucket}"), &filter).await);
    }
    all.into_iter().map(|key| key.split('.').take(4).collect::<Vec<_>>().join(".")).collect()
}

fn all_traces(zone: &str, slug: &str) -> BTreeSet<String> {
    ["DESIRED", "CLAIMS", "DIRECTORY"].map(|bucket| format!("$KV.RSM_{bucket}.{zone}.{slug}")).into()
}

async fn until_owned_by(farm: &Farm, slug: &str, worker: &str) {
    let owner = async || farm.owner(slug).await;
    let fits = |owner: &Option<Owner>| owner.as_ref().is_some_and(|o| o.worker == worker && o.state == "running");
    eventually(&format!("{slug} to run at {worker}"), owner, fits).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_moves_to_workers_of_its_new_zone_and_its_viewers_stay() {
    let plan = Plan::of(2, 1).own_env("w1", "RSM__WORKER__ZONES", "a").own_env("w2", "RSM__WORKER__ZONES", "b");
    let farm = plan.start_bare().await;
    let dir = tempfile::tempdir().unwrap();
    let relay = Service::relay(dir.path(), &[("RSM__NATS__URLS", farm.nats.url.clone())]).await;
    let body = json!({ "url": farm.camera.url(), "name": "Yard", "zone": "a", "mjpeg": { "max_fps": 5 } });
    let (status, saved) = farm.send(Method::POST, "/video/", &body).await;
    assert_eq!(status, StatusCode::CREATED, "{saved}");
    let slug = saved["slug"].as_str().unwrap();
    let listed = async || relay.get("/video/").await.1;
    eventually("the relay to know it", listed, |list| list[0]["slug"] == slug).await;

    let viewers = [Watcher::open(&farm.base, slug).await, Watcher::open(&relay.base, slug).await];
    for viewer in &viewers {
        viewer.more(3).await;
    }
    until_owned_by(&farm, slug, "w1").await;

    let path = format!("/video/{slug}/");
    for (zone, worker) in [("b", "w2"), ("a", "w1")] {
        let (status, shown) = farm.send(Method::PATCH, &path, &json!({ "zone": zone })).await;
        assert_eq!((status, &shown["zone"]), (StatusCode::OK, &json!(zone)));
        until_owned_by(&farm, slug, worker).await;
        for viewer in &viewers {
            viewer.more(5).await;
        }
        eventually(
            "traces in the new zone only",
            async || traces(&farm, slug).await,
            |all| *all == all_traces(zone, slug),
        )
        .await;
        farm.until_one_session_each().await;
        eventually("the relay to know the zone", listed, |list| list[0]["zone"] == zone).await;
    }

    // No ticket waits in either zone.
    let js = jetstream::new(farm.nats.client().await);
    assert_eq!(js.get_stream("RSM_CMD").await.unwrap().cached_info().state.messages, 0);
    for viewer in &viewers {
        viewer.fine();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_leaves_a_zone_without_workers_starts_in_the_other_and_not_later_in_the_first() {
    let plan = Plan::of(1, 1).own_env("w1", "RSM__WORKER__ZONES", "b").own_env("w2", "RSM__WORKER__ZONES", "a");
    let mut farm = plan.start_bare().await;
    let body = json!({ "url": farm.camera.url(), "zone": "a", "always_on": true });
    let (status, saved) = farm.send(Method::POST, "/video/", &body).await;
    assert_eq!(status, StatusCode::CREATED, "{saved}");
    let slug = saved["slug"].as_str().unwrap();
    let status = async || farm.json(&format!("/video/{slug}/status")).await.unwrap_or_default();
    let says = |status: &serde_json::Value| status["reason"].as_str().is_some_and(|r| r.contains("zone a"));
    eventually("it to say that nobody runs zone a", status, says).await;
    let js = jetstream::new(farm.nats.client().await);
    let tickets = async || js.get_stream("RSM_CMD").await.unwrap().cached_info().state.messages;
    eventually("its ticket in the queue of zone a", tickets, |count| *count == 1).await;

    let (status, _) = farm.send(Method::PATCH, &format!("/video/{slug}/"), &json!({ "zone": "b" })).await;
    assert_eq!(status, StatusCode::OK);
    until_owned_by(&farm, slug, "w1").await;
    eventually("no ticket in any queue", tickets, |count| *count == 0).await;
    eventually("traces in zone b only", async || traces(&farm, slug).await, |all| *all == all_traces("b", slug)).await;

    let before = farm.sessions().await;
    farm.add_worker("w2").await;
    farm.beats(&["w2"], 3).await;
    until_owned_by(&farm, slug, "w1").await;
    assert_eq!(farm.sessions().await, before, "a worker of zone a leaves its camera alone");
}
