//! Reads an `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15 section 8.3.3.1) and the beginning of its sequence
//! parameter set (ITU-T H.265 section 7.3.2.2.1). Pure.
//!
//! Reading ends after the needed fields: cameras break the fields after them more often.

use std::num::NonZeroUsize;

use h264_reader::rbsp::{BitRead, BitReader, BitReaderError, ByteReader};

/// Bytes before the arrays of NAL units.
const HEADER: usize = 23;
/// H.265 table 7-1.
const SPS_NUT: u8 = 33;
/// Both bytes of a NAL unit's header, H.265 section 7.3.1.2.
const NAL_HEADER: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// The fields that are used here.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hvcc {
    /// ISO/IEC 14496-15 section E.3, such as `hvc1.1.6.L93.B0`.
    pub rfc6381: String,
    /// Shown pixels.
    pub width: u32,
    pub height: u32,
    /// `sps_max_num_reorder_pics` of the highest sub-layer.
    pub reorder: u32,
    /// `avgFrameRate` of the record, pictures per second; most writers leave it out.
    pub fps: Option<f64>,
}

/// Reads a record.
///
/// # Errors
/// A few words on the defect.
pub(crate) fn read(record: &[u8]) -> Result<Hvcc, String> {
    let header: &[u8; HEADER] = record.first_chunk().ok_or("the record is too short")?;
    if header[0] != 1 {
        return Err("the record has another version than 1".into());
    }
    let sps = first_sps(&record[HEADER..], header[22]).ok_or("no sequence parameter set")?;
    let beginning = Beginning::read(sps).map_err(|e| format!("{e:?}"))?;
    let (width, height) = beginning.shown().ok_or("the picture is empty")?;
    let average = f64::from(u16::from_be_bytes([header[19], header[20]])) / 256.0;
    let fps = (average > 0.0).then_some(average);
    Ok(Hvcc { rfc6381: rfc6381(header), width, height, reorder: beginning.reorder, fps })
}

/// Walks the arrays of NAL units; stops where the record does.
fn first_sps(mut rest: &[u8], arrays: u8) -> Option<&[u8]> {
    for _ in 0..arrays {
        let (array, units) = rest.split_first_chunk::<3>()?;
        rest = units;
        for _ in 0..u16::from_be_bytes([array[1], array[2]]) {
            let (length, unit) = rest.split_first_chunk::<2>()?;
            let (unit, behind) = unit.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            if array[0] & 0x3f == SPS_NUT {
                return Some(unit);
            }
            rest = behind;
        }
    }
    None
}

fn rfc6381(header: &[u8; HEADER]) -> String {
    let space = ["", "A", "B", "C"][usize::from(header[1] >> 6)];
    let tier = if header[1] & 0x20 == 0 { 'L' } else { 'H' };
    let compatibility = u32::from_be_bytes([header[2], header[3], header[4], header[5]]).reverse_bits();
    let (profile, level) = (header[1] & 0x1f, header[12]);
    // Trailing zeros of the six constraint bytes are left out.
    let used = header[6..12].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let constraints: String = header[6..6 + used].iter().map(|byte| format!(".{byte:X}")).collect();
    format!("hvc1.{space}{profile}.{compatibility:X}.{tier}{level}{constraints}")
}

/// A sequence parameter set up to the order of its pictures.
struct Beginning {
    chroma_format: u32,
    size: (u32, u32),
    /// Left and right, top and bottom, in units of chroma samples.
    cut: (u32, u32),
    reorder: u32,
}

impl Beginning {
    fn read(sps: &[u8]) -> Result<Self, BitReaderError> {
        let mut bits = BitReader::new(ByteReader::skipping_bytes(sps, NAL_HEADER));
        bits.read::<4, u8>("sps_video_parameter_set_id")?;
        let sub_layers = bits.read::<3, u8>("sps_max_sub_layers_minus1")?;
        bits.read::<1, u8>("sps_temporal_id_nesting_flag")?;
        profile_tier_level(&mut bits, sub_layers)?;
        bits.read_ue("sps_seq_parameter_set_id")?;
        let chroma_format = bits.read_ue("chroma_format_idc")?;
        if chroma_format == 3 {
            bits.read_bit("separate_colour_plane_flag")?;
        }
        let size = (bits.read_ue("pic_width_in_luma_samples")?, bits.read_ue("pic_height_in_luma_samples")?);
        let mut cut = (0u32, 0u32);
        if bits.read_bit("conformance_window_flag")? {
            let mut side = |name| bits.read_ue(name);
            cut.0 = side("conf_win_left_offset")?.saturating_add(side("conf_win_right_offset")?);
            cut.1 = side("conf_win_top_offset")?.saturating_add(side("conf_win_bottom_offset")?);
        }
        bits.read_ue("bit_depth_luma_minus8")?;
        bits.read_ue("bit_depth_chroma_minus8")?;
        bits.read_ue("log2_max_pic_order_cnt_lsb_minus4")?;
        let of_each = bits.read_bit("sps_sub_layer_ordering_info_present_flag")?;
        let mut reorder = 0;
        // The last one is of the highest sub-layer.
        for _ in 0..=(if of_each { sub_layers } else { 0 }) {
            bits.read_ue("sps_max_dec_pic_buffering_minus1")?;
            reorder = bits.read_ue("sps_max_num_reorder_pics")?;
            bits.read_ue("sps_max_latency_increase_plus1")?;
        }
        Ok(Self { chroma_format, size, cut, reorder })
    }

    /// `None` when nothing is left of the picture.
    fn shown(&self) -> Option<(u32, u32)> {
        // H.265 table 6-1: a chroma sample stands for so many luma samples.
        let (across, down) = match self.chroma_format {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        let width = self.size.0.checked_sub(self.cut.0.checked_mul(across)?)?;
        let height = self.size.1.checked_sub(self.cut.1.checked_mul(down)?)?;
        (width > 0 && height > 0).then_some((width, height))
    }
}

/// H.265 section 7.3.3, skipped.
fn profile_tier_level(bits: &mut impl BitRead, sub_layers: u8) -> Result<(), BitReaderError> {
    let mut skip = |bytes: u32| -> Result<(), BitReaderError> {
        for _ in 0..bytes {
            bits.read::<8, u8>("profile_tier_level")?;
        }
        Ok(())
    };
    skip(12)?;
    if sub_layers == 0 {
        return Ok(());
    }
    let mut present = 0u32;
    for _ in 0..8 {
        present = (present << 2) | bits.read::<2, u32>("sub_layer_present_flags")?;
    }
    let mut skip = |bytes: u32| -> Result<(), BitReaderError> {
        for _ in 0..bytes {
            bits.read::<8, u8>("sub_layer")?;
        }
        Ok(())
    };
    for layer in 0..sub_layers {
        let flags = present >> (14 - 2 * u32::from(layer)) & 3;
        skip(if flags & 2 != 0 { 11 } else { 0 })?;
        skip(flags & 1)?;
    }
    Ok(())
}
