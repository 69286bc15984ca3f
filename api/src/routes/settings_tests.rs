use proptest::prelude::*;
use salvo::http::StatusCode;
use serde_json::json;

use super::*;

fn members(value: Value) -> Map<String, Value> {
    let Value::Object(members) = value else { panic!("an object") };
    members
}

fn before() -> LinkSettings {
    LinkSettings {
        name: "Yard".into(),
        url: CameraUrl::parse("rtsp://10.0.0.1:8554/h264").unwrap().url,
        zone: Zone::parse("north").unwrap(),
        username: Some("admin".into()),
        password: Some(Secret::new("s3cret")),
        transport: Transport::Tcp,
        tls_insecure: false,
        always_on: true,
        exclusive: true,
        mjpeg: JpegOverrides { max_fps: Some(5), ..JpegOverrides::default() },
        hls: HlsOverrides::default(),
    }
}

fn changed(body: Value) -> LinkSettings {
    change(members(body), &before()).unwrap()
}

#[test]
fn the_least_and_the_most_that_makes_a_camera() {
    let new = create(members(json!({"url": "rtsp://10.0.0.1/h264"}))).unwrap();
    assert_eq!((new.settings.name.as_str(), new.slug_label.as_str()), ("10.0.0.1/h264", "10.0.0.1/h264"));
    assert_eq!((new.settings.username, new.settings.zone), (None, Zone::default_zone()));
    let new = create(members(json!({
        "url": "rtsp://10.0.0.1/h264", "name": " Yard ", "username": "admin", "password": "p", "always_on": true,
        "transport": "udp", "exclusive": true, "zone": "site_1-b",
        "mjpeg": {"max_fps": 60, "max_width": 64, "quality": null}, "hls": {"segment_seconds": 10},
    })))
    .unwrap();
    assert_eq!((new.slug_label.as_str(), new.settings.exclusive), ("Yard", true));
    assert_eq!(new.settings.mjpeg, JpegOverrides { max_fps: Some(60), max_width: Some(64), quality: None });
    assert_eq!(new.settings.zone.as_str(), "site_1-b");
    assert_eq!(new.settings.hls.segment_seconds, Some(10));
    assert_eq!(new.settings.password.unwrap().expose(), "p");
}

#[test]
fn a_password_in_the_path_gets_into_no_name_and_no_slug() {
    let (body, login) = (json!({"url": "rtsp://10.0.0.1/user=admin_password=Xy77_channel=1.sdp"}), ["admin", "Xy77"]);
    let new = create(members(body.clone())).unwrap();
    let again = change(members(json!({"url": body["url"], "name": null})), &before()).unwrap();
    let slug = rsm_shared::stream::slug::Slug::generate(&new.slug_label);
    for told in [&new.settings.name, &again.name, slug.as_str()] {
        assert!(told.starts_with("10"), "{told}");
        assert!(!login.iter().any(|word| told.to_lowercase().contains(&word.to_lowercase())), "{told}");
    }
    assert!(new.settings.url.to_string().contains("Xy77"), "the camera is asked for all of it");
}

#[test]
fn no_address_is_a_problem_of_its_own() {
    for body in [json!({}), json!({"url": null}), json!({"url": ""}), json!({"url": "  "}), json!({"nonsense": 1})] {
        let problem = create(members(body)).unwrap_err();
        assert_eq!((problem.status(), problem.sentence()), (StatusCode::BAD_REQUEST, "URL is not provided"));
    }
}

