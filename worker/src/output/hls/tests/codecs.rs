//! Cameras that send JPEG, and those that are set to send something else.

use super::*;
use crate::pipeline::test_clip::ClipStyle;

fn jpegs() -> Vec<AccessUnit> {
    let clip = Clip { width: 640, height: 360, fps: 25, pictures: 100, group: 1, b_pictures: 0 };
    clip.encode_as(ClipStyle { codec: VideoCodec::Jpeg, ..ClipStyle::PLAIN })
}

#[tokio::test]
async fn the_last_place_for_an_encoder_goes_to_the_source_of_a_jpeg_camera() {
    let (root, units) = (tempfile::tempdir().unwrap(), jpegs());
    let bench = begin_with(root.path(), u64::MAX, 6);
    bench.encoders.forget_permits(1);
    let renditions = RenditionSet::NONE.with(Rendition::P240);
    bench.demand.send_replace(Demand { hls: true, renditions, ..Demand::default() });
    bench.publish(&units, 1).await;
    let text = bench.until(|text| text.contains("/100.m4s")).await;
    assert_eq!(probe(root.path(), &play(&bench, &text))[0].split('|').next(), Some("h264"));
    assert_eq!(bench.report.0.lock().2, None);
    bench.end().await;
}

#[tokio::test]
async fn a_camera_that_changes_to_another_codec_is_shown_again() {
    let (root, jpegs, h264) = (tempfile::tempdir().unwrap(), jpegs(), clip_of(640, 360, 0));
    let bench = begin_with(root.path(), u64::MAX, 6);
    let mut timeline = 0;
    for units in [&jpegs, &h264, &jpegs] {
        timeline += 1;
        bench.publish(&units[..30], timeline).await;
        if timeline > 1 {
            bench.until_error("another codec").await;
            bench.until_listeners(1).await;
        }
        bench.publish(&units[30..], timeline).await;
        bench.until(|text| text.contains("EXTINF")).await;
        bench.until_error("").await;
    }
    bench.end().await;
}
