//! What relays know of streams: written by the API, followed by relays. A relay makes a consumer of its own for each
//! connection and begins with all that is stored, because the client's own watch resumes past a store that was wiped.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, ReplayPolicy, pull};
use async_nats::jetstream::stream::ConsumerErrorKind;
use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::connect::Bus;
use super::{BusError, REQUEST_DEADLINE, decode, encode, within};
use crate::stream::names::Zone;
use crate::stream::slug::Slug;
use crate::wire::messages::DirectoryRecord;
use crate::wire::subjects;

/// The server removes a consumer that nobody has asked for this long.
const INACTIVE: Duration = Duration::from_secs(30);
/// Records asked for at a time; each is below a kilobyte.
const BATCH: usize = 1000;
/// A pull is parked at the server for this long before it is repeated.
const PULL_EXPIRES: Duration = Duration::from_secs(20);
/// The server says this often that it is there while nothing changes.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Pause after a failure; doubles up to the longest.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Writes what relays know of a stream.
///
/// # Errors
/// [`BusError`] when it was not stored, or nobody can tell.
pub async fn put(bus: &Bus, record: &DirectoryRecord) -> Result<(), BusError> {
    let what = "write a directory record";
    let subject = bus.stored(&subjects::directory(&record.zone, &record.cam));
    let ack = within(what, bus.js.publish(subject, encode(record))).await?;
    within(what, ack.into_future()).await.map(drop)
}

/// Removes the record of a stream. Who follows is not told: write that it is removed first.
///
/// # Errors
/// [`BusError`] when the server did not say that it did.
pub async fn purge(bus: &Bus, zone: &Zone, slug: &Slug) -> Result<(), BusError> {
    let what = "remove a directory record";
    let stream = within(what, bus.js.get_stream_no_info(subjects::DIRECTORY_STREAM)).await?;
    within(what, stream.purge().filter(subjects::directory(zone, slug)).into_future()).await.map(drop)
}

/// How many records are stored.
///
/// # Errors
/// [`BusError`] when the bucket is missing or JetStream does not answer.
pub async fn count(bus: &Bus) -> Result<u64, BusError> {
    let stream = within("count directory records", bus.js.get_stream(subjects::DIRECTORY_STREAM)).await?;
    Ok(stream.cached_info().state.messages)
}

/// Everything that is stored now.
///
/// # Errors
/// [`BusError`] when the bucket is missing, or NATS falls silent meanwhile.
pub async fn read_all(bus: &Bus) -> Result<Vec<DirectoryRecord>, BusError> {
    let mut reader = Reader::open(bus).await?;
    let records = reader.snapshot().await;
    reader.close(bus).await;
    records
}

/// What a follower is told.
#[derive(Debug)]
pub enum News {
    /// All that is stored: after the beginning, and after each interruption.
    Snapshot(Vec<DirectoryRecord>),
    /// One record that changed.
    Change(Box<DirectoryRecord>),
    /// Nothing can be heard, and why; what was told before may be out of date.
    Away(String),
}

