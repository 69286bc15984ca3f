//! Faults and quirks of a camera, and the decisions that follow for one picture. No I/O.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// The fault that clients of a camera meet at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    Freeze,
    Refuse,
    /// Every DESCRIBE and SETUP gets this status.
    Answer(u16),
    /// As if it were switched off, until it is back by itself.
    Reboot,
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_str("none"),
            Self::Freeze => serializer.serialize_str("freeze"),
            Self::Refuse => serializer.serialize_str("refuse"),
            Self::Answer(status) => serializer.collect_str(&format_args!("answer {status}")),
            Self::Reboot => serializer.serialize_str("reboot"),
        }
    }
}

/// Oddities of the media that a camera sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quirks {
    /// All jumps of the timestamps since the last reboot, in seconds.
    pub jumped_s: f64,
    /// Rate error of the timestamps in millionths; positive runs too fast.
    pub drift_ppm: i32,
    /// Longest random delay of a picture, in milliseconds.
    pub jitter_ms: u32,
    /// Pictures a second that are left; 0: all.
    pub fps: u32,
    /// True while the second clip is shown.
    pub resized: bool,
    pub muted: bool,
    pub half: bool,
    pub noparams: bool,
}

impl Quirks {
    /// The quirks that are left after `resume`, because new packets cannot undo them.
    pub fn resumed(self) -> Self {
        Self { jumped_s: self.jumped_s, resized: self.resized, ..Self::default() }
    }

    /// The quirks that are left after a reboot, which forgets all commands but the size.
    pub fn rebooted(self) -> Self {
        Self { resized: self.resized, ..Self::default() }
    }

    /// True when the picture at `place` of its group of `gop` pictures (counted from 0, in the order of decoding) is
    /// sent, at `fps` pictures a second; `number` counts pictures from the epoch.
    ///
    /// Pictures refer to earlier ones, so the end of each group is left out: the rate varies, and all that is sent can
    /// be decoded. Where every picture stands alone they are thinned evenly.
    pub fn keeps(&self, number: u64, place: u32, gop: u32, fps: u32) -> bool {
        if self.fps == 0 || self.fps >= fps {
            return true;
        }
        let (wanted, all) = (u64::from(self.fps), u64::from(fps));
        if gop > 1 {
            return u64::from(place) < (u64::from(gop) * wanted).div_ceil(all);
        }
        (number + 1) * wanted / all > number * wanted / all
    }

    /// When a picture goes that is due at `due` (unix time): later by a random part of the jitter, `chance` of
    /// 2^32, but never before the one that went before it.
    pub fn release(&self, due: Duration, before: Duration, chance: u32) -> Duration {
        let delay = Duration::from_millis(u64::from(self.jitter_ms)).mul_f64(f64::from(chance) / f64::from(u32::MAX));
        (due + delay).max(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_pictures_a_second_leave_out_the_end_of_each_group() {
        let quirks = Quirks { fps: 10, ..Quirks::default() };
        let kept: Vec<u32> = (0..25).filter(|place| quirks.keeps(0, *place, 25, 25)).collect();
        assert_eq!(kept, (0..10).collect::<Vec<_>>());
        assert!((0..25).all(|place| Quirks::default().keeps(0, place, 25, 25)));
        assert!((0..25).all(|place| Quirks { fps: 60, ..quirks }.keeps(0, place, 25, 25)));
    }

    #[test]
    fn pictures_that_stand_alone_are_thinned_evenly() {
        let quirks = Quirks { fps: 10, ..Quirks::default() };
        let kept: Vec<u64> = (25_000..25_025).filter(|number| quirks.keeps(*number, 0, 1, 25)).collect();
        assert_eq!(kept.len(), 10);
        assert!(kept.windows(2).all(|pair| (2..=3).contains(&(pair[1] - pair[0]))), "{kept:?}");
    }

    #[test]
    fn jitter_delays_by_its_bound_at_most_and_keeps_the_order() {
        let quirks = Quirks { jitter_ms: 200, ..Quirks::default() };
        let (due, none) = (Duration::from_secs(10), Duration::ZERO);
        assert_eq!(quirks.release(due, none, 0), due);
        assert_eq!(quirks.release(due, none, u32::MAX), due + Duration::from_millis(200));
        let before = due + Duration::from_millis(150);
        assert_eq!(quirks.release(due, before, 0), before);
    }

    #[test]
    fn faults_have_one_word_in_the_status() {
        let json = |fault: Fault| serde_json::to_string(&fault).expect("plain data");
        assert_eq!(json(Fault::Freeze), r#""freeze""#);
        assert_eq!(json(Fault::Answer(453)), r#""answer 453""#);
    }
}
