//! The effective configuration as a person reads it.

use super::{Config, LogFormat};
use crate::stream::secret::MASK;

impl Config {
    /// The effective configuration as TOML, the secrets masked.
    pub fn show(&self) -> String {
        let c = self;
        let list = |items: &[String]| items.iter().map(|i| format!("{i:?}")).collect::<Vec<_>>().join(", ");
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let password = c.nats.password.as_ref().map_or("", |_| MASK);
        format!(
            "data_dir = {:?}\n\n\
             [api]\nlisten = \"{}\"\nallowed_origins = [{}]\nmax_body_bytes = {}\nmax_links = {}\nmax_viewers = {}\nmax_viewers_per_stream = {}\nmax_viewers_per_address = {}\ntrusted_proxies = [{}]\nviewer_stall_s = {}\ndrain_s = {}\n\n\
             [nats]\nurls = [{}]\nuser = {:?}\npassword = {password:?}\ndomain = {:?}\nca_file = {:?}\nreplicas = {}\n\n\
             [worker]\nname = {:?}\nzones = [{}]\ncapacity = {}\nlisten = \"{}\"\nadvertise = {:?}\ndrain_s = {}\nmax_memory_percent = {}\nmax_cpu_percent = {}\nmax_encoders = {}\nh264_decoder = {:?}\nh265_decoder = {:?}\nh264_encoder = {:?}\nclear_hls = {}\n\n\
             [camera]\nstall_timeout_s = {}\nconnect_timeout_s = {}\nbackoff_min_s = {}\nbackoff_max_s = {}\nauth_retry_s = {}\nidle_timeout_s = {}\n\n\
             [mjpeg]\nmax_fps = {}\nmax_width = {}\nquality = {}\n\n\
             [hls]\nsegment_seconds = {}\nwindow_segments = {}\npart_ms = {}\nalways_on = {}\nrenditions = [{}]\nwish_ttl_s = {}\ndisk_budget_mb = {}\ncache_mb = {}\n\n\
             [control]\nworker_dead_s = {}\nhold_s = {}\nrebalance = {}\nrebalance_percent = {}\nshutdown_s = {}\n\n\
             [log]\nformat = \"{}\"\nfilter = {:?}\n\n\
             [traces]\notlp_endpoint = {:?}\nsample_percent = {}\n",
            c.data_dir,
            c.api.listen,
            list(&c.api.allowed_origins),
            c.api.max_body_bytes,
            c.api.max_links,
            c.api.max_viewers,
            c.api.max_viewers_per_stream,
            c.api.max_viewers_per_address,
            list(&c.api.trusted_proxies),
            c.api.viewer_stall_s,
            c.api.drain_s,
            list(&c.nats.urls),
            text(&c.nats.user),
            text(&c.nats.domain),
            text(&c.nats.ca_file),
            c.nats.replicas,
            text(&c.worker.name),
            list(&c.worker.zones),
            c.worker.capacity,
            c.worker.listen,
            text(&c.worker.advertise),
            c.worker.drain_s,
            c.worker.max_memory_percent,
            c.worker.max_cpu_percent,
            c.worker.max_encoders,
            c.worker.h264_decoder,
            c.worker.h265_decoder,
            c.worker.h264_encoder,
            c.worker.clear_hls,
            c.camera.stall_timeout_s,
            c.camera.connect_timeout_s,
            c.camera.backoff_min_s,
            c.camera.backoff_max_s,
            c.camera.auth_retry_s,
            c.camera.idle_timeout_s,
            c.mjpeg.max_fps,
            c.mjpeg.max_width,
            c.mjpeg.quality,
            c.hls.segment_seconds,
            c.hls.window_segments,
            c.hls.part_ms,
            c.hls.always_on,
            list(&c.hls.renditions),
            c.hls.wish_ttl_s,
            c.hls.disk_budget_mb,
            c.hls.cache_mb,
            c.control.worker_dead_s,
            c.control.hold_s,
            c.control.rebalance,
            c.control.rebalance_percent,
            c.control.shutdown_s,
            match c.log.format {
                LogFormat::Text => "text",
                LogFormat::Json => "json",
            },
            c.log.filter,
            c.traces.otlp_endpoint.as_ref().map(ToString::to_string).unwrap_or_default(),
            c.traces.sample_percent,
        )
    }
}
