//! Makes units with their time of the frames that retina receives.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use retina::client::Stream;
use retina::codec::{AudioFrame, ParametersRef, VideoFrame};
use retina::rtcp::ReceivedCompoundPacket;

use super::camera_clock::{CameraClock, Stamp, Track};
use super::error::SourceError;
use super::offer::Taken;
use super::unit::SourceUnit;
use super::whole::{Verdict, Whole};
use rsm_media::access_unit::MAX_UNIT_BYTES;
use rsm_media::parameters::{AudioCodec, AudioParameters, VideoCodec, VideoParameters, credible_fps};

/// The reception of one session.
pub struct Received {
    taken: Taken,
    clock: CameraClock,
    whole: Whole,
    video: Option<Arc<VideoParameters>>,
    audio: Option<Arc<AudioParameters>>,
    left_out: Option<Instant>,
}

impl Received {
    /// Nothing yet, of the streams that were taken.
    pub fn new(taken: Taken) -> Self {
        let (clock, whole) = Default::default();
        Self { taken, clock, whole, video: None, audio: None, left_out: None }
    }

    /// See [`super::Source::left_out`].
    pub fn left_out(&self) -> Option<Instant> {
        self.left_out
    }

    /// A picture of `stream`, a key frame or not as retina says; `None` when it cannot be shown.
    ///
    /// # Errors
    /// [`SourceError::BadVideo`] and [`SourceError::Damaged`] when none can for long.
    pub fn picture(&mut self, stream: &Stream, frame: VideoFrame) -> Result<Option<SourceUnit>, SourceError> {
        if frame.has_new_parameters() || self.video.is_none() {
            self.video = self.video_parameters(stream)?.or(self.video.take());
        }
        let at = *frame.end_ctx();
        let Some(video) = self.video.clone() else {
            let unusable = self.whole.unusable(at.received());
            return self.leave_out(unusable, at.received(), SourceError::BadVideo);
        };
        if frame.data().len() > MAX_UNIT_BYTES {
            tracing::debug!(bytes = frame.data().len(), "a picture is too large and left out");
            let unusable = self.whole.unusable(at.received());
            return self.leave_out(unusable, at.received(), SourceError::Damaged);
        }
        // True when retina saw no slice but those of IDR pictures; also without any slice, which `judge` drops.
        let (is_key, lost) = (frame.is_random_access_point(), frame.loss() > 0);
        match self.whole.judge(video.codec, is_key, lost, frame.data(), at.received()) {
            Verdict::Show => {}
            Verdict::Nothing => return Ok(None),
            verdict => return self.leave_out(verdict, at.received(), SourceError::Damaged),
        }
        let stamp = stamp(frame.timestamp());
        let told = self.clock.place(Track::Pictures, stamp, at.received(), at.received_wall().into());
        Ok(told.map(|told| SourceUnit {
            time_ns: told.time_ns,
            captured: told.captured,
            is_key,
            arrived: at.received(),
            data: frame.into_data().into(),
            video,
            audio: None,
        }))
    }

    /// A frame of audio of `stream`; `None` when it cannot be placed, or before the first picture.
    pub fn audio(&mut self, stream: &Stream, frame: &AudioFrame) -> Option<SourceUnit> {
        let (_, codec) = self.taken.audio?;
        if self.audio.is_none() {
            self.audio = audio_parameters(codec, stream);
        }
        let at = *frame.ctx();
        // Its place is found before the first picture is shown, so that the clock knows both.
        let stamp = stamp(frame.timestamp());
        let told = self.clock.place(Track::Audio, stamp, at.received(), at.received_wall().into())?;
        Some(SourceUnit {
            time_ns: told.time_ns,
            captured: told.captured,
            is_key: false,
            arrived: at.received(),
            data: Bytes::copy_from_slice(frame.data()),
            video: self.video.clone()?,
            audio: Some(self.audio.clone()?),
        })
    }

    /// An RTCP packet; sender reports set the clock.
    pub fn report(&mut self, packet: &ReceivedCompoundPacket) {
        let track = match packet.stream_id() {
            id if id == self.taken.video.0 => Track::Pictures,
            id if self.taken.audio.is_some_and(|(audio, _)| audio == id) => Track::Audio,
            _ => return,
        };
        let report = packet.pkts().next().and_then(|first| first.as_sender_report().ok().flatten());
        if let Some((report, timestamp)) = report.zip(packet.rtp_timestamp()) {
            self.clock.reported(track, stamp(timestamp), report.ntp_timestamp().0);
        }
    }

    fn leave_out(
        &mut self,
        verdict: Verdict,
        arrived: Instant,
        error: SourceError,
    ) -> Result<Option<SourceUnit>, SourceError> {
        if verdict == Verdict::GiveUp {
            return Err(error);
        }
        self.left_out = Some(arrived);
        Ok(None)
    }

    fn video_parameters(&self, stream: &Stream) -> Result<Option<Arc<VideoParameters>>, SourceError> {
        let Some(ParametersRef::Video(said)) = stream.parameters() else { return Ok(None) };
        let record = || Bytes::copy_from_slice(said.extra_data());
        let read = match self.taken.video.1 {
            VideoCodec::H264 => VideoParameters::from_avcc(record()),
            VideoCodec::H265 => VideoParameters::from_hvcc(record()),
            VideoCodec::Jpeg => VideoParameters::jpeg(said.pixel_dimensions().0, said.pixel_dimensions().1),
        };
        let mut new = read.map_err(|error| {
            tracing::debug!(%error, "the video is not usable");
            SourceError::BadVideo
        })?;
        // As the stream declares it, else as its description does.
        let declared = || said.frame_rate().map(|(seconds, pictures)| f64::from(pictures) / f64::from(seconds));
        let described = || stream.framerate().map(f64::from);
        new.declared_fps = new
            .declared_fps
            .or_else(|| declared().and_then(credible_fps))
            .or_else(|| described().and_then(credible_fps));
        // Cameras repeat the same parameters with every key frame.
        Ok(Some(match &self.video {
            Some(old) if **old == new => old.clone(),
            _ => Arc::new(new),
        }))
    }
}

fn audio_parameters(codec: AudioCodec, stream: &Stream) -> Option<Arc<AudioParameters>> {
    let Some(ParametersRef::Audio(said)) = stream.parameters() else { return None };
    let codec_data = match codec {
        AudioCodec::Aac => Bytes::copy_from_slice(said.extra_data()),
        AudioCodec::Pcma | AudioCodec::Pcmu => Bytes::new(),
    };
    AudioParameters::credible(codec, codec_data, said.clock_rate(), said.channels().get()).map(Arc::new)
}

fn stamp(timestamp: retina::Timestamp) -> Stamp {
    Stamp { ticks: timestamp.timestamp(), rate: timestamp.clock_rate().get() }
}
