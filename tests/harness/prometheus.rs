//! Debian's Prometheus with the project's own configuration and rules, which scrapes a farm of the test's. All
//! durations in them are divided by [`HURRY`], so that minutes become seconds and the order stays.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use regex::{Captures, Regex};
use serde_json::Value;
use tokio::process::{Child, Command};

use super::process::{Log, spawn};
use super::{DEADLINE, eventually, eventually_in};

/// Factor by which durations are shorter than a user's: it scrapes every 0.75 s, and 10 minutes are 30 seconds.
pub const HURRY: u32 = 20;
/// Time that an alert, or the end of one, may take to come. It bounds a test that fails.
pub const ALERT_DEADLINE: Duration = Duration::from_secs(300);
/// Prometheus' own memory of a series that is gone without a word, divided like the others.
const LOOKBACK: Duration = Duration::from_secs(5 * 60);
/// The files that are rewritten, below `monitoring/`.
const FILES: [&str; 3] = ["prometheus.yml", "rules/recording.yml", "rules/alerts.yml"];
/// Where it says to edit.
const API: &str = "http://127.0.0.1:8080";

/// A Prometheus. It ends with the test.
pub struct Prometheus {
    /// `http://127.0.0.1:port`, no slash at the end.
    pub base: String,
    http: reqwest::Client,
    log: Log,
    _child: Child,
    _dir: tempfile::TempDir,
}

/// One sample of an instant query.
#[derive(Clone, Debug, PartialEq)]
pub struct PrometheusSample {
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// An alert that is pending or firing.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    pub name: String,
    /// `pending` or `firing`.
    pub state: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

/// `monitoring/` of the project.
pub fn monitoring() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("monitoring")
}

/// Divides every duration of a configuration or of rules by `by`: `[5m]`, `offset 5m`, `for: 5m`, `..._interval: 5m`,
/// `scrape_timeout: 5m`. Durations elsewhere (names, texts, comments) stay.
pub fn hurried(text: &str, by: u32) -> String {
    let places = Regex::new(
        r"(?P<before>\[|\boffset |\b(?:for|interval|\w+_interval|scrape_timeout): )(?P<count>\d+)(?P<unit>ms|s|m|h|d)\b",
    )
    .unwrap();
    let shorter = |found: &Captures<'_>| {
        let count: u64 = found["count"].parse().unwrap();
        let unit_ms = match &found["unit"] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => 86_400_000,
        };
        format!("{}{}ms", &found["before"], (count * unit_ms / u64::from(by)).max(1))
    };
    let lines = text.lines().map(|line| match line.trim_start().starts_with('#') {
        true => Cow::Borrowed(line),
        false => places.replace_all(line, shorter),
    });
    lines.fold(String::new(), |all, line| all + &line + "\n")
}