#[test]
fn every_wrong_member_is_named() {
    let long = "x".repeat(257);
    for (body, field) in [
        (json!({"url": 5}), "url"),
        (json!({"url": "http://h/"}), "url"),
        (json!({"url": "rtsp://u:***@h/"}), "url"),
        (json!({"name": ""}), "name"),
        (json!({"name": "   "}), "name"),
        (json!({"name": "x".repeat(201)}), "name"),
        (json!({"name": "a\nb"}), "name"),
        (json!({"name": ["a"]}), "name"),
        (json!({"username": long}), "username"),
        (json!({"username": 1}), "username"),
        (json!({"password": long}), "password"),
        (json!({"password": "a\u{0}"}), "password"),
        (json!({"password": "***"}), "password"),
        (json!({"always_on": "yes"}), "always_on"),
        (json!({"exclusive": 1}), "exclusive"),
        (json!({"zone": 1}), "zone"),
        (json!({"zone": "a.b"}), "zone"),
        (json!({"zone": "z".repeat(33)}), "zone"),
        (json!({"transport": "http"}), "transport"),
        (json!({"tls_insecure": "yes"}), "tls_insecure"),
        (json!({"mjpeg": 5}), "mjpeg"),
        (json!({"mjpeg": {"max_fps": 61}}), "mjpeg.max_fps"),
        (json!({"mjpeg": {"max_width": 63}}), "mjpeg.max_width"),
        (json!({"mjpeg": {"quality": 0}}), "mjpeg.quality"),
        (json!({"mjpeg": {"fps": 1}}), "mjpeg.fps"),
        (json!({"hls": {"segment_seconds": 11}}), "hls.segment_seconds"),
        (json!({"hls": {"window_segments": 2}}), "hls.window_segments"),
        (json!({"hls": {"part_ms": 199}}), "hls.part_ms"),
        (json!({"hls": {"part_ms": 1001}}), "hls.part_ms"),
        (json!({"hls": {"always_on": 1}}), "hls.always_on"),
        (json!({"hls": {"renditions": "360p"}}), "hls.renditions"),
        (json!({"hls": {"renditions": ["360p", "source"]}}), "hls.renditions"),
        (json!({"hls": {"renditions": ["h264"]}}), "hls.renditions"),
        (json!({"slug": "mine"}), "slug"),
        (json!({"nonsense": null}), "nonsense"),
    ] {
        let mut body = members(body);
        body.entry("url").or_insert(json!("rtsp://h/"));
        let problem = create(body.clone()).unwrap_err();
        assert_eq!(problem.status(), StatusCode::UNPROCESSABLE_ENTITY, "{body:?}");
        assert_eq!(problem.field(), Some(field), "{body:?}");
    }
}

#[test]
fn credentials_come_from_the_address_or_the_members_but_not_both_ways() {
    for (body, want) in [
        (json!({"url": "rtsp://u:p@h/"}), Ok((Some("u"), Some("p")))),
        (json!({"url": "rtsp://u@h/", "password": "p"}), Ok((Some("u"), Some("p")))),
        (json!({"url": "rtsp://h/", "username": "u", "password": "p"}), Ok((Some("u"), Some("p")))),
        (json!({"url": "rtsp://u:p@h/", "username": "u", "password": "p"}), Ok((Some("u"), Some("p")))),
        (json!({"url": "rtsp://u:p@h/", "username": null, "password": ""}), Ok((Some("u"), Some("p")))),
        (json!({"url": "rtsp://u:p@h/", "username": "other"}), Err("username")),
        (json!({"url": "rtsp://u:p@h/", "password": "other"}), Err("password")),
    ] {
        let got = create(members(body.clone())).map(|new| {
            let password = new.settings.password.map(|p| p.expose().to_owned());
            (new.settings.username, password)
        });
        match want {
            Ok((user, password)) => {
                assert_eq!(got, Ok((user.map(str::to_owned), password.map(str::to_owned))), "{body}");
            }
            Err(field) => assert_eq!(got.unwrap_err().field(), Some(field), "{body}"),
        }
    }
}

#[test]
fn a_slug_never_comes_from_user_info() {
    let new = create(members(json!({"url": "rtsp://admin:hunter2@h/live"}))).unwrap();
    assert_eq!((new.slug_label.as_str(), new.settings.name.as_str()), ("h/live", "h/live"));
}

#[test]
fn a_change_keeps_what_it_does_not_name() {
    assert_eq!(changed(json!({})), before());
    let renamed = changed(json!({"name": "Garden"}));
    assert_eq!(renamed, LinkSettings { name: "Garden".into(), ..before() });
    for (body, password) in [
        (json!({"password": "***"}), Some("s3cret")),
        (json!({"password": "new"}), Some("new")),
        (json!({"password": null}), None),
        (json!({"password": ""}), None),
        (json!({"url": "rtsp://10.0.0.2/"}), Some("s3cret")),
        (json!({"url": "rtsp://admin:***@10.0.0.2/"}), Some("s3cret")),
        (json!({"url": "rtsp://admin@10.0.0.2/"}), Some("s3cret")),
        (json!({"url": "rtsp://admin:new@10.0.0.2/"}), Some("new")),
    ] {
        let after = changed(body.clone());
        assert_eq!(after.password.as_ref().map(Secret::expose), password, "{body}");
        assert_eq!(after.username.as_deref(), Some("admin"), "{body}");
    }
    assert_eq!(changed(json!({"username": null})).username, None);
    assert_eq!(changed(json!({"username": ""})).username, None);
    assert_eq!(changed(json!({"name": null})).name, "10.0.0.1:8554/h264".replace(":8554", ""));
}

