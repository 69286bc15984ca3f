//! A waiting request is answered by a change, by the end of the stream, or by the clock.

use super::*;
use bytes::Bytes;
use rsm_media::hls::parts::{Opening, Part, PartTarget};
use rsm_media::hls::window::Listed;
use rsm_shared::stream::fence::Epoch;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;
use tokio::task::JoinHandle;
use tokio::time::Instant;

const FENCE: Fence = Fence { epoch: Epoch(7), revision: 3 };
const AT: SystemTime = SystemTime::UNIX_EPOCH;

fn slug() -> Slug {
    Slug::parse("yard").unwrap()
}

fn window() -> Window {
    Window::new(3, Duration::from_secs(2), Some(PartTarget::new(Duration::from_millis(500))))
}

fn add(rendition: &LiveRendition, sequence: u64) {
    let part = Part { duration: Duration::from_millis(500), independent: true, bytes: vec![Bytes::from_static(b"x")] };
    rendition.change(|window| window.add_part(part, Opening { sequence, discontinuity: 0, init: 0, at: AT }));
}

fn push(rendition: &LiveRendition, sequence: u64) {
    let segment = Listed { sequence, duration: Duration::from_secs(2), len: 4, discontinuity: 0, init: 0, at: AT };
    rendition.change(|window| drop(window.push(segment)));
}

fn query(msn: u64, part: Option<u64>) -> Query {
    Query { msn: Some(msn), part, skip: false }
}

/// A stream with one segment, numbered 10.
fn begin(index: &LiveIndex) -> (LiveStream, LiveRendition) {
    let stream = index.publish(&slug(), FENCE);
    let source = stream.rendition(Rendition::Source, window());
    push(&source, 10);
    (stream, source)
}

/// Asks, and returns when the request waits.
async fn ask<T: Send + 'static>(index: &LiveIndex, request: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    let before = index.waiting();
    let task = tokio::spawn(request);
    while index.waiting() == before {
        assert!(!task.is_finished(), "it did not wait");
        tokio::task::yield_now().await;
    }
    task
}

fn playlist(index: &LiveIndex, query: Query) -> impl Future<Output = Result<String, Refusal>> + Send + 'static {
    let reader = index.find(&slug(), FENCE).unwrap();
    async move { reader.playlist(Rendition::Source, query).await }
}

fn part(
    index: &LiveIndex,
    sequence: u64,
    at: u64,
) -> impl Future<Output = Result<PartPlace, Refusal>> + Send + 'static {
    let reader = index.find(&slug(), FENCE).unwrap();
    async move { reader.part(Rendition::Source, sequence, at).await }
}

#[tokio::test]
async fn a_stream_is_found_while_it_is_published() {
    let index = LiveIndex::default();
    assert!(index.find(&slug(), FENCE).is_none());
    let stream = index.publish(&slug(), FENCE);
    let reader = index.find(&slug(), FENCE).unwrap();
    assert!(index.find(&slug(), Fence { revision: 4, ..FENCE }).is_none());
    assert_eq!(reader.index(), None);
    stream.set_index(Some("text".into()));
    assert_eq!(reader.index().as_deref(), Some("text"));
    let again = index.publish(&slug(), FENCE);
    drop(stream);
    assert!(index.find(&slug(), FENCE).is_some(), "the end of the older one is not that of the newer");
    drop(again);
    assert!(index.find(&slug(), FENCE).is_none());
}

#[tokio::test]
async fn a_plain_request_is_answered_at_once_or_not_at_all() {
    let index = LiveIndex::default();
    let stream = index.publish(&slug(), FENCE);
    let plain = || playlist(&index, Query::default());
    assert_eq!(plain().await, Err(Refusal::Absent), "no such rendition");
    let source = stream.rendition(Rendition::Source, window());
    add(&source, 10);
    assert_eq!(plain().await, Err(Refusal::Absent), "not playable with parts only");
    push(&source, 10);
    assert!(plain().await.unwrap().contains("\n7-3/source/10.m4s\n"));
    drop(source);
    assert_eq!(plain().await, Err(Refusal::Absent));
}

#[tokio::test]
async fn a_request_waits_for_what_it_names_and_no_longer() {
    let index = LiveIndex::default();
    let (_stream, source) = begin(&index);
    let first = ask(&index, playlist(&index, query(11, Some(0)))).await;
    let second = ask(&index, playlist(&index, query(11, Some(1)))).await;
    let whole = ask(&index, playlist(&index, query(11, None))).await;
    add(&source, 11);
    assert!(first.await.unwrap().unwrap().contains("/11.0.m4s"));
    assert_eq!(index.waiting(), 2);
    add(&source, 11);
    assert!(second.await.unwrap().unwrap().contains("/11.1.m4s"));
    push(&source, 11);
    assert!(whole.await.unwrap().unwrap().contains("/11.m4s"));
    assert_eq!(index.waiting(), 0);
    assert!(playlist(&index, query(3, Some(9))).await.is_ok(), "what was listed before needs no waiting");
    assert_eq!(playlist(&index, query(14, None)).await, Err(Refusal::TooFar));
}

