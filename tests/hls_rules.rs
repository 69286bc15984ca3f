//! The rules of RFC 8216bis and of Apple's authoring specification on live streams, read by a parser that is not ours:
//! see `tests/browser/hls-rules.mjs`.

use reqwest::Method;
use serde_json::json;

use crate::browser::outcome;
use crate::harness::camera::Camera;
use crate::harness::system::System;

/// The script's answer when the camera itself was late, as its machine is busy: `EX_TEMPFAIL` of sysexits.h.
const LATE: i32 = 75;
/// Number of such checks.
const LOOKS: usize = 3;

/// One camera's playlists: its flags beside the properties that the script expects.
struct CameraSetup<'a> {
    flags: &'a [&'a str],
    fps: &'a str,
    /// Seconds.
    gop: &'a str,
    playlists: &'a str,
    segments: &'a str,
}

async fn follow(system: &System, look: &CameraSetup<'_>) {
    let camera = Camera::start_as(look.flags).await;
    let mut seen = (None, String::new());
    for _ in 0..LOOKS {
        let (slug, id) = system.add(json!({ "url": camera.url() })).await;
        let id = id.to_string();
        let wanted = ["--fps", look.fps, "--gop", look.gop, "--playlists", look.playlists, "--segments", look.segments];
        seen = outcome("hls-rules.mjs", &[&["--base", &system.base, "--id", &id][..], &wanted].concat()).await;
        if seen.0 != Some(LATE) {
            break;
        }
        system.send(Method::DELETE, &format!("/video/{slug}/"), &json!({})).await;
    }
    assert_eq!(seen.0, Some(0), "{:?}: {}", look.flags, seen.1);
}

#[tokio::test]
async fn playlists_of_one_second_keep_the_rules() {
    let system = System::start().await;
    let even =
        CameraSetup { flags: &["--audio", "aac"], fps: "15", gop: "1", playlists: "source,audio", segments: "5" };
    let reordered = CameraSetup {
        flags: &["--bframes", "2", "--slices", "3", "--fps", "30", "--gop", "30"],
        fps: "30",
        gop: "1",
        playlists: "source",
        segments: "5",
    };
    tokio::join!(follow(&system, &even), follow(&system, &reordered));
}

#[tokio::test]
async fn playlists_of_long_groups_of_pictures_keep_the_rules() {
    let system = System::start().await;
    let flags = ["--audio", "pcmu", "--fps", "25", "--gop", "100"];
    follow(&system, &CameraSetup { flags: &flags, fps: "25", gop: "4", playlists: "source,audio", segments: "3" })
        .await;
}

#[tokio::test]
async fn renditions_keep_the_rules_and_have_the_segments_of_the_source() {
    let system = System::start_with(None, &[], &[("RSM__HLS__RENDITIONS", "240p")]).await;
    let flags = ["--width", "640", "--height", "360", "--audio", "pcma"];
    follow(&system, &CameraSetup { flags: &flags, fps: "15", gop: "1", playlists: "source,240p,audio", segments: "4" })
        .await;
}

#[tokio::test]
async fn updates_of_long_windows_leave_out_what_players_know() {
    let system = System::start_with(None, &[], &[("RSM__HLS__WINDOW_SEGMENTS", "20")]).await;
    let look =
        CameraSetup { flags: &["--audio", "pcma"], fps: "15", gop: "1", playlists: "source,audio", segments: "12" };
    follow(&system, &look).await;
}
