//! `Changes`: what happened to edges in a range, and what people changed.

use portolan_graph::{Changes, Ends, FusedEdge, Happened, Happening, ViewBuilder, sightings};
use portolan_model::{Entity, Nanos, TimeRange};
use portolan_proto::{nanos_to_micros, v1};
use rustc_hash::FxHashSet;

use super::Inner;
use super::diff::ever;
use crate::convert::{self, direction, words};
use crate::described::{Described, named};
use crate::reader::{Cut, Past, Steps, TopologyReader};
use crate::shown::{hop_class, meeting};
use crate::{Error, parse};

mod made;

const DEFAULT_LIMIT: u32 = 1000;
const MAX_LIMIT: u32 = 10_000;
const NANOS: u64 = 1_000_000_000;
const HOUR: u64 = 3_600;

/// A range has at most about so many steps if the caller does not say how long a silence is.
const MOST_STEPS: u64 = 96;

pub(super) async fn changes(
    inner: &Inner,
    request: v1::ChangesRequest,
) -> Result<v1::ChangesResponse, Error> {
    let limit = parse::bounded("limit", request.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    let range = parse::range(request.range)?;
    let range = range.filter(|range| range.from > 0);
    let range = range.ok_or_else(|| Error::invalid("range", "say since when"))?;
    let collapse = parse::known_collapse(request.collapse)?;
    let filter = parse::ends_filter(request.filter)?;
    let asked_secs = request.quiet_secs;
    let answer = inner.graphs.scan(move |reader, most, cancel| {
        let facts = reader.facts()?.checkpoint;
        let until = range.to.min(facts.watermark.min(facts.clock));
        let quiet_secs = match asked_secs {
            0 => quiet(until.saturating_sub(range.from)),
            secs => secs,
        };
        let quiet = u64::from(quiet_secs) * NANOS;
        let mut changes = Changes::new(range, quiet);
        // The window in which the range begins is read as its first step.
        let past = TimeRange { from: 0, to: reader.window_len().window(range.from).start() };
        let (known, before) = ever(reader, past, collapse, most, cancel)?;
        known.edges.iter().for_each(|edge| changes.before(&edge.into()));
        let mut all: FxHashSet<Ends> = known.edges.iter().map(ends).collect();
        drop(known);
        let meeting = meeting(reader);
        let class = |id| hop_class(reader, id);
        let cut = Cut::Every(quiet_secs);
        let steps = Steps { cut, collapse, entities: Vec::new(), most };
        let mut whole = ViewBuilder::new(collapse);
        let mut called = portolan_graph::CallsBuilder::default();
        let past = Past { range, known_at: None };
        let steps_are = reader.steps(&past, &steps, cancel, &mut |step| {
            whole.absorb(&step.view);
            called.absorb(&step.calls);
            if whole.len() > most {
                return Err(Error::TooLarge { most });
            }
            let view = step.view.take(&class);
            let calls = std::mem::take(&mut step.calls).finish();
            sightings(&view.edges, calls, &meeting, &mut |seen| changes.step(seen));
            step.view.reuse(view);
            Ok(())
        });
        let snapshot = steps_are.map_err(as_quiet)?;
        let view = whole.finish(&class);
        sightings(&view.edges, called.finish(), &meeting, &mut |seen| {
            all.insert(seen.ends);
        });
        let mut found = changes.finish(until, &all);
        let described = Described::of(reader, Some(&past), &snapshot)?;
        let said = |entity: &Entity| described.said(entity);
        let named = |id| named(reader, id);
        found.retain(|at| filter.keeps_ends(&named(at.ends.0), &named(at.ends.1), &said));
        let limit = limit as usize;
        let (made, total_made) = made::made(reader, range, &filter, &described, limit, cancel)?;
        let count = |of: fn(&Happened) -> bool| {
            found.iter().filter(|happening| of(&happening.what)).count() as u64
        };
        Ok(v1::ChangesResponse {
            total_changes: found.len() as u64,
            first_seen: count(|what| *what == Happened::FirstSeen),
            returned: count(|what| matches!(what, Happened::Returned(_))),
            gone: count(|what| *what == Happened::Gone),
            quiet_secs,
            changes: found.iter().take(limit).map(|at| message(reader, &described, at)).collect(),
            coverage: Some(convert::coverage(&snapshot, reader.window_len())),
            before: Some(convert::coverage(&before, reader.window_len())),
            made,
            total_made,
        })
    });
    answer.await
}

/// How long a silence is, if nobody says: an hour, or so much that a range has not too many steps.
fn quiet(nanos: Nanos) -> u32 {
    let hours = (nanos / NANOS).div_ceil(MOST_STEPS * HOUR).max(1);
    u32::try_from(hours * HOUR).unwrap_or(u32::MAX - u32::MAX % 3_600)
}

/// The length of a step is that of a silence here.
fn as_quiet(error: Error) -> Error {
    match error {
        Error::Invalid { field: "step_secs", problem } => {
            Error::Invalid { field: "quiet_secs", problem }
        }
        error => error,
    }
}

fn ends(edge: &FusedEdge) -> Ends {
    (edge.client, edge.server, edge.direction)
}

fn message(
    reader: &dyn TopologyReader,
    described: &Described,
    at: &Happening,
) -> v1::TopologyChange {
    let (kind, silent) = match at.what {
        Happened::FirstSeen => ("first_seen", 0),
        Happened::Returned(silent) => ("returned", silent),
        Happened::Gone => ("gone", 0),
    };
    v1::TopologyChange {
        at_unix_us: nanos_to_micros(at.at),
        kind: kind.to_owned(),
        client: Some(described.by_id(reader, at.ends.0)),
        server: Some(described.by_id(reader, at.ends.1)),
        direction: direction(at.ends.2),
        evidence: words(&at.evidence.words()),
        silent_us: nanos_to_micros(silent),
    }
}