/// Follows the records for ever: tells all that is stored, then changes as they are written; begins again after every
/// error and reconnect. `told` must not wait.
pub async fn follow(bus: &Bus, mut told: impl FnMut(News)) {
    let mut pause = PAUSE;
    loop {
        let begun = Instant::now();
        let why = follow_once(bus, &mut told).await;
        debug!("the directory is followed anew: {why}");
        told(News::Away(why.to_string()));
        if begun.elapsed() > LONGEST_PAUSE {
            pause = PAUSE;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// With one consumer, until it fails or the connection is made anew.
async fn follow_once(bus: &Bus, told: &mut impl FnMut(News)) -> BusError {
    let mut connects = bus.connects();
    // A first connect is told a moment after it is made, and must not look like a second one.
    if connects.wait_for(|count| *count > 0).await.is_err() {
        return BusError::Failed { what: READ, detail: "the connection to NATS is closed".into() };
    }
    connects.mark_unchanged();
    let mut reader = match Reader::open(bus).await {
        Ok(reader) => reader,
        Err(e) => return e,
    };
    let why = loop {
        if !reader.whole {
            match reader.snapshot().await {
                Ok(records) => told(News::Snapshot(records)),
                Err(e) => break e,
            }
        }
        tokio::select! {
            Ok(()) = connects.changed() => {
                break BusError::Failed { what: READ, detail: "the connection to NATS was made anew".into() };
            }
            record = reader.next() => match record {
                Ok(Some(record)) => told(News::Change(Box::new(record))),
                Ok(None) => {}
                Err(e) => break e,
            }
        }
    };
    reader.close(bus).await;
    why
}

const READ: &str = "read the directory";

/// One consumer of the records, named, so that permissions can confine it.
struct Reader {
    name: String,
    messages: pull::Stream,
    /// Records that were stored when it began, and are not yet read.
    left: u64,
    /// All that was stored when it began has been handed out.
    whole: bool,
    /// The consumer's number of the last record that came; it counts from 1.
    sequence: u64,
}

impl Reader {
    async fn open(bus: &Bus) -> Result<Self, BusError> {
        let name = format!("relay_{}", crate::ops::process::unique());
        let config = pull::Config {
            name: Some(name.clone()),
            deliver_policy: DeliverPolicy::LastPerSubject,
            filter_subject: subjects::DIRECTORY_SUBJECTS.into(),
            ack_policy: AckPolicy::None,
            replay_policy: ReplayPolicy::Instant,
            inactive_threshold: INACTIVE,
            ..pull::Config::default()
        };
        let made = bus.js.create_consumer_on_stream(config, subjects::DIRECTORY_STREAM);
        let consumer: PullConsumer = match timeout(REQUEST_DEADLINE, made).await {
            Ok(Ok(consumer)) => consumer,
            Ok(Err(e)) => {
                let missing = matches!(e.kind(), ConsumerErrorKind::JetStream(js)
                    if js.error_code() == ErrorCode::STREAM_NOT_FOUND);
                let detail = if missing { "the API has not made it on NATS yet".into() } else { e.to_string() };
                return Err(BusError::Failed { what: READ, detail });
            }
            Err(_) => return Err(BusError::Deadline { what: READ }),
        };
        let left = consumer.cached_info().num_pending;
        let pull =
            consumer.stream().max_messages_per_batch(BATCH).expires(PULL_EXPIRES).heartbeat(HEARTBEAT).messages();
        let messages = within(READ, pull).await?;
        Ok(Self { name, messages, left, whole: false, sequence: 0 })
    }

    /// All that was stored at the beginning.
    async fn snapshot(&mut self) -> Result<Vec<DirectoryRecord>, BusError> {
        let mut records = Vec::new();
        while self.left > 0 {
            let next = timeout(REQUEST_DEADLINE, self.next()).await;
            records.extend(next.map_err(|_| BusError::Deadline { what: READ })??);
        }
        self.whole = true;
        Ok(records)
    }

    /// The next record; `None` for one that cannot be read.
    async fn next(&mut self) -> Result<Option<DirectoryRecord>, BusError> {
        let message = match self.messages.next().await {
            Some(Ok(message)) => message,
            Some(Err(e)) => return Err(BusError::failed(READ)(Box::new(e))),
            None => return Err(BusError::Failed { what: READ, detail: "the consumer ended".into() }),
        };
        let info = message.info().map_err(BusError::failed(READ))?;
        // Nothing is acknowledged, so nothing comes again: what was lost on the way is only in a new reading.
        self.sequence += 1;
        if info.consumer_sequence != self.sequence {
            let detail = format!("record {} came where {} was due", info.consumer_sequence, self.sequence);
            return Err(BusError::Failed { what: READ, detail });
        }
        // The server counts what is still to come; our own count is for one that gets it wrong.
        self.left = self.left.saturating_sub(1).min(info.pending);
        let record = decode::<DirectoryRecord>("read a directory record", &message.payload);
        Ok(record.map_err(|e| debug!(subject = %message.subject, "{e}")).ok())
    }

    /// Takes the consumer away; one that stays goes by itself after [`INACTIVE`].
    async fn close(self, bus: &Bus) {
        drop(self.messages);
        if bus.connected() {
            let gone = bus.js.delete_consumer_from_stream(&self.name, subjects::DIRECTORY_STREAM);
            let _ = timeout(REQUEST_DEADLINE, gone).await;
        }
    }
}

#[cfg(test)]
mod tests {
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
        // Another reader of the same consumer gets what the follower then never sees.
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
        hub.client.flush().await.unwrap();
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
}
