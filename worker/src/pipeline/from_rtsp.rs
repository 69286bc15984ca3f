//! RTSP by GStreamer, for what needs UDP or its patience with odd cameras.
//!
//! ```text
//! rtspsrc (first video, first sound) -> depay ! parse ! appsink, each -> RtspUnit
//! ```

mod encoding;
mod reports;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use tokio::sync::mpsc;

use super::run::{BusNews, Running};
use super::{PipelineError, elements};
use encoding::Encoding;
pub use encoding::RtspMedia;
pub use reports::Report;
use reports::Reports;

/// Pictures and frames of sound between GStreamer's threads and the task that reads them: about two seconds. Full, the
/// threads wait, and TCP slows the camera down.
const MAX_WAITING: usize = 160;
/// How long datagrams out of order are waited for; what VLC and rtspsrc's documentation suggest for a LAN.
const REORDER_MS: u32 = 200;
/// For the TEARDOWN, which is sent without waiting for its answer.
const TEARDOWN_NS: u64 = 100_000_000;
/// Most names of streams that are kept: the list is the camera's.
const MAX_OFFERED: usize = 16;

/// Where to, with credentials apart: the location never holds any.
pub struct RtspTarget<'a> {
    pub location: &'a str,
    pub user: Option<(&'a str, &'a str)>,
    pub protocol: RtspProtocol,
    /// For connecting and for each answer.
    pub timeout: Duration,
}

/// How RTP travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtspProtocol {
    /// Interleaved in the RTSP connection.
    Tcp,
    Udp,
}

/// One picture, or one frame of sound.
#[derive(Debug)]
pub struct RtspUnit {
    pub data: Bytes,
    /// Running time of the pipeline; pictures and sound share it.
    pub time_ns: i64,
    pub is_key: bool,
    pub arrived: Instant,
    pub arrived_wall: SystemTime,
    /// What the camera said of its clock since the unit before.
    pub report: Option<Report>,
    pub media: RtspMedia,
}

/// Why it ended, as far as GStreamer tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RtspFault {
    /// No video that can be used; what the camera offers.
    NoVideo(Vec<String>),
    /// A request was not answered in time.
    Silent,
    /// Set up for datagrams, of which none came.
    NoDatagrams,
    Ended,
    Other,
}

/// A session.
#[derive(Debug)]
pub struct RtspPipeline {
    running: Running,
    choice: Arc<Mutex<Choice>>,
}

/// What the camera offers, and what is taken of it.
#[derive(Debug, Default)]
struct Choice {
    /// Numbers of the streams that are set up.
    video: Option<u32>,
    sound: Option<u32>,
    /// Whether any stream is on offer.
    asked: bool,
    /// Codec names of the video streams on offer.
    offered: Vec<String>,
}

impl Choice {
    /// Whether stream `number` is set up: the first video and the first sound of those that can be used. May be asked
    /// again.
    fn take(&mut self, number: u32, media: &str, name: &str) -> bool {
        self.asked = true;
        if media == "video" && self.offered.len() < MAX_OFFERED {
            self.offered.push(name.to_ascii_lowercase());
        }
        let Some(encoding) = Encoding::of(media, name) else { return false };
        let chosen = if encoding.is_video() { &mut self.video } else { &mut self.sound };
        *chosen.get_or_insert(number) == number
    }
}

impl RtspPipeline {
    /// Builds it and begins to connect; what becomes of that comes from [`Self::failed`] or the receiver.
    ///
    /// # Errors
    /// [`PipelineError`] when an element is missing or refuses to start.
    pub async fn start(target: &RtspTarget<'_>) -> Result<(Self, mpsc::Receiver<RtspUnit>), PipelineError> {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        let choice = Arc::default();
        let pipeline = build(target, &choice, sender)?;
        let running = Running::start(pipeline).await?;
        Ok((Self { running, choice }, receiver))
    }

    /// Resolves when the session is over: what happened, and GStreamer's own words, which may hold an address.
    pub async fn failed(&mut self) -> (RtspFault, String) {
        match self.running.news().await {
            BusNews::Eos => (RtspFault::Ended, String::new()),
            BusNews::Error { error, debug, .. } => {
                let text = format!("{}; {debug}", error.message());
                let choice = self.choice.lock().unwrap_or_else(PoisonError::into_inner);
                (classify(&text, &choice), text)
            }
        }
    }

