//! Black-box tests of the built binaries: real nats-server, real RTSP cameras, real SQLite, real Chromium. Every test
//! has a data directory and ports of its own, so all of them run side by side.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails by a panic, and shows what it saw"
)]

mod harness;

mod bad_input;
mod browser;
mod browser_dialogs;
mod browser_faults;
mod camera_faults;
mod camera_returns;
mod captured_at;
mod codecs;
mod commands;
mod dashboards;
mod doctor;
mod events;
mod farm;
mod farm_clock;
mod farm_hls;
mod farm_nats;
mod farm_network;
mod follower;
mod hls_rules;
mod isolation;
mod life;
mod links;
mod logs;
mod logs_page;
mod low_latency;
mod main_job;
mod metrics;
mod monitoring;
mod monitoring_files;
mod nats_cluster;
mod nats_leaf;
mod nats_permissions;
mod nats_tls;
mod nats_topology;
mod process_faults;
mod quirks;
mod relay;
mod start_up;
mod through;
mod top;
mod traces;
mod try_and_import;
mod viewers;
mod zones;
