//! No two files import each other, directly or through others: each part of a crate can be read, tested and moved
//! without the parts that stand on it.
//!
//! A file imports another when it names something that the other defines; a re-export counts as its definition's
//! file. A `mod` declaration alone, the naming of a module, and code for tests tie nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::modules::{Modules, Ties};
use crate::sources::{self, SourceFile};

/// Files that may be in circles, for each crate: actors of the simulation act on the world that owns them.
const ALLOWED: &[(&str, usize)] = &[("tests/simulation", 5)];

/// Root files of the programs and libraries of the workspace, with the folder of their crate.
fn roots(files: &BTreeMap<String, SourceFile>) -> Vec<(String, String)> {
    let mut roots = Vec::new();
    for manifest in sources::with_extension(&["toml"]).iter().filter(|file| file.path.ends_with("Cargo.toml")) {
        let folder = manifest.path.trim_end_matches("Cargo.toml");
        if folder == "fuzz/" {
            continue;
        }
        let mut targets: Vec<String> = ["src/lib.rs", "src/main.rs"].map(str::to_owned).to_vec();
        let paths = manifest.text.lines().filter_map(|line| line.strip_prefix("path = \"")?.strip_suffix('"'));
        targets.extend(paths.map(str::to_owned));
        let automatic = |file: &&str| {
            let rest = file.strip_prefix(folder).and_then(|rest| rest.strip_prefix("tests/"));
            rest.is_some_and(|rest| !rest.contains('/') || rest.ends_with("/main.rs") && rest.matches('/').count() == 1)
        };
        if !manifest.text.contains("autotests = false") {
            targets
                .extend(files.keys().map(String::as_str).filter(automatic).map(|file| file[folder.len()..].to_owned()));
        }
        targets.sort();
        targets.dedup();
        let existing = targets.iter().map(|target| format!("{folder}{target}")).filter(|root| files.contains_key(root));
        let name = if folder.is_empty() { "." } else { folder.trim_end_matches('/') };
        roots.extend(existing.map(|root| (name.to_owned(), root)));
    }
    roots
}

/// Groups of files of which each reaches each other by imports.
fn circles(ties: &Ties) -> Vec<BTreeSet<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        ties.keys().map(|file| (file, reached_from(file, ties))).collect();
    let mut circles: Vec<BTreeSet<String>> = Vec::new();
    for (file, others) in &reached {
        if !others.contains(file) || circles.iter().any(|circle| circle.contains(*file)) {
            continue;
        }
        let back = others.iter().filter(|other| reached.get(**other).is_some_and(|reached| reached.contains(file)));
        circles.push(back.map(|other| (*other).clone()).collect());
    }
    circles
}

fn reached_from<'a>(file: &String, ties: &'a Ties) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&String> = ties.get(file).into_iter().flat_map(BTreeMap::keys).collect();
    while let Some(file) = next.pop() {
        if reached.insert(file) {
            next.extend(ties.get(file).into_iter().flat_map(BTreeMap::keys));
        }
    }
    reached
}

/// The ties within a circle, one on each line.
fn explain(circle: &BTreeSet<String>, ties: &Ties) -> String {
    let mut lines = format!("  {} files:\n", circle.len());
    for file in circle {
        for (imported, path) in ties[file].iter().filter(|(imported, _)| circle.contains(*imported)) {
            lines += &format!("    {file} -> {imported} ({path})\n");
        }
    }
    lines
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let files: BTreeMap<String, SourceFile> =
        sources::with_extension(&["rs"]).into_iter().map(|file| (file.path.clone(), file)).collect();
    let mut found: BTreeMap<String, (usize, String)> = BTreeMap::new();
    let mut read = 0;
    for (name, root) in roots(&files) {
        let modules = Modules::read(&root, &files);
        read += modules.files().len();
        let ties = modules.ties();
        for circle in circles(&ties) {
            let (count, text) = found.entry(name.clone()).or_default();
            *count += circle.len();
            *text += &explain(&circle, &ties);
        }
    }
    assert!(read > 100, "only {read} files were reached from the roots of the crates");
    let allowed = |name: &str| ALLOWED.iter().find(|(allowed, _)| *allowed == name).map_or(0, |(_, count)| *count);
    for (name, (count, text)) in &found {
        println!("{name}: {count} files in circles, {} allowed\n{text}", allowed(name));
    }
    let grown: Vec<&String> =
        found.iter().filter(|(name, (count, _))| *count > allowed(name)).map(|(n, _)| n).collect();
    assert!(grown.is_empty(), "files import each other in {grown:?}; the ties are above");
}

#[test]
fn circles_of_any_length_are_found_and_chains_are_not() {
    let tie = |from: &str, to: &[&str]| {
        (from.to_owned(), to.iter().map(|to| ((*to).to_owned(), String::new())).collect::<BTreeMap<_, _>>())
    };
    let ties = Ties::from([tie("a", &["b"]), tie("b", &["c", "d"]), tie("c", &["a"]), tie("d", &["e"]), tie("e", &[])]);
    assert_eq!(circles(&ties), [BTreeSet::from(["a", "b", "c"].map(str::to_owned))]);
}
