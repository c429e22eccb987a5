//! `portolan query diff|changes|edge`: two ranges, what happened in one, one edge in time.

use std::time::Duration;

use anyhow::Context as _;
use portolan_proto::v1;

use super::{connect, covered, explain, filter_of, more, time_range, unix_us};
use crate::cli::{ChangesArgs, DiffArgs, EdgeArgs, Output};
use crate::output;
use crate::when::When;

/// `portolan query diff`.
pub(super) async fn diff(args: &DiffArgs) -> anyhow::Result<()> {
    let (before, after) = ranges(
        args.from.unix_us(),
        args.to.unwrap_or(When::Ago(Duration::ZERO)).unix_us(),
        args.against.map(When::unix_us),
    )?;
    let request = v1::DiffRequest {
        before: Some(before),
        after: Some(after),
        collapse: args.filter.collapse.into(),
        filter: Some(filter_of(&args.filter)),
        thresholds: Some(v1::DiffThresholds {
            ratio: args.ratio,
            latency_ratio: args.latency_ratio,
            errors: args.errors,
            false_discoveries: args.false_discoveries,
            ..v1::DiffThresholds::default()
        }),
        limit: args.limit,
    };
    let mut client = connect(&args.server).await?;
    let response = client.diff(request).await.map_err(explain)?.into_inner();
    if args.server.output == Output::Json {
        output::json(&response)?;
        return Ok(());
    }
    output::say(&output::differences(&response.edges))?;
    more(response.edges.len() as u64, response.total_edges, "differences")?;
    output::say(&output::compared(&response))?;
    if !response.catalogue.is_empty() {
        output::say("")?;
        output::say(&output::catalogue(&response.catalogue))?;
        let shown = response.catalogue.len() as u64;
        more(shown, response.total_catalogue, "differences in the catalogue")?;
    }
    output::say("before:")?;
    covered(response.before.as_ref())?;
    output::say("after:")?;
    covered(response.after.as_ref())
}

/// The range that is compared, and the one it is compared with: as long, from `against` on or right
/// before.
fn ranges(
    from: i64,
    to: i64,
    against: Option<i64>,
) -> anyhow::Result<(v1::TimeRange, v1::TimeRange)> {
    anyhow::ensure!(from < to, "--from is not before --to");
    let range = |from_unix_us, to_unix_us| v1::TimeRange { from_unix_us, to_unix_us };
    let start = against.unwrap_or(from - (to - from));
    anyhow::ensure!(start > 0, "--against is before 1970");
    Ok((range(start, start + (to - from)), range(from, to)))
}

/// `portolan query changes`.
pub(super) async fn changes(args: &ChangesArgs) -> anyhow::Result<()> {
    let range = v1::TimeRange { from_unix_us: args.since.unix_us(), to_unix_us: unix_us(args.to) };
    let request = v1::ChangesRequest {
        range: Some(range),
        collapse: args.filter.collapse.into(),
        filter: Some(filter_of(&args.filter)),
        quiet_secs: args.quiet.map_or(Ok(0), |quiet| secs("--quiet", quiet))?,
        limit: args.limit,
    };
    let mut client = connect(&args.server).await?;
    let response = client.changes(request).await.map_err(explain)?.into_inner();
    if args.server.output == Output::Json {
        output::json(&response)?;
        return Ok(());
    }
    output::say(&output::happenings(&response.changes))?;
    more(response.changes.len() as u64, response.total_changes, "changes")?;
    output::say(&output::counted(&response))?;
    if !response.made.is_empty() {
        output::say("")?;
        output::say(&output::made(&response.made))?;
        more(response.made.len() as u64, response.total_made, "changes that people made")?;
    }
    covered(response.coverage.as_ref())
}

/// `portolan query edge`.
pub(super) async fn edge(args: EdgeArgs) -> anyhow::Result<()> {
    let request = v1::GetEdgeRequest {
        client: args.client,
        server: args.callee,
        range: time_range(&args.range),
        step_secs: args.step.map_or(Ok(0), |step| secs("--step", step))?,
        collapse: args.collapse.into(),
        known_at_unix_us: unix_us(args.known_at),
    };
    let mut client = connect(&args.server).await?;
    let response = client.get_edge(request).await.map_err(explain)?.into_inner();
    if args.server.output == Output::Json {
        output::json(&response)?;
        return Ok(());
    }
    output::say(&output::points(&response.points))?;
    output::say(&output::sightings(&response))?;
    if !response.exemplars.is_empty() {
        output::say(&output::exemplars(&response.exemplars))?;
    }
    let network = response.edge.as_ref().and_then(|edge| edge.network.as_ref());
    if let Some(certainty) = network.and_then(|network| network.certainty.as_ref()) {
        output::say(&output::certainty(certainty))?;
    }
    covered(response.coverage.as_ref())
}

/// Whole seconds.
fn secs(option: &str, time: Duration) -> anyhow::Result<u32> {
    let whole = u32::try_from(time.as_secs()).ok().filter(|secs| *secs > 0);
    let whole = whole.filter(|_| time.subsec_nanos() == 0);
    whole.with_context(|| format!("{option}: give whole seconds, at least one"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_is_compared_with_the_one_before_or_with_another_as_long() {
        let range = |from_unix_us, to_unix_us| v1::TimeRange { from_unix_us, to_unix_us };
        assert_eq!(ranges(100, 160, None).unwrap(), (range(40, 100), range(100, 160)));
        assert_eq!(ranges(100, 160, Some(10)).unwrap(), (range(10, 70), range(100, 160)));
        assert!(ranges(100, 100, None).is_err());
        assert!(secs("--step", Duration::from_millis(1_500)).is_err());
        assert_eq!(secs("--step", Duration::from_secs(60)).unwrap(), 60);
    }
}
