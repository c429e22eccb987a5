//! The `portolan` binary.

use std::process::ExitCode;

use clap::Parser as _;
use portolan_server::cli::discover::DiscoverCommand;
use portolan_server::cli::{Cli, Command, LoadCommand};
use portolan_server::{demo, discover, exit, http, load, map, query, scoring, serve, store};

fn main() -> ExitCode {
    portolan_allocator::keep_free_memory();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return exit::code(&anyhow::Error::new(error).context("no runtime")),
    };
    let outcome = runtime.block_on(async {
        match Cli::parse().command {
            Command::Serve(args) => serve::run(&args).await,
            Command::Demo(args) => demo::run(args).await,
            Command::Query(command) => query::run(command).await,
            Command::Discover(DiscoverCommand::Kubernetes(args)) => {
                discover::kubernetes(args).await
            }
            Command::Load(LoadCommand::Replay(args)) => load::replay(&args),
            Command::Load(LoadCommand::Score(args)) => scoring::run(&args),
            Command::Store(command) => store::run(command).await,
            Command::Map(args) => map::run(args).await,
            Command::CheckConfig(args) => serve::check_config(&args),
            Command::Healthcheck(args) => http::healthcheck(&args.http).await,
        }
    });
    // A blocked thread (a scan, a broker that does not answer) must not hold the exit up.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::code(&error),
    }
}
