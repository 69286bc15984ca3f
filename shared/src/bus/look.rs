//! A look at a camera before it is registered: a core request with its settings, answered by any worker of the zone with
//! one picture, or with why there is none. Nothing is stored.

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::{Client, HeaderMap, Message, Request, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::SelectAll;

use super::connect::Bus;
use super::{BusError, decode, encode, within};
use crate::stream::names::Zone;
use crate::wire::messages::{LookReport, LookRequest};
use crate::wire::subjects;

/// A worker has this long to look: opening a camera may take several steps of 5 s each, and the first key picture 10 s
/// more.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// The API waits this much longer: a worker says why it found nothing.
const ON_THE_WAY: Duration = Duration::from_secs(2);
/// Where the report stands, beside the picture.
const REPORT: &str = "Rsm-Look";

/// What came of a request.
#[derive(Debug)]
pub enum Looked {
    /// A worker looked. The picture is a JPEG; `None` when the report says why there is none.
    Seen(Box<LookReport>, Option<Bytes>),
    /// No worker of that zone is there.
    NobodyLooks,
}

/// Asks a worker of `zone` to look, and waits for its answer, 22 s at most.
///
/// # Errors
/// [`BusError`] when there was no answer, or none that can be read.
pub async fn ask(bus: &Bus, zone: &Zone, request: &LookRequest) -> Result<Looked, BusError> {
    let what = "look at a camera";
    let message = Request::new().payload(encode(request)).timeout(Some(PATIENCE + ON_THE_WAY));
    let asked = bus.client.send_request(subjects::look(zone), message);
    // The client's timeout begins once the request is queued.
    let answer = match tokio::time::timeout(PATIENCE + ON_THE_WAY, asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(e)) if e.kind() == RequestErrorKind::NoResponders => return Ok(Looked::NobodyLooks),
        Ok(Err(e)) => return Err(BusError::failed(what)(Box::new(e))),
        Err(_) => {
            let seconds = (PATIENCE + ON_THE_WAY).as_secs();
            return Err(BusError::Failed { what, detail: format!("no answer within {seconds} s") });
        }
    };
    let report = answer.headers.as_ref().and_then(|headers| headers.get(REPORT)).map(|report| report.as_str());
    let report = decode(what, report.unwrap_or_default().as_bytes())?;
    let picture = Some(answer.payload).filter(|picture| !picture.is_empty());
    Ok(Looked::Seen(Box::new(report), picture))
}

/// A worker's ear for requests of its zones.
pub struct Looks {
    client: Client,
    requests: SelectAll<Subscriber>,
}

/// One request, and where its answer goes.
pub struct Look {
    pub request: LookRequest,
    client: Client,
    message: Message,
}

impl Looks {
    /// Subscribes; holds across reconnects.
    ///
    /// # Errors
    /// [`BusError`] when a subscription could not be queued in time.
    pub async fn open(bus: &Bus, zones: &[Zone]) -> Result<Self, BusError> {
        let mut requests = SelectAll::new();
        for zone in zones {
            let subscribed = bus.client.queue_subscribe(subjects::look(zone), subjects::LOOKERS.to_owned());
            requests.push(within("listen to requests to look", subscribed).await?);
        }
        Ok(Self { client: bus.client.clone(), requests })
    }

    /// Ends the subscriptions. What the server sent before it heard of that still comes, then `None`.
    ///
    /// # Errors
    /// [`BusError`] when it could not be queued in time.
    pub async fn end(&mut self) -> Result<(), BusError> {
        for requests in self.requests.iter_mut() {
            within("listen to no more requests to look", requests.drain()).await?;
        }
        Ok(())
    }

    /// The next request; `None` after [`Self::end`], or once the connection is closed for good. What is not readable is an error.
    pub async fn next(&mut self) -> Option<Result<Look, BusError>> {
        let message = self.requests.next().await?;
        let request = decode("read a request to look", &message.payload);
        Some(request.map(|request| Look { request, client: self.client.clone(), message }))
    }
}

impl Look {
    /// Answers. The picture, a JPEG, must fit into the server's `max_payload`.
    ///
    /// # Errors
    /// [`BusError`] when it could not be queued in time; whoever asked gives up by itself.
    pub async fn answer(self, report: &LookReport, picture: Option<Bytes>) -> Result<(), BusError> {
        let Some(to) = self.message.reply else { return Ok(()) };
        let mut headers = HeaderMap::new();
        // Header values are single lines, and so is this JSON: line ends in strings are escaped.
        headers.insert(REPORT, String::from_utf8_lossy(&encode(report)).as_ref());
        let answer = self.client.publish_with_headers(to, headers, picture.unwrap_or_default());
        within("answer a request to look", answer).await
    }
}
