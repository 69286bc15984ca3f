//! `rsm top`: streams and workers, live in a terminal, from the same numbers that Prometheus reads.

mod draw;
mod exposition;
mod farm;
mod grid;
mod plain;
mod scrape;
mod screen;
mod view;

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use rsm_shared::ops::shutdown::force_exit_after;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::draw::Paint;
use self::farm::{Farm, Round};
use self::scrape::Source;
use self::screen::Screen;
use self::view::{Asked, View};
use crate::exit::{EXIT_UNAVAILABLE, fail};
use crate::links;
use crate::links::CommandFailed;
use crate::output;

/// Names of cameras are read again after this many rounds.
const NAMES_EVERY: u32 = 15;
/// Between the two looks of `--once`: rates need two.
const ONCE_APART: Duration = Duration::from_secs(1);
/// Time that the terminal has to take the last picture after a signal.
const TERMINAL_DEADLINE: Duration = Duration::from_secs(1);

/// Options of `rsm top`.
#[derive(Args, Clone, Debug)]
pub struct TopOptions {
    /// Print the tables once, as text, and end; so it does too when its output is no terminal
    #[arg(long)]
    once: bool,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    interval: u64,
}

/// Shows the API at `api`, by default the one that would listen at `listen`.
pub fn run(options: &TopOptions, api: Option<&str>, listen: SocketAddr) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(&format!("cannot make the runtime: {e}"), EXIT_UNAVAILABLE),
    };
    let unavailable = |text: String| CommandFailed(text, EXIT_UNAVAILABLE);
    let done = runtime.block_on(async {
        let source = Source::new(links::base(api, listen)?).map_err(unavailable)?;
        if options.once || !std::io::stdout().is_terminal() {
            return once(source).await.map_err(unavailable);
        }
        watch(source, Duration::from_secs(options.interval)).await.map_err(unavailable)
    });
    // A read that hangs is left behind.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(CommandFailed(text, code)) => fail(&text, code),
    }
}

/// Scrapes repeatedly, and keeps the earlier numbers and names that rates need.
struct Looker {
    source: Source,
    earlier: Option<Round>,
    rounds: u32,
}

impl Looker {
    fn new(source: Source) -> Self {
        Self { source, earlier: None, rounds: 0 }
    }

    async fn look(&mut self) -> Result<Farm, String> {
        let targets = self.source.targets().await?;
        let mut names = self.earlier.as_mut().map(|earlier| std::mem::take(&mut earlier.names)).unwrap_or_default();
        if self.rounds.is_multiple_of(NAMES_EVERY) {
            // Without them slugs do.
            names = self.source.names().await.unwrap_or(names);
        }
        self.rounds = self.rounds.wrapping_add(1);
        let round = Round { targets, names };
        let farm = farm::build(self.earlier.as_ref(), &round);
        self.earlier = Some(round);
        Ok(farm)
    }
}

/// Prints both tables as text. The reader may be gone.
async fn once(source: Source) -> Result<(), String> {
    let mut looker = Looker::new(source);
    looker.look().await?;
    tokio::time::sleep(ONCE_APART).await;
    let text = plain::text(&looker.look().await?);
    output::print(text.as_bytes())
}

/// A signal cancels `stop`. A terminal that is paused takes nothing, also not the end of the picture: then the process
/// ends without it.
fn end_on_signal(stop: CancellationToken) -> std::io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = hangup.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
        force_exit_after(TERMINAL_DEADLINE);
    });
    Ok(())
}

/// Runs until the user quits, or the terminal is gone.
async fn watch(source: Source, interval: Duration) -> Result<(), String> {
    let stop = CancellationToken::new();
    end_on_signal(stop.clone()).map_err(|e| format!("cannot watch signals: {e}"))?;
    let paint = Paint(std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()));
    let api = source.base().to_string();
    let terminal = |e: std::io::Error| format!("cannot use the terminal: {e}");
    let mut screen = Screen::open().map_err(terminal)?;
    let mut view = View::default();
    // One that waits is enough: an older one is of no use.
    let (told, mut news) = mpsc::channel(1);
    let looking = tokio::spawn(async move {
        let mut looker = Looker::new(source);
        let mut tick = tokio::time::interval(interval);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if told.send(looker.look().await).await.is_err() {
                return;
            }
        }
    });
    let ended = loop {
        if let Err(e) = screen.draw(|frame| draw::draw(frame, &mut view, &api, paint)) {
            break Err(terminal(e));
        }
        tokio::select! {
            key = screen.key() => match key {
                Some(key) if view.key(key) == Asked::Quit => break Ok(()),
                Some(_) => {}
                None => break Ok(()),
            },
            Some(farm) = news.recv() => view.take(farm),
            () = stop.cancelled() => break Ok(()),
        }
    };
    looking.abort();
    drop(screen);
    ended
}
