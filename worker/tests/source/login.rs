//! Credentials.

use std::time::Duration;

use rsm_worker::source::error::SourceError;

use crate::bench::{RETRY, all, open_link};
use crate::scripted::ScriptedCamera;
use crate::scripted::media::{Offer, Rtp, ScriptedClip, Section};
use crate::scripted::scene::{Login, Scene, SceneEnd};

async fn camera(user: &str, password: &str, digest: bool) -> ScriptedCamera {
    let media = ScriptedClip::h264().steps(&mut Rtp::new(0, 96), (0..10).map(|n| n * 9000), Duration::ZERO);
    let login = Some(Login { user: user.into(), password: password.into(), digest });
    let scene = Scene::new(Offer::default().and(Section::h264()), media);
    ScriptedCamera::start(vec![Scene { login, end: SceneEnd::Close, ..scene }]).await
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn any_character_of_user_and_password_by_basic_and_digest() {
    for digest in [false, true] {
        for (user, password) in
            [("admin", "secret"), ("ad min", "@:/?#%& ü\"'"), ("ü@x", "::"), ("admin", ""), ("root", "pass%40word")]
        {
            // A quote cannot stand in a digest's fields unescaped, and cameras do not unescape.
            let user = user.replace('"', "");
            let camera = camera(&user, password, digest).await;
            let link = camera.url(&format!("{}:{}@", encoded(&user), encoded(password)));
            match open_link(&link, Duration::from_secs(5)).await {
                Ok(source) => assert_eq!(all(source).await.0.len(), 10, "{user} {password} {digest}"),
                Err(error) => panic!("{user} {password} {digest}: {error}"),
            }
        }
    }
}

#[tokio::test]
async fn wrong_and_missing_credentials_are_told_apart_and_tried_once() {
    for digest in [false, true] {
        let camera = camera("admin", "right", digest).await;
        for (user_info, want) in
            [("admin:wrong@", SourceError::Unauthorized(401, RETRY)), ("", SourceError::CredentialsNeeded(401, RETRY))]
        {
            let before = camera.asked("DESCRIBE");
            let error = open_link(&camera.url(user_info), Duration::from_secs(5)).await.err();
            assert_eq!(error, Some(want), "{user_info}");
            let authorised = camera.requests()[before..].iter().filter(|r| r.header("Authorization").is_some()).count();
            assert_eq!(authorised, usize::from(!user_info.is_empty()), "cameras lock accounts");
        }
    }
}
