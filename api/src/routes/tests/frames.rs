use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use rsm_shared::bus::demand::Demands;
use rsm_shared::bus::frames::{FramePublisher, Published};
use rsm_shared::stream::jpeg_width::JpegWidth;
use rsm_shared::stream::names::Zone;
use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::state::{Reason, ReasonCode, StreamState};
use rsm_shared::wire::frame_headers::FrameHeaders;
use rsm_shared::wire::messages::DemandMessage;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::*;

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// An API and a worker's side of the same NATS server.
pub(super) struct Stage {
    pub(super) api: Api,
    publisher: FramePublisher,
    pub(super) worker: Bus,
    _nats: Nats,
}

impl Stage {
    pub(super) async fn start(flags: &[(&str, &str)]) -> Self {
        let nats = Nats::start().await;
        let mut all = vec![("nats.urls", nats.url.as_str())];
        all.extend(flags);
        let api = Api::start_with(&all).await;
        let worker = Bus::connect(&api.app.viewing.config.nats, Purpose::Frames, "test-worker").await.unwrap();
        until("the connection", || worker.connected(), |connected| *connected).await;
        Self { publisher: FramePublisher::new(worker.clone()), api, worker, _nats: nats }
    }

    pub(super) async fn publish(&self, slug: &Slug, owner: (u64, u64), seq: u64, jpeg: &[u8]) {
        self.publish_in(None, slug, owner, seq, jpeg).await;
    }

    pub(super) async fn publish_in(
        &self,
        width: Option<JpegWidth>,
        slug: &Slug,
        owner: (u64, u64),
        seq: u64,
        jpeg: &[u8],
    ) {
        let now = u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap();
        let headers = FrameHeaders {
            fence: fence(owner.0, owner.1),
            seq,
            captured_at_us: now,
            published_at_us: now,
            width: 320,
            height: 180,
        };
        let jpeg = Bytes::copy_from_slice(jpeg);
        assert_eq!(self.publisher.publish(&Zone::default_zone(), slug, width, &headers, jpeg).await, Published::Sent);
    }

    /// Publishes until one arrives: the subscription takes a moment.
    pub(super) async fn warm_up(&self, socket: &mut Socket, slug: &Slug, owner: (u64, u64)) -> u64 {
        for seq in 1..500 {
            self.publish(slug, owner, seq, b"warm-up").await;
            if tokio::time::timeout(Duration::from_millis(20), next_frame(socket)).await.is_ok() {
                while tokio::time::timeout(Duration::from_millis(50), next_frame(socket)).await.is_ok() {}
                return seq;
            }
        }
        panic!("no frame arrived");
    }

    pub(super) async fn watch(&self, path: &str) -> Socket {
        let url = format!("ws://{}{path}", self.api.address);
        tokio::time::timeout(DEADLINE, tokio_tungstenite::connect_async(url)).await.unwrap().unwrap().0
    }
}

pub(super) async fn next(socket: &mut Socket) -> Message {
    loop {
        let message = tokio::time::timeout(DEADLINE, socket.next()).await.expect("a message in time").unwrap().unwrap();
        if !message.is_ping() && !message.is_pong() {
            return message;
        }
    }
}

pub(super) async fn next_frame(socket: &mut Socket) -> Bytes {
    match next(socket).await {
        Message::Binary(bytes) => bytes,
        other => panic!("expected a frame, got {other:?}"),
    }
}

pub(super) async fn close_of(socket: &mut Socket) -> (u16, String) {
    loop {
        if let Message::Close(Some(frame)) = next(socket).await {
            return (frame.code.into(), frame.reason.to_string());
        }
    }
}

