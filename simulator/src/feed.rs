//! The stream of one client: its RTP numbering, its clock, and the pipeline that it is pushed into.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSrc, AppSrcCallbacks};

use crate::{
    camera_clock::CameraClock,
    chance,
    packet::{Numbering, Packet, PacketStamp, Track},
    source::TrackSource,
};

/// Packets that may wait before the network, beside the two largest pictures. About half a second; a pipeline further
/// behind skips to the next key frame.
const QUEUE: u64 = 30;
/// Distance between the stamps and the pipeline's running time beyond which the stamps are set anew. Wall clock
/// slewing stays far below; a step of the wall clock and a paused pipeline do not.
const MAX_DRIFT: i128 = 100_000_000;
/// Measurements of the offset between running time and unix time, each time that it is learnt.
const MEASUREMENTS: usize = 3;
/// Running time of the primer, by which it is recognised: no picture has it.
const PRIMER: gst::ClockTime = gst::ClockTime::ZERO;

/// Where RTP timestamps begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RtpStart {
    /// As RFC 3550 section 5.1 asks.
    #[default]
    Random,
    At(u32),
}

pub struct Feed {
    pub playing: bool,
    /// The next picture must be a key frame.
    pub needs_key: bool,
    pub clock: CameraClock,
    tracks: Vec<Line>,
    /// Running time minus unix time, in nanoseconds; set with the first packet.
    offset: Option<i128>,
}

/// One track of one client.
struct Line {
    source: TrackSource,
    track: Track,
    numbering: Numbering,
    start: u32,
}

/// Outcome of an attempt to send.
#[derive(Debug, PartialEq, Eq)]
pub enum Sent {
    Yes,
    /// The pipeline did not keep up, or goes down.
    Dropped,
    /// It was captured before the client's pipeline ran, where no time is.
    TooEarly,
}

impl Feed {
    /// Takes over the sources of a new pipeline, each with its track and the SDP fields that it must not have.
    pub fn new(sources: Vec<(TrackSource, Track, &[&str])>, start: RtpStart) -> Self {
        let tracks = sources.into_iter().map(|(source, track, without)| Line::new(source, track, without, start));
        Self { playing: false, needs_key: true, clock: CameraClock::default(), tracks: tracks.collect(), offset: None }
    }

    pub fn is_of(&self, source: &TrackSource) -> bool {
        self.tracks.first().is_some_and(|line| line.source == *source)
    }

    /// The pipeline's running time.
    pub fn now(&self) -> Option<gst::ClockTime> {
        self.tracks.first()?.source.current_running_time()
    }

    /// Learns the offset between running time and unix time: with the first packet, and, `when_astray`, whenever they
    /// have diverged.
    ///
    /// Stamps follow the schedule, so that the feeder's lateness never reaches them: a busy machine sends late, with
    /// the true capture times.
    pub fn align(&mut self, when_astray: bool) {
        let Some(measured) = self.tracks.first().and_then(|line| measure(&line.source)) else { return };
        match self.offset {
            Some(offset) if !when_astray || offset.abs_diff(measured) <= MAX_DRIFT.unsigned_abs() => {}
            _ => self.offset = Some(measured),
        }
    }

    /// Sends the packets captured at `captured` on track `track`: payloads, each with its marker bit.
    pub fn send(
        &mut self,
        track: usize,
        captured: Duration,
        packets: impl ExactSizeIterator<Item = (gst::Memory, bool)>,
    ) -> Sent {
        let (Some(line), Some(offset)) = (self.tracks.get_mut(track), self.offset) else { return Sent::Dropped };
        let pts = match u64::try_from(captured.as_nanos() as i128 + offset).map(gst::ClockTime::from_nseconds) {
            Ok(pts) if pts > PRIMER => pts,
            _ => return Sent::TooEarly,
        };
        if line.source.input().property::<u64>("current-level-buffers") >= QUEUE + 2 * line.track.burst {
            return Sent::Dropped;
        }
        let stamp = PacketStamp { pts, rtp: self.clock.rtp(pts, line.track.clock_rate, line.start) };
        let input = line.source.input();
        let mut buffers = packets.map(|(payload, marker)| line.numbering.packet(&line.track, payload, marker, stamp));
        let pushed = match (buffers.next(), buffers.len()) {
            (None, _) => return Sent::Yes,
            (Some(only), 0) => input.push_buffer(only),
            // One list, one write to the socket.
            (Some(first), _) => {
                input.push_buffer_list(std::iter::once(first).chain(buffers).collect::<gst::BufferList>())
            }
        };
        match pushed {
            Ok(_) => Sent::Yes,
            Err(_) => Sent::Dropped,
        }
    }
}

