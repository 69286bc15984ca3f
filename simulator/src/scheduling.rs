//! Scheduling of this process by the kernel.

/// Asks the kernel not to preempt a running thread when another of this process wakes up: SCHED_BATCH, sched(7).
///
/// Every picture of every camera wakes three threads of libgstrtspserver. If each of them pushes its waker aside,
/// most of the CPU goes into switching: with 50 cameras 0.26 % of a core each became 0.18 %. To be called before the
/// first thread is made, since threads inherit it.
#[expect(unsafe_code, reason = "nix has no call for sched_setscheduler(2)")]
pub fn prefer_throughput() {
    let parameter = libc::sched_param { sched_priority: 0 };
    // SAFETY: the call reads one integer through a pointer that is valid for its duration. A refusal costs CPU, and
    // nothing else.
    unsafe {
        libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameter);
    }
}
