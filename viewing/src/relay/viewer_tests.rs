use std::pin::Pin;
use std::task::{Context, Poll};

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts};
use rsm_shared::config::Config;
use rsm_shared::stream::fence::{Epoch, Fence};
use rsm_shared::stream::names::Zone;
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::frame_headers::FrameHeaders;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::super::demand_desk::DemandDesk;
use super::super::seats::{SeatBounds, Seats, ViewerKind};
use super::super::slot::Slot;
use super::*;
use crate::streams::{JpegOverrides, Offer, Streams};

const STALL: Duration = Duration::from_secs(5);
/// Bytes that the connection takes while they are not read.
const ROOM: usize = 1000;
const JPEG: usize = 5000;

/// One viewer's surroundings.
struct Scene {
    slot: watch::Sender<Slot>,
    counts: ViewerCounts,
    seats: Seats,
    streams: Streams,
    closing: Closing,
}

impl Scene {
    /// With a frame that has just come.
    fn new() -> Self {
        let headers = FrameHeaders {
            fence: Fence { epoch: Epoch(1), revision: 1 },
            seq: 1,
            captured_at_us: 0,
            published_at_us: 0,
            width: 1,
            height: 1,
        };
        let frame = Arc::new(Frame::new(vec![7; JPEG].into(), headers, 1));
        let counter = |name: &str| IntCounterVec::new(Opts::new(name, name), &["reason"]).unwrap();
        let counts = ViewerCounts {
            skipped: IntCounter::new("skipped", "skipped").unwrap(),
            relay_seconds: Histogram::with_opts(HistogramOpts::new("relay", "relay")).unwrap(),
            sent_bytes: IntCounter::new("sent", "sent").unwrap(),
            closed: counter("closed"),
        };
        Self {
            slot: watch::Sender::new(Slot { frame: Some(frame), ..Slot::default() }),
            counts,
            seats: Seats::new(SeatBounds { all: 1, per_stream: 0, per_address: 0 }, counter("refused")),
            streams: Streams::default(),
            closing: Closing::new(&Config::load(None, &[]).unwrap()),
        }
    }

    fn viewer(&self) -> SocketViewer {
        let offer = Offer {
            id: 1,
            name: "Yard".into(),
            zone: Zone::default_zone(),
            created: jiff::Timestamp::UNIX_EPOCH,
            enabled: true,
            always_on: false,
            jpeg: JpegOverrides::default(),
        };
        let (stream, _) = self.streams.put(&Slug::parse("yard").unwrap(), offer);
        SocketViewer {
            first: Default::default(),
            watching: self.slot.subscribe(),
            demand: DemandDesk::new(self.streams.clone()).jpeg_viewer(&stream, None),
            seat: self.seats.take(ViewerKind::Mjpeg, None, "10.0.0.1".parse().unwrap()).unwrap(),
            events: false,
            fps: None,
            stall: STALL,
            counts: self.counts.clone(),
            closing: self.closing.clone(),
            stream,
        }
    }

    /// The client's end of a viewer that is served.
    fn serve(&self) -> (DuplexStream, JoinHandle<()>) {
        let (client, server) = duplex(ROOM);
        (client, tokio::spawn(self.viewer().serve(server)))
    }

    fn end(&self, why: StreamEnd) {
        self.slot.send_modify(|slot| slot.end = Some(why));
    }

    fn closed(&self, why: Departure) -> u64 {
        self.counts.closed.with_label_values(&[why.as_str()]).get()
    }
}

/// The frame as a message.
fn message() -> Vec<u8> {
    let mut bytes = vec![0x82, 126];
    bytes.extend(u16::try_from(JPEG).unwrap().to_be_bytes());
    bytes.resize(4 + JPEG, 7);
    bytes
}

async fn read(client: &mut DuplexStream, bytes: usize) -> Vec<u8> {
    let mut all = vec![0; bytes];
    client.read_exact(&mut all).await.unwrap();
    all
}

