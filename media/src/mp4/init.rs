//! The initialisation section, which a player needs before the first sample.

use bytes::Bytes;
use mp4_atom::{
    Atom as _, Audio, Avc1, Avcc, Codec, Compressor, Dinf, Dref, DrefEntry, Encode as _, FixedPoint, FourCC, Ftyp,
    Hdlr, Hvc1, Hvcc, Mdhd, Mdia, Minf, Moov, Mp4a, Mvex, Mvhd, Smhd, Stbl, Stco, Stsd, Tkhd, Trak, Trex, Url, Visual,
    Vmhd, esds,
};

use super::track::{TRACK_ID, VIDEO_TIMESCALE};
use crate::parameters::{AudioCodec, AudioParameters, VideoCodec, VideoParameters};

/// MPEG-4 audio (ISO/IEC 14496-1 table 5).
const OBJECT_TYPE_MPEG4_AUDIO: u8 = 0x40;
/// AudioStream (ISO/IEC 14496-1 table 6).
const STREAM_TYPE_AUDIO: u8 = 5;

/// A track cannot be written as MP4.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadTrack {
    /// JPEG and G.711: browsers play neither from MP4.
    #[error("{0} is not put into MP4")]
    Codec(&'static str),
    #[error("the decoder configuration is not readable: {0}")]
    Configuration(String),
    #[error("the picture is larger than MP4 can say")]
    Size,
}

impl From<mp4_atom::Error> for BadTrack {
    fn from(error: mp4_atom::Error) -> Self {
        Self::Configuration(error.to_string())
    }
}

/// `ftyp` and `moov` of one track of pictures, in [`VIDEO_TIMESCALE`], or of audio, in its sample rate.
pub trait Init {
    /// The bytes.
    ///
    /// # Errors
    /// [`BadTrack`] when the codec has no place in MP4, or its configuration is damaged.
    fn init(&self) -> Result<Bytes, BadTrack>;
}

/// See [`Init::init`].
///
/// # Errors
/// [`BadTrack`].
pub fn init(track: &impl Init) -> Result<Bytes, BadTrack> {
    track.init()
}

impl Init for VideoParameters {
    fn init(&self) -> Result<Bytes, BadTrack> {
        let side = |side: u32| u16::try_from(side).map_err(|_| BadTrack::Size);
        let (width, height) = (side(self.width)?, side(self.height)?);
        let visual =
            Visual { data_reference_index: 1, width, height, compressor: Compressor::default(), ..Visual::default() };
        let mut configuration = self.codec_data.as_ref();
        let codec = match self.codec {
            VideoCodec::H264 => {
                Codec::Avc1(Avc1 { visual, avcc: Avcc::decode_body(&mut configuration)?, ..Avc1::default() })
            }
            VideoCodec::H265 => {
                Codec::Hvc1(Hvc1 { visual, hvcc: Hvcc::decode_body(&mut configuration)?, ..Hvc1::default() })
            }
            VideoCodec::Jpeg => return Err(BadTrack::Codec("JPEG")),
        };
        let tkhd = Tkhd { width: fixed(width), height: fixed(height), ..tkhd() };
        let minf = Minf { vmhd: Some(Vmhd::default()), ..minf(codec) };
        write(tkhd, mdia(VIDEO_TIMESCALE, *b"vide", "pictures", minf))
    }
}

impl Init for AudioParameters {
    fn init(&self) -> Result<Bytes, BadTrack> {
        if self.codec != AudioCodec::Aac {
            return Err(BadTrack::Codec("G.711"));
        }
        let dec_config = esds::DecoderConfig {
            object_type_indication: OBJECT_TYPE_MPEG4_AUDIO,
            stream_type: STREAM_TYPE_AUDIO,
            dec_specific: Some(specific(&self.codec_data)?),
            ..esds::DecoderConfig::default()
        };
        let es_desc = esds::EsDescriptor { dec_config, sl_config: esds::SLConfig::default(), ..Default::default() };
        // The entry has 16 bits for it; players take a higher rate from the configuration.
        let rate = u16::try_from(self.sample_rate).unwrap_or(0);
        let audio = Audio {
            data_reference_index: 1,
            channel_count: self.channels,
            sample_size: 16,
            sample_rate: FixedPoint::new(rate, 0),
        };
        let codec = Codec::Mp4a(Mp4a { audio, esds: esds::Esds { es_desc }, btrt: None, taic: None });
        let tkhd = Tkhd { volume: FixedPoint::new(1, 0), ..tkhd() };
        let minf = Minf { smhd: Some(Smhd::default()), ..minf(codec) };
        write(tkhd, mdia(self.sample_rate, *b"soun", "audio", minf))
    }
}

/// The `AudioSpecificConfig` goes in as it is.
fn specific(config: &[u8]) -> Result<esds::DecoderSpecific, BadTrack> {
    let [first, second, ..] = config else {
        return Err(BadTrack::Configuration("it has fewer than two bytes".into()));
    };
    Ok(esds::DecoderSpecific {
        profile: first >> 3,
        freq_index: (first & 7) << 1 | second >> 7,
        chan_conf: second >> 3 & 15,
        raw: config.to_vec(),
    })
}

