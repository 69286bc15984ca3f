//! The users and permissions of config/nats-cluster: enough for each role, and no more.

use std::time::Duration;

use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::{Client, Event, HeaderMap, ServerError, jetstream};
use futures_util::StreamExt as _;
use serde_json::json;
use tokio::sync::mpsc;

use crate::harness::camera::Camera;
use crate::harness::cluster::{NatsServer, environment, password};
use crate::harness::service::Service;
use crate::harness::viewer::JpegViewer;
use crate::harness::{eventually, within};

/// A client that records refusals of the server.
struct Tester {
    user: &'static str,
    client: Client,
    refusals: mpsc::UnboundedReceiver<String>,
}

impl Tester {
    #[expect(clippy::disallowed_methods, reason = "the messages of one test")]
    async fn connect(server: &NatsServer, user: &'static str) -> Self {
        let (refused, refusals) = mpsc::unbounded_channel();
        let options = async_nats::ConnectOptions::with_user_and_password(user.to_owned(), password(user))
            .custom_inbox_prefix(format!("_INBOX_{user}"))
            .event_callback(move |event| {
                if let Event::ServerError(ServerError::Other(text)) = event {
                    let _ = refused.send(text);
                }
                std::future::ready(())
            });
        let client = within("a connection", options.connect(&server.url)).await.unwrap();
        Self { user, client, refusals }
    }

    /// Refusals of all that was sent so far. The server answers in order: they come before the refusal of a last
    /// publish that no user may make.
    async fn refused(&mut self) -> Vec<String> {
        self.client.publish("rsm.v1.last.word", "".into()).await.unwrap();
        let mut refused = Vec::new();
        loop {
            let text = within("the last refusal", self.refusals.recv()).await.unwrap();
            if text.contains("rsm.v1.last.word") {
                return refused;
            }
            refused.push(text);
        }
    }

    async fn may_not_publish(&mut self, subject: &str) {
        self.client.publish(subject.to_owned(), "{}".into()).await.unwrap();
        let refused = self.refused().await;
        assert!(
            refused.iter().any(|text| text.contains("Publish") && text.contains(subject)),
            "{} may publish {subject}: {refused:?}",
            self.user
        );
    }

    async fn may_publish(&mut self, subject: &str) {
        self.client.publish(subject.to_owned(), "{}".into()).await.unwrap();
        let refused = self.refused().await;
        assert!(refused.is_empty(), "{} may not publish {subject}: {refused:?}", self.user);
    }

    async fn may_not_hear(&mut self, subject: &str) {
        let _ear = self.client.subscribe(subject.to_owned()).await.unwrap();
        let refused = self.refused().await;
        assert!(
            refused.iter().any(|text| text.contains("Subscription")),
            "{} may hear {subject}: {refused:?}",
            self.user
        );
    }

    async fn may_hear(&mut self, subject: &str) {
        let _ear = self.client.subscribe(subject.to_owned()).await.unwrap();
        let refused = self.refused().await;
        assert!(refused.is_empty(), "{} may not hear {subject}: {refused:?}", self.user);
    }
}

#[tokio::test]
async fn roles_with_users_of_their_own_show_a_camera_and_are_refused_nothing() {
    let (camera, server) = (Camera::start().await, NatsServer::single().await);
    let (dir, segments) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let api = Service::api(dir.path(), &environment(&server.url, "api")).await;
    let worker = Service::worker("w1", segments.path(), &environment(&server.url, "worker-default")).await;
    api.until_ready().await;
    worker.until_ready().await;

    let slug = api.add(&json!({ "url": camera.url() })).await;
    let mut viewer = JpegViewer::try_open_at(&api.base, &slug).await.unwrap();
    viewer.frame_number().await;
    assert_eq!(api.until_state(&slug, "running").await["worker"], "w1");
    drop(viewer);
    api.until_state(&slug, "idle").await;
    for role in [&api, &worker] {
        assert_eq!(role.errors(""), 0, "{}", role.log.text());
    }
}

