//! JPEG frames on core NATS: never stored, never queued for long.

use std::time::Duration;

use async_nats::client::PublishErrorKind;
use async_nats::{HeaderMap, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;

use super::connect::Bus;
use super::{BusError, within};
use crate::stream::jpeg_width::JpegWidth;
use crate::stream::names::Zone;
use crate::stream::slug::Slug;
use crate::wire::frame_headers::FrameHeaders;
use crate::wire::subjects;

/// A frame that NATS does not take in this time is out of date: drop it, the next one is newer.
const PUBLISH_DEADLINE: Duration = Duration::from_millis(250);
/// Largest frame, whatever the server takes: a 4K JPEG of fair quality has 1 to 3 MB.
const MAX_FRAME_BYTES: usize = 4 << 20;
/// Room for headers and protocol within the server's `max_payload`.
const HEADROOM: usize = 4 << 10;

/// Result of publishing a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    Sent,
    Dropped(DropReason),
}

/// Why a frame was not sent. A closed set: it is a metrics label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// No connection now.
    NotConnected,
    /// NATS did not take it in time.
    Congested,
    /// Larger than [`FramePublisher::max_frame_bytes`].
    TooLarge,
}

impl DropReason {
    /// The name that stands in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotConnected => "not_connected",
            Self::Congested => "congested",
            Self::TooLarge => "too_large",
        }
    }
}

/// Publishes frames of any stream. Cheap to clone.
#[derive(Clone)]
pub struct FramePublisher(Bus);

impl FramePublisher {
    /// Over a connection made for frames.
    pub fn new(bus: Bus) -> Self {
        Self(bus)
    }

    /// Largest frame that can be sent now, bytes.
    pub fn max_frame_bytes(&self) -> usize {
        self.0.max_payload().min(MAX_FRAME_BYTES).saturating_sub(HEADROOM)
    }

    /// Publishes one frame, or drops it within 250 ms. `width`: the step of the ladder that it is for, `None` for the
    /// stream's own.
    pub async fn publish(
        &self,
        zone: &Zone,
        slug: &Slug,
        width: Option<JpegWidth>,
        headers: &FrameHeaders,
        jpeg: Bytes,
    ) -> Published {
        if jpeg.len() > self.max_frame_bytes() {
            return Published::Dropped(DropReason::TooLarge);
        }
        if !self.0.connected() {
            return Published::Dropped(DropReason::NotConnected);
        }
        let mut map = HeaderMap::new();
        for (name, value) in headers.to_pairs() {
            map.insert(name, value);
        }
        let sent = self.0.client.publish_with_headers(subjects::frame(zone, slug, width), map, jpeg);
        match tokio::time::timeout(PUBLISH_DEADLINE, sent).await {
            Ok(Ok(())) => Published::Sent,
            Ok(Err(e)) if e.kind() == PublishErrorKind::MaxPayloadExceeded => Published::Dropped(DropReason::TooLarge),
            Ok(Err(_)) => Published::Dropped(DropReason::NotConnected),
            Err(_) => Published::Dropped(DropReason::Congested),
        }
    }
}

/// One stream's frames, for a relay. Unsubscribes when dropped.
pub struct Frames(Subscriber);

impl Frames {
    /// Subscribes to the frames of the stream's own width, or of a step of the ladder; holds across reconnects.
    ///
    /// # Errors
    /// [`BusError`] when the subscription could not be queued in time.
    pub async fn open(bus: &Bus, zone: &Zone, slug: &Slug, width: Option<JpegWidth>) -> Result<Self, BusError> {
        within("subscribe to frames", bus.client.subscribe(subjects::frame(zone, slug, width))).await.map(Self)
    }

    /// The next frame; `None` for its headers when they are missing or broken. Ends once the connection is closed
    /// for good.
    pub async fn next(&mut self) -> Option<(Option<FrameHeaders>, Bytes)> {
        let message = self.0.next().await?;
        let headers = message
            .headers
            .as_ref()
            .and_then(|map| FrameHeaders::read(|name| map.get(name).map(async_nats::HeaderValue::as_str)));
        Some((headers, message.payload))
    }
}
