//! The listener: gRPC over HTTP/2, gRPC-Web over HTTP/1.1, health, reflection.

use portolan_proto::FILE_DESCRIPTOR_SET;
use portolan_proto::v1::topology_service_server::TopologyServiceServer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_web::GrpcWebLayer;

use crate::Topology;

/// The server could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The descriptors of the contract do not fit together.
    #[error("reflection cannot describe the contract")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The listener failed.
    #[error("grpc server failed")]
    Transport(#[from] tonic::transport::Error),
}

/// Most streams of one connection: a client that wants more opens another.
const MAX_STREAMS: u32 = 128;

/// Serves until `shutdown` is done. Requests under way then have the grace of the limits to end.
pub async fn serve(
    listener: TcpListener,
    topology: Topology,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let limits = topology.inner.limits.clone();
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<TopologyServiceServer<Topology>>().await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let service = TopologyServiceServer::new(topology)
        .max_decoding_message_size(limits.max_request_bytes)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    let router = Server::builder()
        // gRPC-Web comes over HTTP/1.1.
        .accept_http1(true)
        .max_concurrent_streams(MAX_STREAMS)
        .layer(GrpcWebLayer::new())
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        // Tools of before 2023 ask this one only.
        .add_service(reflection().build_v1alpha()?)
        .add_service(service);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let (stop, stopped) = watch::channel(());
    let mut stopping = stopped.clone();
    let serving = router.serve_with_incoming_shutdown(incoming, async move {
        // An error means that the sender is gone: that is the sign.
        while stopping.changed().await.is_ok() {}
    });
    let ending = async {
        shutdown.await;
        health.set_not_serving::<TopologyServiceServer<Topology>>().await;
        drop(stop);
        tokio::time::sleep(limits.grace).await;
    };
    drop(stopped);
    tokio::select! {
        served = serving => served?,
        () = ending => tracing::warn!("connections were still open when the grace was over"),
    }
    Ok(())
}