fn fixed(side: u16) -> FixedPoint<u16> {
    FixedPoint::new(side, 0)
}

fn tkhd() -> Tkhd {
    Tkhd { track_id: TRACK_ID, enabled: true, in_movie: true, ..Tkhd::default() }
}

fn minf(codec: Codec) -> Minf {
    let here = Dref { entries: vec![DrefEntry::Url(Url::default())] };
    let stbl = Stbl { stsd: Stsd { codecs: vec![codec] }, stco: Some(Stco::default()), ..Stbl::default() };
    Minf { dinf: Dinf { dref: here }, stbl, ..Minf::default() }
}

fn mdia(timescale: u32, handler: [u8; 4], name: &str, minf: Minf) -> Mdia {
    Mdia {
        mdhd: Mdhd { timescale, language: "und".into(), ..Mdhd::default() },
        hdlr: Hdlr { handler: FourCC::new(&handler), name: name.into() },
        minf,
    }
}

fn write(tkhd: Tkhd, mdia: Mdia) -> Result<Bytes, BadTrack> {
    let mvhd = Mvhd { timescale: mdia.mdhd.timescale, next_track_id: TRACK_ID + 1, ..Mvhd::default() };
    let trex = Trex { track_id: TRACK_ID, default_sample_description_index: 1, ..Trex::default() };
    let moov = Moov {
        mvhd,
        mvex: Some(Mvex { trex: vec![trex], ..Mvex::default() }),
        trak: vec![Trak { tkhd, mdia, ..Trak::default() }],
        ..Moov::default()
    };
    let ftyp = Ftyp {
        major_brand: FourCC::new(b"iso6"),
        minor_version: 0,
        compatible_brands: [b"iso6", b"cmfc", b"mp41"].map(FourCC::new).to_vec(),
    };
    let mut bytes = Vec::with_capacity(1024);
    ftyp.encode(&mut bytes)?;
    moov.encode(&mut bytes)?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::tests::{audio, parameters};
    use mp4_atom::Decode as _;
    use std::sync::Arc;

    fn moov(bytes: &Bytes) -> Moov {
        let mut rest = bytes.as_ref();
        let ftyp = Ftyp::decode(&mut rest).unwrap();
        assert!(ftyp.compatible_brands.contains(&FourCC::new(b"cmfc")));
        let moov = Moov::decode(&mut rest).unwrap();
        assert!(rest.is_empty());
        moov
    }

    #[test]
    fn pictures_keep_their_configuration() {
        let video = parameters();
        let moov = moov(&init(&*video).unwrap());
        let trak = &moov.trak[0];
        assert_eq!((trak.tkhd.width.integer(), trak.tkhd.height.integer()), (320, 240));
        assert_eq!(trak.mdia.mdhd.timescale, VIDEO_TIMESCALE);
        let Codec::Avc1(avc1) = &trak.mdia.minf.stbl.stsd.codecs[0] else { panic!("not avc1") };
        let mut configuration = Vec::new();
        avc1.avcc.encode(&mut configuration).unwrap();
        // Behind the head of the box.
        assert_eq!(configuration[8..], video.codec_data[..]);
        assert_eq!(moov.mvex.unwrap().trex[0].track_id, TRACK_ID);
    }

    #[test]
    fn audio_keeps_its_configuration() {
        let codec_data = Bytes::from_static(&[0x11, 0x90]);
        let aac = AudioParameters { codec: AudioCodec::Aac, codec_data, sample_rate: 48_000, channels: 2 };
        let moov = moov(&init(&aac).unwrap());
        assert_eq!(moov.trak[0].mdia.mdhd.timescale, 48_000);
        let Codec::Mp4a(mp4a) = &moov.trak[0].mdia.minf.stbl.stsd.codecs[0] else { panic!("not mp4a") };
        let specific = mp4a.esds.es_desc.dec_config.dec_specific.as_ref().unwrap();
        assert_eq!((specific.raw.as_slice(), specific.profile, specific.freq_index), (&[0x11, 0x90][..], 2, 3));
    }

    #[test]
    fn what_has_no_place_in_mp4_is_refused() {
        assert_eq!(init(&*audio()).unwrap_err(), BadTrack::Codec("G.711"));
        let aac = AudioParameters { codec: AudioCodec::Aac, ..(*audio()).clone() };
        assert!(matches!(init(&aac).unwrap_err(), BadTrack::Configuration(_)));
        let video = (*parameters()).clone();
        for codec in [VideoCodec::H264, VideoCodec::H265] {
            let cut = VideoParameters { codec, codec_data: video.codec_data.slice(..7), ..video.clone() };
            assert!(matches!(init(&cut).unwrap_err(), BadTrack::Configuration(_)));
        }
        let wide = Arc::new(VideoParameters { width: 70_000, ..video.clone() });
        assert_eq!(init(&*wide).unwrap_err(), BadTrack::Size);
        assert_eq!(init(&VideoParameters { codec: VideoCodec::Jpeg, ..video }).unwrap_err(), BadTrack::Codec("JPEG"));
    }
}
