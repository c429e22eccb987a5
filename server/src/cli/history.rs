//! The command line of questions about time: which range or moment, and `query diff|changes|edge`.

use std::time::Duration;

use clap::Args;

use super::{CollapseArg, FilterArgs, ServerArgs};
use crate::when::When;

pub(super) const GRAPH_HELP: &str = "\
Examples:
  portolan query graph
  portolan query graph --from 2026-11-23T03:00:00Z --to 2026-11-23T03:10:00Z --namespace shop
  portolan query graph --from -15m --port 5432 --hide-unresolved --output json
  portolan query graph --at 2026-11-23T03:00:00Z
  portolan query graph --at 2026-11-23T03:00:00Z --known-at 2026-11-23T03:05:00Z

Times are RFC 3339, seconds since 1970, `now`, or relative (-15m).";

pub(super) const TRAVERSE_HELP: &str = "\
Examples:
  portolan query traverse shop/checkout
  portolan query traverse pg --direction upstream --depth 2
  portolan query traverse shop/web shop/api --direction both --output json
  portolan query traverse shop/web --at -1d";

pub(super) const DIFF_HELP: &str = "\
Examples:
  portolan query diff --from -30m
  portolan query diff --from -1h --against -25h --namespace shop
  portolan query diff --from 2026-11-23T03:00:00Z --to 2026-11-23T04:00:00Z \\
      --against 2026-11-22T03:00:00Z --ratio 2 --output json

Rates are compared as counts that scatter as they do inside both ranges, latencies by Welch's test;
of all that is shown, at most 5 % may be chance (--false-discoveries).";

pub(super) const CHANGES_HELP: &str = "\
Examples:
  portolan query changes --since -1d
  portolan query changes --since -2h --quiet 10m --namespace shop
  portolan query changes --since 2026-11-23T03:00:00Z --to 2026-11-23T06:00:00Z --output json";

pub(super) const EDGE_HELP: &str = "\
Examples:
  portolan query edge shop/web shop/cart
  portolan query edge shop/web shop/cart --step 1m --from -1h
  portolan query edge shop/web shop/cart --from -30d --step 1d --output json";

/// Which time a query is about.
#[derive(Clone, Debug, Default, Args)]
pub struct RangeArgs {
    /// From this time on (inclusive).
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub from: Option<When>,
    /// Until this time (exclusive).
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub to: Option<When>,
}

/// Which moment a query is about, and whose knowledge is wanted.
#[derive(Clone, Debug, Default, Args)]
pub struct MomentArgs {
    /// What now was at this time: the last minutes before it.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, conflicts_with_all = ["from", "to"])]
    pub at: Option<When>,
    /// What the map said at this time, and not what it says now.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub known_at: Option<When>,
}

/// `query diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// Compare from this time on.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub from: When,
    /// Until this time; now if not said.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub to: Option<When>,
    /// With as long a time from here on; the time right before if not said.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub against: Option<When>,
    /// Rates change if the greater is at least so many times the less.
    #[arg(long, default_value_t = 0.0, hide_default_value = true, value_name = "TIMES")]
    pub ratio: f64,
    /// Latencies change if the greater is at least so many times the less.
    #[arg(long, default_value_t = 0.0, hide_default_value = true, value_name = "TIMES")]
    pub latency_ratio: f64,
    /// Parts that fail (0 to 1) change if they are at least so far apart.
    #[arg(long, default_value_t = 0.0, hide_default_value = true, value_name = "PART")]
    pub errors: f64,
    /// Of what is shown, at most this part may be chance (0 to 1).
    #[arg(long, default_value_t = 0.0, hide_default_value = true, value_name = "PART")]
    pub false_discoveries: f64,
    /// Filter.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// At most this many edges.
    #[arg(long, default_value_t = 1_000)]
    pub limit: u32,
    /// Server.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `query changes`.
#[derive(Debug, Args)]
pub struct ChangesArgs {
    /// From this time on.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: When,
    /// Until this time; now if not said.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub to: Option<When>,
    /// An edge that is silent for so long is gone; an hour, or more for a range of over four days.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub quiet: Option<Duration>,
    /// Filter.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// At most this many changes.
    #[arg(long, default_value_t = 1_000)]
    pub limit: u32,
    /// Server.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `query edge`.
#[derive(Debug, Args)]
pub struct EdgeArgs {
    /// The side that calls: `namespace/name`, a name, or an id.
    pub client: String,
    /// The side that is called.
    #[arg(value_name = "CALLED")]
    pub callee: String,
    /// Length of a step, a multiple of the window; about sixty steps if not said.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub step: Option<Duration>,
    /// Time; the last hour if not said.
    #[command(flatten)]
    pub range: RangeArgs,
    /// What the map said at this time, and not what it says now.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub known_at: Option<When>,
    /// How far hops are folded away.
    #[arg(long, value_enum, default_value_t)]
    pub collapse: CollapseArg,
    /// Server.
    #[command(flatten)]
    pub server: ServerArgs,
}
