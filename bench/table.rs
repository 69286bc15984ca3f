//! The printed table of the benches: case, figure, aim.

use std::time::Duration;

pub fn line(what: &str, seen: &str, bound: &str) {
    println!("{what:<58} {seen:>22}  {bound}");
}

pub fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
