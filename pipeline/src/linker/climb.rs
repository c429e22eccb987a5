//! Who stands above a span in its trace (trace semantics, C.3 and C.4).
//!
//! A climb passes spans without a role, of one service, a bounded number of steps. It never passes a
//! span that is not there: what lies behind a gap is not known.

use super::span::{Marks, Role, Span};

/// Most steps of a climb (trace semantics, C.4.1).
const MAX_STEPS: usize = 16;

/// Who called a server.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Up {
    /// The caller's half, by place.
    Caller(usize),
    /// A span of another service that is no caller's half, by place.
    Other(usize),
    /// Nobody: it begins the trace.
    Root,
    /// It has a parent that is not there, or one too far away.
    Missing,
    /// Only spans of its own service, from where it began or was called itself.
    Same,
}

/// Who called the server at a place.
pub(super) fn of_server(spans: &[Span], place: usize) -> Up {
    let server = &spans[place];
    // A server that joined its caller's span (B3 single id) is found by its own id first.
    if let Some(caller) = best(spans, server.id, |s| s.role.calls(), server) {
        return Up::Caller(caller);
    }
    if server.parent == 0 {
        return if server.is(Marks::SHARED) { Up::Missing } else { Up::Root };
    }
    let Some(parent) = parent(spans, server) else { return Up::Missing };
    let above = &spans[parent];
    if above.role.calls() {
        return Up::Caller(parent);
    }
    if is_other(above, server) {
        return half_above(spans, parent);
    }
    match within(spans, parent) {
        Within::Reached(at) if is_other(&spans[at], server) => half_above(spans, at),
        Within::Reached(at) if spans[at].role.calls() => Up::Caller(at),
        Within::Reached(_) | Within::Began => Up::Same,
        Within::Lost => Up::Missing,
    }
}

/// A span of the service that called: some span of it above may be the half of this call.
fn half_above(spans: &[Span], at: usize) -> Up {
    match within(spans, at) {
        Within::Reached(half) if spans[half].role.calls() => Up::Caller(half),
        _ => Up::Other(at),
    }
}

/// The span of another service right above a client: somebody called the client's service, and left
/// no server's half.
pub(super) fn crossing(spans: &[Span], place: usize) -> Option<usize> {
    let client = &spans[place];
    let parent = parent(spans, client)?;
    let at = if is_other(&spans[parent], client) {
        match within(spans, parent) {
            Within::Reached(at) if !is_other(&spans[at], &spans[parent]) => at,
            _ => parent,
        }
    } else {
        match within(spans, parent) {
            Within::Reached(at) => at,
            Within::Began | Within::Lost => return None,
        }
    };
    is_other(&spans[at], client).then_some(at)
}

/// Where the climb within a service ended.
enum Within {
    /// At a span with a role, or of another service.
    Reached(usize),
    /// At a span without a parent.
    Began,
    /// At a gap, or after too many steps.
    Lost,
}

/// Climbs from a span over spans without a role.
fn within(spans: &[Span], from: usize) -> Within {
    let mut at = from;
    for _ in 0..=MAX_STEPS {
        let span = &spans[at];
        if span.role != Role::Inner || is_other(span, &spans[from]) {
            return Within::Reached(at);
        }
        if span.parent == 0 {
            return Within::Began;
        }
        match parent(spans, span) {
            Some(above) => at = above,
            None => return Within::Lost,
        }
    }
    Within::Lost
}

/// The parent of a span, if it is there. Of two halves that share an id, the server's is the parent
/// of what its service did; the caller's of what answers it.
pub(super) fn parent(spans: &[Span], child: &Span) -> Option<usize> {
    if child.parent == 0 {
        return None;
    }
    let of = |wanted: fn(&Span) -> bool| best(spans, child.parent, wanted, child);
    of(|s| s.role == Role::Callee).or_else(|| of(|s| s.role.calls())).or_else(|| of(|_| true))
}

/// Of the spans with an id that are wanted, and are not the child itself, the one that began first.
fn best(spans: &[Span], id: u64, wanted: impl Fn(&Span) -> bool, child: &Span) -> Option<usize> {
    let from = spans.partition_point(|s| s.id < id);
    let same = spans[from..].iter().take_while(|s| s.id == id);
    same.enumerate()
        .filter(|(_, s)| wanted(s) && !std::ptr::eq(*s, child))
        .min_by_key(|(_, s)| (s.start, s.end, s.role))
        .map(|(at, _)| from + at)
}

/// Whether two spans are of different services. One that nobody named may be of any.
fn is_other(a: &Span, b: &Span) -> bool {
    a.who != b.who && a.who != 0 && b.who != 0
}
