//! The SDP of a scripted camera, and the packets it sends: RTP (RFC 3550) interleaved as in RFC 2326 section 10.12.

use std::time::{Duration, SystemTime};

/// One item of the data after PLAY.
#[derive(Clone, Debug)]
pub enum Step {
    Send(Vec<u8>),
    Wait(Duration),
}

/// Ten pictures of 128x72, a key frame each five, baseline.
const H264: &[u8] = include_bytes!("clip.h264");
/// The same in H.265, main profile in 4:4:4, no B pictures.
const H265: &[u8] = include_bytes!("clip.h265");
/// Bytes of a NAL unit in one packet: so few that pictures are fragmented.
const FRAGMENT: usize = 120;

/// A media section of the description.
#[derive(Clone, Debug)]
pub struct Section {
    pub media: &'static str,
    pub payload_type: u8,
    pub rtpmap: &'static str,
    pub fmtp: String,
    pub control: Option<String>,
}

/// A description.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    pub sections: Vec<Section>,
    /// More lines of the session, each with its line end.
    pub session: String,
}

impl Offer {
    pub fn and(mut self, section: Section) -> Self {
        self.sections.push(section);
        self
    }

    pub fn sdp(&self) -> String {
        let mut sdp = format!("v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=scripted\r\nt=0 0\r\n{}", self.session);
        for Section { media, payload_type, rtpmap, fmtp, control } in &self.sections {
            sdp += &format!("m={media} 0 RTP/AVP {payload_type}\r\na=rtpmap:{payload_type} {rtpmap}\r\n");
            if !fmtp.is_empty() {
                sdp += &format!("a=fmtp:{payload_type} {fmtp}\r\n");
            }
            if let Some(control) = control {
                sdp += &format!("a=control:{control}\r\n");
            }
        }
        sdp
    }
}

impl Section {
    fn new(media: &'static str, payload_type: u8, rtpmap: &'static str, fmtp: String) -> Self {
        let control = Some(format!("track{payload_type}"));
        Self { media, payload_type, rtpmap, fmtp, control }
    }

    /// Section of the H.264 clip.
    pub fn h264() -> Self {
        let sets: Vec<_> = ScriptedClip::h264().sets().iter().map(|set| base64_of(set)).collect();
        Self::new("video", 96, "H264/90000", format!("packetization-mode=1;sprop-parameter-sets={}", sets.join(",")))
    }

    /// Without its parameter sets.
    pub fn h264_bare() -> Self {
        Self::new("video", 96, "H264/90000", "packetization-mode=1".into())
    }

    /// Section of the H.265 clip.
    pub fn h265() -> Self {
        let clip = ScriptedClip::h265();
        let sets = ["sprop-vps", "sprop-sps", "sprop-pps"].iter().zip(clip.sets());
        let fmtp: Vec<_> = sets.map(|(name, set)| format!("{name}={}", base64_of(set))).collect();
        Self::new("video", 98, "H265/90000", fmtp.join("; "))
    }

    pub fn jpeg() -> Self {
        Self::new("video", 26, "JPEG/90000", String::new())
    }

    pub fn pcma() -> Self {
        Self::new("audio", 8, "PCMA/8000", String::new())
    }

    pub fn aac() -> Self {
        let fmtp = "streamtype=5;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1408";
        Self::new("audio", 97, "mpeg4-generic/16000/1", fmtp.into())
    }

    /// A section that this project does not accept.
    pub fn of(media: &'static str, rtpmap: &'static str) -> Self {
        Self::new(media, 101, rtpmap, String::new())
    }
}

/// Pictures, each as its NAL units.
pub struct ScriptedClip {
    pub pictures: Vec<Vec<Vec<u8>>>,
    hevc: bool,
}

impl ScriptedClip {
    pub fn h264() -> Self {
        Self::read(H264, false)
    }

    pub fn h265() -> Self {
        Self::read(H265, true)
    }

    fn read(bytes: &[u8], hevc: bool) -> Self {
        let mut pictures = vec![Vec::new()];
        let mut begins: Vec<usize> = (3..bytes.len()).filter(|at| bytes[at - 3..*at] == [0, 0, 1]).collect();
        begins.push(bytes.len() + 3);
        for pair in begins.windows(2) {
            let unit = &bytes[pair[0]..pair[1] - 3];
            let end = unit.iter().rposition(|byte| *byte != 0).unwrap() + 1;
            let slice = if hevc { unit[0] >> 1 < 32 } else { matches!(unit[0] & 31, 1 | 5) };
            pictures.last_mut().unwrap().push(unit[..end].to_vec());
            if slice {
                pictures.push(Vec::new());
            }
        }
        pictures.pop();
        Self { pictures, hevc }
    }

