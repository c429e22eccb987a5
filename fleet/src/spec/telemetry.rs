//! What services themselves tell of their calls, as settings.

use serde::{Deserialize, Serialize};

/// Spans and IPC metrics of the fleet's calls. Off unless asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetrySpec {
    /// Instrumented services emit spans (OTLP).
    pub spans: bool,
    /// Which metrics they emit (OTLP), if any.
    pub metrics: MetricForm,
    /// Metrics are cumulative since the start of the reporter, in place of deltas.
    pub cumulative: bool,
    /// How often metrics are reported, in milliseconds.
    pub report_ms: u32,
    /// Traces that are kept, in a thousand: consistent sampling at the root (`tracestate: ot=th`).
    pub sampled_permille: u16,
    /// Workloads that emit nothing, in a thousand.
    pub dark_permille: u16,
    /// Spans that are lost before they leave, in a thousand.
    pub lost_permille: u16,
    /// Requests that fail, in a thousand: half of them by the server, a quarter by a client that
    /// gives up first, a quarter because the client asked for what is not there.
    pub failed_permille: u16,
    /// Messages that leave twice, in a thousand.
    pub duplicate_permille: u16,
    /// Messages that leave up to twenty seconds late, in a thousand.
    pub late_permille: u16,
}

/// Which IPC metrics services emit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricForm {
    /// None.
    Off,
    /// Semantic conventions of OpenTelemetry, each process for itself: `http.client.request.duration`,
    /// `rpc.server.call.duration` and their kin. A client names an address, a server names nobody.
    OpenTelemetry,
    /// `ipc.client.call` and `ipc.server.call`: both ends by name.
    Ipc,
    /// `istio_requests_total` and its histogram, by the proxies of both ends.
    Istio,
}

// === impl TelemetrySpec ===

impl TelemetrySpec {
    /// Nothing is told.
    pub const fn off() -> Self {
        Self {
            spans: false,
            metrics: MetricForm::Off,
            cumulative: false,
            // Every window of ten seconds gets a report.
            report_ms: 10_000,
            sampled_permille: 1_000,
            dark_permille: 0,
            lost_permille: 0,
            failed_permille: 10,
            duplicate_permille: 0,
            late_permille: 0,
        }
    }

    /// Spans of every trace, and metrics by the conventions of OpenTelemetry.
    pub const fn full() -> Self {
        Self { spans: true, metrics: MetricForm::OpenTelemetry, ..Self::off() }
    }

    /// The same with everything that goes wrong on the way.
    pub const fn hard() -> Self {
        Self {
            dark_permille: 150,
            lost_permille: 10,
            duplicate_permille: 20,
            late_permille: 20,
            ..Self::full()
        }
    }

    /// Whether anything is told.
    pub(crate) fn is_on(&self) -> bool {
        self.spans || self.metrics != MetricForm::Off
    }
}

impl Default for TelemetrySpec {
    fn default() -> Self {
        Self::off()
    }
}
