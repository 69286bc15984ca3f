//! The programme that every camera plays: the same pictures and, if it has a microphone, the same audio.

use rsm_simulator::schedule::Schedule;

use crate::{
    audio::{AudioCodec, AudioError, Sound},
    clip::{Clip, ClipError, ClipSpec},
    codec::Codec,
    picture::Size,
};

/// Where the decoder's parameter sets are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ParameterSets {
    /// In the SDP and before every key frame
    #[default]
    Both,
    /// Before every key frame only
    InBand,
    /// In the SDP only
    Sdp,
}

/// Parameters that a programme is made from.
#[derive(Clone, Copy, Debug)]
pub struct ProgrammeSpec {
    pub clip: ClipSpec,
    /// The size of the clip that `resize` switches to.
    pub second: Option<Size>,
    pub audio: AudioCodec,
    pub parameter_sets: ParameterSets,
}

pub struct Programme {
    pub schedule: Schedule,
    pub codec: Codec,
    pub parameter_sets: ParameterSets,
    pub sound: Option<Sound>,
    first: Clip,
    second: Option<Clip>,
}

#[derive(Debug, thiserror::Error)]
pub enum ProgrammeError {
    #[error("the clip cannot be made")]
    Clip(#[from] ClipError),
    #[error("the sound cannot be made")]
    Sound(#[from] AudioError),
}

impl Programme {
    /// # Errors
    /// GStreamer lacks an element, or an encoder ignores a setting.
    pub fn make(spec: ProgrammeSpec) -> Result<Self, ProgrammeError> {
        let second = spec.second.map(|size| Clip::make(ClipSpec { size, ..spec.clip })).transpose()?;
        Ok(Self {
            schedule: spec.clip.schedule,
            codec: spec.clip.codec,
            parameter_sets: spec.parameter_sets,
            sound: Sound::make(spec.audio)?,
            first: Clip::make(spec.clip)?,
            second,
        })
    }

    /// True when there is a clip to `resize` to.
    pub fn has_second(&self) -> bool {
        self.second.is_some()
    }

    /// The clip shown at present.
    pub fn clip(&self, resized: bool) -> &Clip {
        self.second.as_ref().filter(|_| resized).unwrap_or(&self.first)
    }

    /// Encoded size of one lap in bytes.
    pub fn bytes(&self) -> usize {
        self.first.bytes() + self.second.as_ref().map_or(0, Clip::bytes)
    }
}
