//! Start commands in the work queue: written by the API, pulled one at a time by workers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::{AckKind, Message};
use futures_util::StreamExt as _;

use super::connect::Bus;
use super::{BusError, consumers, decode, encode, within};
use crate::stream::names::Zone;
use crate::stream::slug::Slug;
use crate::wire::messages::{Priority, Ticket};
use crate::wire::subjects;
use crate::wire::ticket_queue::TicketQueue;

/// Time for which a parked pull waits at the server before it is sent again.
pub const PULL_EXPIRES: Duration = Duration::from_secs(3);
/// A ticket that was refused so often belongs to a record that is not coming: it is out of date, or the store was wiped.
/// The API makes a new one where one is needed.
const MOST_DELIVERIES: i64 = 20;
/// Time for which a nak keeps a ticket away before it is handed out again.
const NAK_DELAY: Duration = Duration::from_millis(500);

/// Puts a ticket in the queue; returns its sequence number there.
///
/// # Errors
/// [`BusError`] when it was not stored, or the result is unknown.
pub async fn publish(bus: &Bus, ticket: &Ticket, priority: Priority) -> Result<u64, BusError> {
    let what = "publish a start ticket";
    let mut headers = HeaderMap::new();
    // With the epoch in it a repeated publish is one ticket, and a new placement is never taken for a repeat.
    headers.insert("Nats-Msg-Id", format!("{}:{}", ticket.cam, ticket.epoch));
    let subject = subjects::start(&ticket.zone, priority, &ticket.cam);
    let ack = within(what, bus.js.publish_with_headers(subject, headers, encode(ticket))).await?;
    Ok(within(what, ack.into_future()).await?.sequence)
}

/// Removes the queued tickets of a stream.
///
/// # Errors
/// [`BusError`] when the server did not say that it did.
pub async fn purge(bus: &Bus, slug: &Slug) -> Result<(), BusError> {
    let what = "take back a start ticket";
    let stream = within(what, bus.js.get_stream_no_info(subjects::COMMANDS_STREAM)).await?;
    within(what, stream.purge().filter(subjects::start_of_stream(slug)).into_future()).await.map(drop)
}

/// Looks at the queue of one zone and priority: one request.
///
/// # Errors
/// [`BusError`] when the consumer is missing or the server does not answer.
pub async fn queue(bus: &Bus, zone: &Zone, priority: Priority) -> Result<TicketQueue, BusError> {
    let what = "look at the queue of start tickets";
    let name = subjects::start_consumer(zone, priority);
    let found = bus.js.get_consumer_from_stream::<pull::Config, _, _>(name, subjects::COMMANDS_STREAM);
    let consumer = within(what, found).await?;
    let info = consumer.cached_info();
    Ok(TicketQueue {
        delivered: info.delivered.stream_sequence,
        waiting: info.num_pending,
        pulls: info.num_waiting,
        unacknowledged: info.num_ack_pending,
    })
}

/// Removes the queue's consumer and makes it again, for one that is stuck (see [`TicketQueue::stands_still_since`]) or
/// without a leader: several versions of nats-server have such faults. No ticket is lost: all that are stored are
/// handed out again, and those that were claimed already meet their claims. Pulls that wait end, and workers pull
/// again. Logs one warning. Do it once, then wait longer than before. `why` is for the log.
///
/// # Errors
/// [`BusError`] when the server did not make it; [`super::topology::ensure`] does so later.
pub async fn recreate(bus: &Bus, zone: &Zone, priority: Priority, why: &'static str) -> Result<(), BusError> {
    consumers::recreate(bus, zone, priority, why).await
}

/// A pulled ticket. The worker must acknowledge or nak it; one that is dropped comes back after the ack wait.
pub struct Pulled {
    pub ticket: Ticket,
    message: Message,
}

impl Pulled {
    /// When the server stored it, by its clock.
    pub fn stored(&self) -> Option<SystemTime> {
        let nanos = self.message.info().ok()?.published.unix_timestamp_nanos();
        Some(UNIX_EPOCH + Duration::from_nanos(u64::try_from(nanos).ok()?))
    }

    /// Finished: claimed, lost to another, or out of date.
    ///
    /// # Errors
    /// [`BusError`] when the server did not confirm; nothing depends on it.
    pub async fn done(self) -> Result<(), BusError> {
        finish(self.message.double_ack()).await
    }

    /// Nak: another worker may take it in half a second. A ticket that gets naks for some ten seconds is ended.
    ///
    /// # Errors
    /// [`BusError`] when it could not be sent; the ticket then comes back after the ack wait.
    pub async fn nak(self) -> Result<(), BusError> {
        if self.message.info().is_ok_and(|info| info.delivered > MOST_DELIVERIES) {
            return self.done().await;
        }
        finish(self.message.ack_with(AckKind::Nak(Some(NAK_DELAY)))).await
    }
}

async fn finish(work: impl Future<Output = Result<(), async_nats::Error>>) -> Result<(), BusError> {
    let what = "acknowledge a start ticket";
    match tokio::time::timeout(super::REQUEST_DEADLINE, work).await {
        Ok(done) => done.map_err(BusError::failed(what)),
        Err(_) => Err(BusError::Deadline { what }),
    }
}

/// Waits at the queue of one zone and priority for at most `expires` and takes one ticket. A ticket that
/// cannot be read is ended for good and reported as an error.
///
/// # Errors
/// [`BusError`] when the queue is missing or NATS is away; wait a moment before the next pull.
pub async fn pull(bus: &Bus, zone: &Zone, priority: Priority, expires: Duration) -> Result<Option<Pulled>, BusError> {
    let what = "pull a start ticket";
    let consumer: PullConsumer = within(
        what,
        bus.js.get_consumer_from_stream(subjects::start_consumer(zone, priority), subjects::COMMANDS_STREAM),
    )
    .await?;
    let mut batch = within(what, consumer.batch().max_messages(1).expires(expires).messages()).await?;
    let waited = tokio::time::timeout(expires + super::REQUEST_DEADLINE, batch.next());
    let message = match waited.await {
        Ok(Some(Ok(message))) => message,
        Ok(Some(Err(e))) => return Err(BusError::failed(what)(e)),
        Ok(None) => return Ok(None),
        Err(_) => return Err(BusError::Deadline { what }),
    };
    match decode::<Ticket>(what, &message.payload) {
        Ok(ticket) => Ok(Some(Pulled { ticket, message })),
        Err(e) => {
            finish(message.ack_with(AckKind::Term)).await?;
            Err(e)
        }
    }
}
