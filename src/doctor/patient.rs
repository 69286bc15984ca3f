//! The machine that `rsm doctor` checks.

use clap::ValueEnum;
use rsm_shared::config::Config;

/// Roles that have machines of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    Api,
    Relay,
    Worker,
}

/// Everything that the checks read.
#[derive(Clone)]
pub struct Patient {
    pub config: Config,
    /// The machine runs this role only.
    pub role: Option<RoleName>,
    /// The configuration cannot be used, so checks that depend on it are skipped.
    pub readable: bool,
    pub http: reqwest::Client,
}

impl Patient {
    /// True when this machine is to run `role`; a machine without a role runs all of them.
    pub fn does(&self, role: RoleName) -> bool {
        self.role.is_none_or(|only| only == role)
    }
}
