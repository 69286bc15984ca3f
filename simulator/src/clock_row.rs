//! The machine-readable row of black and white squares along the top edge of every picture.
//!
//! ```text
//!   cell   0  1  2  3 | 4 ................ 19 | 20     | 21 22 23
//!          1  0  1  1 | frame number, MSB 1st | parity |  0  1  0      1 = white, 0 = black
//! ```
//!
//! The row spans the whole width, so a cell is `width / 24` wide and as high: 80 pixels of a 1920 picture, 13 of a
//! 320 one. That is wider than a transform block of JPEG, H.264 or H.265 usually is, at every size the camera offers
//! and at its usual thumbnails, so each square keeps an undisturbed middle. The parity bit makes the count of white squares among cells 4 to 20
//! even; together with the seven fixed cells and the refusal of grey squares it turns a damaged row into `None`
//! rather than into a wrong number.

/// Squares in the row.
pub const CELLS: usize = 24;
/// Largest frame number the row can carry.
pub const MAX_FRAME: u32 = (1 << FRAME_BITS) - 1;

/// 16 bits hold the longest clip (60 s at 60 fps is 3600 frames) eighteen times over.
const FRAME_BITS: usize = 16;
const FIRST_FRAME_CELL: usize = 4;
const PARITY_CELL: usize = FIRST_FRAME_CELL + FRAME_BITS;
/// Both ends are marked, so a cropped, mirrored or shifted row is not taken for a number.
const MARKERS: [(usize, bool); 7] = [(0, true), (1, false), (2, true), (3, true), (21, false), (22, true), (23, false)];
/// Least distance between the marker's mean white and mean black that counts as a picture at all. The camera draws
/// 235 and 16; a quarter of that distance is left after heavy fading.
const MIN_CONTRAST: u32 = 56;

/// Height in pixels of the row in a picture `width` pixels wide.
pub fn height(width: usize) -> usize {
    width / CELLS
}

/// First pixel column of `cell`; for `cell == CELLS` the column past the row.
pub fn column(cell: usize, width: usize) -> usize {
    cell * width / CELLS
}

/// The squares for `frame`, `true` being white, or `None` when the number exceeds [`MAX_FRAME`].
pub fn encode(frame: u32) -> Option<[bool; CELLS]> {
    if frame > MAX_FRAME {
        return None;
    }
    let mut cells = [false; CELLS];
    for (cell, white) in MARKERS {
        cells[cell] = white;
    }
    for (bit, cell) in cells[FIRST_FRAME_CELL..PARITY_CELL].iter_mut().enumerate() {
        *cell = frame >> (FRAME_BITS - 1 - bit) & 1 == 1;
    }
    cells[PARITY_CELL] = frame.count_ones() % 2 == 1;
    Some(cells)
}

/// Reads the frame number from the luma plane of a whole picture.
///
/// `luma` holds `height` rows of `width` bytes, each row starting `stride` bytes after the one before; the last row
/// may end early. Full and limited range, any scale with about the original aspect ratio and mild fading are fine.
/// `None` means that no intact row is there: too small, too flat, a grey square, a wrong marker or wrong parity.
///
/// A decoded JPEG serves as well: pass its green channel or a grey conversion of it.
pub fn decode(luma: &[u8], width: usize, height: usize, stride: usize) -> Option<u32> {
    let row = self::height(width);
    if stride < width || row < 4 || height < row {
        return None;
    }
    let mut levels = [0; CELLS];
    for (cell, level) in levels.iter_mut().enumerate() {
        *level = mean_of_middle(luma, column(cell, width)..column(cell + 1, width), row, stride)?;
    }

    let mean = |wanted: bool| {
        let of_colour = MARKERS.iter().filter(|(_, white)| *white == wanted);
        let count = of_colour.clone().count() as u32;
        of_colour.map(|(cell, _)| levels[*cell]).sum::<u32>() / count
    };
    let (white, black) = (mean(true), mean(false));
    let contrast = white.checked_sub(black).filter(|contrast| *contrast >= MIN_CONTRAST)?;

    // A square must lie in the outer three eighths of the range; the quarter in the middle counts as unreadable.
    let mut cells = [false; CELLS];
    for (cell, level) in cells.iter_mut().zip(levels) {
        *cell = match level {
            bright if bright >= white - contrast * 3 / 8 => true,
            dark if dark <= black + contrast * 3 / 8 => false,
            _ => return None,
        };
    }
    let frame = cells[FIRST_FRAME_CELL..PARITY_CELL].iter().fold(0, |number, bit| number << 1 | u32::from(*bit));
    (encode(frame)? == cells).then_some(frame)
}

