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

/// Inputs of the checks.
#[derive(Clone)]
pub struct Patient {
    pub config: Config,
    /// The machine runs this role only.
    pub role: Option<RoleName>,
    /// False when the configuration is invalid: checks that depend on it are left out.
    pub readable: bool,
    pub http: reqwest::Client,
}

impl Patient {
    /// True when this machine takes the role; without a named role it takes all.
    pub fn does(&self, role: RoleName) -> bool {
        self.role.is_none_or(|only| only == role)
    }
}
