use salvo::http::StatusCode;

use super::hls_worker::{Worker, media_playlist, own};
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn many_players_of_a_stream_on_another_machine_make_one_request() {
    let (api, worker) = (Api::start().await, Worker::default());
    let http = worker.start().await;
    let entry = api.add_one().await;
    let id = entry.link().id;
    own(&api, &entry, fence(7, 3), &http);
    let appearing = async {
        let absent = &api.app.viewing.metrics.fetches.0;
        let counted = || absent.with_label_values(&["absent"]).get();
        until("a fetch of what is not there yet", counted, |count| *count > 0).await;
        worker.write(&entry, "7-3");
    };
    let play = format!("/video/play/{id}/");
    let (index, ()) = tokio::join!(api.get(&play), appearing);
    assert_eq!(index.status(), 200, "held until the worker had it");
    assert!(index.text().await.unwrap().contains("source.m3u8?viewer="));
    let playlist = api.get(&format!("/video/play/{id}/source.m3u8")).await;
    assert!(playlist.text().await.unwrap().contains("7-3/source/7.m4s"));

    let segment = format!("/video/play/{id}/7-3/source/7.m4s");
    let together = (0..10).map(|_| api.get(&segment));
    for answer in futures_util::future::join_all(together).await {
        assert_eq!(
            (answer.status(), &answer.headers()["content-type"]),
            (StatusCode::OK, &"video/iso.segment".parse().unwrap())
        );
        assert_eq!(answer.headers()["content-length"], "14");
        assert_eq!(answer.text().await.unwrap(), "segment of 7-3");
    }
    assert_eq!(worker.asked(&format!("/hls/{}/7-3/source/7.m4s", entry.slug)), 1);
    let numbers = api.get("/metrics").await.text().await.unwrap();
    assert!(numbers.contains("rsm_hls_fetches_total{outcome=\"absent\"}"), "{numbers}");
    assert!(numbers.contains("rsm_hls_fetches_total{outcome=\"hit\"}"), "{numbers}");
    assert!(numbers.contains("rsm_hls_fetches_total{outcome=\"miss\"} 3"), "{numbers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playlist_is_the_workers_and_that_on_the_own_disk_when_it_does_not_answer() {
    let (api, worker) = (Api::start().await, Worker::default());
    let http = worker.start().await;
    let entry = api.add_one().await;
    let path = format!("/video/play/{}/source.m3u8", entry.link().id);
    let dir = api.hls_root().join(entry.slug.as_str()).join("7-3");
    std::fs::create_dir_all(dir.join("source")).unwrap();
    std::fs::write(dir.join("source.m3u8"), "#EXTM3U\nfrom the disk\n").unwrap();
    std::fs::write(dir.join("source/7.m4s"), "segment on the disk").unwrap();
    own(&api, &entry, fence(7, 3), &http);
    worker.write(&entry, "7-3");
    assert_eq!(api.get(&path).await.text().await.unwrap(), media_playlist("7-3", "source"));
    worker.put(format!("/hls/{}/7-3/source.m3u8", entry.slug), "#EXTM3U\n7-3/source/8.m4s\n");
    let begun = Instant::now();
    while !api.get(&path).await.text().await.unwrap().contains("8.m4s") {
        assert!(begun.elapsed() < DEADLINE, "the old playlist stays");
    }
    let segment = format!("/video/play/{}/7-3/source/7.m4s", entry.link().id);
    assert_eq!(api.get(&segment).await.text().await.unwrap(), "segment on the disk");
    assert_eq!(worker.asked(&format!("/hls/{}/7-3/source/7.m4s", entry.slug)), 0);
    // Nothing listens there.
    own(&api, &entry, fence(7, 3), "127.0.0.1:1");
    assert_eq!(api.get(&path).await.text().await.unwrap(), "#EXTM3U\nfrom the disk\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_owner_is_seen_at_once_though_playlists_are_kept_for_a_moment() {
    let (api, worker) = (Api::start().await, Worker::default());
    let http = worker.start().await;
    let entry = api.add_one().await;
    let path = format!("/video/play/{}/source.m3u8", entry.link().id);
    for n in 1..5 {
        let owner = fence(n, n);
        worker.write(&entry, &owner.dir_name());
        own(&api, &entry, owner, &http);
        let playlist = api.get(&path).await.text().await.unwrap();
        assert!(playlist.contains(&format!("{n}-{n}/source/7.m4s")), "{playlist}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_segments_of_an_owner_that_was_replaced_are_still_fetched_from_it() {
    let (api, old, new) = (Api::start().await, Worker::default(), Worker::default());
    let (old_http, new_http) = (old.start().await, new.start().await);
    let entry = api.add_one().await;
    let id = entry.link().id;
    old.write(&entry, "7-3");
    new.write(&entry, "8-4");
    own(&api, &entry, fence(7, 3), &old_http);
    own(&api, &entry, fence(8, 4), &new_http);
    let playlist = api.get(&format!("/video/play/{id}/source.m3u8")).await.text().await.unwrap();
    assert!(playlist.contains("8-4/source/7.m4s") && !playlist.contains("7-3"));
    for owner in ["7-3", "8-4"] {
        let answer = api.get(&format!("/video/play/{id}/{owner}/source/7.m4s")).await;
        assert_eq!(answer.text().await.unwrap(), format!("segment of {owner}"));
    }
    problem(api.get(&format!("/video/play/{id}/6-1/source/7.m4s")).await, 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_gone_or_answers_nonsense_is_no_fault_of_the_server() {
    let (api, worker) = (Api::start().await, Worker::default());
    let http = worker.start().await;
    let entry = api.add_one().await;
    let id = entry.link().id;
    own(&api, &entry, fence(7, 3), &http);
    let segment = |n: u32| format!("/hls/{}/7-3/source/{n}.m4s", entry.slug);
    worker.answer(segment(1), 302, "");
    worker.put("/hls/secret".into(), "not to be followed");
    worker.put(segment(2), vec![0; (16 << 20) + 1]);
    worker.put(segment(3), vec![0; 1 << 20]);
    for (n, status) in [(1, 404), (2, 404), (3, 200), (4, 404)] {
        let answer = api.get(&format!("/video/play/{id}/7-3/source/{n}.m4s")).await;
        assert_eq!(answer.status(), status, "{n}");
    }
    // Nothing listens there.
    own(&api, &entry, fence(8, 1), "127.0.0.1:1");
    problem(api.get(&format!("/video/play/{id}/8-1/source/1.m4s")).await, 404).await;
    let answer = api.get(&format!("/video/play/{id}/")).await;
    assert_eq!(answer.headers()["retry-after"], "2");
    problem(answer, 503).await;
}
