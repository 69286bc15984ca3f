//! Opens scripted cameras as a stream does, and reads their units.

use std::future::pending;
use std::time::Duration;

use rsm_shared::stream::camera_link::{CameraUrl, Credentials};
use rsm_shared::stream::rendition::RenditionSet;
use rsm_shared::stream::secret::Secret;
use rsm_shared::stream::spec::{HlsParams, StreamSpec, Transport};
use rsm_worker::source::carrier::{Carrier, OpenTiming};
use rsm_worker::source::error::SourceError;
use rsm_worker::source::open::{AddressPolicy, open};
use rsm_worker::source::{Source, SourceUnit};

use crate::scripted::ScriptedCamera;
use crate::scripted::scene::Scene;

/// Longer than anything here takes on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(30);
pub const RETRY: Duration = Duration::from_secs(300);

pub async fn open_link(link: &str, step: Duration) -> Result<Source, SourceError> {
    let parsed = CameraUrl::parse(link).unwrap();
    // As the API stores them.
    let credentials = parsed.username.map(|username| (username, parsed.password.unwrap_or_else(|| Secret::new(""))));
    let spec = StreamSpec {
        url: parsed.url,
        credentials: credentials.map(|(username, password)| Credentials { username, password }),
        transport: Transport::Tcp,
        tls_insecure: false,
        exclusive: false,
        hls: HlsParams {
            segment_seconds: 1,
            window_segments: 6,
            part_ms: 0,
            always_on: false,
            renditions: RenditionSet::NONE,
        },
    };
    let timing = OpenTiming { step, auth_retry: RETRY };
    let anywhere = AddressPolicy::any();
    let opening = open(&spec, Carrier::Retina, &anywhere, timing, Box::pin(pending()));
    tokio::time::timeout(DEADLINE, opening).await.unwrap().unwrap()
}

/// A session with a camera that plays `scenes`.
pub async fn opened(scenes: Vec<Scene>) -> (ScriptedCamera, Result<Source, SourceError>) {
    let camera = ScriptedCamera::start(scenes).await;
    let source = open_link(&camera.url(""), Duration::from_secs(5)).await;
    (camera, source)
}

/// The error of a camera, at opening or later.
pub async fn fault(scene: Scene) -> SourceError {
    let (_camera, source) = opened(vec![scene]).await;
    match source {
        Ok(source) => all(source).await.1,
        Err(error) => error,
    }
}

/// Every unit until the session's end.
pub async fn all(mut source: Source) -> (Vec<SourceUnit>, SourceError) {
    let mut units = Vec::new();
    let reading = async {
        loop {
            match source.next().await {
                Ok(unit) => units.push(unit),
                Err(error) => return error,
            }
        }
    };
    let error = tokio::time::timeout(DEADLINE, reading).await.unwrap();
    source.close().await;
    (units, error)
}

/// Every unit of a good camera whose scene ends by closing.
pub async fn units(scene: Scene) -> Vec<SourceUnit> {
    let (_camera, source) = opened(vec![scene]).await;
    let (units, error) = all(source.unwrap()).await;
    assert_eq!(error, SourceError::Ended);
    units
}
