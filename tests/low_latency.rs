//! hls.js in headless Chromium with parts, as anybody's page may use it: see `tests/browser/playing.mjs`. How old the
//! pictures are is measured by `make bench`, not here.

use std::path::Path;

use serde_json::json;

use crate::browser::run;
use crate::harness::camera::Camera;
use crate::harness::eventually;
use crate::harness::system::System;

#[tokio::test]
async fn hls_js_plays_every_codec_and_falls_to_h264_where_h265_is_unknown() {
    let system = System::start().await;
    let kinds: [(&[&str], &str); 4] = [
        (&["--audio", "aac", "--bframes", "2"], "h264:aac"),
        (&["--codec", "h265", "--audio", "pcma"], "hevc:pcma"),
        (&["--codec", "mjpeg", "--height", "184", "--audio", "pcmu"], "jpeg:pcmu"),
        (&["--parameter-sets", "sdp", "--slices", "3"], "h264:none"),
    ];
    let (mut cameras, mut streams) = (Vec::new(), Vec::new());
    for (flags, kind) in kinds {
        let camera = Camera::start_as(flags).await;
        let (_, id) = system.add(json!({ "url": camera.url() })).await;
        streams.push(format!("{id}:{kind}"));
        cameras.push(camera);
    }
    run("playing.mjs", &["--base", &system.base, "--streams", &streams.join(",")]).await;
}

#[tokio::test]
async fn a_lower_rendition_is_encoded_while_it_is_played() {
    let system = System::start_with(None, &[], &[("RSM__HLS__RENDITIONS", "240p")]).await;
    let camera = Camera::start_as(&["--width", "640", "--height", "360", "--audio", "aac"]).await;
    let (slug, id) = system.add(json!({ "url": camera.url() })).await;
    let (streams, lower) = (format!("{id}:h264:aac"), format!("{id}:240"));
    run("playing.mjs", &["--base", &system.base, "--streams", &streams, "--lower", &lower]).await;
    // Players of the source continue; the other rendition has none, so it ends with its demand.
    let dir = system.data_dir().join("hls").join(&slug);
    let look = async || {
        assert!(system.get(&format!("/video/play/{id}/source.m3u8")).await.status().is_success());
        (newest(&dir, "source"), newest(&dir, "240p"))
    };
    eventually("the encoder to end", look, |(source, lower)| *source > lower + 5).await;
}

/// The number of the newest segment of a rendition on disk; 0 when there is none.
fn newest(dir: &Path, rendition: &str) -> u64 {
    let entries = |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries(dir)
        .flat_map(|owner| entries(&owner.join(rendition)).collect::<Vec<_>>())
        .filter(|path| path.extension().is_some_and(|extension| extension == "m4s"))
        .filter_map(|path| path.file_stem()?.to_str()?.parse().ok())
        .max()
        .unwrap_or(0)
}
