//! Rows on their way into columns.

use std::fs::File;
use std::sync::Arc;

use super::columns::{BUCKET, CALL_MEASURES, Column, ENTITY, Kind, columns, kind_text};
use anyhow::Context as _;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::writer::SerializedFileWriter;
use portolan_model::{
    CallDelta, CallKey, EdgeDelta, EdgeKey, Entity, EntityId, Latency, Layer, MEASURES, Nanos,
    PathDelta, PathKey, Window, WindowLen,
};
use portolan_storage::ReadEdges;

/// Values of one leaf of the schema, with the levels that say which are there.
struct Leaf {
    values: Values,
    /// Whether a value is there; empty where one always is.
    there: Vec<i16>,
    /// Whether it goes on the list of the one before; empty outside of lists.
    goes_on: Vec<i16>,
    nullable: bool,
    listed: bool,
}

enum Values {
    Text(Vec<ByteArray>),
    Int(Vec<i32>),
    Long(Vec<i64>),
}

/// Rows of one group, as columns.
pub(super) struct Rows<'a> {
    names: &'a dyn ReadEdges,
    len: WindowLen,
    leaves: Vec<Leaf>,
    /// The leaf that is next in the row that is being put.
    at: usize,
    held: usize,
}

/// What all kinds of rows have.
struct Common {
    window: Window,
    row: &'static str,
    layer: Layer,
    client: EntityId,
    server: EntityId,
}

/// What makes a row of flows, or nothing in a row of calls.
#[derive(Default)]
struct Network<'a> {
    transport: Option<u8>,
    port: Option<u16>,
    front_port: Option<u16>,
    direction: Option<&'static str>,
    path: Option<&'a PathKey>,
}

// === impl Leaf ===

impl Leaf {
    fn of(kind: Kind, nullable: bool, listed: bool) -> Self {
        let values = match kind {
            Kind::Text => Values::Text(Vec::new()),
            Kind::Int => Values::Int(Vec::new()),
            _ => Values::Long(Vec::new()),
        };
        Self { values, there: Vec::new(), goes_on: Vec::new(), nullable, listed }
    }

    fn level(&mut self, there: bool, goes_on: bool) {
        if self.nullable || self.listed {
            self.there.push(i16::from(there));
        }
        if self.listed {
            self.goes_on.push(i16::from(goes_on));
        }
    }
}

/// The leaves of a column, in order.
fn leaves(column: &Column) -> Vec<Leaf> {
    let list = |parts: &[(&str, Kind)]| -> Vec<Leaf> {
        parts.iter().map(|(_, kind)| Leaf::of(*kind, false, true)).collect()
    };
    match column.kind {
        Kind::Buckets => list(&BUCKET),
        Kind::Entities => list(&ENTITY),
        kind => vec![Leaf::of(kind, column.optional, false)],
    }
}

// === impl Rows ===

