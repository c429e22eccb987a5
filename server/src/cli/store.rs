//! `portolan store`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Output, RangeArgs};

/// `store`.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Copy a store, of a running server or at rest, into a directory of its own.
    #[command(after_help = SNAPSHOT_HELP)]
    Snapshot(SnapshotArgs),
    /// Read all of a store at rest, and check that it is what it should be.
    #[command(after_help = VERIFY_HELP)]
    Verify(VerifyArgs),
    /// Write rows of a store at rest to a Parquet file.
    #[command(after_help = EXPORT_HELP)]
    Export(ExportArgs),
    /// Make a store of what was exported.
    #[command(after_help = IMPORT_HELP)]
    Import(ImportArgs),
}

pub(super) const STORE_HELP: &str = "\
Examples:
  portolan store snapshot /backup/monday
  portolan store verify /backup/monday
  portolan store export --store /backup/monday --from -1d -o day.parquet
  portolan store import day.parquet --store day-store

A store that a process has open is locked: take a snapshot, and verify or export that.";

const SNAPSHOT_HELP: &str = "\
Examples:
  portolan store snapshot /backup/monday
  portolan store snapshot /backup/monday --server http://127.0.0.1:7474
  portolan store snapshot /backup/monday --store portolan-store

The first two ask the running server, on the machine it runs on; the last one reads a store that no
process has open. The directory must be empty or not there yet. A server with `store.path` set to it
goes on from the offsets in it. Local topics are put beside it, as DIR.local.

On the same file system the snapshot shares its tables with the store and takes hardly any room: to be
safe from a disk that fails, write it to another one.";

const VERIFY_HELP: &str = "\
Examples:
  portolan store verify portolan-store
  portolan store verify /backup/monday --output json

Checks: every table, row and part reads and has its checksum; packed windows come to what their heads
say; names are in the catalogue; where two levels hold the same time they hold the same sums; offsets
are there. Nothing is mended.

Exit codes: 0 all is well, 1 something is broken, 3 the store cannot be opened.";

const EXPORT_HELP: &str = "\
Examples:
  portolan store export -o all.parquet
  portolan store export --store /backup/monday --from 2026-11-23T00:00:00Z --to -1h -o some.parquet
  portolan store export --level 1h --layer trace --layer ipc -o hours.parquet

One row for each edge, path or row of calls, window and layer. docs/FORMAT.md has the columns.";

const IMPORT_HELP: &str = "\
Examples:
  portolan store import all.parquet --store copy
  portolan store import monday.parquet tuesday.parquet --store both
  portolan store import hours.parquet --store hours

The directory must be empty or not there yet. Windows of an hour make a store whose base windows are
an hour (`store.window_secs = 3600`). It has no offsets: a server over it that has Kafka configured
reads there from the oldest record, and counts again what the file holds already.";

/// Which store at rest.
#[derive(Clone, Debug, Args)]
pub struct AtRestArgs {
    /// Directory of the store; no process may have it open.
    #[arg(
        long,
        value_name = "DIR",
        env = "PORTOLAN__STORE__PATH",
        default_value = "portolan-store"
    )]
    pub store: PathBuf,
}

/// `store snapshot`.
#[derive(Clone, Debug, Args)]
pub struct SnapshotArgs {
    /// Where to: a directory that is empty or not there yet.
    #[arg(value_name = "DIR")]
    pub to: PathBuf,
    /// Copy this store, which no process has open, and ask no server.
    #[arg(long, value_name = "DIR", conflicts_with = "server")]
    pub store: Option<PathBuf>,
    /// gRPC address of the server, on this machine.
    #[arg(
        long,
        default_value = "http://127.0.0.1:7474",
        env = "PORTOLAN_SERVER",
        value_name = "URL"
    )]
    pub server: String,
    /// How to print.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// `store verify`.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    /// Directory of the store; no process may have it open.
    #[arg(value_name = "DIR")]
    pub store: PathBuf,
    /// How to print.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// `store export`.
#[derive(Clone, Debug, Args)]
pub struct ExportArgs {
    /// Store.
    #[command(flatten)]
    pub at_rest: AtRestArgs,
    /// Time; all that the level holds if not said. Windows that overlap it are whole.
    #[command(flatten)]
    pub range: RangeArgs,
    /// Length of the windows (`10s`, `1m`, `1h`): one of the store's levels; the finest if not said.
    #[arg(long, value_name = "LENGTH", value_parser = humantime::parse_duration)]
    pub level: Option<std::time::Duration>,
    /// Only this layer: network, ipc or trace (repeats).
    #[arg(long, value_name = "LAYER", value_parser = ["network", "ipc", "trace"])]
    pub layer: Vec<String>,
    /// File to write.
    #[arg(long, short = 'o', value_name = "FILE")]
    pub out: PathBuf,
    /// Write over a file that is there.
    #[arg(long)]
    pub force: bool,
}

/// `store import`.
#[derive(Clone, Debug, Args)]
pub struct ImportArgs {
    /// Files that `store export` wrote, of the same level and of different times.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Directory of the new store.
    #[arg(long, value_name = "DIR")]
    pub store: PathBuf,
}
