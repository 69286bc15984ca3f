//! Draws the frames of the clip, in I420 with limited range (ITU-R BT.601: luma 16 to 235, neutral chroma 128).
//!
//! ```text
//!   +-----------------------------------------+
//!   | clock row (rsm_simulator::clock_row)    |
//!   |  03.480 s        clock: unix time modulo the clip's length
//!   |  87/250          frame / frames in the clip
//!   |  1280x720 25fps                         |
//!   |             [] ---> one lap per clip    |
//!   | :::::::: grain, new in every frame :::: |
//!   +-----------------------------------------+
//! ```
//!
//! The grain stands for the detail of a real sensor (foliage, noise): without it x264 would need a tenth of the asked
//! bit rate and a benchmark would measure nothing.

use rsm_simulator::{clock_row, schedule::Schedule};

use crate::font;

const BLACK: u8 = 16;
const WHITE: u8 = 235;
/// Grain swings by this much around its mean of 110: strong enough to eat the bit rate, weak enough to look at.
const GRAIN_SPREAD: u32 = 64;
/// Share of the picture's height that is grain, from the bottom.
const GRAIN_SHARE: usize = 5;

/// Size of a picture in pixels; both even, as 4:2:0 wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub width: usize,
    pub height: usize,
}

impl Size {
    /// Bytes of one I420 picture with unpadded rows.
    pub fn bytes(self) -> usize {
        self.width * self.height * 3 / 2
    }
}

/// Draws any frame of one clip.
pub struct Painter {
    size: Size,
    schedule: Schedule,
    fps: u32,
    /// The part that does not change from frame to frame, drawn once.
    background: Vec<u8>,
    /// Random luma, one row longer than the grain needs, so that every frame takes it from another offset.
    grain: Vec<u8>,
    dice: Dice,
}

impl Painter {
    pub fn new(size: Size, fps: u32, schedule: Schedule) -> Self {
        let mut dice = Dice(0x9E37_79B9);
        let grain_bytes = size.width * (size.height / GRAIN_SHARE + 1);
        let grain = (0..grain_bytes).map(|_| (78 + dice.below(GRAIN_SPREAD)) as u8).collect();
        Self { size, schedule, fps, background: background(size), grain, dice }
    }

    /// Frame `index` of the clip, `index` below the clip's number of frames.
    pub fn draw(&mut self, index: u32) -> Vec<u8> {
        let mut frame = self.background.clone();
        self.draw_grain(&mut frame);
        self.draw_object(&mut frame, index);
        self.draw_text(&mut frame, index);
        self.draw_clock_row(&mut frame, index);
        frame
    }

    fn draw_grain(&mut self, frame: &mut [u8]) {
        let Size { width, height } = self.size;
        let offset = self.dice.below(width as u32) as usize;
        let rows = height / GRAIN_SHARE;
        let luma = &mut frame[(height - rows) * width..height * width];
        luma.copy_from_slice(&self.grain[offset..offset + rows * width]);
    }

    /// A square that crosses the picture once per clip: it shows at a glance whether motion is even.
    fn draw_object(&self, frame: &mut [u8], index: u32) {
        let Size { width, height } = self.size;
        let side = height / 8;
        let travel = width - side;
        let left = (travel * index as usize / self.schedule.frames() as usize) & !1;
        let top = (height * 5 / 8) & !1;
        fill(frame, width, left..left + side, top..top + side, 180);
        let (u, v) = chroma_planes(self.size);
        let columns = left / 2..(left + side) / 2;
        let rows = top / 2..(top + side) / 2;
        fill(&mut frame[u], width / 2, columns.clone(), rows.clone(), 70);
        fill(&mut frame[v], width / 2, columns, rows, 190);
    }

    fn draw_text(&self, frame: &mut [u8], index: u32) {
        let Size { width, height } = self.size;
        let clock = self.schedule.clock(index);
        let lines = [
            format!("{:02}.{:03} s", clock.as_secs(), clock.subsec_millis()),
            format!("{index}/{}", self.schedule.frames()),
            format!("{width}x{height} {}fps", self.fps),
        ];
        // The longest line, "3840x2160 60fps", must fit the narrowest picture; three lines fill two fifths of it.
        let scale = (height / 72).min(width / (16 * font::ADVANCE)).max(1);
        let mut top = clock_row::height(width) + 3 * scale;
        for line in &lines {
            self.draw_line(frame, line, 4 * scale, top, scale);
            top += (font::GLYPH_HEIGHT + 2) * scale;
        }
    }

