//! `portolan store`: copies of a store, what is wrong with one, and its rows as files.

use std::io::IsTerminal as _;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use portolan_storage::{Error, FjallStore, Options};

use crate::cli::StoreCommand;

mod columns;
mod export;
mod import;
mod read;
mod rows;
mod snapshot;
mod verify;

/// `portolan store`.
pub async fn run(command: StoreCommand) -> anyhow::Result<()> {
    match command {
        StoreCommand::Snapshot(args) => snapshot::run(args).await,
        StoreCommand::Verify(args) => verify::run(&args),
        StoreCommand::Export(args) => export::run(&args),
        StoreCommand::Import(args) => import::run(&args),
    }
}

/// Opens a store that no process has open.
fn open(path: &Path) -> anyhow::Result<FjallStore> {
    FjallStore::open_stored(path, &Options::small()).map_err(|error| {
        let locked = matches!(error, Error::Locked { .. });
        let error = anyhow::Error::new(error);
        if locked {
            return error.context(
                "a store that is in use can only be copied: `portolan store snapshot DIR`, then use DIR",
            );
        }
        error
    })
}

/// Progress of something that is counted, on a terminal only.
fn bar(template: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
