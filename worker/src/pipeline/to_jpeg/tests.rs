use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::pipeline::test_clip::{Clip, ClipStyle};
use rsm_media::parameters::VideoCodec;

const PARAMS: JpegParams = JpegParams { max_fps: 5, max_width: 320, quality: 80 };

async fn shown(look: ClipStyle, b_pictures: u32, backlog: usize) -> Vec<JpegFrame> {
    let units = Clip { width: 640, height: 360, fps: 25, pictures: 50, group: 50, b_pictures }.encode_as(look);
    let hardware = Hardware::software();
    let mut pipeline = JpegPipeline::start(&units[0].video, &hardware).await.unwrap();
    let mut frames = Vec::new();
    {
        let (feeder, _failed) = pipeline.split();
        let (_encoder, mut newest) = feeder.add(PARAMS).unwrap();
        for (i, unit) in units.iter().enumerate() {
            feeder.push(unit, i >= backlog).await.unwrap();
            if i >= backlog {
                // Slower than the chain, so that no frame is superseded.
                let _ = tokio::time::timeout(Duration::from_millis(20), newest.changed()).await;
                frames.extend(newest.borrow_and_update().clone());
            }
        }
    }
    pipeline.stop().await;
    frames.dedup_by_key(|frame| frame.number);
    frames
}

#[tokio::test]
async fn frames_keep_the_rate_the_size_and_their_time() {
    for (codec, format, b_pictures) in [
        (VideoCodec::H264, "I420", 0),
        (VideoCodec::H264, "I420", 2),
        (VideoCodec::H265, "I420", 2),
        (VideoCodec::H265, "I420_10LE", 0),
        (VideoCodec::Jpeg, "Y42B", 0),
        (VideoCodec::Jpeg, "GRAY8", 0),
    ] {
        let frames = shown(ClipStyle { codec, format, ..ClipStyle::PLAIN }, b_pictures, 0).await;
        assert!((8..=11).contains(&frames.len()), "{codec:?} {format}: {}", frames.len());
        for frame in &frames {
            assert_eq!((frame.width, frame.height, &frame.data[..2]), (320, 180, &[0xff, 0xd8][..]));
            assert_eq!(frame.pts.as_millis() % 40, 0);
            assert!(frame.captured.is_some());
        }
        assert!(frames.windows(2).all(|pair| pair[1].pts > pair[0].pts));
    }
}

#[tokio::test]
async fn the_backlog_is_decoded_and_not_shown() {
    let frames = shown(ClipStyle::PLAIN, 0, 40).await;
    assert!(frames.first().is_some_and(|frame| frame.pts >= Duration::from_millis(1600)), "{frames:?}");
    assert!(frames.len() <= 3);
}

/// Luma of a JPEG of 320x180 at those places.
fn luma_of<const N: usize>(jpeg: &Bytes, places: [(usize, usize); N]) -> [u8; N] {
    let src = gst_app::AppSrc::builder().caps(&gst::Caps::new_empty_simple("image/jpeg")).build();
    let sink = gst_app::AppSink::builder().sync(false).build();
    let decoder = gst::ElementFactory::make("jpegdec").build().unwrap();
    let pipeline = gst::Pipeline::new();
    let chain = [src.clone().upcast(), decoder, sink.clone().upcast()];
    pipeline.add_many(&chain).unwrap();
    gst::Element::link_many(&chain).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    src.push_buffer(gst::Buffer::from_slice(jpeg.clone())).unwrap();
    src.end_of_stream().unwrap();
    let sample = sink.pull_sample().unwrap();
    pipeline.set_state(gst::State::Null).unwrap();
    let buffer = sample.buffer_owned().unwrap().into_mapped_buffer_readable().unwrap();
    // The width is a multiple of four: rows without padding, luma first.
    places.map(|(x, y)| buffer[y * 320 + x])
}

#[tokio::test]
async fn black_is_black_and_white_is_white() {
    // The test picture has a white and a black field in its lowest quarter.
    let frames = shown(ClipStyle::PLAIN, 0, 0).await;
    let [white, black] = luma_of(&frames[0].data, [(80, 160), (200, 160)]);
    assert!(white >= 251 && black <= 4, "{white} and {black}");
}

#[tokio::test]
async fn levels_of_a_size_that_is_made_of_a_larger_one_are_stretched_once() {
    let units = Clip { width: 640, height: 360, fps: 25, pictures: 2, group: 2, b_pictures: 0 };
    let units = units.encode();
    let places = [(20, 60), (70, 60), (110, 60), (160, 60), (300, 60)];
    let alone = luma_of(&shown(ClipStyle::PLAIN, 0, 0).await[0].data, places);
    let mut pipeline = JpegPipeline::start(&units[0].video, &Hardware::software()).await.unwrap();
    let mut sizes = Sizes(Vec::new());
    {
        let (feeder, _failed) = pipeline.split();
        sizes.add(feeder, JpegParams { max_fps: 60, max_width: 640, quality: 90 });
        sizes.add(feeder, JpegParams { max_fps: 60, max_width: 320, quality: 90 });
        for unit in &units {
            sizes.push(feeder, unit).await;
        }
    }
    pipeline.stop().await;
    let beside = luma_of(&sizes.0[1].2[0].data, places);
    let far = alone.iter().zip(&beside).any(|(alone, beside)| alone.abs_diff(*beside) > 3);
    assert!(!far, "{alone:?} and {beside:?}");
}

/// The frames of each size so far, without those that were not taken.
struct Sizes(Vec<(JpegEncoder, NewestJpeg, Vec<JpegFrame>)>);

