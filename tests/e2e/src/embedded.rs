//! The stand-in where no real Kafka can be had: librdkafka's mock cluster, on a thread of its own.

use std::sync::mpsc;
use std::thread;

use anyhow::Context;
use rdkafka::mocking::MockCluster;

type Order =
    Box<dyn FnOnce(&MockCluster<'static, rdkafka::producer::DefaultProducerContext>) + Send>;

/// An in-process broker. It keeps 5 MiB or 100,000 batches of a partition and drops the oldest
/// silently; its log starts anew with every value of this type.
pub struct Embedded {
    orders: mpsc::Sender<Order>,
    bootstrap: String,
}

impl Embedded {
    /// Starts it with one broker.
    pub fn start() -> anyhow::Result<Self> {
        let (orders, inbox) = mpsc::channel::<Order>();
        let (ready, started) = mpsc::channel();
        // The cluster's handle cannot change threads, so one thread keeps it.
        thread::Builder::new().name("embedded-kafka".to_owned()).spawn(move || {
            let cluster = match MockCluster::new(1) {
                Ok(cluster) => cluster,
                Err(error) => {
                    let _ = ready.send(Err(error));
                    return;
                }
            };
            let _ = ready.send(Ok(cluster.bootstrap_servers()));
            for order in inbox {
                order(&cluster);
            }
        })?;
        let bootstrap = started.recv().context("the embedded broker died at start")??;
        Ok(Self { orders, bootstrap })
    }

    /// What clients connect to.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Makes a topic; it must be new.
    pub fn create_topic(&self, name: &str, partitions: i32) -> anyhow::Result<()> {
        let name = name.to_owned();
        self.order(move |cluster| cluster.create_topic(&name, partitions, 1))
    }

    /// Drops all connections and takes no new ones.
    pub fn down(&self) -> anyhow::Result<()> {
        self.order(|cluster| cluster.broker_down(1))
    }

    /// Takes connections again, with all its data.
    pub fn up(&self) -> anyhow::Result<()> {
        self.order(|cluster| cluster.broker_up(1))
    }

    fn order<F>(&self, what: F) -> anyhow::Result<()>
    where
        F: FnOnce(
                &MockCluster<'static, rdkafka::producer::DefaultProducerContext>,
            ) -> rdkafka::error::KafkaResult<()>
            + Send
            + 'static,
    {
        let (done, outcome) = mpsc::channel();
        let order: Order = Box::new(move |cluster| {
            let _ = done.send(what(cluster));
        });
        self.orders.send(order).ok().context("the embedded broker is gone")?;
        Ok(outcome.recv().context("the embedded broker died")??)
    }
}
