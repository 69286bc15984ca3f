//! The probe of a camera before it is registered: a core request with its settings, answered by any worker of the zone
//! with one picture, or with the reason why there is none. Nothing is stored.

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::{Client, HeaderMap, Message, Request, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::SelectAll;

use super::connect::Bus;
use super::{BusError, decode, encode, within};
use crate::stream::names::Zone;
use crate::wire::messages::{ProbeReport, ProbeRequest};
use crate::wire::subjects;

/// Deadline of a probe in the worker: opening a camera may take several steps of 5 s each, and the first key frame 10 s
/// more.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// The API waits this much longer, so that a worker can report why it found nothing.
const ON_THE_WAY: Duration = Duration::from_secs(2);
/// Header with the report, beside the picture in the payload.
const REPORT: &str = "Rsm-Look";

/// Result of a request.
#[derive(Debug)]
pub enum ProbeAnswer {
    /// A worker probed the camera. The picture is a JPEG; `None` when the report says why there is none.
    Report(Box<ProbeReport>, Option<Bytes>),
    /// No worker of that zone is there.
    NoWorker,
}

/// Asks a worker of `zone` to probe a camera, and waits for its answer, 22 s at most.
///
/// # Errors
/// [`BusError`] when there was no answer, or none that can be read.
pub async fn ask(bus: &Bus, zone: &Zone, request: &ProbeRequest) -> Result<ProbeAnswer, BusError> {
    let what = "probe a camera";
    let message = Request::new().payload(encode(request)).timeout(Some(PATIENCE + ON_THE_WAY));
    let asked = bus.client.send_request(subjects::probe(zone), message);
    // The client's timeout begins once the request is queued.
    let answer = match tokio::time::timeout(PATIENCE + ON_THE_WAY, asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(e)) if e.kind() == RequestErrorKind::NoResponders => return Ok(ProbeAnswer::NoWorker),
        Ok(Err(e)) => return Err(BusError::failed(what)(Box::new(e))),
        Err(_) => {
            let seconds = (PATIENCE + ON_THE_WAY).as_secs();
            return Err(BusError::Failed { what, detail: format!("no answer within {seconds} s") });
        }
    };
    let report = answer.headers.as_ref().and_then(|headers| headers.get(REPORT)).map(|report| report.as_str());
    let report = decode(what, report.unwrap_or_default().as_bytes())?;
    let picture = Some(answer.payload).filter(|picture| !picture.is_empty());
    Ok(ProbeAnswer::Report(Box::new(report), picture))
}

/// The subscriptions of a worker to requests of its zones.
pub struct ProbeRequests {
    client: Client,
    requests: SelectAll<Subscriber>,
}

/// One request, and where its answer goes.
pub struct PendingProbe {
    pub request: ProbeRequest,
    client: Client,
    message: Message,
}

impl ProbeRequests {
    /// Subscribes; holds across reconnects.
    ///
    /// # Errors
    /// [`BusError`] when a subscription could not be queued in time.
    pub async fn open(bus: &Bus, zones: &[Zone]) -> Result<Self, BusError> {
        let mut requests = SelectAll::new();
        for zone in zones {
            let subscribed = bus.client.queue_subscribe(subjects::probe(zone), subjects::PROBE_QUEUE_GROUP.to_owned());
            requests.push(within("listen to probe requests", subscribed).await?);
        }
        Ok(Self { client: bus.client.clone(), requests })
    }

    /// Ends the subscriptions. Requests that the server had already sent still come, then `None`.
    ///
    /// # Errors
    /// [`BusError`] when it could not be queued in time.
    pub async fn end(&mut self) -> Result<(), BusError> {
        for requests in self.requests.iter_mut() {
            within("end the subscription to probe requests", requests.drain()).await?;
        }
        Ok(())
    }

    /// The next request; `None` after [`Self::end`], or once the connection is closed for good. An unreadable request is an error.
    pub async fn next(&mut self) -> Option<Result<PendingProbe, BusError>> {
        let message = self.requests.next().await?;
        let request = decode("read a probe request", &message.payload);
        Some(request.map(|request| PendingProbe { request, client: self.client.clone(), message }))
    }
}

impl PendingProbe {
    /// Answers. The picture, a JPEG, must fit into the server's `max_payload`.
    ///
    /// # Errors
    /// [`BusError`] when it could not be queued in time; the API then gives up at its deadline.
    pub async fn answer(self, report: &ProbeReport, picture: Option<Bytes>) -> Result<(), BusError> {
        let Some(to) = self.message.reply else { return Ok(()) };
        let mut headers = HeaderMap::new();
        // Header values are single lines, and so is this JSON: line ends in strings are escaped.
        headers.insert(REPORT, String::from_utf8_lossy(&encode(report)).as_ref());
        let answer = self.client.publish_with_headers(to, headers, picture.unwrap_or_default());
        within("answer a probe request", answer).await
    }
}
