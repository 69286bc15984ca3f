//! Where `rsm` would listen: free, taken by an `rsm` that runs, or by another program.

use std::net::{SocketAddr, TcpListener};

use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;

use super::patient::{Patient, RoleName};
use super::report::Check;

/// Largest answer that is read, bytes.
const MAX_ANSWER: usize = 64 << 10;

/// Processes that already run here.
#[derive(Clone, Debug, Default)]
pub struct RunningProcesses {
    /// An `rsm up` has locked the data directory.
    pub up: bool,
    /// The process that answers at the API's address.
    pub api: Option<Answering>,
}

/// An API or a relay that answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answering {
    pub base: String,
    /// Its reasons for not being ready, by dependency.
    pub reasons: Vec<(String, String)>,
    /// Its time, as HTTP has it.
    pub date: Option<String>,
}

/// Asks without waiting for anybody.
pub async fn running(patient: &Patient) -> RunningProcesses {
    let api = match at(patient.config.api.listen) {
        Some(base) => ask(&patient.http, base).await,
        None => None,
    };
    RunningProcesses { up: locked(patient), api }
}

/// Where a program that listens at `address` is reached; none when the system is to choose the port.
fn at(address: SocketAddr) -> Option<String> {
    let mut address = address;
    match address.ip() {
        _ if address.port() == 0 => return None,
        ip if ip.is_unspecified() && ip.is_ipv4() => address.set_ip(std::net::Ipv4Addr::LOCALHOST.into()),
        ip if ip.is_unspecified() => address.set_ip(std::net::Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Some(format!("http://{address}"))
}

/// Asks an address; `None` unless an rsm process answers.
async fn ask(http: &reqwest::Client, base: String) -> Option<Answering> {
    let (live, date) = get(http, &format!("{base}/health/live")).await?;
    if live["live"] != true {
        return None;
    }
    let ready = get(http, &format!("{base}/health/ready")).await.map(|(ready, _)| ready).unwrap_or_default();
    let reasons = ready["reasons"].as_object().into_iter().flatten();
    let reasons = reasons.map(|(name, why)| (name.clone(), why.as_str().unwrap_or_default().to_owned())).collect();
    Some(Answering { base, reasons, date })
}

async fn get(http: &reqwest::Client, url: &str) -> Option<(Value, Option<String>)> {
    let mut answer = http.get(url).send().await.ok()?;
    let date = answer.headers().get(reqwest::header::DATE).and_then(|date| date.to_str().ok()).map(str::to_owned);
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.ok()? {
        if body.len() + piece.len() > MAX_ANSWER {
            return None;
        }
        body.extend_from_slice(&piece);
    }
    Some((serde_json::from_slice(&body).ok()?, date))
}

/// True when an `rsm up` runs in the data directory. A starting `rsm up` waits for a moment before it gives up, so it
/// does not notice that this check held the lock for an instant.
fn locked(patient: &Patient) -> bool {
    let Ok(file) = std::fs::File::open(patient.config.data_dir.join("rsm.lock")) else { return false };
    Flock::lock(file, FlockArg::LockSharedNonblock).is_err()
}

pub async fn look(patient: &Patient, running: &RunningProcesses) -> Vec<Check> {
    let mut checks = Vec::new();
    if patient.does(RoleName::Api) || patient.does(RoleName::Relay) {
        let address = patient.config.api.listen;
        checks.push(judge("api_port", "api.listen", address, bind(address), running.api.as_ref()));
        if !address.ip().is_loopback() {
            let found = format!("api.listen is {address}: whoever reaches it may watch and change every camera");
            checks.push(Check::warning(
                "access",
                found,
                "there is no access control; put a proxy in front that has one",
            ));
        }
    }
    if patient.does(RoleName::Worker) {
        let address = patient.config.worker.listen;
        let bound = bind(address);
        let answering = match (at(address), bound.is_err()) {
            (Some(base), true) => ask(&patient.http, base).await,
            _ => None,
        };
        checks.push(judge("worker_port", "worker.listen", address, bound, answering.as_ref()));
    }
    checks
}

/// Takes the port for an instant.
fn bind(address: SocketAddr) -> Result<(), std::io::ErrorKind> {
    TcpListener::bind(address).map(drop).map_err(|e| e.kind())
}

/// Judges the result of a try to listen, and the process that answers there. Pure.
fn judge(
    check: &'static str,
    key: &str,
    address: SocketAddr,
    bound: Result<(), std::io::ErrorKind>,
    answering: Option<&Answering>,
) -> Check {
    use std::io::ErrorKind;
    match (bound, answering) {
        (Ok(()), _) if address.port() == 0 => Check::ok(check, format!("the system chooses it ({key} is {address})")),
        (Ok(()), _) => Check::ok(check, format!("{address} is free")),
        (Err(_), Some(Answering { reasons, .. })) if reasons.is_empty() => {
            Check::ok(check, format!("{address}: an rsm runs there, and is ready"))
        }
        (Err(_), Some(Answering { reasons, .. })) => {
            let reasons: Vec<_> = reasons.iter().map(|(name, why)| format!("{name}: {why}")).collect();
            let found = format!("{address}: an rsm runs there, and is not ready: {}", reasons.join("; "));
            Check::warning(check, found, "its log says more")
        }
        (Err(ErrorKind::AddrInUse), None) => {
            let advice = format!("end that program (`ss -ltnp sport = :{}` names it), or change {key}", address.port());
            Check::failure(check, format!("{address} is in use by another program"), advice)
        }
        (Err(ErrorKind::PermissionDenied), None) => {
            let found = format!("{address}: ports below 1024 need a privilege");
            Check::failure(check, found, format!("take another port in {key}, or put a proxy in front"))
        }
        (Err(ErrorKind::AddrNotAvailable), None) => {
            let found = format!("{address} is no address of this machine");
            Check::failure(check, found, format!("change {key}; 127.0.0.1 and 0.0.0.0 are on every machine"))
        }
        (Err(kind), None) => {
            Check::failure(check, format!("{address} cannot be listened on: {kind}"), format!("change {key}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;
    use crate::doctor::report::Status;

    #[test]
    fn a_port_that_is_taken_is_well_when_it_is_by_one_of_us() {
        let ready = Answering::default();
        let unready = Answering { reasons: vec![("nats".into(), "away".into())], ..Answering::default() };
        let address = "127.0.0.1:8080".parse().unwrap();
        for (bound, answering, want, word) in [
            (Ok(()), None, Status::Ok, "free"),
            (Err(ErrorKind::AddrInUse), Some(&ready), Status::Ok, "is ready"),
            (Err(ErrorKind::AddrInUse), Some(&unready), Status::Warning, "nats: away"),
            (Err(ErrorKind::AddrInUse), None, Status::Failure, "another program"),
            (Err(ErrorKind::PermissionDenied), None, Status::Failure, "privilege"),
            (Err(ErrorKind::AddrNotAvailable), None, Status::Failure, "no address"),
            (Err(ErrorKind::Other), None, Status::Failure, "cannot"),
        ] {
            let check = judge("api_port", "api.listen", address, bound, answering);
            assert!(check.status == want && check.found.contains(word), "{bound:?}: {check:?}");
            assert_eq!(check.advice.is_empty(), want == Status::Ok, "{check:?}");
        }
    }

    #[test]
    fn a_program_that_listens_everywhere_is_asked_on_loopback() {
        for (address, want) in [
            ("0.0.0.0:81", Some("http://127.0.0.1:81")),
            ("[::]:81", Some("http://[::1]:81")),
            ("192.0.2.1:81", Some("http://192.0.2.1:81")),
            ("127.0.0.1:0", None),
        ] {
            assert_eq!(at(address.parse().unwrap()).as_deref(), want);
        }
    }
}
