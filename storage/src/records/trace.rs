//! Keys and values of traces that are kept.

use portolan_model::{CallProtocol, CallSource, EntityId, Nanos, TraceCall, TraceRow};

use super::TRACE;
use crate::codec::{put_varint, take_u8, take_varint};

/// Bits of a call's flags.
const CLIENT_ERROR: u8 = 1;
const SERVER_ERROR: u8 = 2;
const CLIENT_TOOK: u8 = 4;
const SERVER_TOOK: u8 = 8;

pub(crate) fn trace_key(trace: u128) -> Vec<u8> {
    let mut out = vec![TRACE];
    out.extend_from_slice(&trace.to_be_bytes());
    out
}

pub(crate) fn put_trace(out: &mut Vec<u8>, row: &TraceRow) {
    put_varint(out, row.calls.len() as u64);
    for call in &row.calls {
        let bit = |on: bool, bit: u8| if on { bit } else { 0 };
        let flags = bit(call.client_error, CLIENT_ERROR)
            | bit(call.server_error, SERVER_ERROR)
            | bit(call.took[0].is_some(), CLIENT_TOOK)
            | bit(call.took[1].is_some(), SERVER_TOOK);
        out.extend([flags, call.source as u8, call.protocol as u8]);
        for id in [call.client, call.server, call.operation] {
            out.extend_from_slice(&id.0.to_be_bytes());
        }
        put_varint(out, call.start);
        put_varint(out, call.end);
        call.took.into_iter().flatten().for_each(|took| put_varint(out, took));
    }
}

pub(crate) fn read_trace(key: &[u8], mut bytes: &[u8]) -> Option<TraceRow> {
    let trace = u128::from_be_bytes(key.strip_prefix(&[TRACE])?.try_into().ok()?);
    let at = &mut bytes;
    let mut calls = Vec::new();
    for _ in 0..take_varint(at)? {
        calls.push(take_call(at)?);
    }
    at.is_empty().then_some(TraceRow { trace, calls })
}

fn take_call(at: &mut &[u8]) -> Option<TraceCall> {
    let flags = take_u8(at)?;
    let source = CallSource::from_code(take_u8(at)?)?;
    let protocol = CallProtocol::from_code(take_u8(at)?)?;
    let (client, server, operation) = (take_id(at)?, take_id(at)?, take_id(at)?);
    let (start, end) = (take_varint(at)?, take_varint(at)?);
    let took = |at: &mut &[u8], bit: u8| -> Option<Option<Nanos>> {
        if flags & bit == 0 { Some(None) } else { take_varint(at).map(Some) }
    };
    let took = [took(at, CLIENT_TOOK)?, took(at, SERVER_TOOK)?];
    let (client_error, server_error) = (flags & CLIENT_ERROR != 0, flags & SERVER_ERROR != 0);
    Some(TraceCall {
        start,
        end,
        client,
        server,
        source,
        protocol,
        operation,
        client_error,
        server_error,
        took,
    })
}

fn take_id(at: &mut &[u8]) -> Option<EntityId> {
    let (id, rest) = at.split_first_chunk()?;
    *at = rest;
    Some(EntityId(u64::from_be_bytes(*id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_comes_back_as_it_went_and_no_shorter_one_is_one() {
        let call = TraceCall {
            start: 5,
            end: 9_000_000_000,
            client: EntityId(1),
            server: EntityId(u64::MAX),
            source: CallSource::TracePair,
            protocol: CallProtocol::Grpc,
            operation: EntityId::NONE,
            client_error: true,
            server_error: false,
            took: [None, Some(7)],
        };
        let other = TraceCall { took: [Some(0), None], server_error: true, ..call };
        let row = TraceRow { trace: u128::MAX - 1, calls: vec![call, other] };
        let mut bytes = Vec::new();
        put_trace(&mut bytes, &row);
        assert_eq!(read_trace(&trace_key(row.trace), &bytes), Some(row.clone()));
        for end in 0..bytes.len() {
            assert_eq!(read_trace(&trace_key(row.trace), &bytes[..end]), None, "{end}");
        }
    }
}
