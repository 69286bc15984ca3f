//! Which relays live, for Prometheus. Nothing else depends on it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rsm_shared::backoff::Backoff;
use rsm_shared::bus::connect::Bus;
use rsm_shared::bus::relays::{Hellos, TTL};
use rsm_shared::wire::messages::RelayHello;
use salvo::http::uri::Authority;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Relays remembered at most; the hellos of more are not heard.
const MAX_RELAYS: usize = 1000;
/// Longest name and address taken, bytes.
const MAX_NAME: usize = 64;
const MAX_ADDRESS: usize = 262;
/// The shortest and the longest pause before the next subscription.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// Relays and when each was heard last. Cheap to clone.
#[derive(Clone, Default)]
pub struct Relays(Arc<Mutex<HashMap<String, (String, Instant)>>>);

impl Relays {
    /// Where the relays that live are, `host:port`, in order.
    pub fn live(&self) -> Vec<String> {
        self.live_at(Instant::now())
    }

    fn live_at(&self, now: Instant) -> Vec<String> {
        let table = self.0.lock();
        let mut live: Vec<String> = table
            .values()
            .filter(|(_, heard)| now.duration_since(*heard) < TTL)
            .map(|(http, _)| http.clone())
            .collect();
        live.sort();
        live.dedup();
        live
    }

    fn heard(&self, hello: RelayHello, now: Instant) {
        let plain = hello.http.len() <= MAX_ADDRESS && !hello.http.contains('@');
        let has_port = hello.http.parse::<Authority>().is_ok_and(|authority| authority.port_u16().is_some());
        if !plain || !has_port || hello.relay.len() > MAX_NAME {
            debug!("a hello of a relay is not usable");
            return;
        }
        let mut table = self.0.lock();
        table.retain(|_, (_, heard)| now.duration_since(*heard) < TTL);
        if table.len() < MAX_RELAYS || table.contains_key(&hello.relay) {
            table.insert(hello.relay, (hello.http, now));
        }
    }

    /// Listens until `stop`.
    pub async fn listen(self, bus: Bus, stop: CancellationToken) {
        stop.run_until_cancelled_owned(async move {
            let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
            loop {
                match Hellos::open(&bus).await {
                    Ok(mut hellos) => {
                        backoff.reset();
                        while let Some(hello) = hellos.next().await {
                            match hello {
                                Ok(hello) => self.heard(hello, Instant::now()),
                                Err(e) => debug!(error = %e, "a hello of a relay is not readable"),
                            }
                        }
                    }
                    Err(e) => {
                        warn!(repeats = true, error = %e, "hellos of relays cannot be received; discovery does not list their addresses")
                    }
                }
                tokio::time::sleep(backoff.pause(rand::random())).await;
            }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(relay: &str, http: &str) -> RelayHello {
        RelayHello { v: 1, relay: relay.into(), http: http.into() }
    }

    #[test]
    fn a_relay_is_forgotten_when_it_is_silent() {
        let (relays, begin) = (Relays::default(), Instant::now());
        relays.heard(hello("a", "10.0.0.2:8080"), begin);
        relays.heard(hello("b", "10.0.0.1:8080"), begin + TTL / 2);
        assert_eq!(relays.live_at(begin + TTL / 2), ["10.0.0.1:8080", "10.0.0.2:8080"]);
        assert_eq!(relays.live_at(begin + TTL), ["10.0.0.1:8080"]);
        relays.heard(hello("c", "[::1]:1"), begin + TTL);
        assert_eq!(relays.0.lock().len(), 2, "what went is not kept");
    }

    #[test]
    fn hellos_are_bounded_and_checked() {
        let (relays, now) = (Relays::default(), Instant::now());
        for n in 0..MAX_RELAYS + 10 {
            relays.heard(hello(&n.to_string(), &format!("10.0.0.1:{n}")), now);
        }
        assert_eq!(relays.live_at(now).len(), MAX_RELAYS);
        let relays = Relays::default();
        for bad in ["", "host", "user:pw@host:1", "host:1/metrics", "http://host:1", &"x".repeat(300)] {
            relays.heard(hello("a", bad), now);
        }
        relays.heard(hello(&"a".repeat(65), "host:1"), now);
        assert!(relays.live_at(now).is_empty());
    }
}