#[tokio::test]
async fn a_relay_with_a_user_of_its_own_lists_a_camera_and_shows_it_and_nobody_is_refused_anything() {
    let (camera, server) = (Camera::start().await, NatsServer::single().await);
    let dirs: [_; 3] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let api = Service::api(dirs[0].path(), &environment(&server.url, "api")).await;
    let worker = Service::worker("w1", dirs[1].path(), &environment(&server.url, "worker-default")).await;
    let relay = Service::relay(dirs[2].path(), &environment(&server.url, "relay")).await;
    for role in [&api, &worker, &relay] {
        role.until_ready().await;
    }
    let slug = api.add(&json!({ "url": camera.url() })).await;
    let listed = async || relay.get("/video/").await.1;
    eventually("the camera in the list of the relay", listed, |list| list[0]["slug"] == slug.as_str()).await;

    let mut viewer = JpegViewer::try_open_at(&relay.base, &slug).await.unwrap();
    viewer.frame_number().await;
    assert_eq!(relay.until_state(&slug, "running").await["worker"], "w1");
    drop(viewer);
    relay.until_state(&slug, "idle").await;
    for role in [&api, &worker, &relay] {
        assert_eq!(role.errors(""), 0, "{}", role.log.text());
        assert!(!role.log.text().contains("NATS refuses"), "{}", role.log.text());
    }
    assert!(!server.log().contains("Permissions Violation"), "{}", server.log());
}

#[tokio::test]
async fn each_role_may_do_its_work_and_nothing_else() {
    let server = NatsServer::single().await;
    let dir = tempfile::tempdir().unwrap();
    let api = Service::api(dir.path(), &environment(&server.url, "api")).await;
    api.until_ready().await;

    let mut relay = Tester::connect(&server, "relay").await;
    for subject in ["rsm.v1.demand.default.yard", "rsm.v1.relay.r1", "$JS.API.STREAM.INFO.KV_RSM_DIRECTORY"] {
        relay.may_publish(subject).await;
    }
    for subject in ["rsm.v1.frame.*.*", "rsm.v1.frame.*.*.*"] {
        relay.may_hear(subject).await;
    }
    for subject in [
        "rsm.v1.cmd.start.default.hi.yard",
        "rsm.v1.cmd.stop.default.yard",
        "rsm.v1.ctl.w1.s1",
        "rsm.v1.hb.w1",
        "rsm.v1.frame.default.yard",
        "$KV.RSM_DIRECTORY.default.yard",
        "$KV.RSM_DESIRED.default.yard",
        "$JS.API.DIRECT.GET.KV_RSM_DESIRED.$KV.RSM_DESIRED.default.yard",
        "$JS.API.STREAM.MSG.GET.KV_RSM_DESIRED",
        "$JS.API.STREAM.MSG.GET.RSM_CMD",
        "$JS.API.CONSUMER.CREATE.KV_RSM_DESIRED.r1.$KV.RSM_DESIRED.>",
        "$JS.API.CONSUMER.MSG.NEXT.RSM_CMD.start_default_hi",
        "$JS.API.STREAM.PURGE.KV_RSM_DIRECTORY",
        "$JS.API.STREAM.DELETE.KV_RSM_DIRECTORY",
        "$JS.API.STREAM.CREATE.COPY",
    ] {
        relay.may_not_publish(subject).await;
    }
    // Requests to look carry a camera's password.
    for subject in ["$KV.RSM_DESIRED.>", "rsm.v1.look.*", "rsm.v1.hb.*", "_INBOX_api.>", "_INBOX.>", ">"] {
        relay.may_not_hear(subject).await;
    }

    let mut worker = Tester::connect(&server, "worker-north").await;
    for subject in [
        "rsm.v1.hb.w1",
        "rsm.v1.evt.w1.yard",
        "rsm.v1.frame.north.yard",
        "rsm.v1.frame.north.yard.320",
        "$JS.API.DIRECT.GET.KV_RSM_DESIRED.$KV.RSM_DESIRED.north.yard",
        "$JS.API.CONSUMER.INFO.RSM_CMD.start_north_hi",
    ] {
        worker.may_publish(subject).await;
    }
    for subject in ["rsm.v1.ctl.w1.*", "rsm.v1.cmd.stop.north.*", "rsm.v1.demand.north.*", "rsm.v1.look.north"] {
        worker.may_hear(subject).await;
    }
    for subject in [
        "rsm.v1.frame.default.yard",
        "$KV.RSM_CLAIMS.default.yard.1",
        "$KV.RSM_DESIRED.north.yard",
        "$KV.RSM_DIRECTORY.north.yard",
        "rsm.v1.cmd.start.north.hi.yard",
        "rsm.v1.cmd.stop.north.yard",
        "rsm.v1.demand.north.yard",
        "rsm.v1.ctl.w2.s2",
        "rsm.v1.look.north",
        "$JS.API.DIRECT.GET.KV_RSM_DESIRED.$KV.RSM_DESIRED.default.yard",
        "$JS.API.DIRECT.GET.KV_RSM_DESIRED",
        "$JS.API.STREAM.MSG.GET.KV_RSM_DESIRED",
        "$JS.API.STREAM.MSG.GET.RSM_CMD",
        "$JS.API.CONSUMER.CREATE.KV_RSM_DESIRED.w.$KV.RSM_DESIRED.north.*",
        "$JS.API.CONSUMER.CREATE.KV_RSM_DESIRED",
        "$JS.API.CONSUMER.MSG.NEXT.RSM_CMD.start_default_hi",
        "$JS.API.CONSUMER.DELETE.RSM_CMD.start_north_hi",
        "$JS.ACK.RSM_CMD.start_default_hi.1.1.1.1.1",
        "$JS.API.STREAM.PURGE.KV_RSM_CLAIMS",
    ] {
        worker.may_not_publish(subject).await;
    }
    for subject in
        ["rsm.v1.cmd.stop.default.*", "rsm.v1.demand.default.*", "rsm.v1.look.default", "rsm.v1.look.*", "_INBOX_api.>"]
    {
        worker.may_not_hear(subject).await;
    }

    let mut api = Tester::connect(&server, "api").await;
    for subject in ["rsm.v1.frame.default.yard", "rsm.v1.hb.w1", "$KV.RSM_CLAIMS.default.yard.1"] {
        api.may_not_publish(subject).await;
    }
    api.may_not_publish("$JS.API.STREAM.DELETE.KV_RSM_DESIRED").await;
}

