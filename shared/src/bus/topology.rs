//! Streams, buckets and consumers, made by the API when they are missing. Written with plain stream calls: the
//! client's key-value constructor asks 2.9 servers for account information that they do not send in full.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, ReplayPolicy, pull};
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use tracing::info;

use super::connect::Bus;
use super::{BusError, within};
use crate::stream::names::Zone;
use crate::wire::messages::Priority;
use crate::wire::subjects;

/// Largest ticket.
const MAX_TICKET_LEN: i32 = 64 << 10;
/// Tickets are told apart by `<cam>:<epoch>` for this long.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
/// A ticket that was pulled and not acknowledged goes to another worker after this time.
const ACK_WAIT: Duration = Duration::from_secs(5);
/// Pulled and not yet acknowledged tickets of one consumer.
const MAX_ACK_PENDING: i64 = 20_000;
/// Workers that wait at one consumer.
const MAX_WAITING: i64 = 512;

/// What [`ensure`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Desired records that are stored.
    pub desired_records: u64,
    /// Records for relays that are stored.
    pub directory_records: u64,
}

/// Makes what is missing, changes nothing that is there. Safe to repeat. `fresh` is set when a stream was missing,
/// also when something fails after that.
///
/// # Errors
/// [`BusError`] when JetStream does not answer, or refuses (its words are in the error).
pub async fn ensure(bus: &Bus, zones: &[Zone], replicas: usize, fresh: &mut bool) -> Result<Found, BusError> {
    let (created, _) = stream(bus, commands(replicas)).await?;
    *fresh |= created;
    let (created, desired_records) =
        stream(bus, bucket(subjects::DESIRED_STREAM, subjects::DESIRED_SUBJECTS, replicas, true)).await?;
    *fresh |= created;
    *fresh |= stream(bus, bucket(subjects::CLAIMS_STREAM, subjects::CLAIMS_SUBJECTS, replicas, false)).await?.0;
    let (created, directory_records) =
        stream(bus, bucket(subjects::DIRECTORY_STREAM, subjects::DIRECTORY_SUBJECTS, replicas, true)).await?;
    *fresh |= created;
    for zone in zones {
        for priority in Priority::ALL {
            consumer(bus, zone, priority).await?;
        }
    }
    Ok(Found { desired_records, directory_records })
}

fn commands(replicas: usize) -> Config {
    Config {
        name: subjects::COMMANDS_STREAM.into(),
        subjects: vec![subjects::COMMANDS_SUBJECTS.into()],
        retention: RetentionPolicy::WorkQueue,
        storage: StorageType::File,
        num_replicas: replicas,
        // A newer ticket of a stream replaces the older one, pending or in flight.
        max_messages_per_subject: 1,
        discard: DiscardPolicy::Old,
        max_message_size: MAX_TICKET_LEN,
        duplicate_window: DUPLICATE_WINDOW,
        ..Config::default()
    }
}

/// A key-value bucket in the form that key-value tools know.
fn bucket(name: &str, subject: &str, replicas: usize, direct: bool) -> Config {
    Config {
        name: name.into(),
        subjects: vec![subject.into()],
        storage: StorageType::File,
        num_replicas: replicas,
        max_messages_per_subject: 1,
        discard: DiscardPolicy::New,
        allow_rollup: true,
        deny_delete: true,
        // Direct reads may be answered by a replica that lags: never for claims.
        allow_direct: direct && replicas == 1,
        ..Config::default()
    }
}

/// Whether the stream had to be made, and how many messages it holds.
async fn stream(bus: &Bus, config: Config) -> Result<(bool, u64), BusError> {
    let what = "look up a JetStream stream";
    match tokio::time::timeout(super::REQUEST_DEADLINE, bus.js.get_stream(&config.name)).await {
        Err(_) => Err(BusError::Deadline { what }),
        Ok(Ok(found)) => Ok((false, found.cached_info().state.messages)),
        Ok(Err(e)) => match e.kind() {
            GetStreamErrorKind::JetStream(js) if js.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                let name = config.name.clone();
                within("create a JetStream stream", bus.js.create_stream(config)).await?;
                info!(stream = name, "created on NATS");
                Ok((true, 0))
            }
            _ => Err(BusError::Failed { what, detail: e.to_string() }),
        },
    }
}

/// The work queue's consumer of one zone and priority. Filters of a work queue must not overlap; these cannot.
async fn consumer(bus: &Bus, zone: &Zone, priority: Priority) -> Result<(), BusError> {
    let name = subjects::start_consumer(zone, priority);
    let config = pull::Config {
        durable_name: Some(name),
        filter_subject: subjects::start_filter(zone, priority),
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        // Anything else leaves messages that used up their deliveries in the stream for ever.
        max_deliver: -1,
        max_ack_pending: MAX_ACK_PENDING,
        max_waiting: MAX_WAITING,
        deliver_policy: DeliverPolicy::All,
        replay_policy: ReplayPolicy::Instant,
        ..pull::Config::default()
    };
    // Creating one that is there with the same configuration changes nothing.
    within("create a consumer of start tickets", bus.js.create_consumer_on_stream(config, subjects::COMMANDS_STREAM))
        .await
        .map(drop)
}
