//! Which part of the program may say how much: `info`, or `warn,source=debug,nats=off`. Pure.

use tracing_subscriber::filter::{LevelFilter, Targets};

/// A name that an operator knows, and the modules and libraries that it stands for. A log line names the part with the
/// longest matching prefix of its target, the first one of equals.
pub const PARTS: [(&str, &[&str]); 16] = [
    ("up", &["rsm::"]),
    ("api", &["rsm_api", "rsm_viewing"]),
    (
        "http",
        &["rsm_viewing::http", "rsm_viewing::routes", "rsm_api::routes", "rsm_shared::ops::listener", "salvo", "hyper"],
    ),
    ("control", &["rsm_control", "rsm_api::control", "rsm_worker::control"]),
    ("relay", &["rsm_viewing::relay", "rsm_viewing::process::relay", "rsm_viewing::process::directory_follower"]),
    ("hls", &["rsm_viewing::hls", "rsm_worker::hls", "rsm_worker::output::hls"]),
    ("store", &["rsm_api::store"]),
    ("worker", &["rsm_worker"]),
    ("stream", &["rsm_worker::stream"]),
    ("source", &["rsm_worker::source", "rsm_worker::camera_probe", "retina"]),
    ("output", &["rsm_worker::output"]),
    ("pipeline", &["rsm_worker::pipeline"]),
    ("shared", &["rsm_shared"]),
    ("nats", &["rsm_shared::bus", "async_nats"]),
    ("traces", &["rsm_shared::ops::traces", "opentelemetry"]),
    ("gstreamer", &["gstreamer", "glib"]),
];

/// Library events below these levels are of no use and can be a flood. GStreamer's own log is off: its important errors
/// come as the failure of a pipeline.
const LIBRARIES: [(&str, LevelFilter); 11] = [
    ("async_nats", LevelFilter::ERROR),
    ("retina", LevelFilter::ERROR),
    ("salvo", LevelFilter::WARN),
    ("salvo_core", LevelFilter::ERROR),
    ("hyper", LevelFilter::WARN),
    ("reqwest", LevelFilter::WARN),
    ("rustls", LevelFilter::WARN),
    ("config", LevelFilter::WARN),
    ("opentelemetry", LevelFilter::WARN),
    ("gstreamer", LevelFilter::OFF),
    ("glib", LevelFilter::WARN),
];

/// Longest filter, in directives.
const MAX_DIRECTIVES: usize = 64;
const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

/// The reason why a filter is invalid: the fault of one of its directives.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadFilter {
    #[error("{0:?} is no level (off, error, warn, info, debug, trace)")]
    Level(String),
    #[error("{0:?} is no part (of {parts}) and no module such as rsm_worker::source", parts = part_names().join(", "))]
    Part(String),
    #[error("more than {MAX_DIRECTIVES} directives")]
    TooMany,
}

/// Reads a filter: levels and `part=level`, separated by commas; the last one that fits a part counts, and a module
/// counts more than the part that it is in. A module of ours or of a library can stand for a part.
/// `gstreamer_asked`: `GST_DEBUG` is set, so whatever GStreamer then says is wanted.
///
/// # Errors
/// [`BadFilter`] has the directive.
pub fn parse(text: &str, gstreamer_asked: bool) -> Result<Targets, BadFilter> {
    let mut filter = Targets::new().with_default(LevelFilter::INFO).with_targets(LIBRARIES);
    if gstreamer_asked {
        filter = filter.with_target("gstreamer", LevelFilter::TRACE);
    }
    let directives = text.split(',').map(str::trim).filter(|directive| !directive.is_empty());
    let mut modules = Vec::new();
    for (n, directive) in directives.enumerate() {
        if n >= MAX_DIRECTIVES {
            return Err(BadFilter::TooMany);
        }
        let (name, level) = match directive.split_once('=') {
            Some((name, text)) => (name.trim(), level(text.trim()).ok_or_else(|| BadFilter::Level(text.into()))?),
            None => match level(directive) {
                Some(level) => {
                    let louder = LIBRARIES.into_iter().filter(|(_, own)| level < *own);
                    let quieter: Vec<_> = louder.map(|(library, _)| (library, level)).collect();
                    filter = filter.with_default(level).with_targets(quieter);
                    continue;
                }
                // A name alone: everything.
                None => (directive, LevelFilter::TRACE),
            },
        };
        match PARTS.iter().find(|(part, _)| *part == name) {
            Some((_, targets)) => filter = filter.with_targets(targets.iter().map(|target| (*target, level))),
            None if is_module(name) => modules.push((name.to_owned(), level)),
            None => return Err(BadFilter::Part(name.into())),
        }
    }
    Ok(filter.with_targets(modules))
}

