//! The nouns of Portolan.
//!
//! Values only: no serialisation, no async, no input or output, no clock. Every other crate speaks
//! these types, so a stage can be read without knowing Kafka, a store without knowing flows.

mod addr;
mod call;
mod certainty;
mod claim;
mod counters;
mod edge;
mod entity;
mod epoch;
mod exemplar;
mod flow;
mod health;
mod invariant;
mod latency;
mod metric;
mod note;
mod reject;
mod span;
mod text;
mod time;

pub use addr::{Ip, Proto, Socket};
pub use call::{
    CALL_MEASURES, CallCounters, CallDelta, CallKey, CallMeasure, CallProtocol, CallSource,
};
pub use certainty::{Certainty, Orientation, Oriented};
pub use claim::{
    Backend, DeclaredPort, NodePort, OwnerEvent, OwnerKey, OwnerKind, OwnerRecord, Phase, ScopeId,
    ValidTime,
};
pub use counters::{Counters, MEASURES, Measure, PLAIN, Plain, Sums, doubt_expected};
pub use edge::{
    Collapse, Direction, EdgeDelta, EdgeKey, Evidence, Layer, PathDelta, PathKey, PathKind,
    Resolution, Via,
};
pub use entity::{Entity, EntityId, EntityKind, HopClass};
pub use epoch::{Barrier, EpochCommit, LearnedPort, Loss, PartitionId, Position, TopicPartition};
pub use exemplar::{ExemplarOf, ExemplarRank, TraceCall, TraceRow};
pub use flow::{Flags, FlowBatch, FlowColumns, FlowRow, Role, Source, Xlat};
pub use health::{Health, HealthKey, HealthRow};
pub use invariant::{Invariant, Standing};
pub use latency::Latency;
pub use metric::{
    Count, MetricBatch, MetricColumns, MetricEnd, MetricRow, MetricWhat, Outcome, Rank, Shape,
};
pub use note::{
    Attributes, BadLink, CatalogueKey, CatalogueRecord, ChangeKey, ChangeKind, ChangeRecord,
    LinkTemplate, Note, Notes, Subject,
};
pub use reject::{DeadLetter, Reject};
pub use span::{
    MessagingOperation, SpanBatch, SpanColumns, SpanId, SpanKind, SpanRow, SpanStatus, TraceId,
};
pub use text::Text;
pub use time::{Nanos, TimeRange, Window, WindowLen};
