//! `rsmcameratrack`: the element that libgstrtspserver takes for a payloader.
//!
//! ```text
//!   bin: appsrc (RTP packets) -> src
//! ```
//!
//! A bin only because the server asks its payloaders for a property `pt`, which appsrc has not.

use gstreamer as gst;
use gstreamer::{glib, prelude::*, subclass::prelude::*};
use gstreamer_app::AppSrc;

const FACTORY: &str = "rsmcameratrack";

glib::wrapper! {
    pub struct TrackSource(ObjectSubclass<imp::TrackSource>)
        @extends gst::Bin, gst::Element, gst::Object, @implements gst::ChildProxy;
}

impl TrackSource {
    /// Where packets are pushed.
    pub fn input(&self) -> &AppSrc {
        &self.imp().input
    }

    /// Told before the server reads it.
    pub fn set_payload_type(&self, payload_type: u8) {
        self.imp().payload_type.store(payload_type, std::sync::atomic::Ordering::Relaxed);
    }
}

/// Makes the element known to [`launch_line`].
///
/// # Errors
/// When the name is taken.
pub fn register() -> Result<(), glib::BoolError> {
    gst::Element::register(None, FACTORY, gst::Rank::NONE, TrackSource::static_type())
}

/// One pipeline of `tracks` tracks, named as libgstrtspserver wants them.
pub fn launch_line(tracks: usize) -> String {
    let elements: Vec<String> = (0..tracks).map(|track| format!("{FACTORY} name={}", name(track))).collect();
    format!("( {} )", elements.join(" "))
}

/// The element of track `track`.
pub fn name(track: usize) -> String {
    format!("pay{track}")
}

mod imp {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU8, Ordering},
    };

    use super::*;

    pub struct TrackSource {
        pub input: AppSrc,
        pub payload_type: AtomicU8,
    }

    impl Default for TrackSource {
        fn default() -> Self {
            Self { input: AppSrc::builder().build(), payload_type: AtomicU8::default() }
        }
    }

    #[glib::object_subclass]
    impl ObjectSubclass for TrackSource {
        const NAME: &'static str = "RsmCameraTrack";
        type Type = super::TrackSource;
        type ParentType = gst::Bin;
    }

    impl ObjectImpl for TrackSource {
        fn properties() -> &'static [glib::ParamSpec] {
            static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> =
                LazyLock::new(|| vec![glib::ParamSpecUInt::builder("pt").maximum(127).read_only().build()]);
            &PROPERTIES
        }

        fn property(&self, _id: usize, _property: &glib::ParamSpec) -> glib::Value {
            u32::from(self.payload_type.load(Ordering::Relaxed)).to_value()
        }

        fn constructed(&self) {
            self.parent_constructed();
            let bin = self.obj();
            // Neither can fail: the bin is new, and so is the source with its one pad. In this order, because adding an
            // element to a bin unlinks its pads.
            if bin.add(&self.input).is_ok()
                && let Some(pad) = self.input.static_pad("src").and_then(|pad| gst::GhostPad::with_target(&pad).ok())
            {
                let _ = bin.add_pad(&pad);
            }
        }
    }

    impl GstObjectImpl for TrackSource {}

    impl ElementImpl for TrackSource {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                gst::subclass::ElementMetadata::new(
                    "RTP packets of a test camera",
                    "Source/Network/RTP",
                    "Hands on packets that are cut already",
                    "rsm-camera",
                )
            });
            Some(&METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let caps = gst::Caps::new_empty_simple("application/x-rtp");
                gst::PadTemplate::new("src", gst::PadDirection::Src, gst::PadPresence::Always, &caps)
                    .into_iter()
                    .collect()
            });
            &TEMPLATES
        }
    }

    impl BinImpl for TrackSource {}
}
