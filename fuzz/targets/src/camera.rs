//! Answers of a camera, and messages about it.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use arbitrary::{Arbitrary as _, Unstructured};
use rsm_media::parameters::VideoCodec;
use rsm_shared::stream::camera_link::{CameraUrl, Credentials};
use rsm_shared::stream::secret::Secret;
use rsm_shared::stream::spec::{HlsParams, StreamSpec, Transport};
use rsm_worker::source::answers::{Answers, Stop};
use rsm_worker::source::offer::{Offered, take};
use rsm_worker::source::redact::redact;
use rsm_worker::source::redirect::Redirects;
use rsm_worker::source::whole::{Verdict, Whole};

const CODECS: [VideoCodec; 3] = [VideoCodec::H264, VideoCodec::H265, VideoCodec::Jpeg];
const CAMERA: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
/// Most redirections of a session, and one.
const HOPS: usize = 4;

/// RTSP of a camera; the first byte is the size of the pieces in which it arrives. A redirection is followed.
pub fn answers(data: &[u8]) {
    let Some((cut, data)) = data.split_first() else { return };
    let (whole, passed, status) = read([data].into_iter());
    // The output is the same for every way of cutting the input.
    let (cut, cut_passed, cut_status) = read(data.chunks(usize::from(*cut).max(1)));
    assert_eq!((&cut, cut_status), (&whole, status));
    assert_eq!(cut_passed, passed);
    if let Err(Stop::Moved(status, location)) = whole {
        assert!((300..400).contains(&status) && status != 304);
        for link in ["rtsp://camera.example/stream", "rtsps://[2001:db8::7]:8322/a/b?c=d"] {
            follow(link, status, location.as_deref());
        }
    }
}

fn read<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Result<(), Stop>, Vec<u8>, Option<u16>) {
    let (mut answers, mut out) = (Answers::new(CAMERA), Vec::new());
    let read = chunks.map(|chunk| answers.take(chunk, &mut out)).find(Result::is_err).unwrap_or(Ok(()));
    (read, out, answers.status())
}

fn follow(link: &str, status: u16, location: Option<&str>) {
    let hls =
        HlsParams { segment_seconds: 2, window_segments: 6, part_ms: 0, always_on: false, renditions: <_>::default() };
    let credentials = Credentials { username: "user".into(), password: Secret::new("secret") };
    let url = CameraUrl::parse(link).expect("the link is one").url;
    let mut spec = StreamSpec {
        url,
        credentials: Some(credentials),
        transport: Transport::Auto,
        tls_insecure: false,
        exclusive: false,
        hls,
    };
    let mut redirects = Redirects::new(&spec.url);
    for hop in 0..=HOPS {
        let Ok(next) = redirects.follow(&spec, status, location) else { return };
        assert!(hop < HOPS, "no more redirections are followed");
        assert!(next.credentials.is_none() || next.url.host().eq_ignore_ascii_case(spec.url.host()));
        assert!(spec.url.scheme() == "rtsp" || next.url.scheme() == "rtsps", "TLS is not left");
        assert!(next.url.as_url().username().is_empty() && next.url.as_url().password().is_none());
        spec = next;
    }
}

/// Pictures that may be torn, and the choice of streams.
pub fn pictures(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(codec) = input.choose(&CODECS).copied() else { return };
    let (mut whole, mut at) = (Whole::default(), Instant::now());
    let mut broken = false;
    while let Ok((is_key, lost, after_ms, unit)) = <(bool, bool, u16, &[u8])>::arbitrary(&mut input) {
        if input.is_empty() {
            break;
        }
        at += Duration::from_millis(after_ms.into());
        broken = (broken || lost) && !is_key;
        let verdict = whole.judge(codec, is_key, lost, unit, at);
        assert!(!(broken && verdict == Verdict::Show), "what was made from a torn picture is shown");
        let text = String::from_utf8_lossy(unit);
        let words: Vec<_> = text.split(' ').collect();
        let offered: Vec<_> = words.chunks_exact(2).map(|two| Offered { media: two[0], encoding: two[1] }).collect();
        if let Ok(taken) = take(&offered) {
            assert!(taken.video.0 < offered.len() && taken.audio.is_none_or(|audio| audio.0 < offered.len()));
        }
    }
}

/// Words of a library, with a user name and a password in them.
pub fn redacted(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok((username, password, before, after)) = <(&str, &str, &str, &str)>::arbitrary(&mut input) else { return };
    let credentials = Credentials { username: username.into(), password: Secret::new(password) };
    let text = format!("{before}rtsp://{username}:{password}@host/{after} {password}");
    redact(&text, None);
    let shown = redact(&text, Some(&credentials));
    assert!(shown.chars().count() <= 400 && !shown.chars().any(char::is_control));
    // Shorter words are everywhere; with other characters the mask or a replaced line end may look the same.
    if password.len() >= 3 && password.bytes().all(|b| b.is_ascii_alphanumeric()) {
        assert!(!shown.contains(password), "{shown:?} shows {password:?}");
    }
}
