//! `GetEdge`: one edge, step by step.

use std::collections::BTreeMap;

use portolan_graph::{CallsBuilder, Fused, FusedEdge, Graph, Meeting, Names, View, ViewBuilder};
use portolan_model::{Direction, EntityId, ExemplarOf, ExemplarRank, TimeRange, TraceCall};
use portolan_proto::{certainty_to_v1, counters_to_v1, nanos_to_micros, v1};

use super::Inner;
use crate::convert::{self, Messages, calls, fused_edge};
use crate::described::Described;
use crate::reader::{Cut, Past, Steps, TopologyReader};
use crate::shown::{hop_class, meeting};
use crate::{Error, parse};

/// Steps of a series if the caller does not say how long one is: a point for each minute of an hour.
const STEPS: u32 = 60;
/// The range if the caller names none.
const HOUR: u64 = 3_600_000_000_000;

pub(super) async fn get_edge(
    inner: &Inner,
    request: v1::GetEdgeRequest,
) -> Result<v1::GetEdgeResponse, Error> {
    for (field, text) in [("client", &request.client), ("server", &request.server)] {
        parse::text(field, text)?;
        if text.is_empty() {
            return Err(Error::invalid(field, "name an entity"));
        }
    }
    let collapse = parse::known_collapse(request.collapse)?;
    let past = parse::time(request.range, 0, request.known_at_unix_us, HOUR)?;
    let cut = match request.step_secs {
        0 => Cut::Into(STEPS),
        secs => Cut::Every(secs),
    };
    let now = inner.graphs.get(None, collapse).await?;
    let answer = inner.graphs.scan(move |reader, most, cancel| {
        let facts = reader.facts()?.checkpoint;
        let until = facts.watermark.min(facts.clock);
        let last_hour = TimeRange { from: until.saturating_sub(HOUR), to: until.saturating_add(1) };
        let past = past.unwrap_or(Past { range: last_hour, known_at: None });
        let edge = Wanted::named(reader, &request, &now.graph)?;
        let class = |id| hop_class(reader, id);
        let steps = Steps { cut, collapse, entities: edge.members.clone(), most };
        let mut points = Vec::new();
        let mut rows = ViewBuilder::new(collapse);
        let mut called = CallsBuilder::default();
        let snapshot = reader.steps(&past, &steps, cancel, &mut |step| {
            rows.absorb(&step.view);
            called.absorb(&step.calls);
            let (view, calls) = (step.view.take(&class), std::mem::take(&mut step.calls));
            let (found, _) = edge.of(view, calls);
            points.push(point(step.covered, found.as_ref()));
            Ok(())
        })?;
        let (whole, view) = edge.of(rows.finish(&class), called);
        // First and last seen are of all that is held, whatever the range.
        let steps = Steps { cut: Cut::Whole, ..steps };
        let mut times = None;
        let mut held = None;
        let ever = Past { range: TimeRange::ALL, known_at: past.known_at };
        reader.steps(&ever, &steps, cancel, &mut |step| {
            held = Some(step.covered);
            let (view, calls) = (step.view.take(&class), std::mem::take(&mut step.calls));
            let (found, _) = edge.of(view, calls);
            times = found.map(|edge| (edge.first_ns().min(edge.last_ns()), edge.last_ns()));
            Ok(())
        })?;
        let described = Described::of(reader, Some(&past), &snapshot)?;
        let entity = |id| described.by_id(reader, id);
        let places =
            whole.iter().flat_map(|edge| edge.network.iter()).flat_map(|n| n.edges.clone());
        let kept: Vec<_> = places.map(|at| view.edges[at].clone()).collect();
        let kept = View { edges: kept, doubts: view.doubts, ..View::default() };
        let graph = Graph::new(kept, &|id| reader.entity(id));
        let mut messages = Messages::of(&graph, &described);
        let mut ports: Vec<u32> =
            graph.edges().iter().map(|edge| u32::from(edge.link.port)).collect();
        ports.sort_unstable();
        ports.dedup();
        Ok(v1::GetEdgeResponse {
            edge: whole.map(|edge| fused_edge(&edge, 0.0, ports, &described, &entity)),
            flows: (0..graph.edges().len()).map(|at| messages.edge(at)).collect(),
            points,
            first_seen_unix_us: times.map_or(0, |(first, _)| nanos_to_micros(first)),
            last_seen_unix_us: times.map_or(0, |(_, last)| nanos_to_micros(last)),
            held: held.map(convert::range),
            coverage: Some(convert::coverage(&snapshot, reader.window_len())),
            client: Some(entity(edge.client)),
            server: Some(entity(edge.server)),
            exemplars: exemplars(reader, &edge)?,
        })
    });
    answer.await
}

