//! One fragment: `moof` and `mdat`. A segment is a sequence of fragments, and so is each part of it.

use bytes::Bytes;
use mp4_atom::{Encode as _, Mfhd, Moof, Tfdt, Tfhd, Traf, Trun, TrunEntry, TrunSamples};

use super::track::TRACK_ID;

/// `sample_depends_on` = 2, nothing (ISO/IEC 14496-12 section 8.8.3.1).
const INDEPENDENT: u32 = 0x0200_0000;
/// `sample_depends_on` = 1, others; `sample_is_non_sync_sample`.
const DEPENDENT: u32 = 0x0101_0000;
/// Bytes of the header of the `mdat` box.
const BOX_HEADER: usize = 8;

/// One picture or frame of audio, as its fragment describes it. Times are ticks of the track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentSample {
    pub duration: u32,
    /// Bytes.
    pub size: u32,
    /// Decoding can begin here.
    pub is_sync: bool,
    /// Presentation time less decoding time; may be negative.
    pub composition: i32,
}

/// `moof` and the head of `mdat`; the samples' bytes follow it in order. `number` grows from fragment to fragment,
/// `dts` is the decoding time of the first sample in ticks of the track.
pub fn fragment_header(number: u32, dts: u64, samples: &[FragmentSample]) -> Bytes {
    let size: usize = samples.iter().map(|sample| sample.size as usize).sum();
    // The data offset counts from the beginning of the `moof`, whose length does not depend on the value.
    let len = moof(number, dts, samples, 0).len();
    let mut bytes = moof(number, dts, samples, len + BOX_HEADER);
    let mdat = u32::try_from(size + BOX_HEADER).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&mdat.to_be_bytes());
    bytes.extend_from_slice(b"mdat");
    bytes.into()
}

fn moof(number: u32, dts: u64, samples: &[FragmentSample], data_offset: usize) -> Vec<u8> {
    let entries = samples.iter().map(|sample| TrunEntry {
        duration: Some(sample.duration),
        size: Some(sample.size),
        flags: Some(if sample.is_sync { INDEPENDENT } else { DEPENDENT }),
        cts: Some(sample.composition.into()),
    });
    let traf = Traf {
        tfhd: Tfhd { track_id: TRACK_ID, default_base_is_moof: true, ..Tfhd::default() },
        tfdt: Some(Tfdt { base_media_decode_time: dts }),
        trun: vec![Trun {
            data_offset: i32::try_from(data_offset).ok(),
            samples: TrunSamples::Explicit(entries.collect()),
        }],
        ..Traf::default()
    };
    let moof = Moof { mfhd: Mfhd { sequence_number: number }, traf: vec![traf] };
    let mut bytes = Vec::with_capacity(128 + samples.len() * 16);
    // Fails only for boxes of more than 4 GB; a fragment has some hundred samples.
    let _ = moof.encode(&mut bytes);
    bytes
}