impl<'a> Rows<'a> {
    pub(super) fn new(names: &'a dyn ReadEdges, len: WindowLen) -> Self {
        Self { names, len, leaves: columns().iter().flat_map(leaves).collect(), at: 0, held: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.held
    }

    pub(super) fn edge(&mut self, row: &EdgeDelta) -> anyhow::Result<()> {
        let EdgeKey { window, layer, client, server, proto, port, direction } = row.key;
        self.common(&Common { window, row: "edge", layer, client, server })?;
        self.network(&Network {
            transport: Some(proto.0),
            port: Some(port),
            direction: Some(direction.as_str()),
            ..Network::default()
        })?;
        self.call(None)?;
        self.times(row.first_ns, row.last_ns)?;
        self.sums(Some(row.counters.as_array()), None);
        self.end();
        Ok(())
    }

    pub(super) fn path(&mut self, row: &PathDelta) -> anyhow::Result<()> {
        let PathKey { window, layer, client, server, proto, front_port, port, .. } = row.key;
        self.common(&Common { window, row: "path", layer, client, server })?;
        self.network(&Network {
            transport: Some(proto.0),
            port: Some(port),
            front_port: Some(front_port),
            path: Some(&row.key),
            ..Network::default()
        })?;
        self.call(None)?;
        self.times(row.first_ns, row.last_ns)?;
        self.sums(Some(row.counters.as_array()), None);
        self.end();
        Ok(())
    }

    pub(super) fn calls(&mut self, row: &CallDelta) -> anyhow::Result<()> {
        let CallKey { window, client, server, source, .. } = row.key;
        self.common(&Common { window, row: "call", layer: source.layer(), client, server })?;
        self.network(&Network::default())?;
        self.call(Some(&row.key))?;
        self.times(row.first_ns, row.last_ns)?;
        self.sums(None, Some(row));
        self.end();
        Ok(())
    }

    fn common(&mut self, row: &Common) -> anyhow::Result<()> {
        self.long(Some(i64::from(row.window.0) * 1_000_000));
        self.int(Some(self.len.secs() as i32));
        self.text(Some(row.row));
        self.text(Some(row.layer.as_str()));
        self.entity(Some(row.client))?;
        self.entity(Some(row.server))
    }

    fn network(&mut self, row: &Network<'_>) -> anyhow::Result<()> {
        self.int(row.transport.map(i32::from));
        self.int(row.port.map(i32::from));
        self.int(row.front_port.map(i32::from));
        self.text(row.direction);
        self.text(row.path.map(|path| path.kind.as_str()));
        self.text(row.path.map(|path| path.evidence.as_str()));
        let via = row.path.map_or(&[][..], |path| &path.via);
        if via.is_empty() {
            self.empty_list(ENTITY.len());
        }
        for (place, hop) in via.iter().enumerate() {
            self.list_item(ENTITY.len(), place);
            self.entity(Some(*hop))?;
            self.at -= ENTITY.len();
        }
        self.at += ENTITY.len();
        Ok(())
    }

    fn call(&mut self, key: Option<&CallKey>) -> anyhow::Result<()> {
        self.text(key.map(|key| key.source.as_str()));
        self.text(key.map(|key| key.protocol.as_str()));
        self.entity(key.map(|key| key.operation).filter(|id| *id != EntityId::NONE))
    }

    fn times(&mut self, first_ns: Nanos, last_ns: Nanos) -> anyhow::Result<()> {
        let instant = |ns: Nanos| {
            i64::try_from(ns)
                .context("an event lies beyond the year 2262, where Parquet's times end")
        };
        let known = |ns: Nanos, unknown: Nanos| (ns != unknown).then(|| instant(ns)).transpose();
        self.long(known(first_ns, Nanos::MAX)?);
        self.long(known(last_ns, 0)?);
        Ok(())
    }

    fn sums(&mut self, network: Option<&[i64; MEASURES]>, call: Option<&CallDelta>) {
        for at in 0..MEASURES {
            self.long(network.map(|sums| sums[at]));
        }
        let sums = call.map(|call| call.counters.as_array());
        for at in 0..CALL_MEASURES.len() {
            self.long(sums.map(|sums| sums[at]));
        }
        let latencies = call.map(|call| [&call.client, &call.server, &call.gap]);
        for at in 0..3 {
            let latency = latencies.map(|all| all[at]);
            self.latency(latency);
            self.long(latency.map(Latency::sum_ns));
        }
    }

    fn latency(&mut self, latency: Option<&Latency>) {
        let buckets = latency.map_or(&[][..], Latency::buckets);
        if buckets.is_empty() {
            self.empty_list(BUCKET.len());
        }
        for (place, (bucket, count)) in buckets.iter().enumerate() {
            self.list_item(BUCKET.len(), place);
            self.int(Some(i32::from(*bucket)));
            self.long(Some(Latency::middle(*bucket) as i64));
            self.long(Some(*count));
            self.at -= BUCKET.len();
        }
        self.at += BUCKET.len();
    }

    fn entity(&mut self, id: Option<EntityId>) -> anyhow::Result<()> {
        let entity = id.map(|id| self.named(id)).transpose()?;
        self.long(id.map(|id| id.0 as i64));
        self.text(entity.as_ref().map(|entity| kind_text(entity.kind)).as_deref());
        self.text(entity.as_ref().map(|entity| &*entity.environment));
        self.text(entity.as_ref().map(|entity| &*entity.namespace));
        self.text(entity.as_ref().map(|entity| &*entity.name));
        self.text(entity.as_ref().map(|entity| &*entity.detail));
        Ok(())
    }

    fn named(&self, id: EntityId) -> anyhow::Result<Arc<Entity>> {
        self.names.entity(id).with_context(|| {
            format!("entity {id} is not in the catalogue: `portolan store verify` says what else is wrong")
        })
    }

    fn end(&mut self) {
        debug_assert_eq!(self.at, self.leaves.len(), "a row has a value for each leaf");
        self.at = 0;
        self.held += 1;
    }

    fn next(&mut self) -> &mut Leaf {
        self.at += 1;
        &mut self.leaves[self.at - 1]
    }

    fn text(&mut self, text: Option<&str>) {
        let leaf = self.next();
        if !leaf.listed {
            leaf.level(text.is_some(), false);
        }
        if let (Values::Text(values), Some(text)) = (&mut leaf.values, text) {
            values.push(text.as_bytes().to_vec().into());
        }
    }

    fn int(&mut self, number: Option<i32>) {
        let leaf = self.next();
        if !leaf.listed {
            leaf.level(number.is_some(), false);
        }
        if let Values::Int(values) = &mut leaf.values {
            values.extend(number);
        }
    }

    fn long(&mut self, number: Option<i64>) {
        let leaf = self.next();
        if !leaf.listed {
            leaf.level(number.is_some(), false);
        }
        if let Values::Long(values) = &mut leaf.values {
            values.extend(number);
        }
    }

    /// The next leaves have nothing in this row.
    fn empty_list(&mut self, leaves: usize) {
        for leaf in &mut self.leaves[self.at..self.at + leaves] {
            leaf.level(false, false);
        }
    }

    /// The next leaves get an item of a list.
    fn list_item(&mut self, leaves: usize, place: usize) {
        for leaf in &mut self.leaves[self.at..self.at + leaves] {
            leaf.level(true, place > 0);
        }
    }

    /// Writes the rows as a group, and begins anew.
    pub(super) fn flush(&mut self, file: &mut SerializedFileWriter<File>) -> anyhow::Result<()> {
        if self.held == 0 {
            return Ok(());
        }
        let mut group = file.next_row_group()?;
        let mut leaves = self.leaves.iter_mut();
        while let Some(mut column) = group.next_column()? {
            let leaf = leaves.next().context("the schema has more leaves than rows have")?;
            let there = (!leaf.there.is_empty()).then_some(&*leaf.there);
            let goes_on = (!leaf.goes_on.is_empty()).then_some(&*leaf.goes_on);
            match (&leaf.values, column.untyped()) {
                (Values::Text(values), ColumnWriter::ByteArrayColumnWriter(to)) => {
                    to.write_batch(values, there, goes_on)?
                }
                (Values::Int(values), ColumnWriter::Int32ColumnWriter(to)) => {
                    to.write_batch(values, there, goes_on)?
                }
                (Values::Long(values), ColumnWriter::Int64ColumnWriter(to)) => {
                    to.write_batch(values, there, goes_on)?
                }
                _ => anyhow::bail!("a leaf is of another type than the schema says"),
            };
            column.close()?;
            leaf.there.clear();
            leaf.goes_on.clear();
            match &mut leaf.values {
                Values::Text(values) => values.clear(),
                Values::Int(values) => values.clear(),
                Values::Long(values) => values.clear(),
            }
        }
        group.close()?;
        self.held = 0;
        Ok(())
    }
}
