//! Desired records: the last word of the API on each stream.

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::DirectGetErrorKind;

use super::connect::Bus;
use super::{BusError, decode, encode, within};
use crate::stream::names::Zone;
use crate::stream::slug::Slug;
use crate::wire::messages::Desired;
use crate::wire::subjects;

/// Writes the record of a stream.
///
/// # Errors
/// [`BusError`] when it was not stored, or the result is unknown.
pub async fn put(bus: &Bus, zone: &Zone, desired: &Desired) -> Result<(), BusError> {
    let what = "write a desired record";
    let subject = bus.stored(&subjects::desired(zone, &desired.cam));
    let ack = within(what, bus.js.publish(subject, encode(desired))).await?;
    within(what, ack.into_future()).await.map(drop)
}

/// Reads the record of a stream; `None` when there is none. In a cluster a copy that lags may answer: compare epochs.
///
/// # Errors
/// [`BusError`] when NATS does not answer or the record is not readable.
pub async fn get(bus: &Bus, zone: &Zone, slug: &Slug) -> Result<Option<Desired>, BusError> {
    let what = "read a desired record";
    let stream = within(what, bus.js.get_stream_no_info(subjects::DESIRED_STREAM)).await?;
    // The direct read names the subject in the request, so permissions confine a worker to its zone.
    let direct = stream.direct_get_last_for_subject(subjects::desired(zone, slug));
    match tokio::time::timeout(super::REQUEST_DEADLINE, direct).await {
        Ok(Ok(message)) => decode(what, &message.payload).map(Some),
        Ok(Err(e)) if e.kind() == DirectGetErrorKind::NotFound => Ok(None),
        Ok(Err(e)) => Err(BusError::Failed { what, detail: e.to_string() }),
        Err(_) => Err(BusError::Deadline { what }),
    }
}

/// Removes the records of a stream, in whatever zone it was; with `keep_newest` all but the last written. No watcher is
/// told; there are no watchers.
///
/// # Errors
/// [`BusError`] when the server did not say that it did.
pub async fn purge(bus: &Bus, slug: &Slug, keep_newest: bool) -> Result<(), BusError> {
    let what = "remove a desired record";
    let stream = within(what, bus.js.get_stream_no_info(subjects::DESIRED_STREAM)).await?;
    let purge = stream.purge().filter(subjects::desired_of_stream(slug));
    if keep_newest {
        within(what, purge.keep(1).into_future()).await.map(drop)
    } else {
        within(what, purge.into_future()).await.map(drop)
    }
}

/// True when JetStream answers: tells an absent API from a NATS that is cut off. Behind a leaf node the hub must
/// answer. That the stream is missing is an answer too: NATS was wiped while the API was away. While a cluster elects a
/// leader, for some seconds, there is no answer; that matters only when the API is silent too.
pub async fn reachable(bus: &Bus) -> bool {
    match tokio::time::timeout(super::REQUEST_DEADLINE, bus.js.get_stream(subjects::DESIRED_STREAM)).await {
        Ok(Ok(_)) => true,
        Ok(Err(e)) => {
            matches!(e.kind(), GetStreamErrorKind::JetStream(js) if js.error_code() == ErrorCode::STREAM_NOT_FOUND)
        }
        Err(_) => false,
    }
}
