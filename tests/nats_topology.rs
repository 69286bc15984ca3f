//! Streams and consumers on NATS: made, kept in shape, repaired.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::{self, Context};
use futures_util::StreamExt as _;
use rsm_shared::bus::connect::{Bus, Purpose};
use rsm_shared::bus::{tickets, topology};
use rsm_shared::config::NatsConfig;
use rsm_shared::stream::fence::Epoch;
use rsm_shared::stream::names::Zone;
use rsm_shared::stream::secret::Secret;
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::messages::{Priority, Ticket, TicketReason, VERSION};

use crate::harness::cluster::{NatsServer, password};
use crate::harness::{eventually, within};

async fn bus(server: &NatsServer) -> Bus {
    let config = NatsConfig {
        urls: vec![server.url.clone()],
        user: Some("api".into()),
        password: Some(Secret::new(password("api"))),
        domain: None,
        ca_file: None,
        replicas: 1,
    };
    let bus = Bus::connect(&config, Purpose::Control, "test").await.unwrap();
    eventually("a connection", async || bus.connected(), |up| *up).await;
    bus
}

async fn ensure(bus: &Bus, zones: &[Zone]) {
    let round = async || topology::ensure(bus, zones, 1, &mut false).await.map_err(|e| e.to_string());
    eventually("everything to be in shape", round, Result::is_ok).await.unwrap();
}

async fn consumer(js: &Context, name: &str) -> jetstream::consumer::Info {
    let found: PullConsumer = js.get_consumer_from_stream(name, "RSM_CMD").await.unwrap();
    found.cached_info().clone()
}

fn ticket(cam: &str) -> Ticket {
    Ticket {
        v: VERSION,
        cam: Slug::parse(cam).unwrap(),
        zone: Zone::default_zone(),
        epoch: Epoch(1),
        reason: TicketReason::Start,
        media_sequence: 0,
        discontinuity_sequence: 0,
        avoid: None,
        traceparent: None,
    }
}

/// As a worker of the zone `default` does it, without an acknowledgement.
async fn pull_one(worker: &Context) -> Option<String> {
    let queue: PullConsumer = worker.get_consumer_from_stream("start_default_hi", "RSM_CMD").await.ok()?;
    let mut batch = queue.batch().max_messages(1).expires(Duration::from_millis(200)).messages().await.ok()?;
    Some(batch.next().await?.ok()?.subject.to_string())
}

#[tokio::test]
async fn a_round_at_rest_asks_six_questions_however_many_zones_there_are() {
    let server = NatsServer::single().await;
    let bus = bus(&server).await;
    let zones: Vec<Zone> = (0..16).map(|n| Zone::parse(&format!("zone-{n}")).unwrap()).collect();
    ensure(&bus, &zones).await;
    let js = jetstream::new(server.client("api").await);
    let stream = js.get_stream("RSM_CMD").await.unwrap();
    assert_eq!(stream.cached_info().state.consumer_count, 32);
    js.publish("rsm.v1.cmd.start.zone-1.hi.yard", "{}".into()).await.unwrap().await.unwrap();

    let before = server.requests().await;
    ensure(&bus, &zones).await;
    let asked = server.requests().await - before;
    assert!((5..=6).contains(&asked), "{asked} questions");
}

#[tokio::test]
async fn consumers_that_differ_from_ours_become_ours() {
    let server = NatsServer::single().await;
    let (bus, zones) = (bus(&server).await, [Zone::default_zone()]);
    ensure(&bus, &zones).await;
    let js = jetstream::new(server.client("api").await);
    for (name, deliver_policy, ack_wait) in
        [("start_default_hi", DeliverPolicy::All, 60), ("start_default_lo", DeliverPolicy::New, 5)]
    {
        js.delete_consumer_from_stream(name, "RSM_CMD").await.unwrap();
        let priority = name.rsplit('_').next().unwrap();
        let other = pull::Config {
            durable_name: Some(name.into()),
            filter_subject: format!("rsm.v1.cmd.start.default.{priority}.*"),
            ack_policy: AckPolicy::Explicit,
            ack_wait: Duration::from_secs(ack_wait),
            deliver_policy,
            ..pull::Config::default()
        };
        // A work queue takes consumers from the first message on only, with some versions.
        if js.create_consumer_on_stream(other, "RSM_CMD").await.is_err() {
            assert_eq!(deliver_policy, DeliverPolicy::New);
        }
    }
    ensure(&bus, &zones).await;
    for name in ["start_default_hi", "start_default_lo"] {
        let config = consumer(&js, name).await.config;
        assert_eq!((config.ack_wait, config.deliver_policy), (Duration::from_secs(5), DeliverPolicy::All), "{name}");
        assert_eq!((config.max_waiting, config.max_deliver), (512, -1), "{name}");
    }
}

#[tokio::test]
async fn a_consumer_ahead_of_a_stream_that_lost_its_end_hands_out_tickets_again() {
    let mut server = NatsServer::single().await;
    let (bus, zones) = (bus(&server).await, [Zone::default_zone()]);
    ensure(&bus, &zones).await;
    let worker = jetstream::new(server.client("worker-default").await);
    for cam in ["a", "b", "c"] {
        tickets::publish(&bus, &ticket(cam), Priority::Hi).await.unwrap();
        assert!(pull_one(&worker).await.is_some());
    }
    // A possible effect of an abrupt end: the queue is lost, the state of its consumer is not.
    server.stop().await;
    let lost = server.dir().join("store/jetstream/RSM/streams/RSM_CMD/msgs");
    std::fs::remove_dir_all(&lost).unwrap();
    std::fs::create_dir(&lost).unwrap();
    server.start();
    let mut connects = bus.connects();
    within("a connection", connects.wait_for(|_| bus.connected())).await.unwrap();

    ensure(&bus, &zones).await;
    let js = jetstream::new(server.client("api").await);
    let last = js.get_stream("RSM_CMD").await.unwrap().cached_info().state.last_sequence;
    let delivered = consumer(&js, "start_default_hi").await.delivered.stream_sequence;
    assert!(delivered <= last, "{delivered} of {last}");
    tickets::publish(&bus, &ticket("d"), Priority::Hi).await.unwrap();
    let got = eventually("the new ticket", async || pull_one(&worker).await, Option::is_some).await;
    assert_eq!(got.as_deref(), Some("rsm.v1.cmd.start.default.hi.d"));
}

#[tokio::test]
async fn a_queue_that_is_made_anew_hands_out_at_once_what_nobody_has_finished() {
    let server = NatsServer::single().await;
    let (bus, zone) = (bus(&server).await, Zone::default_zone());
    ensure(&bus, std::slice::from_ref(&zone)).await;
    let worker = jetstream::new(server.client("worker-default").await);
    tickets::publish(&bus, &ticket("yard"), Priority::Hi).await.unwrap();
    assert!(pull_one(&worker).await.is_some());
    let queue = tickets::queue(&bus, &zone, Priority::Hi).await.unwrap();
    assert_eq!((queue.delivered, queue.waiting, queue.unacknowledged), (1, 0, 1));

    tickets::recreate(&bus, &zone, Priority::Hi, "a test").await.unwrap();
    let queue = tickets::queue(&bus, &zone, Priority::Hi).await.unwrap();
    assert_eq!((queue.delivered, queue.waiting, queue.unacknowledged), (0, 1, 0));
    assert_eq!(pull_one(&worker).await.as_deref(), Some("rsm.v1.cmd.start.default.hi.yard"));
}
