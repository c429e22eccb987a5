//! What any gRPC tool expects of a server.

use portolan_api::{Limits, LineStatus};
use portolan_proto::v1::GetGraphRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::harness::{Line, start};

const SERVICE: &str = "portolan.v1.TopologyService";

async fn channel(address: &str) -> Channel {
    Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

async fn reflect(address: &str, ask: MessageRequest) -> MessageResponse {
    let mut client = ServerReflectionClient::new(channel(address).await);
    let request = ServerReflectionRequest { message_request: Some(ask), ..Default::default() };
    let stream = futures::stream::iter([request]);
    let mut answers = client.server_reflection_info(stream).await.unwrap().into_inner();
    let answer: ServerReflectionResponse = answers.message().await.unwrap().unwrap();
    answer.message_response.unwrap()
}

#[tokio::test]
async fn reflection_lists_the_service_and_describes_it() {
    let (server, _) = Line::shop().serve().await;
    let all = reflect(&server.address, MessageRequest::ListServices(String::new())).await;
    let MessageResponse::ListServicesResponse(all) = all else { panic!("{all:?}") };
    let names: Vec<&str> = all.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&SERVICE) && names.contains(&"grpc.health.v1.Health"), "{names:?}");
    let file = reflect(&server.address, MessageRequest::FileContainingSymbol(SERVICE.into())).await;
    assert!(matches!(file, MessageResponse::FileDescriptorResponse(_)), "{file:?}");
}

#[tokio::test]
async fn health_is_serving_for_the_server_and_the_service() {
    let (server, _) = Line::shop().serve().await;
    let mut health = HealthClient::new(channel(&server.address).await);
    for service in ["", SERVICE] {
        let request = HealthCheckRequest { service: service.into() };
        let status = health.check(request).await.unwrap().into_inner().status();
        assert_eq!(status, ServingStatus::Serving);
    }
}

#[tokio::test]
async fn shutdown_is_told_to_those_who_watch_and_does_not_wait_for_them_for_ever() {
    let limits = Limits { grace: std::time::Duration::from_millis(50), ..Limits::default() };
    let reader = std::sync::Arc::new(Line::shop().reader());
    let (mut server, _client) = start(reader, LineStatus::default(), limits).await;
    let mut health = HealthClient::new(channel(&server.address).await);
    let request = HealthCheckRequest { service: SERVICE.into() };
    let mut watch = health.watch(request).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    server.stop();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    server.done.await.unwrap().unwrap();
}

/// One HTTP/1.1 request, and all of its response.
async fn http1(address: &str, path: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {kind}\r\nx-grpc-web: 1\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn grpc_web_is_answered_over_http_1() {
    let (server, _) = Line::shop().serve().await;
    // A frame of length 0: an empty GetStatusRequest.
    let path = format!("/{SERVICE}/GetStatus");
    let answer = http1(&server.address, &path, "application/grpc-web+proto", &[0; 5]).await;
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(text.contains("application/grpc-web+proto"), "{text}");
    assert!(text.contains("starting"), "the state of the line is in the body");
    assert!(text.contains("grpc-status:0"), "trailers are in the body: {text}");
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_ask() {
    let (server, _) = Line::shop().serve().await;
    let mut client = portolan_proto::v1::topology_service_client::TopologyServiceClient::new(
        channel(&server.address).await,
    )
    .accept_compressed(CompressionEncoding::Gzip)
    .send_compressed(CompressionEncoding::Gzip);
    let answer = client.get_graph(GetGraphRequest::default()).await.unwrap();
    assert_eq!(answer.metadata().get("grpc-encoding").unwrap(), "gzip");
    assert_eq!(answer.into_inner().total_edges, 4);
}

#[tokio::test]
async fn request_over_its_bound_is_refused_and_the_server_goes_on() {
    let (_server, mut client) = Line::shop().serve().await;
    let huge = GetGraphRequest { page_token: "0".repeat(2 << 20), ..Default::default() };
    let status = client.get_graph(Request::new(huge)).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    client.get_graph(GetGraphRequest::default()).await.unwrap();
}

#[tokio::test]
async fn garbage_on_the_wire_is_refused_and_the_server_goes_on() {
    let (server, mut client) = Line::shop().serve().await;
    let path = format!("/{SERVICE}/GetGraph");
    let body = [0, 0, 0, 0, 3, 0xff, 0xff, 0xff];
    let answer = http1(&server.address, &path, "application/grpc-web+proto", &body).await;
    let text = String::from_utf8_lossy(&answer);
    assert!(!text.contains("grpc-status:0\r") && text.contains("grpc-status:"), "{text}");
    client.get_graph(GetGraphRequest::default()).await.unwrap();
}
