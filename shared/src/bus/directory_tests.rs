//! The directory against a real nats-server.

use std::process::{Child, Command, Stdio};

use tokio::sync::mpsc;

use super::*;
use crate::bus::connect::Purpose;
use crate::bus::topology;
use crate::config::Config;
use crate::stream::spec::JpegParams;
use crate::stream::state::StreamState;
use crate::wire::messages::VERSION;

/// Longest wait for anything.
const LONG: Duration = Duration::from_secs(30);

struct Server {
    child: Child,
    url: String,
    _dir: tempfile::TempDir,
}

impl Server {
    async fn start() -> (Self, Bus) {
        let dir = tempfile::tempdir().unwrap();
        let child = Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-p", "-1", "-js", "-sd"])
            .arg(dir.path().join("store"))
            .arg("--ports_file_dir")
            .arg(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server is installed");
        let file = dir.path().join(format!("nats-server_{}.ports", child.id()));
        let mut server = Self { child, url: String::new(), _dir: dir };
        let ports = eventually(|| {
            let text = std::fs::read(&file).ok()?;
            serde_json::from_slice::<serde_json::Value>(&text).ok()
        })
        .await;
        server.url = ports["nats"][0].as_str().unwrap().to_owned();
        let bus = server.connect(&[]).await;
        (server, bus)
    }

    async fn connect(&self, flags: &[(&str, &str)]) -> Bus {
        let mut all = vec![("nats.urls", self.url.clone())];
        all.extend(flags.iter().map(|(key, value)| (*key, (*value).to_owned())));
        let config = Config::load(None, &all).unwrap();
        let bus = Bus::connect(&config.nats, Purpose::Control, "test").await.unwrap();
        eventually(|| bus.connected().then_some(())).await;
        bus
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            match look() {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    timeout(LONG, found).await.expect("in time")
}

async fn make(bus: &Bus) {
    topology::ensure(bus, &[Zone::default_zone()], 1, &mut false).await.unwrap();
}

fn record(slug: &str, id: i64) -> DirectoryRecord {
    DirectoryRecord {
        v: VERSION,
        cam: Slug::parse(slug).unwrap(),
        id,
        name: slug.into(),
        zone: Zone::default_zone(),
        created: "2026-01-02T03:04:05Z".into(),
        enabled: true,
        always_on: false,
        jpeg: JpegParams { max_fps: 5, max_width: 640, quality: 80 },
        state: StreamState::Idle,
        reason: None,
        since_ms: 0,
        epoch: None,
        owner: None,
        video: None,
        audio: None,
        restarts: 0,
        hls_error: None,
        removed: false,
    }
}

fn names(records: &[DirectoryRecord]) -> Vec<&str> {
    let mut names: Vec<_> = records.iter().map(|record| record.name.as_str()).collect();
    names.sort_unstable();
    names
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "the messages of one test")]
async fn a_follower_waits_for_the_store_then_hears_all_and_every_change_also_after_a_wipe() {
    let (_server, bus) = Server::start().await;
    let (told, mut heard) = mpsc::unbounded_channel();
    let following = tokio::spawn({
        let bus = bus.clone();
        async move { follow(&bus, |news| drop(told.send(news))).await }
    });
    let mut next = async || timeout(LONG, heard.recv()).await.expect("news in time").unwrap();
    let News::Away(why) = next().await else { panic!("there is no store yet") };
    assert!(why.contains("the API has not made it"), "{why}");
    make(&bus).await;
    loop {
        match next().await {
            News::Away(_) => {}
            News::Snapshot(records) => break assert!(records.is_empty()),
            News::Change(record) => panic!("{record:?}"),
        }
    }
    put(&bus, &record("a", 1)).await.unwrap();
    let News::Change(change) = next().await else { panic!("a change") };
    assert_eq!(*change, record("a", 1));
    put(&bus, &record("b", 2)).await.unwrap();
    put(&bus, &DirectoryRecord { removed: true, ..record("a", 1) }).await.unwrap();
    let News::Change(change) = next().await else { panic!("a change") };
    assert_eq!(change.name, "b");
    let News::Change(change) = next().await else { panic!("a change") };
    assert!(change.removed);

    // A wiped store counts from 1 again: a watch that resumes would not hear of it.
    within("wipe", bus.js.delete_stream(subjects::DIRECTORY_STREAM)).await.unwrap();
    make(&bus).await;
    put(&bus, &record("c", 3)).await.unwrap();
    let mut seen = Vec::new();
    while names(&seen) != ["c"] {
        match next().await {
            News::Snapshot(records) => seen = records,
            News::Change(record) => seen.push(*record),
            News::Away(_) => {}
        }
    }
    // A connection that is made anew begins with everything.
    bus.reconnect().await;
    loop {
        if let News::Snapshot(records) = next().await {
            break assert_eq!(names(&records), ["c"]);
        }
    }
    following.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_records_are_read_and_one_that_is_not_readable_is_left_out() {
    let (_server, bus) = Server::start().await;
    assert!(read_all(&bus).await.is_err() && count(&bus).await.is_err(), "there is no store yet");
    make(&bus).await;
    assert!(read_all(&bus).await.unwrap().is_empty());
    for id in 0..2500 {
        let ack = bus.js.publish(format!("$KV.RSM_DIRECTORY.default.cam-{id}"), encode(&record("cam", id))).await;
        if id % 500 == 0 {
            ack.unwrap().await.unwrap();
        }
    }
    let bad = bus.js.publish("$KV.RSM_DIRECTORY.default.bad", "not a record".into()).await.unwrap();
    bad.await.unwrap();
    let mut ids: Vec<_> = read_all(&bus).await.unwrap().into_iter().map(|record| record.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..2500).collect::<Vec<_>>());
    assert_eq!(count(&bus).await.unwrap(), 2501);
    let cam = Slug::parse("cam-7").unwrap();
    purge(&bus, &Zone::default_zone(), &cam).await.unwrap();
    assert_eq!(read_all(&bus).await.unwrap().len(), 2499);
}
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "the messages of one test")]
async fn a_change_that_was_lost_on_the_way_is_told_by_a_new_reading() {
    let (_server, bus) = Server::start().await;
    make(&bus).await;
    let (told, mut heard) = mpsc::unbounded_channel();
    let following = tokio::spawn({
        let bus = bus.clone();
        async move { follow(&bus, |news| drop(told.send(news))).await }
    });
    let mut next = async || timeout(LONG, heard.recv()).await.expect("news in time").unwrap();
    let News::Snapshot(_) = next().await else { panic!("the store is there") };
    // Another reader of the same consumer takes a message, which the follower then never sees.
    let stream = bus.js.get_stream(subjects::DIRECTORY_STREAM).await.unwrap();
    let name = stream.consumer_names().next().await.unwrap().unwrap();
    let consumer: PullConsumer = stream.get_consumer(&name).await.unwrap();
    let mut thief = consumer.batch().max_messages(1).expires(LONG).messages().await.unwrap();
    // The server hands records to both in turn.
    for id in 0..4 {
        put(&bus, &record(&format!("cam-{id}"), id)).await.unwrap();
    }
    let stolen = timeout(LONG, thief.next()).await.expect("a record in time").unwrap().unwrap();
    let stolen = decode::<DirectoryRecord>("test", &stolen.payload).unwrap();
    let mut away = false;
    loop {
        match next().await {
            News::Snapshot(records) => {
                assert!(away && names(&records).contains(&stolen.name.as_str()));
                break;
            }
            News::Change(change) => assert_ne!(change.name, stolen.name),
            News::Away(why) => {
                assert!(why.contains("was due"), "{why}");
                away = true;
            }
        }
    }
    following.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_written_under_the_domain_when_there_is_one() {
    let (server, hub) = Server::start().await;
    let bus = server.connect(&[("nats.domain", "hub")]).await;
    // In the place of a store beyond a leaf node, which hears nothing else.
    let mut stored = hub.client.subscribe("$JS.hub.API.$KV.RSM_DIRECTORY.*.*").await.unwrap();
    // A question behind it on the same connection: its answer says that the server has the subscription.
    hub.client.request("$JS.API.INFO", "".into()).await.unwrap();
    let storing = async {
        let message = timeout(LONG, stored.next()).await.expect("a record in time").unwrap();
        let ack = r#"{"stream":"KV_RSM_DIRECTORY","seq":1}"#;
        hub.client.publish(message.reply.unwrap(), ack.into()).await.unwrap();
        (message.subject.to_string(), decode::<DirectoryRecord>("test", &message.payload).unwrap())
    };
    let a = record("a", 1);
    let (written, (subject, seen)) = tokio::join!(put(&bus, &a), storing);
    written.unwrap();
    assert_eq!((subject.as_str(), &seen), ("$JS.hub.API.$KV.RSM_DIRECTORY.default.a", &a));
}
