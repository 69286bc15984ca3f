//! A camera's clock as its RTCP sender reports show it (RFC 3550 section 6.4.1).
//!
//! rtspsrc 1.22 adds reference timestamps for RFC 7273 clocks only, so the reports are read where its jitter buffer
//! relates them to the time of the pipeline.

use std::sync::Arc;

use gstreamer as gst;
use gstreamer::prelude::*;
use parking_lot::Mutex;

/// RTCP packet type of a sender report.
const SENDER_REPORT: u8 = 200;

/// One reading of the camera's wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Running time of the pipeline, nanoseconds; of the camera's stamp before the jitter buffer moved it.
    pub running_ns: i64,
    /// In NTP's format: seconds since 1900 in the upper half.
    pub ntp: u64,
}

/// The newest report of the pictures, until it is taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Reports(Arc<Mutex<Option<Report>>>);

impl Reports {
    pub fn take(&self) -> Option<Report> {
        self.0.lock().take()
    }

    /// Follows the reports of the streams that `is_picture` names by their session number in `rtspsrc`.
    pub fn follow(&self, rtspsrc: &gst::Element, is_picture: impl Fn(u32) -> bool + Send + Sync + 'static) {
        let (reports, is_picture) = (self.clone(), Arc::new(is_picture));
        rtspsrc.connect("new-manager", false, move |values| {
            let manager = values.get(1)?.get::<gst::Element>().ok()?;
            let (reports, is_picture) = (reports.clone(), is_picture.clone());
            // Only rtpbin has it, and rtspsrc has no other manager for the streams that are taken here.
            gst::glib::subclass::SignalId::lookup("new-jitterbuffer", manager.type_())?;
            manager.connect("new-jitterbuffer", false, move |values| {
                let buffer = values.get(1)?.get::<gst::Element>().ok()?;
                if is_picture(values.get(2)?.get::<u32>().ok()?) {
                    reports.listen(&buffer);
                }
                None
            });
            None
        });
    }

    fn listen(&self, jitterbuffer: &gst::Element) {
        let reports = self.clone();
        jitterbuffer.connect("handle-sync", false, move |values| {
            let report = read(values.get(1)?.get::<gst::Structure>().ok()?.as_ref())?;
            *reports.0.lock() = Some(report);
            None
        });
    }
}

/// Reads `application/x-rtp-sync`.
fn read(sync: &gst::StructureRef) -> Option<Report> {
    let number = |name| sync.get::<u64>(name).ok().filter(|number| *number != u64::MAX);
    let report = sync.get::<gst::Buffer>("sr-buffer").ok()?;
    let ntp = ntp(report.map_readable().ok()?.as_slice())?;
    let rate = i128::from(sync.get::<u32>("clock-rate").ok().filter(|rate| *rate > 0)?);
    let ticks = i128::from(number("sr-ext-rtptime")?) - i128::from(number("base-rtptime")?);
    let running = i128::from(number("base-time")?) + ticks * 1_000_000_000 / rate;
    Some(Report { running_ns: i64::try_from(running).ok()?, ntp })
}

/// The NTP time of a compound packet that begins with a sender report.
fn ntp(packet: &[u8]) -> Option<u64> {
    let report = packet.get(1) == Some(&SENDER_REPORT);
    report.then(|| packet.get(8..16)?.try_into().ok().map(u64::from_be_bytes)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NTP: u64 = (3_900_000_000 << 32) | (1 << 31);

    fn packet(kind: u8) -> Vec<u8> {
        let mut packet = vec![0x80, kind, 0, 6, 1, 2, 3, 4];
        packet.extend(NTP.to_be_bytes());
        packet.extend([0; 12]);
        packet
    }

    #[test]
    fn reads_the_time_of_sender_reports_alone() {
        assert_eq!(ntp(&packet(SENDER_REPORT)), Some(NTP));
        assert_eq!(ntp(&packet(201)), None);
        assert_eq!(ntp(&packet(SENDER_REPORT)[..15]), None);
        assert_eq!(ntp(&[]), None);
    }

    #[test]
    fn relates_it_to_the_pipeline() {
        gst::init().unwrap();
        let sync = |base: u64| {
            gst::Structure::builder("application/x-rtp-sync")
                .field("base-rtptime", base)
                .field("base-time", 2_000_000_000u64)
                .field("clock-rate", 90_000u32)
                .field("sr-ext-rtptime", 990_000u64)
                .field("sr-buffer", gst::Buffer::from_slice(packet(SENDER_REPORT)))
                .build()
        };
        // A second after the base.
        assert_eq!(read(&sync(900_000)), Some(Report { running_ns: 3_000_000_000, ntp: NTP }));
        assert_eq!(read(&sync(u64::MAX)), None);
    }
}
