//! Our side: `rsm up` as a user starts it, with all of its processes.

use serde_json::{Value, json};

use super::meter::{Group, family};
use super::players::Link;
use crate::harness::system::System;

/// The default configuration, where the harness of the tests has shorter waits.
const DEFAULTS: [(&str, &str); 4] = [
    ("RSM__CAMERA__IDLE_TIMEOUT_S", "30"),
    ("RSM__HLS__WISH_TTL_S", "20"),
    ("RSM__HLS__SEGMENT_SECONDS", "2"),
    ("RSM__CAMERA__STALL_TIMEOUT_S", "5"),
];
/// Streams that one worker takes by default, for each core.
const CAPACITY_OF_A_CORE: usize = 100;

/// Starts it, with room for `cameras`: more than the default has only on machines with few cores.
pub async fn start(cameras: usize) -> System {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let capacity = cameras.max(cores * CAPACITY_OF_A_CORE).to_string();
    let environment: Vec<_> = DEFAULTS.into_iter().chain([("RSM__WORKER__CAPACITY", capacity.as_str())]).collect();
    System::start_with(None, &[], &environment).await
}

/// Registers a link for each address, with settings.
pub async fn add(system: &System, urls: &[String], settings: &Value) -> Vec<Link> {
    let mut links = Vec::new();
    for url in urls {
        let mut body = json!({ "url": url });
        for (key, value) in settings.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        let (slug, id) = system.add(body).await;
        links.push(Link { slug, id });
    }
    links
}

/// `rsm up`, API, workers and nats-server.
pub fn group(system: &System) -> Group {
    let pid = system.child.id().expect("rsm up runs");
    family(pid, "rsm up", |command| {
        let roles = ["nats-server", "worker", "api"];
        let is = |role: &&&str| command.contains(&format!("/{role} ")) || command.contains(&format!(" {role} "));
        (*roles.iter().find(is).unwrap_or_else(|| panic!("an unknown process: {command}"))).to_owned()
    })
}
