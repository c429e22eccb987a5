//! Metrics in every format, well formed but for what their fields say.

use portolan_proto::{ForeignPoint, ForeignValue, MetricEncoding, write_metrics};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::NOW;

/// One message of points.
pub fn metrics(encoding: MetricEncoding) -> impl Strategy<Value = Vec<u8>> {
    vec(point(), 1..6).prop_map(move |points| write_metrics(encoding, &points))
}

fn point() -> impl Strategy<Value = ForeignPoint> {
    let name = prop_oneof![
        Just("http.client.request.duration"),
        Just("http_client_request_duration_seconds"),
        Just("rpc.client.duration"),
        Just("rpc.server.call.duration"),
        Just("istio_requests_total"),
        Just("istio_request_bytes"),
        Just("messaging.client.sent.messages"),
        Just("ipc.client.call"),
        Just("up"),
    ];
    let key = prop_oneof![
        Just("server.address"),
        Just("server.port"),
        Just("reporter"),
        Just("source_workload"),
        Just("destination_service"),
        Just("rpc.status_code"),
        Just("http.response.status_code"),
        Just("messaging.destination.name"),
        Just("ipc.server.app"),
        Just("le"),
    ];
    let text = prop_oneof!["[a-z.]{0,12}", "[0-9.]{1,5}", "[a-z]{1,4}:[0-9]{1,6}", ".{0,3}"];
    let text = prop_oneof![text, Just("source".to_owned()), Just("a.b.svc".to_owned())];
    let attribute = (key.prop_map(str::to_owned), text);
    let numbers = prop_oneof![0.0..1e3_f64, Just(f64::NAN), Just(-1.0), Just(f64::INFINITY)];
    let counts = || vec(prop_oneof![0..9_u64, Just(u64::MAX)], 0..5);
    let value = prop_oneof![
        numbers.clone().prop_map(ForeignValue::Counter),
        (numbers.clone(), vec(numbers.clone(), 0..5), counts())
            .prop_map(|(sum, bounds, counts)| ForeignValue::Histogram { sum, bounds, counts }),
        (numbers, any::<i8>(), 0..3_u64, any::<i32>(), counts()).prop_map(
            |(sum, scale, zero, offset, counts)| {
                let counts = counts.into_iter().map(|n| n.min(9)).collect();
                ForeignValue::Exponential { sum, scale, zero, offset, counts }
            }
        ),
    ];
    let times = (0..9_000_000_000_u64, 0..200_000_000_000_u64);
    (name, "[a-z]{0,6}", vec(attribute, 0..6), times, any::<bool>(), value).prop_map(
        |(name, service, attributes, (ago, took), delta, value)| ForeignPoint {
            resource: vec![("service.name".into(), service)],
            scope: "soup".into(),
            name: name.into(),
            unit: "s".into(),
            attributes,
            delta,
            start: NOW - ago - took,
            time: NOW - ago,
            value,
        },
    )
}
