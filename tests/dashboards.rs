//! The Grafana boards: Grafana knows their contents, their texts describe them, and their queries are answered by a
//! Prometheus that scrapes a farm.

mod boards;
mod shown;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};

use regex::Regex;
use serde_json::{Value, json};

use crate::harness::prometheus::monitoring;
use boards::{BOARDS, Board, Values, all, file, filled, labels_in, variables_in};

/// Units of Grafana that the boards may use; `suffix: ` and a word is one of one's own.
const UNITS: [&str; 9] = ["short", "s", "bytes", "Bps", "bps", "percentunit", "fps", "cpm", "reqps"];
/// Columns of Grafana's grid.
const COLUMNS: u64 = 24;
/// Grafana's own variables in queries.
const GLOBALS: [&str; 2] = ["__rate_interval", "__range"];
/// Grafana's own words elsewhere: in links, at a click, and the choice of everything.
const ELSEWHERE: [&str; 4] = ["__value.raw", "__field.labels", "__url_time_range", "__all"];

fn node(script: &str, arguments: &[&Path]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
    Command::new("node").arg(script).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_dashboards_are_what_their_program_makes() {
    let done = node("monitoring/grafana/build/build.mjs", &["--check".as_ref()]);
    assert!(done.status.success(), "{}", said(&done));
    let files = std::fs::read_dir(monitoring().join("grafana/dashboards")).unwrap();
    let names: BTreeSet<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names, BOARDS.iter().map(|name| format!("{name}.json")).collect());
}

#[test]
fn grafana_knows_every_property_of_the_dashboards() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dashboards/node_modules");
    assert!(here.is_dir(), "@grafana/schema is missing: run `make deps-test` first");
    let dir = tempfile::tempdir().unwrap();
    // The check must see a mistake in each of these places.
    let mistakes: [(&str, &str, Value); 6] = [
        ("kind", "/panels/0/type", json!("stats")),
        ("option", "/panels/0/options/colorMode", json!("bright")),
        ("mode", "/panels/0/fieldConfig/defaults/thresholds/mode", json!("abs")),
        ("grid", "/panels/0/gridPos", json!({ "x": 0, "y": 0, "w": 1, "height": 1 })),
        ("variable", "/templating/list/0/type", json!("list")),
        ("crosshair", "/graphTooltip", json!(7)),
    ];
    let good: Vec<_> = BOARDS.into_iter().map(file).collect();
    let farm: Value = serde_json::from_str(&std::fs::read_to_string(&good[0]).unwrap()).unwrap();
    let bad = mistakes.map(|(name, place, value)| {
        let mut board = farm.clone();
        *board.pointer_mut(place).unwrap() = value;
        let path = dir.path().join(format!("{name}.json"));
        std::fs::write(&path, board.to_string()).unwrap();
        path
    });
    let paths: Vec<&Path> = good.iter().chain(&bad).map(|path| path.as_path()).collect();
    let complaints = said(&node("tests/dashboards/schema.mjs", &paths));
    let named = |path: &Path| complaints.contains(&format!("{}:", path.display()));
    for path in &good {
        assert!(!named(path), "{complaints}");
    }
    for path in &bad {
        assert!(named(path), "nothing was said of {}: {complaints}", path.display());
    }
}

#[test]
fn every_panel_says_what_it_shows_and_lies_beside_the_others() {
    for board in all() {
        let mut ids = BTreeSet::new();
        let mut cells = BTreeMap::new();
        for panel in board.json["panels"].as_array().unwrap() {
            let place = board.place(panel);
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{place}: its id is another's");
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
            assert!(w > 0 && h > 0 && x + w <= COLUMNS, "{place}: beside the grid");
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                if let Some(other) = cells.insert(cell, place.clone()) {
                    panic!("{place} lies over {other} at {cell:?}");
                }
            }
        }
        for panel in board.panels() {
            let place = board.place(panel);
            let description = panel["description"].as_str().unwrap_or_default();
            assert!(!panel["title"].as_str().unwrap().is_empty(), "{place}: a title");
            assert!(description.len() > 30 && description.ends_with('.'), "{place}: a sentence, not {description:?}");
            let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap();
            assert!(UNITS.contains(&unit) || unit.starts_with("suffix: "), "{place}: {unit:?} is no unit");
            let targets = panel["targets"].as_array().unwrap();
            let refs: BTreeSet<&str> = targets.iter().map(|target| target["refId"].as_str().unwrap()).collect();
            assert!(!targets.is_empty() && refs.len() == targets.len(), "{place}: queries with names of their own");
            for with_source in targets.iter().chain([panel]) {
                assert_eq!(
                    with_source["datasource"]["uid"], "${datasource}",
                    "{place}: the data source that was chosen"
                );
            }
        }
    }
}

