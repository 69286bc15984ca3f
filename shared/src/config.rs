//! Configuration: flags over environment over a file over the defaults of the table in `table.rs`.
//!
//! `config/default.toml` and `docs/configuration.md` show the table to users. A test compares them; after a change of the
//! table, `RSM_WRITE_REFERENCE=1 cargo test -p rsm-shared reference` writes both.

mod check;
mod consistency;
mod declare;
mod endpoint;
mod error;
mod form;
mod layers;
pub mod log_filter;
mod log_format;
pub mod path_prefix;
mod reference;
mod setting;
mod show;
mod table;

use std::path::{Path, PathBuf};
use std::time::Duration;

use config::builder::DefaultState;
use config::{ConfigBuilder, Environment, File, FileFormat};

pub use self::endpoint::OtlpEndpoint;
pub use self::error::{BadConfig, bad};
use self::layers::{keys, refuse_unknown};
pub use self::log_format::LogFormat;
pub use self::table::{
    ApiConfig, CameraConfig, Config, ControlConfig, HlsConfig, LogConfig, NatsConfig, TracesConfig, WorkerConfig,
};
use crate::stream::names::Zone;
use crate::stream::rendition::Rendition;
use crate::stream::spec::HlsParams;

impl HlsConfig {
    /// Parameters of the HLS output of a stream.
    pub fn params(&self) -> HlsParams {
        HlsParams {
            segment_seconds: self.segment_seconds,
            window_segments: self.window_segments,
            part_ms: self.part_ms,
            always_on: self.always_on,
            renditions: self.renditions.iter().filter_map(|name| Rendition::from_name(name)).collect(),
        }
    }
}

impl Config {
    /// Reads all layers and checks the result. `flags` are pairs of key and value from the command line.
    ///
    /// # Errors
    /// [`BadConfig`] names the first key that is wrong.
    pub fn load(file: Option<&Path>, flags: &[(&str, String)]) -> Result<Self, BadConfig> {
        Self::load_with(file, flags, None)
    }

    fn load_with(
        file: Option<&Path>,
        flags: &[(&str, String)],
        environment: Option<config::Map<String, String>>,
    ) -> Result<Self, BadConfig> {
        let text = file.map(|path| {
            let text = std::fs::read_to_string(path)
                .map_err(|e| BadConfig(format!("--config is {}, expected a readable file: {e}", path.display())))?;
            Ok((path.display().to_string(), text))
        });
        Self::merge(text.transpose()?, flags, environment)
    }

    /// The defaults, without environment and command line.
    ///
    /// # Errors
    /// None: the defaults are valid.
    pub fn built_in() -> Result<Self, BadConfig> {
        Self::merge(None, &[], Some(config::Map::new()))
    }

    /// As [`Config::load`], of the text of a file and without the environment. Public for fuzzing only.
    #[doc(hidden)]
    pub fn from_text(text: &str, flags: &[(&str, String)]) -> Result<Self, BadConfig> {
        Self::merge(Some(("the text".into(), text.into())), flags, Some(config::Map::new()))
    }

    /// `file` is its name and its text.
    fn merge(
        file: Option<(String, String)>,
        flags: &[(&str, String)],
        environment: Option<config::Map<String, String>>,
    ) -> Result<Self, BadConfig> {
        let defaults = File::from_str(&reference::default_toml(), FileFormat::Toml);
        let known = keys(defaults.clone())?;
        let mut builder = ConfigBuilder::<DefaultState>::default().add_source(defaults);
        if let Some((name, text)) = file {
            let layer = File::from_str(&text, FileFormat::Toml);
            let given = keys(layer.clone()).map_err(|e| BadConfig(format!("{name}: {e}")))?;
            refuse_unknown(&given, &known, "the file")?;
            builder = builder.add_source(layer);
        }
        let layer = Environment::with_prefix("RSM").prefix_separator("__").separator("__").source(environment);
        refuse_unknown(&keys(layer.clone())?, &known, "the environment")?;
        builder = builder.add_source(layer);
        for (key, value) in flags {
            builder = builder.set_override(*key, value.as_str()).map_err(|e| BadConfig(e.to_string()))?;
        }
        let merged = builder.build().map_err(|e| BadConfig(e.to_string()))?;
        let config = Self::read(&merged)?;
        config.check()?;
        Ok(config)
    }

    /// The zones of this worker.
    ///
    /// # Errors
    /// [`BadConfig`] when one is not a zone name; a loaded configuration has valid ones.
    pub fn zones(&self) -> Result<Vec<Zone>, BadConfig> {
        let parse =
            |text: &String| Zone::parse(text).map_err(|e| bad("worker.zones", format!("{text:?}"), &e.to_string()));
        self.worker.zones.iter().map(parse).collect()
    }

    /// Directory of the HLS segments.
    pub fn hls_root(&self) -> PathBuf {
        self.data_dir.join("hls")
    }

