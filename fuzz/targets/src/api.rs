//! Requests of clients to the API, and workers' playlists.

use std::time::Duration;

use arbitrary::{Arbitrary as _, Unstructured};
use rsm_api::routes::body;
use rsm_api::routes::settings::{change, create};
use rsm_shared::stream::rendition::Rendition;
use rsm_viewing::hls::playlist::{PlaylistText, mark_viewer, viewer_id};
use rsm_viewing::http::origin::{OriginDecision, OriginPolicy};
use serde_json::Map;

/// A worker's playlist.
pub fn playlist(data: &[u8]) {
    let _ = viewer_id(&String::from_utf8_lossy(data));
    let Some(playlist) = PlaylistText::read(data.to_vec()) else {
        assert!(std::str::from_utf8(data).is_err());
        return;
    };
    assert_eq!(playlist.bytes(), data);
    assert!(playlist.patience() <= Duration::from_secs(90));
    let offered = Rendition::ALL.into_iter().filter(|rendition| playlist.offers(*rendition)).count();
    assert!(offered == 0 || !data.is_empty());
    let marked = mark_viewer(playlist.as_str(), "", 7);
    assert_eq!(marked.lines().count(), playlist.as_str().lines().count(), "no line comes or goes");
    for (line, before) in marked.lines().zip(playlist.as_str().lines()) {
        let is_uri = !before.is_empty() && !before.starts_with('#');
        assert!(!is_uri || line.ends_with("viewer=0000000000000007"), "{line} has no viewer");
    }
}

/// The body of a request that makes or changes a link.
pub fn link_body(data: &[u8]) {
    let Ok(members) = body::parse(data) else { return };
    let Ok(link) = create(members.clone()) else { return };
    let settings = link.settings;
    let url = settings.url.as_url();
    assert!(url.username().is_empty() && url.password().is_none());
    assert_eq!(change(Map::new(), &settings).ok().as_ref(), Some(&settings), "no member changes nothing");
    let again = change(members, &settings).ok();
    assert_eq!(again.map(|again| again.url), Some(settings.url), "the same again is the same address");
}

/// The Origin and Host headers of a request.
pub fn origin(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok((origin, host, loopback)) = <(&str, Option<&str>, bool)>::arbitrary(&mut input) else { return };
    let listen = if loopback { ([127, 0, 0, 1], 8080) } else { ([192, 0, 2, 7], 8080) };
    let strict = OriginPolicy::new(&[], listen.into());
    assert_eq!(strict.judge(None, host), OriginDecision::Absent);
    let verdict = strict.judge(Some(origin), host);
    if verdict != OriginDecision::Foreign {
        let (scheme, authority) = origin.split_once("://").expect("only an origin is not foreign");
        assert!(["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()));
        assert!(!authority.contains(['/', '@', '?', '#']), "{origin} is more than an origin");
    }
    assert!(loopback || verdict != OriginDecision::Allowed, "nobody is allowed");
    let open = OriginPolicy::new(&[origin.to_owned()], listen.into());
    let allowed = open.judge(Some(origin), host);
    let expected = if verdict == OriginDecision::Same { verdict.clone() } else { OriginDecision::Listed };
    assert!(
        verdict == OriginDecision::Foreign || allowed == expected,
        "an origin that is named has not less than before"
    );
}
