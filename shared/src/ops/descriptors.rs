//! The number of files and sockets that this process may have open, and the share of it that viewers may take.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors that are kept for the work of the process itself: NATS, the database, files of segments, connections to
/// workers, and connections that ask for health and metrics.
const RESERVE: u64 = 96;
/// A limit below twice the reserve keeps one part in this many for the process.
const LEAST_SHARE: u64 = 2;

/// Raises the soft limit to the hard one, as far as the system lets it; the limit in force then. The soft limit of 1024
/// that most systems start programs with protects programs that use select(2), which rsm does not.
pub fn raise() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return u64::MAX };
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        return hard;
    }
    soft
}

/// Sockets of clients that fit into `limit`.
fn clients(limit: u64) -> u64 {
    limit - RESERVE.min(limit / LEAST_SHARE)
}

/// A bound of client sockets from the configuration, lowered to what fits; `Some` when it had to be.
pub fn lowered(limit: u64, wanted: u64) -> Option<u64> {
    let fits = clients(limit).max(1);
    (wanted > fits).then_some(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_lowered_to_what_the_limit_leaves() {
        for (limit, wanted, want) in [
            (1 << 20, 5000, None),
            (1024, 5000, Some(928)),
            (256, 5000, Some(160)),
            (256, 160, None),
            (100, 5000, Some(50)),
            (1, 5000, Some(1)),
        ] {
            assert_eq!(lowered(limit, wanted), want, "{limit} {wanted}");
        }
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let raised = raise();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!((raised, soft), (hard, hard));
    }
}
