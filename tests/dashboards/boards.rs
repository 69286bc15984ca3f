//! The boards of `monitoring/grafana/dashboards` as Grafana reads them, and the queries that it sends for them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use regex::Regex;
use serde_json::Value;

use crate::harness::prometheus::monitoring;

/// Names of the files, without `.json`.
pub const BOARDS: [&str; 4] = ["farm", "worker", "stream", "viewers"];

pub struct Board {
    pub name: &'static str,
    pub json: Value,
}

/// One query of a panel.
#[derive(Clone, Debug)]
pub struct Query {
    /// `board: title of the panel`.
    pub place: String,
    pub expression: String,
    pub legend: String,
    /// Fields that a table shows; empty for other panels.
    pub columns: Vec<String>,
}

/// Values of variables in a query.
pub type Values = BTreeMap<&'static str, String>;

pub fn file(name: &str) -> PathBuf {
    monitoring().join("grafana/dashboards").join(format!("{name}.json"))
}

pub fn all() -> Vec<Board> {
    let read = |name| {
        let text = std::fs::read_to_string(file(name)).unwrap();
        Board { name, json: serde_json::from_str(&text).unwrap() }
    };
    BOARDS.into_iter().map(read).collect()
}

impl Board {
    pub fn uid(&self) -> &str {
        self.json["uid"].as_str().unwrap()
    }

    /// Without the rows between them.
    pub fn panels(&self) -> impl Iterator<Item = &Value> {
        self.json["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row")
    }

    /// All variables, the data source among them.
    pub fn variables(&self) -> &[Value] {
        self.json["templating"]["list"].as_array().unwrap()
    }

    pub fn defines(&self, variable: &str) -> bool {
        self.variables().iter().any(|known| known["name"] == variable)
    }

    pub fn place(&self, panel: &Value) -> String {
        format!("{}: {}", self.name, panel["title"].as_str().unwrap_or("?"))
    }

    pub fn queries(&self) -> Vec<Query> {
        let mut queries = Vec::new();
        for panel in self.panels() {
            let steps = panel["transformations"].as_array().into_iter().flatten();
            let shown = steps.filter_map(|step| step["options"]["include"]["names"].as_array()).flatten();
            let columns: Vec<String> = shown.map(|name| name.as_str().unwrap().to_owned()).collect();
            for target in panel["targets"].as_array().unwrap() {
                queries.push(Query {
                    place: self.place(panel),
                    expression: target["expr"].as_str().unwrap().to_owned(),
                    legend: target["legendFormat"].as_str().unwrap().to_owned(),
                    columns: columns.clone(),
                });
            }
        }
        queries
    }

    /// The queries of its annotations.
    pub fn marks(&self) -> impl Iterator<Item = &str> {
        let marks = self.json["annotations"]["list"].as_array().unwrap();
        marks.iter().map(|mark| mark["expr"].as_str().unwrap())
    }

    /// Every text of the board that may name a variable: its whole JSON.
    pub fn text(&self) -> String {
        self.json.to_string()
    }
}

/// Names of the variables in `text`, those that Grafana has itself (`__range`) among them.
pub fn variables_in(text: &str) -> Vec<String> {
    let name = Regex::new(r"\$(?:\{([\w.\-]+)(?::\w+)?\}|(\w+))").unwrap();
    let found = name.captures_iter(text).map(|found| found.get(1).or(found.get(2)).unwrap().as_str().to_owned());
    found.collect()
}

/// The labels that a legend names: `{{stream}}`.
pub fn labels_in(legend: &str) -> Vec<String> {
    let label = Regex::new(r"\{\{(\w+)\}\}").unwrap();
    label.captures_iter(legend).map(|found| found[1].to_owned()).collect()
}

/// Text that Grafana's data source sends for a variable with these values chosen: regular expressions in a query.
pub fn chosen(values: &[&str]) -> String {
    let escaped: Vec<String> = values.iter().map(|value| regex::escape(value).replace('\\', "\\\\")).collect();
    match &escaped[..] {
        [one] => one.clone(),
        many => format!("({})", many.join("|")),
    }
}

/// A query with values in place of variables; a variable that has none stays, and is no PromQL.
pub fn filled(expression: &str, values: &Values) -> String {
    // The longest first: `$__range` is the beginning of `$__range_s`.
    let mut names: Vec<&&str> = values.keys().collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    names.iter().fold(expression.to_owned(), |text, name| {
        text.replace(&format!("${{{name}}}"), &values[**name]).replace(&format!("${name}"), &values[**name])
    })
}
