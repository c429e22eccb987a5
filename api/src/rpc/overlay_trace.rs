//! `OverlayTrace`: one trace laid on the graph of now.

use portolan_model::{Collapse, EntityId, Nanos, TraceCall, TraceRow};
use portolan_proto::{nanos_to_micros, v1};
use rustc_hash::FxHashMap;

use super::Inner;
use crate::convert::{self, Messages};
use crate::described::Described;
use crate::reader::TopologyReader;
use crate::shown::meeting;
use crate::{Error, parse};

pub(super) async fn overlay_trace(
    inner: &Inner,
    request: v1::OverlayTraceRequest,
) -> Result<v1::OverlayTraceResponse, Error> {
    let wanted = parse::trace_id("trace_id", &request.trace_id)?;
    let shown = inner.graphs.get(None, Collapse::ProvenAndDeclared).await?;
    let reader = inner.reader.clone();
    let answer = inner.queries.run(move |_| {
        let mut found: Option<TraceRow> = None;
        reader.traces(&mut |row| {
            if row.trace == wanted {
                found = Some(row.clone());
            }
        })?;
        let Some(trace) = found else {
            return Err(Error::Absent(
                "trace_id: it is not kept: GetEdge names the traces that are, the slowest and the \
                 latest that failed of each edge",
            ));
        };
        let meeting = meeting(&*reader);
        let described = Described::of(&*reader, None, &shown.snapshot)?;
        let mut places: FxHashMap<(EntityId, EntityId), Vec<usize>> = FxHashMap::default();
        for (place, edge) in shown.graph.edges().iter().enumerate() {
            places.entry((edge.link.client, edge.link.server)).or_default().push(place);
        }
        let mut messages = Messages::of(&shown.graph, &described);
        let (mut edges, mut laid) = (Vec::new(), FxHashMap::default());
        let mut calls = Vec::with_capacity(trace.calls.len());
        for call in &trace.calls {
            let ends = (meeting.shown(call.client), meeting.shown(call.server));
            let over = laid.entry(ends).or_insert_with(|| {
                let first = edges.len() as u32;
                let found = places.get(&ends).into_iter().flatten();
                edges.extend(found.map(|place| messages.edge(*place)));
                (first..edges.len() as u32).collect::<Vec<u32>>()
            });
            calls.push(message(&*reader, &described, ends, call, over.clone()));
        }
        Ok(v1::OverlayTraceResponse {
            trace_id: format!("{wanted:032x}"),
            calls,
            edges,
            coverage: Some(convert::coverage(&shown.snapshot, reader.window_len())),
        })
    });
    answer.await
}

fn message(
    reader: &dyn TopologyReader,
    described: &Described,
    (client, server): (EntityId, EntityId),
    call: &TraceCall,
    edges: Vec<u32>,
) -> v1::TracedCall {
    let us = |took: Option<Nanos>| took.map_or(0.0, |took| took as f64 / 1e3);
    let operation = reader.entity(call.operation);
    v1::TracedCall {
        client: Some(described.by_id(reader, client)),
        server: Some(described.by_id(reader, server)),
        source: call.source.as_str().to_owned(),
        protocol: call.protocol.as_str().to_owned(),
        operation: operation.map_or_else(String::new, |operation| operation.name.to_string()),
        start_unix_us: nanos_to_micros(call.start),
        client_took_us: us(call.took[0]),
        server_took_us: us(call.took[1]),
        client_error: call.client_error,
        server_error: call.server_error,
        edges,
    }
}
