//! `portolan load`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

/// `load`.
#[derive(Debug, Subcommand)]
pub enum LoadCommand {
    /// Publish the messages of a captured file.
    #[command(after_help = "\
Examples:
  portolan load replay flows.ndjson --topic network-flows --brokers localhost:9092
  portolan load replay owners.ndjson --topic portolan.ownership --brokers localhost:9092

A file holds lines of {\"key\": base64?, \"value\": base64 | object}; an object is sent as JSON.")]
    Replay(ReplayArgs),
    /// Judge the map: simulated fleets, whose truth is known, through the line in this process.
    #[command(after_help = SCORE_HELP)]
    Score(ScoreArgs),
}

const SCORE_HELP: &str = "\
Examples:
  portolan load score
  portolan load score --services 500 --seeds 10 --faults all --json
  portolan load score --faults churn,skew --lag 5m

Each class of faults is judged alone, and all that are named together. Exit code 0 only if no edge
was invented, no byte was put on an edge that it does not belong to, at most one true edge in a
thousand is missing, at most one byte in a hundred has an end that cannot be named, and every count
is exact, or within the error that loss and sampling explain.";

/// `load score`.
#[derive(Clone, Debug, Args)]
pub struct ScoreArgs {
    /// Services of each fleet.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub services: u32,
    /// Fleets of each class, with the seeds 1 to N.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,
    /// Classes of faults: `all`, `none`, or names with commas.
    #[arg(long, default_value = "all", value_name = "LIST")]
    pub faults: String,
    /// How long each fleet runs, in its own time.
    #[arg(long, default_value_t = 60, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// Flow records a second of each fleet, about; ten a service if not said.
    #[arg(long, value_name = "N")]
    pub rate: Option<u32>,
    /// Flows reach the line this much later than what ownership says of the same time.
    #[arg(long, default_value = "0s", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub lag: Duration,
    /// Print one JSON document.
    #[arg(long)]
    pub json: bool,
}

/// `load replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The captured file; `-` is standard input.
    pub file: PathBuf,
    /// Topic to publish to.
    #[arg(long)]
    pub topic: String,
    /// Kafka (`host:port`, several with commas).
    #[arg(
        long,
        default_value = "127.0.0.1:9092",
        env = "PORTOLAN_BROKERS",
        value_name = "HOST:PORT"
    )]
    pub brokers: String,
    /// Property of the producer (`key=value`, repeats), passed on to librdkafka.
    #[arg(long = "property", value_name = "KEY=VALUE")]
    pub properties: Vec<String>,
    /// Make the topic with this many partitions if it is not there.
    #[arg(long, value_name = "N")]
    pub create: Option<i32>,
    /// Messages a second; without it, as fast as the broker takes them.
    #[arg(long, value_name = "N")]
    pub rate: Option<u32>,
}
