//! The dialogs and the page of a camera in headless Chromium: adding with a probe first, editing, removing, importing,
//! hostile text, and refused requests. One server for each script, as each reads the whole list.

use crate::browser::run;
use crate::harness::camera::Camera;
use crate::harness::system::System;

/// Holds characters that an address must encode.
const PASSWORD: &str = "p4ss w/rd@x";

async fn locked() -> Camera {
    Camera::start_with(0, &[], Some(PASSWORD)).await
}

async fn open() -> Camera {
    Camera::start_as(&["--width", "640", "--height", "480", "--audio", "aac"]).await
}

#[tokio::test]
async fn a_camera_is_looked_at_before_it_is_added() {
    let (camera, locked, system) = (open().await, locked().await, System::start().await);
    let arguments =
        ["--base", &system.base, "--camera", camera.url(), "--locked", locked.url(), "--password", PASSWORD];
    run("add-camera.mjs", &arguments).await;
}

#[tokio::test]
async fn a_camera_is_changed_stopped_removed_and_taken_back_on_the_page() {
    let (locked, system) = (locked().await, System::start().await);
    run("edit-camera.mjs", &["--base", &system.base, "--locked", locked.url(), "--password", PASSWORD]).await;
}

#[tokio::test]
async fn a_list_of_cameras_is_checked_on_the_page_before_it_is_added() {
    let (camera, system) = (open().await, System::start().await);
    run("import-list.mjs", &["--base", &system.base, "--camera", camera.url()]).await;
}

#[tokio::test]
async fn text_that_means_harm_is_shown_as_text() {
    let system = System::start().await;
    run("hostile-text.mjs", &["--base", &system.base]).await;
}

#[tokio::test]
async fn a_camera_has_a_page_with_its_facts_and_addresses() {
    let (camera, system) = (open().await, System::start().await);
    run("camera-page.mjs", &["--base", &system.base, "--camera", camera.url()]).await;
}

#[tokio::test]
async fn dialogs_and_the_page_of_a_camera_keep_nobody_out() {
    let (camera, system) = (open().await, System::start().await);
    run("dialogs-reach.mjs", &["--base", &system.base, "--camera", camera.url()]).await;
}
