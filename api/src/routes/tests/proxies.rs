//! Answers to requests through proxies, and to clients that were written elsewhere.

use std::io::Read as _;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn addresses_begin_with_the_path_that_a_proxy_names() {
    let api = Api::start().await;
    let entry = api.add_one().await;
    let (slug, id) = (entry.slug.to_string(), entry.link().id);
    for (prefix, want) in
        [("/cams", "/cams"), ("/a/b/", "/a/b"), ("//evil.example", ""), ("/x\"><script>", ""), ("/..", "")]
    {
        let answer = api.call(Method::GET, &format!("/video/{slug}/")).header("x-forwarded-prefix", prefix);
        let body: Value = answer.send().await.unwrap().json().await.unwrap();
        assert_eq!(body["playlist_url"], format!("{want}/video/play/{id}/"), "{prefix}");
        let created = api.call(Method::POST, "/video/").header("x-forwarded-prefix", prefix);
        let created = created.json(&json!({"url": "rtsp://h/"})).send().await.unwrap();
        let location = created.headers()["location"].to_str().unwrap().to_owned();
        assert!(location.starts_with(&format!("{want}/video/")), "{location}");
        let page = api.call(Method::GET, "/").header("x-forwarded-prefix", prefix).send().await.unwrap();
        let page = page.text().await.unwrap();
        let root = if want.is_empty() { "./".to_owned() } else { format!("{want}/") };
        assert!(page.contains(&format!("src=\"{root}assets/app.js\"")), "{prefix}: {page}");
        assert!(page.matches("=\"/").count() == page.matches(&format!("=\"{want}/")).count(), "{prefix}");
        let document =
            api.call(Method::GET, "/openapi.json").header("x-forwarded-prefix", prefix).send().await.unwrap();
        let document: Value = document.json().await.unwrap();
        assert_eq!(document["servers"][0]["url"].as_str().unwrap_or_default(), want);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_below_a_path_is_found_with_it_and_without() {
    let api = Api::start_with(&[("api.base_path", "/cams/")]).await;
    let entry = api.add_one().await;
    let (slug, id) = (entry.slug.to_string(), entry.link().id);
    for front in ["", "/cams"] {
        for path in ["/", "/docs", "/docs/docs.js", "/assets/app.js", "/assets/lib/api.js", "/openapi.json", "/video/"]
        {
            assert_eq!(api.get(&format!("{front}{path}")).await.status(), 200, "{front}{path}");
        }
        let body: Value = api.get(&format!("{front}/video/{slug}/")).await.json().await.unwrap();
        assert_eq!(body["playlist_url"], format!("/cams/video/play/{id}/"));
    }
    let page = api.get("/cams").await.text().await.unwrap();
    assert!(page.contains("src=\"/cams/assets/app.js\""));
    let refused = Config::load(None, &[("api.base_path", "/video".into())]).unwrap_err();
    assert!(refused.to_string().contains("api.base_path"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_documentation_finds_its_files_with_and_without_the_last_slash() {
    let api = Api::start().await;
    for (path, root) in [("/docs", "./docs/docs.js"), ("/docs/", "../docs/docs.js")] {
        assert!(api.get(path).await.text().await.unwrap().contains(&format!("src=\"{root}\"")), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_allows_what_is_read_and_credentials_for_listed_origins() {
    let api = Api::start_with(&[("api.allowed_origins", "https://cameras.example")]).await;
    for (origin, credentials) in [("https://cameras.example", true), ("http://localhost:5173", false)] {
        let answer = api
            .call(Method::OPTIONS, "/video/play/1/")
            .header("origin", origin)
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "range, if-range")
            .send()
            .await
            .unwrap();
        let allowed = answer.headers()["access-control-allow-headers"].to_str().unwrap().to_lowercase();
        let allowed: Vec<_> = allowed.split(',').map(str::trim).collect();
        for name in [
            "range",
            "if-range",
            "if-none-match",
            "if-modified-since",
            "cache-control",
            "last-event-id",
            "traceparent",
            "tracestate",
            "content-type",
            "authorization",
        ] {
            assert!(allowed.contains(&name), "{name}");
        }
        let get = api.call(Method::GET, "/video/").header("origin", origin).send().await.unwrap();
        let exposed = get.headers()["access-control-expose-headers"].to_str().unwrap().to_owned();
        for name in ["Content-Range", "ETag", "Retry-After", "Location", "X-Total-Count"] {
            assert!(exposed.contains(name), "{name}");
        }
        for answer in [answer, get] {
            let with = answer.headers().get("access-control-allow-credentials").is_some_and(|value| value == "true");
            assert_eq!(with, credentials, "{origin}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_sites_of_the_configuration_frame_the_page() {
    let api = Api::start_with(&[("api.embed_origins", "https://home.example")]).await;
    for path in ["/", "/docs"] {
        let policy = api.get(path).await.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.ends_with("frame-ancestors 'self' https://home.example"), "{policy}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_compressed_for_those_that_take_it_and_known_answers_are_not_sent_again() {
    let api = Api::start().await;
    for n in 0..40 {
        api.add(json!({"url": format!("rtsp://10.0.0.{n}/"), "name": format!("Yard {n}")})).await;
    }
    for path in [
        "/video/",
        "/",
        "/assets/app.js",
        "/openapi.json",
        "/docs/swagger-ui-bundle.js",
        "/metrics",
        "/video/export.csv",
    ] {
        let plain = api.get(path).await;
        assert!(plain.headers().get("content-encoding").is_none(), "{path}");
        let plain_tag = plain.headers().get("etag").cloned();
        let plain = plain.bytes().await.unwrap();
        let packed = api.call(Method::GET, path).header("accept-encoding", "br, gzip").send().await.unwrap();
        assert_eq!(
            packed.headers().get("content-encoding").map(|value| value.as_bytes()),
            Some(&b"gzip"[..]),
            "{path}"
        );
        let vary: Vec<_> = packed.headers().get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
        assert!(vary.contains(&"Accept-Encoding") && vary.contains(&"Origin"), "{vary:?}");
        let tag = packed.headers().get("etag").cloned();
        let packed = packed.bytes().await.unwrap();
        assert!(packed.len() < plain.len() / 2, "{path}: {} of {}", packed.len(), plain.len());
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut back).unwrap();
        if path == "/metrics" {
            continue;
        }
        assert_eq!(back, plain, "{path}");
        for tag in [tag, plain_tag].into_iter().flatten() {
            let again = api.call(Method::GET, path).header("if-none-match", tag).send().await.unwrap();
            assert_eq!(again.status(), 304, "{path}");
        }
    }
    let small = api.call(Method::GET, "/health/live").header("accept-encoding", "gzip").send().await.unwrap();
    assert!(small.headers().get("content-encoding").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_of_a_file_is_sent_alone() {
    let api = Api::start().await;
    let path = "/assets/app.js";
    let whole = api.get(path).await;
    let tag = whole.headers()["etag"].clone();
    assert_eq!(whole.headers()["accept-ranges"], "bytes");
    let whole = whole.bytes().await.unwrap();
    let ask =
        |range: &'static str| api.call(Method::GET, path).header("range", range).header("accept-encoding", "gzip");
    let part = ask("bytes=10-19").send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.headers()["content-range"], format!("bytes 10-19/{}", whole.len()));
    assert_eq!(part.bytes().await.unwrap(), whole[10..20]);
    let same = ask("bytes=-5").header("if-range", tag).send().await.unwrap();
    assert_eq!((same.status().as_u16(), same.bytes().await.unwrap()), (206, whole.slice(whole.len() - 5..)));
    for request in [ask("bytes=0-1,4-5"), ask("bytes=10-19").header("if-range", "\"other\""), ask("lines=1-2")] {
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
    let beyond = ask("bytes=99999999-").send().await.unwrap();
    assert_eq!(beyond.headers()["content-range"], format!("bytes */{}", whole.len()));
    problem(beyond, 416).await;
}