#[tokio::test]
async fn a_relay_reads_the_directory_and_no_worker_can_wipe_the_claims_of_others() {
    let server = NatsServer::single().await;
    let dir = tempfile::tempdir().unwrap();
    let api = Service::api(dir.path(), &environment(&server.url, "api")).await;
    api.until_ready().await;

    let writer = jetstream::new(server.client("api").await);
    writer.publish("$KV.RSM_DIRECTORY.north.yard", "{}".into()).await.unwrap().await.unwrap();
    let relay = jetstream::new(server.client("relay").await);
    let stream = relay.get_stream("KV_RSM_DIRECTORY").await.unwrap();
    let config = pull::Config {
        name: Some("relay-1".into()),
        filter_subject: "$KV.RSM_DIRECTORY.>".into(),
        inactive_threshold: Duration::from_secs(30),
        ack_policy: jetstream::consumer::AckPolicy::None,
        ..pull::Config::default()
    };
    let consumer: PullConsumer = stream.create_consumer(config).await.unwrap();
    let mut records = consumer.fetch().max_messages(1).messages().await.unwrap();
    let record = within("a record of the directory", records.next()).await.unwrap().unwrap();
    assert_eq!(record.subject.as_str(), "$KV.RSM_DIRECTORY.north.yard");
    stream.delete_consumer("relay-1").await.unwrap();

    let mut claims = Vec::new();
    for zone in ["default", "north"] {
        let worker = jetstream::new(server.client(&format!("worker-{zone}")).await);
        let claim = worker.publish(format!("$KV.RSM_CLAIMS.{zone}.yard.1"), "{}".into());
        claims.push(claim.await.unwrap().await.unwrap().sequence);
    }
    assert_eq!(claims, [1, 2]);
    let worker = jetstream::new(server.client("worker-north").await);
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Rollup", "all");
    let wipe = worker.publish_with_headers("$KV.RSM_CLAIMS.north.yard.2", headers, "{}".into()).await.unwrap();
    assert!(wipe.await.is_err(), "a roll-up was taken");
    let state = writer.get_stream("KV_RSM_CLAIMS").await.unwrap().cached_info().state.clone();
    assert_eq!(state.messages, 2);
}

#[tokio::test]
async fn a_wrong_password_or_permission_is_one_error_line_and_no_readiness() {
    let server = NatsServer::single().await;
    let dir = tempfile::tempdir().unwrap();
    let mut wrong = environment(&server.url, "api");
    wrong.retain(|(key, _)| *key != "RSM__NATS__PASSWORD");
    wrong.push(("RSM__NATS__PASSWORD", "not-the-password".into()));
    let api = Service::api(dir.path(), &wrong).await;
    api.until_unready("nats.password").await;
    // One for each of its two connections, however often they try.
    assert!((1..=2).contains(&api.errors("nats.password")), "{}", api.log.text());
    assert!(!api.log.text().contains("not-the-password"));

    let segments = tempfile::tempdir().unwrap();
    let worker = Service::worker("w1", segments.path(), &environment(&server.url, "relay")).await;
    worker.until_unready("lacks a permission").await;
    assert_eq!(worker.errors("rsm.v1.hb.w1"), 1, "{}", worker.log.text());
}
