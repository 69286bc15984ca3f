//! The command line.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use rsm_shared::config::Config;
use rsm_shared::ops::shutdown::EXIT_USAGE;

use crate::doctor::DoctorOptions;
use crate::links::LinksCommand;
use crate::output;
use crate::top::TopOptions;

/// RTSP cameras in front of browsers.
#[derive(Parser)]
#[command(name = "rsm", version, about, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    role: RoleArgs,
}

#[derive(Subcommand)]
enum RoleArgs {
    /// Everything on one machine: NATS, API and workers as child processes that are restarted when they die
    Up {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        listen: Listen,
        #[command(flatten)]
        up: Up,
    },
    /// The control API with the database; serves viewers too
    Api {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        listen: Listen,
    },
    /// Serves viewers only, without a database; any number, on any machine
    Relay {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        listen: Listen,
    },
    /// Runs camera pipelines; any number, on any machine
    Worker {
        #[command(flatten)]
        common: Common,
        /// Name of this worker, unique among those that live
        #[arg(long)]
        name: Option<String>,
    },
    /// Checks the configuration, or prints the effective one with secrets masked
    Config {
        #[command(flatten)]
        common: Common,
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Checks this machine, NATS and the data directory, and names what to install or change
    Doctor {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        options: DoctorOptions,
    },
    /// Shows streams and workers of a running API, live
    Top {
        #[command(flatten)]
        common: Common,
        /// Where the API is, http://HOST:PORT/; api.listen of the configuration unless it is named
        #[arg(long, env = "RSM_API", value_name = "URL")]
        api: Option<String>,
        #[command(flatten)]
        options: TopOptions,
    },
    /// Lists, adds, removes, imports and exports the cameras of a running API
    Links {
        #[command(flatten)]
        common: Common,
        /// Where the API is, http://HOST:PORT/; api.listen of the configuration unless it is named
        #[arg(long, env = "RSM_API", value_name = "URL", global = true)]
        api: Option<String>,
        #[command(subcommand)]
        command: LinksCommand,
    },
}

#[derive(Args)]
struct Common {
    /// Configuration file (TOML); `rsm config show` lists every key
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Where the database, the NATS store and the HLS segments live
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<String>,
    /// NATS servers, separated by commas
    #[arg(long, value_name = "URL", global = true)]
    nats: Option<String>,
    /// text or json
    #[arg(long, value_name = "FORMAT", global = true)]
    log_format: Option<String>,
    /// Log levels, such as info or info,source=debug (docs/logs.md lists the parts)
    #[arg(long, env = "RSM_LOG", value_name = "LEVELS", global = true)]
    log: Option<String>,
}

#[derive(Args)]
struct Listen {
    /// Address of the page, the API and the viewers; port 0 lets the system choose
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
}

/// Options of `rsm up`.
#[derive(Args)]
#[group(id = "up-flags")]
pub struct Up {
    /// Worker processes
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub workers: u32,
    /// Also start this many test cameras and register them
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=64))]
    pub demo: u32,
    /// Filled from the common flags, which children get too.
    #[arg(skip)]
    pub passed_on: Vec<String>,
    /// True when the NATS servers were named on the command line.
    #[arg(skip)]
    pub own_nats: bool,
}

#[derive(Subcommand)]
pub enum ConfigCommand {
    /// Reports errors, or that there are none
    Check,
    /// Prints the effective configuration
    Show,
}

/// The parsed command.
pub enum Command {
    Up(Up),
    Api,
    Relay,
    Worker,
    Config(ConfigCommand),
    Doctor {
        options: DoctorOptions,
        /// Error of the configuration; the defaults stand in then.
        invalid: Option<String>,
    },
    Top {
        /// Address of the API, if one was named.
        api: Option<String>,
        options: TopOptions,
    },
    Links {
        /// Address of the API, if one was named.
        api: Option<String>,
        command: LinksCommand,
    },
}

/// Reads command line, environment and file. `Err` is the exit code: help was shown, or one line named the error.
pub fn read() -> Result<(Command, Config), ExitCode> {
    let cli = Cli::try_parse().map_err(|e| {
        if e.use_stderr() {
            // The first paragraph says it all; the usage that follows is in --help.
            let text = e.render().to_string();
            let line: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
            usage(line.join(" ").trim_start_matches("error: "))
        } else {
            // Colours for a terminal only, as clap itself would print it.
            let text = e.render();
            let coloured = std::io::stdout().is_terminal();
            output::finish(&if coloured { text.ansi().to_string() } else { text.to_string() })
        }
    })?;
    let mut flags = Vec::new();
    let (command, common) = match cli.role {
        RoleArgs::Up { common, listen, mut up } => {
            flags.extend(listen.listen.map(|value| ("api.listen", value)));
            up.own_nats = common.nats.is_none();
            up.passed_on = common.pass_on();
            (Command::Up(up), common)
        }
        RoleArgs::Api { common, listen } => {
            flags.extend(listen.listen.map(|value| ("api.listen", value)));
            (Command::Api, common)
        }
        RoleArgs::Relay { common, listen } => {
            flags.extend(listen.listen.map(|value| ("api.listen", value)));
            (Command::Relay, common)
        }
        RoleArgs::Worker { common, name } => {
            flags.extend(name.map(|value| ("worker.name", value)));
            (Command::Worker, common)
        }
        RoleArgs::Config { common, command } => (Command::Config(command), common),
        RoleArgs::Doctor { common, options } => (Command::Doctor { options, invalid: None }, common),
        RoleArgs::Top { common, api, options } => (Command::Top { api, options }, common),
        RoleArgs::Links { common, api, command } => (Command::Links { api, command }, common),
    };
    flags.extend(common.data_dir.map(|value| ("data_dir", value)));
    flags.extend(common.nats.map(|value| ("nats.urls", value)));
    flags.extend(common.log_format.map(|value| ("log.format", value)));
    flags.extend(common.log.map(|value| ("log.filter", value)));
    match (Config::load(common.config.as_deref(), &flags), command) {
        (Ok(config), command) => Ok((command, config)),
        // The doctor reports a bad configuration as one of its checks; many others can be made all the same.
        (Err(e), Command::Doctor { options, .. }) => match Config::built_in() {
            Ok(config) => Ok((Command::Doctor { options, invalid: Some(e.to_string()) }, config)),
            Err(e) => Err(usage(&e.to_string())),
        },
        (Err(e), _) => Err(usage(&e.to_string())),
    }
}

impl Common {
    /// The flags as children of `rsm up` get them; the data directory is added by it.
    fn pass_on(&self) -> Vec<String> {
        let file = self.config.as_ref().map(|path| path.display().to_string());
        [("--config", &file), ("--nats", &self.nats), ("--log-format", &self.log_format), ("--log", &self.log)]
            .into_iter()
            .filter_map(|(flag, value)| value.as_ref().map(|value| [flag.to_owned(), value.clone()]))
            .flatten()
            .collect()
    }
}

fn usage(text: &str) -> ExitCode {
    crate::exit::fail(text, u8::try_from(EXIT_USAGE).unwrap_or(1))
}
