//! Diagnosis of NATS for an operator: the servers that answer, their abilities, and the permissions of the user there.
//! It leaves nothing behind, takes nothing from other clients, and publishes nothing that a role would act on.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, HeaderMap, ServerError, ServerInfo};
use futures_util::StreamExt as _;
use futures_util::future::{join_all, select_ok};
use serde_json::Value;
use tokio::sync::mpsc;

use super::connect::admitted;
use crate::config::NatsConfig;
use crate::stream::names::Zone;
use crate::wire::messages::Priority;
use crate::wire::subjects::{COMMANDS_STREAM, start_consumer};

/// For each of the steps: connecting, asking JetStream, asking for permissions.
const STEP: Duration = Duration::from_secs(2);
/// Refusals that are remembered; there are fewer questions.
const REFUSALS: usize = 256;
/// No stream has this name, so a message that expects it is stored nowhere.
const NOWHERE: &str = "rsm-doctor-stores-nothing";
/// No JetStream request reads this: it is refused as unreadable, after the permission was checked.
const UNREADABLE: &str = "?";

/// Whose permissions are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Api,
    Relay,
    Worker,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Api, Self::Relay, Self::Worker];

    /// As the command line calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Relay => "relay",
            Self::Worker => "worker",
        }
    }
}

/// Result of the diagnosis.
#[derive(Debug)]
pub struct Diagnosis {
    /// A sentence for each configured server that could not be used, beginning with its address.
    pub away: Vec<String>,
    /// True when one of them refused the user.
    pub refused: bool,
    /// The answer of the first server that could be used.
    pub server: Option<Server>,
}

/// One server, and our permissions there.
#[derive(Debug)]
pub struct Server {
    pub url: String,
    pub version: String,
    /// Name of its cluster, when it is in one.
    pub cluster: Option<String>,
    /// Largest message, bytes.
    pub max_payload: usize,
    pub jetstream: JetStream,
    /// Actions that the user lacks permission for, by role, as far as they can be tried without harm.
    pub forbidden: Vec<(Role, Vec<String>)>,
}

/// The answer of JetStream.
#[derive(Clone, Debug, PartialEq)]
pub enum JetStream {
    /// It works. A stream's copies are known once an API has made it.
    Works { copies: Option<Copies>, time: Option<String> },
    /// Its words for why not.
    Off(String),
    /// No answer: no leader, or the user may not ask.
    Silent,
}

/// The copies of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copies {
    pub wanted: u64,
    /// Servers whose copy is not up to date.
    pub behind: Vec<String>,
}

/// Looks at all servers of the configuration, and closer at one of them. `token` is a word that no camera, worker or
/// zone has. 6 s at most.
pub async fn look(config: &NatsConfig, zones: &[Zone], token: &str) -> Diagnosis {
    let mut found = Diagnosis { away: Vec::new(), refused: false, server: None };
    let mut there = None;
    for (url, met) in join_all(config.urls.iter().map(|url| connect(config, url))).await {
        match met {
            Ok(met) => there = there.or(Some((url, met))),
            Err((why, refused)) => {
                found.refused |= refused;
                found.away.push(format!("{url}: {why}"));
            }
        }
    }
    if let Some((url, (client, events))) = there {
        let jetstream = ask(&client, config.domain.as_deref()).await;
        let questions = questions(config.domain.as_deref(), zones, token);
        let refusals = try_all(&client, events, &questions).await;
        let ServerInfo { version, cluster, max_payload, .. } = client.try_server_info().unwrap_or_default();
        let forbidden = forbidden(&questions, &refusals);
        found.server = Some(Server { url, version, cluster, max_payload, jetstream, forbidden });
    }
    found
}

type Met = (Client, mpsc::Receiver<Event>);

