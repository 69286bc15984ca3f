//! The forms that a stream's HLS comes in.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RenditionSet(u16);

impl RenditionSet {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// With `rendition` in it.
    #[must_use]
    pub fn with(self, rendition: Rendition) -> Self {
        Self(self.0 | bit(rendition))
    }

    /// Those of both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether `rendition` is in it.
    pub fn contains(self, rendition: Rendition) -> bool {
        self.0 & bit(rendition) != 0
    }

    /// Returns whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// Those in it, in the order of [`Rendition::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Rendition> {
        Rendition::ALL.into_iter().filter(move |rendition| self.contains(*rendition))
    }
}

fn bit(rendition: Rendition) -> u16 {
    // The discriminants are 0 to 8.
    1 << rendition as u16
}

impl FromIterator<Rendition> for RenditionSet {
    fn from_iter<I: IntoIterator<Item = Rendition>>(renditions: I) -> Self {
        renditions.into_iter().fold(Self::NONE, Self::with)
    }
}

impl Serialize for RenditionSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Rendition::as_str))
    }
}

impl<'de> Deserialize<'de> for RenditionSet {
    /// Names that this version does not know are passed over: a newer one may have sent them.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        Ok(names.iter().filter_map(|name| Rendition::from_name(name)).collect())
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
