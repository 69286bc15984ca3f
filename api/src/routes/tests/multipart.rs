//! Frames as `multipart/x-mixed-replace`.

use rsm_shared::stream::slug::Slug;

use super::frames::Stage;
use super::*;

/// The body of an answer, cut into parts.
struct Parts {
    answer: Response,
    bytes: Vec<u8>,
}

impl Parts {
    async fn open(stage: &Stage, slug: &Slug) -> Self {
        let answer = stage.api.get(&format!("/video/{slug}/mjpeg")).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "multipart/x-mixed-replace; boundary=rsm-frame");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let mut parts = Self { answer, bytes: Vec::new() };
        parts.until(b"--rsm-frame\r\n").await;
        parts
    }

    /// The bytes before `end`, which is taken too.
    async fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.bytes.windows(end.len()).position(|bytes| bytes == end) {
                let mut rest = self.bytes.split_off(at + end.len());
                std::mem::swap(&mut rest, &mut self.bytes);
                rest.truncate(at);
                return rest;
            }
            let piece = tokio::time::timeout(DEADLINE, self.answer.chunk()).await.expect("more in time");
            self.bytes.extend(piece.unwrap().expect("more before the end"));
        }
    }

    /// The headers and the picture of the next part; whole only when the boundary behind it is there.
    async fn next(&mut self) -> (String, Vec<u8>) {
        let head = String::from_utf8(self.until(b"\r\n\r\n").await).unwrap();
        let picture = self.until(b"\r\n--rsm-frame\r\n").await;
        (head, picture)
    }

    /// Publishes until a part arrives: the subscription takes a moment.
    async fn warm_up(&mut self, stage: &Stage, slug: &Slug) -> u64 {
        for seq in 1..500 {
            stage.publish(slug, (1, 1), seq, b"warm-up").await;
            if let Ok(piece) = tokio::time::timeout(Duration::from_millis(20), self.answer.chunk()).await {
                self.bytes.extend(piece.unwrap().unwrap());
                return seq;
            }
        }
        panic!("no part arrived");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_comes_with_the_boundary_that_ends_it() {
    let stage = Stage::start(&[]).await;
    let entry = stage.api.add_one().await;
    let slug = entry.slug.clone();
    let head = stage.api.call(Method::HEAD, &format!("/video/{slug}/mjpeg")).send().await.unwrap();
    assert_eq!((head.status().as_u16(), stage.api.app.viewing.seats.taken()), (200, 0));
    assert_eq!(head.headers()["content-type"], "multipart/x-mixed-replace; boundary=rsm-frame");

    let mut parts = Parts::open(&stage, &slug).await;
    let status: Value = stage.api.get(&format!("/video/{slug}/status")).await.json().await.unwrap();
    assert_eq!(status["viewers"]["mjpeg"], 1);
    let seq = parts.warm_up(&stage, &slug).await;
    // Nothing is published after it, and it is whole.
    stage.publish(&slug, (1, 1), seq + 1, b"a picture").await;
    let (head, picture) = loop {
        let part = parts.next().await;
        if part.1 != b"warm-up" {
            break part;
        }
    };
    assert_eq!(picture, b"a picture");
    let header = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("{name} in {head}")).to_owned()
    };
    assert_eq!((header("Content-Type").as_str(), header("Content-Length").as_str()), ("image/jpeg", "9"));
    let at: jiff::Timestamp = header("X-Captured-At").parse().unwrap();
    let (seconds, micros) = header("X-Timestamp").split_once('.').map(|(s, us)| (s.to_owned(), us.to_owned())).unwrap();
    assert_eq!(at.as_microsecond().to_string(), format!("{seconds}{micros}"));

    stage.api.call(Method::POST, &format!("/video/{slug}/stop")).send().await.unwrap();
    let end = tokio::time::timeout(DEADLINE, parts.answer.chunk()).await.expect("an end in time");
    assert!(end.unwrap().is_none(), "an orderly end");
    problem(stage.api.get(&format!("/video/{slug}/mjpeg")).await, 409).await;
    until("the seat", || stage.api.app.viewing.seats.taken(), |taken| *taken == 0).await;
    assert_eq!(entry.demand.jpeg_viewers(), 0);
    assert_eq!(stage.api.app.viewing.metrics.viewer.closed.with_label_values(&["stopped"]).get(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_skips_to_the_newest_and_nothing_waits_for_it() {
    let stage = Stage::start(&[]).await;
    let slug = stage.api.add_one().await.slug.clone();
    let mut slow = Parts::open(&stage, &slug).await;
    let begin = slow.warm_up(&stage, &slug).await;
    let mut socket = stage.watch(&format!("/ws/stream/{slug}/")).await;
    // Small ones: the HTTP library would queue several of them.
    let mut frame = vec![0_u8; 20_000];
    for n in 1..=2000_u64 {
        frame[..8].copy_from_slice(&n.to_be_bytes());
        stage.publish(&slug, (1, 1), begin + n, &frame).await;
        while !super::frames::next_frame(&mut socket).await.starts_with(&n.to_be_bytes()) {}
    }
    let mut seen: Vec<u64> = Vec::new();
    while seen.last() != Some(&2000) {
        let (_, picture) = slow.next().await;
        if picture.len() > 8 {
            seen.push(u64::from_be_bytes(picture[..8].try_into().unwrap()));
        }
    }
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]));
    // After the bytes in the kernel, one part was on its way, and then it is the newest.
    let jump = seen.windows(2).rposition(|pair| pair[1] > pair[0] + 1).unwrap();
    assert!(seen.len() - jump <= 3, "{:?}", &seen[jump..]);
}
