//! The command line: what can be asked of the binary, with help that shows how.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub mod discover;
mod history;
mod load;
mod store;

use history::{CHANGES_HELP, DIFF_HELP, EDGE_HELP, GRAPH_HELP, TRAVERSE_HELP};
pub use history::{ChangesArgs, DiffArgs, EdgeArgs, MomentArgs, RangeArgs};
pub use load::{LoadCommand, ReplayArgs, ScoreArgs};
pub use store::{AtRestArgs, ExportArgs, ImportArgs, SnapshotArgs, StoreCommand, VerifyArgs};

/// A live map of which service calls which, for engineers on call.
#[derive(Debug, Parser)]
#[command(name = "portolan", version, about, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read Kafka, keep the map, answer over gRPC.
    #[command(after_help = SERVE_HELP)]
    Serve(ServeArgs),
    /// Show it all at work: an embedded broker, a simulated fleet, the line, the API.
    #[command(after_help = DEMO_HELP)]
    Demo(DemoArgs),
    /// Ask a running server.
    #[command(subcommand, after_help = QUERY_HELP)]
    Query(QueryCommand),
    /// Find out who owns which address, and publish it.
    #[command(subcommand, after_help = discover::HELP)]
    Discover(discover::DiscoverCommand),
    /// Put records onto Kafka.
    #[command(subcommand, after_help = LOAD_HELP)]
    Load(LoadCommand),
    /// Copy a store, check it, write its rows to files and read them back.
    #[command(subcommand, after_help = store::STORE_HELP)]
    Store(StoreCommand),
    /// Draw the map of captured files, without any server.
    #[command(after_help = MAP_HELP)]
    Map(MapArgs),
    /// Read a configuration as `serve` would, and show what it comes to.
    #[command(after_help = CHECK_HELP)]
    CheckConfig(CheckConfigArgs),
    /// Ask a running server whether it is ready; for container health checks.
    #[command(after_help = HEALTH_HELP)]
    Healthcheck(HealthcheckArgs),
}

const SERVE_HELP: &str = "\
Examples:
  portolan serve --config portolan.toml
  PORTOLAN__LISTEN__GRPC=0.0.0.0:7474 portolan serve --config portolan.toml

Exit codes: 0 stopped by a signal, 1 failed, 2 configuration refused, 3 store refused.";

const DEMO_HELP: &str = "\
Examples:
  portolan demo
  portolan demo --for 60s --seed 7 --json
  portolan demo --brokers localhost:9092 --for 5m

Exit code 0 only if no edge was invented and none was lost.";

const QUERY_HELP: &str = "\
Examples:
  portolan query graph
  portolan query graph --from -1h --namespace shop --output json
  portolan query traverse shop/checkout --direction both --depth 2
  portolan query coverage --only network
  portolan query diff --from -30m --against -1d
  portolan query changes --since -1d
  portolan query edge shop/web shop/cart --step 1m
  portolan query search redis
  portolan query status

Times are RFC 3339 (2026-11-23T03:00:00Z), seconds since 1970, `now`, or relative (-15m).";

const OVERLAY_HELP: &str = "\
Examples:
  portolan query overlay 4bf92f3577b34da6a3ce929d0e0e4736
  portolan query overlay 4bf92f3577b34da6a3ce929d0e0e4736 --output json

`query edge` names the traces that are kept: the slowest and the latest that failed of each edge.";

const SEARCH_HELP: &str = "\
Examples:
  portolan query search redis
  portolan query search --kind external --limit 10";

const STATUS_HELP: &str = "\
Examples:
  portolan query status
  portolan query status --server http://10.0.0.7:7474 --output json";

const LOAD_HELP: &str = "\
Examples:
  portolan load replay flows.ndjson --topic network-flows --brokers localhost:9092
  portolan load score --services 500 --seeds 10 --faults all --json";

const CHECK_HELP: &str = "\
Examples:
  portolan check-config portolan.toml
  PORTOLAN__LISTEN__GRPC=0.0.0.0:7474 portolan check-config portolan.toml

Exit codes: 0 good (printed with every default), 1 cannot be read, 2 refused, with the key at fault.";

const HEALTH_HELP: &str = "\
Examples:
  portolan healthcheck
  portolan healthcheck --http 127.0.0.1:7475";

const MAP_HELP: &str = "\
Examples:
  portolan map --flows flows.ndjson:netobserv-pb --ownership owners.ndjson
  portolan map --flows a.ndjson:netobserv-pb --flows b.ndjson:netobserv-json \\
      --ownership owners.ndjson:portolan-json --output json --collapse none
  portolan map --flows flows.log:aws-vpc --ownership databases.yaml:inventory-yaml
  portolan map --spans traces.pb:otlp-proto --output json
  portolan map --spans traces.pb:otlp-proto --metrics metrics.pb:otlp-metrics-proto

