//! Sessions are kept as the camera wants it.

use std::time::Duration;

use rsm_worker::source::error::SourceError;

use crate::bench::{DEADLINE, all, opened};
use crate::scripted::ScriptedCamera;
use crate::scripted::media::{Offer, Rtp, ScriptedClip, Section};
use crate::scripted::scene::{Act, Scene};

/// With the shortest timeout there is: it is asked twice as often.
fn scene(public: &str) -> Scene {
    let media = ScriptedClip::h264().steps(&mut Rtp::new(0, 96), [0, 9000], Duration::ZERO);
    let scene = Scene::new(Offer::default().and(Section::h264()), media);
    Scene { session: "7;timeout=1".into(), public: public.into(), ..scene }
}

/// Reads until the camera was asked so often with this method.
async fn asked(camera: &ScriptedCamera, source: &mut rsm_worker::source::Source, method: &str, times: usize) {
    let reading = async {
        while camera.asked(method) < times {
            // Silence is no end.
            if let Ok(Err(error)) = tokio::time::timeout(Duration::from_millis(20), source.next()).await {
                panic!("{error}");
            }
        }
    };
    tokio::time::timeout(DEADLINE, reading).await.unwrap();
}

#[tokio::test]
async fn by_options_and_by_get_parameter_where_it_is_offered() {
    for (public, method) in [
        ("OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN", "OPTIONS"),
        ("OPTIONS, DESCRIBE, GET_PARAMETER, SET_PARAMETER", "GET_PARAMETER"),
    ] {
        let (camera, source) = opened(vec![scene(public)]).await;
        let mut source = source.unwrap();
        asked(&camera, &mut source, method, 3).await;
        assert!(camera.asked("OPTIONS") >= 1, "the first one, to learn what there is");
        let requests = camera.requests();
        let kept = requests.iter().filter(|r| r.method == method);
        assert!(kept.into_iter().all(|r| r.header("Session") == Some("7")));
        source.close().await;
        assert_eq!(camera.asked("TEARDOWN"), 1);
    }
}

#[tokio::test]
async fn a_camera_that_refuses_it_is_kept_and_one_that_never_answers_is_for_rtspsrc() {
    let refusing = scene("OPTIONS").with("OPTIONS", Act::Status(454, String::new()));
    let (camera, source) = opened(vec![refusing]).await;
    let mut source = source.unwrap();
    asked(&camera, &mut source, "OPTIONS", 3).await;
    source.close().await;
    let (_camera, source) = opened(vec![scene("OPTIONS").with("OPTIONS", Act::Silence)]).await;
    let (units, error) = all(source.unwrap()).await;
    assert_eq!((units.len(), &error), (2, &SourceError::NoKeepAlive));
    assert!(error.may_suit_rtspsrc());
}
