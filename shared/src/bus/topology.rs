//! Streams and buckets, made by the API when they are missing and changed when they are not as they should be.
//! Written with plain stream calls: the client's key-value constructor asks 2.9 servers for account information that
//! they do not send in full.

use std::sync::Once;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, State, StorageType};
use tracing::{info, warn};

use super::connect::Bus;
use super::{BusError, consumers, within};
use crate::stream::names::Zone;
use crate::wire::subjects;

/// Largest ticket.
const MAX_TICKET_LEN: i32 = 64 << 10;
/// Tickets are told apart by `<cam>:<epoch>` for this long.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
/// Before this version compare-and-set updates of replicated streams had several winners.
const REPLICATES_WELL: (i64, i64, i64) = (2, 9, 21);

/// The records that [`ensure`] counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Desired records that are stored.
    pub desired_records: u64,
    /// Records for relays that are stored.
    pub directory_records: u64,
}

/// Makes missing streams and consumers, and repairs those that differ: a number of copies that was changed, a consumer
/// that has fallen out of step with its stream. Safe to repeat; at rest it asks six questions, however many zones
/// there are. `fresh` is set when a stream was missing, also when something fails after that.
///
/// # Errors
/// [`BusError`] when JetStream does not answer, or refuses (its words are in the error). A cluster that has just begun
/// does so for a few seconds.
pub async fn ensure(bus: &Bus, zones: &[Zone], replicas: usize, fresh: &mut bool) -> Result<Found, BusError> {
    warn_of_old_servers(bus, replicas);
    let (created, _) = stream(bus, commands(replicas)).await?;
    *fresh |= created;
    let (created, desired) =
        stream(bus, bucket(subjects::DESIRED_STREAM, subjects::DESIRED_SUBJECTS, replicas)).await?;
    *fresh |= created;
    *fresh |= stream(bus, claims(replicas)).await?.0;
    let (created, directory) =
        stream(bus, bucket(subjects::DIRECTORY_STREAM, subjects::DIRECTORY_SUBJECTS, replicas)).await?;
    *fresh |= created;
    consumers::ensure(bus, zones).await?;
    Ok(Found { desired_records: desired.messages, directory_records: directory.messages })
}

/// Says so once. Nothing here ever updates by compare-and-set: claims are keys that are written once, and those were
/// exact on old servers too.
fn warn_of_old_servers(bus: &Bus, replicas: usize) {
    static SAID: Once = Once::new();
    if replicas > 1 && bus.connected() && !bus.server_is_at_least(REPLICATES_WELL) {
        SAID.call_once(|| {
            let (major, minor, patch) = REPLICATES_WELL;
            warn!(replicas, advised = %format_args!("{major}.{minor}.{patch}"), "nats-server is older than is advised for clusters");
        });
    }
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

/// A key-value bucket in the form that key-value tools know. Reads are direct: they name the key in the subject, so
/// that permissions can confine a reader to its zone. In a cluster a copy that lags may answer; every record has an
/// epoch, by which its reader notices.
fn bucket(name: &str, subject: &str, replicas: usize) -> Config {
    Config {
        name: name.into(),
        subjects: vec![subject.into()],
        storage: StorageType::File,
        num_replicas: replicas,
        max_messages_per_subject: 1,
        discard: DiscardPolicy::New,
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        ..Config::default()
    }
}

/// The bucket of claims is read from the leader only, for a copy that lags would deny a claim. And it takes no
/// roll-ups: workers write here, and one such message could remove the claims of every zone.
fn claims(replicas: usize) -> Config {
    Config {
        allow_direct: false,
        allow_rollup: false,
        ..bucket(subjects::CLAIMS_STREAM, subjects::CLAIMS_SUBJECTS, replicas)
    }
}

/// The state of the stream; the flag is true when it had to be made.
async fn stream(bus: &Bus, config: Config) -> Result<(bool, State), BusError> {
    let what = "look up a JetStream stream";
    match tokio::time::timeout(super::REQUEST_DEADLINE, bus.js.get_stream(&config.name)).await {
        Err(_) => Err(BusError::Deadline { what }),
        Ok(Ok(found)) => {
            let info = found.cached_info();
            if !fits(&info.config, &config) {
                within("change a JetStream stream", bus.js.update_stream(&config)).await?;
                info!(store = config.name, replicas = config.num_replicas, "changed a JetStream stream on NATS");
            }
            Ok((false, info.state.clone()))
        }
        Ok(Err(e)) => match e.kind() {
            GetStreamErrorKind::JetStream(js) if js.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                let name = config.name.clone();
                let made = within("create a JetStream stream", bus.js.create_stream(config)).await?;
                info!(store = name, "created a JetStream stream on NATS");
                Ok((true, made.cached_info().state.clone()))
            }
            _ => Err(BusError::Failed { what, detail: e.to_string() }),
        },
    }
}

/// True when a stream has the wanted value of every setting that an earlier version or another number of copies sets
/// otherwise.
fn fits(found: &Config, wanted: &Config) -> bool {
    found.num_replicas == wanted.num_replicas
        && found.allow_direct == wanted.allow_direct
        && found.allow_rollup == wanted.allow_rollup
        && found.max_messages_per_subject == wanted.max_messages_per_subject
}
