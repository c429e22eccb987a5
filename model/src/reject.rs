//! Refused records: a value with a reason, never an error that stops the line.

use crate::{Nanos, TopicPartition};

/// Why a record was refused.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Reject {
    /// The bytes are not what the topic's encoding says.
    Undecodable = 0,
    /// Source or destination address is missing.
    NoAddress = 1,
    /// It ends before it starts.
    EndsBeforeStart = 2,
    /// It lies more than an hour in the future.
    Future = 3,
    /// The message is larger than the configured limit.
    TooLarge = 4,
    /// Not an IP flow (ARP and other Ethernet types).
    NotIp = 5,
    /// It has neither bytes nor packets nor drops: a feature record, not a flow.
    Empty = 6,
    /// A name or field is longer than its limit, or not UTF-8.
    BadField = 7,
    /// It has no usable time.
    NoTime = 8,
    /// A counter is larger than any real flow can be.
    Implausible = 9,
    /// A derived record (conversation heartbeat), not a flow of its own.
    Derived = 10,
    /// Older than the retention of the finest window.
    TooLate = 11,
    /// The source says that it lost records here: a gap in what it saw, not a record.
    SourceLost = 12,
}

/// A sample of a refused message, kept in a bounded ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where it stood.
    pub partition: TopicPartition,
    /// Offset.
    pub offset: i64,
    /// Why.
    pub reason: Reject,
    /// When it was refused.
    pub at: Nanos,
    /// What the decoder said.
    pub detail: String,
    /// The first bytes of the message.
    pub head: Vec<u8>,
}

// === impl Reject ===

impl Reject {
    /// Every reason, in the order of its code.
    pub const ALL: [Self; 13] = [
        Self::Undecodable,
        Self::NoAddress,
        Self::EndsBeforeStart,
        Self::Future,
        Self::TooLarge,
        Self::NotIp,
        Self::Empty,
        Self::BadField,
        Self::NoTime,
        Self::Implausible,
        Self::Derived,
        Self::TooLate,
        Self::SourceLost,
    ];

    /// The word that people, metrics and JSON see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::NoAddress => "no_address",
            Self::EndsBeforeStart => "ends_before_start",
            Self::Future => "future",
            Self::TooLarge => "too_large",
            Self::NotIp => "not_ip",
            Self::Empty => "empty",
            Self::BadField => "bad_field",
            Self::NoTime => "no_time",
            Self::Implausible => "implausible",
            Self::Derived => "derived",
            Self::TooLate => "too_late",
            Self::SourceLost => "source_lost",
        }
    }
}
