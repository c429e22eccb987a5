//! Rows out of columns again.

use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use parquet::record::{Field, Row};
use parquet::schema::types::Type;
use portolan_model::{
    CALL_MEASURES as CALL_SUMS, CallCounters, CallDelta, CallKey, CallProtocol, CallSource,
    Counters, Direction, EdgeDelta, EdgeKey, Entity, EntityId, EntityKind, Evidence, Latency,
    Layer, MEASURES, Measure, Nanos, PLAIN, PathDelta, PathKey, PathKind, Proto, Via, Window,
    WindowLen,
};
use rustc_hash::FxHashMap;

use super::columns::{CALL_MEASURES, ENTITY, LATENCIES, kind_text};

/// A row, and what it names.
pub(super) struct Parsed {
    pub(super) window: Window,
    pub(super) len: WindowLen,
    pub(super) row: &'static str,
    pub(super) layer: &'static str,
    pub(super) entities: Vec<Entity>,
    pub(super) edge: Option<EdgeDelta>,
    pub(super) path: Option<PathDelta>,
    pub(super) call: Option<CallDelta>,
}

/// Where each column stands in the rows of a file.
pub(super) struct Reader {
    places: FxHashMap<String, usize>,
}

/// The fields of one row.
struct Fields<'a> {
    places: &'a FxHashMap<String, usize>,
    values: Vec<&'a Field>,
    entities: Vec<Entity>,
}

/// What every row of flows has.
struct Flows {
    layer: Layer,
    client: EntityId,
    server: EntityId,
    proto: Proto,
    port: u16,
    counters: Counters,
    first_ns: Nanos,
    last_ns: Nanos,
}

// === impl Reader ===

impl Reader {
    pub(super) fn new(schema: &Type) -> Self {
        let names = schema.get_fields().iter().map(|field| field.name().to_owned());
        Self { places: names.zip(0..).collect() }
    }

    pub(super) fn read(&self, row: &Row) -> anyhow::Result<Parsed> {
        let values = row.get_column_iter().map(|(_, field)| field).collect();
        let mut fields = Fields { places: &self.places, values, entities: Vec::new() };
        let len = u32::try_from(fields.number("window_secs")?).ok().and_then(WindowLen::try_new);
        let len = len.context("window_secs: not the length of a window")?;
        let start = fields.number("window_start")?;
        let window = u32::try_from(start / 1_000_000).map(Window).ok();
        let window = window.filter(|w| len.window(w.start()) == *w && start % 1_000_000 == 0);
        let window = window.context("window_start: not the start of a window")?;
        let (row, layer) = (fields.text("row")?, fields.text("layer")?);
        let layer = word(Layer::ALL, Layer::as_str, layer).context("layer")?;
        let mut parsed = Parsed {
            window,
            len,
            row: "edge",
            layer: layer.as_str(),
            entities: Vec::new(),
            edge: None,
            path: None,
            call: None,
        };
        match row {
            "edge" => parsed.edge = Some(fields.edge(window, layer)?),
            "path" => {
                parsed.row = "path";
                parsed.path = Some(fields.path(window, layer)?);
            }
            "call" => {
                parsed.row = "call";
                let call = fields.call(window)?;
                ensure!(call.key.source.layer() == layer, "source: not of this layer");
                parsed.call = Some(call);
            }
            other => bail!("row: {other:?} is none of edge, path, call"),
        }
        parsed.entities = fields.entities;
        Ok(parsed)
    }
}

// === impl Fields ===

impl<'a> Fields<'a> {
    fn edge(&mut self, window: Window, layer: Layer) -> anyhow::Result<EdgeDelta> {
        let Flows { layer, client, server, proto, port, counters, first_ns, last_ns } =
            self.flows(layer)?;
        let direction = word(Direction::ALL, Direction::as_str, self.text("direction")?);
        let direction = direction.context("direction")?;
        let key = EdgeKey { window, layer, client, server, proto, port, direction };
        Ok(EdgeDelta { key, counters, first_ns, last_ns })
    }

    fn path(&mut self, window: Window, layer: Layer) -> anyhow::Result<PathDelta> {
        let Flows { layer, client, server, proto, port, counters, first_ns, last_ns } =
            self.flows(layer)?;
        let kind = word(PathKind::ALL, PathKind::as_str, self.text("path_kind")?);
        let evidence = word(Evidence::ALL, Evidence::as_str, self.text("evidence")?);
        let mut via = Via::new();
        for hop in list(self.field("via")?).context("via")? {
            via.push(self.named(&parts(hop)?).context("via")?);
        }
        let key = PathKey {
            window,
            layer,
            client,
            server,
            proto,
            front_port: u16::try_from(self.number("front_port")?).context("front_port")?,
            port,
            via,
            kind: kind.context("path_kind")?,
            evidence: evidence.context("evidence")?,
        };
        Ok(PathDelta { key, counters, first_ns, last_ns })
    }

    fn flows(&mut self, layer: Layer) -> anyhow::Result<Flows> {
        let (first_ns, last_ns) = self.times()?;
        let mut sums = [0; MEASURES];
        for (sum, measure) in sums.iter_mut().zip(Measure::ALL) {
            // Files that an earlier version wrote have the plain ones alone.
            let missing = !self.places.contains_key(measure.as_str()) && measure as usize >= PLAIN;
            *sum = if missing { 0 } else { self.number(measure.as_str())? };
        }
        Ok(Flows {
            layer,
            client: self.entity("client")?,
            server: self.entity("server")?,
            proto: Proto(u8::try_from(self.number("transport")?).context("transport")?),
            port: u16::try_from(self.number("port")?).context("port")?,
            counters: Counters::from_array(sums),
            first_ns,
            last_ns,
        })
    }

