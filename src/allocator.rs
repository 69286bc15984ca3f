//! Limits what the C library's allocator keeps: threads of GStreamer come and go by the hundred.

/// At least so many heaps of glibc's allocator ("arenas"), so that the threads of media and of control do not share a
/// lock on a machine with one core.
#[cfg(target_env = "gnu")]
const MIN_ARENAS: usize = 2;

/// Limits glibc to one heap for each core; call it before the first thread starts. By itself it makes eight for each
/// core, hands them to new threads in turn, and returns little of any. A worker with twelve cameras and viewers that
/// come and go grew from 120 to 330 MB within 50 minutes on two cores, and was still growing; with two heaps it stays
/// at 210 MB from the tenth minute on. `MALLOC_ARENA_MAX` in the environment wins.
pub(crate) fn limit_heaps() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "nix has no call for mallopt(3)")]
    {
        if std::env::var_os("MALLOC_ARENA_MAX").is_some() {
            return;
        }
        let cores = std::thread::available_parallelism().map_or(MIN_ARENAS, usize::from).max(MIN_ARENAS);
        let arenas = nix::libc::c_int::try_from(cores).unwrap_or(nix::libc::c_int::MAX);
        // SAFETY: it stores a number in the allocator, and no other thread runs yet.
        unsafe { nix::libc::mallopt(nix::libc::M_ARENA_MAX, arenas) };
    }
}
