//! The boards' panels for a farm that has workers, a relay, viewers of every kind, and more dead cameras than a list is
//! long.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use super::boards::{Board, Query, Values, all, chosen, filled, labels_in};
use crate::harness::eventually;
use crate::harness::farm::{Farm, Plan};
use crate::harness::process::rsm;
use crate::harness::prometheus::{HURRY, Prometheus, PrometheusSample, hurried};
use crate::harness::role::{Recipe, RoleProcess};
use crate::harness::viewer::MediaPlaylist;
use crate::harness::watch::Watcher;

/// Cameras at a port without a listener: more than any list of the farm's board has rows.
const DEAD: usize = 60;
/// Series of a query of the farm's board, however many cameras there are.
const MOST_SERIES: usize = 50;
/// Grafana's windows: four scrapes, when a board shows no more than a point for each, and the last hour.
const WINDOWS: [(&str, &str); 2] = [("__rate_interval", "60s"), ("__range", "3600s")];

struct Shown {
    farm: Farm,
    relay: RoleProcess,
    relay_base: String,
    dead: Vec<String>,
    prometheus: Prometheus,
    _viewers: Vec<Watcher>,
    _requests: Vec<AbortOnDropHandle<()>>,
    _dir: tempfile::TempDir,
}

impl Shown {
    async fn start() -> Self {
        let farm = Plan::of(1, 1).start().await;
        let mut dead = Vec::new();
        for n in 0..DEAD {
            let (slug, _) = farm.add(&format!("rtsp://127.0.0.1:9/nobody-{n}")).await;
            dead.push(slug);
        }
        let dir = tempfile::tempdir().unwrap();
        let environment = vec![
            ("RSM__NATS__URLS".to_owned(), farm.nats.url.clone()),
            ("RSM__DATA_DIR".to_owned(), dir.path().display().to_string()),
        ];
        let arguments = ["relay", "--listen", "127.0.0.1:0"].map(Into::into).to_vec();
        let relay = RoleProcess::start("relay", Recipe { program: rsm(), arguments, environment, listener: None });
        let address = async || {
            let text = relay.log.text();
            let (_, rest) = text.split_once(" begins")?.1.split_once("address=")?;
            Some(rest.split_whitespace().next()?.to_owned())
        };
        let relay_base = eventually("the relay to begin", address, Option::is_some).await.unwrap();
        let relay_base = format!("http://{relay_base}");
        let (slug, id) = farm.streams[0].clone();
        let known = async || farm.http.get(format!("{relay_base}/video/{slug}/")).send().await.ok().map(|a| a.status());
        eventually("the relay to know the camera", known, |status| status.is_some_and(|s| s.is_success())).await;
        let prometheus = Prometheus::start(&farm.base).await;
        let mut viewers = Vec::new();
        let mut requests = Vec::new();
        for base in [&farm.base, &relay_base] {
            viewers.push(Watcher::open(base, &slug).await);
            requests.push(reads(farm.http.clone(), format!("{base}/video/{slug}/mjpeg")));
            requests.push(reads(farm.http.clone(), format!("{base}/video/events")));
            requests.push(plays(farm.http.clone(), base.clone(), id));
        }
        prometheus.until_sees(&[("api", 1), ("worker", 1), ("relay", 1)]).await;
        Self { farm, relay, relay_base, dead, prometheus, _viewers: viewers, _requests: requests, _dir: dir }
    }

    fn slug(&self) -> &str {
        &self.farm.streams[0].0
    }

    /// Choices that a person could make at the top of `board`, of those under which every panel has something to show.
    fn choices(&self, board: &Board) -> Vec<Values> {
        let some = match board.name {
            "farm" => vec![("none", String::new())],
            "worker" => vec![("worker", ".+".to_owned()), ("worker", chosen(&["w1"]))],
            "stream" => vec![
                ("stream", chosen(&[self.slug()])),
                ("stream", chosen(&[self.slug(), &self.dead[0], "never-heard-of"])),
            ],
            "viewers" => {
                let server = |base: &str| base.trim_start_matches("http://").to_owned();
                let (api, relay) = (server(&self.farm.base), server(&self.relay_base));
                vec![("server", ".+".to_owned()), ("server", chosen(&[&api])), ("server", chosen(&[&relay, &api]))]
            }
            other => panic!("no choices for {other}"),
        };
        let windows = WINDOWS.map(|(name, window)| (name, window.to_owned()));
        some.into_iter().map(|choice| Values::from_iter(windows.clone().into_iter().chain([choice]))).collect()
    }

    /// Answers to a query, one for each choice of its variables.
    async fn answers(&self, board: &Board, query: &Query) -> Vec<(String, Vec<PrometheusSample>)> {
        let mut answers = Vec::new();
        for values in self.choices(board) {
            // As the harness has hurried everything else.
            let expression = hurried(&filled(&query.expression, &values), HURRY);
            let answer = self.prometheus.query(&expression).await;
            answers.push((expression, answer));
        }
        answers
    }
}

