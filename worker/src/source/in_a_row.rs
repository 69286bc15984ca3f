//! A deviation that stays. Pure.

/// Counts deviations on one side of a bound.
#[derive(Debug, Default)]
pub struct InARow {
    times: u32,
    /// The least of them.
    least: i64,
}

impl InARow {
    /// Another deviation; gives the least of the last `times` once so many in a row were beyond `bound` on one side.
    pub fn beyond(&mut self, deviation: i64, bound: i64, times: u32) -> Option<i64> {
        if deviation.saturating_abs() <= bound {
            *self = Self::default();
            return None;
        }
        if self.times > 0 && deviation.signum() == self.least.signum() {
            self.times += 1;
            self.least = if deviation < 0 { self.least.max(deviation) } else { self.least.min(deviation) };
        } else {
            *self = Self { times: 1, least: deviation };
        }
        let least = (self.times >= times).then_some(self.least)?;
        *self = Self::default();
        Some(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_on_one_side_counts_and_the_least_of_it() {
        let mut row = InARow::default();
        let mut say = |deviation| row.beyond(deviation, 10, 3);
        assert_eq!([say(20), say(15), say(30)], [None, None, Some(15)]);
        assert_eq!([say(20), say(5), say(30), say(30)], [None; 4]);
        assert_eq!([say(-20), say(-12), say(-40)], [None, None, Some(-12)]);
        assert_eq!([say(20), say(-20), say(20)], [None; 3]);
        assert_eq!(row.beyond(i64::MIN, 10, 1), Some(i64::MIN));
    }
}
