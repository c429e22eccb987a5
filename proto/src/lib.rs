//! Wire formats: the `portolan.v1` contract, and the decoders of what arrives on Kafka.
//!
//! Foreign bytes become values of `portolan-model` here and nowhere else. Decoders are total: bytes
//! of any kind give records and [`Refused`] values, never a panic and never an error that stops the
//! line. They read no clock; the caller says what time it is.

mod capture;
mod convert;
mod encoding;
mod flow;
mod inventory;
mod json;
mod metric;
mod note;
mod ownership;
mod refused;
mod span;
mod thrift;
mod time;
mod wire;

pub use capture::{CaptureError, Captured, Captures, DEFAULT_MAX_LINE_BYTES};
pub use convert::{
    certainty_to_v1, counters_to_v1, entity_to_v1, micros_to_nanos, nanos_to_micros,
};
pub use encoding::{
    Encoding, FlowEncoding, MetricEncoding, NoteEncoding, OwnerEncoding, SpanEncoding,
    UnknownEncoding,
};
pub use flow::{
    DEFAULT_MAX_MESSAGE_BYTES, DEFAULT_VPC_FIELDS, FlowDecoder, MAX_AHEAD_NANOS, MAX_COUNT,
    MAX_RTT_NANOS, MAX_SLICE_NANOS, UnknownVpcFields, is_vpc_header,
};
pub use inventory::{
    Entry, FIELDS as INVENTORY_FIELDS, Inventory, InventoryEncoding, InventoryFault, MAX_FAULTS,
    MAX_INVENTORY_BYTES, When, read_inventory,
};
pub use metric::{
    EndKeys, Families, FamilyFault, FamilyRule, FamilyTable, ForeignPoint, ForeignValue,
    StatusKeys, decode_metrics, write_metrics,
};
pub use note::{
    DEFAULT_MAX_NOTE_BYTES, MAX_LABELS, MAX_LINK_BYTES, MAX_VALUE_BYTES, decode_notes,
    encode_catalogue, encode_change,
};
pub use ownership::{
    DEFAULT_MAX_OWNER_BYTES, MAX_DETAILED, MAX_LIST, MAX_NAME_BYTES, decode_owners, encode_event,
    encode_owner,
};
pub use refused::{MAX_DETAIL_BYTES, Refused};
pub use span::{ForeignSpan, decode_spans, write_spans};

/// The contract of Portolan itself: topology queries and ownership records.
///
/// In JSON (serde) the messages have the names of the `.proto` files, 64-bit integers are numbers,
/// and absent fields are their defaults.
#[allow(clippy::all, clippy::pedantic, missing_docs, rustdoc::all)]
pub mod v1 {
    tonic::include_proto!("portolan.v1");
}

/// NetObserv's flow record as `prost` sees it: for encoding, and to check the decoder of the line.
#[allow(clippy::all, clippy::pedantic, missing_docs, rustdoc::all)]
pub mod pbflow {
    tonic::include_proto!("pbflow");
}

/// The descriptors of `portolan.v1` (a `FileDescriptorSet`), for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/portolan_v1.bin"));
