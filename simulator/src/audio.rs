//! The sound of every camera: a quiet tone with a short beep at each full second, encoded once and looped.
//!
//! The loop lasts a whole number of seconds *and* a whole number of codec frames, so it repeats without a gap and
//! frame `n` since the unix epoch is due at `n * samples / rate` for ever: the sound's clock is the pictures' clock
//! and cannot drift from it.

use std::{f64::consts::TAU, time::Duration};

use clap::ValueEnum;
use gstreamer as gst;

use crate::{
    codec::Content,
    conveyor::{self, ConveyorError, Load},
    packet::{Packet, PacketError, Track, packets},
};

/// Laps encoded before the one that is kept, so that the kept one begins as it ends: codecs remember.
const WARM_UP_LAPS: u32 = 1;
/// Bytes that may wait before the encoder or the payloader.
const QUEUE: u64 = 1 << 20;
/// Whole hertz, so that every lap ends in the phase in which it began.
const TONE_HZ: f64 = 220.0;
const BEEP_HZ: f64 = 1000.0;
const BEEP: Duration = Duration::from_millis(100);
/// Amplitude as a share of full scale.
const TONE_LEVEL: f64 = 0.03;
const BEEP_LEVEL: f64 = 0.3;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum AudioCodec {
    #[default]
    None,
    /// AAC-LC, 16 kHz, mono
    Aac,
    /// G.711 A-law, 8 kHz, mono
    Pcma,
    /// G.711 mu-law, 8 kHz, mono
    Pcmu,
}

/// Frame length and rate of an audio codec.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// Samples in a second.
    rate: u32,
    /// Samples in a frame.
    samples: u32,
    /// Seconds in a lap: the fewest that hold whole frames.
    seconds: u32,
    /// Frames that come out before the sound that went in first.
    priming: u32,
}

/// One encoded lap.
pub struct Sound {
    pub track: Track,
    shape: Shape,
    frames: Vec<Vec<Packet>>,
}

