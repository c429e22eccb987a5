//! `GetGraph`: the graph, page by page.

use portolan_graph::PageToken;
use portolan_model::Entity;
use portolan_proto::v1;

use super::Inner;
use crate::convert::{self, Messages};
use crate::described::Described;
use crate::{Error, parse};

const DEFAULT_PAGE: u32 = 1000;
const MAX_PAGE: u32 = 10_000;

pub(super) async fn get_graph(
    inner: &Inner,
    request: v1::GetGraphRequest,
) -> Result<v1::GetGraphResponse, Error> {
    let size = parse::bounded("page_size", request.page_size, DEFAULT_PAGE, MAX_PAGE)?;
    let query = fingerprint(&request);
    let token = token(&request.page_token, query)?;
    let reach = inner.reader.reach();
    let past = parse::time(request.range, request.at_unix_us, request.known_at_unix_us, reach)?;
    let collapse = parse::collapse(request.collapse)?;
    let health = parse::health(request.filter.as_ref())?;
    let filter = parse::filter(request.filter, &request.layers)?;
    let shown = inner.graphs.get(past, collapse).await?;
    let reader = inner.reader.clone();
    let answer = inner.queries.run(move |_| {
        let graph = &shown.graph;
        let start = match &token {
            None => 0,
            Some(token) => {
                graph.after(&token.last, &|id| reader.entity(id)).ok_or_else(begin_again)?
            }
        };
        let described = Described::of(&*reader, past.as_ref(), &shown.snapshot)?;
        let said = |entity: &Entity| described.said(entity);
        let judged = || described.with_health(graph, &health);
        let judged = (!health.is_empty()).then(judged);
        let page = filter.prepare(graph, &said).only(judged).page(start, size as usize);
        let mut messages = Messages::of(graph, &described);
        let edges = page.edges.iter().map(|edge| messages.edge(*edge)).collect();
        let next = page.last.map(|last| PageToken { query, last }.encode());
        Ok(v1::GetGraphResponse {
            edges,
            nodes: messages.finish(),
            coverage: Some(convert::coverage(&shown.snapshot, reader.window_len())),
            next_page_token: next.unwrap_or_default(),
            total_edges: page.total,
            possible_edges: page.possible,
            possible_edges_left_out: graph.possible_left_out(),
        })
    });
    answer.await
}

fn token(text: &str, query: u64) -> Result<Option<PageToken>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let token = PageToken::decode(text).map_err(|error| Error::invalid("page_token", error))?;
    if token.query != query {
        let problem = "belongs to another query: only page_size may change between pages";
        return Err(Error::invalid("page_token", problem));
    }
    Ok(Some(token))
}

fn begin_again() -> Error {
    Error::invalid("page_token", "its last edge is not known any more, begin again without it")
}

/// A hash of what is asked, whatever the page: FNV-1a over the message without the page.
fn fingerprint(request: &v1::GetGraphRequest) -> u64 {
    use std::hash::{Hash, Hasher};
    struct Fnv(u64);
    impl Hasher for Fnv {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    let v1::GetGraphRequest {
        range,
        filter,
        collapse,
        layers,
        at_unix_us,
        known_at_unix_us,
        page_size: _,
        page_token: _,
    } = request;
    (range, filter, collapse, layers, at_unix_us, known_at_unix_us).hash(&mut hasher);
    hasher.finish()
}
