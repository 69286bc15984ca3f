//! Ownership of an epoch: a key that is written once. Only "create" is ever needed, because compare-and-set updates
//! have several winners on replicated 2.9 servers; a key is never deleted by a marker, for the same reason.

use async_nats::HeaderMap;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};

use super::connect::Bus;
use super::{BusError, decode, encode, within};
use crate::stream::fence::{Epoch, Fence};
use crate::stream::names::{SessionId, Zone};
use crate::stream::slug::Slug;
use crate::wire::messages::{Claim, VERSION};
use crate::wire::subjects;

/// Result of a try to claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// This session owns the epoch.
    Won(Fence),
    /// Another session does.
    Lost,
}

/// Writes the claim of `epoch`. Repeating it is safe: a claim that this session wrote counts as won, also when the
/// answer to the first write was lost.
///
/// # Errors
/// [`BusError`] when neither the write nor the read after it was answered: the owner of the epoch is unknown then.
pub async fn claim(bus: &Bus, zone: &Zone, slug: &Slug, epoch: Epoch, claim: &Claim) -> Result<Claimed, BusError> {
    let subject = subjects::claim(zone, slug, epoch);
    match create(bus, &subject, claim).await {
        Ok(revision) => Ok(Claimed::Won(Fence { epoch, revision })),
        // The record that the leader has stored decides, for every kind of error.
        Err(e) => match read(bus, &subject).await? {
            Some((owner, revision)) if owner.session == claim.session => Ok(Claimed::Won(Fence { epoch, revision })),
            Some(_) => Ok(Claimed::Lost),
            None => Err(e),
        },
    }
}

async fn create(bus: &Bus, subject: &str, claim: &Claim) -> Result<u64, BusError> {
    let what = "claim a stream";
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Expected-Last-Subject-Sequence", "0");
    let value = encode(&Claim { v: VERSION, ..claim.clone() });
    let ack = within(what, bus.js.publish_with_headers(bus.stored(subject), headers, value)).await?;
    Ok(within(what, ack.into_future()).await?.sequence)
}

async fn read(bus: &Bus, subject: &str) -> Result<Option<(Claim, u64)>, BusError> {
    let what = "read a claim";
    let stream = claims_stream(bus).await?;
    match tokio::time::timeout(super::REQUEST_DEADLINE, stream.get_last_raw_message_by_subject(subject)).await {
        Ok(Ok(message)) => Ok(Some((decode(what, &message.payload)?, message.sequence))),
        Ok(Err(e)) if e.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Ok(Err(e)) => Err(BusError::Failed { what, detail: e.to_string() }),
        Err(_) => Err(BusError::Deadline { what }),
    }
}

/// The session that claimed an epoch, if one did.
///
/// # Errors
/// [`BusError`] when the server does not answer.
pub async fn owner(bus: &Bus, zone: &Zone, slug: &Slug, epoch: Epoch) -> Result<Option<SessionId>, BusError> {
    Ok(read(bus, &subjects::claim(zone, slug, epoch)).await?.map(|(claim, _)| claim.session))
}

/// Removes the claims of a stream's epochs, in whatever zone it was; with `keep_newest` all but the last written.
///
/// # Errors
/// [`BusError`] when the server did not say that it did.
pub async fn purge(bus: &Bus, slug: &Slug, keep_newest: bool) -> Result<(), BusError> {
    let what = "remove old claims";
    let stream = claims_stream(bus).await?;
    let purge = stream.purge().filter(subjects::claims_of_stream(slug));
    if keep_newest {
        within(what, purge.keep(1).into_future()).await.map(drop)
    } else {
        within(what, purge.into_future()).await.map(drop)
    }
}

async fn claims_stream(bus: &Bus) -> Result<Stream<()>, BusError> {
    within("look up the claims", bus.js.get_stream_no_info(subjects::CLAIMS_STREAM)).await
}
