//! The forms that a stream's HLS comes in.

use serde::Serialize;

use super::bit_set::{BitSet, BitSetMember};

/// One rendition: its directory, its playlist and its name for people. A closed set: it is a metrics label, and a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rendition {
    /// The camera's own pictures, not encoded again where browsers can play them.
    Source,
    /// The camera's audio, shared by all renditions of its pictures.
    Audio,
    /// H.264 of the source's size, for players that cannot play the source's codec.
    H264,
    /// H.264 of that many lines, for viewers with less bandwidth.
    P1080,
    P720,
    P540,
    P480,
    P360,
    P240,
}

impl Rendition {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Source,
        Self::Audio,
        Self::H264,
        Self::P1080,
        Self::P720,
        Self::P540,
        Self::P480,
        Self::P360,
        Self::P240,
    ];

    /// The name that stands in paths, messages and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Audio => "audio",
            Self::H264 => "h264",
            Self::P1080 => "1080p",
            Self::P720 => "720p",
            Self::P540 => "540p",
            Self::P480 => "480p",
            Self::P360 => "360p",
            Self::P240 => "240p",
        }
    }

    /// The rendition of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rendition| rendition.as_str() == name)
    }

    /// Lines of one that is scaled down; `None` for the others.
    pub fn height(self) -> Option<u32> {
        match self {
            Self::Source | Self::Audio | Self::H264 => None,
            Self::P1080 => Some(1080),
            Self::P720 => Some(720),
            Self::P540 => Some(540),
            Self::P480 => Some(480),
            Self::P360 => Some(360),
            Self::P240 => Some(240),
        }
    }

    /// Returns whether pictures are encoded for it alone, so that it is made only while somebody watches it.
    pub fn is_encoded(self) -> bool {
        !matches!(self, Self::Source | Self::Audio)
    }
}

/// Some of the renditions. On the wire and in configuration a list of names.
pub type RenditionSet = BitSet<Rendition>;

impl BitSetMember for Rendition {
    type Wire = String;

    fn members() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter()
    }

    fn index(self) -> usize {
        // The discriminants are 0 to 8.
        self as usize
    }

    fn to_wire(self) -> impl Serialize {
        self.as_str()
    }

    fn from_wire(name: &String) -> Option<Self> {
        Self::from_name(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_and_a_set_is_a_list_of_them() {
        for rendition in Rendition::ALL {
            assert_eq!(Rendition::from_name(rendition.as_str()), Some(rendition));
        }
        let set: RenditionSet = [Rendition::P360, Rendition::H264].into_iter().collect();
        let json = serde_json::to_string(&set).unwrap();
        assert_eq!(json, r#"["h264","360p"]"#);
        assert_eq!(serde_json::from_str::<RenditionSet>(r#"["360p","8k","h264"]"#).unwrap(), set);
        assert!(!set.contains(Rendition::P720) && RenditionSet::NONE.is_empty());
    }
}
