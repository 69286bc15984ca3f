//! Connections to NATS, and their state.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::jetstream::{self, context::ContextBuilder};
use async_nats::{Client, ConnectOptions, Event, ReconnectToServer};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::REQUEST_DEADLINE;
use super::connection_log::ConnectionLog;
use super::refusals::Refusals;
use crate::backoff::{doubled, jittered};
use crate::config::NatsConfig;

/// Commands that wait in the client while the connection is away. Control messages are small and few.
const CONTROL_QUEUE: usize = 256;
/// Messages that wait per control subscription: a round of demand for every stream of a farm comes in one burst, and
/// each is small.
const CONTROL_SUBSCRIPTION: usize = 16_384;
/// Frames that wait in the publishing client: more would only be flushed stale after a reconnect.
const FRAME_QUEUE: usize = 4;
/// Frames that wait per frame subscription; its reader drains at once into a newest-frame slot.
const FRAME_SUBSCRIPTION: usize = 16;
/// The client gives a connection up after three missed pings: a dead server is noticed within 3 s.
const PING_INTERVAL: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest round of tries to connect, over all servers of the list: a restarted one is found within this time.
const RECONNECT_ROUND: Duration = Duration::from_millis(1000);
/// First pause between attempts to connect.
const RECONNECT_FIRST: Duration = Duration::from_millis(50);

/// A connection and its JetStream context. Cheap to clone.
#[derive(Clone)]
pub struct Bus {
    pub(super) client: Client,
    pub(super) js: jetstream::Context,
    connects: watch::Receiver<u64>,
    refusals: Arc<Mutex<Refusals>>,
    /// Prefix of the subjects that a bucket stores: empty, or `$JS.<domain>.API.` behind a leaf node.
    stored_prefix: Arc<str>,
}

/// Purpose of a connection, which decides its queues. Media has one of its own, so that a stalled reader of frames
/// never delays a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Control,
    Frames,
}

/// The configuration names no usable server.
#[derive(Debug, thiserror::Error)]
#[error("nats.urls: {0}")]
pub struct BadServers(String);

impl Bus {
    /// A connection named `name` (shown by the server). Returns at once: connecting goes on in the background, for
    /// ever, and [`Bus::connected`] tells.
    ///
    /// # Errors
    /// [`BadServers`] when no address of the configuration can be used.
    pub async fn connect(config: &NatsConfig, purpose: Purpose, name: &str) -> Result<Self, BadServers> {
        let (connects_tx, connects) = watch::channel(0_u64);
        let refusals = Arc::new(Mutex::new(Refusals::default()));
        let (log, refused) = (Mutex::new(ConnectionLog::new(name)), refusals.clone());
        let (queue, subscription) = match purpose {
            Purpose::Control => (CONTROL_QUEUE, CONTROL_SUBSCRIPTION),
            Purpose::Frames => (FRAME_QUEUE, FRAME_SUBSCRIPTION),
        };
        let servers = config.urls.len();
        let chosen = Mutex::new(None);
        let mut options = ConnectOptions::new()
            .name(name)
            .no_echo()
            .retry_on_initial_connect()
            // The list in the configuration is the truth: the addresses that a cluster announces are those of its own
            // network, which are unreachable through NAT, and not in the certificate.
            .ignore_discovered_servers()
            .connection_timeout(CONNECT_TIMEOUT)
            .request_timeout(Some(REQUEST_DEADLINE))
            .ping_interval(PING_INTERVAL)
            .client_capacity(queue)
            .subscription_capacity(subscription)
            .reconnect_delay_callback(move |attempt| pause(attempt, servers))
            .reconnect_to_server_callback(move |pool, _| {
                let mut last = chosen.lock();
                let pool = pool.into_iter().map(|server| (server.failed_attempts, server.addr)).collect();
                *last = choose(pool, last.as_ref(), rand::random());
                std::future::ready(last.clone().map(|addr| ReconnectToServer { addr, delay: None }))
            })
            .event_callback(move |event| {
                let mut refused = refused.lock();
                log.lock().event(&event, &mut refused, Instant::now());
                if matches!(event, Event::Connected) {
                    connects_tx.send_modify(|n| *n += 1);
                }
                std::future::ready(())
            });
        options = admitted(options, config);
        let client = options.connect(&config.urls[..]).await.map_err(|e| BadServers(e.to_string()))?;
        let context = ContextBuilder::new().timeout(REQUEST_DEADLINE).ack_timeout(REQUEST_DEADLINE);
        let (mut js, stored_prefix) = match &config.domain {
            Some(domain) => (context.domain(domain).build(client.clone()), format!("$JS.{domain}.API.")),
            None => (context.build(client.clone()), String::new()),
        };
        js.set_timeout(REQUEST_DEADLINE);
        Ok(Self { client, js, connects, refusals, stored_prefix: stored_prefix.into() })
    }

