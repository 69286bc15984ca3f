//! Levels of pictures for JPEG. Video has luma from 16 to 235 and chroma from 16 to 240 (ITU-R BT.601 2.5.3); a JPEG has
//! both from 0 to 255 (JFIF 1.02), and shown without stretching it looks faded. `videoconvertscale` of GStreamer 1.22
//! copies the planes of one I420 picture to another without looking at the range, so this is done here, in one pass.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_video as gst_video;
use gstreamer_video::VideoFrameExt as _;
use parking_lot::Mutex;

use super::PipelineError;

/// Pictures that are stretched and not yet encoded. One is; the others are for an encoder that holds on to some.
const MAX_PICTURES: u32 = 4;

/// Makes every I420 picture that leaves `pad` full range; those that are already pass as they are.
pub(super) fn stretch_behind(pad: &gst::Pad) {
    let stretch = Mutex::new(None);
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    // The probe goes with the pad; nothing removes it earlier.
    let _ = pad.add_probe(mask, move |_, info| {
        // Only the chain's own thread comes here.
        let mut stretch = stretch.lock();
        match &mut info.data {
            Some(gst::PadProbeData::Event(event)) => {
                if let gst::EventView::Caps(caps) = event.view() {
                    *stretch = Stretch::of(caps.caps_owned());
                }
            }
            Some(gst::PadProbeData::Buffer(buffer)) => {
                if let Some(stretch) = &*stretch {
                    // A picture that cannot be read is one that is left out.
                    let Ok(stretched) = stretch.apply(buffer) else { return gst::PadProbeReturn::Drop };
                    *buffer = stretched;
                }
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}

/// For pictures of one size.
struct Stretch {
    info: gst_video::VideoInfo,
    /// Memory of a picture is megabytes: returned and taken again, not mapped anew each time.
    pool: gst::BufferPool,
}

impl Stretch {
    /// `None` for pictures that are full range or not I420.
    fn of(caps: gst::Caps) -> Option<Self> {
        let info = gst_video::VideoInfo::from_caps(&caps).ok()?;
        let is_video_range = info.colorimetry().range() == gst_video::VideoColorRange::Range16_235;
        if !is_video_range || info.format() != gst_video::VideoFormat::I420 {
            return None;
        }
        let pool = gst::BufferPool::new();
        let mut config = pool.config();
        config.set_params(Some(&caps), u32::try_from(info.size()).ok()?, 1, MAX_PICTURES);
        pool.set_config(config).ok()?;
        pool.set_active(true).ok()?;
        Some(Self { info, pool })
    }

    fn apply(&self, picture: &gst::Buffer) -> Result<gst::Buffer, PipelineError> {
        let mut stretched = self.pool.acquire_buffer(None).map_err(PipelineError::build)?;
        let target = stretched.get_mut().ok_or_else(|| PipelineError::build("a picture that is in use"))?;
        let what = gst::BufferCopyFlags::TIMESTAMPS | gst::BufferCopyFlags::FLAGS;
        picture.copy_into(target, what, ..).map_err(PipelineError::build)?;
        let from = gst_video::VideoFrameRef::from_buffer_ref_readable(picture, &self.info);
        let from = from.map_err(PipelineError::build)?;
        let to = gst_video::VideoFrameRef::from_buffer_ref_writable(target, &self.info);
        let mut to = to.map_err(PipelineError::build)?;
        for plane in 0..3_u32 {
            let width = from.comp_width(plane) as usize;
            let strides = [from.plane_stride(), to.plane_stride()].map(|s| s[plane as usize].unsigned_abs() as usize);
            let here = from.plane_data(plane).map_err(PipelineError::build)?.chunks(strides[0]);
            let there = to.plane_data_mut(plane).map_err(PipelineError::build)?.chunks_mut(strides[1]);
            for (here, there) in here.zip(there) {
                // Shorter only behind the last row.
                let (Some(here), Some(there)) = (here.get(..width), there.get_mut(..width)) else { continue };
                // One loop each: a call for each level would keep the compiler from taking many at a time.
                if plane == 0 {
                    there.iter_mut().zip(here).for_each(|(there, here)| *there = luma(*here));
                } else {
                    there.iter_mut().zip(here).for_each(|(there, here)| *there = chroma(*here));
                }
            }
        }
        drop(to);
        Ok(stretched)
    }
}

impl Drop for Stretch {
    fn drop(&mut self) {
        // Fails only for a pool that is in use, whose memory goes with its last picture.
        let _ = self.pool.set_active(false);
    }
}

/// `(y - 16) * 255 / 219`, in 16 bits, so that the compiler takes many at a time.
fn luma(y: u8) -> u8 {
    let y = u16::from(y.saturating_sub(16));
    (y + ((y * 84 + 256) >> 9)).min(255) as u8
}

/// `(c - 128) * 255 / 224 + 128`, in the same way.
fn chroma(c: u8) -> u8 {
    let c = i16::from(c) - 128;
    (c + ((c * 71 + 256) >> 9) + 128).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_within_one_of_the_exact_ones() {
        for level in 0..=255_u8 {
            let exact =
                |zero: f64, at: f64, range: f64| ((f64::from(level) - zero) * 255.0 / range + at).clamp(0.0, 255.0);
            assert!((f64::from(luma(level)) - exact(16.0, 0.0, 219.0)).abs() <= 1.0, "luma {level}");
            assert!((f64::from(chroma(level)) - exact(128.0, 128.0, 224.0)).abs() <= 1.0, "chroma {level}");
        }
        assert_eq!([luma(0), luma(16), luma(235), luma(255)], [0, 0, 255, 255]);
        assert_eq!([chroma(128), chroma(16), chroma(240)], [128, 0, 255]);
    }

    fn stretch(colorimetry: &str) -> Option<Stretch> {
        crate::pipeline::elements::init().unwrap();
        let caps = gst::Caps::builder("video/x-raw")
            .field("format", "I420")
            .field("width", 6)
            .field("height", 4)
            .field("framerate", gst::Fraction::new(0, 1))
            .field("colorimetry", colorimetry);
        Stretch::of(caps.build())
    }

    #[test]
    fn every_plane_is_stretched_and_the_time_is_kept() {
        let stretch = stretch("bt601").unwrap();
        let mut picture = gst::Buffer::from_mut_slice(vec![235_u8; stretch.info.size()]);
        picture.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(40));
        let stretched = stretch.apply(&picture).unwrap();
        assert_eq!(stretched.pts(), picture.pts());
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(&stretched, &stretch.info).unwrap();
        for (plane, width, want) in [(0, 6, 255), (1, 3, chroma(235)), (2, 3, chroma(235))] {
            let stride = frame.plane_stride()[plane as usize] as usize;
            for row in frame.plane_data(plane).unwrap().chunks(stride) {
                assert!(row[..width].iter().all(|level| *level == want), "plane {plane}: {row:?}");
            }
        }
    }

    #[test]
    fn a_picture_of_full_range_is_left_alone() {
        assert!(stretch("1:4:0:0").is_none());
    }
}
