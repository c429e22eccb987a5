//! OTLP/gRPC: `TraceService/Export`. Messages are taken as bytes, since the line decodes them itself;
//! services of other signals are not there, and say so (`UNIMPLEMENTED`).

use std::convert::Infallible;
use std::task::{Context, Poll};

use bytes::{Buf as _, BufMut as _, Bytes};
use prost::Message as _;
use tokio::net::TcpListener;
use tonic::codec::{
    Codec, CompressionEncoding, DecodeBuf, Decoder, EnabledCompressionEncodings, EncodeBuf, Encoder,
};
use tonic::codegen::{Body, BoxFuture, Service, StdError, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};

use crate::inbox::{Inbox, Refusal};
use crate::otlp::{self, Failed};

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

#[derive(Clone)]
struct TraceService(Inbox);

struct Export(Inbox);

/// Messages as they are on the wire.
struct Raw;

/// Serves until `shutdown` is done.
pub async fn serve_grpc(
    listener: TcpListener,
    inbox: Inbox,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), tonic::transport::Error> {
    crate::http::describe();
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let router = Server::builder().add_service(TraceService(inbox));
    router.serve_with_incoming_shutdown(incoming, shutdown).await
}

// === impl TraceService ===

impl NamedService for TraceService {
    const NAME: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
}

impl<B> Service<http::Request<B>> for TraceService
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
        let inbox = self.0.clone();
        Box::pin(async move {
            if request.uri().path() != EXPORT {
                return Ok(Status::unimplemented("no such method").into_http());
            }
            let mut compressed = EnabledCompressionEncodings::default();
            compressed.enable(CompressionEncoding::Gzip);
            let most = inbox.bounds().message_bytes;
            let mut grpc = Grpc::new(Raw)
                .apply_compression_config(compressed, EnabledCompressionEncodings::default())
                .apply_max_message_size_config(Some(most), None);
            Ok(grpc.unary(Export(inbox), request).await)
        })
    }
}

impl UnaryService<Bytes> for Export {
    type Response = Bytes;
    type Future = BoxFuture<Response<Bytes>, Status>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let inbox = self.0.clone();
        Box::pin(async move {
            let done = otlp::export_traces(&inbox, request.into_inner()).await;
            crate::http::count("grpc", &done);
            done.map(|said| Response::new(said.encode_to_vec().into())).map_err(|f| status(&f))
        })
    }
}

fn status(failed: &Failed) -> Status {
    let (code, message) = match failed {
        Failed::Malformed(why) => {
            return Status::invalid_argument(format!("not a trace export: {why}"));
        }
        Failed::Refused(refusal) => match refusal {
            Refusal::Busy => (Code::ResourceExhausted, refusal.to_string()),
            Refusal::Late => (Code::Unavailable, refusal.to_string()),
            // What the disk says is nobody's business outside.
            Refusal::Broken(_) => (Code::Unavailable, "not taken: see the server's log".to_owned()),
        },
    };
    let details = otlp::retry_status(code.into(), &message).encode_to_vec();
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