    /// TEARDOWN and to Null. The receiver must be dropped first: the threads may wait for room in it.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

/// GStreamer has no kinds for these, so its words are read (gst-plugins-good 1.22, `gstrtspsrc.c`).
fn classify(text: &str, choice: &Choice) -> RtspFault {
    if text.contains("Could not receive any UDP packets") {
        RtspFault::NoDatagrams
    } else if text.contains("Timeout while waiting for server response") {
        RtspFault::Silent
    } else if choice.video.is_none() && (choice.asked || text.contains("SDP contains no streams")) {
        RtspFault::NoVideo(choice.offered.clone())
    } else {
        RtspFault::Other
    }
}

fn build(
    target: &RtspTarget<'_>,
    choice: &Arc<Mutex<Choice>>,
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
    let (protocols, latency) = match target.protocol {
        RtspProtocol::Tcp => ("tcp", 0u32),
        RtspProtocol::Udp => ("udp", REORDER_MS),
    };
    src.set_property_from_str("protocols", protocols);
    src.set_property("latency", latency);
    src.set_property("tcp-timeout", micros);
    src.set_property("timeout", micros);
    src.set_property("teardown-timeout", TEARDOWN_NS);
    src.set_property("user-agent", concat!("rsm/", env!("CARGO_PKG_VERSION")));
    pipeline.add(&src).map_err(PipelineError::build)?;
    let reports = Reports::default();
    let chosen = choice.clone();
    reports.follow(&src, move |number| chosen.lock().unwrap_or_else(PoisonError::into_inner).video == Some(number));
    select_streams(&src, choice.clone());
    take_streams(&src, &pipeline, reports, sender);
    Ok(pipeline)
}

fn select_streams(src: &gst::Element, choice: Arc<Mutex<Choice>>) {
    src.connect("select-stream", false, move |values| {
        let number = values.get(1)?.get::<u32>().ok()?;
        let caps = values.get(2)?.get::<gst::Caps>().ok()?;
        let (media, name) = encoding::names(&caps)?;
        let mut choice = choice.lock().unwrap_or_else(PoisonError::into_inner);
        Some(choice.take(number, &media, &name).to_value())
    });
}

/// Each stream that was set up gets its elements when it appears.
fn take_streams(src: &gst::Element, pipeline: &gst::Pipeline, reports: Reports, sender: mpsc::Sender<RtspUnit>) {
    let pipeline = pipeline.downgrade();
    src.connect_pad_added(move |src, pad| {
        let Some(pipeline) = pipeline.upgrade() else { return };
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let Some(encoding) = Encoding::of_caps(&caps) else { return };
        if let Err(error) = take_stream(&pipeline, pad, encoding, reports.clone(), sender.clone()) {
            // Ends the session through the bus.
            gst::element_error!(src, gst::CoreError::Failed, ["{error}"]);
        }
    });
}

fn take_stream(
    pipeline: &gst::Pipeline,
    pad: &gst::Pad,
    encoding: Encoding,
    reports: Reports,
    sender: mpsc::Sender<RtspUnit>,
) -> Result<(), PipelineError> {
    let mut tail = encoding.elements().iter().map(|name| elements::make(name)).collect::<Result<Vec<_>, _>>()?;
    let sink = gst_app::AppSink::builder()
        .caps(&encoding.caps())
        .sync(false)
        .async_(false)
        .enable_last_sample(false)
        .callbacks(callbacks(encoding, reports, sender))
        .build();
    tail.push(sink.upcast());
    pipeline.add_many(&tail).map_err(PipelineError::build)?;
    gst::Element::link_many(&tail).map_err(PipelineError::build)?;
    // From the end to the beginning, so that whoever gets a picture can pass it on.
    for element in tail.iter().rev() {
        element.sync_state_with_parent().map_err(PipelineError::build)?;
    }
    let target = tail.first().and_then(|first| first.static_pad("sink")).ok_or(PipelineError::Ended)?;
    pad.link(&target).map(|_| ()).map_err(PipelineError::build)
}

fn callbacks(encoding: Encoding, reports: Reports, sender: mpsc::Sender<RtspUnit>) -> gst_app::AppSinkCallbacks {
    // Caps change seldom and are the same object until then.
    let mut known: Option<(gst::Caps, RtspMedia)> = None;
    gst_app::AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let (arrived, arrived_wall) = (Instant::now(), SystemTime::now());
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let caps = sample.caps_owned();
            if known.as_ref().map(|(caps, _)| caps) != caps.as_ref() {
                known = caps.and_then(|caps| encoding.read(&caps).map(|media| (caps, media)));
            }
            let Some((_, media)) = &known else { return Ok(gst::FlowSuccess::Ok) };
            let Some((data, time_ns, is_key)) = content(&sample, encoding) else { return Ok(gst::FlowSuccess::Ok) };
            let report = if encoding.is_video() { reports.take() } else { None };
            let unit = RtspUnit { data, time_ns, is_key, arrived, arrived_wall, report, media: media.clone() };
            // This is GStreamer's own thread.
            sender.blocking_send(unit).map_err(|_| gst::FlowError::Eos)?;
            Ok(gst::FlowSuccess::Ok)
        })
        .build()
}

/// Bytes, running time, and whether decoding can begin here; `None` for what cannot be placed in time.
fn content(sample: &gst::Sample, encoding: Encoding) -> Option<(Bytes, i64, bool)> {
    let buffer = sample.buffer_owned()?;
    let pts = buffer.pts()?;
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let time_ns = i64::try_from(segment.to_running_time(pts)?.nseconds()).ok()?;
    let is_key = encoding.is_video() && !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
    Some((Bytes::from_owner(buffer.into_mapped_buffer_readable().ok()?), time_ns, is_key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_first_video_and_the_first_sound() {
        let mut choice = Choice::default();
        let offer = [
            (0, "video", "MP4V-ES", false),
            (1, "video", "H265", true),
            (2, "video", "H264", false),
            (3, "audio", "OPUS", false),
            (4, "audio", "PCMA", true),
            (5, "audio", "PCMU", false),
            (6, "application", "VND.ONVIF.METADATA", false),
        ];
        for _ in 0..2 {
            for (number, media, name, want) in offer {
                assert_eq!(choice.take(number, media, name), want, "{number} {media} {name}");
            }
        }
        assert_eq!(choice.offered[..3], ["mp4v-es", "h265", "h264"]);
        for number in 0..100 {
            choice.take(number, "video", "x");
        }
        assert_eq!(choice.offered.len(), MAX_OFFERED);
    }
}
