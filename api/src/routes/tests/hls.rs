use rsm_shared::stream::state::StreamState;

use super::*;

const INDEX: &str = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1.64001f\"\nsource.m3u8\n";

/// Writes the files of a worker: the index last.
fn write(api: &Api, entry: &Entry, owner: &str) {
    let dir = api.hls_root().join(entry.slug.as_str()).join(owner);
    std::fs::create_dir_all(dir.join("source")).unwrap();
    let media = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI=\"{owner}/source/init-0.mp4\"\n#EXTINF:2.0,\n{owner}/source/7.m4s\n"
    );
    for (name, text) in [
        ("source/init-0.mp4", "init"),
        ("source/7.m4s", "segment"),
        ("source.m3u8", media.as_str()),
        ("index.m3u8", INDEX),
    ] {
        std::fs::write(dir.join(name), text).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_waits_for_the_first_segments_and_is_counted() {
    let api = Api::start().await;
    let entry = api.add_one().await;
    let id = entry.link().id;
    let started: Value = api.get(&format!("/video/{}/", entry.slug)).await.json().await.unwrap();
    assert_eq!((&started["message"], &started["state"]), (&json!("Stream started"), &json!("idle")));
    assert_eq!(started["playlist_url"], format!("/video/play/{id}/"));

    let play = format!("/video/play/{id}/");
    let begun = Instant::now();
    let writing = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        api.show(&entry, |view| view.fence = Some(fence(7, 3)));
        tokio::time::sleep(Duration::from_millis(200)).await;
        write(&api, &entry, "7-3");
    };
    let (answer, ()) = tokio::join!(api.get(&play), writing);
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_millis(400) && waited < Duration::from_millis(1500), "{waited:?}");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/vnd.apple.mpegurl");
    let index = answer.text().await.unwrap();
    let child = index.lines().last().unwrap().to_owned();
    assert!(child.starts_with("source.m3u8?viewer="), "{index}");

    for child in [child.as_str(), child.as_str(), "source.m3u8?viewer=00000000000000aa", "source.m3u8?viewer=x"] {
        let answer = api.get(&format!("/video/play/{id}/{child}")).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["cache-control"], "no-store");
        assert!(answer.text().await.unwrap().contains("7-3/source/7.m4s"));
    }
    let status: Value = api.get(&format!("/video/{}/status", entry.slug)).await.json().await.unwrap();
    assert_eq!(status["viewers"]["hls"], 3, "two ids, and one address");

    for (file, content_type, text) in [("7.m4s", "video/iso.segment", "segment"), ("init-0.mp4", "video/mp4", "init")] {
        let answer = api.get(&format!("/video/play/{id}/7-3/source/{file}")).await;
        assert_eq!(answer.headers()["content-type"], content_type);
        assert_eq!(answer.headers()["content-length"], text.len().to_string().as_str());
        assert_eq!(answer.headers()["cache-control"], "private, max-age=3600, immutable");
        assert_eq!(answer.text().await.unwrap(), text);
    }
    api.show(&entry, |view| view.state = StreamState::Running);
    let again: Value = api.get(&format!("/video/{}/", entry.slug)).await.json().await.unwrap();
    assert_eq!(again["message"], "Stream already started");
    let numbers = api.get("/metrics").await.text().await.unwrap();
    assert!(numbers.contains("rsm_hls_requests_total{status=\"200\"} 7"), "{numbers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_owner_is_played_and_an_older_ones_segments_stay_reachable() {
    let api = Api::start().await;
    let entry = api.add_one().await;
    let id = entry.link().id;
    write(&api, &entry, "7-3");
    write(&api, &entry, "8-4");
    api.show(&entry, |view| view.fence = Some(fence(8, 4)));
    let playlist = api.get(&format!("/video/play/{id}/source.m3u8")).await.text().await.unwrap();
    assert!(playlist.contains("8-4/source/7.m4s") && !playlist.contains("7-3"));
    assert_eq!(api.get(&format!("/video/play/{id}/7-3/source/7.m4s")).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outside_the_streams_directory_is_served() {
    let api = Api::start().await;
    let (one, other) = (api.add_one().await, api.add_one().await);
    write(&api, &one, "7-3");
    write(&api, &other, "8-4");
    std::fs::write(api.hls_root().join("1.m4s"), "outside").unwrap();
    std::fs::write(api.dir.path().join("secret"), "outside").unwrap();
    let id = one.link().id;
    for tail in [
        "8-4/source/7.m4s".to_owned(),
        format!("..%2f{}%2f8-4/source/7.m4s", other.slug),
        "7-3/source/..%2f..%2f..%2f1.m4s".into(),
        "7-3/source/%2e%2e%2fsource.m3u8".into(),
        "..%2f..%2f/source/secret".into(),
        "7-3/source/7.m4s%00".into(),
        "07-3/source/7.m4s".into(),
        "7-3/source/source.m3u8".into(),
        "7-3/source/8.m4s".into(),
        "7-3/index.m3u8".into(),
    ] {
        problem(api.get(&format!("/video/play/{id}/{tail}")).await, 404).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_is_told_to_come_again_when_nothing_comes() {
    let api = Api::start().await;
    let entry = api.add_one().await;
    api.show(&entry, |view| view.hls_error = Some("the disk for HLS segments is full".into()));
    let path = format!("/video/play/{}/", entry.link().id);
    let begun = Instant::now();
    let answer = api.get(&path).await;
    assert!((9..12).contains(&begun.elapsed().as_secs()));
    assert_eq!(answer.headers()["retry-after"], "2");
    let body = problem(answer, 503).await;
    assert_eq!(body["error"], "there is no video yet: the disk for HLS segments is full");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_player_is_let_go_when_the_camera_is_stopped_or_removed() {
    let api = Api::start().await;
    for (method, tail, status) in [(Method::POST, "stop", 409), (Method::DELETE, "", 404)] {
        let entry = api.add_one().await;
        let path = format!("/video/{}/{tail}", entry.slug);
        let play = format!("/video/play/{}/", entry.link().id);
        let end = async {
            until("the demand", || entry.demand.current(api.app.viewing.config.mjpeg).hls, |wanted| *wanted).await;
            api.call(method, &path).send().await.unwrap()
        };
        let begun = Instant::now();
        let (answer, _) = tokio::join!(api.get(&play), end);
        problem(answer, status).await;
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_spelling_of_a_playlist_s_address_leads_to_its_files() {
    let api = Api::start().await;
    let entry = api.add_one().await;
    let id = entry.link().id;
    api.show(&entry, |view| view.fence = Some(fence(7, 3)));
    write(&api, &entry, "7-3");
    let at = |path: &str| reqwest::Url::parse(&format!("http://{}{path}", api.address)).unwrap();
    let named = |text: &str| -> Vec<String> {
        let map = text.split_once("URI=\"").and_then(|(_, rest)| rest.split('"').next());
        map.into_iter().chain(text.lines().filter(|line| !line.starts_with('#'))).map(str::to_owned).collect()
    };
    for playlist in ["", "/", "/index.m3u8", "/index.m3u8/", "/master.m3u8", "/master.m3u8/"] {
        let url = at(&format!("/video/play/{id}{playlist}"));
        let answer = api.client.get(url.clone()).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "application/vnd.apple.mpegurl", "{url}");
        for child in named(&answer.text().await.unwrap()) {
            let child = url.join(&child).unwrap();
            let slashed = child.as_str().replace("source.m3u8", "source.m3u8/").parse().unwrap();
            for media in [child, slashed] {
                let answer = api.client.get(media.clone()).send().await.unwrap();
                assert_eq!(answer.status(), 200, "{media}");
                let files = named(&answer.text().await.unwrap());
                assert_eq!(files.len(), 2);
                for file in files {
                    let file = media.join(&file).unwrap();
                    assert_eq!(api.client.get(file.clone()).send().await.unwrap().status(), 200, "{file}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_of_a_segment_is_read_from_the_disk_alone() {
    let api = Api::start().await;
    let entry = api.add_one().await;
    api.show(&entry, |view| view.fence = Some(fence(7, 3)));
    write(&api, &entry, "7-3");
    let path = format!("/video/play/{}/7-3/source/7.m4s", entry.link().id);
    let part = api.call(Method::GET, &path).header("range", "bytes=3-5").send().await.unwrap();
    assert_eq!((part.status().as_u16(), &part.headers()["content-range"]), (206, &"bytes 3-5/7".parse().unwrap()));
    assert_eq!(
        (&part.headers()["content-length"], &part.headers()["etag"]),
        (&"3".parse().unwrap(), &"\"7-3/source/7.m4s\"".parse().unwrap())
    );
    assert_eq!(part.text().await.unwrap(), "men");
    let known = api.call(Method::GET, &path).header("if-none-match", "\"7-3/source/7.m4s\"").send().await.unwrap();
    assert_eq!(known.status(), 304);
    problem(api.call(Method::GET, &path).header("range", "bytes=7-").send().await.unwrap(), 416).await;
}
