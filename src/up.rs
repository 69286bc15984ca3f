//! `rsm up`: everything on one machine. This process only looks after its children: nats-server, the API, workers and
//! test cameras. It holds the listener of the API, so that a restart of the API refuses no connection.

use std::net::TcpListener;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use rsm_shared::config::Config;
use rsm_shared::ops::{process, segment_root, shutdown};
use rsm_shared::stream::names::{MAX_TOKEN_LEN, WorkerId};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::children::{self, End, Kept};
use crate::cli::Up;
use crate::demo::Demo;
use crate::exit::{EXIT_UNAVAILABLE, fail};
use crate::nats_server::{self, NatsServer};
use crate::output;

/// From SIGTERM to SIGKILL for nats-server, whose clients are gone by then.
const NATS_GRACE: Duration = Duration::from_millis(500);
/// On top of the children's deadline: for nats-server, and to end by ourselves.
const OWN_GRACE: Duration = Duration::from_millis(900);
/// From the start of the API until it answers; migrations of a large database take a while.
const READY_DEADLINE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

/// The reason why it cannot go on, and the exit code.
struct Failure {
    text: String,
    code: u8,
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self { text, code: EXIT_UNAVAILABLE }
    }
}

/// Runs until a signal. Call on the main thread: children are bound to it.
pub fn run(up: &Up, config: Config) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(&format!("cannot make the runtime: {e}"), EXIT_UNAVAILABLE),
    };
    match runtime.block_on(supervise(up, config)) {
        Ok(()) => {
            info!("ended");
            ExitCode::SUCCESS
        }
        // A child that cannot go on has said why.
        Err(Failure { text, code }) if text.is_empty() => ExitCode::from(code),
        Err(Failure { text, code }) => fail(&text, code),
    }
}

async fn supervise(up: &Up, mut config: Config) -> Result<(), Failure> {
    let stop = CancellationToken::new();
    shutdown::on_signal(stop.clone(), config.shutdown() + OWN_GRACE)
        .map_err(|e| format!("cannot watch signals: {e}"))?;
    process::writable_dir(&config.data_dir)?;
    let lock = lock(&config.data_dir, config.shutdown() + OWN_GRACE).await?;
    children::share(lock.as_raw_fd());
    let listener = process::listen(config.api.listen)?;
    let address = listener.local_addr().map_err(|e| format!("cannot read the listener's address: {e}"))?;
    segment_root::clear(&config.hls_root())?;

    let mut family = Family::new(&config);
    let begun = tokio::select! {
        begun = family.begin(up, &mut config, listener) => begun,
        () = stop.cancelled() => Ok(()),
    };
    let ended = match begun {
        Ok(()) => {
            let client = Client::new(address)?;
            let children = family.front.clone();
            tokio::select! {
                () = stop.cancelled() => Ok(()),
                failed = family.failed() => Err(failed),
                failed = welcome(up, &client, children) => Err(failed),
            }
        }
        Err(failure) => Err(failure),
    };
    family.end().await;
    ended
}

/// Says where the page is once it is there, and registers the test cameras. Ends only when that fails.
async fn welcome(up: &Up, client: &Client, children: CancellationToken) -> Failure {
    if let Err(text) = client.ready().await {
        return text.into();
    }
    let line = format!("RTSP Stream Manager is ready: {}\n", client.base);
    // The reader of stdout may be gone, or may have stopped: then the line waits on a thread that ends with the process.
    let _ = std::thread::Builder::new().name("stdout".into()).spawn(move || output::print(line.as_bytes()));
    if up.demo > 0 {
        let demo = Demo { cameras: up.demo, children, api: client.base.clone() };
        if let Err(text) = demo.run(&client.http).await {
            return text.into();
        }
    }
    std::future::pending().await
}

/// The API as this process talks to it.
struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    fn new(address: std::net::SocketAddr) -> Result<Self, String> {
        let host = match address.ip() {
            ip if ip.is_unspecified() => "127.0.0.1".to_owned(),
            std::net::IpAddr::V6(ip) => format!("[{ip}]"),
            std::net::IpAddr::V4(ip) => ip.to_string(),
        };
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .no_proxy()
            .build()
            .map_err(|e| format!("cannot make an HTTP client: {e}"))?;
        Ok(Self { http, base: format!("http://{host}:{}/", address.port()) })
    }

    async fn ready(&self) -> Result<(), String> {
        let url = format!("{}health/ready", self.base);
        let waited = tokio::time::timeout(READY_DEADLINE, async {
            loop {
                if self.http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        });
        waited.await.map_err(|_| format!("the API was not ready within {} s", READY_DEADLINE.as_secs()))
    }
}

/// All children. The front ends first: API and workers say goodbye over NATS, which ends last.
struct Family {
    front: CancellationToken,
    back: CancellationToken,
    front_tasks: JoinSet<(String, End)>,
    back_tasks: JoinSet<(String, End)>,
    grace: Duration,
}

impl Family {
    fn new(config: &Config) -> Self {
        Self {
            front: CancellationToken::new(),
            back: CancellationToken::new(),
            front_tasks: JoinSet::new(),
            back_tasks: JoinSet::new(),
            grace: config.shutdown(),
        }
    }

