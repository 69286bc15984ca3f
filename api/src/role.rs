//! The two roles that serve viewers.

/// Which one this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// With the database: viewers and operators.
    Api,
    /// Without: viewers only.
    Relay,
}
