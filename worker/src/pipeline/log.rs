//! GStreamer's and GLib's own words go where all others go: as events with the target `gstreamer` or `glib`. Left alone
//! they write to stderr themselves, in a form of their own and with whatever credentials they have.

use std::sync::Once;

use gstreamer as gst;
use gstreamer::glib;
use rsm_shared::ops::telemetry;
use tracing::{Level, debug, error, info, trace, warn};

/// Takes the log over; before GStreamer begins. Again changes nothing.
pub(super) fn take_over() {
    static TAKEN: Once = Once::new();
    TAKEN.call_once(|| {
        gst::log::remove_default_log_function();
        gst::log::add_log_function(|category, level, _, function, line, object, message| {
            let text = message.get().unwrap_or_default();
            let element = object.map(ToString::to_string).unwrap_or_default();
            say(level, category.name(), &element, function, line, &text);
        });
        glib::log_set_default_handler(|domain, level, text| {
            let domain = domain.unwrap_or("default");
            match level {
                glib::LogLevel::Error | glib::LogLevel::Critical => error!(target: "glib", domain, "{text}"),
                glib::LogLevel::Warning => warn!(target: "glib", domain, "{text}"),
                glib::LogLevel::Message | glib::LogLevel::Info => info!(target: "glib", domain, "{text}"),
                glib::LogLevel::Debug => debug!(target: "glib", domain, "{text}"),
            }
        });
    });
}

/// Sets GStreamer's own threshold to the levels that are logged of it, because a message without a reader costs, too.
/// Call after GStreamer has begun, which reads `GST_DEBUG`; that variable is more precise, so its threshold stays.
pub(super) fn set_threshold() {
    if !telemetry::gstreamer_asked() {
        gst::log::set_default_threshold(threshold());
    }
}

fn threshold() -> gst::DebugLevel {
    // Trace is about references of objects: only by GST_DEBUG.
    let levels = [
        (Level::TRACE, gst::DebugLevel::Log),
        (Level::DEBUG, gst::DebugLevel::Debug),
        (Level::INFO, gst::DebugLevel::Info),
        (Level::WARN, gst::DebugLevel::Warning),
        (Level::ERROR, gst::DebugLevel::Error),
    ];
    let logged = levels.iter().find(|(level, _)| telemetry::logs("gstreamer", level));
    logged.map_or(gst::DebugLevel::None, |(_, threshold)| *threshold)
}

fn say(level: gst::DebugLevel, category: &str, element: &str, function: &str, line: u32, text: &str) {
    match level {
        gst::DebugLevel::Error => error!(target: "gstreamer", category, element, function, line, "{text}"),
        gst::DebugLevel::Warning | gst::DebugLevel::Fixme => {
            warn!(target: "gstreamer", category, element, function, line, "{text}");
        }
        gst::DebugLevel::Info => info!(target: "gstreamer", category, element, function, line, "{text}"),
        gst::DebugLevel::Debug => debug!(target: "gstreamer", category, element, function, line, "{text}"),
        _ => trace!(target: "gstreamer", category, element, function, line, "{text}"),
    }
}
