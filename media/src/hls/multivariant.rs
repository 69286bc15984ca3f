//! The text of the multivariant playlist: the renditions of a stream (RFC 8216bis section 4.4.6). Pure.

use std::fmt::Write as _;

use rsm_model::stream::rendition::Rendition;

use super::playlist::VERSION;

/// The only group of audio.
const GROUP: &str = "audio";

/// Brightness and colours of pictures (EXT-X-STREAM-INF's VIDEO-RANGE).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoRange {
    Sdr,
    Hlg,
    Pq,
}

impl VideoRange {
    fn as_str(self) -> &'static str {
        match self {
            Self::Sdr => "SDR",
            Self::Hlg => "HLG",
            Self::Pq => "PQ",
        }
    }
}

/// One rendition of the pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    pub rendition: Rendition,
    /// RFC 6381, of the pictures alone.
    pub codecs: String,
    pub width: u32,
    pub height: u32,
    /// Pictures per second, when known.
    pub frame_rate: Option<f64>,
    pub range: Option<VideoRange>,
    /// Bits per second, of the pictures alone: the most of one segment, and the mean.
    pub peak: u64,
    pub average: u64,
}

/// The audio, shared by all renditions of the pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct AudioMedia {
    /// RFC 6381.
    pub codecs: String,
    pub channels: u16,
    /// Bits per second: the most of one segment, and the mean.
    pub peak: u64,
    pub average: u64,
}

/// The renditions that a player may choose from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Multivariant {
    /// In any order.
    pub variants: Vec<Variant>,
    pub audio: Option<AudioMedia>,
}

impl Multivariant {
    /// The playlist. The source stands first, as players begin with the first that they can play, then the others from
    /// the largest down. Bandwidth is rounded up to two digits, so that the text changes seldom.
    pub fn render(&self) -> String {
        let mut variants: Vec<_> = self.variants.iter().collect();
        variants.sort_by_key(|variant| variant.rendition);
        let mut text = format!("#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-INDEPENDENT-SEGMENTS\n");
        if let Some(audio) = &self.audio {
            // Writing to a String does not fail.
            let _ = writeln!(
                text,
                "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{GROUP}\",NAME=\"Audio\",DEFAULT=YES,AUTOSELECT=YES,\
                 CHANNELS=\"{}\",URI=\"{}.m3u8\"",
                audio.channels.max(1),
                Rendition::Audio.as_str(),
            );
        }
        variants.into_iter().for_each(|variant| self.add(&mut text, variant));
        text
    }

    fn add(&self, text: &mut String, variant: &Variant) {
        let (peak, average) = self.audio.as_ref().map_or((0, 0), |audio| (audio.peak, audio.average));
        let audio = self.audio.as_ref().map_or_else(String::new, |audio| format!(",{}", audio.codecs));
        let rate = variant.frame_rate.map_or_else(String::new, |fps| format!(",FRAME-RATE={fps:.3}"));
        let range = variant.range.map_or_else(String::new, |range| format!(",VIDEO-RANGE={}", range.as_str()));
        let group = self.audio.as_ref().map_or_else(String::new, |_| format!(",AUDIO=\"{GROUP}\""));
        let _ = writeln!(
            text,
            "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{}{audio}\",RESOLUTION={}x{}{rate}{range}\
             {group},CLOSED-CAPTIONS=NONE\n{}.m3u8",
            two_digits_up((variant.peak + peak).max(1)),
            two_digits_up((variant.average + average).max(1)),
            variant.codecs,
            variant.width,
            variant.height,
            variant.rendition.as_str(),
        );
    }
}

fn two_digits_up(value: u64) -> u64 {
    let mut unit = 1;
    while value / unit >= 100 {
        unit *= 10;
    }
    value.div_ceil(unit).saturating_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variant(rendition: Rendition, height: u32, peak: u64) -> Variant {
        let (width, average) = (height * 16 / 9, peak - 60_000);
        let codecs = "avc1.64001f".into();
        Variant { rendition, codecs, width, height, frame_rate: Some(29.97), range: None, peak, average }
    }

    #[test]
    fn the_only_variant() {
        let variants = vec![variant(Rendition::Source, 1080, 4_100_001)];
        assert_eq!(
            Multivariant { variants, audio: None }.render(),
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-STREAM-INF:BANDWIDTH=4200000,\
             AVERAGE-BANDWIDTH=4100000,CODECS=\"avc1.64001f\",RESOLUTION=1920x1080,FRAME-RATE=29.970,\
             CLOSED-CAPTIONS=NONE\nsource.m3u8\n"
        );
    }

    #[test]
    fn the_source_is_first_and_audio_counts_in_each() {
        let mut low = variant(Rendition::P360, 360, 400_000);
        (low.frame_rate, low.range) = (None, Some(VideoRange::Sdr));
        let variants = vec![low, variant(Rendition::Source, 1080, 4_000_000)];
        let audio = Some(AudioMedia { codecs: "mp4a.40.2".into(), channels: 1, peak: 64_000, average: 60_000 });
        assert_eq!(
            Multivariant { variants, audio }.render(),
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n\
             #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"Audio\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"1\",\
             URI=\"audio.m3u8\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=4100000,AVERAGE-BANDWIDTH=4000000,CODECS=\"avc1.64001f,mp4a.40.2\",\
             RESOLUTION=1920x1080,FRAME-RATE=29.970,AUDIO=\"audio\",CLOSED-CAPTIONS=NONE\nsource.m3u8\n\
             #EXT-X-STREAM-INF:BANDWIDTH=470000,AVERAGE-BANDWIDTH=400000,CODECS=\"avc1.64001f,mp4a.40.2\",\
             RESOLUTION=640x360,VIDEO-RANGE=SDR,AUDIO=\"audio\",CLOSED-CAPTIONS=NONE\n360p.m3u8\n"
        );
    }

    #[test]
    fn rounds_bandwidth_up() {
        for (value, want) in [(0, 0), (7, 7), (99, 99), (101, 110), (4_123_456, 4_200_000), (4_200_000, 4_200_000)] {
            assert_eq!(two_digits_up(value), want);
        }
    }
}
