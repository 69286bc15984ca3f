//! Low latency: players that wait for the next part, and renditions that are made on demand.

use rsm_shared::stream::rendition::{Rendition, RenditionSet};

use super::hls_worker::{Worker, media_playlist, own};
use super::*;

/// As a worker writes them; passed on byte for byte.
const LIVE: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.0\n\
    #EXT-X-PART:DURATION=0.333,URI=\"7-3/source/8.0.m4s\",INDEPENDENT=YES\n\
    #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"7-3/source/8.1.m4s\"\n\
    #EXT-X-RENDITION-REPORT:URI=\"audio.m3u8\",LAST-MSN=8,LAST-PART=0\n";

/// A stream with an owner that has playlists already.
struct Stage {
    api: Api,
    worker: Worker,
    entry: Arc<Entry>,
}

impl Stage {
    async fn start() -> Self {
        let (api, worker) = (Api::start().await, Worker::default());
        let http = worker.start().await;
        let entry = api.add_one().await;
        worker.write(&entry, "7-3");
        own(&api, &entry, fence(7, 3), &http);
        Self { api, worker, entry }
    }

    fn play(&self, tail: &str) -> String {
        format!("/video/play/{}/{tail}", self.entry.link().id)
    }

    fn of_owner(&self, tail: &str) -> String {
        format!("/hls/{}/7-3/{tail}", self.entry.slug)
    }

    fn renditions(&self) -> RenditionSet {
        self.entry.demand.current(self.api.app.viewing.config.mjpeg).renditions
    }

