use rsm_shared::stream::state::{Reason, ReasonCode, StreamState};
use rsm_viewing::hls::players::Player;
use rsm_viewing::relay::seats::ViewerKind;

use super::*;

async fn list(api: &Api, query: &str) -> (Vec<Value>, String) {
    let answer = api.get(&format!("/video/{query}")).await;
    assert_eq!(answer.status(), 200);
    let total = answer.headers()["x-total-count"].to_str().unwrap().to_owned();
    (answer.json().await.unwrap(), total)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_is_registered_listed_changed_and_removed() {
    let api = Api::start().await;
    let body = json!({
        "url": "rtsp://admin:hunter2@10.0.0.1/h264", "name": "Front Door", "transport": "tcp",
        "mjpeg": {"max_fps": 5}, "hls": {"segment_seconds": 4, "part_ms": 0, "renditions": ["720p", "360p"]},
    });
    let answer = api.send(Method::POST, "/video/", body).await;
    assert_eq!(answer.status(), 201);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let saved: Value = answer.json().await.unwrap();
    let slug = saved["slug"].as_str().unwrap().to_owned();
    assert_eq!(saved["message"], "Stream saved");
    assert!(slug.starts_with("front-door-"));
    assert_eq!(location, format!("/video/{slug}/"));

    let (cameras, total) = list(&api, "").await;
    assert_eq!((cameras.len(), total.as_str()), (1, "1"));
    let shown = &cameras[0];
    for (member, want) in [
        ("id", saved["id"].clone()),
        ("slug", json!(slug)),
        ("name", json!("Front Door")),
        ("url", json!("rtsp://admin:***@10.0.0.1/h264")),
        ("state", json!("idle")),
        ("reason", Value::Null),
        ("username", json!("admin")),
        ("has_password", json!(true)),
        ("always_on", json!(false)),
        ("exclusive", json!(false)),
        ("transport", json!("tcp")),
        ("mjpeg", json!({"max_fps": 5, "max_width": null, "quality": null})),
        (
            "hls",
            json!({"segment_seconds": 4, "window_segments": null, "part_ms": 0, "always_on": null,
                "renditions": ["720p", "360p"]}),
        ),
        ("tls_insecure", json!(false)),
        ("zone", json!("default")),
        ("viewers", json!({"mjpeg": 0, "hls": 0})),
    ] {
        assert_eq!(shown[member], want, "{member}");
    }
    assert!(shown["created"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());

    let path = format!("/video/{slug}/");
    let before = api.app.directory.by_slug(&slug).unwrap().link();
    let same = api.send(Method::PATCH, &path, shown.clone()).await;
    assert_eq!(same.status(), 200);
    assert_eq!(&same.json::<Value>().await.unwrap(), shown, "what was read can be sent back");
    let after = api.app.directory.by_slug(&slug).unwrap().link();
    assert_eq!(before, after);
    assert_eq!(after.password.as_ref().unwrap().expose(), "hunter2");

    let changed: Value =
        api.send(Method::PATCH, &path, json!({"name": "Back", "exclusive": true})).await.json().await.unwrap();
    assert_eq!(
        (&changed["name"], &changed["exclusive"], &changed["slug"]),
        (&json!("Back"), &json!(true), &json!(slug))
    );
    assert_eq!(api.app.store.links().await.unwrap()[0].name, "Back", "the store has it");

    let moved: Value = api.send(Method::PATCH, &path, json!({"zone": "north"})).await.json().await.unwrap();
    assert_eq!(moved["zone"], "north");
    let offer = api.app.directory.by_slug(&slug).unwrap().offer();
    assert_eq!(offer.zone.as_str(), "north", "viewers' side knows");
    problem(api.send(Method::PATCH, &path, json!({"zone": "no.rth"})).await, 422).await;

    assert_eq!(api.call(Method::DELETE, &path).send().await.unwrap().status(), 204);
    problem(api.call(Method::DELETE, &path).send().await.unwrap(), 404).await;
    assert_eq!(list(&api, "").await, (vec![], "0".into()));
    assert!(api.app.store.links().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_of_any_characters_is_told_to_the_worker_and_to_nobody_else() {
    let api = Api::start().await;
    let login = "@:/?#%& ü";
    for body in [
        json!({"url": "rtsp://10.0.0.1/h264", "username": login, "password": login}),
        json!({"url": "rtsp://%40%3A%2F%3F%23%25%26%20%C3%BC:%40%3A%2F%3F%23%25%26%20%C3%BC@10.0.0.1/h264"}),
    ] {
        let entry = api.add(body.clone()).await;
        let told = entry.link().spec(api.app.viewing.config.hls.params());
        assert_eq!(told.url.to_string(), "rtsp://10.0.0.1/h264");
        // Records that cross NATS.
        let desired = serde_json::to_value(&told).unwrap();
        let read: rsm_shared::stream::spec::StreamSpec = serde_json::from_value(desired).unwrap();
        let credentials = read.credentials.unwrap();
        assert_eq!((credentials.username.as_str(), credentials.password.expose()), (login, login), "{body}");
        let path = format!("/video/{}/", entry.slug);
        let shown = list(&api, "").await.0.pop().unwrap();
        assert!(!shown["url"].as_str().unwrap().contains(login) && shown["username"] == login, "{shown}");
        let same = api.send(Method::PATCH, &path, shown.clone()).await;
        assert_eq!(same.json::<Value>().await.unwrap(), shown, "what was read can be sent back");
        assert_eq!(entry.link().spec(api.app.viewing.config.hls.params()), told);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_paged_and_filtered() {
    let api = Api::start().await;
    for n in 0..5 {
        api.add(json!({"url": format!("rtsp://10.0.0.{n}/live"), "name": format!("Camera {n}")})).await;
    }
    let third = api.app.directory.all()[2].clone();
    let reason = Reason { code: ReasonCode::Refused, text: "the camera refuses the connection".into() };
    api.show(&third, |view| {
        view.state = StreamState::Reconnecting;
        view.reason = Some(reason);
    });
    for (query, names, total) in [
        ("?limit=2", vec![0, 1], "5"),
        ("?limit=2&offset=4", vec![4], "5"),
        ("?limit=0", vec![], "5"),
        ("?offset=9", vec![], "5"),
        ("?q=CAMERA+3", vec![3], "1"),
        ("?q=10.0.0.4", vec![4], "1"),
        ("?state=reconnecting", vec![2], "1"),
        ("?state=idle&limit=1", vec![0], "4"),
        ("?state=running", vec![], "0"),
    ] {
        let (cameras, seen) = list(&api, query).await;
        let got: Vec<_> = cameras.iter().map(|camera| camera["name"].as_str().unwrap().to_owned()).collect();
        let want: Vec<_> = names.iter().map(|n| format!("Camera {n}")).collect();
        assert_eq!((got, seen.as_str()), (want, total), "{query}");
    }
    let (cameras, _) = list(&api, "?state=reconnecting").await;
    assert_eq!(cameras[0]["reason"], "the camera refuses the connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_camera_refuses_viewers_until_it_is_started() {
    let api = Api::start().await;
    let entry = api.add_one().await;
    let (slug, id) = (entry.slug.to_string(), entry.link().id);
    api.get(&format!("/video/{slug}/")).await;
    assert!(entry.demand.current(api.app.viewing.config.mjpeg).hls);
    let stop = api.call(Method::POST, &format!("/video/{slug}/stop")).send().await.unwrap();
    assert_eq!(stop.status(), 202);
    assert_eq!(stop.json::<Value>().await.unwrap()["state"], "stopped");
    assert!(!entry.demand.current(api.app.viewing.config.mjpeg).any(), "demand ends with a stop");
    for path in [
        format!("/video/{slug}/"),
        format!("/video/play/{id}/"),
        format!("/video/play/{id}/source.m3u8"),
        format!("/video/play/{id}/1-1/source/1.m4s"),
        format!("/video/{slug}/snapshot.jpg"),
        format!("/ws/stream/{slug}/"),
    ] {
        problem(api.get(&path).await, 409).await;
    }
    let status: Value = api.get(&format!("/video/{slug}/status")).await.json().await.unwrap();
    assert_eq!(status["state"], "stopped");
    let start = api.send(Method::POST, &format!("/video/{slug}/start"), json!({})).await;
    assert_eq!(start.status(), 202);
    assert_eq!(api.get(&format!("/video/{slug}/")).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_at_the_same_time_leave_store_and_directory_in_agreement() {
    let api = Api::start().await;
    let entry = api.add_one().await;
    let path = format!("/video/{}/", entry.slug);
    let calls = (0..20).map(|n| api.send(Method::PATCH, &path, json!({"name": format!("Name {n}")})));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(api.app.store.links().await.unwrap()[0], *entry.link());
}

/// After a call to the store that was given up and carried out all the same.
#[tokio::test(flavor = "multi_thread")]
async fn the_directory_is_brought_in_line_with_the_store() {
    let api = Api::start().await;
    let (kept, gone, stopped) = (api.add_one().await, api.add_one().await, api.add_one().await);
    let store = &api.app.store;
    let added = store.add_link("late".into(), kept.link().settings.clone(), 10).await.unwrap();
    store.remove_link(gone.link().id).await.unwrap();
    store.enable_link(stopped.link().id, false).await.unwrap();
    super::super::change::align(&api.app, store.links().await.unwrap());
    let shown: Vec<_> = api.app.directory.all().iter().map(|entry| (*entry.link()).clone()).collect();
    assert_eq!(shown, store.links().await.unwrap());
    assert!(api.app.directory.by_id(added.id).is_some() && !stopped.link().enabled);
}

#[tokio::test(flavor = "multi_thread")]
async fn demand_wakes_the_reconciler() {
    let api = Api::start().await;
    let entry = api.add_one().await;
    // Changes that registering left behind.
    let _ = tokio::time::timeout(Duration::from_millis(50), api.app.directory.wake.woken()).await;
    api.get(&format!("/video/{}/", entry.slug)).await;
    tokio::time::timeout(DEADLINE, api.app.directory.wake.woken()).await.expect("woken by the first demand");
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_and_targets_tell_what_is_known() {
    let api = Api::start().await;
    assert_eq!(api.get("/health/ready").await.status(), 200);
    api.app.viewing.health.fault(rsm_shared::ops::health::Dependency::Nats, "not connected");
    let answer = api.get("/health/ready").await;
    assert_eq!(answer.status(), 503);
    assert_eq!(
        answer.json::<Value>().await.unwrap(),
        json!({"ready": false, "reasons": {"nats": "not connected"}, "warnings": {}})
    );
    api.workers.send_replace(vec![WorkerInfo { worker: "w1".into(), http: "10.0.0.9:9000".into() }]);
    assert_eq!(
        api.get("/metrics/targets").await.json::<Value>().await.unwrap(),
        json!([
            {"targets": [api.address.to_string()], "labels": {"role": "api"}},
            {"targets": ["10.0.0.9:9000"], "labels": {"role": "worker", "worker": "w1"}},
        ])
    );
    let entry = api.add_one().await;
    let numbers = api.get("/metrics").await.text().await.unwrap();
    for line in [
        "rsm_streams{state=\"idle\"} 1".to_owned(),
        "rsm_streams{state=\"running\"} 0".into(),
        format!("rsm_stream_state{{state=\"idle\",stream=\"{}\"}} 1", entry.slug),
        "rsm_viewers{kind=\"hls\"} 0".into(),
        "rsm_claim_changes_total{reason=\"failover\"} 0".into(),
        "rsm_commands_total{kind=\"store\",outcome=\"error\"} 0".into(),
        "rsm_workers{state=\"lost\"} 0".into(),
        "rsm_hls_requests_total{status=\"503\"} 0".into(),
        "rsm_viewers{kind=\"mjpeg\"} 0".into(),
        "rsm_http_requests_total{route=\"/video/\",status=\"201\"} 1".into(),
        "rsm_build_info{version=\"test\"} 1".into(),
    ] {
        assert!(numbers.contains(&line), "{line} in\n{numbers}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_stream_leaves_no_series_behind() {
    let api = Api::start().await;
    let (gone, stays) = (api.add_one().await, api.add_one().await);
    let mut seats = Vec::new();
    for (id, entry) in (1..).zip([&gone, &stays]) {
        api.show(entry, |view| (view.worker, view.fence) = (Some("w1".into()), Some(fence(1, 1))));
        entry.saw_media(fence(1, 1), Instant::now());
        seats.push(api.app.viewing.seats.take(ViewerKind::Multipart, Some(&entry.slug), api.address.ip()).unwrap());
        let player = Player::Id(id);
        api.app.viewing.hls.players.saw(entry.offer().id, player, Duration::ZERO, Instant::now());
    }
    let series = async |slug: &str| {
        let numbers = api.get("/metrics").await.text().await.unwrap();
        let label = format!("stream=\"{slug}\"");
        let lines = numbers.lines().filter(|line| line.contains(&label));
        let mut names: Vec<String> = lines.map(|line| line[..line.find('{').unwrap()].to_owned()).collect();
        names.sort();
        names
    };
    let all = [
        "rsm_stream_last_frame_age_seconds",
        "rsm_stream_state",
        "rsm_stream_viewers",
        "rsm_stream_viewers",
        "rsm_stream_worker",
    ];
    assert_eq!(series(gone.slug.as_str()).await, all);
    assert_eq!(api.send(Method::DELETE, &format!("/video/{}/", gone.slug), json!(null)).await.status(), 204);
    assert_eq!(series(gone.slug.as_str()).await, [""; 0]);
    assert_eq!(series(stays.slug.as_str()).await, all);
}

/// Only a release build says something about speed; the count is checked in any.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_cameras_are_listed() {
    let api = Api::start().await;
    let one = (*api.add_one().await.link()).clone();
    for id in 2..=10_000 {
        let slug = rsm_shared::stream::slug::Slug::parse(&format!("camera-{id}")).unwrap();
        api.app.directory.put(crate::store::links::CameraLink { id, slug, ..one.clone() });
    }
    let fastest = {
        let mut fastest = DEADLINE;
        for _ in 0..5 {
            let begun = Instant::now();
            let answer = api.get("/video/").await.bytes().await.unwrap();
            assert!(answer.len() > 1_000_000);
            fastest = fastest.min(begun.elapsed());
        }
        fastest
    };
    let (cameras, total) = list(&api, "").await;
    assert_eq!((cameras.len(), total.as_str()), (10_000, "10000"));
    let begun = Instant::now();
    let (page, _) = list(&api, "?limit=50&offset=5000&q=camera-").await;
    println!("10,000 cameras: all in {fastest:?}, a searched page in {:?}", begun.elapsed());
    assert_eq!(page.len(), 50);
    let begun = Instant::now();
    api.get("/metrics").await.text().await.unwrap();
    println!("metrics of 10,000 cameras in {:?}", begun.elapsed());
    if !cfg!(debug_assertions) {
        assert!(fastest < Duration::from_millis(100), "{fastest:?}");
    }
}
