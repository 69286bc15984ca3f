use proptest::prelude::*;
use serde_json::json;

use super::super::settings;
use super::*;

/// The number of each line that was read, and its members.
fn lines(list: &str) -> Vec<(u64, Value)> {
    let members = |line: CsvLine| line.members.map_or_else(Value::String, Value::Object);
    read(list.as_bytes()).unwrap().into_iter().map(|line| (line.number, members(line))).collect()
}

#[test]
fn lists_of_every_spreadsheet_say_the_same() {
    let want = [
        (2, json!({"url": "rtsp://h/1", "name": "Yard, north", "always_on": true})),
        (3, json!({"url": "rtsp://h/2", "name": "Küche", "always_on": false})),
    ];
    for list in [
        "url,name,always_on\nrtsp://h/1,\"Yard, north\",true\nrtsp://h/2,Küche,no\n",
        "\u{feff}URL;Name;Always_On\r\nrtsp://h/1;Yard, north;TRUE\r\nrtsp://h/2;Küche;FALSE\r\n;;\r\n",
        "name\turl\talways_on\nYard, north\t rtsp://h/1 \t1\nKüche\trtsp://h/2\t0",
        "\"url\",\"name\",\"always_on\"\n\"rtsp://h/1\",\"Yard, north\",\"yes\"\n\"rtsp://h/2\",\"Küche\",\"0\"",
    ] {
        assert_eq!(lines(list), want, "{list}");
    }
}

#[test]
fn without_a_header_there_are_address_and_name() {
    let list = "rtsp://h/1,Yard\n\nrtsp://h/2\nrtsp://h/3,a,b\nrtsp://h/4,,\n";
    let want = [
        (1, json!({"url": "rtsp://h/1", "name": "Yard"})),
        (3, json!({"url": "rtsp://h/2"})),
        (4, json!("it has 3 cells, and there are 2 columns")),
        (5, json!({"url": "rtsp://h/4"})),
    ];
    assert_eq!(lines(list), want);
    assert!(lines("").is_empty() && lines("url\n").is_empty());
}

#[test]
fn lines_are_counted_as_an_editor_counts_them() {
    let list = "url,name\nrtsp://h/1,\"two\nlines\"\nrtsp://h/2,b\n";
    assert_eq!(lines(list).iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2, 4]);
}

#[test]
fn headers_that_are_not_understood_are_refused() {
    for (list, field) in [
        ("url,pasword\n", "pasword"),
        ("url,name,url\n", "url"),
        ("url,\n", ""),
        // A list without a header, with a camera whose name is a word of headers.
        ("rtsp://admin:hunter2@h/,url\n", "header"),
    ] {
        let problem = read(list.as_bytes()).unwrap_err();
        assert_eq!((problem.status(), problem.field()), (StatusCode::UNPROCESSABLE_ENTITY, Some(field)), "{list}");
    }
    let problem = read(b"url,name\nrtsp://h/,a\nrtsp://h/,K\xfcche\n").unwrap_err();
    assert_eq!(problem.status(), StatusCode::BAD_REQUEST);
    assert!(problem.sentence().starts_with("line 3 "), "{}", problem.sentence());
    let full = "rtsp://h/\n".repeat(MAX_LINES);
    assert_eq!(lines(&full).len(), MAX_LINES);
    let problem = read(format!("{full}rtsp://h/").as_bytes()).unwrap_err();
    assert_eq!(problem.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[test]
fn passwords_are_taken_as_they_are() {
    let list = "url,username,password\nrtsp://h/,\" a \",\" p;\"\"'=x \"\n";
    assert_eq!(lines(list)[0].1, json!({"url": "rtsp://h/", "username": " a ", "password": " p;\"'=x "}));
}

fn link(name: &str, username: Option<&str>) -> CameraLink {
    let members = json!({"url": "rtsp://h/a,b", "name": name, "username": username, "password": "hunter2", "exclusive": true,
        "transport": "udp", "zone": "-north"});
    let Value::Object(members) = members else { panic!("an object") };
    CameraLink {
        id: 1,
        slug: rsm_shared::stream::slug::Slug::parse("a").unwrap(),
        spec_rev: 1,
        created: jiff::Timestamp::UNIX_EPOCH,
        settings: settings::create(members).unwrap().settings,
        enabled: true,
    }
}

#[test]
fn no_spreadsheet_calculates_what_is_written() {
    let list = String::from_utf8(write([&link("=1+1", Some("@x"))].into_iter())).unwrap();
    assert_eq!(
        list,
        "url,name,username,password,zone,transport,always_on,tls_insecure,exclusive\n\
         \"rtsp://h/a,b\",'=1+1,'@x,,'-north,udp,false,false,true\n"
    );
}

proptest! {
    #[test]
    fn what_is_written_is_read_again_but_for_passwords(
        name in "'{0,2}[=+@-]?[^\\pC\\s]([^\\pC]{0,8}[^\\pC\\s])?",
        user in proptest::option::of("'{0,2}[=+@-]?[^\\pC\\s]{1,8}"),
    ) {
        let mut link = link(&name, user.as_deref());
        let read = read(&write([&link].into_iter())).unwrap().remove(0).members.unwrap();
        link.settings.password = None;
        prop_assert_eq!(settings::create(read).unwrap().settings, link.settings);
    }

    #[test]
    fn any_bytes_are_read_or_refused(list: Vec<u8>, text in "\\PC{0,60}") {
        let _ = read(&list);
        let _ = read(text.as_bytes());
        let _ = read(format!("url;name\n{text}").as_bytes());
    }
}