impl Prometheus {
    /// Looks at the farm whose API is at `api`, `http://host:port`. Debian's package `prometheus` has to be there.
    pub async fn start(api: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("rules")).unwrap();
        for file in FILES {
            let text = std::fs::read_to_string(monitoring().join(file)).unwrap();
            // A busy machine answers late: as much time as there is.
            let text = text.replace(API, api).replace("scrape_timeout: 10s", "scrape_timeout: 15s");
            std::fs::write(dir.path().join(file), hurried(&text, HURRY)).unwrap();
        }
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", dir.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--query.lookback-delta={}ms", (LOOKBACK / HURRY).as_millis()))
            .args(["--web.listen-address=127.0.0.1:0", "--log.format=json"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = spawn(&mut command);
        let log = Log::of(child.stderr.take().unwrap());
        let address = async || {
            let text = log.text();
            let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let said = lines.find(|line| line["msg"] == "Listening on");
            said.and_then(|line| line["address"].as_str().map(str::to_owned)).ok_or(text)
        };
        let address = eventually("Prometheus to say where it listens", address, Result::is_ok).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().timeout(DEADLINE).build().unwrap();
        let prometheus = Self { base: format!("http://{address}"), http, log, _child: child, _dir: dir };
        let ready = async || {
            let answer = prometheus.http.get(format!("{}/-/ready", prometheus.base)).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        };
        eventually("Prometheus to be ready", ready, |ready| *ready).await;
        prometheus
    }

    /// Waits until it has seen the metrics of so many processes, each with its role: `("worker", 2)`.
    pub async fn until_sees(&self, roles: &[(&str, usize)]) {
        for (role, count) in roles {
            let up = format!("up{{job=\"rsm\", role=\"{role}\"}} == 1");
            let what = format!("Prometheus to see {count} of role {role}");
            eventually(&what, async || self.query(&up).await, |seen| seen.len() == *count).await;
        }
    }

    /// The answer to an instant query, now.
    pub async fn query(&self, expression: &str) -> Vec<PrometheusSample> {
        let answer = self.get("query", &[("query", expression)]).await;
        let sample = |row: &Value| PrometheusSample {
            labels: texts(&row["metric"]),
            value: row["value"][1].as_str().unwrap().parse().unwrap(),
        };
        let result = answer["result"].as_array().unwrap_or_else(|| panic!("{expression}: {answer}"));
        match answer["resultType"].as_str() {
            Some("vector") => result.iter().map(sample).collect(),
            _ => panic!("{expression} is no vector: {answer}"),
        }
    }

    /// Waits until the answer to a query fits.
    pub async fn until(
        &self,
        expression: &str,
        fits: impl Fn(&Vec<PrometheusSample>) -> bool,
    ) -> Vec<PrometheusSample> {
        eventually_in(ALERT_DEADLINE, expression, async || self.query(expression).await, fits).await
    }

    /// All alerts that are pending or firing.
    pub async fn alerts(&self) -> Vec<Alert> {
        let answer = self.get("alerts", &[]).await;
        let alert = |row: &Value| Alert {
            name: row["labels"]["alertname"].as_str().unwrap().to_owned(),
            state: row["state"].as_str().unwrap().to_owned(),
            labels: texts(&row["labels"]),
            annotations: texts(&row["annotations"]),
        };
        answer["alerts"].as_array().unwrap().iter().map(alert).collect()
    }

    /// Waits until an alert fires with these labels, among others.
    pub async fn until_fires(&self, name: &str, labels: &[(&str, &str)]) -> Alert {
        let what = format!("{name} to fire with {labels:?}");
        let fires = |alerts: &Vec<Alert>| alerts.iter().any(|alert| alert.is(name, labels) && alert.state == "firing");
        let alerts = eventually_in(ALERT_DEADLINE, &what, async || self.alerts().await, fires).await;
        alerts.into_iter().find(|alert| alert.is(name, labels)).unwrap()
    }

    /// Waits until an alert with these labels neither fires nor is about to.
    pub async fn until_clear(&self, name: &str, labels: &[(&str, &str)]) {
        let what = format!("{name} with {labels:?} to end");
        let none = |alerts: &Vec<Alert>| !alerts.iter().any(|alert| alert.is(name, labels));
        eventually_in(ALERT_DEADLINE, &what, async || self.alerts().await, none).await;
    }

    async fn get(&self, call: &str, query: &[(&str, &str)]) -> Value {
        let mut url = reqwest::Url::parse(&format!("{}/api/v1/{call}", self.base)).unwrap();
        url.query_pairs_mut().extend_pairs(query);
        let answer = self.http.get(url).send().await.unwrap_or_else(|e| panic!("{e}\n{}", self.log.text()));
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["status"], "success", "{call} {query:?}: {body}");
        body["data"].clone()
    }
}

impl Alert {
    /// True when it has this name and, among others, these labels.
    pub fn is(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.name == name && labels.iter().all(|(key, value)| self.labels.get(*key).is_some_and(|v| v == value))
    }
}

fn texts(object: &Value) -> BTreeMap<String, String> {
    let all = object.as_object().into_iter().flatten();
    all.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::hurried;

    #[test]
    fn durations_are_divided_and_nothing_else_is() {
        let table = [
            ("rate(x[5m])", "rate(x[15000ms])"),
            ("x offset 1m and y", "x offset 3000ms and y"),
            ("        for: 1h", "        for: 180000ms"),
            ("  scrape_interval: 15s", "  scrape_interval: 750ms"),
            ("  scrape_timeout: 10s", "  scrape_timeout: 500ms"),
            ("        # after 5m: [5m]", "        # after 5m: [5m]"),
            ("record: a:b:rate5m", "record: a:b:rate5m"),
            ("summary: for 5 minutes, 10s", "summary: for 5 minutes, 10s"),
        ];
        for (before, after) in table {
            assert_eq!(hurried(before, 20), format!("{after}\n"));
        }
    }
}
