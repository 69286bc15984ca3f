//! The targets of fuzzing: a function per parser of input from cameras and clients, and per output made of it. Each
//! takes any bytes and panics when a rule is broken. libFuzzer's programs and the tests of this package call the same.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a target shows what it found by a panic"
)]

mod api;
mod camera;
mod hls;
mod media;
mod shared;

/// Runs a target over one input.
pub type Target = fn(&[u8]);

/// Every target by the name of its program, its test and the directory of its seeds.
pub const TARGETS: [(&str, Target); 20] = [
    ("aac", media::aac),
    ("audio_track", hls::audio_track),
    ("avcc", media::avcc),
    ("camera_url", shared::camera_url),
    ("clocks", media::clocks),
    ("config", shared::config),
    ("decoding_times", media::decoding_times),
    ("hls_address", hls::address),
    ("hls_query", hls::query),
    ("hvcc", media::hvcc),
    ("jpeg_size", media::jpeg_size),
    ("link_body", api::link_body),
    ("origin", api::origin),
    ("pictures", camera::pictures),
    ("playlist", api::playlist),
    ("redact", camera::redacted),
    ("rtsp_answers", camera::answers),
    ("segments", hls::segments),
    ("window", hls::window),
    ("wire", shared::wire),
];

/// Runs the target of that name over `input`.
///
/// # Panics
/// When there is no such target, and when the target finds a rule broken.
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    assert!(target.is_some(), "there is no target {name}");
    target.into_iter().for_each(|(_, run)| run(input));
}