/// Mean luma of the middle half, in both directions, of one square.
fn mean_of_middle(luma: &[u8], columns: std::ops::Range<usize>, row: usize, stride: usize) -> Option<u32> {
    let margin = columns.len() / 4;
    let (first, last) = (columns.start + margin, columns.end - margin);
    let (mut sum, mut count) = (0, 0);
    for y in row / 4..row - row / 4 {
        let line = luma.get(y * stride + first..y * stride + last)?;
        sum += line.iter().map(|pixel| u32::from(*pixel)).sum::<u32>();
        count += line.len() as u32;
    }
    sum.checked_div(count)
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, ImageFormat, Luma, imageops};

    use super::*;

    /// A picture with the row drawn in `black` and `white` on a grey ground.
    fn picture(frame: u32, width: u32, height: u32, black: u8, white: u8) -> GrayImage {
        let cells = encode(frame).expect("frame in range");
        let row = self::height(width as usize) as u32;
        GrayImage::from_fn(width, height, |x, y| {
            let cell = (0..CELLS).rev().find(|cell| column(*cell, width as usize) <= x as usize);
            Luma([match cell {
                Some(cell) if y < row => [black, white][usize::from(cells[cell])],
                _ => 96,
            }])
        })
    }

    fn read(picture: &GrayImage) -> Option<u32> {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        decode(picture.as_raw(), width, height, width)
    }

    #[test]
    fn every_number_survives_the_round_trip() {
        for frame in (0..=MAX_FRAME).step_by(251).chain((0..16).map(|bit| 1 << bit)).chain([3599, MAX_FRAME]) {
            assert_eq!(read(&picture(frame, 320, 13, 16, 235)), Some(frame));
        }
    }

    #[test]
    fn a_number_past_the_last_bit_is_not_encoded() {
        assert_eq!(encode(MAX_FRAME + 1), None);
    }

    #[test]
    fn noise_jpeg_and_downscaling_leave_the_number_readable() {
        let mut seed = 1_u32;
        let sizes = [(320, 180), (426, 240), (640, 360)].into_iter().cycle();
        for (frame, (width, height)) in [0, 1, 0x5555, 0xAAAA, 1234, MAX_FRAME].into_iter().zip(sizes) {
            let mut noisy = picture(frame, 1920, 1080, 16, 235);
            for pixel in noisy.pixels_mut() {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                pixel.0[0] = pixel.0[0].saturating_add_signed((seed >> 24) as i8 / 3);
            }
            let small = imageops::resize(&noisy, width, height, imageops::FilterType::Triangle);
            let mut jpeg = std::io::Cursor::new(Vec::new());
            image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 25)
                .encode_image(&small)
                .expect("jpeg encodes");
            let seen = image::load_from_memory_with_format(jpeg.get_ref(), ImageFormat::Jpeg)
                .expect("jpeg decodes")
                .into_luma8();
            assert_eq!(read(&seen), Some(frame), "{width}x{height}");
        }
    }

    #[test]
    fn full_range_and_faded_pictures_are_read_alike() {
        assert_eq!(read(&picture(77, 640, 360, 0, 255)), Some(77));
        assert_eq!(read(&picture(77, 640, 360, 90, 160)), Some(77));
        assert_eq!(read(&picture(77, 640, 360, 100, 130)), None);
    }

    #[test]
    fn a_padded_stride_is_respected() {
        let picture = picture(300, 640, 60, 16, 235);
        let padded: Vec<u8> =
            picture.as_raw().chunks(640).flat_map(|line| line.iter().copied().chain([255; 64])).collect();
        assert_eq!(decode(&padded, 640, 60, 704), Some(300));
        assert_eq!(decode(&padded, 640, 60, 640), None);
    }

    #[test]
    fn one_flipped_or_grey_square_is_refused() {
        for level in [16, 126, 235] {
            for cell in 0..CELLS {
                let mut damaged = picture(1000, 640, 40, 16, 235);
                let was_white = encode(1000).expect("in range")[cell];
                if level == if was_white { 235 } else { 16 } {
                    continue;
                }
                for x in column(cell, 640)..column(cell + 1, 640) {
                    for y in 0..self::height(640) {
                        damaged.put_pixel(x as u32, y as u32, Luma([level]));
                    }
                }
                assert_eq!(read(&damaged), None, "cell {cell} at {level}");
            }
        }
    }

    #[test]
    fn a_plane_shorter_than_it_claims_is_refused_without_a_panic() {
        let whole = picture(5, 640, 40, 16, 235);
        assert_eq!(decode(&whole.as_raw()[..640 * 10], 640, 40, 640), None);
        assert_eq!(decode(&[], 640, 40, 640), None);
        assert_eq!(decode(&[0; 100], 10, 10, 10), None);
        assert_eq!(decode(&[0; 100], 0, 0, 0), None);
    }
}