#[tokio::test(start_paused = true)]
async fn a_picture_half_sent_is_finished_before_the_close() {
    let scene = Scene::new();
    let (mut client, served) = scene.serve();
    let mut got = read(&mut client, 100).await;
    scene.end(StreamEnd::Stopped);
    got.extend(read(&mut client, 4 + JPEG - 100).await);
    assert!(got == message(), "the picture is whole");
    let close = read(&mut client, 4).await;
    assert_eq!(close, [0x88, 16, 0x03, 0xe8]);
    assert_eq!(read(&mut client, 14).await, b"stream stopped");
    client.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
    served.await.unwrap();
    assert_eq!(client.read(&mut [0; 9]).await.unwrap(), 0, "nothing behind a close");
    assert_eq!((scene.closed(Departure::Stopped), scene.seats.taken()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_ping_waits_for_the_picture_before_it() {
    let scene = Scene::new();
    let (mut client, served) = scene.serve();
    let mut got = Vec::new();
    // A little at a time, so that a ping falls due in between.
    for _ in 0..10 {
        got.extend(read(&mut client, 400).await);
        tokio::time::sleep(STALL * 4 / 5).await;
    }
    got.extend(read(&mut client, 4 + JPEG - 4000).await);
    assert!(got == message(), "the picture is whole");
    assert_eq!(read(&mut client, 2).await, [0x89, 0]);
    drop(client);
    served.await.unwrap();
    assert_eq!(scene.closed(Departure::Left), 1);
}

#[tokio::test(start_paused = true)]
async fn who_takes_a_little_stays_and_who_takes_nothing_goes() {
    let scene = Scene::new();
    let (mut client, served) = scene.serve();
    for _ in 0..30 {
        read(&mut client, 100).await;
        tokio::time::sleep(STALL * 9 / 10).await;
    }
    assert!(!served.is_finished());
    served.await.unwrap();
    assert_eq!((scene.closed(Departure::Stalled), scene.seats.taken()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn one_that_gives_no_sign_of_life_is_gone_within_a_minute() {
    let scene = Scene::new();
    let begun = Instant::now();
    let (mut client, served) = scene.serve();
    assert!(read(&mut client, 4 + JPEG).await == message());
    served.await.unwrap();
    assert_eq!(scene.closed(Departure::Vanished), 1);
    assert!(begun.elapsed() <= Duration::from_secs(55), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_closes_each_at_its_moment() {
    let scene = Scene::new();
    let (mut client, served) = scene.serve();
    assert!(read(&mut client, 4 + JPEG).await == message());
    let drain = scene.closing.begin(1);
    let begun = Instant::now();
    scene.slot.send_modify(|slot| slot.closing = true);
    assert_eq!(read(&mut client, 4).await, [0x88, 24, 0x03, 0xe9]);
    assert_eq!(begun.elapsed(), drain);
    drop(client);
    served.await.unwrap();
    assert_eq!((scene.closed(Departure::Shutdown), scene.closing.goodbyes()), (1, 0));
}

/// A client that is always in the middle of a word, and takes everything.
struct Talker {
    read: usize,
    /// At the read of that number the stream is removed.
    removed_at: usize,
    slot: watch::Sender<Slot>,
}

/// Reads after which the talker hangs up.
const LAST_WORD: usize = 100_000;

impl AsyncRead for Talker {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        self.read += 1;
        if self.read == self.removed_at {
            self.slot.send_modify(|slot| slot.end = Some(StreamEnd::Removed));
        }
        if self.read < LAST_WORD {
            // An empty text.
            buffer.put_slice(&[0x81, 0x80, 0, 0, 0, 0]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Talker {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn one_that_does_not_stop_talking_still_gets_what_it_waits_for() {
    let scene = Scene::new();
    let talker = Talker { read: 0, removed_at: 1000, slot: scene.slot.clone() };
    scene.viewer().serve(talker).await;
    assert_eq!(scene.counts.sent_bytes.get(), JPEG as u64);
    assert_eq!(scene.closed(Departure::Removed), 1, "it heard of the removal while it talked");
}
