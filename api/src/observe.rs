//! Around every method: its deadline, its metrics, its status.

use std::time::{Duration, Instant};

use tonic::{Code, Request, Response, Status};

use crate::{Error, names};

/// Runs a method within its deadline and counts how it ended.
pub(crate) async fn observe<T>(
    rpc: &'static str,
    deadline: Duration,
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<Response<T>, Status> {
    let mut record = Record { rpc, begun: Instant::now(), code: Code::Cancelled };
    let answer = match tokio::time::timeout(deadline, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::Deadline),
    };
    let answer = answer.map(Response::new).map_err(Status::from);
    record.code = answer.as_ref().map_or_else(Status::code, |_| Code::Ok);
    answer
}

/// The deadline of a request: the server's own, or the caller's if that is shorter. Of the caller's
/// a little is kept back, so that the answer "too late" still arrives in time.
pub(crate) fn deadline<T>(request: &Request<T>, own: Duration) -> Duration {
    let asked = request.metadata().get("grpc-timeout").and_then(|value| value.to_str().ok());
    asked.and_then(parse_timeout).map_or(own, |asked| own.min(asked.saturating_sub(asked / 16)))
}

/// A timeout as the gRPC protocol writes it: at most eight digits and a unit
/// (PROTOCOL-HTTP2, "Timeout").
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// Counts a request when it ends, also when its caller goes away first.
struct Record {
    rpc: &'static str,
    begun: Instant,
    code: Code,
}

impl Drop for Record {
    fn drop(&mut self) {
        let seconds = self.begun.elapsed().as_secs_f64();
        metrics::histogram!(names::SECONDS, "rpc" => self.rpc).record(seconds);
        metrics::counter!(names::REQUESTS, "rpc" => self.rpc, "code" => code(self.code))
            .increment(1);
    }
}

/// The name of a code in the gRPC specification.
fn code(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::Unavailable => "UNAVAILABLE",
        Code::Internal => "INTERNAL",
        _ => "UNKNOWN",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeout_is_read_as_the_protocol_writes_it() {
        assert_eq!(parse_timeout("2S"), Some(Duration::from_secs(2)));
        assert_eq!(parse_timeout("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for bad in ["", "S", "123456789S", "-1S", "1x", "1\u{fc}"] {
            assert_eq!(parse_timeout(bad), None, "{bad}");
        }
    }

    #[test]
    fn shorter_deadline_holds() {
        let mut request = Request::new(());
        let own = Duration::from_secs(10);
        assert_eq!(deadline(&request, own), own);
        request.set_timeout(Duration::from_secs(60));
        assert_eq!(deadline(&request, own), own);
        request.set_timeout(Duration::from_millis(1600));
        assert_eq!(deadline(&request, own), Duration::from_millis(1500));
    }

    #[test]
    fn every_end_of_a_request_is_counted_by_its_code() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let long = Duration::from_secs(60);
        metrics::with_local_recorder(&recorder, || {
            crate::describe_metrics();
            runtime.block_on(async {
                observe("A", long, async { Ok(()) }).await.unwrap();
                observe("A", long, async { Err::<(), _>(Error::Busy) }).await.unwrap_err();
                observe("A", Duration::ZERO, std::future::pending::<Result<(), _>>())
                    .await
                    .unwrap_err();
                let given_up = observe("A", long, std::future::pending::<Result<(), _>>());
                assert!(futures::FutureExt::now_or_never(given_up).is_none());
            });
        });
        let text = recorder.handle().render();
        for code in ["OK", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "CANCELLED"] {
            let line = format!("portolan_api_requests_total{{rpc=\"A\",code=\"{code}\"}} 1");
            assert!(text.contains(&line), "{line} is not in {text}");
        }
        assert!(text.contains("portolan_api_request_seconds_count{rpc=\"A\"} 4"), "{text}");
    }
}
