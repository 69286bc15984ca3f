use bytes::Bytes;
use rsm_shared::bus::probe::{self, PendingProbe, ProbeAnswer, ProbeRequests};
use rsm_shared::stream::names::{WorkerId, Zone};
use rsm_shared::stream::state::{Reason, ReasonCode, StreamState, VideoInfo};
use rsm_shared::wire::messages::{ProbeReport, ProbeRequest, VERSION};

use super::*;

/// An API and a worker's side of the same NATS server.
struct Stage {
    api: Api,
    worker: Bus,
    _nats: Nats,
}

impl Stage {
    async fn start() -> Self {
        let nats = Nats::start().await;
        let api = Api::start_with(&[("nats.urls", nats.url.as_str())]).await;
        let worker = Bus::connect(&api.app.viewing.config.nats, Purpose::Control, "test-worker").await.unwrap();
        until("the connections", || worker.connected() && api.app.frames.connected(), |connected| *connected).await;
        Self { api, worker, _nats: nats }
    }

    /// Once this returns, the server knows the subscription of a worker.
    async fn requests(&self) -> ProbeRequests {
        let zone = Zone::default_zone();
        let mut requests = ProbeRequests::open(&self.worker, std::slice::from_ref(&zone)).await.unwrap();
        let spec = self.api.add_one().await.link().spec(self.api.app.viewing.config.hls.params());
        let jpeg = self.api.app.viewing.config.mjpeg;
        let request = ProbeRequest { v: VERSION, spec, jpeg };
        let answering = async { next(&mut requests).await.answer(&report(StreamState::Running, None), None).await };
        let asking = async {
            while matches!(probe::ask(&self.api.app.frames, &zone, &request).await, Ok(ProbeAnswer::NoWorker)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::join!(asking, answering).1.unwrap();
        requests
    }

    fn ask(&self, path: &str, body: Value) -> tokio::task::JoinHandle<Response> {
        let request = self.api.call(Method::POST, path).json(&body);
        tokio::spawn(async { request.send().await.unwrap() })
    }
}

async fn next(requests: &mut ProbeRequests) -> PendingProbe {
    tokio::time::timeout(DEADLINE, requests.next()).await.expect("a request in time").unwrap().unwrap()
}

fn report(state: StreamState, reason: Option<Reason>) -> ProbeReport {
    let video = reason.is_none().then(|| VideoInfo {
        codec: "h264".into(),
        rfc6381: "avc1.64001f".into(),
        width: 1920,
        height: 1080,
        fps: None,
        bitrate: None,
    });
    ProbeReport { v: VERSION, worker: WorkerId::parse("w1").unwrap(), state, reason, video, audio: None, took_ms: 1234 }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_is_tried_without_being_saved() {
    let stage = Stage::start().await;
    let mut requests = stage.requests().await;
    let before = stage.api.app.directory.len();
    let asked = stage.ask("/video/test", json!({"url": "rtsp://admin:hunter2@10.0.0.1/h264", "transport": "tcp"}));
    let pending = next(&mut requests).await;
    assert_eq!(pending.request.spec.url.to_string(), "rtsp://10.0.0.1/h264");
    let login = pending.request.spec.credentials.as_ref().unwrap();
    assert_eq!((login.username.as_str(), login.password.expose()), ("admin", "hunter2"));
    assert_eq!((pending.request.jpeg.max_width, pending.request.jpeg.quality), (640, 80));
    pending.answer(&report(StreamState::Running, None), Some(Bytes::from_static(b"\xff\xd8jpeg"))).await.unwrap();
    let answer = asked.await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["cache-control"]), (200, &"no-store".parse().unwrap()));
    let tested: Value = answer.json().await.unwrap();
    assert_eq!(
        tested,
        json!({
            "ok": true, "state": "running", "reason": null, "audio": null, "worker": "w1", "took_ms": 1234,
            "video": {"codec": "h264", "width": 1920, "height": 1080, "fps": null, "bitrate": null},
            "picture": "data:image/jpeg;base64,/9hqcGVn",
        })
    );
    assert_eq!(stage.api.app.directory.len(), before, "nothing is saved");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_tried_with_the_stored_password() {
    let stage = Stage::start().await;
    let mut requests = stage.requests().await;
    let entry = stage.api.add_one().await;
    let before = entry.link();
    for (body, url, password) in [
        (json!({}), "rtsp://10.0.0.1/h264", "hunter2"),
        (json!({"password": "***", "url": "rtsp://10.0.0.2/"}), "rtsp://10.0.0.2/", "hunter2"),
        (json!({"url": "rtsp://admin:***@10.0.0.2/"}), "rtsp://10.0.0.2/", "hunter2"),
        (json!({"password": "another"}), "rtsp://10.0.0.1/h264", "another"),
    ] {
        let asked = stage.ask(&format!("/video/{}/test", entry.slug), body);
        let pending = next(&mut requests).await;
        assert_eq!(pending.request.spec.url.to_string(), url);
        assert_eq!(pending.request.spec.credentials.as_ref().unwrap().password.expose(), password);
        let reason = Reason { code: ReasonCode::Refused, text: "nobody answers there".into() };
        pending.answer(&report(StreamState::Reconnecting, Some(reason)), None).await.unwrap();
        let text = asked.await.unwrap().text().await.unwrap();
        assert!(!text.contains(password));
        let tested: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&tested["ok"], &tested["picture"], &tested["video"]), (&json!(false), &json!(null), &json!(null)));
        assert_eq!(tested["reason"], json!({"code": "refused", "text": "nobody answers there"}));
    }
    assert_eq!(*entry.link(), *before, "nothing is saved");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_saved_is_not_tried() {
    let api = Api::start().await;
    let slug = api.add_one().await.slug.to_string();
    for (path, body, status, field) in [
        ("/video/test".to_owned(), json!({}), 400, None),
        ("/video/test".into(), json!({"url": "ftp://h/"}), 422, Some("url")),
        ("/video/test".into(), json!({"url": "rtsp://h/", "password": "***"}), 422, Some("password")),
        (format!("/video/{slug}/test"), json!({"transport": "x"}), 422, Some("transport")),
        ("/video/unknown/test".into(), json!({}), 404, None),
    ] {
        let body = problem(api.send(Method::POST, &path, body).await, status).await;
        assert_eq!(body["field"].as_str(), field, "{path}");
    }
    let plain = api.call(Method::POST, "/video/test").body("{}").send().await.unwrap();
    problem(plain, 415).await;
    let foreign = api.call(Method::POST, "/video/test").header("origin", "https://evil.example").json(&json!({}));
    problem(foreign.send().await.unwrap(), 403).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_without_workers_and_too_many_tests_say_when_to_come_back() {
    let stage = Stage::start().await;
    let body = || json!({"url": "rtsp://10.0.0.1/"});
    let nobody = stage.api.send(Method::POST, "/video/test", body()).await;
    assert!(nobody.headers().contains_key("retry-after"));
    assert!(problem(nobody, 503).await["error"].as_str().unwrap().contains("zone default"));

    let mut requests = stage.requests().await;
    let asked: Vec<_> = (0..4).map(|_| stage.ask("/video/test", body())).collect();
    let mut running = Vec::new();
    while running.len() < 4 {
        running.push(next(&mut requests).await);
    }
    let fifth = stage.api.send(Method::POST, "/video/test", body()).await;
    assert!(fifth.headers().contains_key("retry-after"));
    problem(fifth, 429).await;
    for pending in running {
        pending.answer(&report(StreamState::Running, None), None).await.unwrap();
    }
    for asked in asked {
        assert_eq!(asked.await.unwrap().status(), 200);
    }
    let away = Api::start().await;
    problem(away.send(Method::POST, "/video/test", body()).await, 503).await;
}