A file holds lines of {\"key\": base64?, \"value\": base64 | object}, plain JSON records, one a line,
the bare bytes of one message, or, for aws-vpc and ztunnel-text, the lines of the log (for aws-vpc
with or without its header). Encodings of flows: netobserv-pb, netobserv-json, goflow2-pb,
goflow2-json, hubble-json, aws-vpc, ztunnel-json, ztunnel-text, envoy-json, obi-otlp; of ownership:
portolan-pb, portolan-json, netobserv-k8scache; inventories of owners: inventory-yaml, inventory-csv;
of spans: otlp-proto, otlp-json, zipkin-json, zipkin-json-v1, zipkin-proto, zipkin-thrift,
jaeger-proto, jaeger-json.";

/// How to print.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For eyes.
    #[default]
    Table,
    /// The response as JSON, with the field names of the API.
    Json,
}

/// How far hops are folded away.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum CollapseArg {
    /// Raw hops, as observed.
    None,
    /// Service addresses and NAT.
    L4,
    /// These and the proxies of a mesh.
    Mesh,
    /// All that is proven.
    Proven,
    /// And hops declared to have one target.
    #[default]
    ProvenAndDeclared,
    /// The same, and the edges that may be: from who calls a hop to wherever anything came out of it. They count
    /// nothing and are marked (graph and traverse only).
    Possible,
}

/// Direction of a walk.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DirectionArg {
    /// What it calls.
    #[default]
    Downstream,
    /// Who calls it.
    Upstream,
    /// Both.
    Both,
}

/// `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Configuration file (TOML). `PORTOLAN__SECTION__KEY` variables override it.
    #[arg(long, short, value_name = "FILE", env = "PORTOLAN_CONFIG")]
    pub config: Option<PathBuf>,
}

/// `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Stop after this long (`90s`, `5m`); without it, run until interrupted.
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub run_for: Option<Duration>,
    /// Seed of the fleet: the same seed, the same fleet.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// End with one JSON document on standard output; progress goes to standard error.
    #[arg(long)]
    pub json: bool,
    /// A real Kafka (`host:port`, several with commas) instead of the embedded broker.
    #[arg(long, value_name = "HOST:PORT")]
    pub brokers: Option<String>,
    /// Flow records a second that the fleet publishes, about.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(10..=200_000))]
    pub rate: u32,
    /// Where gRPC listens.
    #[arg(long, default_value = "127.0.0.1:7474", value_name = "ADDR")]
    pub grpc: SocketAddr,
    /// Where metrics and health listen.
    #[arg(long, default_value = "127.0.0.1:7475", value_name = "ADDR")]
    pub http: SocketAddr,
    /// Keep the store here; without it, a temporary directory that is removed at the end.
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Only publish the fleet: another Portolan reads it. Needs --brokers.
    #[arg(long, requires = "brokers")]
    pub publish_only: bool,
}

/// Which edges to show.
#[derive(Clone, Debug, Default, Args)]
pub struct FilterArgs {
    /// Keep edges that touch this namespace (repeats).
    #[arg(long, value_name = "NAME")]
    pub namespace: Vec<String>,
    /// Keep edges that touch this kind of entity (repeats).
    #[arg(long, value_name = "KIND")]
    pub kind: Vec<String>,
    /// Keep edges of this protocol (repeats).
    #[arg(long, value_name = "PROTO")]
    pub protocol: Vec<String>,
    /// Keep edges to this server port (repeats).
    #[arg(long, value_name = "PORT")]
    pub port: Vec<u16>,
    /// Keep edges of this environment (repeats).
    #[arg(long, value_name = "NAME")]
    pub environment: Vec<String>,
    /// Keep edges that touch an entity of this owner, by the catalogue (repeats).
    #[arg(long, value_name = "NAME")]
    pub owner: Vec<String>,
    /// Keep edges that touch an entity of this tier (repeats).
    #[arg(long, value_name = "NAME")]
    pub tier: Vec<String>,
    /// Keep edges that touch an entity of this domain (repeats).
    #[arg(long, value_name = "NAME")]
    pub domain: Vec<String>,
    /// Keep edges with an end whose name contains this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub name: String,
    /// Keep edges that do so, or touch an entity that does: healthy, degraded, unhealthy, unknown (repeats).
    #[arg(long, value_name = "STATE")]
    pub health: Vec<String>,
    /// Keep edges with at least this many connections; edges of calls are kept.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub min_connections: u64,
    /// Keep edges with at least this many calls; edges of connections are kept.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub min_calls: u64,
    /// Drop edges between nodes (overlay and host traffic).
    #[arg(long)]
    pub hide_node_traffic: bool,
    /// Drop edges with an end that is unresolved or ambiguous.
    #[arg(long)]
    pub hide_unresolved: bool,
    /// Drop edges from an entity to itself.
    #[arg(long)]
    pub hide_self: bool,
    /// How far hops are folded away.
    #[arg(long, value_enum, default_value_t)]
    pub collapse: CollapseArg,
}

