//! A bitmap font of the few characters that the burnt-in text needs.
//!
//! Drawn here so that a picture is the same on every machine and asks for no font library.

/// Columns of a glyph.
pub const GLYPH_WIDTH: usize = 5;
/// Rows of a glyph.
pub const GLYPH_HEIGHT: usize = 7;
/// Columns from one glyph to the next, the gap included.
pub const ADVANCE: usize = GLYPH_WIDTH + 1;

/// The rows of a glyph from top to bottom; bit 4 is the leftmost column. A character without a glyph is blank.
pub fn glyph(character: char) -> [u8; GLYPH_HEIGHT] {
    match character {
        '0' => [0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110],
        '1' => [0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
        '2' => [0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111],
        '3' => [0b11110, 0b00001, 0b00001, 0b01110, 0b00001, 0b00001, 0b11110],
        '4' => [0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010],
        '5' => [0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110],
        '6' => [0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110],
        '7' => [0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000],
        '8' => [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110],
        '9' => [0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100],
        '.' => [0, 0, 0, 0, 0, 0b01100, 0b01100],
        '/' => [0b00001, 0b00010, 0b00010, 0b00100, 0b01000, 0b01000, 0b10000],
        'x' => [0, 0, 0b10001, 0b01010, 0b00100, 0b01010, 0b10001],
        'f' => [0b00110, 0b01001, 0b01000, 0b11100, 0b01000, 0b01000, 0b01000],
        'p' => [0, 0, 0b11110, 0b10001, 0b11110, 0b10000, 0b10000],
        's' => [0, 0, 0b01110, 0b10000, 0b01110, 0b00001, 0b11110],
        _ => [0; GLYPH_HEIGHT],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ten_digits_differ_and_fit_their_columns() {
        let digits: Vec<_> = ('0'..='9').map(glyph).collect();
        for (index, rows) in digits.iter().enumerate() {
            assert!(rows.iter().all(|row| *row < 1 << GLYPH_WIDTH));
            assert!(!digits[..index].contains(rows), "digit {index} looks like an earlier one");
        }
    }
}
