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

/// What the checks look at.
#[derive(Clone)]
pub struct Patient {
    pub config: Config,
    /// The machine runs this role only.
    pub role: Option<RoleName>,
    /// The configuration cannot be used: what depends on it is not looked at.
    pub readable: bool,
    pub http: reqwest::Client,
}

impl Patient {
    /// Whether this machine is to do what `role` does; without a role it does everything.
    pub fn does(&self, role: RoleName) -> bool {
        self.role.is_none_or(|only| only == role)
    }
}
