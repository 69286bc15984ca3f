//! Pictures per second and bits per second of the last seconds, coarse enough to be shown without flicker. Pure.

use std::time::{Duration, Instant};

/// Measured over windows this long.
const WINDOW: Duration = Duration::from_secs(4);
/// Smallest change that is reported, as a share of the last reported value.
const NOTICEABLE: f64 = 0.1;

/// Measured rates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Pictures per second, to a tenth below 5 and to a half above.
    pub fps: f64,
    /// Bits per second, two digits.
    pub bitrate: u64,
}

/// Counts one camera session.
#[derive(Debug, Default)]
pub struct Meter {
    since: Option<Instant>,
    units: u32,
    bytes: u64,
    shown: Option<Measured>,
}

impl Meter {
    /// Counts a unit; gives a value when there is a noticeably new one.
    pub fn count(&mut self, arrived: Instant, bytes: usize) -> Option<Measured> {
        let since = *self.since.get_or_insert(arrived);
        let elapsed = arrived.saturating_duration_since(since);
        if elapsed < WINDOW {
            self.units += 1;
            self.bytes += bytes as u64;
            return None;
        }
        // The unit that ends the window opens the next one.
        let seconds = elapsed.as_secs_f64();
        let measured = round(f64::from(self.units) / seconds, self.bytes as f64 * 8.0 / seconds);
        (self.since, self.units, self.bytes) = (Some(arrived), 1, bytes as u64);
        let news = self.shown.is_none_or(|shown| {
            differs(shown.fps, measured.fps) || differs(shown.bitrate as f64, measured.bitrate as f64)
        });
        if news {
            self.shown = Some(measured);
        }
        news.then_some(measured)
    }
}

fn round(fps: f64, bitrate: f64) -> Measured {
    let fps = if fps < 5.0 { (fps * 10.0).round() / 10.0 } else { (fps * 2.0).round() / 2.0 };
    let unit = 10f64.powf(bitrate.max(1.0).log10().floor() - 1.0).max(1.0);
    Measured { fps, bitrate: ((bitrate / unit).round() * unit) as u64 }
}

fn differs(old: f64, new: f64) -> bool {
    (old - new).abs() > old.abs() * NOTICEABLE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_after_a_window_and_then_only_changes() {
        let (mut meter, begin) = (Meter::default(), Instant::now());
        let mut shown = Vec::new();
        for i in 0..900u32 {
            // 30 pictures per second, then 15.
            let ms = if i < 600 { i * 1000 / 30 } else { 20_000 + (i - 600) * 1000 / 15 };
            shown.extend(meter.count(begin + Duration::from_millis(ms.into()), 10_000));
        }
        assert_eq!(shown.first(), Some(&Measured { fps: 30.0, bitrate: 2_400_000 }));
        assert_eq!(shown.last(), Some(&Measured { fps: 15.0, bitrate: 1_200_000 }));
        assert!(shown.len() <= 3, "{shown:?}");
    }
}
