//! `Search`: entities by name.

use portolan_graph::Search;
use portolan_proto::v1;

use super::Inner;
use crate::described::Described;
use crate::{Error, parse};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 1000;

pub(super) async fn search(
    inner: &Inner,
    request: v1::SearchRequest,
) -> Result<v1::SearchResponse, Error> {
    parse::text("query", &request.query)?;
    let kinds = parse::kind_set("kinds", &request.kinds)?;
    let limit = parse::bounded("limit", request.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    let reader = inner.reader.clone();
    let answer = inner.queries.run(move |_| {
        let mut search = Search::new(&request.query, kinds, limit as usize);
        reader.entities(&mut |id, entity| search.offer(id, entity));
        let found = search.finish();
        let described = Described::now(&*reader)?;
        let entities = found.entities.iter().map(|(id, entity)| described.shown(*id, entity));
        Ok(v1::SearchResponse { entities: entities.collect(), total: found.total })
    });
    answer.await
}
