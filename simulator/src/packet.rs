//! RTP packets: payloads that all cameras share, and the header that each client's stream has of its own.

use gstreamer as gst;

use crate::{
    codec::Content,
    conveyor::{self, ConveyorError, Load},
};

/// Bytes of an RTP header without extensions (RFC 3550 section 5.1).
const HEADER: usize = 12;

/// One RTP packet but for its header.
pub struct Packet {
    pub payload: gst::Memory,
    /// RFC 3550 section 5.1: the last packet of a picture.
    pub marker: bool,
    pub content: Content,
}

/// Properties that all packets of one track share.
#[derive(Clone, Debug)]
pub struct Track {
    /// Caps that the SDP is made from.
    pub caps: gst::Caps,
    /// Ticks of the RTP timestamp in a second.
    pub clock_rate: u32,
    pub payload_type: u8,
    /// Packets of the largest picture.
    pub burst: u64,
}

/// State of one RTP stream.
#[derive(Clone, Copy, Debug)]
pub struct Numbering {
    pub ssrc: u32,
    /// Sequence number of the next packet.
    pub sequence: u16,
}

#[derive(Debug, thiserror::Error)]
pub enum PacketError {
    #[error("payloading")]
    Payloader(#[source] ConveyorError),
    #[error("the payloader made packets that are no RTP")]
    NoRtp,
    #[error("the payloader's caps lack {0}")]
    Caps(&'static str),
}

/// Cuts every unit into RTP payloads, in the order of `units`.
pub fn packets(
    units: &Load,
    queue_bytes: u64,
    payloader: gst::Element,
    content: impl Fn(&[u8]) -> Content,
) -> Result<(Track, Vec<Vec<Packet>>), PacketError> {
    let mut goods = Vec::with_capacity(units.buffers.len());
    for (unit, second) in units.buffers.iter().zip(0..) {
        let bytes = unit.map_readable().map_err(|_| PacketError::NoRtp)?.to_vec();
        // A time by which the unit's packets are known again.
        goods.push((gst::ClockTime::from_seconds(second), bytes));
    }
    let load = conveyor::run(&units.caps, queue_bytes, goods.into_iter(), &[payloader], None)
        .map_err(PacketError::Payloader)?;

    let mut payloads: Vec<Vec<Packet>> = units.buffers.iter().map(|_| Vec::new()).collect();
    for buffer in &load.buffers {
        let map = buffer.map_readable().map_err(|_| PacketError::NoRtp)?;
        let (header, payload) = map.split_at_checked(HEADER).ok_or(PacketError::NoRtp)?;
        let unit = buffer.pts().and_then(|pts| payloads.get_mut(pts.seconds() as usize)).ok_or(PacketError::NoRtp)?;
        unit.push(Packet {
            marker: header[1] & 0x80 != 0,
            content: content(payload),
            payload: gst::Memory::from_slice(payload.to_vec()),
        });
    }
    let burst = payloads.iter().map(Vec::len).max().unwrap_or_default() as u64;
    Ok((Track::new(load.caps, burst)?, payloads))
}

impl Track {
    fn new(mut caps: gst::Caps, burst: u64) -> Result<Self, PacketError> {
        let fields = caps.make_mut().structure_mut(0).ok_or(PacketError::Caps("fields"))?;
        // These are of the payloader's own stream.
        fields.remove_fields(["ssrc", "timestamp-offset", "seqnum-offset"]);
        let number = |name| fields.get::<i32>(name).ok().and_then(|value| u32::try_from(value).ok());
        let clock_rate = number("clock-rate").filter(|rate| *rate > 0).ok_or(PacketError::Caps("clock-rate"))?;
        let payload_type = number("payload").and_then(|value| value.try_into().ok());
        let payload_type = payload_type.filter(|value| *value < 128).ok_or(PacketError::Caps("payload"))?;
        Ok(Self { caps, clock_rate, payload_type, burst })
    }

    /// The caps without `fields`, for one stream.
    pub fn caps_for(&self, ssrc: u32, without: &[&str]) -> gst::Caps {
        let mut caps = self.caps.clone();
        if let Some(fields) = caps.make_mut().structure_mut(0) {
            fields.set("ssrc", ssrc);
            fields.remove_fields(without.iter().copied());
        }
        caps
    }
}

impl Numbering {
    /// A buffer of the header, numbered and stamped, and the payload, which is shared and not copied.
    pub fn packet(&mut self, track: &Track, payload: gst::Memory, marker: bool, time: PacketStamp) -> gst::Buffer {
        let mut header = [0; HEADER];
        header[0] = 0x80;
        header[1] = track.payload_type | if marker { 0x80 } else { 0 };
        header[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        header[4..8].copy_from_slice(&time.rtp.to_be_bytes());
        header[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        self.sequence = self.sequence.wrapping_add(1);

        let mut buffer = gst::Buffer::from_slice(header);
        let buffer_mut = buffer.make_mut();
        buffer_mut.append_memory(payload);
        buffer_mut.set_pts(time.pts);
        buffer
    }
}

/// When a picture or a piece of sound was captured.
#[derive(Clone, Copy, Debug)]
pub struct PacketStamp {
    /// In the pipeline's running time.
    pub pts: gst::ClockTime,
    /// As the RTP header tells it.
    pub rtp: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_shares_the_memory_of_the_clip_and_has_a_header_of_its_own() {
        gst::init().expect("GStreamer");
        let track = Track { caps: gst::Caps::new_any(), clock_rate: 90_000, payload_type: 96, burst: 1 };
        let payload = gst::Memory::from_slice(vec![1_u8; 100]);
        let mut numbering = Numbering { ssrc: 0x0102_0304, sequence: u16::MAX };
        let stamp = PacketStamp { pts: gst::ClockTime::SECOND, rtp: 0xFFFF_FFFE };
        let buffer = numbering.packet(&track, payload.clone(), true, stamp);
        assert_eq!(numbering.sequence, 0);
        assert_eq!(buffer.size(), 112);
        let address = |memory: &gst::MemoryRef| memory.map_readable().expect("readable").as_ptr();
        assert_eq!(address(buffer.peek_memory(1)), address(&payload));
        let header = buffer.map_readable().expect("readable")[..12].to_vec();
        assert_eq!(header, [0x80, 0xe0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 1, 2, 3, 4]);
    }
}