#[test]
fn every_board_looks_at_the_last_hour_and_is_found_by_its_tag() {
    let uids: BTreeSet<String> = all().iter().map(|board| board.uid().to_owned()).collect();
    assert_eq!(uids, BOARDS.iter().map(|name| format!("rsm-{name}")).collect());
    for Board { name, json } in all() {
        assert_eq!((&json["refresh"], &json["graphTooltip"]), (&json!("10s"), &json!(1)), "{name}");
        assert_eq!(json["time"], json!({ "from": "now-1h", "to": "now" }), "{name}");
        assert_eq!(json["tags"], json!(["rsm"]), "{name}");
        assert_eq!(json["links"][0]["tags"], json!(["rsm"]), "{name}: links to the others");
        assert_eq!(json["templating"]["list"][0]["type"], "datasource", "{name}");
    }
}

#[test]
fn links_lead_to_boards_and_variables_that_are_there() {
    let boards = all();
    let link = Regex::new(r#""url":"([^"]+)""#).unwrap();
    let target =
        Regex::new(r"^/d/([\w-]+)\?var-(\w+)=\$\{[\w.]+\}&\$\{datasource:queryparam\}&\$\{__url_time_range\}$");
    let target = target.unwrap();
    let mut reached = BTreeSet::new();
    for board in &boards {
        for found in link.captures_iter(&board.text()) {
            let parts = target.captures(&found[1]);
            let parts = parts.unwrap_or_else(|| panic!("{}: {} keeps time and data source", board.name, &found[1]));
            let there = boards.iter().find(|other| other.uid() == &parts[1]);
            let there = there.unwrap_or_else(|| panic!("{}: no board {}", board.name, &parts[1]));
            assert!(there.defines(&parts[2]), "{}: {} has no variable {}", board.name, there.name, &parts[2]);
            reached.insert(format!("{} to {}", board.name, there.name));
        }
    }
    for way in ["farm to stream", "farm to worker", "worker to stream", "stream to worker", "viewers to stream"] {
        assert!(reached.contains(way), "no link from {way}: {reached:?}");
    }
}

#[test]
fn every_variable_is_defined_and_every_one_defined_is_used() {
    for board in all() {
        let used: BTreeSet<String> = variables_in(&board.text()).into_iter().collect();
        for name in &used {
            let known = board.defines(name) || GLOBALS.contains(&name.as_str());
            assert!(known || ELSEWHERE.iter().any(|own| name.starts_with(own)), "{}: ${name}", board.name);
        }
        for variable in board.variables() {
            let name = variable["name"].as_str().unwrap();
            assert!(used.contains(name), "{}: nobody uses ${name}", board.name);
        }
    }
}

/// As rules of one file: promtool reads them without a server.
#[test]
fn every_query_is_promql() {
    let values: Values = BTreeMap::from([
        ("__rate_interval", "1m".to_owned()),
        ("__range", "1h".to_owned()),
        ("worker", boards::chosen(&["w1", "w2.lan"])),
        ("stream", boards::chosen(&["front-door"])),
        ("server", ".+".to_owned()),
    ]);
    let mut rules = Vec::new();
    for board in all() {
        for query in board.queries() {
            rules.push(json!({ "record": format!("q{}", rules.len()), "expr": filled(&query.expression, &values) }));
        }
        for expression in board.marks() {
            rules.push(json!({ "record": format!("q{}", rules.len()), "expr": filled(expression, &values) }));
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("queries.yml");
    // YAML contains JSON.
    std::fs::write(&path, json!({ "groups": [{ "name": "queries", "rules": rules }] }).to_string()).unwrap();
    let done = Command::new("promtool").args(["check", "rules"]).arg(&path).output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && text.contains(&format!("{} rules found", rules.len())), "{text}");
}

#[test]
fn rules_that_boards_draw_exist_and_each_scrape_is_as_long_as_grafana_is_told() {
    let read = |path: &str| std::fs::read_to_string(monitoring().join(path)).unwrap();
    let recording = read("rules/recording.yml");
    let rule = Regex::new(r"\b[a-z]+:\w+:\w+\b").unwrap();
    for board in all() {
        for query in board.queries() {
            for name in rule.find_iter(&query.expression) {
                assert!(recording.contains(&format!("- record: {}\n", name.as_str())), "{}: {name:?}", query.place);
            }
            let labels = labels_in(&query.legend);
            assert!(labels.len() <= 2, "{}: {labels:?} are more than a glance takes in", query.place);
        }
    }
    let every = |text: &str, key: &str| {
        let found =
            Regex::new(&format!(r"(?m)^ *{key}: (\w+)$")).unwrap().captures(text).map(|found| found[1].to_owned());
        found.unwrap_or_else(|| panic!("no {key} in {text}"))
    };
    let told = every(&read("grafana/provisioning/datasources/rsm.yml"), "timeInterval");
    assert_eq!(told, every(&read("prometheus.yml"), "scrape_interval"));
}
