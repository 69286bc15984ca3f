//! True when an element really codes pictures: a driver may be there without its device, or hang.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::form::{EncodedForm, form};
use super::job::{Job, Trial};
use super::{PipelineError, caps, decoder, elements, encoder};
use rsm_media::parameters::{VideoCodec, VideoParameters};
use rsm_shared::stream::rendition::Rendition;

/// Deadline of one element. Drivers load firmware at first use.
const TRIAL_DEADLINE: Duration = Duration::from_secs(3);
/// Deadline of all of them; elements that are not tried by then are passed over.
pub(super) const TRIALS_DEADLINE: Duration = Duration::from_secs(10);
/// Pictures of a trial; more than an encoder holds back without B pictures.
const PICTURES: u64 = 4;
/// Size of the pictures in `trial/`: above the smallest that hardware takes.
const SIZE: (u32, u32) = (320, 240);
const H264: &[u8] = include_bytes!("trial/pictures.h264");
const H265: &[u8] = include_bytes!("trial/pictures.h265");
const JPEG: &[u8] = include_bytes!("trial/picture.jpg");

/// Tries `element` until a deadline of its own and `end`. One that hangs keeps its thread; nothing can end it.
pub(super) fn run(job: Job, element: &str, end: Instant) -> Trial {
    let patience = end.saturating_duration_since(Instant::now()).min(TRIAL_DEADLINE);
    if patience.is_zero() {
        return Trial::Fails("no time left to try it".into());
    }
    let (done, result) = mpsc::sync_channel(1);
    let name = element.to_owned();
    let thread = std::thread::Builder::new().name("trial".into()).spawn(move || {
        // The receiver is gone after the deadline.
        let _ = done.send(code(job, &name, patience));
    });
    // The element has the same deadline; this one is for drivers that do not return.
    match thread.map(|_| result.recv_timeout(patience + TRIAL_DEADLINE / 4)) {
        Ok(Ok(Ok(()))) => Trial::Works,
        Ok(Ok(Err(e))) => Trial::Fails(e),
        Ok(Err(_)) => Trial::Fails("it hangs".into()),
        Err(e) => Trial::Fails(format!("no thread to try it on: {e}")),
    }
}

fn code(job: Job, element: &str, patience: Duration) -> Result<(), String> {
    let form = small_form().ok_or("no form")?;
    let (pipeline, source, sink) = build(job, element, &form).map_err(|e| e.to_string())?;
    let bus = pipeline.bus().ok_or("no bus")?;
    let coded = drive(job, &pipeline, &source, &sink, patience);
    let error = bus.pop_filtered(&[gst::MessageType::Error]);
    // The change to Null does not fail.
    let _ = pipeline.set_state(gst::State::Null);
    if let Some(gst::MessageView::Error(error)) = error.as_ref().map(|message| message.view()) {
        return Err(error.error().message().trim_end_matches('.').to_owned());
    }
    let avcc = coded?;
    match job {
        Job::EncodeH264 => encoder::declared(&avcc, &form).map(drop).map_err(|e| e.to_string()),
        Job::Decode(_) => Ok(()),
    }
}

/// Pushes the pictures and waits for as many; returns `codec_data`, where there is one.
fn drive(
    job: Job,
    pipeline: &gst::Pipeline,
    source: &gst_app::AppSrc,
    sink: &gst_app::AppSink,
    patience: Duration,
) -> Result<Vec<u8>, String> {
    pipeline.set_state(gst::State::Playing).map_err(|_| "it does not start".to_owned())?;
    let end = Instant::now() + patience;
    let mut units = units(job);
    let count = match job {
        Job::Decode(VideoCodec::H264 | VideoCodec::H265) => PICTURES,
        _ => units.len() as u64,
    };
    for (i, data) in (0u64..).zip(units.drain(..)) {
        let mut buffer = gst::Buffer::from_slice(data);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(gst::ClockTime::from_mseconds(40 * i));
        }
        source.push_buffer(buffer).map_err(|_| "it takes no data".to_owned())?;
    }
    source.end_of_stream().map_err(|_| "it takes no data".to_owned())?;
    let (mut got, mut avcc) = (0, Vec::new());
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let sample = sink.try_pull_sample(gst::ClockTime::try_from(left).ok());
        let Some(sample) = sample else { break };
        got += 1;
        let data = sample.caps().and_then(|caps| caps.structure(0)?.get::<gst::Buffer>("codec_data").ok());
        if let Some(data) = data.as_ref().and_then(|data| data.map_readable().ok()) {
            avcc = data.to_vec();
        }
    }
    if got >= count { Ok(avcc) } else { Err(format!("of {count} pictures it gave {got}")) }
}

fn units(job: Job) -> Vec<Vec<u8>> {
    match job {
        // Unpacked: the parser finds the pictures.
        Job::Decode(VideoCodec::H264) => vec![H264.to_vec()],
        Job::Decode(VideoCodec::H265) => vec![H265.to_vec()],
        Job::Decode(VideoCodec::Jpeg) => vec![JPEG.to_vec()],
        Job::EncodeH264 => {
            let grey = SIZE.0 as usize * SIZE.1 as usize * 3 / 2;
            (0..PICTURES).map(|_| vec![0x80; grey]).collect()
        }
    }
}

fn build(
    job: Job,
    element: &str,
    form: &EncodedForm,
) -> Result<(gst::Pipeline, gst_app::AppSrc, gst_app::AppSink), PipelineError> {
    let byte_stream = |media: &str| gst::Caps::builder(media).field("stream-format", "byte-stream").build();
    let caps = match job {
        Job::Decode(VideoCodec::H264) => byte_stream("video/x-h264"),
        Job::Decode(VideoCodec::H265) => byte_stream("video/x-h265"),
        Job::Decode(VideoCodec::Jpeg) => gst::Caps::builder("image/jpeg").build(),
        Job::EncodeH264 => {
            let mut caps = caps::i420(SIZE);
            caps.make_mut().set("framerate", gst::Fraction::new(25, 1));
            caps
        }
    };
    let source = gst_app::AppSrc::builder().caps(&caps).format(gst::Format::Time).build();
    let sink = gst_app::AppSink::builder().sync(false).build();
    let mut chain: Vec<gst::Element> = vec![source.clone().upcast()];
    match job {
        Job::Decode(codec) => {
            chain.extend(match codec {
                VideoCodec::H264 => Some(elements::make("h264parse")?),
                VideoCodec::H265 => Some(elements::make("h265parse")?),
                VideoCodec::Jpeg => None,
            });
            chain.extend(decoder::chain(element, codec)?);
            let raw = elements::make("capsfilter")?;
            raw.set_property("caps", caps::i420(SIZE));
            chain.extend([elements::make("videoconvertscale")?, raw]);
        }
        Job::EncodeH264 => {
            chain.push(elements::make("videoconvertscale")?);
            chain.extend(encoder::make(element, form)?.chain);
        }
    }
    chain.push(sink.clone().upcast());
    let pipeline = gst::Pipeline::new();
    pipeline.add_many(&chain).map_err(PipelineError::build)?;
    gst::Element::link_many(&chain).map_err(PipelineError::build)?;
    Ok((pipeline, source, sink))
}

/// The form that an encoder is tried with.
fn small_form() -> Option<EncodedForm> {
    let video = VideoParameters {
        codec: VideoCodec::Jpeg,
        codec_data: bytes::Bytes::new(),
        rfc6381: String::new(),
        width: SIZE.0,
        height: SIZE.1,
        reorder: Some(0),
        declared_fps: None,
    };
    form(&video, None, Rendition::H264)
}
