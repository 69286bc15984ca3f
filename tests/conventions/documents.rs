//! Documents name files and link to each other; what they name exists.

use crate::sources::{self, SourceFile};

/// Extensions of files that a document names in backticks.
const NAMED: &[&str] = &["rs", "js", "md", "toml", "sh", "sql"];

/// Documents that describe the sources as they are. A changelog and measurements speak of earlier states.
const CURRENT: &[&str] = &["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md", "SECURITY.md"];

/// Files of the project that are named in backticks, `api/src/lib.rs` or `api/src/lib.rs:serve`, or by
/// `{a,b}.rs` several at once.
fn named_paths(text: &str) -> Vec<String> {
    let spans = text.split('`').skip(1).step_by(2);
    let mut paths = Vec::new();
    for span in spans {
        let path = span.split(':').next().unwrap_or_default();
        let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
        let plain = path.chars().all(|c| c.is_alphanumeric() || "/._-{},".contains(c));
        if plain && path.contains('/') && NAMED.contains(&extension) {
            paths.extend(expanded(path));
        }
    }
    paths
}

fn expanded(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else { return vec![path.to_owned()] };
    let Some((choices, after)) = rest.split_once('}') else { return vec![path.to_owned()] };
    choices.split(',').map(|choice| format!("{before}{choice}{after}")).collect()
}

/// Targets of Markdown links that are files of the project, without the part behind `#`.
fn linked_files(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
    files.filter_map(|target| target.split('#').next()).filter(|target| !target.is_empty()).collect()
}

fn is_current(document: &SourceFile) -> bool {
    CURRENT.contains(&document.path.as_str()) || document.path.starts_with("docs/decisions/")
}

#[test]
fn files_that_documents_name_exist() {
    let root = sources::root();
    let missing: Vec<String> = sources::with_extension(&["md"])
        .iter()
        .filter(|document| is_current(document))
        .flat_map(|document| named_paths(&document.text).into_iter().map(|path| (document.path.clone(), path)))
        .filter(|(_, path)| !root.join(path).exists())
        .map(|(document, path)| format!("{document}: {path}"))
        .collect();
    assert!(missing.is_empty(), "documents name files that do not exist:\n{}", missing.join("\n"));
}

#[test]
fn links_between_documents_lead_somewhere() {
    let root = sources::root();
    for document in sources::with_extension(&["md"]) {
        let folder = root.join(document.path.rsplit_once('/').map_or("", |(folder, _)| folder));
        for target in linked_files(&document.text) {
            assert!(folder.join(target).exists(), "{} links to {target}", document.path);
        }
    }
}

#[test]
fn paths_are_read_out_of_backticks() {
    let text = "See `a/b.rs`, `c/{d,e}.rs:run`, `f.rs`, `g::h` and [i](docs/j.md#k), [l](https://m.n/).";
    assert_eq!(named_paths(text), ["a/b.rs", "c/d.rs", "c/e.rs"]);
    assert_eq!(linked_files(text), ["docs/j.md"]);
}
