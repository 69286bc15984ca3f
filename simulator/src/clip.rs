//! The clip: drawn, encoded and cut into RTP payloads once at start, held in memory, shared by all cameras.
//!
//! ```text
//!   painter -> encoder ! parser -> access units -> payloader -> Clip
//! ```
//!
//! Payloading belongs here because it is the same for every camera, client and lap: only the twelve bytes of each RTP
//! header differ.

use gstreamer as gst;
use rsm_simulator::schedule::Schedule;

use crate::{
    codec::{Codec, Content, Encoding},
    conveyor::{self, ConveyorError, Load},
    packet::{Packet, PacketError, Track, packets},
    picture::{Painter, Size},
};

/// Raw pictures that may wait before the encoder; at 3840x2160 one takes 12 MiB.
const RAW_QUEUE: u64 = 4;
/// Encoded bytes that may wait before the payloader.
const UNIT_QUEUE: u64 = 4 << 20;

/// Parameters that a clip is made from.
#[derive(Clone, Copy, Debug)]
pub struct ClipSpec {
    pub codec: Codec,
    pub size: Size,
    /// Frames per second.
    pub fps: u32,
    pub schedule: Schedule,
    pub encoding: Encoding,
}

/// An encoded loop. Frame 0 is a key frame; every `gop`-th one is.
pub struct Clip {
    pub schedule: Schedule,
    /// Frames from one key frame to the next.
    pub gop: u32,
    /// Number of frames by which a picture is sent late, so that none is sent before the camera could have captured it:
    /// pictures that B-frames refer to overtake them.
    pub delay: u32,
    pub track: Track,
    /// In the order of decoding.
    frames: Vec<ClipFrame>,
}

