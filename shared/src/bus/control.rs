//! Messages from the API to workers that do not wait in a queue: fast stops, and requests to one process.

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::{Client, Subscriber};
use futures_util::StreamExt as _;

use super::connect::Bus;
use super::{BusError, decode, encode, within};
use crate::stream::names::{SessionId, WorkerId, Zone};
use crate::stream::slug::Slug;
use crate::wire::messages::{Control, ControlReply, Stop, Ticket, VERSION};
use crate::wire::presence::Presence;
use crate::wire::subjects;

/// A live worker answers a probe in a millisecond.
const PROBE_DEADLINE: Duration = Duration::from_millis(500);

/// Publishes a fast stop. Lost ones do not matter: the answer to the next heartbeat repeats it.
///
/// # Errors
/// [`BusError`] when it could not be queued in time.
pub async fn stop(bus: &Bus, zone: &Zone, slug: &Slug, stop: &Stop) -> Result<(), BusError> {
    within("publish a stop", bus.client.publish(subjects::stop(zone, slug), encode(stop))).await
}

/// Asks whether one process of a worker is there.
pub async fn probe(bus: &Bus, worker: &WorkerId, session: &SessionId) -> Presence {
    let request = bus.client.request(subjects::control(worker, session), encode(&Control::Probe));
    match tokio::time::timeout(PROBE_DEADLINE, request).await {
        Ok(Ok(_)) => Presence::Present,
        Ok(Err(e)) if e.kind() == RequestErrorKind::NoResponders => Presence::Gone,
        Ok(Err(_)) | Err(_) => Presence::Unknown,
    }
}

/// A worker says at once whether it has room; the claim follows.
const TAKE_DEADLINE: Duration = Duration::from_secs(1);

/// Offers a stream to one worker process; whether it has taken the ticket.
///
/// # Errors
/// [`BusError`] when it did not answer: it may have taken it all the same.
pub async fn take(bus: &Bus, worker: &WorkerId, session: &SessionId, ticket: &Ticket) -> Result<bool, BusError> {
    let what = "offer a stream to a worker";
    let request = Control::Take { ticket: Box::new(ticket.clone()) };
    let asked = bus.client.request(subjects::control(worker, session), encode(&request));
    match tokio::time::timeout(TAKE_DEADLINE, asked).await {
        Ok(Ok(message)) => decode::<ControlReply>(what, &message.payload).map(|reply| reply.ok),
        Ok(Err(e)) => Err(BusError::Failed { what, detail: e.to_string() }),
        Err(_) => Err(BusError::Deadline { what }),
    }
}

/// Where the answer to a request goes. One that is dropped says nothing, which counts as a refusal.
pub struct Reply {
    client: Client,
    reply: Option<async_nats::Subject>,
}

impl Reply {
    /// Says whether it is done, or will be tried.
    ///
    /// # Errors
    /// [`BusError`] when it could not be queued in time.
    pub async fn send(self, ok: bool) -> Result<(), BusError> {
        let Some(reply) = self.reply else { return Ok(()) };
        let answer = encode(&ControlReply { v: VERSION, ok });
        within("answer a request", self.client.publish(reply, answer)).await
    }
}

/// The worker's listener for stops of its zones and requests to this process.
pub struct Orders {
    client: Client,
    stops: futures_util::stream::SelectAll<Subscriber>,
    requests: Subscriber,
}

/// An order of the API.
pub enum Order {
    Stop(Slug, Stop),
    /// A probe; it is answered already.
    Probe,
    Take(Box<Ticket>, Reply),
}

impl Orders {
    /// Subscribes; holds across reconnects.
    ///
    /// # Errors
    /// [`BusError`] when a subscription could not be queued in time.
    pub async fn open(bus: &Bus, worker: &WorkerId, session: &SessionId, zones: &[Zone]) -> Result<Self, BusError> {
        let what = "listen to the API";
        let mut stops = futures_util::stream::SelectAll::new();
        for zone in zones {
            stops.push(within(what, bus.client.subscribe(subjects::stop_filter(zone))).await?);
        }
        let requests = within(what, bus.client.subscribe(subjects::control(worker, session))).await?;
        Ok(Self { client: bus.client.clone(), stops, requests })
    }

    /// The next order; probes are answered here. `None` once the connection is closed for good.
    pub async fn next(&mut self) -> Option<Result<Order, BusError>> {
        tokio::select! {
            stop = self.stops.next() => {
                let message = stop?;
                let Some(slug) = subjects::slug_of(&message.subject) else {
                    return Some(Err(BusError::Malformed { what: "read a stop", detail: "no slug in the subject".into() }));
                };
                Some(decode("read a stop", &message.payload).map(|stop| Order::Stop(slug, stop)))
            }
            request = self.requests.next() => {
                let message = request?;
                match decode("read a request", &message.payload) {
                    Ok(Control::Probe) => {
                        let answer = Reply { client: self.client.clone(), reply: message.reply };
                        Some(answer.send(true).await.map(|()| Order::Probe))
                    }
                    Ok(Control::Take { ticket }) => {
                        let answer = Reply { client: self.client.clone(), reply: message.reply };
                        Some(Ok(Order::Take(ticket, answer)))
                    }
                    Err(e) => Some(Err(e)),
                }
            }
        }
    }
}
