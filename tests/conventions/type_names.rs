//! A reader finds a type by searching for its name. So the name of a type is defined in at most two files of the
//! shipped crates, and a name that other modules may use in at most two files of the whole workspace. Names that are
//! always
//! written with their module (`detector::Report`) may be more frequent when they are listed here.

use std::collections::{BTreeMap, BTreeSet};

use crate::imports::{self, Body};
use crate::sources;

/// Files that may define the same name.
const MOST_FILES: usize = 2;

/// Names that users always write with their module; importing one of them alone is an error.
const WITH_MODULE: &[&str] = &[];

/// Files that define each name. Associated types and types of tests are left out.
fn definitions(bodies: &[(String, Body)], counts: impl Fn(&str, bool) -> bool) -> BTreeMap<String, BTreeSet<String>> {
    let mut files: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, body) in bodies {
        for (name, _) in body.types.iter().filter(|(_, visible)| counts(path, **visible)) {
            files.entry(name.clone()).or_default().insert(path.clone());
        }
    }
    files.retain(|name, files| files.len() > MOST_FILES && !WITH_MODULE.contains(&name.as_str()));
    files
}

fn show(title: &str, names: &BTreeMap<String, BTreeSet<String>>) {
    println!("{title}: {}", names.len());
    for (name, files) in names {
        println!("  {name}: {}", files.iter().map(String::as_str).collect::<Vec<_>>().join(" "));
    }
}

#[test]
fn the_name_of_a_type_finds_it() {
    let files = sources::with_extension(&["rs"]);
    let shipped: BTreeSet<&str> =
        files.iter().filter(|file| file.is_shipped()).map(|file| file.path.as_str()).collect();
    let bodies: Vec<(String, Body)> =
        files.iter().filter_map(|file| Some((file.path.clone(), imports::body(&file.text)?))).collect();
    let shipped = definitions(&bodies, |path, _| shipped.contains(path));
    let visible = definitions(&bodies, |_, visible| visible);
    show("Type names in three or more files of what is shipped", &shipped);
    show("Type names that leave their file, in three or more files of the workspace", &visible);
    assert!(shipped.is_empty() && visible.is_empty(), "types need names of their own; the names and files are above");
}

#[test]
fn names_that_need_their_module_are_not_imported_alone() {
    for file in sources::with_extension(&["rs"]) {
        let Some(body) = imports::body(&file.text) else { continue };
        for (name, path) in &body.aliases {
            let bare = WITH_MODULE.contains(&name.as_str()) && path.last() == Some(name);
            assert!(!bare, "{} imports {name} without its module: {}", file.path, path.join("::"));
        }
    }
}
