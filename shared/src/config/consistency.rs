//! Checks of a whole configuration: each key against its form, and keys that must agree.

use super::error::{BadConfig, bad};
use super::table::{Config, SECTIONS};

impl Config {
    /// Names the first key that is wrong.
    pub(super) fn check(&self) -> Result<(), BadConfig> {
        let keys = SECTIONS.iter().flat_map(|section| section.keys);
        for (key, setting) in keys.zip(self.settings()) {
            key.form.check(key.name, setting.checkable())?;
        }
        let (min, max) = (self.camera.backoff_min_s, self.camera.backoff_max_s);
        if max < min {
            return Err(bad(
                "camera.backoff_max_s",
                max,
                &format!("{min} to 3600, not less than camera.backoff_min_s"),
            ));
        }
        if self.nats.user.is_some() != self.nats.password.is_some() {
            return Err(bad("nats.user", "without nats.password, or the other way round", "both or none"));
        }
        Ok(())
    }
}
