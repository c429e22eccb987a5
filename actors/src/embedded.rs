//! An embedded broker that speaks the Kafka protocol on loopback: librdkafka's mock cluster.
//!
//! It keeps 5 MiB (or 100,000 batches) of a partition and drops the oldest without a word, it knows
//! no transactions and no compaction, and it forgets all when it is dropped. For the demo and for
//! tests, with a producer that waits for its consumer.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;

/// What a partition holds at most before the oldest messages go (`rdkafka_mock.c`).
pub const PARTITION_BYTES: u64 = 5 << 20;

/// See the module. Lives on a thread of its own until dropped.
#[derive(Debug)]
pub struct EmbeddedBroker {
    brokers: String,
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

/// The broker could not do it.
#[derive(Debug, thiserror::Error)]
#[error("embedded broker: {0}")]
pub struct EmbeddedError(String);

type Answer = mpsc::SyncSender<Result<(), KafkaError>>;
type Command = (Order, Answer);

enum Order {
    CreateTopic { name: String, partitions: i32 },
    Down,
    Up,
    RoundTrip(Duration),
}

/// The only broker's number.
const BROKER: i32 = 1;

// === impl EmbeddedBroker ===

impl EmbeddedBroker {
    /// Starts it on a free loopback port.
    pub fn start() -> Result<Self, EmbeddedError> {
        let (commands, orders) = mpsc::channel::<Command>();
        let (started, start) = mpsc::sync_channel(1);
        let body = move || match MockCluster::new(1) {
            Ok(cluster) => {
                // The starter has gone away: so will its commands, and this thread.
                let _ = started.send(Ok(cluster.bootstrap_servers()));
                for (order, answer) in orders {
                    let _ = answer.send(carry_out(&cluster, order));
                }
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        };
        let thread = std::thread::Builder::new().name("portolan-broker".into()).spawn(body);
        let thread = thread.map_err(|error| EmbeddedError(error.to_string()))?;
        let brokers = start.recv().map_err(|_| EmbeddedError("its thread is gone".into()))?;
        let brokers = brokers.map_err(|error| EmbeddedError(error.to_string()))?;
        Ok(Self { brokers, commands: Some(commands), thread: Some(thread) })
    }

    /// Where it listens: a value for `bootstrap.servers`, also from other processes.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Makes a topic.
    pub fn create_topic(&self, name: &str, partitions: i32) -> Result<(), EmbeddedError> {
        self.order(Order::CreateTopic { name: name.into(), partitions })
    }

    /// Breaks off all connections and accepts none.
    pub fn down(&self) -> Result<(), EmbeddedError> {
        self.order(Order::Down)
    }

    /// Accepts connections again.
    pub fn up(&self) -> Result<(), EmbeddedError> {
        self.order(Order::Up)
    }

    /// Makes every answer take this long.
    pub fn round_trip(&self, delay: Duration) -> Result<(), EmbeddedError> {
        self.order(Order::RoundTrip(delay))
    }

    fn order(&self, order: Order) -> Result<(), EmbeddedError> {
        let gone = || EmbeddedError("its thread is gone".into());
        let (answer, answered) = mpsc::sync_channel(1);
        let commands = self.commands.as_ref().ok_or_else(gone)?;
        commands.send((order, answer)).map_err(|_| gone())?;
        let done = answered.recv().map_err(|_| gone())?;
        done.map_err(|error| EmbeddedError(error.to_string()))
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // A broker that panicked is gone, too.
            let _ = thread.join();
        }
    }
}

fn carry_out<C: rdkafka::ClientContext>(
    cluster: &MockCluster<'_, C>,
    order: Order,
) -> Result<(), KafkaError> {
    match order {
        Order::CreateTopic { name, partitions } => cluster.create_topic(&name, partitions, 1),
        Order::Down => cluster.broker_down(BROKER),
        Order::Up => cluster.broker_up(BROKER),
        Order::RoundTrip(delay) => cluster.broker_round_trip_time(BROKER, delay),
    }
}
