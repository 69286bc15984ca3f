//! The sound of a stream: waits for the pictures of its time, then goes into segments of its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rsm_shared::stream::rendition::Rendition;
use tokio::time::Instant;

use super::aac::AacEncoder;
use super::shelf::Shelf;
use super::{Fault, HlsStream, RETRY};
use crate::hls::multivariant::AudioRendition;
use crate::hls::segmenter::Made;
use crate::hls::sound::{SoundTrack, TooLongAGap};
use crate::hls::window::{PartTarget, Window};
use crate::media::access_unit::AccessUnit;
use crate::media::parameters::{AudioCodec, AudioParameters};
use crate::mp4;

/// Frames that wait for pictures of their time: more than cameras send ahead. Beyond it the oldest go.
const MAX_WAITING: usize = 512;
/// Sound that lags behind the pictures by more than this is taken to have stopped, and silence is made up to there. More
/// than any encoder's delay.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Makes the audio rendition while there is sound.
pub(super) struct Listening {
    stream: Arc<HlsStream>,
    shelf: Shelf,
    encoder: Option<AacEncoder>,
    /// AAC, in order.
    waiting: VecDeque<(Duration, Bytes, Arc<AudioParameters>)>,
    track: Option<SoundTrack>,
    /// The newest segment of the tracks before.
    newest: Option<u64>,
    /// No sound is taken until then: the encoder or the track failed.
    resting: Option<Instant>,
    /// What was told of it last.
    told: Option<String>,
}

impl Listening {
    pub fn new(stream: Arc<HlsStream>) -> Self {
        let shelf = Shelf::new(stream.clone(), Rendition::Audio);
        let (waiting, told) = (VecDeque::new(), None);
        Self { stream, shelf, encoder: None, waiting, track: None, newest: None, resting: None, told }
    }

    /// A frame of the camera's sound.
    pub async fn hear(&mut self, unit: Arc<AccessUnit>) {
        let Some(parameters) = unit.sound.clone().filter(|_| !self.is_resting()) else { return };
        if parameters.codec == AudioCodec::Aac {
            return self.wait(unit.pts, unit.data.clone(), parameters);
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

    /// The next encoded frame is there to wait for pictures; for ever while nothing is encoded.
    pub async fn encoded(&mut self) {
        let Some(encoder) = &mut self.encoder else { return std::future::pending().await };
        match encoder.next().await {
            Some(sound) => self.wait(sound.pts, sound.data, sound.parameters),
            None => {
                self.encoder = None;
                self.rest();
            }
        }
    }

    fn wait(&mut self, pts: Duration, data: Bytes, parameters: Arc<AudioParameters>) {
        self.waiting.push_back((pts, data, parameters));
        if self.waiting.len() > MAX_WAITING {
            self.waiting.pop_front();
        }
    }

    /// The pictures of `timeline` have come to `reached`, and every segment up to there is planned.
    pub async fn follow(&mut self, timeline: u64, reached: Duration) -> Result<(), Fault> {
        // Decided with the first pictures, a few of which are looked at first.
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
            let made = self.track.as_mut().map(|track| track.push(pts, data, plan));
            self.keep(made).await?;
        }
        let plan = &self.stream.plan;
        let made = self.track.as_mut().map(|track| track.fill(reached.saturating_sub(PATIENCE), plan));
        self.keep(made).await
    }

    /// Time breaks: what comes is of another timeline.
    pub async fn break_time(&mut self) -> Result<(), Fault> {
        self.encoder = None;
        self.resting = None;
        self.waiting.clear();
        self.finish().await
    }

    /// What is left of the track goes to its segment.
    async fn finish(&mut self) -> Result<(), Fault> {
        let Some(mut track) = self.let_go() else { return Ok(()) };
        let made = track.finish();
        Ok(self.shelf.keep(made).await.map(drop)?)
    }

    fn let_go(&mut self) -> Option<SoundTrack> {
        let track = self.track.take()?;
        self.newest = track.newest();
        Some(track)
    }

    fn is_resting(&self) -> bool {
        self.resting.is_some_and(|until| Instant::now() < until)
    }

    fn rest(&mut self) {
        self.resting = Some(Instant::now() + RETRY.1);
        self.waiting.clear();
    }

    /// Whether sound was heard that no track is made of yet.
    pub fn is_coming(&self) -> bool {
        !self.is_resting() && self.track.is_none() && (self.encoder.is_some() || !self.waiting.is_empty())
    }

    /// Whether the multivariant playlist may name it.
    pub fn is_heard(&self) -> bool {
        self.track.is_some() && self.shelf.look(|_| ()).is_some()
    }

    /// What the multivariant playlist says of it; `None` while there is none.
    pub fn offered(&self) -> Option<AudioRendition> {
        let track = self.track.as_ref()?;
        let (peak, average) = self.shelf.look(Window::bandwidth)?;
        let (codecs, channels) = (rfc6381(track.parameters()), track.parameters().channels);
        Some(AudioRendition { codecs, channels, peak, average })
    }

    /// Nobody listens any more.
    pub async fn withdraw(&mut self) {
        self.encoder = None;
        self.resting = None;
        self.let_go();
        self.waiting.clear();
        self.shelf.withdraw().await;
    }

    pub async fn make_room(&mut self) {
        self.shelf.make_room().await;
    }

    pub async fn until_old(&self) {
        self.shelf.until_old().await;
    }

    pub async fn sweep(&mut self) {
        self.shelf.sweep().await;
    }

    /// Whether a track could be made for sound with these parameters.
    async fn begin(
        &mut self,
        timeline: u64,
        parameters: Arc<AudioParameters>,
        part_target: Option<PartTarget>,
    ) -> Result<bool, Fault> {
        self.finish().await?;
        let init = match mp4::init(&*parameters) {
            Ok(init) => init,
            Err(error) => {
                self.fail(&error);
                return Ok(false);
            }
        };
        self.shelf.open(init, parameters.sample_rate, part_target).await?;
        self.track = Some(SoundTrack::new(parameters, timeline, part_target, self.newest));
        Ok(true)
    }

    async fn keep(&mut self, made: Option<Result<Vec<Made>, TooLongAGap>>) -> Result<(), Fault> {
        match made {
            None => Ok(()),
            Some(Ok(made)) => Ok(self.shelf.keep(made).await.map(drop)?),
            Some(Err(TooLongAGap)) => {
                // It begins anew with the next segment; the playlist's numbers begin behind the gap.
                self.let_go();
                Ok(())
            }
        }
    }

    fn fail(&mut self, error: &dyn std::error::Error) {
        self.rest();
        let text = error.to_string();
        if self.told.as_ref() != Some(&text) {
            tracing::warn!(repeats = true, stream = %self.stream.slug, error = text, "HLS has no sound");
            self.told = Some(text);
        }
    }
}

/// RFC 6381 section 3.3: the object type of MPEG-4 audio, 2 for AAC-LC.
fn rfc6381(parameters: &AudioParameters) -> String {
    let object_type = parameters.codec_data.first().map_or(2, |first| first >> 3);
    format!("mp4a.40.{object_type}")
}