impl Sizes {
    fn add(&mut self, feeder: &JpegFeeder, params: JpegParams) {
        let (encoder, newest) = feeder.add(params).unwrap();
        self.0.push((encoder, newest, Vec::new()));
    }

    /// Hands a unit over and waits until the first size has a frame of it, so that none is superseded.
    async fn push(&mut self, feeder: &JpegFeeder, unit: &AccessUnit) {
        feeder.push(unit, true).await.unwrap();
        let shown = async {
            // The last one is encoded last.
            let (_, newest, _) = self.0.last_mut().unwrap();
            newest.wait_for(|frame| frame.as_ref().is_some_and(|frame| frame.pts == unit.pts)).await.unwrap();
        };
        tokio::time::timeout(Duration::from_secs(30), shown).await.unwrap();
        for (_, newest, frames) in &mut self.0 {
            frames.extend(newest.borrow_and_update().clone());
        }
    }
}

#[tokio::test]
async fn sizes_of_one_decoder_come_and_go_without_a_gap_in_the_others() {
    let units = Clip { width: 640, height: 360, fps: 25, pictures: 50, group: 50, b_pictures: 0 }.encode();
    let mut pipeline = JpegPipeline::start(&units[0].video, &Hardware::software()).await.unwrap();
    let at = |max_width| JpegParams { max_fps: 60, max_width, quality: 80 };
    let mut sizes = Sizes(Vec::new());
    {
        let (feeder, _failed) = pipeline.split();
        sizes.add(feeder, at(320));
        for (i, unit) in units.iter().enumerate() {
            match i {
                // Larger than the source, smaller, and both beyond the picture's own width.
                10 => sizes.add(feeder, at(480)),
                20 => sizes.add(feeder, at(160)),
                30 => {
                    sizes.add(feeder, at(960));
                    sizes.add(feeder, at(1920));
                }
                40 => {
                    let (encoder, mut newest, frames) = sizes.0.remove(1);
                    feeder.remove(&encoder).await;
                    assert!(frames.len() == 30 && newest.changed().await.is_err());
                }
                _ => {}
            }
            sizes.push(feeder, unit).await;
        }
    }
    pipeline.stop().await;
    let seen: Vec<_> = sizes.0.iter().map(|(_, _, frames)| (frames.len(), frames[0].width, frames[0].height)).collect();
    assert_eq!(seen, [(50, 320, 180), (30, 160, 90), (20, 640, 360), (20, 640, 360)]);
    for (_, _, frames) in &sizes.0 {
        assert!(frames.iter().enumerate().all(|(i, frame)| frame.number == i as u64 + 1 && frame.captured.is_some()));
        assert!(frames.windows(2).all(|two| two[1].pts > two[0].pts && two[1].width == two[0].width));
    }
    // Equal sizes are encoded once.
    assert!(sizes.0[2].2.iter().zip(&sizes.0[3].2).all(|(a, b)| a.data.as_ptr() == b.data.as_ptr()));
}

#[tokio::test]
async fn each_size_keeps_its_own_rate_and_quality() {
    let units = Clip { width: 640, height: 360, fps: 25, pictures: 50, group: 50, b_pictures: 0 }.encode();
    let mut pipeline = JpegPipeline::start(&units[0].video, &Hardware::software()).await.unwrap();
    let mut sizes = Sizes(Vec::new());
    {
        let (feeder, _failed) = pipeline.split();
        sizes.add(feeder, JpegParams { max_fps: 5, max_width: 640, quality: 80 });
        sizes.add(feeder, JpegParams { max_fps: 60, max_width: 320, quality: 80 });
        for (i, unit) in units.iter().enumerate() {
            if i == 25 {
                sizes.0[1].0.set_quality(20);
            }
            sizes.push(feeder, unit).await;
        }
    }
    pipeline.stop().await;
    let (_, _, large) = &mut sizes.0[0];
    large.dedup_by_key(|frame| frame.number);
    assert!((10..=11).contains(&large.len()), "{}", large.len());
    let [fine, coarse] = [24, 25].map(|i| sizes.0[1].2[i].data.len());
    assert!(coarse * 2 < fine, "{coarse} and {fine} bytes");
}

#[tokio::test]
async fn it_stops_in_the_middle_of_a_picture() {
    // Snow takes an encoder long, so that the pipeline goes down while one is at work.
    let units = Clip { width: 1280, height: 720, fps: 25, pictures: 8, group: 8, b_pictures: 0 };
    let units = units.encode_as(ClipStyle { pattern: "snow", ..ClipStyle::PLAIN });
    for round in 0..10_usize {
        let mut pipeline = JpegPipeline::start(&units[0].video, &Hardware::software()).await.unwrap();
        let seen = {
            let (feeder, _failed) = pipeline.split();
            let (_encoder, mut newest) = feeder.add(JpegParams { max_fps: 60, max_width: 1280, quality: 95 }).unwrap();
            let _further: Vec<_> = (1..=4)
                .map(|n| feeder.add(JpegParams { max_fps: 60, max_width: 160 * n, quality: 95 }).unwrap())
                .collect();
            for unit in &units[..1 + round % 8] {
                feeder.push(unit, true).await.unwrap();
            }
            // The others are encoded behind this one.
            tokio::time::timeout(Duration::from_secs(30), newest.changed()).await.unwrap().unwrap();
            feeder.pipeline.upgrade().unwrap()
        };
        pipeline.stop().await;
        assert_eq!(seen.current_state(), gst::State::Null, "{round}");
    }
}
