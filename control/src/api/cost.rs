//! The work that one stream is for its worker, in units of a stream that is only passed on.

use rsm_model::stream::demand::Demand;

/// Packets are parsed and written again, nothing is decoded.
pub const REMUXED: u32 = 1;
/// A decoder and an encoder of JPEG run too. docs/cost.md measures a larger ratio of processor time; memory, sockets and
/// the disk are nearer to equal, so the ratio of the whole lies between.
const JPEG: u32 = 10;
/// Each rendition is scaled and encoded as video too.
const RENDITION: u32 = 20;

/// The cost of a stream with these wishes, at least [`REMUXED`].
pub fn of(demand: &Demand) -> u32 {
    let jpeg = if demand.frames() { JPEG } else { 0 };
    let renditions = if demand.hls && !demand.renditions.is_empty() { RENDITION } else { 0 };
    REMUXED + jpeg + renditions
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_model::stream::spec::JpegParams;

    #[test]
    fn decoding_costs_more_than_passing_on() {
        let jpeg = Demand { jpeg: Some(JpegParams { max_fps: 5, max_width: 640, quality: 80 }), ..Demand::default() };
        let hls = Demand { hls: true, ..Demand::default() };
        for (demand, want) in [(Demand::default(), REMUXED), (hls, REMUXED), (jpeg, REMUXED + JPEG)] {
            assert_eq!(of(&demand), want, "{demand:?}");
        }
    }
}
