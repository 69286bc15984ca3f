use super::*;

impl Api {
    async fn import(&self, query: &str, list: impl Into<reqwest::Body>) -> Response {
        let request = self.call(Method::POST, &format!("/video/import{query}"));
        request.header("content-type", "text/csv; charset=utf-8").body(list).send().await.unwrap()
    }

    /// The result of an import, and the status.
    async fn imported(&self, query: &str, list: &str) -> (u16, Value) {
        let answer = self.import(query, list.to_owned()).await;
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        assert!(!text.contains("S3CR3TPW"), "{text}");
        (status, serde_json::from_str(&text).unwrap())
    }
}

const LIST: &str = "url;name;username;password;zone;always_on\r\n\
    rtsp://10.0.0.1/a;North;admin;S3CR3TPW;;yes\r\n\
    rtsp://u:S3CR3TPW@10.0.0.2/b;;;;hall;\r\n";
const MISTAKES: &str = "url,name,password,zone,transport,exclusive\n\
    rtsp://10.0.0.1/a,Good,S3CR3TPW,,,\n\
    ftp://u:S3CR3TPW@10.0.0.1/,Bad,,,,\n\
    rtsp://admin@10.0.0.1/,Zone,S3CR3TPW,no zone,,\n\
    rtsp://10.0.0.1/c,,,,x,\n\
    rtsp://10.0.0.1/d,,,,,maybe\n\
    ,Nowhere,,,,\n\
    rtsp://10.0.0.1/a,,,,,,,more\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_registered_as_a_form_would_be() {
    let api = Api::start().await;
    let (status, tried) = api.imported("?dry_run=1", LIST).await;
    assert_eq!((status, &tried["valid"], &tried["created"]), (200, &json!(2), &json!(0)));
    assert!(api.app.directory.is_empty());
    let (status, done) = api.imported("", LIST).await;
    assert_eq!(
        (status, &done["dry_run"], &done["created"], &done["invalid"]),
        (200, &json!(false), &json!(2), &json!(0))
    );
    let entries = api.app.directory.all();
    let want = json!([
        {"line": 2, "ok": true, "name": "North", "url": "rtsp://admin:***@10.0.0.1/a", "slug": entries[0].slug.as_str(),
            "error": null, "warning": null},
        {"line": 3, "ok": true, "name": "10.0.0.2/b", "url": "rtsp://u:***@10.0.0.2/b", "slug": entries[1].slug.as_str(),
            "error": null, "warning": null},
    ]);
    assert_eq!(done["rows"], want);
    let (first, second) = (entries[0].link(), entries[1].link());
    assert!(first.always_on && !second.always_on);
    assert_eq!(
        (first.password.as_ref().unwrap().expose(), second.password.as_ref().unwrap().expose()),
        ("S3CR3TPW", "S3CR3TPW")
    );
    assert_eq!(second.zone.as_str(), "hall");
    assert_eq!(api.app.store.links().await.unwrap(), [(*first).clone(), (*second).clone()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_holds_all_up_unless_it_may_be_skipped() {
    let api = Api::start().await;
    for (query, status) in [("?dry_run=1", 200), ("", 422)] {
        let (seen, body) = api.imported(query, MISTAKES).await;
        assert_eq!(
            (seen, &body["valid"], &body["invalid"], &body["created"]),
            (status, &json!(1), &json!(6), &json!(0))
        );
        let errors: Vec<_> = body["rows"].as_array().unwrap().iter().map(|row| &row["error"]["field"]).collect();
        let want = json!([null, "url", "zone", "transport", "exclusive", "url", null]);
        assert_eq!(json!(errors), want);
        assert_eq!(body["rows"][1]["url"], json!(null));
        assert_eq!(body["rows"][2]["url"], "rtsp://admin:***@10.0.0.1/");
        assert!(body["rows"][6]["error"]["text"].as_str().unwrap().contains("8 cells"));
        assert!(api.app.directory.is_empty());
    }
    let (status, body) = api.imported("?skip_invalid=1", MISTAKES).await;
    assert_eq!((status, &body["created"], &body["invalid"]), (200, &json!(1), &json!(6)));
    assert_eq!(api.app.directory.all()[0].link().name, "Good");
    assert_eq!(body["rows"][0]["slug"], api.app.directory.all()[0].slug.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_there_already_is_worth_a_word() {
    let api = Api::start().await;
    let slug = api.add_one().await.slug.to_string();
    let (status, body) = api.imported("?dry_run=true", "rtsp://10.0.0.1/h264\nrtsp://h/1\nrtsp://h/1,again\n").await;
    assert_eq!((status, &body["valid"]), (200, &json!(3)));
    let warnings: Vec<_> = body["rows"].as_array().unwrap().iter().map(|row| row["warning"].as_str()).collect();
    let known = format!("it has the same address as camera {slug}");
    assert_eq!(warnings, [Some(known.as_str()), None, Some("it has the same address as line 2")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_over_the_limits_are_mistakes() {
    let api = Api::start_with(&[("api.max_links", "2")]).await;
    api.add_one().await;
    let (status, body) = api.imported("?skip_invalid=1", "rtsp://h/1\nrtsp://h/2\n").await;
    assert_eq!((status, &body["created"]), (200, &json!(1)));
    assert!(body["rows"][1]["error"]["text"].as_str().unwrap().contains("api.max_links"), "{body}");

    let api = Api::start().await;
    let zones: String = (0..65).map(|n| format!("rtsp://h/,z{n}\n")).collect();
    let (_, body) = api.imported("?dry_run=1", &format!("url,zone\n{zones}rtsp://h/,z0\n")).await;
    assert_eq!((&body["valid"], &body["rows"][64]["error"]["field"]), (&json!(65), &json!("zone")));
    let large: String = (0..5000).map(|n| format!("rtsp://10.0.0.1/{n}\n")).collect();
    let (status, body) = api.imported("", &large).await;
    assert_eq!((status, &body["created"], api.app.directory.len()), (200, &json!(5000), 5000));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_list_is_refused() {
    let api = Api::start().await;
    let post = |content_type: &str, body: &str| {
        api.call(Method::POST, "/video/import").header("content-type", content_type).body(body.to_owned())
    };
    problem(post("application/json", "{}").send().await.unwrap(), 415).await;
    problem(api.call(Method::POST, "/video/import").body("rtsp://h/").send().await.unwrap(), 415).await;
    problem(post("text/csv", &"rtsp://h/\n".repeat(5001)).send().await.unwrap(), 413).await;
    problem(post("text/csv", &"x".repeat((1 << 20) + 1)).send().await.unwrap(), 413).await;
    let latin = api.import("", &b"url,name\nrtsp://h/,K\xfcche\n"[..]).await;
    assert!(problem(latin, 400).await["error"].as_str().unwrap().starts_with("line 2 "));
    assert_eq!(problem(api.import("?dry_run=x", "").await, 422).await["field"], "dry_run");
    assert_eq!(problem(api.import("", "url,notes\n").await, 422).await["field"], "notes");
    let foreign = post("text/csv", "rtsp://h/").header("origin", "https://evil.example");
    problem(foreign.send().await.unwrap(), 403).await;
    assert!(api.app.directory.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_is_imported_elsewhere_but_for_passwords() {
    let api = Api::start().await;
    api.add(json!({"url": "rtsp://admin:S3CR3TPW@10.0.0.1/a;b", "name": "=HYPERLINK(\"x\")", "exclusive": true})).await;
    api.add(json!({"url": "rtsps://10.0.0.2/", "name": "Küche, \"Nord\"", "tls_insecure": true, "zone": "hall"})).await;
    let answer = api.get("/video/export.csv").await;
    assert_eq!(answer.headers()["content-type"], "text/csv; charset=utf-8");
    assert!(answer.headers()["content-disposition"].to_str().unwrap().contains("cameras.csv"));
    let list = answer.text().await.unwrap();
    assert!(!list.contains("S3CR3TPW") && list.contains("\"'=HYPERLINK"), "{list}");
    let other = Api::start().await;
    assert_eq!(other.imported("", &list).await.0, 200);
    for (here, there) in api.app.directory.all().iter().zip(other.app.directory.all()) {
        let mut want = here.link().settings.clone();
        want.password = None;
        assert_eq!(there.link().settings, want);
    }
}
