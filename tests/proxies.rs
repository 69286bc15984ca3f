//! A real proxy in front, which shows the server below a path.

use serde_json::{Value, json};

use crate::harness::nginx::Nginx;
use crate::harness::system::System;

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_found_below_the_path_of_a_proxy() {
    let system = System::start().await;
    let upstream = &system.base;
    let nginx = Nginx::start(&format!(
        "location /told/ {{ proxy_pass {upstream}/; proxy_set_header X-Forwarded-Prefix /told; }} \
        location /untold/ {{ proxy_pass {upstream}/; }}"
    ))
    .await;
    let url = |text: &str| reqwest::Url::parse(text).unwrap();
    for (front, prefix) in [("/told", "/told"), ("/untold", "")] {
        let base = url(&format!("{}{front}/", nginx.base));
        for page in ["", "docs", "docs/"] {
            let page = base.join(page).unwrap();
            let html = system.http.get(page.clone()).send().await.unwrap().text().await.unwrap();
            let mut found = 0;
            for part in html.split("src=\"").chain(html.split("href=\"")).skip(1) {
                let reference = part.split('"').next().unwrap();
                if reference.starts_with('#') || reference.contains('<') {
                    continue;
                }
                let file = page.join(reference).unwrap();
                assert_eq!(system.http.get(file.clone()).send().await.unwrap().status(), 200, "{page}: {file}");
                found += 1;
            }
            assert!(found > 3, "{page}");
        }
        let camera = json!({"url": "rtsp://127.0.0.1:9/x", "name": "Yard"});
        let added = system.http.post(base.join("video/").unwrap()).json(&camera).send().await.unwrap();
        let location = added.headers()["location"].to_str().unwrap().to_owned();
        let slug = added.json::<Value>().await.unwrap()["slug"].as_str().unwrap().to_owned();
        assert_eq!(location, format!("{prefix}/video/{slug}/"));
        let shown = system.http.get(base.join(&format!("video/{slug}/")).unwrap()).send().await.unwrap();
        let playlist = shown.json::<Value>().await.unwrap()["playlist_url"].as_str().unwrap().to_owned();
        assert!(playlist.starts_with(&format!("{prefix}/video/play/")), "{playlist}");
    }
}
