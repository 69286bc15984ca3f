//! Opening sessions: the outcome of a camera's answers, with either carrier.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rsm_media::parameters::AudioCodec;
use rsm_shared::stream::camera_link::{CameraUrl, Credentials};
use rsm_shared::stream::rendition::RenditionSet;
use rsm_shared::stream::spec::{HlsParams, StreamSpec, Transport};
use rsm_worker::pipeline::elements;
use rsm_worker::source::carrier::{Carrier, OpenTiming};
use rsm_worker::source::error::SourceError;
use rsm_worker::source::open::{AddressPolicy, open};
use rsm_worker::source::{Source, SourceUnit};

use crate::camera::CameraProcess;
use crate::scenes::ScriptedCamera;
use crate::scenes::media::{Offer, Rtp, ScriptedClip, Section};
use crate::scenes::scene::{Scene, SceneEnd, Step};
use crate::scripted::{Reply, Scripted};

const BOTH: [Carrier; 2] = [Carrier::Retina, Carrier::Rtspsrc];
const RETRY: Duration = Duration::from_secs(300);

fn spec(url: &str, transport: Transport) -> StreamSpec {
    let parsed = CameraUrl::parse(url).unwrap();
    let credentials = parsed.username.zip(parsed.password);
    StreamSpec {
        url: parsed.url,
        credentials: credentials.map(|(username, password)| Credentials { username, password }),
        transport,
        tls_insecure: false,
        exclusive: false,
        hls: HlsParams {
            segment_seconds: 1,
            window_segments: 6,
            part_ms: 0,
            always_on: false,
            renditions: RenditionSet::NONE,
        },
    }
}

async fn open_with(
    spec: &StreamSpec,
    carrier: Carrier,
    policy: &AddressPolicy,
    step: u64,
) -> Result<Source, SourceError> {
    elements::init().unwrap();
    let timing = OpenTiming { step: Duration::from_secs(step), auth_retry: RETRY };
    open(spec, carrier, policy, timing, std::future::pending()).await.unwrap()
}

/// With a deadline that a busy machine keeps.
async fn try_open(url: &str, carrier: Carrier) -> Result<Source, SourceError> {
    open_with(&spec(url, Transport::Auto), carrier, &AddressPolicy::any(), 10).await
}

async fn error(url: &str, carrier: Carrier) -> SourceError {
    try_open(url, carrier).await.err().expect("it opened")
}

/// The next unit that `wanted` wants.
async fn next(source: &mut Source, wanted: impl Fn(&SourceUnit) -> bool) -> SourceUnit {
    let found = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            let unit = source.next().await.unwrap();
            if wanted(&unit) {
                return unit;
            }
        }
    });
    found.await.unwrap()
}

