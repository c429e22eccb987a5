//! Questions to the running process, over gRPC, in the blocking style of the tests.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use portolan_proto::v1;
use portolan_proto::v1::topology_service_client::TopologyServiceClient;
use tonic::transport::{Channel, Endpoint};

use super::{Portolan, everything};

/// One answer; the server's own deadline is shorter.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks at a process that works on: short against an epoch (1 s by default), long
/// against a query (1 ms).
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl Portolan {
    /// A client for anything that has no method here.
    pub fn client(&self) -> anyhow::Result<TopologyServiceClient<Channel>> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.grpc))?
            .connect_timeout(Duration::from_secs(5))
            .timeout(ANSWER_PATIENCE);
        let client = self.runtime.block_on(TopologyServiceClient::connect(endpoint))?;
        // A page of 10,000 edges is about 4 MB: more than the default allows.
        Ok(client.max_decoding_message_size(64 << 20))
    }

    /// Runs a call of [`Self::client`] to its end.
    pub fn block_on<T>(&self, call: impl Future<Output = T>) -> T {
        self.runtime.block_on(call)
    }

    /// `GetGraph`, all pages in one answer.
    pub fn graph(&self, mut request: v1::GetGraphRequest) -> anyhow::Result<v1::GetGraphResponse> {
        let mut client = self.client()?;
        let mut whole: Option<v1::GetGraphResponse> = None;
        loop {
            let page = self.block_on(client.get_graph(request.clone()))?.into_inner();
            request.page_token.clone_from(&page.next_page_token);
            let whole = match &mut whole {
                None => whole.insert(page),
                Some(whole) => {
                    whole.nodes.extend(page.nodes);
                    whole.edges.extend(page.edges);
                    whole
                }
            };
            if request.page_token.is_empty() {
                let mut whole = std::mem::take(whole);
                whole.nodes.sort_by(|a, b| a.id.cmp(&b.id));
                whole.nodes.dedup_by(|a, b| a.id == b.id);
                whole.next_page_token.clear();
                return Ok(whole);
            }
        }
    }

    /// The graph over all of time.
    pub fn whole_graph(&self) -> anyhow::Result<v1::GetGraphResponse> {
        self.graph(everything())
    }

    /// `GetStatus`.
    pub fn status(&self) -> anyhow::Result<v1::GetStatusResponse> {
        let mut client = self.client()?;
        Ok(self.block_on(client.get_status(v1::GetStatusRequest::default()))?.into_inner())
    }

    /// Asks for the whole graph until it is as wanted, and returns it. Not ready and not reachable
    /// are not yet.
    ///
    /// # Errors
    /// After `patience`: what was waited for, the last answer, and the end of the log.
    pub fn wait_for_graph(
        &mut self,
        what: &str,
        patience: Duration,
        wanted: impl Fn(&v1::GetGraphResponse) -> bool,
    ) -> anyhow::Result<v1::GetGraphResponse> {
        self.wait_for(what, patience, Self::whole_graph, wanted)
    }

    /// The same with the status.
    pub fn wait_for_status(
        &mut self,
        what: &str,
        patience: Duration,
        wanted: impl Fn(&v1::GetStatusResponse) -> bool,
    ) -> anyhow::Result<v1::GetStatusResponse> {
        self.wait_for(what, patience, Self::status, wanted)
    }

    fn wait_for<T: std::fmt::Debug>(
        &mut self,
        what: &str,
        patience: Duration,
        ask: impl Fn(&Self) -> anyhow::Result<T>,
        wanted: impl Fn(&T) -> bool,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + patience;
        loop {
            let answer = ask(self);
            if let Ok(answer) = answer {
                if wanted(&answer) {
                    return Ok(answer);
                }
                if Instant::now() > deadline {
                    bail!("{what}: not after {patience:?}, but {answer:#?}\n{}", self.log_tail());
                }
            } else if Instant::now() > deadline {
                let failure = answer.err().context("the answer is an error here")?;
                bail!("{what}: not after {patience:?}, but {failure:#}\n{}", self.log_tail());
            }
            if let Some(status) = self.ended()? {
                bail!("{what}: portolan ended ({status})\n{}", self.log_tail());
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}