/// The edge that is asked for.
struct Wanted {
    client: EntityId,
    server: EntityId,
    /// The client, by all its names: rows that touch none of them say nothing of the edge.
    members: Vec<EntityId>,
    meeting: Meeting,
}

// === impl Wanted ===

impl Wanted {
    fn named(
        reader: &dyn TopologyReader,
        request: &v1::GetEdgeRequest,
        now: &Graph,
    ) -> Result<Self, Error> {
        let lookup = |id| reader.entity(id);
        let names = Names { lookup: &lookup, visit: &|visit| reader.entities(visit) };
        let meeting = meeting(reader);
        let named = |field, text: &String| {
            let found = names.resolve(std::slice::from_ref(text), now);
            let id = found.map_err(|error| Error::Name { field, error })?[0];
            Ok::<_, Error>(meeting.shown(id))
        };
        let (client, server) =
            (named("client", &request.client)?, named("server", &request.server)?);
        let mut members = vec![client];
        reader.entities(&mut |id, _| {
            if id != client && meeting.shown(id) == client {
                members.push(id);
            }
        });
        Ok(Self { client, server, members, meeting })
    }

    /// The edge in some rows, and their view.
    fn of(&self, view: View, called: CallsBuilder) -> (Option<FusedEdge>, View) {
        let fused = Fused::new(&view.edges, called.finish(), &self.meeting);
        let (client, server) = (self.client, self.server);
        let is = |edge: &FusedEdge| {
            (edge.client, edge.server) == (client, server)
                || edge.direction == Direction::Unknown
                    && (edge.client, edge.server) == (server, client)
        };
        // The one whose direction is known, if there are both.
        let found = fused.edges.into_iter().filter(is).min_by_key(|edge| edge.direction);
        (found, view)
    }
}

/// The traces that stand for an edge.
fn exemplars(reader: &dyn TopologyReader, edge: &Wanted) -> Result<Vec<v1::Exemplar>, Error> {
    let mut best: BTreeMap<ExemplarOf, (ExemplarRank, TraceCall)> = BTreeMap::new();
    reader.traces(&mut |row| {
        for call in &row.calls {
            let ends = (edge.meeting.shown(call.client), edge.meeting.shown(call.server));
            if ends != (edge.client, edge.server) {
                continue;
            }
            for of in ExemplarOf::ALL {
                let Some(rank) = call.rank(row.trace, of) else { continue };
                let kept = best.entry(of).or_insert((rank, *call));
                if rank > kept.0 {
                    *kept = (rank, *call);
                }
            }
        }
    })?;
    let message =
        |(of, ((.., trace), call)): (ExemplarOf, (ExemplarRank, TraceCall))| v1::Exemplar {
            trace_id: format!("{trace:032x}"),
            of: of.as_str().to_owned(),
            start_unix_us: nanos_to_micros(call.start),
            took_us: call.took() as f64 / 1e3,
            error: call.client_error || call.server_error,
        };
    Ok(best.into_iter().map(message).collect())
}

fn point(range: TimeRange, edge: Option<&FusedEdge>) -> v1::EdgePoint {
    let network = edge.and_then(|edge| edge.network.as_ref());
    v1::EdgePoint {
        range: Some(convert::range(range)),
        network: network.map(|part| counters_to_v1(&part.counters)),
        calls: edge.iter().flat_map(|edge| edge.calls.iter().map(calls)).collect(),
        certainty: network.and_then(|part| certainty_to_v1(&part.counters)),
    }
}
