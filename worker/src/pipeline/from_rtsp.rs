//! RTSP by GStreamer, for what needs TLS or UDP.
//!
//! ```text
//! rtspsrc (first H.264 stream) -> rtph264depay ! h264parse ! appsink -> RtspUnit
//! ```

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use tokio::sync::mpsc;

use super::run::{BusNews, Running};
use super::{PipelineError, elements};

/// Pictures between GStreamer's thread and the task that reads them: two seconds. Full, the thread waits, and TCP
/// slows the camera down.
const MAX_WAITING: usize = 60;
/// How long datagrams out of order are waited for; what VLC and rtspsrc's documentation suggest for a LAN.
const REORDER_MS: u32 = 200;

/// Where to, with credentials apart: the location never holds any.
pub struct RtspTarget<'a> {
    pub location: &'a str,
    pub user: Option<(&'a str, &'a str)>,
    pub protocols: RtspProtocols,
    /// For connecting and for each answer.
    pub timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtspProtocols {
    Tcp,
    Udp,
    /// Interleaved, or datagrams when the camera wants them.
    Any,
}

/// One picture.
#[derive(Debug)]
pub struct RtspUnit {
    pub data: Bytes,
    /// Running time of the pipeline.
    pub time_ns: i64,
    pub is_key: bool,
    pub arrived: Instant,
    pub arrived_wall: SystemTime,
    /// `AVCDecoderConfigurationRecord`.
    pub codec_data: Bytes,
}

/// Why it ended, as far as GStreamer tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RtspFault {
    Unauthorized,
    NotFound,
    /// The host was not connected to.
    Connect,
    /// An RTSP status.
    Status(u16),
    Tls,
    /// No stream that can be used; what the camera offers.
    NoVideo(Vec<String>),
    Ended,
    Other,
}

/// A session.
#[derive(Debug)]
pub struct RtspPipeline {
    running: Running,
    /// Codec names of the video streams on offer.
    offered: Arc<Mutex<Vec<String>>>,
}

impl RtspPipeline {
    /// Builds it and begins to connect; what becomes of that comes from [`Self::failed`] or the receiver.
    ///
    /// # Errors
    /// [`PipelineError`] when an element is missing or refuses to start.
    pub async fn start(target: &RtspTarget<'_>) -> Result<(Self, mpsc::Receiver<RtspUnit>), PipelineError> {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        let offered = Arc::default();
        let pipeline = build(target, &offered, sender)?;
        let running = Running::start(pipeline).await?;
        Ok((Self { running, offered }, receiver))
    }

    /// Resolves when the session is over: what happened, and GStreamer's own words, which may hold an address.
    pub async fn failed(&mut self) -> (RtspFault, String) {
        match self.running.news().await {
            BusNews::Eos => (RtspFault::Ended, String::new()),
            BusNews::Error { error, debug, .. } => {
                let offered = self.offered.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let text = format!("{}; {debug}", error.message());
                (classify(&error, &text, offered), text)
            }
        }
    }

    /// TEARDOWN and to Null. The receiver must be dropped first: the thread may wait for room in it.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

fn build(
    target: &RtspTarget<'_>,
    offered: &Arc<Mutex<Vec<String>>>,
    sender: mpsc::Sender<RtspUnit>,
) -> Result<gst::Pipeline, PipelineError> {
    let pipeline = gst::Pipeline::new();
    let src = elements::make("rtspsrc")?;
    let micros = u64::try_from(target.timeout.as_micros()).unwrap_or(u64::MAX);
    src.set_property("location", target.location);
    if let Some((user, password)) = target.user {
        src.set_property("user-id", user);
        src.set_property("user-pw", password);
    }
    let (protocols, latency) = match target.protocols {
        RtspProtocols::Tcp => ("tcp", 0u32),
        RtspProtocols::Udp => ("udp", REORDER_MS),
        RtspProtocols::Any => ("tcp+udp", REORDER_MS),
    };
    src.set_property_from_str("protocols", protocols);
    src.set_property("latency", latency);
    src.set_property("tcp-timeout", micros);
    src.set_property("timeout", micros);
    src.set_property("user-agent", concat!("rsm/", env!("CARGO_PKG_VERSION")));
    // `tls-validation-flags` stays at its default, which validates everything.
    let depay = elements::make("rtph264depay")?;
    let parse = elements::make("h264parse")?;
    let caps = gst::Caps::builder("video/x-h264").field("stream-format", "avc").field("alignment", "au").build();
    let sink = gst_app::AppSink::builder()
        .caps(&caps)
        .sync(false)
        .enable_last_sample(false)
        .callbacks(callbacks(sender))
        .build();
    let tail = [depay.clone(), parse, sink.upcast()];
    pipeline.add(&src).map_err(PipelineError::build)?;
    pipeline.add_many(&tail).map_err(PipelineError::build)?;
    gst::Element::link_many(&tail).map_err(PipelineError::build)?;
    select_h264(&src, offered.clone());
    link_when_ready(&src, &depay);
    Ok(pipeline)
}

/// Only the first H.264 stream is set up; the names of the others are kept for the person who asks why none is.
fn select_h264(src: &gst::Element, offered: Arc<Mutex<Vec<String>>>) {
    let chosen = Mutex::new(None);
    src.connect("select-stream", false, move |values| {
        let number = values.get(1)?.get::<u32>().ok()?;
        let caps = values.get(2)?.get::<gst::Caps>().ok()?;
        let structure = caps.structure(0)?;
        let field = |name| structure.get::<&str>(name).unwrap_or_default();
        let (media, codec) = (field("media"), field("encoding-name"));
        if media == "video" {
            let mut offered = offered.lock().unwrap_or_else(PoisonError::into_inner);
            // At most 16 of them: the list is the camera's.
            if offered.len() < 16 {
                offered.push(codec.to_ascii_lowercase());
            }
        }
        let mut chosen = chosen.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = media == "video" && codec == "H264" && chosen.is_none_or(|chosen| chosen == number);
        if wanted {
            *chosen = Some(number);
        }
        Some(wanted.to_value())
    });
}

fn link_when_ready(src: &gst::Element, depay: &gst::Element) {
    let depay = depay.downgrade();
    src.connect_pad_added(move |_, pad| {
        let Some(target) = depay.upgrade().and_then(|depay| depay.static_pad("sink")) else { return };
        // An unlinked or unlinkable pad makes the source post an error, which ends the session.
        if !target.is_linked() {
            let _ = pad.link(&target);
        }
    });
}

fn callbacks(sender: mpsc::Sender<RtspUnit>) -> gst_app::AppSinkCallbacks {
    gst_app::AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let (arrived, arrived_wall) = (Instant::now(), SystemTime::now());
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let Some(unit) = unit(&sample, arrived, arrived_wall) else { return Ok(gst::FlowSuccess::Ok) };
            // This is GStreamer's own thread.
            sender.blocking_send(unit).map_err(|_| gst::FlowError::Eos)?;
            Ok(gst::FlowSuccess::Ok)
        })
        .build()
}

