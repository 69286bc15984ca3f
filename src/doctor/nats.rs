//! nats-server on this machine, and the NATS of the configuration: reachable servers, their features, our permissions.

use std::process::Stdio;
use std::time::Duration;

use rsm_shared::bus::diagnosis::{self, Copies, Diagnosis, JetStream, Role, Server};
use rsm_shared::config::Config;
use rsm_shared::ops::process;
use rsm_shared::stream::names::Zone;
use tokio::process::Command;

use super::clock;
use super::patient::{Patient, RoleName};
use super::ports::RunningProcesses;
use super::report::Check;
use crate::nats_server;

/// The oldest version that the tests run with.
const OLDEST: Version = Version(2, 9, 10);
/// Before this one replicated streams had defects.
const REPLICATES_WELL: Version = Version(2, 9, 21);
/// Permissions that are named; one that lacks more than these lacks most.
const MAX_NAMED: usize = 5;
/// nats-server only prints its version.
const DEADLINE: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32, u32);

impl Version {
    /// The first thing of the form `1.2.3` in a text.
    fn find(text: &str) -> Option<Self> {
        text.split(|c: char| !c.is_ascii_digit() && c != '.').find_map(|word| {
            let mut numbers = word.split('.').map(str::parse::<u32>);
            Some(Self(numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?))
        })
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// The program that `rsm up` would start.
#[derive(Clone, Debug)]
enum Program {
    Missing,
    /// Its path, and the version that it reports.
    There(String, Option<Version>),
}

/// Looks for the program and at the servers at the same time.
pub async fn look(patient: &Patient, running: &RunningProcesses) -> Vec<Check> {
    let config = &patient.config;
    if !patient.readable {
        return vec![judge_program(&program().await, false)];
    }
    let zones = config.zones().unwrap_or_else(|_| vec![Zone::default_zone()]);
    let token = token();
    let (program, found) = tokio::join!(program(), diagnosis::look(&config.nats, &zones, &token));
    // Without a server that was named, `rsm up` starts its own.
    let named = patient.role.is_some() || is_named(config);
    let mut checks = vec![judge_program(&program, named || found.server.is_some())];
    checks.push(judge_reach(&found, named, running));
    if let Some(server) = &found.server {
        checks.extend(judge_server(config, server));
        checks.push(judge_permissions(server, patient.role));
    }
    checks
}

/// True when the configuration of NATS differs from the defaults.
fn is_named(config: &Config) -> bool {
    let built_in = Config::built_in().is_ok_and(|built_in| built_in.nats.urls == config.nats.urls);
    !built_in || config.nats.user.is_some()
}

async fn program() -> Program {
    let Some(path) = nats_server::find("nats-server") else { return Program::Missing };
    let mut command = Command::new(&path);
    command.arg("--version").stdin(Stdio::null()).kill_on_drop(true);
    let said = match tokio::time::timeout(DEADLINE, command.output()).await {
        Ok(Ok(output)) => Version::find(&String::from_utf8_lossy(&output.stdout)),
        _ => None,
    };
    Program::There(path.display().to_string(), said)
}

/// Pure: `elsewhere` when none is needed on this machine.
fn judge_program(program: &Program, elsewhere: bool) -> Check {
    let check = "nats_server";
    match program {
        Program::Missing if elsewhere => {
            Check::ok(check, "not on this machine, and not needed with that of the configuration")
        }
        Program::Missing => Check::failure(
            check,
            "nats-server was not found",
            "apt-get install nats-server, or name a running server in nats.urls or with --nats",
        ),
        Program::There(path, None) => {
            Check::warning(check, format!("{path} does not say its version"), "install Debian's package nats-server")
        }
        Program::There(path, Some(version)) if *version < OLDEST => {
            let found = format!("{path} is {version}, older than {OLDEST}");
            match elsewhere {
                true => Check::warning(check, found, "do not use it for rsm"),
                false => Check::failure(check, found, "install a newer one, such as Debian's package nats-server"),
            }
        }
        Program::There(path, Some(version)) => Check::ok(check, format!("{path} {version}")),
    }
}

/// Judges which servers of the configuration answer. Pure.
fn judge_reach(found: &Diagnosis, named: bool, running: &RunningProcesses) -> Check {
    let check = "nats";
    let away = found.away.join(", ");
    let Diagnosis { refused, server, .. } = found;
    match server {
        Some(Server { url, .. }) if away.is_empty() => Check::ok(check, format!("{url} answers, and takes the user")),
        Some(Server { url, .. }) => {
            Check::warning(check, format!("{url} answers; {away}"), "start the others, or take them out of nats.urls")
        }
        None if *refused && running.up && !named => Check::ok(check, "`rsm up` runs here with a server of its own"),
        None if *refused => Check::failure(check, away, "check nats.user and nats.password (RSM__NATS__PASSWORD)"),
        None if named => {
            let advice = "start nats-server there, or check nats.urls, with tls:// also nats.ca_file";
            Check::failure(check, away, advice)
        }
        None if running.up => {
            match running.api.as_ref().and_then(|api| api.reasons.iter().find(|(what, _)| what == "nats")) {
                Some((_, why)) => {
                    Check::failure(check, format!("`rsm up` runs here, and its API says: {why}"), "its log says more")
                }
                None => Check::ok(check, "`rsm up` runs here with a server of its own"),
            }
        }
        None => Check::ok(check, format!("{away}; none is configured, `rsm up` starts its own")),
    }
}

/// Judges version and features of the server. Pure.
fn judge_server(config: &Config, server: &Server) -> Vec<Check> {
    let replicas = config.nats.replicas as u64;
    let version = Version::find(&server.version);
    let said = &server.version;
    let mut checks = vec![match version {
        Some(version) if version < OLDEST => {
            Check::failure("nats_version", format!("{said}, older than {OLDEST}"), "upgrade nats-server")
        }
        Some(version) if replicas > 1 && version < REPLICATES_WELL => {
            let found = format!("{said}, and nats.replicas is {replicas}");
            Check::warning("nats_version", found, format!("clusters want nats-server {REPLICATES_WELL} or newer"))
        }
        _ => Check::ok("nats_version", said.clone()),
    }];
    let jetstream = &server.jetstream;
    checks.push(match jetstream {
        JetStream::Works { copies: None, .. } => Check::ok("jetstream", "works; the API will make its streams"),
        JetStream::Works { .. } => Check::ok("jetstream", "works"),
        JetStream::Off(why) => Check::failure(
            "jetstream",
            why.clone(),
            "switch it on, for the account of the user too (`jetstream: enabled`); with a leaf node set nats.domain",
        ),
        JetStream::Silent => Check::failure(
            "jetstream",
            "no answer",
            "a cluster needs a majority of its servers; or the user lacks permissions, or nats.domain is another",
        ),
    });
    let copies = match jetstream {
        JetStream::Works { copies, time } => {
            checks.extend(
                time.as_deref().and_then(clock::seconds).map(|there| clock::skew("NATS", clock::now() - there)),
            );
            copies.as_ref()
        }
        _ => None,
    };
    checks.push(judge_replicas(replicas, server.cluster.as_deref(), copies));
    checks.push(judge_payload(server.max_payload, config.mjpeg.max_width.into()));
    checks
}

/// Pure: checks that the servers are enough for the number of copies that is configured.
fn judge_replicas(wanted: u64, cluster: Option<&str>, copies: Option<&Copies>) -> Check {
    let check = "nats_replicas";
    if wanted > 1 && cluster.is_none() {
        let found = format!("nats.replicas is {wanted}, and the server is in no cluster");
        return Check::failure(check, found, "set nats.replicas to 1, or make a cluster (docs/farm.md)");
    }
    let cluster = cluster.map_or_else(|| "one server".to_owned(), |name| format!("cluster {name}"));
    match copies {
        Some(Copies { behind, .. }) if !behind.is_empty() => {
            let found = format!("{cluster}; copies that are not up to date: {}", behind.join(", "));
            Check::warning(check, found, "look at these servers")
        }
        Some(Copies { wanted: there, .. }) if *there != wanted => {
            let found = format!("{cluster}; streams have {there} copies, nats.replicas is {wanted}");
            Check::warning(check, found, "the API changes it at its next start; give every role the same nats.replicas")
        }
        _ if wanted == 1 && cluster != "one server" => {
            let advice = "set nats.replicas to 3, so that a server may fail";
            Check::warning(check, format!("{cluster}; nats.replicas is 1"), advice)
        }
        _ => Check::ok(check, format!("{cluster}; copies: {wanted}")),
    }
}

/// Pure: whether frames of `width` pixels fit into one message. Busy pictures of high quality take a third of a byte
/// for each pixel.
fn judge_payload(max: usize, width: u64) -> Check {
    let frame = width * width * 9 / 16 / 3;
    let found = format!("messages of up to {} kB; frames {width} wide take up to {} kB", max / 1000, frame / 1000);
    if max as u64 >= frame {
        return Check::ok("nats_payload", found);
    }
    Check::warning("nats_payload", found, "raise max_payload of nats-server to 8MB: larger frames are dropped")
}

/// Pure: the roles for which the user has all permissions.
fn judge_permissions(server: &Server, role: Option<RoleName>) -> Check {
    let check = "nats_permissions";
    let role = role.map(|role| match role {
        RoleName::Api => Role::Api,
        RoleName::Relay => Role::Relay,
        RoleName::Worker => Role::Worker,
    });
    let advice = "config/nats-cluster/accounts.conf has what each role needs";
    let asked = || server.forbidden.iter().filter(|(of, _)| role.is_none_or(|role| role == *of));
    let good: Vec<_> = asked().filter(|(_, lacks)| lacks.is_empty()).map(|(role, _)| role.name()).collect();
    if !good.is_empty() {
        return Check::ok(check, format!("the user may do what these need: {}", good.join(", ")));
    }
    // The missing permissions are listed for the role that needs the fewest more.
    let Some((role, lacks)) = asked().min_by_key(|(_, lacks)| lacks.len()) else {
        return Check::ok(check, "not asked for");
    };
    let named = &lacks[..lacks.len().min(MAX_NAMED)];
    let more = match lacks.len() - named.len() {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    Check::failure(check, format!("for {} the user may not {}{more}", role.name(), named.join(", ")), advice)
}

/// A word that no camera, worker or zone has.
fn token() -> String {
    format!("doctor-{}", &process::unique()[..12])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::report::Status;

    fn server(version: &str, jetstream: JetStream) -> Server {
        Server {
            url: "nats://n:4222".into(),
            version: version.into(),
            cluster: None,
            max_payload: 1 << 20,
            jetstream,
            forbidden: vec![],
        }
    }

    #[test]
    fn a_program_that_is_missing_matters_when_nobody_else_answers() {
        let there = |version: &str| Program::There("/bin/nats-server".into(), Version::find(version));
        for (program, elsewhere, want) in [
            (Program::Missing, true, Status::Ok),
            (Program::Missing, false, Status::Failure),
            (there("nats-server: v2.9.10"), false, Status::Ok),
            (there("nats-server: v2.10.0-beta"), false, Status::Ok),
            (there("nats-server: v2.9.9"), false, Status::Failure),
            (there("nats-server: v2.9.9"), true, Status::Warning),
            (there("hello"), false, Status::Warning),
        ] {
            let check = judge_program(&program, elsewhere);
            assert_eq!(check.status, want, "{program:?} {elsewhere}: {check:?}");
        }
    }

    #[test]
    fn servers_that_are_away_matter_when_they_were_named() {
        let found = |refused, server| Diagnosis { away: vec!["nats://n:1: no answer".into()], refused, server };
        let up = RunningProcesses { up: true, api: None };
        let there = || Some(server("2.9.10", JetStream::Silent));
        for (found, named, running, want) in [
            (found(false, None), false, RunningProcesses::default(), Status::Ok),
            (found(false, None), true, RunningProcesses::default(), Status::Failure),
            (found(true, None), false, RunningProcesses::default(), Status::Failure),
            (found(true, None), true, up.clone(), Status::Failure),
            (found(false, None), false, up, Status::Ok),
            (found(false, there()), true, RunningProcesses::default(), Status::Warning),
            (
                Diagnosis { away: vec![], refused: false, server: there() },
                true,
                RunningProcesses::default(),
                Status::Ok,
            ),
        ] {
            let check = judge_reach(&found, named, &running);
            assert_eq!(check.status, want, "{found:?} {named} {running:?}: {check:?}");
        }
    }

    #[test]
    fn versions_and_copies_are_judged_by_what_is_wanted() {
        let mut config = Config::built_in().unwrap();
        let works = || JetStream::Works { copies: None, time: None };
        let of = |config: &Config, version: &str| judge_server(config, &server(version, works()))[0].status;
        assert_eq!(of(&config, "2.9.10"), Status::Ok);
        assert_eq!(of(&config, "2.8.4"), Status::Failure);
        config.nats.replicas = 3;
        assert_eq!(of(&config, "2.9.10"), Status::Warning);
        assert_eq!(of(&config, "2.9.21"), Status::Ok);

        let copies =
            |wanted, behind: &[&str]| Copies { wanted, behind: behind.iter().map(|s| (*s).to_owned()).collect() };
        for (wanted, cluster, copies, want) in [
            (1, None, None, Status::Ok),
            (3, None, None, Status::Failure),
            (3, Some("farm"), None, Status::Ok),
            (3, Some("farm"), Some(copies(3, &[])), Status::Ok),
            (3, Some("farm"), Some(copies(3, &["b"])), Status::Warning),
            (3, Some("farm"), Some(copies(1, &[])), Status::Warning),
            (1, Some("farm"), Some(copies(1, &[])), Status::Warning),
        ] {
            let check = judge_replicas(wanted, cluster, copies.as_ref());
            assert_eq!(check.status, want, "{wanted} {cluster:?} {copies:?}: {check:?}");
        }
    }

    #[test]
    fn frames_have_to_fit_into_a_message() {
        for (max, width, want) in
            [(1 << 20, 1280, Status::Ok), (1 << 20, 3840, Status::Warning), (8_000_000, 3840, Status::Ok)]
        {
            assert_eq!(judge_payload(max, width).status, want, "{max} {width}");
        }
    }

    #[test]
    fn a_user_is_judged_by_the_role_that_it_has() {
        let mut server = server("2.9.10", JetStream::Silent);
        server.forbidden = vec![
            (Role::Api, vec!["publish a".into(), "publish b".into()]),
            (Role::Relay, vec![]),
            (Role::Worker, vec!["publish c".into()]),
        ];
        assert_eq!(judge_permissions(&server, None).status, Status::Ok);
        let check = judge_permissions(&server, Some(RoleName::Worker));
        assert!(check.status == Status::Failure && check.found.contains("publish c"), "{check:?}");
        server.forbidden.remove(1);
        assert!(judge_permissions(&server, None).found.contains("for worker the user may not publish c"));
    }
}
