//! A player in headless Chromium lives through faults of its camera: see `tests/browser/through.mjs`.

use serde_json::json;

use crate::harness::camera::Camera;
use crate::harness::script::Script;
use crate::harness::system::System;

#[tokio::test]
async fn one_player_plays_on_through_all_that_a_camera_does() {
    let camera = Camera::start_as(&["--second", "640x360", "--audio", "aac"]).await;
    let system = System::start().await;
    let (slug, _) = system.add(json!({ "url": camera.url(), "always_on": true })).await;
    let mut player = Script::start("through.mjs", &["--base", &system.base, "--slug", &slug]);
    player.says("playing").await;
    let events = [
        "jump cam1 3600",
        "resize cam1",
        "mute cam1",
        "unmute cam1",
        "jump cam1 -3600",
        "resize cam1",
        "reboot cam1 1",
    ];
    for event in events {
        assert_eq!(camera.command(event).await["ok"], true, "{event}");
        player.hears(event, "through").await;
    }
    player.ends_well().await;
    // It lived through the reboot, not beside it. The first try may have come before the camera was back.
    assert!(system.status(&slug).await["restarts"].as_u64() >= Some(1));
}
