//! Entry point: parse arguments, set up logging, dispatch, map errors to exit codes.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use blooio_exporter::app::{self, Hangup, ReloadSource, stop_signal};
use blooio_exporter::config::{Cli, Command, Settings, StateArgs, StateCommand};
use blooio_exporter::{logging, terminal, web};

fn main() -> ExitCode {
    app::protect_memory();
    // Usage errors, --help and --version end here.
    let command = Cli::parse_or_exit();
    // Before anything makes a TLS configuration: with two providers linked, or none installed, that panics.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.downcast_ref::<app::Failure>().is_some_and(app::Failure::is_quiet) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&*error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // Dropped last: what was said at the end is written.
    let mut log = None;
    let done = runtime.block_on(async {
        match command {
            Command::Serve(flags) => {
                let settings = Settings::load(&flags)?;
                log = Some(logging::init(&settings.log));
                if flags.config_check {
                    return Ok(app::check(&settings)?);
                }
                let stop = stop_signal(Hangup::Reloads)?;
                Ok(app::serve(settings, ReloadSource::From(flags), |_| Ok(()), stop).await?)
            }
            Command::Demo(args) => {
                log = Some(logging::init(&args.log.settings()));
                Ok(app::demo(args, stop_signal(Hangup::Stops)?).await?)
            }
            Command::Simulate(args) => {
                log = Some(logging::init(&args.log.settings()));
                Ok(app::simulate(args, stop_signal(Hangup::Stops)?).await?)
            }
            Command::Inspect(args) => {
                let settings = Settings::load(&args.flags())?;
                log = Some(logging::init(&settings.log));
                Ok(app::inspect(&settings, &args).await?)
            }
            Command::Plan(args) => Ok(app::plan(&args)?),
            Command::State(StateArgs { command: StateCommand::Copy(args) }) => {
                Ok(app::copy_state(&args, stop_signal(Hangup::Stops)?).await?)
            }
            Command::Backfill(args) => {
                let settings = Settings::load(&args.flags())?;
                log = Some(logging::init(&settings.log));
                Ok(app::backfill(&settings, &args, stop_signal(Hangup::Stops)?).await?)
            }
            Command::Healthcheck(args) => {
                Ok(web::healthcheck(args.target(), "/-/ready", args.timeout).await?)
            }
        }
    });
    // A commit under way ends; a thread that hangs does not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    drop(log);
    done
}

/// Says why the program ends; that standard error cannot be written to changes nothing.
fn complain(error: &dyn std::error::Error) {
    let why = terminal::printable_again(&error.to_string());
    let _ = writeln!(std::io::stderr(), "blooio-exporter: {why}");
}
