//! The header of JPEG files.

/// Width and height in pixels, from the frame header (ITU-T T.81 B.2.2). `None` when there is none.
pub fn size(jpeg: &[u8]) -> Option<(u32, u32)> {
    let mut rest = jpeg.strip_prefix(&[0xff, 0xd8])?;
    loop {
        // Markers may be filled with any number of 0xff before them (B.1.1.2).
        let marker = rest.iter().position(|byte| *byte != 0xff).filter(|at| *at > 0)?;
        let kind = *rest.get(marker)?;
        rest = rest.get(marker + 1..)?;
        match kind {
            // Without a length: TEM and RSTm.
            0x01 | 0xd0..=0xd7 => {}
            // End of image, or the scan begins: too late for a frame header.
            0xd9 | 0xda => return None,
            _ => {
                let length = usize::from(u16::from_be_bytes(*rest.first_chunk()?));
                let segment = rest.get(..length)?;
                // SOF0 to SOF15; DHT, JPG and DAC are between them.
                if matches!(kind, 0xc0..=0xcf) && !matches!(kind, 0xc4 | 0xc8 | 0xcc) {
                    let side = |at: usize| Some(u32::from(u16::from_be_bytes(*segment.get(at..)?.first_chunk()?)));
                    let (height, width) = (side(3)?, side(5)?);
                    return (width > 0 && height > 0).then_some((width, height));
                }
                rest = rest.get(length.max(2)..)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..200), jpeg in any::<bool>()) {
            let bytes = if jpeg { [&[0xff, 0xd8, 0xff][..], &bytes].concat() } else { bytes };
            let _ = size(&bytes);
        }
    }
}
