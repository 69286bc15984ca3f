//! Many values in a few figures.

use serde_json::{Value, json};

/// Median, 99th percentile and largest; `null` of nothing.
pub fn spread(mut values: Vec<f64>) -> Value {
    if values.is_empty() {
        return Value::Null;
    }
    values.sort_by(f64::total_cmp);
    let at = |percent: usize| values[(values.len() * percent / 100).min(values.len() - 1)];
    let round = |value: f64| (value * 100.0).round() / 100.0;
    json!({ "p50": round(at(50)), "p99": round(at(99)), "max": round(values[values.len() - 1]), "of": values.len() })
}

/// The middle value, the upper one of two; not a number when there is none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_of_all_values_in_whatever_order() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(spread(values), json!({ "p50": 101.0, "p99": 199.0, "max": 200.0, "of": 200 }));
        assert_eq!(spread(vec![7.0]), json!({ "p50": 7.0, "p99": 7.0, "max": 7.0, "of": 1 }));
        assert_eq!(spread(Vec::new()), Value::Null);
    }
}
