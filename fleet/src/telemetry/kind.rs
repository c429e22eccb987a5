//! Kinds of calls, by what the server listens on, and how calls end.

use portolan_model::{CallProtocol, Proto};

use crate::plan::{Role, Workload};

/// What a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Http,
    Grpc,
    /// A database, by its name in the semantic conventions.
    Database(&'static str),
}

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Fine,
    /// The server failed, and the client knows.
    Failed,
    /// The client asked for what is not there: its error, not the server's.
    NotFound,
    /// The client gave up; the server never knew.
    GivenUp,
    /// There was no connection.
    Refused,
}

// === impl Kind ===

impl Kind {
    /// The kind of what is called; nothing for what has no requests (name servers, gossip, queues).
    pub(super) fn of(server: &Workload) -> Option<Self> {
        if server.proto != Proto::TCP {
            return None;
        }
        match server.port {
            5_432 => Some(Self::Database("postgresql")),
            6_379 => Some(Self::Database("redis")),
            0 | 5_672 => None,
            50_051 | 50_052 => Some(Self::Grpc),
            _ if server.role == Role::Database => Some(Self::Database("other_sql")),
            _ => Some(Self::Http),
        }
    }

    /// Whether the server takes part in traces itself.
    pub(super) fn is_answered(self) -> bool {
        !matches!(self, Self::Database(_))
    }

    pub(super) fn protocol(self) -> CallProtocol {
        match self {
            Self::Http => CallProtocol::Http,
            Self::Grpc => CallProtocol::Grpc,
            Self::Database(_) => CallProtocol::Database,
        }
    }

    /// Method and route, full method, or statement, of operation 0 to 2.
    pub(super) fn operation(self, number: u32) -> String {
        let (method, rest) = self.parts(number);
        match self {
            Self::Grpc => format!("{method}/{rest}"),
            _ => format!("{method} {rest}"),
        }
    }

    /// Method and route, service and method, or verb and table.
    pub(super) fn parts(self, number: u32) -> (&'static str, &'static str) {
        let of = match self {
            Self::Http => [("GET", "/items/{id}"), ("GET", "/items"), ("POST", "/orders")],
            Self::Grpc => {
                [("fleet.Items", "Get"), ("fleet.Items", "List"), ("fleet.Orders", "Place")]
            }
            Self::Database(_) => [("SELECT", "items"), ("SELECT", "orders"), ("INSERT", "orders")],
        };
        of[number as usize % of.len()]
    }
}

// === impl Outcome ===

impl Outcome {
    /// Whether the client has an error.
    pub(super) fn client_error(self, kind: Kind) -> bool {
        match self {
            Self::Fine => false,
            // To an HTTP client 4xx is an error, to the server it is an answer.
            Self::NotFound => kind == Kind::Http,
            Self::Failed | Self::GivenUp | Self::Refused => true,
        }
    }

    /// Whether the server has one.
    pub(super) fn server_error(self) -> bool {
        self == Self::Failed
    }

    /// The status of an HTTP answer that the client (or the server itself) saw.
    pub(super) fn http_status(self, by_client: bool) -> Option<u16> {
        match self {
            Self::Fine => Some(200),
            Self::NotFound => Some(404),
            Self::Failed => Some(500),
            Self::GivenUp => (!by_client).then_some(200),
            Self::Refused => None,
        }
    }

    /// The status of a gRPC call.
    pub(super) fn grpc_status(self, by_client: bool) -> &'static str {
        match self {
            Self::Failed => "INTERNAL",
            Self::GivenUp if by_client => "DEADLINE_EXCEEDED",
            Self::Fine | Self::NotFound | Self::GivenUp => "OK",
            Self::Refused => "UNAVAILABLE",
        }
    }

    /// `error.type`, if one side has an error.
    pub(super) fn error_type(self, kind: Kind, by_client: bool) -> Option<&'static str> {
        let is_error = if by_client { self.client_error(kind) } else { self.server_error() };
        if !is_error {
            return None;
        }
        Some(match (self, kind) {
            (Self::Failed, Kind::Http) => "500",
            (Self::Failed, Kind::Grpc) => "INTERNAL",
            (Self::Failed, Kind::Database(_)) => "57014",
            (Self::NotFound, _) => "404",
            (Self::GivenUp, _) => "timeout",
            (Self::Refused | Self::Fine, _) => "connection_refused",
        })
    }
}
