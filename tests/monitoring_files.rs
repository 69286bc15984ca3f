//! The files of `monitoring/`: Prometheus' own tools accept them, and nothing is missing in them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use regex::Regex;

use crate::harness::prometheus::monitoring;

/// The files below `monitoring/DIR` that end in `.yml`.
fn rules_in(dir: &str) -> Vec<String> {
    let files = std::fs::read_dir(monitoring().join(dir)).unwrap().map(|file| file.unwrap().file_name());
    let names = files.map(|name| format!("{dir}/{}", name.to_str().unwrap())).filter(|name| name.ends_with(".yml"));
    let mut names: Vec<String> = names.collect();
    names.sort();
    assert!(!names.is_empty(), "nothing in {dir}");
    names
}

fn promtool(words: &[&str], files: &[String]) {
    let mut command = Command::new("promtool");
    let done = command.current_dir(monitoring()).args(words).args(files).output();
    let done = done.unwrap_or_else(|e| panic!("promtool of Debian's package prometheus: {e}; run `make deps-test`"));
    let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "promtool {words:?} {files:?}:\n{said}");
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Matches of `pattern` in `text`: its first group.
fn found(pattern: &str, text: &str) -> Vec<String> {
    Regex::new(pattern).unwrap().captures_iter(text).map(|found| found[1].to_owned()).collect()
}

#[test]
fn prometheus_takes_the_configuration_and_the_rules() {
    promtool(&["check", "config"], &["prometheus.yml".to_owned()]);
    promtool(&["check", "rules", "--lint=all", "--lint-fatal"], &rules_in("rules"));
}

#[test]
fn every_alert_fires_when_it_should_and_not_before_and_ends() {
    promtool(&["test", "rules"], &rules_in("tests"));
}

#[test]
fn every_alert_has_a_case_a_severity_and_a_section_of_the_runbook() {
    let alerts = text(&monitoring().join("rules/alerts.yml"));
    let cases: String = rules_in("tests").iter().map(|file| text(&monitoring().join(file))).collect();
    let sections: BTreeSet<String> =
        found(r"(?m)^## (\w+)$", &text(&monitoring().join("runbook.md"))).into_iter().collect();
    let names: BTreeSet<String> = found(r"- alert: (\w+)", &alerts).into_iter().collect();
    assert_eq!(names, sections, "the sections of runbook.md are the alerts");
    let severity = Regex::new(r"severity: (page|ticket)\b").unwrap();
    for alert in alerts.split("- alert: ").skip(1) {
        let name = alert.lines().next().unwrap();
        assert!(severity.is_match(alert), "{name}: severity");
        assert!(alert.contains("summary: ") && alert.contains("description: "), "{name}: summary and description");
        let runbook = format!("runbook_url: monitoring/runbook.md#{}\n", name.to_lowercase());
        assert!(alert.contains(&runbook), "{name}: {runbook}");
    }
    for name in &names {
        let looks: Vec<&str> = cases.split("alertname: ").filter(|case| case.lines().next() == Some(name)).collect();
        let silent =
            looks.iter().filter(|look| look.lines().nth(1).is_some_and(|next| next.contains("exp_alerts: []")));
        let silent = silent.count();
        assert!(silent >= 2, "{name}: a look before it fires and one after it ended, not {silent}");
        assert!(looks.len() > silent, "{name}: a look while it fires");
    }
}
