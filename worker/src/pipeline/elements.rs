//! The GStreamer elements that pipelines here are made of, and the check that this machine has them.

use std::collections::BTreeSet;
use std::fmt;

use gstreamer as gst;

use super::{PipelineError, log};

/// Element, and the Debian 12 package that brings it.
const NEEDED: [(&str, &str); 24] = [
    ("appsrc", "gstreamer1.0-plugins-base"),
    ("appsink", "gstreamer1.0-plugins-base"),
    ("videoconvertscale", "gstreamer1.0-plugins-base"),
    ("capsfilter", "libgstreamer1.0-0"),
    ("jpegenc", "gstreamer1.0-plugins-good"),
    ("rtspsrc", "gstreamer1.0-plugins-good"),
    ("rtph264depay", "gstreamer1.0-plugins-good"),
    ("rtph265depay", "gstreamer1.0-plugins-good"),
    ("rtpjpegdepay", "gstreamer1.0-plugins-good"),
    ("rtpmp4gdepay", "gstreamer1.0-plugins-good"),
    ("rtppcmadepay", "gstreamer1.0-plugins-good"),
    ("rtppcmudepay", "gstreamer1.0-plugins-good"),
    ("aacparse", "gstreamer1.0-plugins-good"),
    ("h264parse", "gstreamer1.0-plugins-bad"),
    ("h265parse", "gstreamer1.0-plugins-bad"),
    ("avdec_h264", "gstreamer1.0-libav"),
    ("avdec_h265", "gstreamer1.0-libav"),
    ("jpegdec", "gstreamer1.0-plugins-good"),
    ("x264enc", "gstreamer1.0-plugins-ugly"),
    ("alawdec", "gstreamer1.0-plugins-good"),
    ("mulawdec", "gstreamer1.0-plugins-good"),
    ("audioconvert", "gstreamer1.0-plugins-base"),
    ("audioresample", "gstreamer1.0-plugins-base"),
    ("avenc_aac", "gstreamer1.0-libav"),
];

/// Elements that this machine lacks.
#[derive(Debug, thiserror::Error)]
pub struct MissingElements(Lack);

#[derive(Debug)]
enum Lack {
    GStreamer(String),
    Elements(Vec<(&'static str, &'static str)>),
}

impl fmt::Display for MissingElements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Lack::GStreamer(detail) => write!(f, "GStreamer does not start: {detail}"),
            Lack::Elements(missing) => {
                let names: Vec<_> = missing.iter().map(|(element, package)| format!("{element} ({package})")).collect();
                let packages: BTreeSet<_> = missing.iter().map(|(_, package)| *package).collect();
                let packages: Vec<_> = packages.into_iter().collect();
                let (names, packages) = (names.join(", "), packages.join(" "));
                write!(f, "GStreamer elements are missing: {names}; apt-get install {packages}")
            }
        }
    }
}

/// Starts GStreamer and checks that every element is there. Called once, before anything of [`super`].
///
/// # Errors
/// [`MissingElements`] names them all, and the command that installs them.
pub fn init() -> Result<(), MissingElements> {
    log::take_over();
    gst::init().map_err(|e| MissingElements(Lack::GStreamer(e.to_string())))?;
    log::set_threshold();
    let missing = lacking(|element| gst::ElementFactory::find(element).is_some());
    if missing.is_empty() { Ok(()) } else { Err(MissingElements(Lack::Elements(missing))) }
}

/// The version of GStreamer on this machine, such as 1.22.0. Starts it.
///
/// # Errors
/// [`MissingElements`] when it does not start.
pub fn version() -> Result<String, MissingElements> {
    gst::init().map_err(|e| MissingElements(Lack::GStreamer(e.to_string())))?;
    let (major, minor, micro, _) = gst::version();
    Ok(format!("{major}.{minor}.{micro}"))
}

/// The number of elements that pipelines are made of.
pub fn needed() -> usize {
    NEEDED.len()
}

fn lacking(has: impl Fn(&str) -> bool) -> Vec<(&'static str, &'static str)> {
    NEEDED.into_iter().filter(|(element, _)| !has(element)).collect()
}

/// One element by its factory; properties are set by the caller, never parsed from text.
pub(super) fn make(factory: &str) -> Result<gst::Element, PipelineError> {
    gst::ElementFactory::make(factory).build().map_err(PipelineError::build)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_to_install() {
        let missing = lacking(|element| !matches!(element, "avdec_h264" | "h264parse" | "h265parse"));
        let text = MissingElements(Lack::Elements(missing)).to_string();
        assert_eq!(
            text,
            "GStreamer elements are missing: h264parse (gstreamer1.0-plugins-bad), h265parse \
             (gstreamer1.0-plugins-bad), avdec_h264 (gstreamer1.0-libav); \
             apt-get install gstreamer1.0-libav gstreamer1.0-plugins-bad"
        );
    }

    #[test]
    fn this_machine_has_them_all_and_asking_twice_is_fine() {
        init().unwrap();
        init().unwrap();
    }
}