/// Which server, and how to print.
#[derive(Clone, Debug, Args)]
pub struct ServerArgs {
    /// gRPC address of the server.
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
    /// Give up after this long.
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

/// `query`.
#[derive(Debug, Subcommand)]
pub enum QueryCommand {
    /// The graph, now or over a range.
    #[command(after_help = GRAPH_HELP)]
    Graph {
        /// Time.
        #[command(flatten)]
        range: RangeArgs,
        /// Moment.
        #[command(flatten)]
        moment: MomentArgs,
        /// Filter.
        #[command(flatten)]
        filter: FilterArgs,
        /// Server.
        #[command(flatten)]
        server: ServerArgs,
        /// Stop after this many edges.
        #[arg(long, default_value_t = 100_000)]
        limit: usize,
    },
    /// What a service calls, or who calls it, over several hops.
    #[command(after_help = TRAVERSE_HELP)]
    Traverse {
        /// Where to start: `namespace/name`, a name, or an id (repeats).
        #[arg(required = true)]
        start: Vec<String>,
        /// Which way.
        #[arg(long, value_enum, default_value_t)]
        direction: DirectionArg,
        /// How many hops.
        #[arg(long, default_value_t = 3)]
        depth: u32,
        /// Time.
        #[command(flatten)]
        range: RangeArgs,
        /// Moment.
        #[command(flatten)]
        moment: MomentArgs,
        /// Filter.
        #[command(flatten)]
        filter: FilterArgs,
        /// Server.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// What flows, metrics and spans each say of an edge, and which edges only some of them see.
    #[command(after_help = COVERAGE_HELP)]
    Coverage {
        /// Keep edges with exactly these kinds of evidence: network, ipc, trace, derived (repeats, or
        /// with commas).
        #[arg(long, value_name = "KIND", value_delimiter = ',')]
        only: Vec<String>,
        /// Time.
        #[command(flatten)]
        range: RangeArgs,
        /// Moment.
        #[command(flatten)]
        moment: MomentArgs,
        /// How far hops are folded away.
        #[arg(long, value_enum, default_value_t)]
        collapse: CollapseArg,
        /// At most this many edges.
        #[arg(long, default_value_t = 1_000)]
        limit: u32,
        /// Server.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// What is different from an earlier time: edges that came, went or changed, beyond chance.
    #[command(after_help = DIFF_HELP)]
    Diff(DiffArgs),
    /// What happened: edges seen for the first time, seen again, and gone.
    #[command(after_help = CHANGES_HELP)]
    Changes(ChangesArgs),
    /// One edge in time: what each layer says of it, and when it was first and last seen.
    #[command(after_help = EDGE_HELP)]
    Edge(EdgeArgs),
    /// One trace laid on the graph of now; `query edge` names those that are kept.
    #[command(after_help = OVERLAY_HELP)]
    Overlay {
        /// Its id: 32 hexadecimal digits, or 16.
        trace: String,
        /// Server.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Entities by name.
    #[command(after_help = SEARCH_HELP)]
    Search {
        /// Text that the name contains; empty lists all.
        #[arg(default_value = "")]
        query: String,
        /// Only this kind (repeats).
        #[arg(long)]
        kind: Vec<String>,
        /// At most this many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// Server.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// How far the line is, what it lost, refused or could not resolve.
    #[command(after_help = STATUS_HELP)]
    Status {
        /// Server.
        #[command(flatten)]
        server: ServerArgs,
    },
}

const COVERAGE_HELP: &str = "\
Examples:
  portolan query coverage
  portolan query coverage --only network
  portolan query coverage --only ipc,trace --from -1h --output json
  portolan query coverage --at 2026-11-23T03:00:00Z

Counts of different layers are never added: each stands in its own column.";

/// `map`.
#[derive(Debug, Args)]
pub struct MapArgs {
    /// Flow records: `FILE:ENCODING` (repeats).
    #[arg(long, value_name = "FILE:ENCODING")]
    pub flows: Vec<String>,
    /// Spans: `FILE:ENCODING` (repeats).
    #[arg(long, value_name = "FILE:ENCODING")]
    pub spans: Vec<String>,
    /// Metrics: `FILE:ENCODING` (repeats).
    #[arg(long, value_name = "FILE:ENCODING")]
    pub metrics: Vec<String>,
    /// Ownership records: `FILE` or `FILE:ENCODING` (repeats; portolan-json if not said).
    #[arg(long, value_name = "FILE[:ENCODING]")]
    pub ownership: Vec<String>,
    /// A configuration (TOML) whose `[line]`, `[traces]` and `[metrics]` hold, metric families among
    /// them; what else it says is not used.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Scope of records that name none.
    #[arg(long, default_value = "default")]
    pub scope: String,
    /// Length of the windows in seconds; 10 if neither this nor the configuration says.
    #[arg(long)]
    pub window_secs: Option<u32>,
    /// Time.
    #[command(flatten)]
    pub range: RangeArgs,
    /// Filter.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// How to print.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// `check-config`.
#[derive(Debug, Args)]
pub struct CheckConfigArgs {
    /// Configuration file (TOML).
    #[arg(value_name = "FILE", env = "PORTOLAN_CONFIG")]
    pub config: Option<PathBuf>,
}

/// `healthcheck`.
#[derive(Debug, Args)]
pub struct HealthcheckArgs {
    /// Address of the HTTP port.
    #[arg(long, default_value = "127.0.0.1:7475", env = "PORTOLAN_HTTP")]
    pub http: String,
}

#[cfg(test)]
mod tests;
