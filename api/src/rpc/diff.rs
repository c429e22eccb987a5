//! `Diff`: what is different between two ranges, beyond chance.

use portolan_graph::{
    Change, DiffEdge, Ends, Fused, Side, Thresholds, What, Which, diff as compare,
};
use portolan_model::{CallSource, Collapse, Entity, EntityId, Nanos, TimeRange};
use portolan_proto::v1;
use rustc_hash::FxHashSet;

use super::Inner;
use crate::convert::{self, direction, fused_edge};
use crate::described::{Described, named};
use crate::reader::{Cut, Past, Snapshot, Steps, TopologyReader};
use crate::scan::both;
use crate::shown::{hop_class, meeting};
use crate::{Cancel, Error, parse};

mod catalogue;

const DEFAULT_LIMIT: u32 = 1000;
const MAX_LIMIT: u32 = 10_000;

/// Steps of a range. A day is compared by its hours: enough to tell how much they scatter.
const STEPS: u32 = 24;

pub(super) async fn diff(
    inner: &Inner,
    request: v1::DiffRequest,
) -> Result<v1::DiffResponse, Error> {
    let limit = parse::bounded("limit", request.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    let before = parse::closed_range("before", request.before)?;
    let after = parse::closed_range("after", request.after)?;
    if before.from < after.to && after.from < before.to {
        let problem = "overlaps the range before: what both have is no difference";
        return Err(Error::invalid("after", problem));
    }
    let collapse = parse::known_collapse(request.collapse)?;
    let filter = parse::ends_filter(request.filter)?;
    let thresholds = thresholds(request.thresholds)?;
    let answer = inner.graphs.scan(move |reader, most, cancel| {
        let meeting = meeting(reader);
        let class = |id| hop_class(reader, id);
        let side = |range| {
            let mut side = Side::new(collapse);
            let steps = Steps { cut: Cut::Into(STEPS), collapse, entities: Vec::new(), most };
            let past = Past { range, known_at: None };
            let snapshot = reader.steps(&past, &steps, cancel, &mut |step| {
                let nanos = step.covered.to - step.covered.from;
                side.step(nanos, &mut step.view, std::mem::take(&mut step.calls), &meeting, &class);
                if side.len() > most { Err(Error::TooLarge { most }) } else { Ok(()) }
            })?;
            let mut seen: Vec<_> = side.ends().flat_map(|of| [of.0, of.1]).collect();
            seen.sort_unstable();
            seen.dedup();
            Ok::<_, Error>((side.ready(&meeting, &class), seen, snapshot))
        };
        // Whoever waits for a comparison waits for two ranges to be read: neither needs the other.
        let (one, other) = both(|| side(before), || side(after));
        let ((one, mut seen, before_is), (other, more, after_is)) = (one?, other?);
        let described = |range, snapshot: &Snapshot| {
            Described::of(reader, Some(&Past { range, known_at: None }), snapshot)
        };
        let (first, then) = (described(before, &before_is)?, described(after, &after_is)?);
        seen.extend(more);
        seen.sort_unstable();
        seen.dedup();
        let message = |edge: &DiffEdge| message(reader, (&first, &then), edge);
        let mut failed = None;
        let mut older = |added: &[Ends]| {
            let known = seen_before(reader, added, after.from, collapse, most, cancel);
            known.unwrap_or_else(|error| {
                failed = Some(error);
                Vec::new()
            })
        };
        let mut found = compare(one, other, &thresholds, &mut older);
        if let Some(error) = failed {
            return Err(error);
        }
        let named = |id| named(reader, id);
        let said = |entity: &Entity| then.said(entity);
        let keeps = |of: &Ends| filter.keeps_ends(&named(of.0), &named(of.1), &said);
        found.edges.retain(|edge| keeps(&edge.ends));
        let limit = limit as usize;
        let (catalogue, total_catalogue) =
            catalogue::compare(reader, &seen, &filter, (&first, &then), limit);
        let count = |of: fn(&Which) -> bool| {
            found.edges.iter().filter(|edge| of(&edge.which)).count() as u64
        };
        Ok(v1::DiffResponse {
            total_edges: found.edges.len() as u64,
            added: count(|which| matches!(which, Which::Added { .. })),
            added_new: count(|which| matches!(which, Which::Added { new: true })),
            removed: count(|which| *which == Which::Removed),
            changed: count(|which| *which == Which::Changed),
            compared: found.compared,
            tests: found.tests,
            by_chance: found.by_chance,
            unjudged: found.unjudged,
            edges: found.edges.iter().take(limit).map(message).collect(),
            before: Some(convert::coverage(&before_is, reader.window_len())),
            after: Some(convert::coverage(&after_is, reader.window_len())),
            thresholds: Some(thresholds_to_v1(&thresholds)),
            catalogue,
            total_catalogue,
        })
    });
    answer.await
}

/// Which of these edges were seen before an instant.
fn seen_before(
    reader: &dyn TopologyReader,
    edges: &[Ends],
    until: Nanos,
    collapse: Collapse,
    most: usize,
    cancel: &Cancel,
) -> Result<Vec<bool>, Error> {
    if edges.is_empty() {
        return Ok(Vec::new());
    }
    let (known, _) = ever(reader, TimeRange { from: 0, to: until }, collapse, most, cancel)?;
    let known: FxHashSet<Ends> =
        known.edges.iter().map(|edge| (edge.client, edge.server, edge.direction)).collect();
    Ok(edges.iter().map(|ends| known.contains(ends)).collect())
}

/// Every edge of a range, as a whole.
pub(super) fn ever(
    reader: &dyn TopologyReader,
    range: TimeRange,
    collapse: Collapse,
    most: usize,
    cancel: &Cancel,
) -> Result<(Fused, Snapshot), Error> {
    let steps = Steps { cut: Cut::Whole, collapse, entities: Vec::new(), most };
    let mut whole = None;
    let past = Past { range, known_at: None };
    let snapshot = reader.steps(&past, &steps, cancel, &mut |step| {
        let view = step.view.take(&|id| hop_class(reader, id));
        whole = Some((view, std::mem::take(&mut step.calls)));
        Ok(())
    })?;
    let (view, calls) = whole.unwrap_or_default();
    Ok((Fused::new(&view.edges, calls.finish(), &meeting(reader)), snapshot))
}

fn message(
    reader: &dyn TopologyReader,
    (first, then): (&Described, &Described),
    edge: &DiffEdge,
) -> v1::EdgeDiff {
    let entity = |id| then.by_id(reader, id);
    let whole = |edge: &portolan_graph::FusedEdge, described: &Described| {
        fused_edge(edge, 0.0, Vec::new(), described, &|id| described.by_id(reader, id))
    };
    v1::EdgeDiff {
        client: Some(entity(edge.ends.0)),
        server: Some(entity(edge.ends.1)),
        direction: direction(edge.ends.2),
        kind: match edge.which {
            Which::Added { new: true } => "new",
            Which::Added { new: false } => "added",
            Which::Removed => "removed",
            Which::Changed => "changed",
        }
        .to_owned(),
        changes: edge.changes.iter().map(|change| change_to_v1(&entity, change)).collect(),
        p: edge.p,
        before: edge.before.as_ref().map(|edge| whole(edge, first)),
        after: edge.after.as_ref().map(|edge| whole(edge, then)),
    }
}

fn change_to_v1(entity: &dyn Fn(EntityId) -> v1::Entity, change: &Change) -> v1::EdgeChange {
    let (what, source): (_, Option<CallSource>) = match change.what {
        What::Calls(source) => ("calls", Some(source)),
        What::Connections => ("connections", None),
        What::Bytes => ("bytes", None),
        What::Errors(source) => ("errors", Some(source)),
        What::Failed => ("failed", None),
        What::P50(source) => ("p50_us", Some(source)),
        What::P99(source) => ("p99_us", Some(source)),
        What::Path => ("path", None),
    };
    v1::EdgeChange {
        what: what.to_owned(),
        source: source.map_or("", CallSource::as_str).to_owned(),
        before: change.before,
        after: change.after,
        p: change.p,
        hops: change.hops.iter().map(|hop| entity(*hop)).collect(),
    }
}

fn thresholds(given: Option<v1::DiffThresholds>) -> Result<Thresholds, Error> {
    let default = Thresholds::default();
    let Some(given) = given else { return Ok(default) };
    let or = |field, value: f64, default: f64, (least, most): (f64, f64)| match value {
        0.0 => Ok(default),
        value if value >= least && value <= most => Ok(value),
        value => Err(Error::invalid(field, format!("{value} is not {least} to {most}"))),
    };
    let part = (0.0, 1.0);
    let times = (1.0, 1e9);
    Ok(Thresholds {
        ratio: or("thresholds.ratio", given.ratio, default.ratio, times)?,
        events: or("thresholds.events", given.events, default.events, (0.0, 1e15))?,
        errors: or("thresholds.errors", given.errors, default.errors, part)?,
        share: or("thresholds.share", given.share, default.share, part)?,
        latency: or("thresholds.latency_ratio", given.latency_ratio, default.latency, times)?,
        false_discoveries: or(
            "thresholds.false_discoveries",
            given.false_discoveries,
            default.false_discoveries,
            part,
        )?,
    })
}

fn thresholds_to_v1(of: &Thresholds) -> v1::DiffThresholds {
    v1::DiffThresholds {
        ratio: of.ratio,
        events: of.events,
        errors: of.errors,
        share: of.share,
        latency_ratio: of.latency,
        false_discoveries: of.false_discoveries,
    }
}