    /// The subject for publishing to a bucket that stores under `subject`: behind a leaf node the two differ.
    pub(super) fn stored(&self, subject: &str) -> String {
        format!("{}{subject}", self.stored_prefix)
    }

    /// The present refusal by NATS, in a sentence for a person: a wrong password, a missing permission.
    /// Requests that were refused only time out.
    pub fn refusal(&self) -> Option<String> {
        self.refusals.lock().standing(Instant::now()).map(str::to_owned)
    }

    /// True when the server is of this version or newer; `false` before the first connect.
    pub(super) fn server_is_at_least(&self, (major, minor, patch): (i64, i64, i64)) -> bool {
        self.client.try_server_info().is_some() && self.client.is_server_compatible(major, minor, patch)
    }

    /// True while the connection stands.
    pub fn connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Counts connects: changes each time the connection is made anew from now on.
    pub fn connects(&self) -> watch::Receiver<u64> {
        let mut connects = self.connects.clone();
        connects.mark_unchanged();
        connects
    }

    /// Largest payload the server takes, bytes; 1 MiB, the server's default, before the first connect.
    pub fn max_payload(&self) -> usize {
        self.client.try_server_info().map_or(1 << 20, |info| info.max_payload)
    }

    /// Drops the connection and makes it anew: for when requests time out though it looks connected.
    pub async fn reconnect(&self) {
        let _ = tokio::time::timeout(REQUEST_DEADLINE, self.client.force_reconnect()).await;
    }

    /// Sends all queued messages, within a second.
    pub async fn flush(&self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.client.flush()).await;
    }
}

/// Credentials of this process and the certificates that it trusts, from the configuration.
pub(super) fn admitted(mut options: ConnectOptions, config: &NatsConfig) -> ConnectOptions {
    if let (Some(user), Some(password)) = (&config.user, &config.password) {
        options = options
            .user_and_password(user.clone(), password.expose().to_owned())
            .custom_inbox_prefix(inbox_prefix(user));
    }
    // One such address, and no password goes to any of them in the clear.
    if config.urls.iter().any(|url| url.starts_with("tls://")) {
        options = options.require_tls(true);
    }
    match &config.ca_file {
        Some(file) => options.add_root_certificates(file.into()),
        None => options,
    }
}

/// The pause before a try to connect: short at first, with jitter, so that the clients of a restarted server do not
/// come back in step.
fn pause(attempt: usize, servers: usize) -> Duration {
    let longest = RECONNECT_ROUND / u32::try_from(servers.max(1)).unwrap_or(u32::MAX);
    let step = doubled(RECONNECT_FIRST, u32::try_from(attempt).unwrap_or(u32::MAX), longest);
    jittered(step, rand::random())
}

/// The server to try next, of servers with the number of tries that failed in a row: one with the fewest, and rather
/// not the `last` one. A machine that lost its power was the last one, and would take a whole timeout to say nothing.
fn choose<T: PartialEq + Clone>(pool: Vec<(usize, T)>, last: Option<&T>, dice: u32) -> Option<T> {
    let key = |(failed, server): &(usize, T)| (*failed, Some(server) == last);
    let best = pool.iter().map(key).min()?;
    let equals: Vec<_> = pool.iter().filter(|server| key(server) == best).collect();
    equals.get(usize::try_from(dice).unwrap_or(0) % equals.len()).map(|(_, server)| server.clone())
}

/// Where answers to a user come: a subject of its own, so that permissions can keep others from listening.
fn inbox_prefix(user: &str) -> String {
    let token: String =
        user.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' }).collect();
    format!("_INBOX_{token}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_over_all_servers_takes_a_second_at_most() {
        for servers in [1, 3, 5] {
            for attempt in [1, 2, 10, 1_000_000] {
                let pause = pause(attempt, servers);
                assert!(pause * u32::try_from(servers).unwrap() <= RECONNECT_ROUND && !pause.is_zero(), "{pause:?}");
            }
        }
    }

    #[test]
    fn the_next_server_is_another_one_until_the_others_fail_more_often() {
        for dice in 0..6 {
            assert_ne!(choose(vec![(0, "a"), (0, "b"), (0, "c")], Some(&"a"), dice), Some("a"));
            assert_eq!(choose(vec![(0, "a"), (1, "b"), (2, "c")], Some(&"a"), dice), Some("a"));
            assert_eq!(choose(vec![(1, "a"), (1, "b")], Some(&"b"), dice), Some("a"));
            assert_eq!(choose(vec![(7, "a")], Some(&"a"), dice), Some("a"), "the only one");
        }
        assert_eq!(choose(Vec::<(usize, &str)>::new(), None, 0), None);
    }

    #[test]
    fn an_inbox_prefix_is_one_token_whatever_the_user_is_called() {
        for (user, prefix) in
            [("api", "_INBOX_api"), ("worker-north", "_INBOX_worker-north"), ("a.b >*", "_INBOX_a_b___")]
        {
            assert_eq!(inbox_prefix(user), prefix);
        }
    }
}
