//! The columns of an export: their order, names and types. `docs/FORMAT.md` has the table that people read.

use std::sync::Arc;

use anyhow::Context as _;
use parquet::basic::{ConvertedType, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::schema::types::{Type, TypePtr};
use portolan_model::{EntityKind, Measure};

/// What says that a file is an export, and of which version: a key of the file's metadata.
pub(super) const MARK: &str = "portolan.export";

/// The version that is written. One that adds columns stays readable; a new meaning is a new version.
pub(super) const VERSION: &str = "1";

/// What stands in a column.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// 32 bits.
    Int,
    /// 64 bits.
    Long,
    /// 64 bits without a sign.
    Id,
    /// Microseconds since 1970, UTC.
    Micros,
    /// Nanoseconds since 1970, UTC.
    Nanos,
    /// A list of buckets of a histogram.
    Buckets,
    /// A list of entities.
    Entities,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) optional: bool,
}

/// What an entity is made of, as columns behind a prefix.
pub(super) const ENTITY: [(&str, Kind); 6] = [
    ("id", Kind::Id),
    ("kind", Kind::Text),
    ("environment", Kind::Text),
    ("namespace", Kind::Text),
    ("name", Kind::Text),
    ("detail", Kind::Text),
];

/// What the kind of an entity is called in a file: hops by their class as well.
pub(super) fn kind_text(kind: EntityKind) -> String {
    match kind {
        EntityKind::Hop(class) => format!("hop:{}", class.as_str()),
        kind => kind.as_str().to_owned(),
    }
}

/// What a bucket of a histogram is made of.
pub(super) const BUCKET: [(&str, Kind); 3] =
    [("bucket", Kind::Int), ("middle_ns", Kind::Id), ("count", Kind::Long)];

/// The sums of calls, in the order of `CallMeasure::ALL`. Two have the name of one of flows but for its prefix.
pub(super) const CALL_MEASURES: [&str; portolan_model::CALL_MEASURES] = [
    "calls_milli",
    "raw",
    "errors_milli",
    "client_errors_milli",
    "server_errors_milli",
    "status_4xx_milli",
    "status_5xx_milli",
    "retries_milli",
    "variance_milli",
    "call_bytes_sent",
    "call_bytes_received",
    "unpaired_client",
    "unpaired_server",
    "clock_skew",
    "late",
    "synthetic",
];

/// The histograms of calls.
pub(super) const LATENCIES: [&str; 3] = ["client_latency", "server_latency", "gap_latency"];

/// All columns, in the order in which they are written.
pub(super) fn columns() -> Vec<Column> {
    let mut all = Vec::new();
    let mut add = |name: &str, kind, optional| {
        all.push(Column { name: name.to_owned(), kind, optional });
    };
    add("window_start", Kind::Micros, false);
    add("window_secs", Kind::Int, false);
    add("row", Kind::Text, false);
    add("layer", Kind::Text, false);
    for end in ["client", "server"] {
        for (part, kind) in ENTITY {
            add(&format!("{end}_{part}"), kind, false);
        }
    }
    add("transport", Kind::Int, true);
    add("port", Kind::Int, true);
    add("front_port", Kind::Int, true);
    for name in ["direction", "path_kind", "evidence"] {
        add(name, Kind::Text, true);
    }
    add("via", Kind::Entities, false);
    add("source", Kind::Text, true);
    add("call_protocol", Kind::Text, true);
    for (part, kind) in ENTITY {
        add(&format!("operation_{part}"), kind, true);
    }
    add("first_event", Kind::Nanos, true);
    add("last_event", Kind::Nanos, true);
    for name in Measure::ALL.iter().map(|measure| measure.as_str()).chain(CALL_MEASURES) {
        add(name, Kind::Long, true);
    }
    for name in LATENCIES {
        add(name, Kind::Buckets, false);
        add(&format!("{name}_sum_ns"), Kind::Long, true);
    }
    all
}

/// The schema of a file.
pub(super) fn schema() -> anyhow::Result<TypePtr> {
    let fields = columns().iter().map(field).collect::<Result<_, _>>()?;
    let schema = Type::group_type_builder("portolan").with_fields(fields).build();
    Ok(Arc::new(schema.context("the schema of an export")?))
}

fn field(column: &Column) -> anyhow::Result<TypePtr> {
    match column.kind {
        Kind::Buckets => list(&column.name, &BUCKET),
        Kind::Entities => list(&column.name, &ENTITY),
        kind => leaf(&column.name, kind, column.optional),
    }
}

fn leaf(name: &str, kind: Kind, optional: bool) -> anyhow::Result<TypePtr> {
    let repetition = if optional { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    let physical = match kind {
        Kind::Text => Physical::BYTE_ARRAY,
        Kind::Int => Physical::INT32,
        _ => Physical::INT64,
    };
    let logical = match kind {
        Kind::Text => Some(LogicalType::String),
        Kind::Id => Some(LogicalType::integer(64, false)),
        Kind::Micros => Some(LogicalType::timestamp(true, TimeUnit::MICROS)),
        Kind::Nanos => Some(LogicalType::timestamp(true, TimeUnit::NANOS)),
        _ => None,
    };
    let built = Type::primitive_type_builder(name, physical)
        .with_repetition(repetition)
        .with_logical_type(logical)
        .build();
    Ok(Arc::new(built?))
}

/// A list of groups, in the three levels that the format asks for (parquet-format, `LogicalTypes.md`, "Lists").
fn list(name: &str, parts: &[(&str, Kind)]) -> anyhow::Result<TypePtr> {
    let parts = parts.iter().map(|(part, kind)| leaf(part, *kind, false));
    let element = Type::group_type_builder("element")
        .with_fields(parts.collect::<Result<_, _>>()?)
        .with_repetition(Repetition::REQUIRED)
        .build()?;
    let items = Type::group_type_builder("list")
        .with_fields(vec![Arc::new(element)])
        .with_repetition(Repetition::REPEATED)
        .build()?;
    let list = Type::group_type_builder(name)
        .with_fields(vec![Arc::new(items)])
        .with_repetition(Repetition::REQUIRED)
        .with_converted_type(ConvertedType::LIST)
        .with_logical_type(Some(LogicalType::List))
        .build()?;
    Ok(Arc::new(list))
}
