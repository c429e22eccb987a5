//! What an export of OTLP is answered with, as protobuf and as JSON (OTLP specification,
//! "OTLP/gRPC", "OTLP/HTTP" and "JSON Protobuf Encoding").

use prost::Message;
use serde_json::{Map, Value, json};

use crate::export::{COME_AGAIN, Verdict};

/// `ExportTraceServiceResponse` (and the responses of the other signals, which are alike).
#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

/// `ExportTracePartialSuccess`.
#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// The answer to what was taken, as protobuf.
pub(crate) fn taken(verdict: &Verdict) -> Vec<u8> {
    let partial_success = (verdict.rejected > 0)
        .then(|| PartialSuccess { rejected: verdict.rejected, error_message: verdict.why.clone() });
    Response { partial_success }.encode_to_vec()
}

/// The same as JSON. `rejected` is the name that the signal has for what was not taken.
pub(crate) fn taken_json(verdict: &Verdict, rejected: &str) -> Vec<u8> {
    let mut said = Map::new();
    if verdict.rejected > 0 {
        let mut partial = Map::new();
        // 64 bit numbers are text in protobuf's JSON.
        partial.insert(rejected.to_owned(), Value::String(verdict.rejected.to_string()));
        partial.insert("errorMessage".to_owned(), Value::String(verdict.why.clone()));
        said.insert("partialSuccess".to_owned(), Value::Object(partial));
    }
    Value::Object(said).to_string().into_bytes()
}

/// A refusal, as protobuf.
pub(crate) fn status(code: i32, message: &str) -> Vec<u8> {
    Status { code, message: message.into(), details: Vec::new() }.encode_to_vec()
}

/// The same as JSON.
pub(crate) fn status_json(code: i32, message: &str) -> Vec<u8> {
    json!({ "code": code, "message": message }).to_string().into_bytes()
}

/// A refusal with `google.rpc.RetryInfo`: without it exporters do not come again.
pub(crate) fn retry_status(code: i32, message: &str) -> Vec<u8> {
    // RetryInfo { retry_delay = 1: Duration { seconds = 1 } }
    let seconds = COME_AGAIN.as_secs() as u8;
    let retry = vec![0x0a, 2, 0x08, seconds];
    let details =
        vec![Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".into(), value: retry }];
    Status { code, message: message.into(), details }.encode_to_vec()
}