/// `None` for what cannot be placed in time or has no parameter sets yet.
fn unit(sample: &gst::Sample, arrived: Instant, arrived_wall: SystemTime) -> Option<RtspUnit> {
    let codec_data = sample.caps()?.structure(0)?.get::<gst::Buffer>("codec_data").ok()?;
    let codec_data = Bytes::copy_from_slice(codec_data.map_readable().ok()?.as_slice());
    let buffer = sample.buffer_owned()?;
    let time_ns = i64::try_from(buffer.pts()?.nseconds()).ok()?;
    let is_key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
    let data = Bytes::from_owner(buffer.into_mapped_buffer_readable().ok()?);
    Some(RtspUnit { data, time_ns, is_key, arrived, arrived_wall, codec_data })
}

/// GStreamer has few kinds for what cameras do, so its words are read too (gst-plugins-good 1.22, `gstrtspsrc.c`).
fn classify(error: &gst::glib::Error, text: &str, offered: Vec<String>) -> RtspFault {
    let status = text
        .split_once("Got error response: ")
        .or_else(|| text.split_once("Error (").filter(|_| text.contains("response")))
        .and_then(|(_, rest)| rest.get(..3)?.parse().ok());
    if let Some(status) = status {
        return RtspFault::Status(status);
    }
    match error.kind::<gst::ResourceError>() {
        Some(gst::ResourceError::NotAuthorized) => return RtspFault::Unauthorized,
        Some(gst::ResourceError::NotFound) => return RtspFault::NotFound,
        _ => {}
    }
    let lower = text.to_ascii_lowercase();
    if lower.contains("tls") || lower.contains("certificate") {
        return RtspFault::Tls;
    }
    if !offered.is_empty() && !offered.iter().any(|codec| codec == "h264") {
        return RtspFault::NoVideo(offered);
    }
    if lower.contains("failed to connect") || error.matches(gst::ResourceError::OpenReadWrite) {
        return RtspFault::Connect;
    }
    if error.matches(gst::ResourceError::Read) && lower.contains("eof") {
        return RtspFault::Ended;
    }
    RtspFault::Other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classifies_what_gstreamer_says() {
        let error = |kind: gst::ResourceError| gst::glib::Error::new(kind, "text");
        for (kind, text, offered, want) in [
            (gst::ResourceError::NotAuthorized, "Unauthorized", vec![], RtspFault::Unauthorized),
            (gst::ResourceError::NotFound, "Not found", vec![], RtspFault::NotFound),
            (
                gst::ResourceError::Read,
                "Got error response: 453 (Not Enough Bandwidth).",
                vec![],
                RtspFault::Status(453),
            ),
            (gst::ResourceError::OpenReadWrite, "Failed to connect. (Generic error)", vec![], RtspFault::Connect),
            (gst::ResourceError::OpenReadWrite, "Unacceptable TLS certificate", vec![], RtspFault::Tls),
            (gst::ResourceError::Settings, "x", vec!["h265".to_owned()], RtspFault::NoVideo(vec!["h265".to_owned()])),
            (gst::ResourceError::Settings, "x", vec!["h264".to_owned()], RtspFault::Other),
        ] {
            assert_eq!(classify(&error(kind), text, offered), want, "{text}");
        }
    }
}
