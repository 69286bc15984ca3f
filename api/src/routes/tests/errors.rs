use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn every_malformed_request_is_a_problem_of_its_kind() {
    let api = Api::start().await;
    let slug = api.add_one().await.slug.to_string();
    let post = |body: &str, content_type: &str| {
        api.call(Method::POST, "/video/").header("content-type", content_type).body(body.to_owned())
    };
    let json = "application/json";
    for (request, status, field) in [
        (post("{", json), 400, None),
        (post("", json), 400, None),
        (post("[]", json), 422, None),
        (post("{\"url\":\"rtsp://h/\"}", "text/plain"), 415, None),
        (post("url=rtsp://h/", "application/x-www-form-urlencoded"), 415, None),
        (post(&format!("{{\"name\":\"{}\"}}", "x".repeat(65_536)), json), 413, None),
        (post(&"x".repeat(2 << 20), json), 413, None),
        (post("{\"url\":\"ftp://h/\"}", json), 422, Some("url")),
        (post("{\"url\":7}", json), 422, Some("url")),
        (post("{\"url\":\"rtsp://h/\",\"hls\":{\"segment_seconds\":0}}", json), 422, Some("hls.segment_seconds")),
        (post("{\"url\":\"rtsp://h/\",\"<b>\":0}", json), 422, Some("<b>")),
        (api.call(Method::PATCH, &format!("/video/{slug}/")).json(&json!({"transport": "x"})), 422, Some("transport")),
        (api.call(Method::PATCH, &format!("/video/{slug}/")).body("{}"), 415, None),
        (api.call(Method::POST, &format!("/video/{slug}/stop")).json(&json!({"x": 1})), 422, Some("x")),
        (api.call(Method::PATCH, "/video/unknown/").json(&json!({})), 404, None),
        (api.call(Method::DELETE, "/video/unknown/"), 404, None),
        (api.call(Method::POST, "/video/unknown/start"), 404, None),
        (api.call(Method::GET, "/video/unknown/"), 404, None),
        (api.call(Method::GET, "/video/..%2f..%2fetc/status"), 404, None),
        (api.call(Method::GET, "/video/play/999/"), 404, None),
        (api.call(Method::GET, "/video/play/x/"), 404, None),
        (api.call(Method::GET, "/video/play/-1/source.m3u8"), 404, None),
        (api.call(Method::GET, "/ws/stream/unknown/"), 404, None),
        (api.call(Method::GET, &format!("/ws/stream/{slug}/")), 426, None),
        (api.call(Method::GET, &format!("/ws/stream/{slug}/?events=x")), 422, Some("events")),
        (api.call(Method::GET, "/nothing/here"), 404, None),
        (api.call(Method::GET, "/assets/..%2fapp.css"), 404, None),
        (api.call(Method::GET, "/assets/wall/..%2fapp.css"), 404, None),
        (api.call(Method::GET, "/docs/index.html"), 404, None),
        (api.call(Method::GET, "/video/?limit=x"), 422, Some("limit")),
        (api.call(Method::GET, "/video/?offset=-1"), 422, Some("offset")),
        (api.call(Method::GET, "/video/?state=asleep"), 422, Some("state")),
        (api.call(Method::GET, &format!("/video/?q={}", "x".repeat(201))), 422, Some("q")),
        (api.call(Method::GET, &format!("/video/{slug}/snapshot.jpg?width=15")), 422, Some("width")),
        (api.call(Method::GET, &format!("/video/{slug}/snapshot.jpg?max_age_ms=60001")), 422, Some("max_age_ms")),
    ] {
        let body = problem(request.send().await.unwrap(), status).await;
        assert_eq!(body["field"].as_str(), field, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_address_is_answered_as_it_always_was() {
    let api = Api::start().await;
    for request in [
        api.call(Method::POST, "/video/").json(&json!({})),
        api.call(Method::POST, "/video/").json(&json!({"url": ""})),
        api.call(Method::POST, "/video"),
    ] {
        let body = problem(request.send().await.unwrap(), 400).await;
        assert_eq!(body["error"], "URL is not provided");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_are_refused_with_those_that_are_taken() {
    let api = Api::start().await;
    for route in super::super::table::routes() {
        let path = ["slug", "file", "folder"]
            .iter()
            .fold(route.path.to_owned(), |path, name| path.replace(&format!("{{{name}}}"), "x"));
        let path = path.replace("{id}", "1").replace("{owner}", "1-1");
        let answer = api.call(Method::PUT, &path).send().await.unwrap();
        let allow = answer.headers()["allow"].to_str().unwrap().to_owned();
        problem(answer, 405).await;
        for (method, _) in route.methods {
            assert!(allow.contains(method.as_str()), "{path}: {allow}");
            assert!(method != Method::GET || allow.contains("HEAD"), "{path}: {allow}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_work_with_and_without_the_last_slash_and_head_works_like_get() {
    let api = Api::start().await;
    let slug = api.add_one().await.slug.to_string();
    for path in ["/video", "/health/live", "/metrics", "/docs", "/openapi.json", &format!("/video/{slug}/status")] {
        for path in [path.to_owned(), format!("{path}/")] {
            let answer = api.get(&path).await;
            assert_eq!(answer.status(), 200, "{path}");
            let content_type = answer.headers()["content-type"].clone();
            let head = api.call(Method::HEAD, &path).send().await.unwrap();
            assert_eq!((head.status().as_u16(), &head.headers()["content-type"]), (200, &content_type), "{path}");
            assert!(head.bytes().await.unwrap().is_empty());
        }
    }
    assert_eq!(api.call(Method::HEAD, "/video/unknown/").send().await.unwrap().status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_origins_may_look_but_not_touch() {
    let api = Api::start_with(&[("api.allowed_origins", "https://cameras.example")]).await;
    let own = format!("http://{}", api.address);
    for (origin, may) in [
        (own.as_str(), true),
        ("http://localhost:3000", true),
        ("https://cameras.example", true),
        ("https://evil.example", false),
        ("null", false),
    ] {
        let post = api.call(Method::POST, "/video/").header("origin", origin).json(&json!({"url": "rtsp://h/"}));
        let post = post.send().await.unwrap();
        let get = api.call(Method::GET, "/video/").header("origin", origin).send().await.unwrap();
        let preflight = api
            .call(Method::OPTIONS, "/video/")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .send()
            .await
            .unwrap();
        assert_eq!(get.status(), 200);
        let cross = may && origin != own;
        let echoed = get.headers().get("access-control-allow-origin").map(|value| value.to_str().unwrap());
        assert_eq!(echoed, cross.then_some(origin));
        if may {
            assert_eq!((post.status().as_u16(), preflight.status().as_u16()), (201, 204), "{origin}");
            if cross {
                assert!(preflight.headers()["access-control-allow-methods"].to_str().unwrap().contains("PATCH"));
            }
        } else {
            problem(post, 403).await;
            problem(preflight, 403).await;
        }
        let socket = api
            .call(Method::GET, "/ws/hellostream/")
            .header("origin", origin)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .send()
            .await
            .unwrap();
        assert_eq!(socket.status().as_u16(), if may { 101 } else { 403 }, "{origin}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_cameras_is_a_conflict() {
    let api = Api::start_with(&[("api.max_links", "1")]).await;
    api.add_one().await;
    problem(api.send(Method::POST, "/video/", json!({"url": "rtsp://h/"})).await, 409).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_password_leaves_by_no_door() {
    let api = Api::start().await;
    let entry = api.add(json!({"url": "rtsp://admin:S3CR3TPW@10.0.0.1/h264", "name": "Yard"})).await;
    let slug = entry.slug.to_string();
    let mut seen = slug.clone();
    for path in [
        "/video/".to_owned(),
        format!("/video/{slug}/"),
        format!("/video/{slug}/status"),
        "/metrics".into(),
        "/openapi.json".into(),
        "/video/?q=S3CR3TPW".into(),
    ] {
        let answer = api.get(&path).await;
        seen += &format!("{:?}", answer.headers());
        seen += &answer.text().await.unwrap();
    }
    for body in [json!({"name": "x"}), json!({"password": "S3CR3TPW", "x": 1}), json!({"url": "rtsp://a:S3CR3TPW@/"})] {
        seen += &api.send(Method::PATCH, &format!("/video/{slug}/"), body).await.text().await.unwrap();
    }
    let broken = api.call(Method::POST, "/video/").header("content-type", "application/json");
    seen += &broken.body("{\"password\": \"S3CR3TPW\",}").send().await.unwrap().text().await.unwrap();
    assert!(!seen.contains("S3CR3TPW"));
    assert!(seen.contains("admin:***@"));
}
