//! `portolan discover`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

/// Shown after the help of `discover`.
pub const HELP: &str = "\
Examples:
  portolan discover kubernetes --brokers localhost:9092
  portolan discover kubernetes --context eu --context us --print";

const KUBERNETES_HELP: &str = "\
Examples:
  portolan discover kubernetes --brokers localhost:9092
  portolan discover kubernetes --context eu --context us=cluster/us/pod --brokers kafka:9092
  portolan discover kubernetes --kubeconfig admin.conf --name lab --print

Watches pods, services, endpoint slices and nodes, and needs the right to list and watch these.
Without a context it takes the current one, or, inside a cluster, the service account of its pod.
Exit codes: 0 stopped by a signal, 1 failed: start it again, it goes on from what the topic holds.";

/// `discover`.
#[derive(Debug, Subcommand)]
pub enum DiscoverCommand {
    /// Watch clusters: who has which address, since when, and what services lead to.
    #[command(after_help = KUBERNETES_HELP)]
    Kubernetes(KubernetesArgs),
}

/// `discover kubernetes`.
#[derive(Debug, Args)]
pub struct KubernetesArgs {
    /// A context of the kubeconfig, with the scope of its addresses (`cluster/CONTEXT/pod` if not
    /// said); repeats.
    #[arg(long = "context", value_name = "CONTEXT[=SCOPE]")]
    pub contexts: Vec<String>,
    /// Environment of the entities, where no context is named; its scope is `cluster/NAME/pod`.
    #[arg(long, default_value = "kubernetes", value_name = "NAME", conflicts_with = "contexts")]
    pub name: String,
    /// Another kubeconfig than that of `KUBECONFIG` or of the home directory.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Kafka (`host:port`, several with commas).
    #[arg(
        long,
        default_value = "127.0.0.1:9092",
        env = "PORTOLAN_BROKERS",
        value_name = "HOST:PORT"
    )]
    pub brokers: String,
    /// Topic to publish to: protobuf, `portolan-pb`.
    #[arg(long, default_value = "portolan.ownership")]
    pub topic: String,
    /// Property of the Kafka clients (`key=value`, repeats), passed on to librdkafka.
    #[arg(long = "property", value_name = "KEY=VALUE")]
    pub properties: Vec<String>,
    /// Versions that ended this long ago are taken out of a compacted topic: no shorter than what
    /// reads it keeps.
    #[arg(long, default_value = "30days", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub keep: Duration,
    /// Print records as JSON, one a line, instead of publishing them.
    #[arg(long)]
    pub print: bool,
}