/// A viewer that reads an answer that never ends.
fn reads(http: reqwest::Client, url: String) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        // The client's own deadline ends each answer.
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        loop {
            tick.tick().await;
            let Ok(answer) = http.get(&url).send().await else { continue };
            let mut parts = answer.bytes_stream();
            while let Some(Ok(_)) = parts.next().await {}
        }
    }))
}

/// A player of HLS: playlist and newest segment again and again.
fn plays(http: reqwest::Client, base: String, id: i64) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        loop {
            tick.tick().await;
            let Some(playlist) = MediaPlaylist::fetch_at(&http, &base, id).await else { continue };
            let Some(newest) = playlist.segments.last() else { continue };
            let _ = http.get(format!("{base}{newest}")).send().await;
        }
    }))
}

/// The lack of a panel: data, or the labels that its legend or its columns name.
fn lacking(query: &Query, answer: &[PrometheusSample]) -> Option<String> {
    if answer.is_empty() {
        return Some("nothing".to_owned());
    }
    if let Some(sample) = answer.iter().find(|sample| sample.value.is_nan()) {
        return Some(format!("no number for {:?}", sample.labels));
    }
    // An alert has the labels of its subject, and the line that stands for no trouble has none of a camera.
    let about_many = query.expression.contains("ALERTS{") || query.expression.contains("label_replace(vector(0)");
    let columns = query.columns.iter().filter(|name| !about_many && !name.starts_with("Value")).cloned();
    let legend = labels_in(&query.legend).into_iter().filter(|_| !about_many);
    let mut named = legend.chain(columns);
    let missing = named.find(|label| !answer.iter().any(|sample| sample.labels.contains_key(label)));
    missing.map(|label| format!("no label {label}: {:?}", answer[0].labels))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_panel_shows_something_of_a_farm_and_never_a_series_for_each_camera() {
    let shown = Shown::start().await;
    let prometheus = &shown.prometheus;
    prometheus.until_fires("RsmManyCamerasDown", &[]).await;
    // One more stream that runs: the panels of starts show recent starts only.
    let (late, _) = shown.farm.add(shown.farm.camera.url()).await;
    let state = async || shown.farm.owner(&late).await.map(|owner| owner.state);
    eventually("another camera to run", state, |state| state.as_deref() == Some("running")).await;
    for board in all() {
        for query in board.queries() {
            let look = async || {
                let answers = shown.answers(&board, &query).await;
                let lack = |(asked, answer): &(String, Vec<PrometheusSample>)| {
                    Some(format!("{} for {asked}", lacking(&query, answer)?))
                };
                answers.iter().filter_map(lack).collect::<Vec<String>>()
            };
            eventually(&query.place, look, Vec::is_empty).await;
        }
    }
    let wanted = r#"count(rsm_stream_state{role="api"})"#;
    prometheus.until(wanted, |count| count[0].value >= (DEAD + 2) as f64).await;
    for board in all().iter().filter(|board| board.name == "farm") {
        for query in board.queries() {
            for (asked, answer) in shown.answers(board, &query).await {
                assert!(answer.len() <= MOST_SERIES, "{}: {} series for {asked}", query.place, answer.len());
            }
        }
    }
    let ill = all().iter().flat_map(Board::queries).find(|query| query.place.contains("that are not well")).unwrap();
    let rows = prometheus.query(&ill.expression).await;
    assert_eq!(rows.len(), MOST_SERIES, "a list of the worst");
    assert!(rows.iter().all(|row| row.labels["stream"] != shown.slug()), "a camera that runs is well: {rows:?}");

    every_choice_has_values(&shown).await;
    assert!(shown.relay.runs());
}

/// Values that Grafana fills the lists at the top of the boards with.
async fn every_choice_has_values(shown: &Shown) {
    let relay = shown.relay_base.trim_start_matches("http://").to_owned();
    let expected = BTreeMap::from([("worker", "w1".to_owned()), ("stream", shown.dead[7].clone()), ("server", relay)]);
    let query = regex::Regex::new(r"^label_values\((.+), (\w+)\)$").unwrap();
    let mut seen = 0;
    for board in all() {
        for variable in board.variables().iter().filter(|variable| variable["type"] == "query") {
            let asked = variable["query"]["query"].as_str().unwrap();
            let parts = query.captures(asked).unwrap_or_else(|| panic!("{asked}"));
            let url = format!("{}/api/v1/label/{}/values", shown.prometheus.base, &parts[2]);
            let url = reqwest::Url::parse_with_params(&url, [("match[]", &parts[1])]).unwrap();
            let answer: Value = shown.farm.http.get(url).send().await.unwrap().json().await.unwrap();
            let expected = &expected[variable["name"].as_str().unwrap()];
            assert!(answer["data"].as_array().unwrap().contains(&json!(expected)), "{asked}: {answer}");
            seen += 1;
        }
    }
    assert_eq!(seen, expected.len());
}