/// The part that has this target.
pub fn part(target: &str) -> &'static str {
    // The program itself: its beginning and its end.
    let target = if target == "rsm" { "rsm::" } else { target };
    let fitting =
        PARTS.iter().flat_map(|(part, targets)| targets.iter().map(move |prefix| (prefix.len(), *part, *prefix)));
    fitting
        .filter(|(_, _, prefix)| target.starts_with(prefix))
        .max_by_key(|(len, ..)| *len)
        .map_or("other", |best| best.1)
}

fn level(text: &str) -> Option<LevelFilter> {
    LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, level)| *level)
}

/// A path within a crate, or a crate: only linked ones would ever log, so a misspelt part is reported.
fn is_module(name: &str) -> bool {
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b':');
    let known = LIBRARIES.iter().any(|(library, _)| *library == name) || name == "rsm";
    plain && (known || name.contains("::") || name.contains('_'))
}

fn part_names() -> Vec<&'static str> {
    PARTS.iter().map(|(part, _)| *part).collect()
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn parts_modules_and_levels() {
        for (text, asked, target, level, want) in [
            ("info", false, "rsm_worker::source::open", Level::INFO, true),
            ("info", false, "rsm_worker::source::open", Level::DEBUG, false),
            ("", false, "rsm_api", Level::INFO, true),
            ("info,source=debug", false, "rsm_worker::source::open", Level::DEBUG, true),
            ("info,source=debug", false, "retina::client", Level::DEBUG, true),
            ("info,source=debug", false, "rsm_worker::stream", Level::DEBUG, false),
            ("info,rsm_worker=debug", false, "rsm_worker::stream", Level::DEBUG, true),
            ("rsm_worker::source=trace, warn", false, "rsm_worker::source::open", Level::TRACE, true),
            ("rsm_worker::source=trace, warn", false, "rsm_worker::stream", Level::INFO, false),
            ("control=off", false, "rsm_api::control::passes", Level::ERROR, false),
            ("control=off", false, "rsm_worker::control::keeper", Level::ERROR, false),
            ("control=off", false, "rsm_viewing::relay", Level::INFO, true),
            ("worker=debug,pipeline=error", false, "rsm_worker::pipeline::run", Level::WARN, false),
            ("debug", false, "async_nats::connector", Level::WARN, false),
            ("nats=debug", false, "async_nats::connector", Level::DEBUG, true),
            ("nats=debug", false, "rsm_shared::bus::connect", Level::DEBUG, true),
            ("debug", false, "gstreamer", Level::ERROR, false),
            ("gstreamer=debug", false, "gstreamer", Level::DEBUG, true),
            ("info", true, "gstreamer", Level::TRACE, true),
            ("info,gstreamer=error", true, "gstreamer", Level::WARN, false),
            ("info,nats", false, "async_nats", Level::TRACE, true),
            ("WARN", false, "rsm_api", Level::INFO, false),
            ("rsm=debug", false, "rsm_viewing::relay", Level::DEBUG, true),
            ("up=debug", false, "rsm_viewing::relay", Level::DEBUG, false),
        ] {
            let filter = parse(text, asked).unwrap();
            assert_eq!(filter.would_enable(target, &level), want, "{text:?} {target} {level}");
        }
    }

    #[test]
    fn what_is_misspelt_is_refused_by_name() {
        for (text, named) in [
            ("inf", "\"inf\" is no part"),
            ("pipline=debug", "pipeline, shared"),
            ("hls=loud", "\"loud\" is no level"),
            ("nats=", "is no level"),
            ("a b=info", "no part"),
            ("=info", "no part"),
            ("[span]=debug", "no part"),
        ] {
            let error = parse(text, false).unwrap_err().to_string();
            assert!(error.contains(named), "{text:?}: {error}");
        }
        assert_eq!(parse(&"info,".repeat(65), false), Err(BadFilter::TooMany));
    }

    #[test]
    fn a_target_has_the_part_that_names_it_best() {
        for (target, want) in [
            ("rsm_worker::output::hls::aac", "hls"),
            ("rsm_worker::output::jpeg", "output"),
            ("rsm_worker::app", "worker"),
            ("rsm_api::control::passes", "control"),
            ("rsm_api::process::serve", "api"),
            ("rsm_shared::bus::connect", "nats"),
            ("async_nats::connector", "nats"),
            ("rsm::children", "up"),
            ("rsm", "up"),
            ("tower::x", "other"),
        ] {
            assert_eq!(part(target), want, "{target}");
        }
    }
}
