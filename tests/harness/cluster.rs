//! nats-servers with the files of config/nats-cluster, as a farm runs them: one, a cluster of three, a leaf.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::{PullConsumer, pull};
use nix::sys::signal::Signal;
use tokio::process::{Child, Command};

use super::process::{Log, signal, spawn};
use super::{eventually, within};

/// Users of accounts.conf; here the password of each is its name with this before it.
pub const PASSWORD_PREFIX: &str = "pw-";
/// Tries of a whole start: another process may take a port between its choice and its use.
const STARTS: usize = 5;

/// The password of a user.
pub fn password(user: &str) -> String {
    format!("{PASSWORD_PREFIX}{user}")
}

/// Ports that are held until they are let go for a server.
pub struct Ports(Vec<TcpListener>);

impl Ports {
    pub fn reserve(count: usize) -> Self {
        Self((0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect())
    }

    pub fn numbers(&self) -> Vec<u16> {
        self.0.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
    }
}

/// One nats-server with a configuration of config/nats-cluster.
pub struct NatsServer {
    pub url: String,
    pub leaf_port: u16,
    file: PathBuf,
    flags: Vec<String>,
    environment: Vec<(String, String)>,
    child: Option<Child>,
    log: Log,
    dir: tempfile::TempDir,
}

impl NatsServer {
    /// The only server of a farm.
    pub async fn single() -> Self {
        Self::single_with(&[]).await
    }

    /// The only server of a farm, with more flags.
    pub async fn single_with(flags: &[&str]) -> Self {
        Self::hub("north", flags).await
    }

    /// The server of a farm whose site with a leaf has this zone, with more flags.
    pub async fn hub(site_zone: &str, flags: &[&str]) -> Self {
        Self::first_that_starts(async || {
            let ports = Ports::reserve(2);
            let numbers = ports.numbers();
            let mut server = Self::new("single.conf", "hub", (numbers[0], numbers[1]), &[]);
            server.rewrite(|text| with_site_zone(text, site_zone));
            server.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
            drop(ports);
            server.start();
            server.is_up().await.then_some(server)
        })
        .await
    }

    /// A leaf of `hub`, for the workers `worker-north`.
    pub async fn leaf_of(hub: &Self, site_zone: &str) -> Self {
        Self::leaf(hub, |text| with_site_zone(text, site_zone)).await
    }

    /// A leaf of `hub` whose own configuration forbids nothing.
    pub async fn rogue_leaf_of(hub: &Self) -> Self {
        Self::leaf(hub, |text| text.replace("\"rsm.v1.hb.*\"", "\">\"").replace("\"_INBOX_worker-north.>\"", "\">\""))
            .await
    }

    async fn leaf(hub: &Self, change: impl Fn(String) -> String) -> Self {
        let remote = format!("[\"nats-leaf://leaf-north:{}@127.0.0.1:{}\"]", password("leaf-north"), hub.leaf_port);
        Self::first_that_starts(async || {
            let ports = Ports::reserve(1);
            let more = [("RSM_NATS_HUB", remote.clone())];
            let mut server = Self::new("leaf.conf", "north", (ports.numbers()[0], 0), &more);
            server.rewrite(&change);
            drop(ports);
            server.start();
            server.is_up().await.then_some(server)
        })
        .await
    }

    async fn first_that_starts<T>(start: impl AsyncFn() -> Option<T>) -> T {
        for _ in 0..STARTS {
            if let Some(started) = start().await {
                return started;
            }
        }
        panic!("nats-server did not start in {STARTS} tries");
    }