    fn draw_line(&self, frame: &mut [u8], text: &str, left: usize, top: usize, scale: usize) {
        let width = self.size.width;
        let length = text.chars().count() * font::ADVANCE * scale;
        let box_rows = top - scale..top + (font::GLYPH_HEIGHT + 1) * scale;
        fill(frame, width, left - scale..(left + length).min(width), box_rows, BLACK);
        for (place, character) in text.chars().enumerate() {
            for (row, bits) in font::glyph(character).into_iter().enumerate() {
                for column in (0..font::GLYPH_WIDTH).filter(|column| bits >> (4 - column) & 1 == 1) {
                    let x = left + (place * font::ADVANCE + column) * scale;
                    let y = top + row * scale;
                    if x + scale <= width {
                        fill(frame, width, x..x + scale, y..y + scale, WHITE);
                    }
                }
            }
        }
    }

    fn draw_clock_row(&self, frame: &mut [u8], index: u32) {
        let width = self.size.width;
        let Some(cells) = clock_row::encode(index) else { return };
        for (cell, white) in cells.into_iter().enumerate() {
            let columns = clock_row::column(cell, width)..clock_row::column(cell + 1, width);
            fill(frame, width, columns, 0..clock_row::height(width), if white { WHITE } else { BLACK });
        }
        // Colour under the squares would bleed into a JPEG's luma.
        let (u, v) = chroma_planes(self.size);
        let neutral = 0..width / 2 * clock_row::height(width).div_ceil(2);
        frame[u][neutral.clone()].fill(128);
        frame[v][neutral].fill(128);
    }
}

/// A diagonal luma gradient under two crossing chroma gradients, so that a swapped or shifted plane is seen at once.
fn background(size: Size) -> Vec<u8> {
    let Size { width, height } = size;
    let mut frame = Vec::with_capacity(size.bytes());
    for y in 0..height {
        frame.extend((0..width).map(|x| (40 + 60 * x / width + 60 * y / height) as u8));
    }
    for _ in 0..height / 2 {
        frame.extend((0..width / 2).map(|x| (112 + 64 * x / width) as u8));
    }
    for y in 0..height / 2 {
        frame.extend(std::iter::repeat_n((144 - 64 * y / height) as u8, width / 2));
    }
    frame
}

/// Where the U and the V plane lie.
fn chroma_planes(size: Size) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
    let luma = size.width * size.height;
    (luma..luma * 5 / 4, luma * 5 / 4..luma * 3 / 2)
}

/// Fills a rectangle of one plane whose rows are `width` bytes.
fn fill(plane: &mut [u8], width: usize, columns: std::ops::Range<usize>, rows: std::ops::Range<usize>, value: u8) {
    for y in rows {
        plane[y * width + columns.start..y * width + columns.end].fill(value);
    }
}

/// The linear congruential generator of Numerical Recipes: pictures must be the same on every run.
struct Dice(u32);

impl Dice {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 16) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn painter(width: usize, height: usize, fps: u32, seconds: u32) -> Painter {
        let schedule = Schedule::new(fps, seconds).expect("positive");
        Painter::new(Size { width, height }, fps, schedule)
    }

    #[test]
    fn every_allowed_extreme_is_drawn_and_its_frame_number_read_back() {
        for (width, height) in [(320, 180), (320, 640), (960, 320), (642, 362), (1920, 1080)] {
            let mut painter = painter(width, height, 60, 60);
            for index in [0, 1, 1800, 3599] {
                let frame = painter.draw(index);
                assert_eq!(frame.len(), width * height * 3 / 2);
                assert_eq!(clock_row::decode(&frame, width, height, width), Some(index));
            }
        }
    }

    #[test]
    fn pictures_are_the_same_on_every_run() {
        assert_eq!(painter(320, 180, 25, 10).draw(7), painter(320, 180, 25, 10).draw(7));
    }

    #[test]
    fn two_frames_differ_in_object_text_and_grain() {
        let mut painter = painter(640, 360, 25, 10);
        let (first, second) = (painter.draw(0), painter.draw(125));
        let differs = |rows: std::ops::Range<usize>| {
            first[rows.start * 640..rows.end * 640] != second[rows.start * 640..rows.end * 640]
        };
        assert!(differs(27..80), "text");
        assert!(differs(225..270), "object");
        assert!(differs(289..360), "grain");
    }
}