/// One server; why not, and whether it was the user.
async fn connect(config: &NatsConfig, url: &str) -> (String, Result<Met, (String, bool)>) {
    let (heard, events) = mpsc::channel(REFUSALS);
    let options = ConnectOptions::new()
        .name("rsm doctor")
        .ignore_discovered_servers()
        .connection_timeout(STEP)
        .request_timeout(Some(STEP))
        .event_callback(move |event| {
            // More than that are not needed to say no.
            let _ = heard.try_send(event);
            std::future::ready(())
        });
    let connected = tokio::time::timeout(STEP, admitted(options, config).connect(url)).await;
    let met = match connected {
        Ok(Ok(client)) => Ok((client, events)),
        Ok(Err(e)) => match e.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                Err(("it refuses the user or password".to_owned(), true))
            }
            ConnectErrorKind::TimedOut => Err(("no answer".to_owned(), false)),
            _ => Err((e.to_string(), false)),
        },
        Err(_) => Err(("no answer".to_owned(), false)),
    };
    (url.to_owned(), met)
}

/// Asks for streams until one of the questions is answered: each role may ask for another.
async fn ask(client: &Client, domain: Option<&str>) -> JetStream {
    let prefix = prefix(domain);
    let questions = ["KV_RSM_DESIRED", "KV_RSM_DIRECTORY"].map(|stream| {
        let subject = format!("{prefix}STREAM.INFO.{stream}");
        Box::pin(client.request(subject, "".into()))
    });
    match tokio::time::timeout(STEP, select_ok(questions)).await {
        Ok(Ok((answer, _))) => serde_json::from_slice(&answer.payload).map_or(JetStream::Silent, |told| read(&told)),
        Ok(Err(e)) if e.kind() == async_nats::client::RequestErrorKind::NoResponders => {
            JetStream::Off("nobody answers for it".into())
        }
        Ok(Err(_)) | Err(_) => JetStream::Silent,
    }
}

/// Pure: reads the state of JetStream from its answer to a question for a stream.
fn read(told: &Value) -> JetStream {
    let time = told["ts"].as_str().map(str::to_owned);
    let error = &told["error"];
    if error.is_null() {
        let behind = told["cluster"]["replicas"].as_array().into_iter().flatten();
        let behind = behind.filter(|copy| copy["current"] != true || copy["offline"] == true);
        let behind = behind.filter_map(|copy| copy["name"].as_str().map(str::to_owned)).collect();
        let wanted = told["config"]["num_replicas"].as_u64().unwrap_or(1);
        return JetStream::Works { copies: Some(Copies { wanted, behind }), time };
    }
    if error["err_code"].as_u64() == Some(ErrorCode::STREAM_NOT_FOUND.0) {
        return JetStream::Works { copies: None, time };
    }
    JetStream::Off(error["description"].as_str().unwrap_or("it refuses").to_owned())
}

