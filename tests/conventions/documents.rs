//! Documents name files, functions and types and link to each other; all of these exist.

use crate::sources::{self, SourceFile};

/// Extensions of files that a document names in backticks.
const NAMED: &[&str] = &["rs", "js", "md", "toml", "sh", "sql"];

/// Documents that speak of earlier states of the sources.
const HISTORY: &[&str] = &["CHANGELOG.md", "docs/measurements.md"];

/// Files of the project that are named in backticks, with the function or type behind a colon: `api/src/lib.rs` or
/// `api/src/lib.rs:serve`.
fn named_paths(text: &str) -> Vec<(&str, Option<&str>)> {
    let spans = text.split('`').skip(1).step_by(2);
    let split = spans.map(|span| span.split_once(':').map_or((span, None), |(path, name)| (path, Some(name))));
    split.filter(|(path, _)| is_path(path)).collect()
}

fn is_path(text: &str) -> bool {
    let extension = text.rsplit_once('.').map_or("", |(_, extension)| extension);
    let plain = text.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
    plain && text.contains('/') && NAMED.contains(&extension)
}

/// True when a file defines a function or a type of that name.
fn defines(text: &str, name: &str) -> bool {
    ["fn", "struct", "enum", "trait", "const", "macro_rules!"].iter().any(|keyword| {
        text.match_indices(&format!("{keyword} {name}"))
            .any(|(at, found)| !text[at + found.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

/// Targets of Markdown links that are files of the project, without the part behind `#`.
fn linked_files(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
    files.filter_map(|target| target.split('#').next()).filter(|target| !target.is_empty()).collect()
}

fn is_current(document: &SourceFile) -> bool {
    !HISTORY.contains(&document.path.as_str())
}

#[test]
fn files_and_functions_that_documents_name_exist() {
    let root = sources::root();
    let mut missing = Vec::new();
    for document in sources::with_extension(&["md"]).iter().filter(|document| is_current(document)) {
        for (path, name) in named_paths(&document.text) {
            let text = std::fs::read_to_string(root.join(path));
            match (text, name) {
                (Err(_), _) => missing.push(format!("{}: {path}", document.path)),
                (Ok(text), Some(name)) if !defines(&text, name) => {
                    missing.push(format!("{}: {path}:{name}", document.path));
                }
                (Ok(_), _) => {}
            }
        }
    }
    assert!(missing.is_empty(), "documents name files, functions or types that do not exist:\n{}", missing.join("\n"));
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
    let text = "See `a/b.rs`, `c/d.rs:run`, `f.rs`, `g::h` and [i](docs/j.md#k), [l](https://m.n/).";
    assert_eq!(named_paths(text), [("a/b.rs", None), ("c/d.rs", Some("run"))]);
    assert!(defines("pub async fn run(self)", "run") && !defines("fn running()", "run"));
    assert_eq!(linked_files(text), ["docs/j.md"]);
}