#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    #[error("encoding sound (gstreamer1.0-libav and -good installed?)")]
    Encoder(#[from] ConveyorError),
    #[error("an element is missing (gstreamer1.0-plugins-base, -good, -libav installed?)")]
    Element(#[from] gst::glib::BoolError),
    #[error("the sound's encoder made {made} of {wanted} frames")]
    Incomplete { made: usize, wanted: usize },
    #[error(transparent)]
    Packet(#[from] PacketError),
}

impl AudioCodec {
    fn shape(self) -> Option<Shape> {
        match self {
            Self::None => None,
            // 16000 / 1024 is 15.625 frames a second. avenc_aac puts one frame before the first.
            Self::Aac => Some(Shape { rate: 16_000, samples: 1024, seconds: 8, priming: 1 }),
            // 40 ms a packet, as cameras have it.
            Self::Pcma | Self::Pcmu => Some(Shape { rate: 8_000, samples: 320, seconds: 1, priming: 0 }),
        }
    }

    fn encoder(self) -> Result<Vec<gst::Element>, gst::glib::BoolError> {
        let make = |name| gst::ElementFactory::make(name).build();
        match self {
            Self::None => Ok(Vec::new()),
            Self::Aac => Ok(vec![
                make("audioconvert")?,
                gst::ElementFactory::make("avenc_aac").property("bitrate", 32_000_i32).build()?,
            ]),
            Self::Pcma => Ok(vec![make("alawenc")?]),
            Self::Pcmu => Ok(vec![make("mulawenc")?]),
        }
    }

    fn payloader(self) -> Result<gst::Element, gst::glib::BoolError> {
        let (name, payload_type) = match self {
            Self::None | Self::Aac => ("rtpmp4gpay", 97_u32),
            Self::Pcma => ("rtppcmapay", 8),
            Self::Pcmu => ("rtppcmupay", 0),
        };
        gst::ElementFactory::make(name).property("pt", payload_type).build()
    }
}

impl Sound {
    /// `None` for no codec.
    ///
    /// # Errors
    /// An element is missing or does not behave as its codec promises.
    pub fn make(codec: AudioCodec) -> Result<Option<Self>, AudioError> {
        let Some(shape) = codec.shape() else { return Ok(None) };
        let lap = (shape.seconds * shape.rate / shape.samples) as usize;
        let first = lap * WARM_UP_LAPS as usize + shape.priming as usize;

        let raw = gst::Caps::builder("audio/x-raw")
            .field("format", "S16LE")
            .field("layout", "interleaved")
            .field("rate", shape.rate as i32)
            .field("channels", 1_i32)
            .build();
        // One lap more than is kept: the encoder's tail is not periodic.
        let blocks = (0..(lap * (WARM_UP_LAPS as usize + 2)) as u32).map(move |block| {
            let begin = block * shape.samples;
            let pts = gst::ClockTime::SECOND.nseconds() * u64::from(begin) / u64::from(shape.rate);
            let samples = (begin..begin + shape.samples).flat_map(|index| sample(index, shape.rate).to_le_bytes());
            (gst::ClockTime::from_nseconds(pts), samples.collect())
        });
        let mut load = conveyor::run(&raw, QUEUE, blocks, &codec.encoder()?, None)?;
        if load.buffers.len() < first + lap {
            return Err(AudioError::Incomplete { made: load.buffers.len(), wanted: first + lap });
        }
        let kept = Load { caps: load.caps, buffers: load.buffers.drain(first..first + lap).collect() };
        let (track, frames) = packets(&kept, QUEUE, codec.payloader()?, |_| Content::Other)?;
        match frames.iter().filter(|packets| packets.len() == 1).count() {
            whole if whole == lap => Ok(Some(Self { track, shape, frames })),
            made => Err(AudioError::Incomplete { made, wanted: lap }),
        }
    }

    /// The last frame due at or before `unix`, counted from the epoch.
    pub fn frame_at(&self, unix: Duration) -> u64 {
        let samples = unix.as_nanos() * u128::from(self.shape.rate) / 1_000_000_000;
        (samples / u128::from(self.shape.samples)) as u64
    }

    /// The unix time at which frame `number` begins, rounded up to a nanosecond.
    pub fn due(&self, number: u64) -> Duration {
        let samples = u128::from(number) * u128::from(self.shape.samples);
        let nanos = (samples * 1_000_000_000).div_ceil(u128::from(self.shape.rate));
        Duration::new((nanos / 1_000_000_000) as u64, (nanos % 1_000_000_000) as u32)
    }

    /// The packets of frame `number`.
    pub fn at(&self, number: u64) -> &[Packet] {
        &self.frames[(number % self.frames.len() as u64) as usize]
    }

    /// Frames in one lap.
    pub fn lap(&self) -> u64 {
        self.frames.len() as u64
    }
}

/// Sample `index` since a full second.
fn sample(index: u32, rate: u32) -> i16 {
    let second = f64::from(index % rate) / f64::from(rate);
    let beeps = second < BEEP.as_secs_f64();
    let beep = if beeps { BEEP_LEVEL * (TAU * BEEP_HZ * second).sin() } else { 0.0 };
    let tone = TONE_LEVEL * (TAU * TONE_HZ * second).sin();
    ((beep + tone) * f64::from(i16::MAX)) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lap_begins_at_a_full_second_and_frames_follow_each_other_without_a_gap() {
        gst::init().expect("GStreamer");
        for codec in [AudioCodec::Aac, AudioCodec::Pcma, AudioCodec::Pcmu] {
            let sound = Sound::make(codec).expect("made").expect("a codec");
            let lap = sound.lap();
            assert_eq!(sound.due(lap * 200_000_000).subsec_nanos(), 0, "{codec:?}");
            for number in lap * 200_000_000..lap * 200_000_000 + 300 {
                assert_eq!(sound.frame_at(sound.due(number)), number, "{codec:?}");
                assert_eq!(sound.frame_at(sound.due(number) - Duration::from_nanos(1)), number - 1, "{codec:?}");
            }
        }
    }

    #[test]
    fn the_beep_stands_at_the_full_second_and_the_tone_joins_lap_to_lap() {
        let loudest = |from: u32, to: u32| (from..to).map(|index| sample(index, 8000).unsigned_abs()).max();
        assert!(loudest(0, 800) > Some(9000));
        assert!(loudest(800, 8000) < Some(1100));
        assert!(sample(7999, 8000).abs_diff(sample(8000, 8000)) < 400);
    }
}