/// One thing that a role does, in a form that changes nothing.
#[derive(Debug)]
struct Question {
    role: Role,
    subject: String,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Subscribe,
    /// A request or message without a receiver: no stream, worker or zone has the name.
    Publish(&'static str),
    /// A message that would be stored, were it not expected in another stream.
    Store,
}

fn prefix(domain: Option<&str>) -> String {
    domain.map_or_else(|| "$JS.API.".to_owned(), |domain| format!("$JS.{domain}.API."))
}

/// Pure: the permissions that are tried. Those that others would notice are left out: heartbeats, hellos, pulls of
/// tickets, camera probes, and clearing of streams.
fn questions(domain: Option<&str>, zones: &[Zone], token: &str) -> Vec<Question> {
    let js = prefix(domain);
    let stored = |subject: String| if domain.is_some() { format!("{js}{subject}") } else { subject };
    let mut all = Vec::new();
    let named = |pattern: &str| pattern.replace('~', token);
    let mut add = |role, form, subject| all.push(Question { role, subject, form });
    for subject in ["hb.~", "evt.~.~", "demand.~.~", "relay.~", "frame.~.~", "frame.~.~.320"] {
        add(Role::Api, Form::Subscribe, format!("rsm.v1.{}", named(subject)));
    }
    for subject in ["cmd.stop.~.~", "ctl.~.~", "look.~"] {
        add(Role::Api, Form::Publish("{}"), format!("rsm.v1.{}", named(subject)));
    }
    add(Role::Api, Form::Store, named("rsm.v1.cmd.start.~.hi.~"));
    for subject in ["$KV.RSM_DESIRED.~.~", "$KV.RSM_DIRECTORY.~.~"] {
        add(Role::Api, Form::Store, stored(named(subject)));
    }
    for stream in [COMMANDS_STREAM, "KV_RSM_DESIRED", "KV_RSM_CLAIMS", "KV_RSM_DIRECTORY"] {
        add(Role::Api, Form::Publish(""), format!("{js}STREAM.INFO.{stream}"));
        add(Role::Api, Form::Publish(UNREADABLE), format!("{js}STREAM.CREATE.{stream}"));
        add(Role::Api, Form::Publish(UNREADABLE), format!("{js}STREAM.UPDATE.{stream}"));
    }
    add(Role::Api, Form::Publish(""), format!("{js}CONSUMER.LIST.{COMMANDS_STREAM}"));
    add(Role::Api, Form::Publish(UNREADABLE), format!("{js}CONSUMER.CREATE.{COMMANDS_STREAM}.{token}"));

    for subject in ["frame.~.~", "frame.~.~.320"] {
        add(Role::Relay, Form::Subscribe, format!("rsm.v1.{}", named(subject)));
    }
    add(Role::Relay, Form::Publish(""), format!("{js}STREAM.INFO.KV_RSM_DIRECTORY"));
    add(
        Role::Relay,
        Form::Publish(UNREADABLE),
        format!("{js}CONSUMER.CREATE.KV_RSM_DIRECTORY.{token}.$KV.RSM_DIRECTORY.>"),
    );
    add(Role::Relay, Form::Publish(""), format!("{js}CONSUMER.INFO.KV_RSM_DIRECTORY.{token}"));

    add(Role::Worker, Form::Subscribe, format!("rsm.v1.ctl.{token}.{token}"));
    add(Role::Worker, Form::Publish(""), format!("{js}STREAM.INFO.KV_RSM_DESIRED"));
    for zone in zones {
        for subject in ["cmd.stop", "demand"] {
            add(Role::Worker, Form::Subscribe, format!("rsm.v1.{subject}.{zone}.{token}"));
        }
        add(Role::Worker, Form::Publish(""), format!("rsm.v1.frame.{zone}.{token}"));
        add(Role::Worker, Form::Publish(""), format!("rsm.v1.frame.{zone}.{token}.320"));
        add(Role::Worker, Form::Store, stored(format!("$KV.RSM_CLAIMS.{zone}.{token}.1")));
        let record = format!("$KV.RSM_DESIRED.{zone}.{token}");
        add(Role::Worker, Form::Publish(""), format!("{js}DIRECT.GET.KV_RSM_DESIRED.{record}"));
        for priority in Priority::ALL {
            let consumer = start_consumer(zone, priority);
            add(Role::Worker, Form::Publish(""), format!("{js}CONSUMER.INFO.{COMMANDS_STREAM}.{consumer}"));
        }
    }
    all
}

/// Tries everything at once; returns the server's texts for its refusals.
async fn try_all(client: &Client, mut events: mpsc::Receiver<Event>, questions: &[Question]) -> Vec<String> {
    let asked = tokio::time::timeout(STEP, async {
        let mut ears = Vec::with_capacity(questions.len());
        for Question { subject, form, .. } in questions {
            let subject = subject.clone();
            match *form {
                Form::Subscribe => ears.push(client.subscribe(subject).await.ok()),
                Form::Publish(words) => drop(client.publish(subject, words.into()).await),
                Form::Store => {
                    let mut headers = HeaderMap::new();
                    headers.insert("Nats-Expected-Stream", NOWHERE);
                    let _ = client.publish_with_headers(subject, headers, "".into()).await;
                }
            }
        }
        // The server answers in order: once our own echo arrives, all refusals of earlier messages are here.
        let inbox = client.new_inbox();
        if let Ok(mut echo) = client.subscribe(inbox.clone()).await {
            let _ = client.publish(inbox, "".into()).await;
            let _ = client.flush().await;
            echo.next().await;
        }
    });
    let _ = asked.await;
    // The end of the connection is reported after them.
    let _ = client.drain().await;
    let mut refusals = Vec::new();
    let _ = tokio::time::timeout(STEP, async {
        while let Some(event) = events.recv().await {
            match event {
                Event::ServerError(ServerError::Other(text)) => refusals.push(text),
                Event::Draining | Event::Closed => break,
                _ => {}
            }
        }
    })
    .await;
    refusals
}

/// Pure: the subjects that were refused, by role.
fn forbidden(questions: &[Question], refusals: &[String]) -> Vec<(Role, Vec<String>)> {
    let refused = |question: &&Question| {
        let kind = if question.form == Form::Subscribe { "Subscription" } else { "Publish" };
        let subject = format!("\"{}\"", question.subject);
        refusals.iter().any(|text| text.contains(kind) && text.contains(&subject))
    };
    let of = |role| questions.iter().filter(move |question| question.role == role);
    let named = |question: &Question| {
        let verb = if question.form == Form::Subscribe { "subscribe to" } else { "publish" };
        format!("{verb} {}", question.subject)
    };
    Role::ALL.map(|role| (role, of(role).filter(refused).map(named).collect())).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_what_a_question_for_a_stream_tells() {
        let works = |copies| JetStream::Works { copies, time: None };
        for (told, want) in [
            (json!({"error": {"code": 404, "err_code": 10059, "description": "stream not found"}}), works(None)),
            (
                json!({"error": {"code": 503, "err_code": 10039, "description": "not enabled for account"}}),
                JetStream::Off("not enabled for account".into()),
            ),
            (json!({"config": {}}), works(Some(Copies { wanted: 1, behind: vec![] }))),
            (
                json!({"config": {"num_replicas": 3}, "cluster": {"replicas": [
                    {"name": "a", "current": true}, {"name": "b", "current": false}, {"name": "c", "current": true, "offline": true},
                ]}}),
                works(Some(Copies { wanted: 3, behind: vec!["b".into(), "c".into()] })),
            ),
        ] {
            assert_eq!(read(&told), want, "{told}");
        }
    }

    #[test]
    fn refusals_are_laid_to_the_roles_that_need_the_subject() {
        let questions = questions(None, &[Zone::default_zone()], "probe");
        let refusals = [
            "Permissions Violation for Subscription to \"rsm.v1.frame.probe.probe\"".to_owned(),
            "Permissions Violation for Publish to \"rsm.v1.look.probe\"".to_owned(),
            // As a prefix of another it counts for itself only.
            "Permissions Violation for Publish to \"rsm.v1.frame.default.probe\"".to_owned(),
        ];
        let found = forbidden(&questions, &refusals);
        let of = |role| found.iter().find(|(of, _)| *of == role).map(|(_, subjects)| subjects.clone()).unwrap();
        assert_eq!(of(Role::Api), ["subscribe to rsm.v1.frame.probe.probe", "publish rsm.v1.look.probe"]);
        assert_eq!(of(Role::Relay), ["subscribe to rsm.v1.frame.probe.probe"]);
        assert_eq!(of(Role::Worker), ["publish rsm.v1.frame.default.probe"]);
    }

    #[test]
    fn nothing_is_asked_that_others_would_act_on() {
        for domain in [None, Some("hub")] {
            for Question { subject, form, .. } in questions(domain, &[Zone::default_zone()], "probe") {
                let heeded = ["rsm.v1.hb.", "rsm.v1.evt.", "rsm.v1.relay.", "rsm.v1.demand.", "rsm.v1.cmd.start."];
                if matches!(form, Form::Publish(_)) {
                    assert!(!heeded.iter().any(|heeded| subject.starts_with(heeded)), "{subject}");
                    assert!(
                        !["PURGE", "DELETE", "NEXT", "$KV.RSM_CLAIMS"].iter().any(|w| subject.contains(w)),
                        "{subject}"
                    );
                }
                assert!(subject.contains("probe") || subject.starts_with("$JS."), "{subject} is somebody's");
                assert!(form != Form::Subscribe || !subject.contains('*'), "{subject} hears others");
            }
        }
    }
}
