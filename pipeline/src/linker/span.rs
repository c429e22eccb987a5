//! A span as it is remembered: what linking needs of it, and numbers for the rest.

use portolan_model::{CallProtocol, MessagingOperation, Nanos, SpanKind, SpanRow, SpanStatus};

/// What a span does on the map (trace semantics, C.2).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Role {
    /// Nothing: a climb passes it.
    Inner,
    /// The calling half.
    Caller,
    /// The called half.
    Callee,
    /// Makes a message that another span may send.
    Create,
    /// Sends to a topic.
    Send,
    /// Fetches from a topic.
    Receive,
    /// Works on what came from a topic.
    Process,
}

/// A span. Its order is that of the index of a trace: by id, then by role.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) id: u64,
    pub(super) parent: u64,
    pub(super) start: Nanos,
    pub(super) end: Nanos,
    /// The service, by number; 0 if nobody said.
    pub(super) who: u32,
    /// What it says of the other end, by number; 0 is nothing.
    pub(super) far: u32,
    /// The operation, by number; 0 is none.
    pub(super) operation: u32,
    /// How many calls it stands for, in thousandths.
    pub(super) weight: u32,
    pub(super) role: Role,
    pub(super) protocol: CallProtocol,
    pub(super) marks: Marks,
}

/// Facts of a span or a call that do not depend on each other, as bits.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Marks(pub(super) u16);

// === impl Role ===

impl Role {
    /// By kind and by what is done to the message.
    pub(super) fn of(row: &SpanRow) -> Self {
        use MessagingOperation as Op;
        match (row.kind, row.messaging) {
            (SpanKind::Server, _) => Self::Callee,
            (SpanKind::Internal, _) | (_, Op::Settle) => Self::Inner,
            (SpanKind::Client | SpanKind::Producer, Op::Create) => Self::Create,
            (SpanKind::Producer, _) | (SpanKind::Client, Op::Send) => Self::Send,
            (_, Op::Receive) => Self::Receive,
            (SpanKind::Consumer, _) | (_, Op::Process) => Self::Process,
            (SpanKind::Client, _) => Self::Caller,
        }
    }

    /// Whether a server may be called by it.
    pub(super) const fn calls(self) -> bool {
        matches!(self, Self::Caller | Self::Create | Self::Send)
    }

    /// Whether it puts messages on a topic.
    pub(super) const fn produces(self) -> bool {
        matches!(self, Self::Create | Self::Send)
    }

    /// Whether it takes messages from a topic.
    pub(super) const fn consumes(self) -> bool {
        matches!(self, Self::Receive | Self::Process)
    }
}

// === impl Marks ===

impl Marks {
    pub(super) const SHARED: Self = Self(1);
    pub(super) const ERROR: Self = Self(1 << 1);
    pub(super) const SYNTHETIC: Self = Self(1 << 2);
    pub(super) const STATUS_4XX: Self = Self(1 << 3);
    pub(super) const STATUS_5XX: Self = Self(1 << 4);
    /// It is a call, rather than a half that nothing came of.
    pub(super) const COUNTS: Self = Self(1 << 5);
    pub(super) const CLIENT_ERROR: Self = Self(1 << 6);
    pub(super) const SERVER_ERROR: Self = Self(1 << 7);
    pub(super) const RETRY: Self = Self(1 << 8);
    pub(super) const UNPAIRED_CLIENT: Self = Self(1 << 9);
    pub(super) const UNPAIRED_SERVER: Self = Self(1 << 10);
    pub(super) const SKEW: Self = Self(1 << 11);
    /// It names links.
    pub(super) const LINKS: Self = Self(1 << 12);

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    #[must_use]
    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The other, if it holds.
    #[must_use]
    pub(super) const fn and_if(self, holds: bool, other: Self) -> Self {
        if holds { self.and(other) } else { self }
    }

    /// What a row says of its outcome (trace semantics, C.8).
    pub(super) fn of(row: &SpanRow) -> Self {
        let is_server = row.kind == SpanKind::Server;
        let rpc_server = matches!(row.rpc_status, 2 | 4 | 12 | 13 | 14 | 15);
        let by_code = if is_server {
            row.http_status >= 500 || rpc_server
        } else {
            row.http_status >= 400 || row.rpc_status != 0
        };
        let failed = match row.status {
            SpanStatus::Error => true,
            SpanStatus::Ok => false,
            SpanStatus::Unset => row.error || by_code,
        };
        Self::default()
            .and_if(failed, Self::ERROR)
            .and_if(row.shared, Self::SHARED)
            .and_if(row.synthetic, Self::SYNTHETIC)
            .and_if((400..500).contains(&row.http_status), Self::STATUS_4XX)
            .and_if(row.http_status >= 500 || rpc_server, Self::STATUS_5XX)
    }
}

/// The kind of call that a row speaks of. `rpc` and `messaging` say more than the HTTP below them.
pub(super) fn protocol(row: &SpanRow, rpc_system: &str) -> CallProtocol {
    match rpc_system {
        "" if !row.db_system.is_none() => CallProtocol::Database,
        "" if !row.messaging_system.is_none() && row.kind != SpanKind::Server => {
            CallProtocol::Messaging
        }
        "" if row.http => CallProtocol::Http,
        "" => CallProtocol::Unknown,
        "grpc" => CallProtocol::Grpc,
        _ => CallProtocol::Rpc,
    }
}

// === impl Span ===

impl Span {
    /// How long it took.
    pub(super) const fn took(&self) -> Nanos {
        self.end - self.start
    }

    pub(super) const fn is(&self, mark: Marks) -> bool {
        self.marks.has(mark)
    }
}
