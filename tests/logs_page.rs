//! docs/logs.md lists every event of the source, with its level and its fields, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rsm_shared::config::log_filter::PARTS;

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// Fields by level and message.
type Events = BTreeMap<(String, String), BTreeSet<String>>;

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") && name != "tests" && !name.ends_with("_tests") {
            found.push(path);
        }
    }
}

/// The arguments of a macro, whose opening bracket ends before `at`.
fn arguments(text: &str, at: usize) -> Vec<String> {
    let (mut found, mut argument, mut depth) = (Vec::new(), String::new(), 0);
    let mut chars = text[at..].chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                argument.push(c);
                while let Some(c) = chars.next() {
                    argument.push(c);
                    match c {
                        '\\' => argument.extend(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
                continue;
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(std::mem::take(&mut argument).trim().to_owned());
                continue;
            }
            _ => {}
        }
        argument.push(c);
    }
    found.push(argument.trim().to_owned());
    found.retain(|argument| !argument.is_empty());
    found
}

/// The name of a field: `name = value`, `%name`, `name`.
fn field(argument: &str) -> String {
    let name = argument.trim_start_matches(['%', '?']);
    name.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.')).collect()
}

/// A string literal over several lines is one line.
fn joined(literal: &str) -> String {
    let inner = literal.trim_matches('"');
    inner.split("\\\n").map(str::trim_start).collect()
}

fn events_of(text: &str, place: &Path, found: &mut Events) {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    for level in LEVELS {
        let call = format!("{level}!(");
        for (at, _) in text.match_indices(&call) {
            let line = &text[text[..at].rfind('\n').map_or(0, |end| end + 1)..at];
            if line.trim_start().starts_with("//") || line.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
                continue;
            }
            let arguments = arguments(text, at + call.len());
            // The words of libraries.
            if arguments.iter().any(|argument| argument.starts_with("target:")) {
                continue;
            }
            let (messages, fields): (Vec<_>, Vec<_>) = arguments.iter().partition(|a| a.starts_with('"'));
            let place = place.display();
            assert_eq!(messages.len(), 1, "{place}: {level}!({arguments:?}) has no message of its own");
            let message = joined(messages[0]);
            assert!(!message.contains('{'), "{place}: {message:?} changes: what changes belongs into fields");
            let fields = fields.into_iter().map(|argument| field(argument)).filter(|name| name != "repeats");
            found.entry((level.to_uppercase(), message)).or_default().extend(fields);
        }
    }
}

/// Events in the tables of the page.
fn events_of_page(page: &str) -> Events {
    let (mut level, mut found) = (String::new(), Events::new());
    for line in page.lines() {
        if let Some(text) = line.strip_prefix("Level `") {
            level = text.split('`').next().unwrap().to_owned();
        }
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let Some(message) = cells[0].strip_prefix('`').and_then(|text| text.strip_suffix('`')) else { continue };
        let (level, fields) = match cells[..] {
            // Tables of debug and trace events name their level in each line.
            [_, own, _, fields] if LEVELS.contains(&own.to_lowercase().as_str()) => (own.to_owned(), fields),
            [_, _, fields, advice] => {
                assert!(!advice.is_empty(), "{message:?} does not say what to do");
                (level.clone(), fields)
            }
            _ => continue,
        };
        let fields = fields.split(',').map(|name| name.trim().trim_matches('`').to_owned());
        let fields = fields.filter(|name| !name.is_empty()).collect();
        assert!(found.insert((level, message.to_owned()), fields).is_none(), "{message:?} is there twice");
    }
    found
}

#[test]
fn every_event_is_on_the_page_and_the_page_has_no_other() {
    let mut files = Vec::new();
    for dir in ["src", "api/src", "viewing/src", "worker/src", "shared/src", "control/src"] {
        sources(&root().join(dir), &mut files);
    }
    let mut events = Events::new();
    for file in &files {
        events_of(&std::fs::read_to_string(file).unwrap(), file, &mut events);
    }
    assert!(events.len() > 100, "only {} events were found in {} files", events.len(), files.len());
    let page = events_of_page(&std::fs::read_to_string(root().join("docs/logs.md")).unwrap());
    let missing: Vec<_> = events.iter().filter(|(event, fields)| page.get(event) != Some(fields)).collect();
    assert!(missing.is_empty(), "docs/logs.md lacks these, or has other fields: {missing:#?}");
    let gone: Vec<_> = page.keys().filter(|event| !events.contains_key(event)).collect();
    assert!(gone.is_empty(), "docs/logs.md has what nothing says: {gone:#?}");
}

#[test]
fn every_part_of_the_filter_is_on_the_page() {
    let page = std::fs::read_to_string(root().join("docs/logs.md")).unwrap();
    for (part, _) in PARTS {
        assert!(page.contains(&format!("\n| `{part}` | ")), "docs/logs.md lacks the part {part}");
    }
}
