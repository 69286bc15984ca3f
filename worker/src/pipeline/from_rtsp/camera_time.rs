//! When the camera took a picture, by its own clock: what its RTCP sender reports tell (RFC 3550 section 6.4.1).
//!
//! rtspsrc 1.22 adds reference timestamps for RFC 7273 clocks only, so the reports are read where its jitter buffer
//! relates them to the time of the pipeline.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use gstreamer as gst;
use gstreamer::prelude::*;

/// From 1900, where NTP begins, to 1970, seconds.
const NTP_TO_UNIX: u64 = 2_208_988_800;
/// RTCP packet type of a sender report.
const SENDER_REPORT: u8 = 200;

/// The camera's time of day at running time zero, nanoseconds since 1970; `None` before the first report.
#[derive(Clone, Debug, Default)]
pub(super) struct CameraTime(Arc<Mutex<Option<i128>>>);

impl CameraTime {
    /// The camera's time of day at a running time.
    pub fn at(&self, running_ns: i64) -> Option<SystemTime> {
        let zero = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        let nanos = u64::try_from(zero + i128::from(running_ns)).ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(nanos))
    }

    /// Follows the reports of the streams that `is_picture` names by their session number in `rtspsrc`.
    pub fn follow(&self, rtspsrc: &gst::Element, is_picture: impl Fn(u32) -> bool + Send + Sync + 'static) {
        let (time, is_picture) = (self.clone(), Arc::new(is_picture));
        rtspsrc.connect("new-manager", false, move |values| {
            let manager = values.get(1)?.get::<gst::Element>().ok()?;
            let (time, is_picture) = (time.clone(), is_picture.clone());
            // Only rtpbin has it, and rtspsrc has no other manager for what is taken here.
            gst::glib::subclass::SignalId::lookup("new-jitterbuffer", manager.type_())?;
            manager.connect("new-jitterbuffer", false, move |values| {
                let buffer = values.get(1)?.get::<gst::Element>().ok()?;
                if is_picture(values.get(2)?.get::<u32>().ok()?) {
                    time.listen(&buffer);
                }
                None
            });
            None
        });
    }

    fn listen(&self, jitterbuffer: &gst::Element) {
        let time = self.clone();
        jitterbuffer.connect("handle-sync", false, move |values| {
            let zero = zero(values.get(1)?.get::<gst::Structure>().ok()?.as_ref())?;
            *time.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(zero);
            None
        });
    }
}

/// What `application/x-rtp-sync` says of the camera's time at running time zero.
fn zero(sync: &gst::StructureRef) -> Option<i128> {
    let number = |name| sync.get::<u64>(name).ok().filter(|number| *number != u64::MAX);
    let report = sync.get::<gst::Buffer>("sr-buffer").ok()?;
    let taken = unix_ns(report.map_readable().ok()?.as_slice())?;
    let rate = i128::from(sync.get::<u32>("clock-rate").ok().filter(|rate| *rate > 0)?);
    let ticks = i128::from(number("sr-ext-rtptime")?) - i128::from(number("base-rtptime")?);
    let running = i128::from(number("base-time")?) + ticks * 1_000_000_000 / rate;
    Some(i128::from(taken) - running)
}

/// The time of day in a compound packet that begins with a sender report, nanoseconds since 1970. Cameras without a
/// clock send zero.
fn unix_ns(packet: &[u8]) -> Option<u64> {
    if packet.len() < 20 || packet[1] != SENDER_REPORT {
        return None;
    }
    let word = |at: usize| Some(u64::from(u32::from_be_bytes(packet.get(at..at + 4)?.try_into().ok()?)));
    let (seconds, fraction) = (word(8)?, word(12)?);
    let seconds = seconds.checked_sub(NTP_TO_UNIX)?;
    Some(seconds * 1_000_000_000 + ((fraction * 1_000_000_000) >> 32))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(seconds: u64, fraction: u32) -> Vec<u8> {
        let mut packet = vec![0x80, SENDER_REPORT, 0, 6, 1, 2, 3, 4];
        packet.extend(u32::try_from(seconds).unwrap().to_be_bytes());
        packet.extend(fraction.to_be_bytes());
        packet.extend([0; 12]);
        packet
    }

    #[test]
    fn reads_the_time_of_a_report() {
        assert_eq!(unix_ns(&report(NTP_TO_UNIX + 5, 1 << 31)), Some(5_500_000_000));
        assert_eq!(unix_ns(&report(0, 0)), None);
        assert_eq!(unix_ns(&report(NTP_TO_UNIX, 0)[..19]), None);
        assert_eq!(unix_ns(&[0x80, 201, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None);
    }

    #[test]
    fn relates_it_to_the_pipeline() {
        gst::init().unwrap();
        let sync = gst::Structure::builder("application/x-rtp-sync")
            .field("base-rtptime", 900_000u64)
            .field("base-time", 2_000_000_000u64)
            .field("clock-rate", 90_000u32)
            .field("sr-ext-rtptime", 990_000u64)
            .field("sr-buffer", gst::Buffer::from_slice(report(NTP_TO_UNIX + 100, 0)))
            .build();
        // The report is of running time 3 s.
        assert_eq!(zero(&sync), Some(97_000_000_000));
        let time = CameraTime::default();
        assert_eq!(time.at(0), None);
        *time.0.lock().unwrap() = Some(97_000_000_000);
        assert_eq!(time.at(500_000_000), Some(SystemTime::UNIX_EPOCH + Duration::from_millis(97_500)));
    }
}