#[test]
fn a_change_reaches_into_mjpeg_and_hls() {
    let after = changed(json!({"mjpeg": {"quality": 50}, "hls": {"window_segments": 9}}));
    assert_eq!(after.mjpeg, JpegOverrides { max_fps: Some(5), max_width: None, quality: Some(50) });
    assert_eq!(after.hls.window_segments, Some(9));
    assert_eq!(changed(json!({"mjpeg": {"max_fps": null}})).mjpeg, JpegOverrides::default());
    assert_eq!(changed(json!({"mjpeg": null})).mjpeg, JpegOverrides::default());
}

#[test]
fn the_shape_of_hls_is_set_kept_and_taken_back() {
    let small = RenditionSet::NONE.with(Rendition::P360).with(Rendition::P720);
    let after = changed(json!({"hls": {"part_ms": 0, "always_on": true, "renditions": ["720p", "360p", "360p"]}}));
    let want =
        HlsOverrides { part_ms: Some(0), always_on: Some(true), renditions: Some(small), ..HlsOverrides::default() };
    assert_eq!(after.hls, want);
    let change = |body| change(members(body), &after).unwrap().hls;
    assert_eq!(change(json!({"hls": {"part_ms": 200}})), HlsOverrides { part_ms: Some(200), ..want });
    assert_eq!(change(json!({"hls": {"part_ms": null}})), HlsOverrides { part_ms: None, ..want });
    let none = HlsOverrides { renditions: Some(RenditionSet::NONE), ..want };
    assert_eq!(change(json!({"hls": {"renditions": []}})), none, "none of them is not the default");
    assert_eq!(change(json!({"hls": {"renditions": null}})), HlsOverrides { renditions: None, ..want });
    assert_eq!(change(json!({"hls": null})), HlsOverrides::default());
}

#[test]
fn any_certificate_is_taken_only_when_it_is_said() {
    let of = |body| create(members(body)).unwrap().settings.tls_insecure;
    assert!(!of(json!({"url": "rtsps://h/"})) && of(json!({"url": "rtsps://h/", "tls_insecure": true})));
    let lax = changed(json!({"tls_insecure": true}));
    assert!(lax.tls_insecure && change(members(json!({"name": "x"})), &lax).unwrap().tls_insecure);
    assert!(!change(members(json!({"tls_insecure": null})), &lax).unwrap().tls_insecure);
}

#[test]
fn a_change_can_be_refused() {
    for (body, field) in [
        (json!({"url": null}), "url"),
        (json!({"url": ""}), "url"),
        (json!({"url": "rtsp://other@10.0.0.2/", "username": "admin"}), "username"),
        (json!({"url": "rtsp://admin:x@10.0.0.2/", "password": null}), "password"),
        (json!({"nonsense": 1}), "nonsense"),
    ] {
        let problem = change(members(body.clone()), &before()).unwrap_err();
        assert_eq!((problem.status(), problem.field()), (StatusCode::UNPROCESSABLE_ENTITY, Some(field)), "{body}");
    }
}

#[test]
fn the_user_can_be_renamed_in_what_was_read() {
    let after = changed(json!({"url": "rtsp://admin:***@10.0.0.1:8554/h264", "username": "root"}));
    assert_eq!(after.username.as_deref(), Some("root"));
    assert_eq!(after.password.unwrap().expose(), "s3cret");
}

proptest! {
    #[test]
    fn any_change_of_any_type_is_taken_or_refused(name in "[a-z_]{1,12}", value in "\\PC{0,20}", number: i64) {
        for value in [json!(value), json!(number), json!([number]), json!({"max_fps": number})] {
            let _ = change(members(json!({name.as_str(): value})), &before());
        }
    }
}

#[test]
fn a_zone_is_kept_changed_or_taken_back_to_the_default() {
    for (body, want) in [
        (json!({"name": "Garden"}), "north"),
        (json!({"zone": "south"}), "south"),
        (json!({"zone": " south "}), "south"),
        (json!({"zone": null}), "default"),
        (json!({"zone": ""}), "default"),
    ] {
        assert_eq!(changed(body.clone()).zone.as_str(), want, "{body}");
    }
}
