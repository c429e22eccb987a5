//! OTLP/gRPC: `TraceService/Export` and `MetricsService/Export`. Messages are taken as bytes, since
//! the line decodes them itself; services of other signals are not there, and say so
//! (`UNIMPLEMENTED`).

use std::convert::Infallible;
use std::task::{Context, Poll};

use bytes::{Buf as _, BufMut as _, Bytes};
use portolan_proto::{Encoding as Written, MetricEncoding, SpanEncoding};
use tokio::net::TcpListener;
use tonic::codec::{
    Codec, CompressionEncoding, DecodeBuf, Decoder, EnabledCompressionEncodings, EncodeBuf, Encoder,
};
use tonic::codegen::{Body, BoxFuture, Service, StdError, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};

use crate::export::{self, Failed, export, signal};
use crate::inbox::Refusal;
use crate::inboxes::Inboxes;
use crate::otlp;

#[derive(Clone)]
struct TraceService(Inboxes);

#[derive(Clone)]
struct MetricsService(Inboxes);

/// The one method of either, for messages that are written so.
struct Export(Inboxes, Written);

/// Messages as they are on the wire.
struct Raw;

/// Serves until `shutdown` is done.
pub async fn serve_grpc(
    listener: TcpListener,
    inboxes: Inboxes,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), tonic::transport::Error> {
    export::describe();
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let router = Server::builder()
        .add_service(TraceService(inboxes.clone()))
        .add_service(MetricsService(inboxes));
    router.serve_with_incoming_shutdown(incoming, shutdown).await
}

/// A service of OTLP: its name, and what its messages are.
macro_rules! service {
    ($service:ident, $name:literal, $written:expr) => {
        impl NamedService for $service {
            const NAME: &'static str = $name;
        }

        impl<B> Service<http::Request<B>> for $service
        where
            B: Body + Send + 'static,
            B::Error: Into<StdError> + Send + 'static,
        {
            type Response = http::Response<tonic::body::Body>;
            type Error = Infallible;
            type Future = BoxFuture<Self::Response, Self::Error>;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: http::Request<B>) -> Self::Future {
                let export = Export(self.0.clone(), $written);
                Box::pin(async move {
                    if request.uri().path() != concat!("/", $name, "/Export") {
                        return Ok(Status::unimplemented("no such method").into_http());
                    }
                    Ok(answer(export, request).await)
                })
            }
        }
    };
}

service!(
    TraceService,
    "opentelemetry.proto.collector.trace.v1.TraceService",
    Written::Span(SpanEncoding::OtlpProto)
);
service!(
    MetricsService,
    "opentelemetry.proto.collector.metrics.v1.MetricsService",
    Written::Metric(MetricEncoding::OtlpProto)
);

async fn answer<B>(export: Export, request: http::Request<B>) -> http::Response<tonic::body::Body>
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    let mut compressed = EnabledCompressionEncodings::default();
    compressed.enable(CompressionEncoding::Gzip);
    let most = export.0.bounds().message_bytes;
    let mut grpc = Grpc::new(Raw)
        .apply_compression_config(compressed, EnabledCompressionEncodings::default())
        .apply_max_message_size_config(Some(most), None);
    grpc.unary(export, request).await
}

// === impl Export ===

impl UnaryService<Bytes> for Export {
    type Response = Bytes;
    type Future = BoxFuture<Response<Bytes>, Status>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (inboxes, written) = (self.0.clone(), self.1);
        Box::pin(async move {
            let done = export(&inboxes, "grpc", written, request.into_inner()).await;
            done.map(|verdict| Response::new(otlp::taken(&verdict).into()))
                .map_err(|failed| status(&failed, signal(written)))
        })
    }
}

fn status(failed: &Failed, signal: &str) -> Status {
    let (code, message) = match failed {
        Failed::Malformed(why) => {
            return Status::invalid_argument(format!("not an export of {signal}: {why}"));
        }
        Failed::Refused(refusal) => match refusal {
            Refusal::Busy => (Code::ResourceExhausted, refusal.to_string()),
            Refusal::Late => (Code::Unavailable, refusal.to_string()),
            // What the disk says is nobody's business outside.
            Refusal::Broken(_) => (Code::Unavailable, "not taken: see the server's log".to_owned()),
        },
    };
    let details = otlp::retry_status(code.into(), &message);
    Status::with_details(code, message, details.into())
}

// === impl Raw ===

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