    async fn hls_viewers(&self) -> Value {
        let status: Value = self.api.get(&format!("/video/{}/status", self.entry.slug)).await.json().await.unwrap();
        status["viewers"]["hls"].clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn players_that_wait_for_one_part_make_one_request_and_get_the_workers_answer_byte_for_byte() {
    let stage = Stage::start().await;
    let path = stage.play("source.m3u8?viewer=00000000000000aa&_HLS_msn=8&_HLS_part=0");
    let asked = stage.of_owner("source.m3u8?_HLS_msn=8&_HLS_part=0");
    // The one that asks first goes before the answer comes.
    let leaves = tokio::time::timeout(Duration::from_millis(100), stage.api.get(&path)).await;
    assert!(leaves.is_err());
    stage.worker.until_asked(&asked).await;
    let appearing = async {
        until(
            "a player that waits",
            || stage.entry.demand.current(stage.api.app.viewing.config.mjpeg).hls,
            |wanted| *wanted,
        )
        .await;
        assert_eq!(stage.hls_viewers().await, 1, "who waits is there");
        stage.worker.put(asked.clone(), LIVE);
    };
    let together = futures_util::future::join_all((0..20).map(|_| stage.api.get(&path)));
    let (answers, ()) = tokio::join!(together, appearing);
    for answer in answers {
        assert_eq!((answer.status().as_u16(), &answer.headers()["cache-control"]), (200, &"no-store".parse().unwrap()));
        assert_eq!(answer.text().await.unwrap(), LIVE);
    }
    assert_eq!(stage.api.get(&path).await.text().await.unwrap(), LIVE, "one that comes late");
    assert_eq!(stage.worker.asked(&asked), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_that_wants_to_skip_is_another_question() {
    let stage = Stage::start().await;
    stage.worker.put(stage.of_owner("source.m3u8?_HLS_msn=8&_HLS_skip=YES"), "#EXTM3U\nskipped\n");
    stage.worker.put(stage.of_owner("source.m3u8?_HLS_msn=8"), LIVE);
    for (query, want) in [
        ("_HLS_msn=8&_HLS_skip=YES", "#EXTM3U\nskipped\n"),
        ("_HLS_skip=v2&_HLS_msn=8", "#EXTM3U\nskipped\n"),
        ("_HLS_msn=8", LIVE),
    ] {
        let answer = stage.api.get(&stage.play(&format!("source.m3u8?{query}"))).await;
        assert_eq!(answer.text().await.unwrap(), want, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_waited_for_is_refused() {
    let stage = Stage::start().await;
    for query in ["_HLS_msn=x", "_HLS_msn=", "_HLS_part=1", "_HLS_msn=8&_HLS_part=-1", "_HLS_msn=8&_HLS_skip=NO"] {
        problem(stage.api.get(&stage.play(&format!("source.m3u8?{query}"))).await, 400).await;
    }
    stage.worker.answer(stage.of_owner("source.m3u8?_HLS_msn=99"), 400, "");
    problem(stage.api.get(&stage.play("source.m3u8?_HLS_msn=99")).await, 400).await;
    stage.worker.answer(stage.of_owner("source.m3u8?_HLS_msn=9"), 503, "");
    let answer = stage.api.get(&stage.play("source.m3u8?_HLS_msn=9")).await;
    assert!(
        answer.text().await.unwrap().contains("7-3/source/7.m4s"),
        "a playlist that does not grow is answered as it is"
    );
    for tail in ["8k.m3u8", "SOURCE.m3u8", "source.m3u", "..%2fsource.m3u8", "7-3/8k/7.m4s"] {
        problem(stage.api.get(&stage.play(tail)).await, 404).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_when_the_owner_changes_gets_the_new_ones_playlist() {
    let stage = Stage::start().await;
    let new = Worker::default();
    let http = new.start().await;
    new.write(&stage.entry, "8-4");
    let path = stage.play("source.m3u8?_HLS_msn=8&_HLS_part=0");
    let changing = async {
        stage.worker.until_asked(&stage.of_owner("source.m3u8?_HLS_msn=8&_HLS_part=0")).await;
        own(&stage.api, &stage.entry, fence(8, 4), &http);
    };
    let (answer, ()) = tokio::join!(stage.api.get(&path), changing);
    assert_eq!(answer.text().await.unwrap(), media_playlist("8-4", "source"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_worker_that_dies_gets_the_next_ones_playlist_or_is_told_to_come_again() {
    let stage = Stage::start().await;
    // Nothing listens there; a playlist was read before, so the target duration is known.
    stage.api.get(&stage.play("source.m3u8")).await;
    own(&stage.api, &stage.entry, fence(7, 3), "127.0.0.1:1");
    let path = stage.play("source.m3u8?_HLS_msn=8");
    let (new, failed) = (Worker::default(), &stage.api.app.viewing.metrics.fetches.0);
    let http = new.start().await;
    new.write(&stage.entry, "8-4");
    let failing = || failed.with_label_values(&["error"]).get();
    let changing = async {
        until("requests that fail", failing, |times| *times > 1).await;
        // Its worker was declared dead, then another took the stream.
        stage.api.show(&stage.entry, |view| (view.fence, view.http) = (None, None));
        own(&stage.api, &stage.entry, fence(8, 4), &http);
    };
    let (answer, ()) = tokio::join!(stage.api.get(&path), changing);
    assert_eq!(answer.text().await.unwrap(), media_playlist("8-4", "source"));

    own(&stage.api, &stage.entry, fence(9, 5), "127.0.0.1:1");
    let answer = stage.api.get(&path).await;
    assert_eq!(answer.headers()["retry-after"], "2");
    problem(answer, 503).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_let_go_when_the_camera_is_stopped_or_removed() {
    let stage = Stage::start().await;
    for (method, tail, status, msn) in [(Method::POST, "stop", 409, 8), (Method::DELETE, "", 404, 9)] {
        stage.api.call(Method::POST, &format!("/video/{}/start", stage.entry.slug)).send().await.unwrap();
        let path = format!("/video/{}/{tail}", stage.entry.slug);
        let end = async {
            stage.worker.until_asked(&stage.of_owner(&format!("source.m3u8?_HLS_msn={msn}"))).await;
            stage.api.call(method, &path).send().await.unwrap()
        };
        let play = stage.play(&format!("source.m3u8?_HLS_msn={msn}"));
        let (answer, _) = tokio::join!(stage.api.get(&play), end);
        problem(answer, status).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_announced_is_waited_for_and_fetched_once() {
    let stage = Stage::start().await;
    let (path, asked) = (stage.play("7-3/source/8.1.m4s"), stage.of_owner("source/8.1.m4s"));
    let appearing = async {
        stage.worker.until_asked(&asked).await;
        stage.worker.put(asked.clone(), "part");
    };
    let together = futures_util::future::join_all((0..10).map(|_| stage.api.get(&path)));
    let (answers, ()) = tokio::join!(together, appearing);
    for answer in answers {
        assert_eq!(answer.headers()["content-type"], "video/iso.segment");
        assert_eq!(answer.text().await.unwrap(), "part");
    }
    assert_eq!(stage.api.get(&path).await.text().await.unwrap(), "part");
    assert_eq!(stage.worker.asked(&asked), 1);
    stage.worker.answer(stage.of_owner("source/99.0.m4s"), 400, "");
    problem(stage.api.get(&stage.play("7-3/source/99.0.m4s")).await, 404).await;
    stage.worker.put(stage.of_owner("audio/init-0.mp4"), "header of audio");
    let answer = stage.api.get(&stage.play("7-3/audio/init-0.mp4")).await;
    assert_eq!(answer.headers()["content-type"], "audio/mp4");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rendition_is_encoded_for_those_who_fetch_it_and_held_until_it_is_there() {
    let stage = Stage::start().await;
    stage.api.get(&stage.play("")).await;
    for rendition in ["source", "audio"] {
        assert_eq!(stage.api.get(&stage.play(&format!("{rendition}.m3u8"))).await.status(), 200);
    }
    assert!(stage.renditions().is_empty(), "those are there for all");
    problem(stage.api.get(&stage.play("720p.m3u8")).await, 404).await;
    assert!(stage.renditions().is_empty(), "it is not offered");

    let encoding = async {
        let wanted = until("the demand", || stage.renditions(), |wanted| !wanted.is_empty()).await;
        assert_eq!(wanted, RenditionSet::NONE.with(Rendition::P360));
        stage.worker.put(stage.of_owner("360p.m3u8"), media_playlist("7-3", "360p"));
    };
    // Also one that knows the number from another rendition's report.
    let path = stage.play("360p.m3u8?_HLS_msn=7");
    let (answer, ()) = tokio::join!(stage.api.get(&path), encoding);
    assert_eq!(answer.text().await.unwrap(), media_playlist("7-3", "360p"));
    stage.worker.put(stage.of_owner("360p.m3u8?_HLS_msn=8"), LIVE);
    assert_eq!(stage.api.get(&stage.play("360p.m3u8?_HLS_msn=8")).await.text().await.unwrap(), LIVE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_of_pictures_and_sound_is_one_player() {
    let stage = Stage::start().await;
    let index = stage.api.get(&stage.play("")).await.text().await.unwrap();
    let (_, viewer) = index.lines().last().unwrap().split_once('?').unwrap();
    for child in ["source", "360p", "audio"] {
        assert!(index.contains(&format!("{child}.m3u8?{viewer}")), "{index}");
    }
    for child in ["source", "audio", "source"] {
        assert_eq!(stage.api.get(&stage.play(&format!("{child}.m3u8?{viewer}"))).await.status(), 200);
    }
    assert_eq!(stage.hls_viewers().await, 1);
}
