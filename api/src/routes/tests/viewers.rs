//! Limits of viewers, rates and widths of frames, and the departure of viewers.

use rsm_shared::bus::demand::Demands;
use rsm_shared::stream::jpeg_width::{JpegWidth, JpegWidths};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::frames::{Socket, Stage, close_of, next, next_frame};
use super::*;

/// Looks at the metrics until a line is there.
async fn counted(stage: &Stage, line: &str) {
    let begun = Instant::now();
    loop {
        let numbers = stage.api.get("/metrics").await.text().await.unwrap();
        if numbers.lines().any(|there| there == line) {
            return;
        }
        assert!(begun.elapsed() < DEADLINE, "{line} is not in {numbers}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A socket after the handshake, for frames that no library sends.
async fn raw(stage: &Stage, path: &str) -> TcpStream {
    let mut socket = TcpStream::connect(stage.api.address).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tokio::time::timeout(DEADLINE, socket.read_u8()).await.unwrap().unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101"), "{head}");
    assert!(head.contains("s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
    assert!(!head.contains("sec-websocket-extensions"), "{head}");
    socket
}

async fn numbered(socket: &mut Socket) -> u64 {
    u64::from_be_bytes(next_frame(socket).await[..8].try_into().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_wants_fewer_frames_gets_the_newest_at_its_time() {
    let stage = Stage::start(&[]).await;
    let slug = stage.api.add_one().await.slug.clone();
    let mut all = stage.watch(&format!("/ws/stream/{slug}/")).await;
    let mut few = stage.watch(&format!("/ws/stream/{slug}/?fps=1")).await;
    let begin = stage.warm_up(&mut all, &slug, (1, 1)).await;
    assert_eq!(&next_frame(&mut few).await[..], b"warm-up");
    for n in 1..=50_u64 {
        stage.publish(&slug, (1, 1), begin + n, &n.to_be_bytes()).await;
        assert_eq!(numbered(&mut all).await, n);
    }
    let mut seen = Vec::new();
    while seen.last() != Some(&50) {
        let frame = next_frame(&mut few).await;
        seen.extend(frame[..].try_into().ok().map(u64::from_be_bytes));
    }
    assert!(seen.len() < 25, "{seen:?}");
    for (query, field) in [("fps=0", "fps"), ("fps=61", "fps"), ("width=15", "width"), ("width=x", "width")] {
        for path in [format!("/ws/stream/{slug}/?{query}"), format!("/video/{slug}/mjpeg?{query}")] {
            assert_eq!(problem(stage.api.get(&path).await, 422).await["field"], field, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn widths_of_one_step_share_a_subscription_and_are_wanted_as_long_as_somebody_watches() {
    let stage = Stage::start(&[]).await;
    let entry = stage.api.add_one().await;
    let slug = entry.slug.clone();
    let mut ear = Demands::open_all(&stage.worker).await.unwrap();
    stage.worker.flush().await;
    let mut tile = stage.watch(&format!("/ws/stream/{slug}/?width=300")).await;
    let mut other = stage.watch(&format!("/ws/stream/{slug}/?width=320")).await;
    let demand = tokio::time::timeout(DEADLINE, ear.next()).await.unwrap().unwrap().unwrap().1.demand;
    let step = JpegWidth::exactly(320).unwrap();
    let scaled = demand.scaled.unwrap();
    assert_eq!((scaled.widths, demand.jpeg), (JpegWidths::NONE.with(step), None));
    assert_eq!(scaled.max_fps, stage.api.app.viewing.config.mjpeg.max_fps);
    assert_eq!(stage.api.app.viewing.hub.subscribed(), 1);
    // The camera's bound is 1280: a request of that width needs no step.
    let _whole = stage.watch(&format!("/ws/stream/{slug}/?width=1280")).await;
    until("a subscription for each width", || stage.api.app.viewing.hub.subscribed(), |n| *n == 2).await;
    until("demand of three viewers", || entry.demand.jpeg_viewers(), |viewers| *viewers == 3).await;

    for seq in 1.. {
        stage.publish(&slug, (1, 1), 1000 + seq, b"whole").await;
        stage.publish_in(Some(step), &slug, (1, 1), seq, b"small").await;
        if let Ok(frame) = tokio::time::timeout(Duration::from_millis(20), next_frame(&mut tile)).await {
            assert_eq!(&frame[..], b"small");
            break;
        }
        assert!(seq < 500, "no frame arrived");
    }
    assert_eq!(&next_frame(&mut other).await[..], b"small");
    let snapshot = stage.api.get(&format!("/video/{slug}/snapshot.jpg?width=320")).await;
    assert_eq!(&snapshot.bytes().await.unwrap()[..], b"small", "what is there is not scaled");
    drop((tile, other));
    until("the end of the demand", || entry.demand.jpeg_viewers(), |viewers| *viewers == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bound_has_its_refusal() {
    let flags = [
        ("api.max_viewers", "3"),
        ("api.max_viewers_per_stream", "2"),
        ("api.max_viewers_per_address", "1"),
        ("api.trusted_proxies", "127.0.0.1"),
    ];
    let stage = Stage::start(&flags).await;
    let mut slugs = Vec::new();
    for _ in 0..3 {
        slugs.push(stage.api.add_one().await.slug.clone());
    }
    let ask = async |stream: usize, from: &str| {
        let path = format!("/video/{}/mjpeg", slugs[stream]);
        stage.api.call(Method::GET, &path).header("x-forwarded-for", from).send().await.unwrap()
    };
    let first = ask(0, "192.0.2.1").await;
    assert_eq!(first.status(), 200);
    let mut held = Vec::new();
    for (stream, from, status, key) in [
        (1, "6.6.6.6, 192.0.2.1", 429, "api.max_viewers_per_address"),
        (0, "192.0.2.2", 200, ""),
        (0, "192.0.2.3", 503, "api.max_viewers_per_stream"),
        (1, "192.0.2.3", 200, ""),
        (2, "192.0.2.4", 503, "api.max_viewers;"),
    ] {
        let answer = ask(stream, from).await;
        if status == 200 {
            assert_eq!(answer.status(), 200, "{from}");
            // Its seat is taken as long.
            held.push(answer);
            continue;
        }
        assert!(answer.headers()["retry-after"].to_str().unwrap().parse::<u32>().is_ok());
        let body = problem(answer, status).await;
        assert!(format!("{};", body["error"].as_str().unwrap()).contains(key), "{body}");
    }
    for reason in ["all", "stream", "address"] {
        counted(&stage, &format!("rsm_viewer_refusals_total{{reason=\"{reason}\"}} 1")).await;
    }
    counted(&stage, "rsm_viewers{kind=\"multipart\"} 3").await;
    drop(first);
    until("the seat", || stage.api.app.viewing.seats.taken(), |taken| *taken == 2).await;
    assert_eq!(ask(2, "192.0.2.1").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_takes_nothing_is_closed_and_counted() {
    let stage = Stage::start(&[("api.viewer_stall_s", "1")]).await;
    let slug = stage.api.add_one().await.slug.clone();
    let mut reading = stage.watch(&format!("/ws/stream/{slug}/")).await;
    let _socket = raw(&stage, &format!("/ws/stream/{slug}/")).await;
    let _answer = stage.api.get(&format!("/video/{slug}/mjpeg")).await;
    until("the viewers", || stage.api.app.viewing.seats.taken(), |taken| *taken == 3).await;
    let begun = Instant::now();
    let mut seq = stage.warm_up(&mut reading, &slug, (1, 1)).await;
    let frame = vec![0; 400_000];
    while stage.api.app.viewing.seats.taken() > 1 {
        assert!(begun.elapsed() < DEADLINE * 2, "{} are there still", stage.api.app.viewing.seats.taken());
        seq += 1;
        stage.publish(&slug, (1, 1), seq, &frame).await;
        next_frame(&mut reading).await;
    }
    counted(&stage, "rsm_viewers_closed_total{reason=\"stalled\"} 2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_stop_viewers_are_told_at_once_and_closed_each_at_its_moment() {
    let stage = Stage::start(&[]).await;
    let slug = stage.api.add_one().await.slug.clone();
    let mut told = stage.watch(&format!("/ws/stream/{slug}/?events=1")).await;
    let first: Value = serde_json::from_str(next(&mut told).await.to_text().unwrap()).unwrap();
    assert_eq!(first["type"], "state");
    let mut other = stage.watch(&format!("/ws/stream/{slug}/")).await;
    let begin = stage.warm_up(&mut other, &slug, (1, 1)).await;
    stage.api.stop.cancel();
    let goodbye = loop {
        let message = next(&mut told).await;
        if let Ok(text) = message.to_text().map(str::to_owned)
            && text.contains("closing")
        {
            break serde_json::from_str::<Value>(&text).unwrap();
        }
    };
    let in_ms = goodbye["in_ms"].as_u64().unwrap();
    assert!((1..=2000).contains(&in_ms), "{goodbye}");
    let late = stage.api.get(&format!("/video/{slug}/mjpeg")).await;
    assert!(late.headers().contains_key("retry-after"));
    problem(late, 503).await;
    assert_eq!(stage.api.get("/health/ready").await.status(), 503);
    stage.publish(&slug, (1, 1), begin + 1, b"one more").await;
    let mut closes = Vec::new();
    for socket in [&mut told, &mut other] {
        closes.push(close_of(socket).await.0);
    }
    assert_eq!(closes, [1001, 1001]);
    assert!(stage.api.app.viewing.seats.taken() == 0);
    tokio::time::timeout(DEADLINE, stage.api.app.viewing.stop.cancelled())
        .await
        .expect("the rest ends after the viewers");
    assert_eq!(stage.api.app.viewing.metrics.viewer.closed.with_label_values(&["shutdown"]).get(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_clients_frame_ends_the_connection() {
    let stage = Stage::start(&[]).await;
    let slug = stage.api.add_one().await.slug.clone();
    for (frame, code) in [
        (&[0x82, 1, 7][..], 1002_u16),
        (&[0xc1, 0x80, 1, 2, 3, 4], 1002),
        (&[0x82, 0xfe, 0x20, 0, 1, 2, 3, 4], 1009),
        (&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8], 1000),
    ] {
        let mut socket = raw(&stage, &format!("/ws/stream/{slug}/")).await;
        // A ping before it is answered with its payload.
        socket.write_all(&[0x89, 0x82, 0, 0, 0, 0, b'h', b'i']).await.unwrap();
        let mut pong = [0; 4];
        tokio::time::timeout(DEADLINE, socket.read_exact(&mut pong)).await.unwrap().unwrap();
        assert_eq!(pong, [0x8a, 2, b'h', b'i']);
        socket.write_all(frame).await.unwrap();
        let mut close = [0; 4];
        tokio::time::timeout(DEADLINE, socket.read_exact(&mut close)).await.unwrap().unwrap();
        assert_eq!((close[0], u16::from_be_bytes([close[2], close[3]])), (0x88, code));
        let rest = tokio::time::timeout(DEADLINE, socket.read_to_end(&mut Vec::new())).await.unwrap();
        assert!(rest.is_ok_and(|rest| rest == usize::from(close[1]) - 2), "an orderly end");
    }
    counted(&stage, "rsm_viewers_closed_total{reason=\"protocol\"} 3").await;
    counted(&stage, "rsm_viewers_closed_total{reason=\"left\"} 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_viewers_that_come_and_go_leave_nothing() {
    let stage = Stage::start(&[]).await;
    let entry = stage.api.add_one().await;
    let slug = entry.slug.clone();
    for _ in 0..4 {
        let paths = [format!("/ws/stream/{slug}/"), format!("/ws/stream/{slug}/?width=160&fps=5")];
        let opened = futures_util::future::join_all((0..50).map(|n| raw(&stage, &paths[n % 2]))).await;
        until("the viewers", || entry.demand.jpeg_viewers(), |viewers| *viewers >= 50).await;
        drop(opened);
    }
    until("the viewers", || entry.demand.jpeg_viewers(), |viewers| *viewers == 0).await;
    let app = &stage.api.app;
    until("the seats", || (app.viewing.seats.taken(), app.viewing.seats.by_stream().len()), |seats| *seats == (0, 0))
        .await;
    assert!(!entry.demand.current(app.viewing.config.mjpeg).any());
    until("the subscriptions", || app.viewing.hub.subscribed(), |subscribed| *subscribed == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_goes_during_its_upgrade_leaves_no_seat() {
    const VIEWERS: usize = 50;
    let stage = Stage::start(&[]).await;
    let slug = stage.api.add_one().await.slug.clone();
    let request = format!(
        "GET /ws/stream/{slug}/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    for _ in 0..VIEWERS {
        // Without waiting for the answer.
        let mut client = TcpStream::connect(stage.api.address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
    }
    // Answered behind all of them.
    drop(raw(&stage, &format!("/ws/stream/{slug}/")).await);
    until("every seat to be free", || stage.api.app.viewing.seats.taken(), |taken| *taken == 0).await;
}
