use std::collections::BTreeSet;

use super::super::table;
use super::*;

/// Every reference of the document points to something in it.
fn check_references(document: &Value, part: &Value) {
    match part {
        Value::Object(members) => {
            if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                let pointer = reference.strip_prefix('#').expect("nothing outside the document");
                assert!(document.pointer(pointer).is_some(), "{reference}");
            }
            members.values().for_each(|part| check_references(document, part));
        }
        Value::Array(parts) => parts.iter().for_each(|part| check_references(document, part)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_holds_every_route_of_the_table_and_no_other() {
    let api = Api::start().await;
    let document: Value = api.get("/openapi.json").await.json().await.unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    let mut listed = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            listed.insert((path.clone(), method.to_uppercase()));
        }
    }
    let table: BTreeSet<_> = table::routes()
        .into_iter()
        .flat_map(|route| route.methods.into_iter().map(move |(method, _)| (route.path.to_owned(), method.to_string())))
        .collect();
    assert_eq!(listed, table);
    check_references(&document, &document);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_says_what_it_takes_and_answers() {
    let api = Api::start().await;
    let document: Value = api.get("/openapi.json").await.json().await.unwrap();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let here = format!("{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{here}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{here}: the id is taken");
            let no_parameters = Vec::new();
            let parameters = operation["parameters"].as_array().unwrap_or(&no_parameters);
            let in_path: BTreeSet<_> =
                parameters.iter().filter(|p| p["in"] == "path").map(|p| p["name"].as_str().unwrap()).collect();
            let wanted: BTreeSet<_> =
                path.split('/').filter_map(|part| Some(part.strip_prefix('{')?.split_once('}')?.0)).collect();
            assert_eq!(in_path, wanted, "{here}");
            for parameter in parameters {
                assert!(parameter["schema"].is_object() && parameter["description"].is_string(), "{here}: {parameter}");
                assert!(parameter["in"] != "path" || parameter["required"] == true, "{here}: {parameter}");
            }
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with(['1', '2'])), "{here}");
            for (status, response) in responses {
                assert!(response["description"].is_string(), "{here} {status}");
                if status.starts_with(['4', '5']) && !path.starts_with("/health") || status == "default" {
                    let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
                    assert_eq!(schema, "#/components/schemas/Problem", "{here} {status}");
                }
            }
            let other = ["start", "stop", "import"].iter().any(|end| path.ends_with(end));
            if matches!(method.as_str(), "post" | "patch") && !other {
                let body = &operation["requestBody"]["content"]["application/json"]["schema"];
                let change = method == "patch" || path == "/video/{slug}/test";
                let want = if change { "CameraChange" } else { "CameraInput" };
                assert_eq!(body["$ref"], format!("#/components/schemas/{want}"), "{here}");
            }
        }
    }
    let (input, change) =
        (&document["components"]["schemas"]["CameraInput"], &document["components"]["schemas"]["CameraChange"]);
    assert_eq!(input["required"], json!(["url"]));
    assert_eq!(change["required"], Value::Null);
    assert_eq!(input["properties"], change["properties"]);
    let names: BTreeSet<_> = input["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    let want = [
        "url",
        "name",
        "zone",
        "username",
        "password",
        "always_on",
        "exclusive",
        "transport",
        "tls_insecure",
        "mjpeg",
        "hls",
    ];
    assert_eq!(names, BTreeSet::from(want));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_load_nothing_from_outside_and_run_under_their_policy() {
    let api = Api::start().await;
    for (path, files) in [("/", "/assets/"), ("/docs", "/docs/")] {
        let answer = api.get(path).await;
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("unsafe"));
        assert_eq!(answer.headers()["referrer-policy"], "no-referrer");
        let html = answer.text().await.unwrap();
        assert!(!html.contains("<style") && !html.contains(" style=") && !html.contains("onclick="), "{path}");
        let mut loaded = 0;
        for attribute in ["src=\"", "rel=\"stylesheet\" href=\"", "rel=\"modulepreload\" href=\""] {
            for part in html.split(attribute).skip(1) {
                let address = part.split('"').next().unwrap();
                let address =
                    address.strip_prefix('.').expect("below the path of the page, whatever is in front of it");
                assert!(address.starts_with('/') && !address.starts_with("//"), "{path}: {address}");
                assert_eq!(api.get(address).await.status(), 200, "{address}");
                loaded += usize::from(address.starts_with(files));
            }
        }
        assert!(loaded > 1, "{path}");
        // A script without a source would be an inline one.
        assert_eq!(
            html.matches("<script").count(),
            html.matches("<script src=").count() + html.matches("<script type=\"module\" src=").count()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_browser_has_is_not_sent_again() {
    let api = Api::start().await;
    for path in ["/", "/assets/app.css", "/assets/wall/tile.js", "/assets/hls.min.js"] {
        let first = api.get(path).await;
        let tag = first.headers()["etag"].clone();
        assert_eq!(first.headers()["cache-control"], "no-cache");
        let again = api.call(Method::GET, path).header("if-none-match", tag).send().await.unwrap();
        assert_eq!(again.status(), 304, "{path}");
        assert!(again.bytes().await.unwrap().is_empty());
    }
}
