//! From encoded to raw pictures: the elements that a decoder needs around it, and its settings.

use gstreamer as gst;
use gstreamer::prelude::*;

use super::{PipelineError, elements};
use rsm_media::parameters::VideoCodec;

/// The decoder `name` for `codec`, behind a parser where it needs one. The last element is the decoder.
pub(super) fn chain(name: &str, codec: VideoCodec) -> Result<Vec<gst::Element>, PipelineError> {
    let decoder = elements::make(name)?;
    // One thread each: cameras are many, cores are few, and more threads add pictures of delay.
    set_if_there(&decoder, "max-threads", "1");
    // A picture with parts missing is better left out: the next key frame is near.
    set_if_there(&decoder, "output-corrupt", "false");
    Ok(match parser(name, codec) {
        Some(parser) => vec![elements::make(parser)?, decoder],
        None => vec![decoder],
    })
}

/// Software takes pictures as they are. Hardware wants profile and level in the caps, or another packing.
fn parser(decoder: &str, codec: VideoCodec) -> Option<&'static str> {
    match (decoder, codec) {
        (name, _) if name.starts_with("avdec_") => None,
        (_, VideoCodec::H264) => Some("h264parse"),
        (_, VideoCodec::H265) => Some("h265parse"),
        ("jpegdec", VideoCodec::Jpeg) => None,
        (_, VideoCodec::Jpeg) => Some("jpegparse"),
    }
}

/// Sets a property that not every element of its kind has, or not with this value. Both are constants of this
/// program, never text from outside.
pub(super) fn set_if_there(element: &gst::Element, name: &str, value: &str) {
    let set = element.find_property(name).and_then(|spec| gst::glib::Value::deserialize_with_pspec(value, &spec).ok());
    if let Some(value) = set {
        element.set_property_from_value(name, &value);
    }
}
