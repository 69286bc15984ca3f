//! RTSP by GStreamer, for cameras that need UDP or its tolerance.
//!
//! ```text
//! rtspsrc (first video, first audio) -> depay ! parse ! appsink, each -> RtspUnit
//! ```

mod choice;
mod encoding;
mod reports;

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use tokio::sync::mpsc;

use super::run::{BusNews, Running};
use super::{PipelineError, elements};
use choice::{Choice, Chosen};
use encoding::Encoding;
pub use encoding::RtspMedia;
pub use reports::Report;
use reports::Reports;

/// Pictures and frames of audio between GStreamer's threads and the task that reads them: about two seconds. Full, the
/// threads wait, and TCP slows the camera down.
const MAX_WAITING: usize = 160;
/// Datagrams out of order are waited for this long, as VLC and rtspsrc's documentation suggest for a LAN.
const REORDER_MS: u32 = 200;
/// For the TEARDOWN, which is sent without waiting for its answer.
const TEARDOWN_NS: u64 = 100_000_000;

/// Where to, with credentials apart: the location never holds any.
pub struct RtspTarget<'a> {
    pub location: &'a str,
    pub user: Option<(&'a str, &'a str)>,
    pub protocol: RtspProtocol,
    /// For connecting and for each answer.
    pub timeout: Duration,
}

/// Transport of RTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtspProtocol {
    /// Interleaved in the RTSP connection.
    Tcp,
    Udp,
}

/// One picture, or one frame of audio.
#[derive(Debug)]
pub struct RtspUnit {
    pub data: Bytes,
    /// Running time of the pipeline; pictures and audio share it.
    pub time_ns: i64,
    pub is_key: bool,
    /// Packets were lost in or before it. Always false for JPEG, whose depayloader leaves torn pictures out.
    pub lost: bool,
    pub arrived: Instant,
    pub arrived_wall: SystemTime,
    /// The newest report of the camera's clock since the unit before.
    pub report: Option<Report>,
    pub media: RtspMedia,
}

/// Why it ended, as far as GStreamer reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RtspFault {
    /// No video that can be used; the encodings that the camera offers.
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
    chosen: Chosen,
}

impl RtspPipeline {
    /// Builds it and begins to connect; the outcome comes from [`Self::failed`] or the receiver.
    ///
    /// # Errors
    /// [`PipelineError`] when an element is missing or refuses to start.
    pub async fn start(target: &RtspTarget<'_>) -> Result<(Self, mpsc::Receiver<RtspUnit>), PipelineError> {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        let chosen = Chosen::default();
        let pipeline = build(target, &chosen, sender)?;
        let running = Running::start(pipeline).await?;
        Ok((Self { running, chosen }, receiver))
    }

    /// Resolves when the session is over: the fault, and GStreamer's own words, which may hold an address.
    pub async fn failed(&mut self) -> (RtspFault, String) {
        match self.running.news().await {
            BusNews::Eos => (RtspFault::Ended, String::new()),
            BusNews::Error { error, debug, .. } => {
                let text = format!("{}; {debug}", error.message());
                (classify(&text, self.chosen.get()), text)
            }
        }
    }

    /// TEARDOWN and to Null. The receiver must be dropped first: the threads may wait for room in it.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

/// GStreamer has no kinds for these, so its words are read (gst-plugins-good 1.22, `gstrtspsrc.c`).
fn classify(text: &str, choice: Option<Choice>) -> RtspFault {
    if text.contains("Could not receive any UDP packets") {
        return RtspFault::NoDatagrams;
    }
    if text.contains("Timeout while waiting for server response") {
        return RtspFault::Silent;
    }
    match choice {
        Some(Choice { video: None, offered, .. }) => RtspFault::NoVideo(offered),
        _ => RtspFault::Other,
    }
}

fn build(
    target: &RtspTarget<'_>,
    chosen: &Chosen,
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
    let videos = chosen.clone();
    reports.follow(&src, move |number| videos.is_video(number));
    chosen.follow(&src);
    take_streams(&src, &pipeline, reports, sender);
    Ok(pipeline)
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
    // From the end to the beginning, so that each element that gets a picture can pass it on.
    for element in tail.iter().rev() {
        element.sync_state_with_parent().map_err(PipelineError::build)?;
    }
    let target = tail.first().and_then(|first| first.static_pad("sink")).ok_or(PipelineError::Ended)?;
    pad.link(&target).map(|_| ()).map_err(PipelineError::build)
}

fn callbacks(encoding: Encoding, reports: Reports, sender: mpsc::Sender<RtspUnit>) -> gst_app::AppSinkCallbacks {
    // Caps change seldom and are the same object until then.
    let mut known: Option<(gst::Caps, RtspMedia)> = None;
    // The first buffer follows nothing, and says so as one behind a loss does.
    let mut begun = false;
    gst_app::AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let (arrived, arrived_wall) = (Instant::now(), SystemTime::now());
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let caps = sample.caps_owned();
            if known.as_ref().map(|(caps, _)| caps) != caps.as_ref() {
                known = caps.and_then(|caps| encoding.read(&caps).map(|media| (caps, media)));
            }
            let Some((_, media)) = &known else { return Ok(gst::FlowSuccess::Ok) };
            let broken = std::mem::replace(&mut begun, true) && discontinues(&sample);
            let lost = broken && matches!(encoding, Encoding::H264 | Encoding::H265);
            let Some((data, time_ns, is_key)) = content(&sample, encoding) else { return Ok(gst::FlowSuccess::Ok) };
            let report = if encoding.is_video() { reports.take() } else { None };
            let unit = RtspUnit { data, time_ns, is_key, lost, arrived, arrived_wall, report, media: media.clone() };
            // This is GStreamer's own thread.
            sender.blocking_send(unit).map_err(|_| gst::FlowError::Eos)?;
            Ok(gst::FlowSuccess::Ok)
        })
        .build()
}

/// True after a gap in the packets' numbers: the depayloader sets the flag, and the parser passes it on.
fn discontinues(sample: &gst::Sample) -> bool {
    sample.buffer().is_some_and(|buffer| buffer.flags().contains(gst::BufferFlags::DISCONT))
}

/// Bytes, running time, and true for a key frame; `None` without a time.
fn content(sample: &gst::Sample, encoding: Encoding) -> Option<(Bytes, i64, bool)> {
    let buffer = sample.buffer_owned()?;
    let pts = buffer.pts()?;
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let time_ns = i64::try_from(segment.to_running_time(pts)?.nseconds()).ok()?;
    // The parsers set DELTA_UNIT on every picture that is no key frame; JPEG never has it.
    let is_key = encoding.is_video() && !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
    Some((Bytes::from_owner(buffer.into_mapped_buffer_readable().ok()?), time_ns, is_key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classifies_what_gstreamer_says() {
        let none = Choice { offered: vec!["av1".into()], ..Choice::default() };
        let some = Choice { video: Some(0), ..Choice::default() };
        let silent = "Could not receive message. (Timeout while waiting for server response)";
        for (text, choice, want) in [
            ("Could not receive any UDP packets for 5.0000 seconds", Some(some.clone()), RtspFault::NoDatagrams),
            (silent, None, RtspFault::Silent),
            ("No supported stream was found.", Some(none), RtspFault::NoVideo(vec!["av1".into()])),
            ("x", Some(some), RtspFault::Other),
            ("x", None, RtspFault::Other),
        ] {
            assert_eq!(classify(text, choice), want, "{text}");
        }
    }
}