    /// Deadline of an orderly shutdown.
    pub fn shutdown(&self) -> Duration {
        Duration::from_secs(self.control.shutdown_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, BadConfig> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rsm.toml");
        std::fs::write(&path, file).unwrap();
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let flags: Vec<_> = flags.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
        Config::load_with(Some(&path), &flags, Some(environment))
    }

    #[test]
    fn later_layers_win() {
        let config =
            load("[api]\nlisten = \"127.0.0.1:1\"\nmax_links = 5", &[("RSM__API__LISTEN", "127.0.0.1:2")], &[])
                .unwrap();
        assert_eq!((config.api.listen.port(), config.api.max_links), (2, 5));
        let config = load("", &[("RSM__API__LISTEN", "127.0.0.1:2")], &[("api.listen", "127.0.0.1:3")]).unwrap();
        assert_eq!(config.api.listen.port(), 3);
    }

    #[test]
    fn texts_of_the_environment_become_lists_and_numbers() {
        let config = load(
            "",
            &[
                ("RSM__NATS__URLS", "nats://a:1, nats://b:2"),
                ("RSM__HLS__SEGMENT_SECONDS", "4"),
                ("RSM__WORKER__CLEAR_HLS", "false"),
            ],
            &[],
        )
        .unwrap();
        assert_eq!(config.nats.urls, ["nats://a:1", "nats://b:2"]);
        assert_eq!(config.hls.segment_seconds, 4);
        assert!(!config.worker.clear_hls);
    }

    #[test]
    fn a_password_of_digits_keeps_its_zeros() {
        let config = load("", &[("RSM__NATS__USER", "u"), ("RSM__NATS__PASSWORD", "0012")], &[]).unwrap();
        assert_eq!(config.nats.password.unwrap().expose(), "0012");
    }

    #[test]
    fn errors_name_the_key_the_value_and_what_was_expected() {
        for (file, environment, parts) in [
            ("[hls]\nsegment_seconds = 99", vec![], vec!["hls.segment_seconds", "99", "1 to 10"]),
            ("[hls]\nsegment_secs = 1", vec![], vec!["hls.segment_secs", "not a known key"]),
            ("", vec![("RSM__APII__LISTEN", "x")], vec!["apii.listen", "not a known key", "did you mean"]),
            ("[api]\nlisten = \"nonsense\"", vec![], vec!["api.listen", "nonsense"]),
            ("[api]\nmax_links = \"many\"", vec![], vec!["api.max_links", "many", "integer"]),
            ("[log]\nformat = \"xml\"", vec![], vec!["log.format", "xml", "text"]),
            ("[nats]\nreplicas = 2", vec![], vec!["nats.replicas", "2", "1, 3 or 5"]),
            ("[nats]\nurls = [\"http://x\"]", vec![], vec!["nats.urls", "http://x", "nats://"]),
            ("[nats]\nca_file = \"/no/such.pem\"", vec![], vec!["nats.ca_file", "/no/such.pem", "PEM"]),
            ("[nats]\nca_file = \"/dev/null\"", vec![], vec!["nats.ca_file", "/dev/null", "no certificate"]),
            ("[api]\nallowed_origins = [\"https://a/b\"]", vec![], vec!["api.allowed_origins", "https://a/b"]),
            ("[traces]\notlp_endpoint = \"h:1\"", vec![], vec!["traces.otlp_endpoint", "http://127.0.0.1:4318"]),
            ("[traces]\nsample_percent = 101", vec![], vec!["traces.sample_percent", "101", "0 to 100"]),
            ("[worker]\nname = \"a b\"", vec![], vec!["worker.name", "a b"]),
            ("[camera]\nbackoff_min_s = 90", vec![], vec!["camera.backoff_max_s", "60", "90"]),
        ] {
            let error = load(file, &environment, &[]).unwrap_err().to_string();
            for part in parts {
                assert!(error.contains(part), "{error:?} should name {part:?}");
            }
            assert!(!error.contains('\n'), "{error:?} should be one line");
        }
    }

    #[test]
    fn credentials_of_a_collector_are_never_repeated() {
        let config = load("", &[("RSM__TRACES__OTLP_ENDPOINT", "http://u:hunter2@h:4318")], &[]).unwrap();
        assert!(!config.show().contains("hunter2") && !format!("{config:?}").contains("hunter2"));
        let error = load("", &[("RSM__TRACES__OTLP_ENDPOINT", "https://u:hunter2@h:4318")], &[]).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn what_is_shown_can_be_loaded_and_hides_the_password() {
        let config = load("", &[("RSM__NATS__USER", "u"), ("RSM__NATS__PASSWORD", "hunter2")], &[]).unwrap();
        let shown = config.show();
        assert!(!shown.contains("hunter2") && !format!("{config:?}").contains("hunter2"));
        let again = load(&shown, &[], &[]).unwrap();
        assert_eq!(again.show(), shown);
        let known = keys(File::from_str(&reference::default_toml(), FileFormat::Toml)).unwrap();
        assert_eq!(keys(File::from_str(&shown, FileFormat::Toml)).unwrap(), known, "every key is shown");
    }
}
