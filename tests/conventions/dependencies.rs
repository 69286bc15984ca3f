//! Crates that promise to do without a library or a device keep the promise by their dependencies. `cargo tree` lists
//! them; it reads manifests and the lock file and needs no network.

use std::process::Command;

use crate::sources;

/// A crate, and packages that nothing in it may reach, tests aside.
const WITHOUT: &[(&str, &[&str])] = &[
    ("rsm-model", &["tokio", "async-nats", "rusqlite", "gstreamer", "prometheus", "salvo"]),
    ("rsm-control", &["tokio", "async-nats", "rusqlite", "gstreamer", "prometheus", "salvo"]),
    ("rsm-media", &["tokio", "async-nats", "rusqlite", "gstreamer", "prometheus", "salvo"]),
    ("rsm-viewing", &["rusqlite", "gstreamer", "rsm-api", "rsm-worker"]),
    ("rsm-shared", &["rusqlite", "gstreamer", "rsm-api", "rsm-worker"]),
    ("rsm-api", &["gstreamer", "rsm-worker"]),
    ("rsm-worker", &["rusqlite", "rsm-api", "rsm-viewing"]),
];

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(arguments)
        .args(["--offline", "--locked"])
        .current_dir(sources::root())
        .output()
        .expect("cargo can be run");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn is_member(package: &str) -> bool {
    let named = format!("name = \"{package}\"");
    sources::with_extension(&["toml"]).iter().any(|file| file.text.lines().any(|line| line == named))
}

#[test]
fn crates_do_without_what_they_promise_to_do_without() {
    let mut checked = 0;
    for (package, without) in WITHOUT.iter().filter(|(package, _)| is_member(package)) {
        let tree = cargo(&["tree", "-p", package, "-e", "normal", "--prefix", "none", "--format", "{p}"]);
        let reached: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(reached.first(), Some(package));
        let forbidden: Vec<_> = without.iter().filter(|name| reached.contains(*name)).collect();
        assert!(forbidden.is_empty(), "{package} depends on {forbidden:?}: cargo tree -p {package} -i {forbidden:?}");
        checked += 1;
    }
    assert!(checked > 2, "only {checked} of the crates exist");
}