    /// The parameter sets in front of the first picture.
    pub fn sets(&self) -> &[Vec<u8>] {
        &self.pictures[0][..self.pictures[0].len() - 1]
    }

    /// The same without parameter sets.
    pub fn bare(mut self) -> Self {
        for picture in &mut self.pictures {
            picture.drain(..picture.len() - 1);
        }
        self
    }

    /// Its pictures at `stamps`, over and over, with `pause` behind each.
    pub fn steps(&self, rtp: &mut Rtp, stamps: impl IntoIterator<Item = u32>, pause: Duration) -> Vec<Step> {
        let pictures = self.pictures.iter().cycle().zip(stamps);
        pictures
            .flat_map(|(units, stamp)| [Step::Send(rtp.picture(units, stamp, self.hevc)), Step::Wait(pause)])
            .collect()
    }
}

/// One stream's packets.
pub struct Rtp {
    channel: u8,
    payload_type: u8,
    ssrc: u32,
    pub sequence: u16,
}

impl Rtp {
    /// On the `index`th pair of channels.
    pub fn new(index: u8, payload_type: u8) -> Self {
        Self { channel: 2 * index, payload_type, ssrc: 0x1234_5670 + u32::from(index), sequence: 65_530 }
    }

    pub fn packet(&mut self, stamp: u32, mark: bool, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x80, u8::from(mark) << 7 | self.payload_type];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(stamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend(payload);
        self.sequence = self.sequence.wrapping_add(1);
        interleaved(self.channel, &packet)
    }

    /// A picture, its units fragmented (RFC 6184 section 5.8, RFC 7798 section 4.4.3).
    pub fn picture(&mut self, units: &[Vec<u8>], stamp: u32, hevc: bool) -> Vec<u8> {
        self.packets(units, stamp, hevc).concat()
    }

    /// As [`Self::picture`], packet by packet.
    pub fn packets(&mut self, units: &[Vec<u8>], stamp: u32, hevc: bool) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        for (number, unit) in units.iter().enumerate() {
            let last_unit = number + 1 == units.len();
            if unit.len() <= FRAGMENT {
                packets.push(self.packet(stamp, last_unit, unit));
                continue;
            }
            let (header, body) = unit.split_at(if hevc { 2 } else { 1 });
            let fragments = body.chunks(FRAGMENT);
            let count = fragments.len();
            for (index, fragment) in fragments.enumerate() {
                let (first, last) = (index == 0, index + 1 == count);
                let edges = u8::from(first) << 7 | u8::from(last) << 6;
                let mut payload = match hevc {
                    true => vec![header[0] & 0x81 | 49 << 1, header[1], edges | header[0] >> 1 & 0x3f],
                    false => vec![header[0] & 0xe0 | 28, edges | header[0] & 0x1f],
                };
                payload.extend(fragment);
                packets.push(self.packet(stamp, last && last_unit, &payload));
            }
        }
        packets
    }

    /// A grey JPEG picture (RFC 2435) of so many pixels, which must be multiples of 8.
    pub fn jpeg(&mut self, width: u32, height: u32, stamp: u32) -> Vec<u8> {
        let mut payload = vec![0, 0, 0, 0, 1, 50, (width / 8) as u8, (height / 8) as u8];
        payload.extend([0x28, 0xa2, 0x8a, 0x00]);
        self.packet(stamp, true, &payload)
    }

    /// One raw AAC frame (RFC 3640 section 3.3.6).
    pub fn aac(&mut self, frame: &[u8], stamp: u32) -> Vec<u8> {
        let mut payload = vec![0, 16];
        payload.extend(((frame.len() as u16) << 3).to_be_bytes());
        payload.extend(frame);
        self.packet(stamp, true, &payload)
    }

    /// A sender report: at `stamp` the camera's clock shows `wall`.
    pub fn report(&self, stamp: u32, wall: SystemTime) -> Vec<u8> {
        let since_1970 = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let ntp = ((since_1970.as_nanos() + 2_208_988_800_000_000_000) << 32) / 1_000_000_000;
        let mut report = vec![0x80, 200, 0, 6];
        report.extend(self.ssrc.to_be_bytes());
        report.extend((ntp as u64).to_be_bytes());
        report.extend(stamp.to_be_bytes());
        report.extend([0; 8]);
        interleaved(self.channel + 1, &report)
    }
}

fn interleaved(channel: u8, packet: &[u8]) -> Vec<u8> {
    [&[b'$', channel][..], &(packet.len() as u16).to_be_bytes(), packet].concat()
}

pub(super) fn base64_of(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for sign in 0..4 {
            let index = (bits >> (18 - 6 * sign)) as usize & 63;
            text.push(if sign <= three.len() { char::from(SIGNS[index]) } else { '=' });
        }
    }
    text
}
