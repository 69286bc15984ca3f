//! H.264 encoders: the settings of each, so that all give the same: no B pictures, no key frame but those asked
//! for, a bounded rate, profile Main.

use bytes::Bytes;
use gstreamer as gst;

use super::decoder::set_if_there;
use super::form::{BURST_MS, EncodedForm, MAIN};
use super::{PipelineError, caps, elements};

/// Encoders whose settings are known here.
pub(super) const KNOWN: [&str; 8] =
    ["vah264enc", "vah264lpenc", "vaapih264enc", "v4l2h264enc", "nvh264enc", "nvcudah264enc", "x264enc", "openh264enc"];
/// Quality of x264, where the bound of the rate lets it: about that of the cameras' own encoders.
const X264_RATE_FACTOR: &str = "23";
/// On 1080p30 with noise, at the bound of the rate: 360p costs as much as with `veryfast` and has its SSIM (0.9424 to
/// 0.9428), 720p costs 10 % of a core less (SSIM 0.9910 to 0.9915). `ultrafast` saves 3 to 8 % and gives 0.938 and 0.989.
const X264_PRESET: &str = "superfast";
/// As good as never; x264's own word for it.
const NEVER: &str = "1073741824";

/// Properties of an encoder that other elements need.
pub(super) struct Encoder {
    /// From raw pictures of the form's size to `avc`; in this order.
    pub chain: Vec<gst::Element>,
    /// The first of them, which sets the size.
    pub size: gst::Element,
    /// The one that is asked for key frames.
    pub element: gst::Element,
}

/// The encoder `name` for pictures of `form`.
pub(super) fn make(name: &str, form: &EncodedForm) -> Result<Encoder, PipelineError> {
    let element = elements::make(name)?;
    let bps = form.average_bps;
    let (kbps, bps) = ((bps / 1000).to_string(), bps.to_string());
    let settings: &[(&str, &str)] = match name {
        // Constant quality below the bound. `force-cfr=0`: the rate is bounded by the times of the pictures. One
        // thread, for many cameras share few cores, and slices cost quality.
        "x264enc" => &[
            ("speed-preset", X264_PRESET),
            ("tune", "zerolatency"),
            ("pass", "qual"),
            ("quantizer", X264_RATE_FACTOR),
            ("bitrate", &kbps),
            ("vbv-buf-capacity", &BURST_MS.to_string()),
            ("key-int-max", NEVER),
            ("threads", "1"),
            ("sliced-threads", "false"),
            ("option-string", &format!("scenecut=0:force-cfr=0:level={}", form.level())),
        ],
        "openh264enc" => &[
            ("bitrate", &bps),
            ("max-bitrate", &bps),
            ("rate-control", "bitrate"),
            ("gop-size", NEVER),
            ("scene-change-detection", "false"),
            ("multi-thread", "1"),
        ],
        "v4l2h264enc" => &[],
        // VA-API and NVIDIA name them differently; each encoder gets those that it has.
        _ => &[
            ("bitrate", &kbps),
            ("rate-control", "cbr"),
            ("rc-mode", "cbr"),
            ("rate-mode", "cbr"),
            ("key-int-max", NEVER),
            ("keyframe-period", "0"),
            ("gop-size", "-1"),
            ("b-frames", "0"),
            ("bframes", "0"),
            ("max-bframes", "0"),
            ("zerolatency", "true"),
            ("ref-frames", "1"),
        ],
    };
    settings.iter().for_each(|(name, value)| set_if_there(&element, name, value));
    if name == "v4l2h264enc" {
        let controls = gst::Structure::builder("controls")
            .field("video_bitrate", i32::try_from(form.average_bps).unwrap_or(i32::MAX))
            .field("video_bitrate_mode", 1i32)
            .field("h264_i_frame_period", i32::MAX)
            .field("video_gop_size", i32::MAX)
            .field("video_b_frames", 0i32)
            .build();
        gst::prelude::ObjectExt::set_property(&element, "extra-controls", controls);
    }
    let size = elements::make("capsfilter")?;
    let (format, raw) = (if software(name) { Some("I420") } else { None }, (form.width, form.height));
    gst::prelude::ObjectExt::set_property(&size, "caps", caps::raw(format, raw));
    let packed = elements::make("capsfilter")?;
    gst::prelude::ObjectExt::set_property(&packed, "caps", caps::avc());
    let mut chain = vec![size.clone(), element.clone()];
    if name != "x264enc" {
        chain.push(elements::make("h264parse")?);
    }
    chain.push(packed);
    Ok(Encoder { chain, size, element })
}

/// The rate that is set on an encoder: the measured one of the camera, for encoders that divide their bits by it; none
/// for x264, which then goes by the times of the pictures.
pub(super) fn declared_rate(name: &str, fps: Option<f64>) -> gst::Fraction {
    let fps = fps.unwrap_or(30.0).clamp(1.0, 240.0);
    let told = (name != "x264enc").then(|| gst::Fraction::approximate_f64(fps)).flatten();
    told.unwrap_or(gst::Fraction::new(0, 1))
}

fn software(name: &str) -> bool {
    matches!(name, "x264enc" | "openh264enc")
}

/// `avcC` as `form` declares it. An encoder chooses a level of its own, and says baseline where it uses no more; both
/// are bounds, and the form's holds.
///
/// # Errors
/// When the profile is none that Main includes.
pub(super) fn declared(avcc: &[u8], form: &EncodedForm) -> Result<Bytes, PipelineError> {
    let unusable = || PipelineError::build("the encoder gives no H.264 of profile main");
    let mut avcc = avcc.to_vec();
    let declared = [MAIN[0], MAIN[1], form.level()];
    // ISO/IEC 14496-15 section 5.3.3.1: version, the three bytes, lengths, and from the eighth byte on the first
    // sequence parameter set with the same three bytes behind its header.
    let baseline_or_main = avcc.get(1).is_some_and(|profile| matches!(profile, 66 | 77));
    let one_set = avcc.get(5).is_some_and(|sets| sets & 0x1f == 1);
    if !baseline_or_main || !one_set {
        return Err(unusable());
    }
    avcc.get_mut(1..4).ok_or_else(unusable)?.copy_from_slice(&declared);
    avcc.get_mut(9..12).ok_or_else(unusable)?.copy_from_slice(&declared);
    Ok(avcc.into())
}

/// A picture without the parameter sets and delimiters that some encoders repeat in it: in `avc1` they are in the
/// header alone (ISO/IEC 14496-15 section 5.4.2.1).
pub(super) fn without_parameter_sets(picture: Bytes) -> Bytes {
    let units = || {
        let mut rest = &picture[..];
        std::iter::from_fn(move || {
            let (length, tail) = rest.split_first_chunk::<4>()?;
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            let unit = tail.get(..length)?;
            let whole = &rest[..4 + length];
            rest = &tail[length..];
            Some((unit.first().map_or(0, |header| header & 0x1f), whole))
        })
    };
    if !units().any(|(kind, _)| matches!(kind, 7..=9)) {
        return picture;
    }
    let kept: Vec<u8> =
        units().filter(|(kind, _)| !matches!(kind, 7..=9)).flat_map(|(_, unit)| unit).copied().collect();
    kept.into()
}
