//! Renditions whose viewers go and come back.

use super::*;

#[tokio::test]
async fn a_rendition_that_is_wanted_again_begins_no_segment_a_second_time() {
    let (root, units) = (tempfile::tempdir().unwrap(), clip_of(640, 360, 0));
    let bench = begin_with(root.path(), u64::MAX, 6);
    let lower = Demand { hls: true, renditions: RenditionSet::NONE.with(Rendition::P240), ..Demand::default() };
    bench.demand.send_replace(lower);
    bench.publish(&units[..1], 1).await;
    bench.until_listeners(2).await;
    bench.publish(&units[1..45], 1).await;
    bench.until_of("240p", |text| text.contains("/100.m4s")).await;
    let reader = bench.live.find(&Slug::parse("door").unwrap(), Fence { epoch: Epoch(9), revision: 1 }).unwrap();
    // A player may have fetched it.
    reader.part(Rendition::P240, 101, 0).await.unwrap();
    bench.demand.send_replace(Demand { hls: true, ..Demand::default() });
    bench.until_listeners(1).await;
    bench.demand.send_replace(lower);
    bench.until_listeners(2).await;
    bench.publish(&units[45..], 1).await;
    let low = bench.until_of("240p", |text| text.contains("/103.m4s")).await;
    assert!(low.contains("#EXT-X-MEDIA-SEQUENCE:102\n"), "{low}");
    bench.end().await;
}

#[tokio::test]
async fn a_source_that_is_wanted_again_takes_its_renditions_along() {
    let (root, units) = (tempfile::tempdir().unwrap(), clip_of(640, 360, 0));
    let bench = begin_with(root.path(), u64::MAX, 6);
    let lower = Demand { hls: true, renditions: RenditionSet::NONE.with(Rendition::P240), ..Demand::default() };
    bench.demand.send_replace(lower);
    bench.publish(&units[..1], 1).await;
    bench.until_listeners(2).await;
    bench.publish(&units[1..30], 1).await;
    bench.until_of("240p", |text| text.contains("/100.m4s")).await;
    // Nothing without HLS.
    bench.demand.send_replace(Demand { hls: false, ..lower });
    bench.until_listeners(0).await;
    bench.until_of("240p", str::is_empty).await;
    bench.demand.send_replace(lower);
    bench.until_listeners(2).await;
    bench.publish(&units[30..], 1).await;
    // The key frame of segment 101 begins 102, in all renditions.
    for rendition in ["source", "240p"] {
        let text = bench.until_of(rendition, |text| text.contains("/104.m4s")).await;
        assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:102\n#EXT-X-DISCONTINUITY-SEQUENCE:8\n"), "{text}");
    }
    bench.end().await;
}