/// Zero before 1970, which stops no test camera.
pub fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Running time minus unix time, in nanoseconds. Between its two looks at the clock a busy machine may do something
/// else; of a few measurements the one that took the least time counts.
fn measure(source: &TrackSource) -> Option<i128> {
    let measurements = (0..MEASUREMENTS).filter_map(|_| {
        let before = unix_now();
        let running = source.current_running_time()?;
        let took = unix_now().saturating_sub(before);
        Some((took, i128::from(running.nseconds()) - (before + took / 2).as_nanos() as i128))
    });
    measurements.min_by_key(|(took, _)| *took).map(|(_, offset)| offset)
}

impl Line {
    /// At once the source gets one packet: the server answers DESCRIBE when a track has data. [`drop_primer`] keeps
    /// it from the client; pictures follow after PLAY.
    fn new(source: TrackSource, track: Track, without: &[&str], start: RtpStart) -> Self {
        source.set_payload_type(track.payload_type);
        let mut numbering = Numbering { ssrc: chance::number(), sequence: chance::number() as u16 };
        let start = match start {
            RtpStart::Random => chance::number(),
            RtpStart::At(ticks) => ticks,
        };
        let input = source.input();
        input.set_caps(Some(&track.caps_for(numbering.ssrc, without)));
        input.set_format(gst::Format::Time);
        input.set_is_live(true);
        // Bounded in `send`, which alone knows where a picture ends.
        input.set_max_bytes(0);
        let stamp = PacketStamp { pts: PRIMER, rtp: start };
        let sequence = numbering.sequence;
        let mut primer = Some(numbering.packet(&track, gst::Memory::from_slice([0_u8; 1]), true, stamp));
        // It is never sent, so its number is still free.
        numbering.sequence = sequence;
        input.set_callbacks(
            AppSrcCallbacks::builder()
                .need_data(move |source: &AppSrc, _| {
                    if let Some(buffer) = primer.take() {
                        // A pipeline that is being torn down refuses, and no client waits then.
                        let _ = source.push_buffer(buffer);
                    }
                })
                .build(),
        );
        Self { source, track, numbering, start }
    }
}

/// Drops the primer, and only it, on its way out of `pad`.
pub fn drop_primer(pad: &gst::Pad) {
    pad.add_probe(gst::PadProbeType::BUFFER, |_, info| match info.buffer() {
        Some(buffer) if buffer.pts() == Some(PRIMER) => gst::PadProbeReturn::Drop,
        _ => gst::PadProbeReturn::Remove,
    });
}

/// The payloads of a whole picture, with or without its parameter sets.
pub fn whole(packets: &[Packet], parameter_sets: bool) -> Vec<(gst::Memory, bool)> {
    let wanted = |packet: &&Packet| parameter_sets || packet.content != crate::codec::Content::ParameterSet;
    packets.iter().filter(wanted).map(|packet| (packet.payload.clone(), packet.marker)).collect()
}

/// The first half of the bytes, the last packet marked as if the picture ended there: an encoder that broke off.
pub fn half(mut packets: Vec<(gst::Memory, bool)>) -> Vec<(gst::Memory, bool)> {
    let mut left = packets.iter().map(|(payload, _)| payload.size()).sum::<usize>() / 2;
    let mut kept = Vec::with_capacity(packets.len());
    for (payload, _) in packets.drain(..) {
        let size = payload.size().min(left);
        left -= size;
        match size {
            0 => break,
            _ if size == payload.size() => kept.push((payload, false)),
            _ => {
                let bytes = payload.map_readable().map(|map| map[..size].to_vec()).unwrap_or_default();
                kept.push((gst::Memory::from_slice(bytes), false));
            }
        }
    }
    if let Some((_, marker)) = kept.last_mut() {
        *marker = true;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_picture_is_half_its_bytes_and_ends_with_the_marker() {
        gst::init().expect("GStreamer");
        for (sizes, expected) in
            [(&[100, 100, 100][..], &[(100, false), (50, true)][..]), (&[7], &[(3, true)]), (&[], &[])]
        {
            let packets = sizes.iter().map(|size| (gst::Memory::from_slice(vec![1_u8; *size]), false)).collect();
            let left: Vec<_> = half(packets).iter().map(|(payload, marker)| (payload.size(), *marker)).collect();
            assert_eq!(left, expected);
        }
    }
}
