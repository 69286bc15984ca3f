//! The audio of a stream: it waits for the pictures of its time, then goes into segments of its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rsm_media::access_unit::AccessUnit;
use rsm_media::hls::audio_track::{AudioTrack, TooLongAGap};
use rsm_media::hls::multivariant::AudioMedia;
use rsm_media::hls::parts::PartTarget;
use rsm_media::hls::segmenter::Made;
use rsm_media::hls::window::Window;
use rsm_media::mp4;
use rsm_media::parameters::{AudioCodec, AudioParameters};
use rsm_shared::stream::rendition::Rendition;
use tokio::time::Instant;

use super::audio_encoder::AacEncoder;
use super::error::{HlsError, LONGEST_PAUSE};
use super::rendition_store::RenditionStore;
use super::stream::HlsStream;

/// Frames that wait for pictures of their time: more than cameras send ahead. Beyond it the oldest go.
const MAX_WAITING: usize = 512;
/// Audio that lags behind the pictures by more than this is taken to have stopped, and silence fills the gap. More than
/// any encoder's delay.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Makes the audio rendition while the camera sends audio.
pub(super) struct AudioRendition {
    stream: Arc<HlsStream>,
    store: RenditionStore,
    encoder: Option<AacEncoder>,
    /// AAC, in order.
    waiting: VecDeque<(Duration, Bytes, Arc<AudioParameters>)>,
    track: Option<AudioTrack>,
    /// The newest segment of the tracks before.
    newest: Option<u64>,
    /// No audio is taken until then: the encoder or the track failed.
    paused: Option<Instant>,
    /// The error that was logged last.
    logged: Option<String>,
}

impl AudioRendition {
    pub fn new(stream: Arc<HlsStream>) -> Self {
        let store = RenditionStore::new(stream.clone(), Rendition::Audio);
        let (waiting, logged) = (VecDeque::new(), None);
        Self { stream, store, encoder: None, waiting, track: None, newest: None, paused: None, logged }
    }

    /// Takes a frame of the camera's audio.
    pub async fn take(&mut self, unit: Arc<AccessUnit>) {
        let Some(parameters) = unit.audio.clone().filter(|_| !self.is_paused()) else { return };
        if parameters.codec == AudioCodec::Aac {
            return self.queue(unit.pts, unit.data.clone(), parameters);
        }
        if !self.encoder.as_ref().is_some_and(|encoder| encoder.suits(&parameters)) {
            match AacEncoder::start(parameters).await {
                Ok(encoder) => self.encoder = Some(encoder),
                Err(error) => return self.fail(&error),
            }
        }
        if let Some(encoder) = &self.encoder {
            encoder.push(unit);
        }
    }

    /// Waits for the next encoded frame and queues it; for ever while nothing is encoded. Cancel safe.
    pub async fn encoded(&mut self) {
        let Some(encoder) = &mut self.encoder else { return std::future::pending().await };
        match encoder.next().await {
            Some(frame) => self.queue(frame.pts, frame.data, frame.parameters),
            None => {
                self.encoder = None;
                self.pause();
            }
        }
    }

    fn queue(&mut self, pts: Duration, data: Bytes, parameters: Arc<AudioParameters>) {
        self.waiting.push_back((pts, data, parameters));
        if self.waiting.len() > MAX_WAITING {
            self.waiting.pop_front();
        }
    }

    /// The pictures of `timeline` have reached that time, and every segment up to there is planned: the audio up to there
    /// goes to its segments.
    pub async fn follow(&mut self, timeline: u64, reached: Duration) -> Result<(), HlsError> {
        // Decided with the first pictures, a few of which are examined first.
        let Some(part_target) = self.stream.plan.known_part_target() else { return Ok(()) };
        while let Some((pts, data, parameters)) = self.waiting.pop_front_if(|(pts, ..)| *pts <= reached) {
            let begun = match &self.track {
                Some(track) if track.parameters() == &parameters => true,
                _ => self.begin(timeline, parameters, part_target).await?,
            };
            if !begun {
                return Ok(());
            }
            let plan = &self.stream.plan;
            let made = self.track.as_mut().map(|track| plan.read(|cuts| track.push(pts, data, cuts)));
            self.store(made).await?;
        }
        let (plan, until) = (&self.stream.plan, reached.saturating_sub(PATIENCE));
        let made = self.track.as_mut().map(|track| plan.read(|cuts| track.fill(until, cuts)));
        self.store(made).await
    }