async fn next_demand(ear: &mut Demands) -> (Slug, DemandMessage) {
    tokio::time::timeout(DEADLINE, ear.next()).await.expect("demand in time").unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_reach_viewers_and_a_stale_owners_do_not() {
    let stage = Stage::start(&[]).await;
    let entry = stage.api.add_one().await;
    let slug = entry.slug.clone();
    let mut ear = Demands::open(&stage.worker, &[Zone::default_zone()]).await.unwrap();
    stage.worker.flush().await;
    let begun = Instant::now();
    let mut one = stage.watch(&format!("/ws/stream/{slug}/")).await;
    let (told, demand) = next_demand(&mut ear).await;
    println!("demand told {:?} after the viewer began to connect", begun.elapsed());
    assert_eq!(told, slug);
    assert_eq!(demand.demand.jpeg, Some(stage.api.app.viewing.config.mjpeg));
    let mut two = stage.watch(&format!("/ws/stream/{slug}")).await;
    let seq = stage.warm_up(&mut one, &slug, (5, 1)).await;
    while tokio::time::timeout(Duration::from_millis(100), next_frame(&mut two)).await.is_ok() {}

    // A frame by a stale owner, one seen before, and one without headers reach no viewer.
    stage.publish(&slug, (4, 9), 1_000_000, b"stale owner").await;
    stage.publish(&slug, (5, 1), seq, b"seen before").await;
    stage.publish(&slug, (5, 1), seq + 1, b"next").await;
    for socket in [&mut one, &mut two] {
        assert_eq!(&next_frame(socket).await[..], b"next");
    }
    // A new owner counts from 1; from then on the old one is stale.
    stage.publish(&slug, (5, 2), 1, b"new owner").await;
    assert_eq!(&next_frame(&mut one).await[..], b"new owner");
    stage.publish(&slug, (5, 1), seq + 2, b"old owner").await;
    stage.publish(&slug, (5, 2), 2, b"newest").await;
    assert_eq!(&next_frame(&mut one).await[..], b"newest");
    let numbers = stage.api.get("/metrics").await.text().await.unwrap();
    assert!(numbers.contains("rsm_stale_frames_total 3"), "{numbers}");
    assert!(numbers.contains("rsm_viewers{kind=\"mjpeg\"} 2"), "{numbers}");
    assert_eq!(stage.api.app.viewing.hub.subscribed(), 1, "one subscription for two viewers");

    drop((one, two));
    let ended = async {
        loop {
            let (_, demand) = next_demand(&mut ear).await;
            if !demand.demand.any() {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, ended).await.expect("the end of demand is told");
    until("the subscription", || stage.api.app.viewing.hub.subscribed(), |n| *n == 0).await;
    assert_eq!(stage.api.app.viewing.seats.taken(), 0);

    // The newest frame is remembered while there is no viewer.
    let mut late = stage.watch(&format!("/ws/stream/{slug}/")).await;
    stage.warm_up(&mut late, &slug, (6, 1)).await;
    stage.publish(&slug, (5, 9), 7, b"stale owner").await;
    stage.publish(&slug, (6, 1), 1000, b"fresh").await;
    assert_eq!(&next_frame(&mut late).await[..], b"fresh");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_viewer_skips_to_the_newest_and_delays_nobody() {
    let stage = Stage::start(&[]).await;
    let slug = stage.api.add_one().await.slug.clone();
    let mut fast = stage.watch(&format!("/ws/stream/{slug}/")).await;
    let mut slow = stage.watch(&format!("/ws/stream/{slug}/")).await;
    let begin = stage.warm_up(&mut fast, &slug, (1, 1)).await;
    // 300 frames of 200 kB: far more than the sockets' buffers hold. The slow viewer reads nothing meanwhile.
    let mut frame = vec![0_u8; 200_000];
    for n in 1..=300_u64 {
        frame[..8].copy_from_slice(&n.to_be_bytes());
        stage.publish(&slug, (1, 1), begin + n, &frame).await;
        let seen = next_frame(&mut fast).await;
        assert_eq!(seen[..8], n.to_be_bytes(), "the fast viewer misses nothing");
    }
    let mut seen = Vec::new();
    while seen.last() != Some(&300) {
        let frame = next_frame(&mut slow).await;
        if frame.len() > 8 {
            seen.push(u64::from_be_bytes(frame[..8].try_into().unwrap()));
        }
    }
    println!("the slow viewer saw {} of 300", seen.len());
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(seen.len() < 200, "{}", seen.len());
    let numbers = stage.api.get("/metrics").await.text().await.unwrap();
    let skipped = format!("rsm_viewer_frames_skipped_total {}", 300 - seen.len());
    assert!(numbers.contains(&skipped), "{skipped}");
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_are_told_changes_and_the_end() {
    let stage = Stage::start(&[]).await;
    let entry = stage.api.add_one().await;
    let slug = entry.slug.clone();
    let mut socket = stage.watch(&format!("/ws/stream/{slug}/?events=1")).await;
    let told = |message: Message| -> Value { serde_json::from_str(message.to_text().unwrap()).unwrap() };
    let first = told(next(&mut socket).await);
    assert_eq!(
        (&first["type"], &first["state"], &first["slug"]),
        (&json!("state"), &json!("idle"), &json!(slug.as_str()))
    );
    assert_eq!(first["reason"], Value::Null);
    stage.api.show(&entry, |view| view.restarts += 1);
    let reason = Reason { code: ReasonCode::Stalled, text: "no picture for 5 s".into() };
    stage.api.show(&entry, |view| {
        view.state = StreamState::Reconnecting;
        view.reason = Some(reason);
    });
    let second = told(next(&mut socket).await);
    assert_eq!((&second["state"], &second["reason"]), (&json!("reconnecting"), &json!("no picture for 5 s")));

    stage.api.call(Method::POST, &format!("/video/{slug}/stop")).send().await.unwrap();
    assert_eq!(close_of(&mut socket).await, (1000, "stream stopped".into()));
    stage.api.call(Method::POST, &format!("/video/{slug}/start")).send().await.unwrap();
    let mut socket = stage.watch(&format!("/ws/stream/{slug}/")).await;
    stage.api.call(Method::DELETE, &format!("/video/{slug}/")).send().await.unwrap();
    assert_eq!(close_of(&mut socket).await, (1000, "stream removed".into()));
    let slug = stage.api.add_one().await.slug.clone();
    let mut socket = stage.watch(&format!("/ws/stream/{slug}/")).await;
    stage.api.stop.cancel();
    assert_eq!(close_of(&mut socket).await.0, 1001);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_every_seat_is_taken_the_next_viewer_is_told_before_the_upgrade() {
    let stage = Stage::start(&[("api.max_viewers", "1")]).await;
    let slug = stage.api.add_one().await.slug.clone();
    let path = format!("/ws/stream/{slug}/");
    let mut first = stage.watch(&path).await;
    let refused = tokio_tungstenite::connect_async(format!("ws://{}{path}", stage.api.address)).await;
    let Err(tokio_tungstenite::tungstenite::Error::Http(answer)) = refused else { panic!("{refused:?}") };
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "5");
    first.close(None).await.unwrap();
    until("the seat", || stage.api.app.viewing.seats.taken(), |taken| *taken == 0).await;
    stage.watch(&path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_viewer_says_is_bounded_and_not_used() {
    let stage = Stage::start(&[]).await;
    let slug = stage.api.add_one().await.slug.clone();
    let mut socket = stage.watch(&format!("/ws/stream/{slug}/")).await;
    socket.send(Message::text("start rtsp://10.0.0.9/")).await.unwrap();
    stage.warm_up(&mut socket, &slug, (1, 1)).await;
    socket.send(Message::binary(vec![0; 8192])).await.unwrap();
    assert_eq!(close_of(&mut socket).await.0, 1009);
    let mut hello = stage.watch("/ws/hellostream/").await;
    assert_eq!(next(&mut hello).await.to_text().unwrap(), "Hello, world!");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_the_newest_frame_and_scaled_when_asked() {
    let stage = Stage::start(&[]).await;
    let entry = stage.api.add_one().await;
    let slug = entry.slug.clone();
    let mut jpeg = Vec::new();
    image::RgbImage::new(320, 180).write_with_encoder(image::codecs::jpeg::JpegEncoder::new(&mut jpeg)).unwrap();
    let path = format!("/video/{slug}/snapshot.jpg");
    let publishing = async {
        until("the demand", || entry.demand.current(stage.api.app.viewing.config.mjpeg).jpeg, Option::is_some).await;
        for seq in 1..=200 {
            stage.publish(&slug, (1, 1), seq, &jpeg).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let asking = async {
        let answer = stage.api.get(&path).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(
            (&answer.headers()["content-type"], &answer.headers()["cache-control"]),
            (&"image/jpeg".parse().unwrap(), &"no-store".parse().unwrap())
        );
        assert!(answer.headers()["x-captured-at"].to_str().unwrap().parse::<jiff::Timestamp>().is_ok());
        assert!(answer.headers()["last-modified"].to_str().unwrap().ends_with("GMT"));
        assert_eq!(answer.bytes().await.unwrap(), jpeg);
        for (query, width) in [("?width=160", 160), ("?width=640", 320), ("?max_age_ms=0", 320)] {
            let answer = stage.api.get(&format!("{path}{query}")).await;
            let picture = image::load_from_memory(&answer.bytes().await.unwrap()).unwrap();
            assert_eq!(picture.width(), width, "{query}");
        }
    };
    tokio::join!(publishing, asking);
}