/// Reads a picture and gives the session back.
async fn shows_a_picture(opened: Result<Source, SourceError>) {
    let mut source = opened.unwrap();
    let unit = next(&mut source, |unit| unit.audio.is_none()).await;
    assert_eq!((unit.video.width, unit.video.height), (320, 180));
    source.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_carriers_say_the_same_of_a_status() {
    for (status, want) in [
        (401, SourceError::CredentialsNeeded(401, RETRY)),
        (403, SourceError::CredentialsNeeded(403, RETRY)),
        (404, SourceError::NotFound(404)),
        (453, SourceError::Busy(453)),
        (461, SourceError::TransportRefused),
        (500, SourceError::Status(500)),
        (503, SourceError::Busy(503)),
    ] {
        let camera = Scripted::start(move |method, _| match method {
            "OPTIONS" => Reply::status(200, "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"),
            _ => Reply::status(status, "WWW-Authenticate: Basic realm=\"x\"\r\n"),
        });
        for carrier in BOTH {
            assert_eq!(error(&camera.url(), carrier).await, want, "{status} {carrier:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_carriers_say_the_same_of_what_is_no_answer() {
    let web = Scripted::start(|_, _| Reply::Bytes("HTTP/1.1 400 Bad Request\r\n\r\n".into()));
    let deaf = Scripted::start(|_, _| Reply::End);
    let silent = Scripted::start(|_, _| Reply::Silence);
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for carrier in BOTH {
        assert_eq!(error(&web.url(), carrier).await, SourceError::NotRtsp, "{carrier:?}");
        assert_eq!(error(&deaf.url(), carrier).await, SourceError::Ended, "{carrier:?}");
        assert_eq!(error(&format!("rtsp://{gone}/"), carrier).await, SourceError::Refused, "{carrier:?}");
        assert_eq!(error("rtsp://no-such-host.invalid/", carrier).await, SourceError::NameNotFound, "{carrier:?}");
        let mute = spec(&silent.url(), Transport::Auto);
        let late = open_with(&mute, carrier, &AddressPolicy::any(), 1).await.err();
        assert_eq!(late, Some(SourceError::NoAnswer(Duration::from_secs(1))), "{carrier:?}");
    }
}

fn sends_to(location: String) -> impl Fn(&str, &str) -> Reply {
    move |_, _| Reply::status(302, &format!("Location: {location}\r\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirection_is_followed_by_both_carriers() {
    let camera = CameraProcess::start(&["--username", "admin"]);
    for status in [301, 302, 303, 305, 307] {
        let location = camera.url("");
        let first = Scripted::start(move |_, _| Reply::status(status, &format!("Location: {location}\r\n")));
        let second = Scripted::start(sends_to(first.url()));
        let link = second.url().replace("rtsp://", "rtsp://admin:right%2Fone@");
        for carrier in BOTH {
            shows_a_picture(try_open(&link, carrier).await).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirection_never_leads_to_an_address_that_is_denied() {
    let denied: IpAddr = "127.0.0.2".parse().unwrap();
    let policy = AddressPolicy::new(move |ip| ip != denied);
    let inside = Scripted::at(denied, |_, _| Reply::status(200, ""));
    let camera = Scripted::start(sends_to(inside.url()));
    for carrier in BOTH {
        let opened = open_with(&spec(&camera.url(), Transport::Auto), carrier, &policy, 10).await;
        assert_eq!(opened.err(), Some(SourceError::AddressDenied), "{carrier:?}");
    }
    assert_eq!(inside.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_do_not_follow_to_another_host() {
    let other = Scripted::start(|_, _| Reply::status(401, "WWW-Authenticate: Basic realm=\"x\"\r\n"));
    let camera = Scripted::start(sends_to(format!("rtsp://localhost:{}/cam1", other.port())));
    let link = camera.url().replace("rtsp://", "rtsp://admin:secret@");
    for carrier in BOTH {
        assert_eq!(error(&link, carrier).await, SourceError::CredentialsNeeded(401, RETRY), "{carrier:?}");
    }
    let asked = other.asked().join("\n");
    assert!(asked.contains("DESCRIBE") || asked.contains("OPTIONS"));
    assert!(!asked.contains("Authorization"), "{asked}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirection_to_nowhere_or_in_a_circle_is_told() {
    let nowhere = Scripted::start(|_, _| Reply::status(301, ""));
    let web = Scripted::start(sends_to("http://127.0.0.1/".into()));
    let circle = Scripted::start(sends_to("/cam1".into()));
    for carrier in BOTH {
        assert_eq!(error(&nowhere.url(), carrier).await, SourceError::BadRedirect(301), "{carrier:?}");
        assert_eq!(error(&web.url(), carrier).await, SourceError::BadRedirect(302), "{carrier:?}");
        assert_eq!(error(&circle.url(), carrier).await, SourceError::RedirectLoop(302), "{carrier:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_come_by_datagrams_and_interleaved() {
    let camera = CameraProcess::start(&[]);
    for transport in [Transport::Tcp, Transport::Udp] {
        let stream = spec(&camera.url(""), transport);
        shows_a_picture(open_with(&stream, Carrier::Rtspsrc, &AddressPolicy::any(), 10).await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_address_of_a_name_is_tried() {
    let camera = CameraProcess::start(&[]);
    // The camera listens on one of the addresses of localhost.
    let link = camera.url("").replace("127.0.0.1", "localhost");
    for carrier in BOTH {
        shows_a_picture(try_open(&link, carrier).await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rtspsrc_takes_every_codec_interleaved_and_by_datagrams() {
    for (codec, audio, parameters) in [
        ("h264", "aac", Some((AudioCodec::Aac, 2))),
        ("h265", "pcma", Some((AudioCodec::Pcma, 0))),
        ("mjpeg", "pcmu", Some((AudioCodec::Pcmu, 0))),
        ("h264", "none", None),
    ] {
        let size = ["--width", "320", "--height", "184"];
        let camera = CameraProcess::start(&[&["--codec", codec, "--audio", audio][..], &size].concat());
        for transport in [Transport::Tcp, Transport::Udp] {
            let stream = spec(&camera.url(""), transport);
            let mut source = open_with(&stream, Carrier::Rtspsrc, &AddressPolicy::any(), 10).await.unwrap();
            let picture = next(&mut source, |unit| unit.audio.is_none() && unit.is_key).await;
            let want = if codec == "mjpeg" { "jpeg" } else { codec };
            assert_eq!((picture.video.codec.as_str(), picture.video.width, picture.video.height), (want, 320, 184));
            assert_eq!(picture.data.starts_with(&[0xff, 0xd8]), codec == "mjpeg");
            if let Some((want, min_codec_data)) = parameters {
                let heard = next(&mut source, |unit| unit.audio.is_some()).await;
                let audio = heard.audio.unwrap();
                assert!(audio.codec == want && audio.codec_data.len() >= min_codec_data, "{audio:?}");
                assert!(audio.sample_rate >= 8000 && audio.channels >= 1, "{audio:?}");
                // One time for both.
                let picture = next(&mut source, |unit| unit.audio.is_none()).await;
                let apart = Duration::from_nanos(picture.time_ns.abs_diff(heard.time_ns));
                assert!(apart < Duration::from_secs(1), "{apart:?}");
            }
            source.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rtspsrc_leaves_out_torn_pictures_and_what_was_made_from_them() {
    let clip = ScriptedClip::h264();
    let mut rtp = Rtp::new(0, 96);
    let mut media = Vec::new();
    for (number, units) in clip.pictures.iter().enumerate() {
        let mut packets = rtp.packets(units, number as u32 * 9000, false);
        match number {
            // Its last packet is missing.
            1 => drop(packets.pop()),
            // So is this key frame's second one, of several.
            5 => drop(packets.remove(3)),
            _ => {}
        }
        media.push(Step::Send(packets.concat()));
    }
    media.extend(clip.steps(&mut rtp, (10..40).map(|n| n * 9000), Duration::ZERO));
    let scene = Scene { end: SceneEnd::Silence, ..Scene::new(Offer::default().and(Section::h264()), media) };
    let camera = ScriptedCamera::start(vec![scene]).await;
    let mut source = try_open(&camera.url(""), Carrier::Rtspsrc).await.unwrap();
    let mut keys = String::new();
    while keys.len() < 10 {
        keys.push(if next(&mut source, |_| true).await.is_key { 'K' } else { 'p' });
    }
    // The first picture, and the pictures from the next whole key frame on.
    assert_eq!(keys, "KKppppKppp");
    assert!(source.left_out().is_some());
    source.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_camera_that_signs_its_own_certificate_is_taken_when_the_link_says_so() {
    let camera = CameraProcess::start(&["--tls", "--username", "admin"]);
    for carrier in BOTH {
        let mut stream = spec(&camera.url("admin:right%2Fone@"), Transport::Auto);
        let opened = open_with(&stream, carrier, &AddressPolicy::any(), 10).await;
        assert_eq!(opened.err(), Some(SourceError::Tls), "{carrier:?}");
        stream.tls_insecure = true;
        shows_a_picture(open_with(&stream, carrier, &AddressPolicy::any(), 10).await).await;
    }
    let plain = CameraProcess::start(&[]);
    let link = plain.url("").replace("rtsp://", "rtsps://");
    assert_eq!(error(&link, Carrier::Retina).await, SourceError::TlsHandshake);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_camera_at_an_ipv6_address_is_taken() {
    let camera = CameraProcess::start(&["--listen", "[::1]:0"]);
    assert!(camera.url("").starts_with("rtsp://[::1]:"));
    for (carrier, transport) in
        [(Carrier::Retina, Transport::Tcp), (Carrier::Rtspsrc, Transport::Tcp), (Carrier::Rtspsrc, Transport::Udp)]
    {
        let stream = spec(&camera.url(""), transport);
        shows_a_picture(open_with(&stream, carrier, &AddressPolicy::any(), 10).await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rtspsrc_says_who_it_is_in_every_way_that_cameras_ask() {
    for method in ["basic", "digest", "both"] {
        let camera = CameraProcess::start(&["--username", "us er@/é", "--auth", method]);
        let stream = spec(&camera.url("us%20er%40%2F%C3%A9:right%2Fone@"), Transport::Tcp);
        shows_a_picture(open_with(&stream, Carrier::Rtspsrc, &AddressPolicy::any(), 10).await).await;
        let wrong = camera.url("us%20er%40%2F%C3%A9:wrong@");
        assert_eq!(error(&wrong, Carrier::Rtspsrc).await, SourceError::Unauthorized(401, RETRY), "{method}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rtspsrc_tells_when_the_camera_took_a_picture() {
    let mut camera = CameraProcess::start(&[]);
    camera.command("jitter cam1 400");
    let stream = spec(&camera.url(""), Transport::Tcp);
    let mut source = open_with(&stream, Carrier::Rtspsrc, &AddressPolicy::any(), 10).await.unwrap();
    // Without the camera's reports it is when the picture arrived.
    next(&mut source, |unit| {
        let arrived = SystemTime::now() - unit.arrived.elapsed();
        arrived.duration_since(unit.captured).is_ok_and(|late| late > Duration::from_millis(50))
    })
    .await;
    source.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_camera_without_usable_video_is_told_what_it_offers() {
    let av1 = "m=video 0 RTP/AVP 97\r\na=rtpmap:97 AV1/90000\r\na=control:a\r\n";
    let pcmu = "m=audio 0 RTP/AVP 0\r\na=control:b\r\n";
    for (streams, offered, carriers) in [
        (format!("{pcmu}{av1}"), vec!["av1".to_owned()], &BOTH[..]),
        (pcmu.to_owned(), vec![], &BOTH[..]),
        // Retina takes this for a broken description, which rtspsrc is then tried with.
        (String::new(), vec![], &[Carrier::Rtspsrc]),
    ] {
        let camera = Scripted::start(move |method, _| match method {
            "DESCRIBE" => Reply::description(&streams),
            _ => Reply::status(200, "Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"),
        });
        for carrier in carriers {
            assert_eq!(error(&camera.url(), *carrier).await, SourceError::NoVideo(offered.clone()), "{carrier:?}");
        }
        assert!(!camera.asked().join("\n").contains("PLAY"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_camera_that_wants_datagrams_gets_its_way_and_is_told_when_none_come() {
    let camera = Scripted::start(|method, request| match method {
        "DESCRIBE" => Reply::description("m=video 0 RTP/AVP 26\r\na=control:trackID=0\r\n"),
        "SETUP" if request.contains("interleaved") => Reply::status(461, ""),
        "SETUP" => {
            let ports = request.split("client_port=").nth(1).unwrap().split(['\r', '\n', ';']).next().unwrap();
            // The camera names another host as the source of its datagrams.
            let ports = format!("client_port={ports};server_port=9-9;source=192.0.2.1");
            Reply::status(200, &format!("Session: 1\r\nTransport: RTP/AVP;unicast;{ports}\r\n"))
        }
        _ => Reply::status(200, "Session: 1\r\n"),
    });
    let auto = spec(&camera.url(), Transport::Auto);
    let opened = open_with(&auto, Carrier::Rtspsrc, &AddressPolicy::any(), 1).await;
    assert_eq!(opened.err(), Some(SourceError::NoDatagrams(Duration::from_secs(1))));
    assert!(camera.asked().iter().any(|request| request.starts_with("TEARDOWN")));
    let tcp = spec(&camera.url(), Transport::Tcp);
    let opened = open_with(&tcp, Carrier::Rtspsrc, &AddressPolicy::any(), 1).await;
    assert_eq!(opened.err(), Some(SourceError::TransportRefused));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rtspsrc_tells_that_the_camera_ended_the_session() {
    let mut camera = CameraProcess::start(&["--audio", "pcma"]);
    let stream = spec(&camera.url(""), Transport::Tcp);
    let mut source = open_with(&stream, Carrier::Rtspsrc, &AddressPolicy::any(), 10).await.unwrap();
    camera.command("close cam1");
    let ended = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            if let Err(error) = source.next().await {
                return error;
            }
        }
    });
    assert_eq!(ended.await.unwrap(), SourceError::Ended);
    source.close().await;
    camera.command("refuse cam1");
    for carrier in BOTH {
        assert_eq!(error(&camera.url(""), carrier).await, SourceError::Busy(503), "{carrier:?}");
    }
}
