//! Records of streams for relays: written by the API, followed by relays. A relay makes a consumer of its own for each
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

/// The server removes a consumer that was not read for this long.
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

/// Writes the record that relays follow for a stream.
///
/// # Errors
/// [`BusError`] when it was not stored, or the result is unknown.
pub async fn put(bus: &Bus, record: &DirectoryRecord) -> Result<(), BusError> {
    let what = "write a directory record";
    let subject = bus.stored(&subjects::directory(&record.zone, &record.cam));
    let ack = within(what, bus.js.publish(subject, encode(record))).await?;
    within(what, ack.into_future()).await.map(drop)
}

/// Removes the record of a stream. Followers get no notice of it: write a record that says so first.
///
/// # Errors
/// [`BusError`] when the server did not say that it did.
pub async fn purge(bus: &Bus, zone: &Zone, slug: &Slug) -> Result<(), BusError> {
    let what = "remove a directory record";
    let stream = within(what, bus.js.get_stream_no_info(subjects::DIRECTORY_STREAM)).await?;
    within(what, stream.purge().filter(subjects::directory(zone, slug)).into_future()).await.map(drop)
}

/// The number of stored records.
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

/// A change that a follower receives.
#[derive(Debug)]
pub enum News {
    /// All that is stored: after the beginning, and after each interruption.
    Snapshot(Vec<DirectoryRecord>),
    /// One record that changed.
    Change(Box<DirectoryRecord>),
    /// NATS cannot be read, for this reason; earlier records may be out of date.
    Away(String),
}

/// Follows the records for ever: tells all that is stored, then changes as they are written; begins again after every
/// error and reconnect. `told` must not wait.
pub async fn follow(bus: &Bus, mut told: impl FnMut(News)) {
    let mut pause = PAUSE;
    loop {
        let begun = Instant::now();
        let why = follow_once(bus, &mut told).await;
        debug!(error = %why, "the directory is followed anew");
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
    // A first connect is reported a moment after it is made, and must not look like a second one.
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
        // Nothing is acknowledged, so nothing is sent again: only a new reading has the messages that were lost.
        self.sequence += 1;
        if info.consumer_sequence != self.sequence {
            let detail = format!("record {} came where {} was due", info.consumer_sequence, self.sequence);
            return Err(BusError::Failed { what: READ, detail });
        }
        // The server counts the remaining records; our own count is for a server that gets it wrong.
        self.left = self.left.saturating_sub(1).min(info.pending);
        let record = decode::<DirectoryRecord>("read a directory record", &message.payload);
        Ok(record
            .map_err(|e| debug!(subject = %message.subject, error = %e, "a record of the directory is not readable"))
            .ok())
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
#[path = "directory_tests.rs"]
mod tests;