    fn call(&mut self, window: Window) -> anyhow::Result<CallDelta> {
        let source = word(&CallSource::ALL, CallSource::as_str, self.text("source")?);
        let protocol = word(&CallProtocol::ALL, CallProtocol::as_str, self.text("call_protocol")?);
        let operation = match self.field("operation_id")? {
            Field::Null => EntityId::NONE,
            _ => self.entity("operation")?,
        };
        let mut call = CallDelta::new(CallKey {
            window,
            client: self.entity("client")?,
            server: self.entity("server")?,
            source: source.context("source")?,
            protocol: protocol.context("call_protocol")?,
            operation,
        });
        (call.first_ns, call.last_ns) = self.times()?;
        let mut sums = [0; CALL_SUMS];
        for (sum, name) in sums.iter_mut().zip(CALL_MEASURES) {
            *sum = self.number(name)?;
        }
        call.counters = CallCounters::from_array(sums);
        let [client, server, gap] = LATENCIES;
        call.client = self.latency(client)?;
        call.server = self.latency(server)?;
        call.gap = self.latency(gap)?;
        Ok(call)
    }

    fn latency(&self, name: &str) -> anyhow::Result<Latency> {
        let mut buckets = Vec::new();
        for bucket in list(self.field(name)?).with_context(|| name.to_owned())? {
            let parts = parts(bucket)?;
            let number = |part: &str| parts.get(part).and_then(|field| whole(field));
            let of = number("bucket").and_then(|n| u16::try_from(n).ok()).zip(number("count"));
            buckets.push(of.with_context(|| format!("{name}: a bucket does not read"))?);
        }
        Ok(Latency::from_parts(buckets, self.number(&format!("{name}_sum_ns"))?))
    }

    fn times(&self) -> anyhow::Result<(Nanos, Nanos)> {
        let instant = |name: &str, unknown: Nanos| match self.field(name)? {
            Field::Null => Ok(unknown),
            Field::TimestampMicros(us) => Ok(us.max(&0).unsigned_abs().saturating_mul(1_000)),
            field => whole(field)
                .and_then(|ns| u64::try_from(ns).ok())
                .with_context(|| format!("{name}: not a time")),
        };
        Ok((instant("first_event", Nanos::MAX)?, instant("last_event", 0)?))
    }

    /// An entity that stands in columns of its own.
    fn entity(&mut self, prefix: &str) -> anyhow::Result<EntityId> {
        let mut parts = FxHashMap::default();
        for (part, _) in ENTITY {
            parts.insert(part, self.field(&format!("{prefix}_{part}"))?);
        }
        self.named(&parts).with_context(|| prefix.to_owned())
    }

    /// An entity by its parts. The id says whether they are those that were written.
    fn named(&mut self, parts: &FxHashMap<&str, &Field>) -> anyhow::Result<EntityId> {
        let text = |part: &str| match parts.get(part) {
            Some(Field::Str(text)) => Ok(text.as_str()),
            _ => bail!("its {part} is missing"),
        };
        let kind = text("kind")?;
        let kind = EntityKind::ALL.into_iter().find(|known| kind_text(*known) == kind);
        let entity = Entity {
            environment: Arc::from(text("environment")?),
            namespace: Arc::from(text("namespace")?),
            name: Arc::from(text("name")?),
            kind: kind.context("its kind is not known")?,
            detail: Arc::from(text("detail")?),
        };
        let id = parts.get("id").and_then(|field| whole(field)).context("its id is missing")?;
        let id = EntityId(id as u64);
        ensure!(entity.id() == id, "its id is {id}, and that of its name {}", entity.id());
        self.entities.push(entity);
        Ok(id)
    }

    fn text(&self, name: &str) -> anyhow::Result<&'a str> {
        match self.field(name)? {
            Field::Str(text) => Ok(text),
            _ => bail!("{name}: a text is needed"),
        }
    }

    fn number(&self, name: &str) -> anyhow::Result<i64> {
        whole(self.field(name)?).with_context(|| format!("{name}: a number is needed"))
    }

    fn field(&self, name: &str) -> anyhow::Result<&'a Field> {
        let place = self.places.get(name).and_then(|at| self.values.get(*at));
        place.copied().with_context(|| format!("{name}: it is not there"))
    }
}

/// The value of a word.
fn word<T: Copy>(all: &[T], word_of: impl Fn(T) -> &'static str, text: &str) -> anyhow::Result<T> {
    let found = all.iter().copied().find(|one| word_of(*one) == text);
    found.with_context(|| format!("{text:?} is not known"))
}

/// A whole number, of whatever width a writer gave it.
fn whole(field: &Field) -> Option<i64> {
    match field {
        Field::Byte(n) => Some(i64::from(*n)),
        Field::Short(n) => Some(i64::from(*n)),
        Field::Int(n) => Some(i64::from(*n)),
        Field::Long(n) | Field::TimestampMicros(n) => Some(*n),
        Field::UByte(n) => Some(i64::from(*n)),
        Field::UShort(n) => Some(i64::from(*n)),
        Field::UInt(n) => Some(i64::from(*n)),
        Field::ULong(n) => Some(*n as i64),
        _ => None,
    }
}

fn list(field: &Field) -> anyhow::Result<&[Field]> {
    match field {
        Field::ListInternal(list) => Ok(list.elements()),
        Field::Null => Ok(&[]),
        _ => bail!("a list is needed"),
    }
}

fn parts(field: &Field) -> anyhow::Result<FxHashMap<&str, &Field>> {
    match field {
        Field::Group(row) => {
            Ok(row.get_column_iter().map(|(name, field)| (name.as_str(), field)).collect())
        }
        _ => bail!("a group is needed"),
    }
}
