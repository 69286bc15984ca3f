//! What every value may be.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{BadConfig, Config, bad};
use crate::ops::logs::filter;
use crate::stream::names::{WorkerId, Zone};
use crate::stream::rendition::Rendition;

/// How a certificate begins in a PEM file.
const PEM_CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

impl Config {
    /// Names the first key that is wrong.
    pub(super) fn check(&self) -> Result<(), BadConfig> {
        let c = self;
        for (key, value, min, max) in [
            ("api.max_body_bytes", c.api.max_body_bytes, 1024, 16 << 20),
            ("api.max_links", c.api.max_links, 1, 100_000),
            ("api.max_viewers", c.api.max_viewers, 1, 100_000),
            ("api.max_viewers_per_stream", c.api.max_viewers_per_stream, 0, 100_000),
            ("api.max_viewers_per_address", c.api.max_viewers_per_address, 0, 100_000),
            ("api.viewer_stall_s", c.api.viewer_stall_s, 1, 3600),
            ("api.drain_s", c.api.drain_s, 0, 600),
            ("worker.capacity", c.worker.capacity.into(), 0, 10_000),
            ("worker.drain_s", c.worker.drain_s, 0, 600),
            ("worker.max_memory_percent", c.worker.max_memory_percent.into(), 50, 100),
            ("worker.max_encoders", c.worker.max_encoders.into(), 0, 1000),
            ("worker.max_cpu_percent", c.worker.max_cpu_percent.into(), 10, 100),
            ("camera.stall_timeout_s", c.camera.stall_timeout_s, 1, 60),
            ("camera.connect_timeout_s", c.camera.connect_timeout_s, 1, 60),
            ("camera.backoff_min_s", c.camera.backoff_min_s, 1, 3600),
            ("camera.backoff_max_s", c.camera.backoff_max_s, c.camera.backoff_min_s, 3600),
            ("camera.auth_retry_s", c.camera.auth_retry_s, 10, 86_400),
            ("camera.idle_timeout_s", c.camera.idle_timeout_s, 5, 3600),
            ("mjpeg.max_fps", c.mjpeg.max_fps.into(), 1, 60),
            ("mjpeg.max_width", c.mjpeg.max_width.into(), 64, 3840),
            ("mjpeg.quality", c.mjpeg.quality.into(), 1, 100),
            ("hls.segment_seconds", c.hls.segment_seconds.into(), 1, 10),
            ("hls.window_segments", c.hls.window_segments.into(), 3, 60),
            ("hls.wish_ttl_s", c.hls.wish_ttl_s, 10, 300),
            ("hls.disk_budget_mb", c.hls.disk_budget_mb, 64, 1_000_000),
            ("hls.cache_mb", c.hls.cache_mb, 8, 16_384),
            ("control.rebalance_percent", c.control.rebalance_percent.into(), 2, 100),
            ("control.worker_dead_s", c.control.worker_dead_s, 2, 60),
            ("control.hold_s", c.control.hold_s, 10, 600),
            ("traces.sample_percent", c.traces.sample_percent.into(), 0, 100),
            ("control.shutdown_s", c.control.shutdown_s, 1, 60),
        ] {
            if !(min..=max).contains(&value) {
                return Err(bad(key, value, &format!("{min} to {max}")));
            }
        }
        if !matches!(c.nats.replicas, 1 | 3 | 5) {
            return Err(bad("nats.replicas", c.nats.replicas, "1, 3 or 5"));
        }
        if c.data_dir.as_os_str().is_empty() {
            return Err(bad("data_dir", "empty", "a directory"));
        }
        if c.nats.urls.is_empty() {
            return Err(bad("nats.urls", "empty", "at least one address such as nats://127.0.0.1:4222"));
        }
        for url in &c.nats.urls {
            let parsed = url::Url::parse(url).ok().filter(|u| matches!(u.scheme(), "nats" | "tls") && u.has_host());
            match parsed {
                Some(u) if u.username().is_empty() && u.password().is_none() => {}
                Some(_) => {
                    return Err(bad(
                        "nats.urls",
                        "an address with user info",
                        "the user in nats.user and nats.password",
                    ));
                }
                None => return Err(bad("nats.urls", format!("{url:?}"), "addresses such as nats://127.0.0.1:4222")),
            }
        }
        if c.nats.user.is_some() != c.nats.password.is_some() {
            return Err(bad("nats.user", "without nats.password, or the other way round", "both or none"));
        }
        if let Some(domain) = &c.nats.domain {
            // The same letters as a zone's: it becomes a token of subjects.
            Zone::parse(domain).map_err(|e| BadConfig(format!("nats.domain is {domain:?}, {e}")))?;
        }
        if let Some(file) = &c.nats.ca_file {
            let expected = "a readable file with certificates in PEM";
            let text = std::fs::read(file).map_err(|e| bad("nats.ca_file", format!("{file:?}: {e}"), expected))?;
            if !text.windows(PEM_CERTIFICATE.len()).any(|window| window == PEM_CERTIFICATE) {
                return Err(bad("nats.ca_file", format!("{file:?}, which has no certificate"), expected));
            }
        }
        for (key, name) in [
            ("worker.h264_decoder", &c.worker.h264_decoder),
            ("worker.h265_decoder", &c.worker.h265_decoder),
            ("worker.h264_encoder", &c.worker.h264_encoder),
        ] {
            // Whether the machine has it is found out where GStreamer is.
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
                return Err(bad(key, format!("{name:?}"), "auto or the name of a GStreamer element"));
            }
        }
        if c.hls.part_ms != 0 && !(200..=1000).contains(&c.hls.part_ms) {
            return Err(bad("hls.part_ms", c.hls.part_ms, "0 or 200 to 1000"));
        }
        for name in &c.hls.renditions {
            if Rendition::from_name(name).and_then(Rendition::height).is_none() {
                return Err(bad("hls.renditions", format!("{name:?}"), "of 1080p, 720p, 540p, 480p, 360p, 240p"));
            }
        }
        for proxy in &c.api.trusted_proxies {
            if proxy.parse::<IpNet>().is_err() && proxy.parse::<IpAddr>().is_err() {
                let expected = "addresses or networks such as 10.0.0.7 or 10.0.0.0/8";
                return Err(bad("api.trusted_proxies", format!("{proxy:?}"), expected));
            }
        }
        for origin in &c.api.allowed_origins {
            let fits = url::Url::parse(origin)
                .is_ok_and(|u| matches!(u.scheme(), "http" | "https") && u.origin().ascii_serialization() == *origin);
            if !fits {
                return Err(bad(
                    "api.allowed_origins",
                    format!("{origin:?}"),
                    "origins such as https://cameras.example",
                ));
            }
        }
        if let Some(name) = &c.worker.name {
            WorkerId::parse(name).map_err(|e| BadConfig(format!("worker.name is {name:?}, {e}")))?;
        }
        self.zones().map(drop)?;
        filter::parse(&c.log.filter, false).map_err(|e| {
            bad("log.filter", format!("{:?}", c.log.filter), &format!("levels such as info or info,source=debug: {e}"))
        })?;
        Ok(())
    }
}
