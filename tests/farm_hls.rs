//! HLS while a stream moves between workers that share no disk.

use std::time::Duration;

use crate::harness::farm::{Farm, Plan};
use crate::harness::script::Script;
use crate::harness::{eventually, within};

/// Position of a media playlist in its stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Place {
    media_sequence: u64,
    discontinuity_sequence: u64,
    segments: Vec<String>,
    text: String,
}

async fn place(farm: &Farm, id: i64) -> Option<Place> {
    let answer = farm.http.get(format!("{}/video/play/{id}/source.m3u8", farm.base)).send().await.ok()?;
    if !answer.status().is_success() {
        return None;
    }
    let text = answer.text().await.ok()?;
    let number = |tag: &str| text.lines().find_map(|line| line.strip_prefix(tag)).and_then(|n| n.parse().ok());
    Some(Place {
        media_sequence: number("#EXT-X-MEDIA-SEQUENCE:").unwrap_or(0),
        discontinuity_sequence: number("#EXT-X-DISCONTINUITY-SEQUENCE:").unwrap_or(0),
        segments: text.lines().filter(|l| !l.starts_with('#') && !l.is_empty()).map(str::to_owned).collect(),
        text,
    })
}

/// True when all its files can be fetched.
async fn playable(farm: &Farm, id: i64, place: &Place) -> bool {
    for segment in &place.segments {
        let answer = farm.http.get(format!("{}/video/play/{id}/{segment}", farm.base)).send().await;
        if !answer.is_ok_and(|answer| answer.status().is_success()) {
            return false;
        }
    }
    !place.segments.is_empty()
}

/// Two workers without a common disk and one stream that plays as HLS, with a player.
async fn playing() -> (Farm, String, i64) {
    let farm = Plan::of(2, 1).start().await;
    let (slug, id) = farm.streams[0].clone();
    let wish = async || {
        farm.json(&format!("/video/{slug}/")).await;
        place(&farm, id).await.unwrap_or_default()
    };
    eventually("a playlist", wish, |place| place.segments.len() >= 3).await;
    (farm, slug, id)
}

#[tokio::test]
async fn sequence_numbers_never_go_back_when_a_stream_moves_to_another_disk() {
    let (mut farm, slug, id) = playing().await;
    let mut newest = place(&farm, id).await.unwrap();
    assert!(playable(&farm, id, &newest).await, "{}", newest.text);
    // There and back again: the second owner also hands on the numbers that it got.
    for _ in 0..2 {
        let old = farm.owner(&slug).await.unwrap();
        farm.worker(&old.worker).kill().await;
        let mut look = tokio::time::interval(Duration::from_millis(200));
        let moved = async {
            loop {
                look.tick().await;
                let Some(now) = place(&farm, id).await else { continue };
                let back = now.media_sequence < newest.media_sequence
                    || now.discontinuity_sequence < newest.discontinuity_sequence;
                assert!(!back, "before:\n{}\nafter:\n{}", newest.text, now.text);
                let elsewhere = now.segments.iter().all(|segment| !newest.segments.contains(segment));
                if elsewhere && now.segments.len() >= 3 && playable(&farm, id, &now).await {
                    assert!(now.media_sequence > newest.media_sequence, "{}", now.text);
                    return now;
                }
            }
        };
        newest = within("a playlist of the new owner", moved).await;
        farm.until_owned("the stream to move", |_, owner| owner.worker != old.worker).await;
        farm.worker(&old.worker).start_again();
        farm.beats(&[&old.worker], 3).await;
    }
}

#[tokio::test]
async fn a_player_in_a_browser_plays_on_when_its_worker_dies() {
    let (mut farm, slug, _) = playing().await;
    let mut player = Script::start("failover.mjs", &["--base", &farm.base, "--slug", &slug]);
    player.says("playing").await;
    let old = farm.owner(&slug).await.unwrap();
    farm.worker(&old.worker).kill().await;
    farm.until_owned("the stream to move", |_, owner| owner.worker != old.worker).await;
    player.hears("moved", "ok").await;
    player.ends_well().await;
}