    async fn begin(&mut self, up: &Up, config: &mut Config, listener: TcpListener) -> Result<(), Failure> {
        let mut environment = Vec::new();
        if up.own_nats {
            let (url, password) = self.nats(&config.data_dir).await?;
            environment.push(("RSM__NATS__URLS", url));
            environment.push(("RSM__NATS__USER", nats_server::USER.to_owned()));
            environment.push(("RSM__NATS__PASSWORD", password));
        }
        let program = std::env::current_exe().map_err(|e| format!("cannot find the own program: {e}"))?;
        let roles = Arc::new(Roles {
            program,
            passed_on: up.passed_on.clone(),
            data_dir: config.data_dir.clone(),
            environment,
        });
        let api = roles.clone();
        self.keep("api", move || {
            let mut command = api.command("api");
            children::pass_listener(&mut command, &listener);
            command
        });
        let base = config.worker.name.clone().unwrap_or_else(|| process::host_worker_name().to_string());
        for n in 1..=up.workers {
            let (worker, name) = (roles.clone(), worker_name(&base, n));
            self.keep(&format!("worker-{n}"), move || {
                let mut command = worker.command("worker");
                command.env("RSM__WORKER__NAME", name.as_str());
                // All of them end at the same time: no worker is left to take streams over.
                command.env("RSM__WORKER__DRAIN_S", "0");
                command.env("RSM__WORKER__CLEAR_HLS", "false").env("RSM__WORKER__LISTEN", "127.0.0.1:0");
                command
            });
        }
        Ok(())
    }

    /// Starts nats-server; its address and password.
    async fn nats(&mut self, data_dir: &Path) -> Result<(String, String), Failure> {
        let mut server = NatsServer::prepare(data_dir)?;
        let mut child =
            children::start("nats-server", server.command()).map_err(|e| format!("cannot start nats-server: {e}"))?;
        read_log(&mut child);
        let pid = child.id().ok_or("nats-server ended at once; its words are above".to_owned())?;
        let url = tokio::select! {
            url = server.ready(pid) => url?,
            _ = child.wait() => return Err("nats-server ended at once; its words are above".to_owned().into()),
        };
        let password = server.password().to_owned();
        let kept = Kept {
            name: "nats-server".to_owned(),
            make: move || server.command(),
            started: read_log,
            first: Some(child),
            grace: NATS_GRACE,
        };
        let stop = self.back.clone();
        self.back_tasks.keep(kept, stop);
        Ok((url, password))
    }

    fn keep(&mut self, name: &str, make: impl Fn() -> Command + Send + 'static) {
        let kept = Kept { name: name.to_owned(), make, started: |_: &mut Child| {}, first: None, grace: self.grace };
        let stop = self.front.clone();
        self.front_tasks.keep(kept, stop);
    }

    /// Waits until a child cannot go on.
    async fn failed(&mut self) -> Failure {
        loop {
            let ended = tokio::select! {
                Some(ended) = self.front_tasks.join_next() => ended,
                Some(ended) = self.back_tasks.join_next() => ended,
            };
            match ended {
                // The child has logged the reason.
                Ok((_, End::Hopeless(code))) => return Failure { text: String::new(), code },
                Ok((_, End::Stopped)) => {}
                Err(e) => return format!("a child is no longer looked after: {e}").into(),
            }
        }
    }

    async fn end(&mut self) {
        self.front.cancel();
        while self.front_tasks.join_next().await.is_some() {}
        self.back.cancel();
        while self.back_tasks.join_next().await.is_some() {}
    }
}

trait KeepIn {
    fn keep<M, S>(&mut self, kept: Kept<M, S>, stop: CancellationToken)
    where
        M: Fn() -> Command + Send + 'static,
        S: Fn(&mut Child) + Send + 'static;
}

impl KeepIn for JoinSet<(String, End)> {
    fn keep<M, S>(&mut self, kept: Kept<M, S>, stop: CancellationToken)
    where
        M: Fn() -> Command + Send + 'static,
        S: Fn(&mut Child) + Send + 'static,
    {
        let name = kept.name.clone();
        self.spawn(async move { (name, children::keep(kept, stop).await) });
    }
}

fn read_log(child: &mut Child) {
    if let Some(stderr) = child.stderr.take() {
        tokio::spawn(nats_server::watch_log(stderr));
    }
}

/// Arguments and environment that all roles are started with.
struct Roles {
    program: PathBuf,
    passed_on: Vec<String>,
    data_dir: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Roles {
    fn command(&self, role: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(role).args(&self.passed_on).arg("--data-dir").arg(&self.data_dir);
        command.envs(self.environment.iter().map(|(key, value)| (*key, value.as_str())));
        // Only the API has a listener, and only from us.
        command.env_remove("LISTEN_FDS").env_remove("LISTEN_PID");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }
}

/// `<base>-<n>`, within the length of a worker name.
fn worker_name(base: &str, n: u32) -> WorkerId {
    let number = format!("-{n}");
    let room = MAX_TOKEN_LEN - number.len();
    WorkerId::from_lossy(&(base.chars().take(room).collect::<String>() + &number))
}

/// Keeps a second `rsm up` out of a data directory. Released by the system when this process and its children have
/// ended, however they end; children of one that was killed are waited for.
async fn lock(data_dir: &Path, patience: Duration) -> Result<Flock<std::fs::File>, String> {
    let path = data_dir.join("rsm.lock");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|e| format!("cannot open {}: {e}", path.display()))?;
    let begun = std::time::Instant::now();
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err(_) if begun.elapsed() > patience => {
                return Err(format!("the data directory {} is in use by another rsm up", data_dir.display()));
            }
            Err((unlocked, _)) => file = unlocked,
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worker_names_stay_distinct_however_long_the_host_name_is() {
        let base = "a".repeat(60);
        assert_ne!(worker_name(&base, 1), worker_name(&base, 12));
        assert_eq!(worker_name("host.example", 2).as_str(), "host-example-2");
    }
}
