//! The harness of the end-to-end tests: a real Kafka, the real binary, and the means to hurt both.
//!
//! ```text
//! test ──► Topics ──► Broker { Kafka (a JVM) | Embedded (a thread) } ◄── Portolan (a process) ◄── test
//! ```
//!
//! - Every process that is started ends with the test process, even when that is killed.
//! - Every directory and port is the harness's own; nothing outside loopback is reached but Maven
//!   Central, once.
//! - Which broker the tests ran on is written down where `make test` prints it ([`Broker::shared`]).

mod broker;
mod embedded;
mod guard;
mod kafka;
mod portolan;
mod ports;
mod topics;

pub use broker::Broker;
pub use embedded::Embedded;
pub use kafka::{Kafka, VERSION as KAFKA_VERSION};
pub use portolan::{Portolan, Setup, TopicSetup, command};
pub use ports::free_port;
pub use topics::{Produced, Topics, Writer};
