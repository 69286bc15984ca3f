//! The widths that frames come in besides the stream's own. A fixed ladder, so that viewers with tiles of about the same
//! size share what is encoded, and the number of encoders of a stream has a bound.

use serde::Serialize;

use super::bit_set::{BitSet, BitSetMember};

/// A step of the ladder, pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JpegWidth(u16);

/// From a tile on a wall of 64 to a full screen. At most 16: a set of them is a [`BitSet`].
const LADDER: [u16; 7] = [160, 320, 480, 640, 960, 1280, 1920];

impl JpegWidth {
    /// Steps of the ladder.
    pub const COUNT: usize = LADDER.len();

    /// All of them, the smallest first.
    pub fn all() -> impl Iterator<Item = Self> {
        LADDER.into_iter().map(Self)
    }

    /// The smallest step that has at least `pixels`; `None` when only the stream's own width does.
    pub fn at_least(pixels: u32) -> Option<Self> {
        Self::all().find(|width| width.pixels() >= pixels)
    }

    /// The step of exactly that width.
    pub fn exactly(pixels: u32) -> Option<Self> {
        Self::all().find(|width| width.pixels() == pixels)
    }

    /// Its place on the ladder, from 0; below [`JpegWidth::COUNT`].
    pub fn index(self) -> usize {
        LADDER.iter().position(|step| *step == self.0).unwrap_or(0)
    }

    /// Pixels.
    pub fn pixels(self) -> u32 {
        self.0.into()
    }
}

impl std::fmt::Display for JpegWidth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Some steps of the ladder. On the wire a list of pixels.
pub type JpegWidths = BitSet<JpegWidth>;

impl BitSetMember for JpegWidth {
    type Wire = u32;

    fn members() -> impl Iterator<Item = Self> {
        Self::all()
    }

    fn index(self) -> usize {
        Self::index(self)
    }

    fn to_wire(self) -> impl Serialize {
        self.pixels()
    }

    fn from_wire(pixels: &u32) -> Option<Self> {
        Self::exactly(*pixels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_width_is_served_by_the_next_step() {
        for (asked, step) in [(1, 160), (160, 160), (161, 320), (300, 320), (1280, 1280), (1281, 1920)] {
            assert_eq!(JpegWidth::at_least(asked).map(JpegWidth::pixels), Some(step));
        }
        assert_eq!(JpegWidth::at_least(1921), None);
        assert_eq!(JpegWidth::exactly(300), None);
    }

    #[test]
    fn a_set_is_a_list_of_pixels() {
        let set: JpegWidths = JpegWidth::all().filter(|width| [320, 1280].contains(&width.pixels())).collect();
        let json = serde_json::to_string(&set).unwrap();
        assert_eq!(json, "[320,1280]");
        assert_eq!(serde_json::from_str::<JpegWidths>("[1280,5,320]").unwrap(), set);
        assert!(JpegWidths::NONE.is_empty() && JpegWidth::COUNT <= 16);
        assert_eq!(set.union(JpegWidths::NONE.with(JpegWidth(160))).iter().count(), 3);
    }
}
