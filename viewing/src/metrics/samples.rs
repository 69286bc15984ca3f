//! Samples that are there before anything is counted.

use prometheus::IntCounterVec;

/// Shows samples of a closed set from the beginning, as 0: the first count must show as an increase.
pub fn show_all<const LABELS: usize, const SAMPLES: usize>(family: &IntCounterVec, set: [[&str; LABELS]; SAMPLES]) {
    for labels in set {
        family.with_label_values(&labels);
    }
}