    /// Time breaks: the next unit is of another timeline.
    pub async fn break_time(&mut self) -> Result<(), HlsError> {
        self.encoder = None;
        self.paused = None;
        self.waiting.clear();
        self.finish().await
    }

    /// Ends the track: the rest of it goes to a last segment.
    async fn finish(&mut self) -> Result<(), HlsError> {
        let Some(mut track) = self.drop_track() else { return Ok(()) };
        let made = track.finish();
        Ok(self.store.add(made).await.map(drop)?)
    }

    fn drop_track(&mut self) -> Option<AudioTrack> {
        let track = self.track.take()?;
        self.newest = track.newest();
        Some(track)
    }

    fn is_paused(&self) -> bool {
        self.paused.is_some_and(|until| Instant::now() < until)
    }

    fn pause(&mut self) {
        self.paused = Some(Instant::now() + LONGEST_PAUSE);
        self.waiting.clear();
    }

    /// True when audio has arrived that is in no track yet.
    pub fn is_coming(&self) -> bool {
        !self.is_paused() && self.track.is_none() && (self.encoder.is_some() || !self.waiting.is_empty())
    }

    /// True when the multivariant playlist may name it.
    pub fn is_listed(&self) -> bool {
        self.track.is_some() && self.store.read(|_| ()).is_some()
    }

    /// Its entry in the multivariant playlist; `None` while there is no audio.
    pub fn offered(&self) -> Option<AudioMedia> {
        let track = self.track.as_ref()?;
        let (peak, average) = self.store.read(Window::bandwidth)?;
        let (codecs, channels) = (rfc6381(track.parameters()), track.parameters().channels);
        Some(AudioMedia { codecs, channels, peak, average })
    }

    /// Takes the playlist away; the files stay for a window's time.
    pub async fn withdraw(&mut self) {
        self.encoder = None;
        self.paused = None;
        self.drop_track();
        self.waiting.clear();
        self.store.withdraw().await;
    }

    /// Removes every segment that no playlist lists, now.
    pub async fn make_room(&mut self) {
        self.store.make_room().await;
    }

    /// See [`RenditionStore::until_old`].
    pub async fn until_old(&self) {
        self.store.until_old().await;
    }

    /// See [`RenditionStore::sweep`].
    pub async fn sweep(&mut self) {
        self.store.sweep().await;
    }

    /// Begins a track for audio with these parameters; `false` when it cannot be put into MP4.
    async fn begin(
        &mut self,
        timeline: u64,
        parameters: Arc<AudioParameters>,
        part_target: Option<PartTarget>,
    ) -> Result<bool, HlsError> {
        self.finish().await?;
        let init = match mp4::init(&*parameters) {
            Ok(init) => init,
            Err(error) => {
                self.fail(&error);
                return Ok(false);
            }
        };
        self.store.open(init, parameters.sample_rate, part_target).await?;
        self.track = Some(AudioTrack::new(parameters, timeline, part_target, self.newest));
        Ok(true)
    }

    async fn store(&mut self, made: Option<Result<Vec<Made>, TooLongAGap>>) -> Result<(), HlsError> {
        match made {
            None => Ok(()),
            Some(Ok(made)) => Ok(self.store.add(made).await.map(drop)?),
            Some(Err(TooLongAGap)) => {
                // It begins anew with the next segment; the playlist's numbers begin behind the gap.
                self.drop_track();
                Ok(())
            }
        }
    }

    fn fail(&mut self, error: &dyn std::error::Error) {
        self.pause();
        let text = error.to_string();
        if self.logged.as_ref() != Some(&text) {
            tracing::warn!(repeats = true, stream = %self.stream.slug, error = text, "HLS has no audio");
            self.logged = Some(text);
        }
    }
}

/// RFC 6381 section 3.3: the object type of MPEG-4 audio, 2 for AAC-LC.
fn rfc6381(parameters: &AudioParameters) -> String {
    let object_type = parameters.codec_data.first().map_or(2, |first| first >> 3);
    format!("mp4a.40.{object_type}")
}