    fn new(file: &str, name: &str, (port, leaf_port): (u16, u16), more: &[(&str, String)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let users = ["sys", "route", "api", "relay", "worker-default", "worker-north", "leaf-north"];
        let mut environment: Vec<(String, String)> = users
            .iter()
            .map(|user| {
                let key = format!("RSM_NATS_{}_PASSWORD", user.to_uppercase().replace('-', "_"));
                (key, format!("{:?}", password(user)))
            })
            .collect();
        for (key, value) in [
            ("RSM_NATS_NAME", format!("{name:?}")),
            ("RSM_NATS_HOST", "\"127.0.0.1\"".to_owned()),
            ("RSM_NATS_PORT", port.to_string()),
            ("RSM_NATS_LEAF_PORT", leaf_port.to_string()),
            ("RSM_NATS_STORE", format!("{:?}", dir.path().join("store"))),
        ] {
            environment.push((key.to_owned(), value));
        }
        environment.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        Self {
            url: format!("nats://127.0.0.1:{port}"),
            leaf_port,
            file: shipped().join(file),
            flags: Vec::new(),
            environment,
            child: None,
            log: Log::default(),
            dir,
        }
    }

    /// Runs on changed copies of the files from now on.
    fn rewrite(&mut self, change: impl Fn(String) -> String) {
        let dir = self.dir.path().join("config");
        std::fs::create_dir(&dir).unwrap();
        for entry in std::fs::read_dir(shipped()).unwrap().flatten() {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            std::fs::write(dir.join(entry.file_name()), change(text)).unwrap();
        }
        self.file = dir.join(self.file.file_name().unwrap());
    }

    /// Starts it, or starts it again with its store.
    pub fn start(&mut self) {
        let mut command = Command::new("nats-server");
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
        command
            .env("PATH", path)
            .envs(self.environment.iter().cloned())
            .arg("-c")
            .arg(&self.file)
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = spawn(&mut command);
        self.log = Log::of(child.stderr.take().unwrap());
        self.child = Some(child);
    }

    /// True when it listens, false when it ends before.
    async fn is_up(&mut self) -> bool {
        let address = self.url.trim_start_matches("nats://").to_owned();
        let child = self.child.as_mut().unwrap();
        let listens = async || tokio::net::TcpStream::connect(&address).await.is_ok();
        tokio::select! {
            _ = child.wait() => false,
            _ = eventually("nats-server to listen", listens, |up| *up) => true,
        }
    }

    pub async fn kill(&mut self) {
        self.child.take().expect("a running server").kill().await.unwrap();
    }

    /// Ends it in order, as an upgrade does.
    pub async fn stop(&mut self) {
        let mut child = self.child.take().expect("a running server");
        signal(child.id().unwrap(), Signal::SIGTERM);
        within("nats-server to end", child.wait()).await.unwrap();
    }

    /// Stops it without a word to anybody, as a machine that lost its power does; [`NatsServer::thaw`] goes on.
    pub fn freeze(&self) {
        signal(self.child.as_ref().unwrap().id().unwrap(), Signal::SIGSTOP);
    }

    pub fn thaw(&self) {
        signal(self.child.as_ref().unwrap().id().unwrap(), Signal::SIGCONT);
    }

    pub fn log(&self) -> String {
        self.log.text()
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Number of requests that its JetStream has answered.
    pub async fn requests(&self) -> u64 {
        let answer = self.client("sys").await.request("$SYS.REQ.SERVER.PING.JSZ", "".into()).await.unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&answer.payload).unwrap();
        answer["data"]["api"]["total"].as_u64().unwrap()
    }

    /// A connection as one of the users, with that user's inbox.
    pub async fn client(&self, user: &str) -> async_nats::Client {
        client(&[&self.url], user).await
    }
}

/// Puts another zone in for the users `worker-north` and `leaf-north`, as an operator who copies the files does.
fn with_site_zone(text: String, zone: &str) -> String {
    let text = text.replace(".north.", &format!(".{zone}.")).replace("start_north_", &format!("start_{zone}_"));
    text.replace(".north\"", &format!(".{zone}\""))
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of nats-server at {}\n{}", self.url, self.log.text());
        }
    }
}

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/nats-cluster")
}

/// A connection as one of the users, with that user's inbox.
pub async fn client(urls: &[&str], user: &str) -> async_nats::Client {
    let options = async_nats::ConnectOptions::with_user_and_password(user.to_owned(), password(user))
        .custom_inbox_prefix(format!("_INBOX_{user}"))
        .request_timeout(Some(Duration::from_secs(5)))
        .retry_on_initial_connect();
    let client = within("a connection to nats-server", options.connect(urls)).await.unwrap();
    within("an answer of nats-server", client.flush()).await.unwrap();
    client
}

/// Environment that a role of rsm needs to connect as `user`.
pub fn environment(urls: &str, user: &str) -> Vec<(&'static str, String)> {
    vec![
        ("RSM__NATS__URLS", urls.to_owned()),
        ("RSM__NATS__USER", user.to_owned()),
        ("RSM__NATS__PASSWORD", password(user)),
    ]
}

/// Three servers that form one cluster.
pub struct Cluster {
    pub nodes: Vec<NatsServer>,
}

impl Cluster {
    pub async fn start() -> Self {
        let cluster = NatsServer::first_that_starts(async || {
            let ports = Ports::reserve(9);
            let numbers = ports.numbers();
            let routes: Vec<String> = (0..3)
                .map(|n| format!("\"nats-route://route:{}@127.0.0.1:{}\"", password("route"), numbers[n + 3]))
                .collect();
            let routes = format!("[{}]", routes.join(", "));
            let mut nodes: Vec<NatsServer> = (0..3)
                .map(|n| {
                    let more =
                        [("RSM_NATS_CLUSTER_PORT", numbers[n + 3].to_string()), ("RSM_NATS_ROUTES", routes.clone())];
                    NatsServer::new("node.conf", &format!("nats-{}", n + 1), (numbers[n], numbers[n + 6]), &more)
                })
                .collect();
            drop(ports);
            for node in &mut nodes {
                node.start();
            }
            for node in &mut nodes {
                if !node.is_up().await {
                    return None;
                }
            }
            Some(Self { nodes })
        })
        .await;
        // Connections are taken before there is a leader.
        cluster.until_whole().await;
        cluster
    }