/// One encoded picture.
pub struct ClipFrame {
    pub packets: Vec<Packet>,
    pub is_key: bool,
    /// Its place in the clip when shown: the number in its clock row.
    pub shown: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum ClipError {
    #[error("encoding (gstreamer1.0-plugins-ugly and -bad installed?)")]
    Encoder(#[source] ConveyorError),
    #[error("payloading")]
    Payloader(#[source] ConveyorError),
    #[error("an element is missing (gstreamer1.0-plugins-good, -bad, -ugly installed?)")]
    Element(#[from] gst::glib::BoolError),
    #[error("the encoder made {made} of {wanted} pictures")]
    Incomplete { made: usize, wanted: u32 },
    #[error("picture {frame} is a key frame where none belongs, or the other way round")]
    KeyFrame { frame: usize },
    #[error("the pictures' order of display makes no sense")]
    Order,
    #[error("a key frame carries no parameter sets")]
    NoParameterSets,
    #[error(transparent)]
    Packet(#[from] PacketError),
}

impl Clip {
    /// Draws, encodes and payloads. Takes about 1 s of two cores for 250 H.264 pictures of 1280x720.
    pub fn make(spec: ClipSpec) -> Result<Self, ClipError> {
        let frames = spec.schedule.frames();
        let quality = if spec.codec == Codec::Mjpeg { quality_for(spec)? } else { 0 };
        let units = encode(spec, frames, quality)?;
        if units.buffers.len() != frames as usize {
            return Err(ClipError::Incomplete { made: units.buffers.len(), wanted: frames });
        }
        let order = display_order(&units.buffers, spec.fps).ok_or(ClipError::Order)?;
        let (track, payloads) = payload(spec, &units)?;

        let mut pictures = Vec::with_capacity(payloads.len());
        for (index, (packets, shown)) in payloads.into_iter().zip(&order).enumerate() {
            let is_key = packets.iter().any(|packet| packet.content == Content::Key);
            let key_belongs = spec.codec == Codec::Mjpeg || index % spec.encoding.gop as usize == 0;
            // A key frame that is not shown in its place would be a GOP that leans on the one before it.
            if is_key != key_belongs || (is_key && *shown as usize != index) {
                return Err(ClipError::KeyFrame { frame: index });
            }
            let has_sets = packets.iter().any(|packet| packet.content == Content::ParameterSet);
            if is_key && !has_sets && !spec.codec.sdp_parameter_sets().is_empty() {
                return Err(ClipError::NoParameterSets);
            }
            pictures.push(ClipFrame { packets, is_key, shown: *shown });
        }
        let overtakes = order.iter().zip(0..).map(|(shown, index)| shown.saturating_sub(index));
        Ok(Self {
            schedule: spec.schedule,
            gop: if spec.codec == Codec::Mjpeg { 1 } else { spec.encoding.gop },
            delay: overtakes.max().unwrap_or_default(),
            track,
            frames: pictures,
        })
    }

    /// Encoded size of one lap in bytes.
    pub fn bytes(&self) -> usize {
        self.frames.iter().flat_map(|frame| &frame.packets).map(|packet| packet.payload.size()).sum()
    }

    /// The picture to send when frame `number` of the schedule is due, and the schedule's number of the frame in it.
    /// `None` only in the first moments of 1970.
    pub fn at(&self, number: u64) -> Option<(&ClipFrame, u64)> {
        let decoded = number.checked_sub(u64::from(self.delay))?;
        let index = self.schedule.clip_frame(decoded);
        let frame = &self.frames[index as usize];
        Some((frame, decoded - u64::from(index) + u64::from(frame.shown)))
    }
}

impl Clip {
    /// The place in its group of the picture that is sent when frame `number` of the schedule is due.
    pub fn place(&self, number: u64) -> u32 {
        self.schedule.clip_frame(number.saturating_sub(u64::from(self.delay))) % self.gop
    }
}

/// The place of each picture, given in the order of decoding, in the order of display.
fn display_order(units: &[gst::Buffer], fps: u32) -> Option<Vec<u32>> {
    let times = units.iter().map(|unit| unit.pts()).collect::<Option<Vec<_>>>()?;
    let first = *times.iter().min()?;
    let frame = |time: gst::ClockTime| {
        let scaled = u128::from((time - first).nseconds()) * u128::from(fps);
        ((scaled + 500_000_000) / 1_000_000_000) as u32
    };
    let order: Vec<u32> = times.into_iter().map(frame).collect();
    let mut sorted = order.clone();
    sorted.sort_unstable();
    sorted.into_iter().eq(0..units.len() as u32).then_some(order)
}

/// The JPEG quality whose first picture comes nearest below the asked bit rate.
fn quality_for(spec: ClipSpec) -> Result<i32, ClipError> {
    let budget = spec.encoding.bitrate_kbps as usize * 125 / spec.fps as usize;
    let (mut low, mut high) = (1, 100);
    while low < high {
        let middle = (low + high + 1) / 2;
        let load = encode(spec, 1, middle)?;
        if load.buffers.iter().map(|buffer| buffer.size()).sum::<usize>() <= budget {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(low)
}

/// Draws and encodes the first `frames` pictures.
fn encode(spec: ClipSpec, frames: u32, quality: i32) -> Result<Load, ClipError> {
    let Size { width, height } = spec.size;
    let raw = gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", width as i32)
        .field("height", height as i32)
        .field("framerate", gst::Fraction::new(spec.fps as i32, 1))
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .field("interlace-mode", "progressive")
        .field("colorimetry", "bt601")
        .build();
    let profile =
        gst::ElementFactory::make("capsfilter").property("caps", spec.codec.encoded(spec.encoding.profile)).build()?;
    let chain = [spec.codec.encoder(spec.encoding, quality)?, profile, spec.codec.parser()?];
    let mut painter = Painter::new(spec.size, spec.fps, spec.schedule);
    let pictures = (0..frames).map(move |index| {
        let pts = gst::ClockTime::from_nseconds(spec.schedule.clock(index).as_nanos() as u64);
        (pts, painter.draw(index))
    });
    conveyor::run(&raw, RAW_QUEUE * spec.size.bytes() as u64, pictures, &chain, Some(&spec.codec.parsed()))
        .map_err(ClipError::Encoder)
}

/// Cuts each access unit into RTP payloads.
fn payload(spec: ClipSpec, units: &Load) -> Result<(Track, Vec<Vec<Packet>>), ClipError> {
    packets(units, UNIT_QUEUE, spec.codec.payloader()?, |payload| spec.codec.content(payload)).map_err(|error| {
        match error {
            PacketError::Payloader(error) => ClipError::Payloader(error),
            other => other.into(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(codec: Codec, encoding: Encoding) -> Clip {
        gst::init().expect("GStreamer");
        let schedule = Schedule::new(15, 4).expect("positive");
        let size = Size { width: 320, height: 192 };
        Clip::make(ClipSpec { codec, size, fps: 15, schedule, encoding }).expect("clip")
    }

    const PLAIN: Encoding = Encoding { gop: 20, bitrate_kbps: 300, bframes: 0, slices: 1, profile: None };

    #[test]
    fn key_frames_stand_exactly_at_the_gop_and_the_bit_rate_is_about_what_was_asked() {
        for codec in [Codec::H264, Codec::H265] {
            let clip = make(codec, PLAIN);
            let keys: Vec<usize> = (0..clip.frames.len()).filter(|index| clip.frames[*index].is_key).collect();
            assert_eq!(keys, [0, 20, 40], "{codec:?}");
            assert_eq!(clip.delay, 0);
            let kbps = clip.bytes() * 8 / 4 / 1000;
            assert!((150..=450).contains(&kbps), "{codec:?}: {kbps} kbit/s for 300 asked");
        }
    }

    #[test]
    fn every_jpeg_is_a_key_frame_and_keeps_the_bit_rate() {
        let clip = make(Codec::Mjpeg, Encoding { bitrate_kbps: 1000, ..PLAIN });
        assert!(clip.frames.iter().all(|frame| frame.is_key));
        let kbps = clip.bytes() * 8 / 4 / 1000;
        assert!((500..=1100).contains(&kbps), "{kbps} kbit/s for 1000 asked");
    }

    #[test]
    fn b_frames_are_sent_after_what_they_refer_to_and_nothing_before_it_was_seen() {
        for codec in [Codec::H264, Codec::H265] {
            for bframes in 1..=3 {
                let clip = make(codec, Encoding { bframes, ..PLAIN });
                assert_eq!(clip.delay, bframes, "{codec:?}");
                let base = u64::from(clip.schedule.frames()) * 1000;
                let mut shown: Vec<u64> = (base..base + 60)
                    .filter_map(|number| {
                        let (_, shown) = clip.at(number + u64::from(clip.delay))?;
                        assert!(shown <= number + u64::from(clip.delay));
                        Some(shown)
                    })
                    .collect();
                shown.sort_unstable();
                assert!(shown.into_iter().eq(base..base + 60), "{codec:?} with {bframes}");
            }
        }
    }

    /// The slices that begin in a picture's packets: whole NAL units and first fragments.
    fn slices(codec: Codec, frame: &ClipFrame) -> usize {
        let begins = |packet: &&Packet| {
            let payload = packet.payload.map_readable().expect("readable");
            match codec {
                Codec::H264 => match payload[0] & 0x1f {
                    28 => payload[1] & 0x80 != 0,
                    kind => matches!(kind, 1 | 5),
                },
                _ => match payload[0] >> 1 & 0x3f {
                    49 => payload[2] & 0x80 != 0,
                    kind => kind < 32,
                },
            }
        };
        frame.packets.iter().filter(begins).count()
    }

    #[test]
    fn every_picture_has_as_many_slices_as_asked() {
        for codec in [Codec::H264, Codec::H265] {
            for asked in [1, 4, 8] {
                let clip = make(codec, Encoding { slices: asked, ..PLAIN });
                for frame in &clip.frames {
                    assert_eq!(slices(codec, frame), asked as usize, "{codec:?}");
                }
            }
        }
    }
}