#[tokio::test]
async fn the_next_part_is_waited_for_and_no_other() {
    let index = LiveIndex::default();
    let (_stream, source) = begin(&index);
    for (sequence, at) in [(11, 1), (12, 0), (10, 0), (9, 0)] {
        assert_eq!(part(&index, sequence, at).await, Err(Refusal::Absent), "{sequence}.{at}");
    }
    let next = ask(&index, part(&index, 11, 0)).await;
    add(&source, 11);
    assert_eq!(next.await.unwrap(), Ok(PartPlace::Memory(vec![Bytes::from_static(b"x")])));
    let never = ask(&index, part(&index, 11, 1)).await;
    push(&source, 11);
    assert_eq!(never.await.unwrap(), Err(Refusal::Absent), "its segment ended without it");
    assert_eq!(part(&index, 11, 0).await, Ok(PartPlace::Range { sequence: 11, offset: 0, len: 1 }));
}

#[tokio::test]
async fn the_end_of_a_stream_or_a_rendition_ends_all_waiting() {
    let index = LiveIndex::default();
    let (stream, source) = begin(&index);
    let waits =
        [ask(&index, playlist(&index, query(11, None))).await, ask(&index, playlist(&index, query(12, None))).await];
    let waiting_part = ask(&index, part(&index, 11, 0)).await;
    drop(stream);
    for wait in waits {
        assert_eq!(wait.await.unwrap(), Err(Refusal::Absent));
    }
    assert_eq!(waiting_part.await.unwrap(), Err(Refusal::Absent));
    drop(source);
    let (stream, source) = begin(&index);
    let wait = ask(&index, playlist(&index, query(11, None))).await;
    drop(source);
    assert_eq!(wait.await.unwrap(), Err(Refusal::Absent));
    let replaced = stream.rendition(Rendition::Source, window());
    push(&replaced, 10);
    let wait = ask(&index, playlist(&index, query(11, None))).await;
    let newer = stream.rendition(Rendition::Source, window());
    drop(replaced);
    assert_eq!(wait.await.unwrap(), Err(Refusal::Absent));
    push(&newer, 20);
    assert!(playlist(&index, Query::default()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn after_three_target_durations_a_request_is_told_that_it_is_late() {
    let index = LiveIndex::default();
    let (_stream, source) = begin(&index);
    let began = Instant::now();
    let (whole, next) = (playlist(&index, query(11, None)), part(&index, 11, 1));
    add(&source, 11);
    assert_eq!(tokio::join!(whole, next), (Err(Refusal::Late), Err(Refusal::Late)));
    assert_eq!(began.elapsed().as_secs(), 6);
    assert_eq!(index.waiting(), 0);
}

#[tokio::test]
async fn no_more_wait_than_there_are_places() {
    let index = LiveIndex::with_places(2);
    let (_stream, source) = begin(&index);
    let whole = ask(&index, playlist(&index, query(11, None))).await;
    let next = ask(&index, part(&index, 11, 0)).await;
    assert_eq!(playlist(&index, query(11, None)).await, Err(Refusal::Crowded));
    assert!(playlist(&index, query(10, None)).await.is_ok(), "who need not wait needs no place");
    add(&source, 11);
    push(&source, 11);
    assert!(whole.await.unwrap().is_ok() && next.await.unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_up_is_lost_between_a_look_and_the_wait() {
    const READERS: usize = 4;
    let index = LiveIndex::default();
    let (_stream, source) = begin(&index);
    let answered = Arc::new(AtomicUsize::new(0));
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let (reader, answered) = (index.find(&slug(), FENCE).unwrap(), answered.clone());
            tokio::spawn(async move {
                for sequence in 11..200 {
                    reader.playlist(Rendition::Source, query(sequence, None)).await.unwrap();
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    // All requests of one round are answered before the next change: nothing else would wake a request that missed one.
    for sequence in 11..200 {
        push(&source, sequence);
        let all = READERS * usize::try_from(sequence - 10).unwrap();
        while answered.load(Ordering::Relaxed) < all {
            assert!(readers.iter().all(|reader| sequence == 199 || !reader.is_finished()), "{sequence} was missed");
            tokio::task::yield_now().await;
        }
    }
    for reader in readers {
        reader.await.unwrap();
    }
}

#[tokio::test]
async fn renditions_tell_of_each_other_and_have_one_target_duration() {
    let index = LiveIndex::default();
    let (stream, source) = begin(&index);
    let audio = stream.rendition(Rendition::Audio, window());
    let low = stream.rendition(Rendition::P360, window());
    push(&audio, 10);
    add(&audio, 11);
    add(&low, 11);
    let segment = Listed { sequence: 11, duration: Duration::from_secs(5), len: 4, discontinuity: 0, init: 0, at: AT };
    source.change(|window| drop(window.push(segment)));
    let reader = index.find(&slug(), FENCE).unwrap();
    let text = reader.playlist(Rendition::Audio, Query::default()).await.unwrap();
    assert!(text.contains("#EXT-X-TARGETDURATION:5\n"), "{text}");
    assert!(text.ends_with("#EXT-X-RENDITION-REPORT:URI=\"source.m3u8\",LAST-MSN=11\n"), "{text}");
    let text = reader.playlist(Rendition::Source, Query::default()).await.unwrap();
    assert!(text.ends_with("#EXT-X-RENDITION-REPORT:URI=\"audio.m3u8\",LAST-MSN=11,LAST-PART=0\n"), "{text}");
}