    /// The addresses of all nodes, as `nats.urls` in the environment.
    pub fn urls(&self) -> String {
        self.nodes.iter().map(|node| node.url.clone()).collect::<Vec<_>>().join(",")
    }

    /// A connection to any node that lives.
    pub async fn client(&self, user: &str) -> async_nats::Client {
        let urls: Vec<&str> = self.nodes.iter().filter(|n| n.child.is_some()).map(|n| n.url.as_str()).collect();
        client(&urls, user).await
    }

    /// The node that leads a stream; `None` while there is none.
    pub async fn leader(&self, stream: &str) -> Option<usize> {
        let js = jetstream::new(self.client("api").await);
        let found = js.get_stream(stream).await.ok()?;
        let name = found.cached_info().cluster.as_ref()?.leader.clone()?;
        (1..=self.nodes.len()).find(|n| name == format!("nats-{n}")).map(|n| n - 1)
    }

    /// Leaves one copy of a consumer of start tickets; returns the node that has it. The consumer has no leader without
    /// that node.
    pub async fn leave_one_copy(&self, name: &str) -> usize {
        let js = jetstream::new(self.client("api").await);
        let mut consumer: PullConsumer = js.get_consumer_from_stream(name, "RSM_CMD").await.unwrap();
        let wanted = consumer.cached_info().config.clone();
        js.delete_consumer_from_stream(name, "RSM_CMD").await.unwrap();
        let config = pull::Config {
            durable_name: wanted.durable_name,
            filter_subject: wanted.filter_subject,
            ack_policy: wanted.ack_policy,
            ack_wait: wanted.ack_wait,
            max_deliver: wanted.max_deliver,
            max_ack_pending: wanted.max_ack_pending,
            max_waiting: wanted.max_waiting,
            num_replicas: 1,
            ..pull::Config::default()
        };
        js.create_consumer_on_stream(config, "RSM_CMD").await.unwrap();
        let only = async || consumer.info().await.ok().and_then(|info| info.cluster.clone());
        let cluster = eventually("one copy of a consumer", only, |cluster| {
            cluster.as_ref().is_some_and(|c| c.leader.is_some() && c.replicas.is_empty())
        });
        let name = cluster.await.and_then(|cluster| cluster.leader).unwrap();
        (1..=self.nodes.len()).position(|n| name == format!("nats-{n}")).unwrap()
    }

    pub async fn kill(&mut self, node: usize) {
        self.nodes[node].kill().await;
    }

    pub async fn stop(&mut self, node: usize) {
        self.nodes[node].stop().await;
    }

    /// Starts a node again, and waits until all three answer.
    pub async fn restart(&mut self, node: usize) {
        self.nodes[node].start();
        self.until_whole().await;
    }

    /// Waits until every copy of every stream is there and up to date: the time to go on to the next node.
    pub async fn until_current(&self) {
        let behind = async || {
            let js = jetstream::new(self.client("api").await);
            let mut behind = Vec::new();
            for name in ["RSM_CMD", "KV_RSM_DESIRED", "KV_RSM_CLAIMS", "KV_RSM_DIRECTORY"] {
                let found = js.get_stream(name).await.ok();
                let cluster = found.and_then(|stream| stream.cached_info().cluster.clone());
                let current = |c: &async_nats::jetstream::stream::ClusterInfo| {
                    c.leader.is_some() && c.replicas.len() == 2 && c.replicas.iter().all(|r| r.current && !r.offline)
                };
                if !cluster.as_ref().is_some_and(current) {
                    behind.push((name, cluster));
                }
            }
            behind
        };
        eventually("all copies to be up to date", behind, Vec::is_empty).await;
    }

    /// Waits until the cluster has a leader that sees all nodes.
    pub async fn until_whole(&self) {
        eventually(
            "three nodes to be one cluster",
            async || {
                let mut answers = 0;
                for node in &self.nodes {
                    let client = node.client("sys").await;
                    let Ok(answer) = client.request("$SYS.REQ.SERVER.PING.JSZ", "".into()).await else { continue };
                    let answer: serde_json::Value = serde_json::from_slice(&answer.payload).unwrap();
                    let cluster = &answer["data"]["meta_cluster"];
                    if cluster["cluster_size"] == 3 && cluster["leader"].is_string() {
                        answers += 1;
                    }
                }
                answers
            },
            |answers| *answers == 3,
        )
        .await;
    }
}
