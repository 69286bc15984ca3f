//! Traces of starts, through an API, a relay and a worker, as a real collector gets them.

mod collector;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::camera::Camera;
use crate::harness::eventually;
use crate::harness::nats::Nats;
use crate::harness::service::Service;
use crate::harness::viewer::JpegViewer;
use collector::{CollectedSpan, Collector};

/// A farm of one worker, with cameras that have no viewer yet.
struct Bench {
    api: Service,
    worker: Service,
    environment: Vec<(&'static str, String)>,
    dir: tempfile::TempDir,
    _nats: Nats,
}

impl Bench {
    async fn start(more: &[(&'static str, String)]) -> Self {
        let (nats, dir) = (Nats::start().await, tempfile::tempdir().unwrap());
        let mut environment = vec![("RSM__NATS__URLS", nats.url.clone())];
        environment.extend(more.iter().cloned());
        let api = Service::api(&dir.path().join("api"), &environment).await;
        let worker = Service::worker("w1", &dir.path().join("w1"), &environment).await;
        Self { api, worker, environment, dir, _nats: nats }
    }

    async fn traced(collector: &Collector) -> Self {
        Self::start(&[("RSM__TRACES__OTLP_ENDPOINT", collector.endpoint())]).await
    }

    async fn add(&self, body: Value) -> (String, i64) {
        let answer = self.api.http.post(format!("{}/video/", self.api.base)).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
        let saved: Value = answer.json().await.unwrap();
        (saved["slug"].as_str().unwrap().to_owned(), saved["id"].as_i64().unwrap())
    }
}

fn of<'a>(trace: &'a [CollectedSpan], name: &str) -> &'a CollectedSpan {
    trace.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name} in {trace:#?}"))
}

/// Each of these is a child of the first.
fn is_over(trace: &[CollectedSpan], parent: &str, children: &[&str]) {
    let id = &of(trace, parent).id;
    for child in children {
        assert_eq!(&of(trace, child).parent, id, "{child} under {parent} in {trace:#?}");
    }
}

fn begin_in_order(trace: &[CollectedSpan], names: &[&str]) {
    for pair in names.windows(2) {
        let (first, second) = (of(trace, pair[0]), of(trace, pair[1]));
        assert!(first.begun <= second.begun, "{} before {} in {trace:#?}", pair[0], pair[1]);
    }
}

const STEPS: [&str; 6] = ["resolve", "DESCRIBE", "SETUP", "PLAY", "first picture", "first key frame"];

#[tokio::test]
async fn one_trace_holds_a_start_from_the_request_to_the_first_frame() {
    let (collector, camera) = (Collector::start().await, Camera::start().await);
    let bench = Bench::traced(&collector).await;
    let (slug, _) = bench.add(json!({ "url": camera.url() })).await;
    let mut viewer = JpegViewer::try_open_at(&bench.api.base, &slug).await.unwrap();
    assert!(viewer.next().await.is_some());

    let request = "GET /ws/stream/{slug}/";
    let whole = [
        ("rsm-api", request),
        ("rsm-api", "first frame"),
        ("rsm-api", "place"),
        ("rsm-worker", "ticket queued"),
        ("rsm-worker", "claim"),
        ("rsm-worker", "start"),
        ("rsm-worker", "open camera"),
        ("rsm-worker", "frames"),
    ];
    let trace = collector.until_trace("the trace of a start", &whole).await;
    is_over(&trace, request, &["first frame", "place"]);
    is_over(&trace, "place", &["commit epoch", "publish ticket", "ticket queued", "claim", "start"]);
    is_over(&trace, "start", &["open camera", "frames"]);
    is_over(&trace, "open camera", &STEPS);
    is_over(&trace, "frames", &["wait for key frame", "make pipeline", "code first frame"]);
    assert_eq!(of(&trace, request).parent, "", "nobody began it before");
    begin_in_order(&trace, &[request, "place", "publish ticket", "claim", "start", "open camera"]);
    begin_in_order(&trace, &STEPS);
    let (first, key) = (of(&trace, "first frame"), of(&trace, "first key frame"));
    assert!(key.ended <= first.ended, "a frame was shown before there was a picture: {trace:#?}");
    assert!(trace.iter().all(|span| span.begun <= span.ended && span.error.is_none()), "{trace:#?}");

    let start = of(&trace, "start");
    for (key, want) in [("rsm.stream", slug.as_str()), ("rsm.worker", "w1"), ("rsm.reason", "start")] {
        assert_eq!(start.attributes[key], want);
    }
    for key in ["rsm.epoch", "rsm.revision"] {
        assert_eq!(start.attributes[key], first.attributes[key], "{key} of the claim is that of the frame");
    }
    assert_eq!(of(&trace, request).attributes["http.response.status_code"], "101");
    assert!(!collector.was_sent("rtsp://"), "no address of a camera is in a trace");
}

#[tokio::test]
async fn a_relays_player_goes_on_with_the_trace_that_it_brings() {
    let (collector, camera) = (Collector::start().await, Camera::start().await);
    let bench = Bench::traced(&collector).await;
    let (slug, id) = bench.add(json!({ "url": camera.url() })).await;
    let relay = Service::relay(&bench.dir.path().join("relay"), &bench.environment).await;
    let client = &relay.http;
    let listed = async || {
        let answer = client.get(format!("{}/video/{slug}/status", relay.base)).send().await.unwrap();
        answer.status()
    };
    eventually("the relay to know the camera", listed, |status| *status == StatusCode::OK).await;
    let brought = "4bf92f3577b34da6a3ce929d0e0e4736";
    let play = async || {
        let url = format!("{}/video/play/{id}/", relay.base);
        let header = format!("00-{brought}-00f067aa0ba902b7-01");
        client.get(url).header("traceparent", header).send().await.unwrap().status()
    };
    eventually("a playlist", play, |status| *status == StatusCode::OK).await;

    let request = "GET /video/play/{id}/";
    let whole = [
        ("rsm-relay", request),
        ("rsm-relay", "first playlist"),
        ("rsm-api", "place"),
        ("rsm-worker", "claim"),
        ("rsm-worker", "open camera"),
        ("rsm-worker", "HLS"),
    ];
    let trace = collector.until_trace("the trace of a start through a relay", &whole).await;
    assert!(trace.iter().all(|span| span.trace == brought));
    // The player may have asked more than once: the first request is the one that began it.
    let first = trace.iter().filter(|span| span.name == request).min_by_key(|span| span.begun).unwrap();
    assert_eq!(first.parent, "00f067aa0ba902b7");
    assert_eq!(of(&trace, "place").parent, first.id);
    is_over(&trace, "place", &["claim", "start"]);
    is_over(&trace, "start", &["open camera", "HLS"]);
    is_over(&trace, "HLS", &["wait for key frame", "make first segment"]);
}

#[tokio::test]
async fn a_refused_login_is_an_error_in_the_trace_without_the_password() {
    let (collector, camera) = (Collector::start().await, Camera::start_with(0, &[], Some("right-s3cret")).await);
    let endpoint = format!("http://tracer:s3same@127.0.0.1:{}", collector.port);
    let bench = Bench::start(&[("RSM__TRACES__OTLP_ENDPOINT", endpoint)]).await;
    let (slug, _) = bench.add(json!({ "url": camera.url(), "username": "admin", "password": "wr0ng-s3cret" })).await;
    let _viewer = JpegViewer::try_open_at(&bench.api.base, &slug).await.unwrap();

    let names = [("rsm-api", "place"), ("rsm-worker", "start"), ("rsm-worker", "open camera")];
    let trace = collector.until_trace("the trace of a refused login", &names).await;
    for name in ["start", "open camera"] {
        let span = of(&trace, name);
        assert_eq!(span.attributes["error.type"], "auth_failed", "{span:?}");
        assert!(span.error.as_ref().is_some_and(|text| text.contains(' ')), "a sentence: {span:?}");
    }
    for secret in ["wr0ng-s3cret", "right-s3cret", "s3same", "rtsp://"] {
        assert!(!collector.was_sent(secret), "{secret} is in a trace");
    }
    assert!(collector.heads().iter().all(|head| head.starts_with("POST /v1/traces ")));
    assert!(collector.heads().iter().all(|head| head.to_ascii_lowercase().contains("authorization: basic")));
    for log in [&bench.api.log, &bench.worker.log] {
        assert!(log.text().contains("traces are on") && !log.text().contains("s3same"), "{}", log.text());
    }
}

#[tokio::test]
async fn a_second_try_is_a_trace_of_its_own_linked_to_the_first() {
    let collector = Collector::start().await;
    let more = [("RSM__TRACES__OTLP_ENDPOINT", collector.endpoint()), ("RSM__CAMERA__BACKOFF_MAX_S", "1".to_owned())];
    let bench = Bench::start(&more).await;
    let (slug, _) = bench.add(json!({ "url": format!("rtsp://127.0.0.1:{}/x", nobody().await) })).await;
    let _viewer = JpegViewer::try_open_at(&bench.api.base, &slug).await.unwrap();
    let tries = async || {
        let mut tries: Vec<CollectedSpan> =
            collector.spans().into_iter().filter(|span| span.name == "open camera").collect();
        tries.sort_by_key(|span| span.begun);
        tries
    };
    let tries = eventually("two tries", tries, |tries| tries.len() >= 2).await;
    assert!(tries[0].links.is_empty() && !tries[0].parent.is_empty(), "{tries:#?}");
    assert_eq!(tries[1].links, [tries[0].trace.clone()], "{tries:#?}");
    assert!(tries[1].parent.is_empty() && tries[1].trace != tries[0].trace);
    assert_eq!(tries[1].attributes["rsm.reason"], "refused", "why there is a second one");
}

/// A port without a listener: bound and released.
async fn nobody() -> u16 {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn nothing_connects_to_a_collector_unless_it_is_configured() {
    let (collector, camera) = (Collector::start().await, Camera::start().await);
    // Variables that libraries of OpenTelemetry read by themselves switch nothing on.
    let bench = Bench::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())]).await;
    let (slug, _) = bench.add(json!({ "url": camera.url() })).await;
    let mut viewer = JpegViewer::try_open_at(&bench.api.base, &slug).await.unwrap();
    assert!(viewer.next().await.is_some());
    let Bench { mut api, mut worker, .. } = bench;
    for service in [&mut worker, &mut api] {
        service.end().await;
    }
    assert_eq!(collector.connections(), 0);
}

#[tokio::test]
async fn a_collector_that_is_away_costs_one_line_and_nothing_else() {
    let camera = Camera::start_as(&["--count", "2"]).await;
    let bench = Bench::start(&[("RSM__TRACES__OTLP_ENDPOINT", format!("http://127.0.0.1:{}", nobody().await))]).await;
    for url in &camera.urls {
        let (slug, _) = bench.add(json!({ "url": url })).await;
        let mut viewer = JpegViewer::try_open_at(&bench.api.base, &slug).await.unwrap();
        assert!(viewer.next().await.is_some());
    }
    for log in [&bench.api.log, &bench.worker.log] {
        let told = async || log.text().matches("spans cannot be sent").count();
        eventually("a role to say that its spans are lost", told, |told| *told == 1).await;
    }
    let Bench { mut api, mut worker, .. } = bench;
    for service in [&mut worker, &mut api] {
        service.end().await;
        assert_eq!(service.log.text().matches("spans cannot be sent").count(), 1, "{}", service.log.text());
    }
}
