//! The service: each method in a file of its own.

use std::sync::Arc;

use portolan_proto::v1::{self, topology_service_server::TopologyService};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use crate::observe::{deadline, observe};
use crate::scan::Places;
use crate::shown::Graphs;
use crate::{Limits, SnapshotPort, StatusPort, TopologyReader};

mod changes;
mod coverage;
mod diff;
mod get_edge;
mod get_graph;
mod get_status;
mod overlay_trace;
mod search;
mod snapshot_store;
mod traverse;

/// `portolan.v1.TopologyService`. It can also be asked without a network, as a value.
#[derive(Clone)]
pub struct Topology {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) reader: Arc<dyn TopologyReader>,
    pub(crate) line: Arc<dyn StatusPort>,
    pub(crate) graphs: Graphs,
    pub(crate) queries: Places,
    pub(crate) limits: Limits,
    pub(crate) store: Option<Arc<dyn SnapshotPort>>,
    /// One at a time.
    pub(crate) snapshots: Arc<Semaphore>,
}

// === impl Topology ===

impl Topology {
    /// The service over what it reads.
    pub fn new(reader: Arc<dyn TopologyReader>, line: Arc<dyn StatusPort>, limits: Limits) -> Self {
        let graphs = Graphs::new(reader.clone(), &limits);
        let queries = Places::new(limits.queries, limits.wait);
        let (store, snapshots) = (None, Arc::new(Semaphore::new(1)));
        Self { inner: Arc::new(Inner { reader, line, graphs, queries, limits, store, snapshots }) }
    }

    /// The same, over a store of which snapshots can be made.
    #[must_use]
    pub fn with_snapshots(mut self, store: Arc<dyn SnapshotPort>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.store = Some(store);
        }
        self
    }
}

#[tonic::async_trait]
impl TopologyService for Topology {
    async fn get_graph(
        &self,
        request: Request<v1::GetGraphRequest>,
    ) -> Result<Response<v1::GetGraphResponse>, Status> {
        let deadline = deadline(&request, self.inner.limits.deadline);
        observe("GetGraph", deadline, get_graph::get_graph(&self.inner, request.into_inner())).await
    }

    async fn traverse(
        &self,
        request: Request<v1::TraverseRequest>,
    ) -> Result<Response<v1::TraverseResponse>, Status> {
        let deadline = deadline(&request, self.inner.limits.deadline);
        observe("Traverse", deadline, traverse::traverse(&self.inner, request.into_inner())).await
    }

    async fn coverage(
        &self,
        request: Request<v1::CoverageRequest>,
    ) -> Result<Response<v1::CoverageResponse>, Status> {
        let deadline = deadline(&request, self.inner.limits.deadline);
        observe("Coverage", deadline, coverage::coverage(&self.inner, request.into_inner())).await
    }

    async fn diff(
        &self,
        request: Request<v1::DiffRequest>,
    ) -> Result<Response<v1::DiffResponse>, Status> {
        let deadline = deadline(&request, self.inner.limits.deadline);
        observe("Diff", deadline, diff::diff(&self.inner, request.into_inner())).await
    }

    async fn changes(
        &self,
        request: Request<v1::ChangesRequest>,
    ) -> Result<Response<v1::ChangesResponse>, Status> {
        let deadline = deadline(&request, self.inner.limits.deadline);
        observe("Changes", deadline, changes::changes(&self.inner, request.into_inner())).await
    }

    async fn get_edge(
        &self,
        request: Request<v1::GetEdgeRequest>,
    ) -> Result<Response<v1::GetEdgeResponse>, Status> {
        let deadline = deadline(&request, self.inner.limits.deadline);
        observe("GetEdge", deadline, get_edge::get_edge(&self.inner, request.into_inner())).await
    }

    async fn overlay_trace(
        &self,
        request: Request<v1::OverlayTraceRequest>,
    ) -> Result<Response<v1::OverlayTraceResponse>, Status> {
        let deadline = deadline(&request, self.inner.limits.deadline);
        let overlay = overlay_trace::overlay_trace(&self.inner, request.into_inner());
        observe("OverlayTrace", deadline, overlay).await
    }

    async fn search(
        &self,
        request: Request<v1::SearchRequest>,
    ) -> Result<Response<v1::SearchResponse>, Status> {
        let deadline = deadline(&request, self.inner.limits.deadline);
        observe("Search", deadline, search::search(&self.inner, request.into_inner())).await
    }

    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let deadline = deadline(&request, self.inner.limits.deadline);
        observe("GetStatus", deadline, get_status::get_status(&self.inner)).await
    }
    type SnapshotStoreStream = snapshot_store::Progress;

    async fn snapshot_store(
        &self,
        request: Request<v1::SnapshotStoreRequest>,
    ) -> Result<Response<Self::SnapshotStoreStream>, Status> {
        let deadline = deadline(&request, self.inner.limits.deadline);
        let caller = request.remote_addr();
        let begun = snapshot_store::snapshot_store(&self.inner, request.into_inner(), caller);
        observe("SnapshotStore", deadline, begun).await
    }
}
