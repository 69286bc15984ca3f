//! Input and configuration of people, and messages on NATS.

use std::fmt::Debug;

use arbitrary::{Arbitrary as _, Unstructured};
use rsm_shared::config::Config;
use rsm_shared::stream::camera_link::{CameraUrl, MAX_URL_LEN};
use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::names::{SessionId, WorkerId, Zone};
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::frame_headers::FrameHeaders;
use rsm_shared::wire::messages::{
    Claim, Control, ControlReply, DemandMessage, Desired, DirectoryRecord, Event, Heartbeat, HeartbeatReply,
    RelayHello, Stop, Ticket,
};
use rsm_shared::wire::subjects;
use serde_json::Value;

/// The address of a camera, and its parts.
pub fn camera_url(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    names(&text);
    let Ok(parsed) = CameraUrl::parse(&text) else { return };
    let (url, shown) = (&parsed.url, parsed.url.to_string());
    assert!(url.as_url().username().is_empty() && url.as_url().password().is_none());
    assert!(!url.host().is_empty() && matches!(url.scheme(), "rtsp" | "rtsps"));
    // Characters other than ASCII grow when they are escaped.
    if shown.len() <= MAX_URL_LEN {
        assert_eq!(CameraUrl::parse(&shown).as_ref().map(|again| &again.url), Ok(url));
    }
    let masked = url.masked(parsed.username.as_deref(), parsed.password.is_some());
    if masked.len() <= MAX_URL_LEN {
        let again = CameraUrl::parse(&masked).expect("what is shown can be sent back");
        assert_eq!((&again.url, &again.username), (url, &parsed.username));
    }
    assert!(!url.label().contains(['@', '=', '&']), "{} may hold a password", url.label());
    assert!(Slug::parse(Slug::generate(&url.label()).as_str()).is_ok());
}

fn names(text: &str) {
    if let Ok(slug) = Slug::parse(text) {
        assert_eq!(subjects::slug_of(&subjects::stop(&Zone::default_zone(), &slug)), Some(slug));
    }
    let _ = subjects::slug_of(text);
    if let Some(fence) = Fence::from_dir_name(text) {
        assert_eq!(fence.dir_name(), text, "one fence has one spelling");
    }
    if let Ok(fence) = text.parse::<Fence>() {
        assert_eq!(fence.to_string(), text);
    }
    assert!(WorkerId::parse(WorkerId::from_lossy(text).as_str()).is_ok());
    assert!(Slug::parse(Slug::generate(text).as_str()).is_ok());
    if let Ok(session) = SessionId::parse(text) {
        assert!(!session.as_str().contains(['.', '*', '>', ' ']));
    }
}

/// Every message of the control plane, and the headers of frames.
pub fn wire(data: &[u8]) {
    message::<Desired>(data);
    message::<Ticket>(data);
    message::<Claim>(data);
    message::<Heartbeat>(data);
    message::<HeartbeatReply>(data);
    message::<Control>(data);
    message::<ControlReply>(data);
    message::<Stop>(data);
    message::<Event>(data);
    message::<DemandMessage>(data);
    message::<DirectoryRecord>(data);
    message::<RelayHello>(data);
    let text = String::from_utf8_lossy(data);
    let values: Vec<_> = text.split('\n').collect();
    let names = ["Rsm-Fence", "Rsm-Seq", "Rsm-Captured-At", "Rsm-Published-At", "Rsm-Width", "Rsm-Height"];
    let header = |wanted| names.iter().position(|name| *name == wanted).and_then(|at| values.get(at).copied());
    if let Some(headers) = FrameHeaders::read(header) {
        let pairs = headers.to_pairs();
        let written = |wanted| pairs.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str());
        assert_eq!(FrameHeaders::read(written), Some(headers));
    }
}

/// A message that is read and written reads the same.
fn message<T: serde::de::DeserializeOwned + serde::Serialize + PartialEq + Debug>(data: &[u8]) {
    let Ok(read) = serde_json::from_slice::<T>(data) else { return };
    let written = serde_json::to_vec(&read).expect("a message can be written");
    let value: Value = serde_json::from_slice(&written).expect("and is JSON");
    assert!(value.is_object());
    assert_eq!(serde_json::from_slice::<T>(&written).ok().as_ref(), Some(&read));
}

/// The file of the configuration, and a few flags over it.
pub fn config(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok((key, value)) = <(u8, &str)>::arbitrary(&mut input) else { return };
    let keys = ["api.listen", "api.allowed_origins", "nats.urls", "worker.zones", "hls.renditions", "mjpeg.quality"];
    let flag = keys.get(usize::from(key)).map(|key| (*key, value.to_owned()));
    let text = String::from_utf8_lossy(input.take_rest());
    if let Ok(config) = Config::from_text(&text, flag.as_slice()) {
        assert!(!config.show().is_empty() && config.zones().is_ok());
    }
}
