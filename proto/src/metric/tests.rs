//! Points in, canonical records out, in every format.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use portolan_model::{MetricColumns, MetricEnd, Nanos, Outcome};

use super::{Families, ForeignPoint, ForeignValue, decode_metrics, write_metrics};
use crate::{MetricEncoding, Refused};

mod remote_write;

const NOW: Nanos = 1_700_000_000_000_000_000;
const SECOND: Nanos = 1_000_000_000;

/// Point `service.name=web,http.x=y metric{a=b,c=d} value`.
fn point(resource: &str, name: &str, attributes: &str, value: ForeignValue) -> ForeignPoint {
    let pairs = |text: &str| {
        let pairs = text.split(',').filter_map(|pair| pair.trim().split_once('='));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    };
    ForeignPoint {
        resource: pairs(resource),
        scope: "lib".into(),
        name: name.into(),
        attributes: pairs(attributes),
        start: NOW - 60 * SECOND,
        time: NOW - SECOND,
        value,
        ..ForeignPoint::default()
    }
}

fn read(encoding: MetricEncoding, payload: &[u8]) -> (MetricColumns, Vec<Refused>) {
    let (mut out, mut refused) = (MetricColumns::default(), Vec::new());
    let families = Families::default();
    let refuse = &mut |why| refused.push(why);
    decode_metrics(encoding, &families, NOW, 1 << 20, payload, &mut out, refuse);
    (out, refused)
}

/// What points come to, one a line; the same whether as protobuf or as JSON.
fn check(points: &[ForeignPoint], expected: &Expect) {
    let texts = [MetricEncoding::OtlpProto, MetricEncoding::OtlpJson].map(|encoding| {
        let (columns, refused) = read(encoding, &write_metrics(encoding, points));
        render(&columns, &refused)
    });
    assert_eq!(texts[0], texts[1], "protobuf and JSON");
    expected.assert_eq(&texts[0]);
}

fn render(columns: &MetricColumns, refused: &[Refused]) -> String {
    let mut text = String::new();
    let end = |end: &MetricEnd| {
        let mut said = vec![];
        for (key, of) in [
            ("", end.service),
            ("ns=", end.namespace),
            ("addr=", end.address),
            ("net=", end.network),
            ("db=", end.db_system),
            ("base=", end.db_name),
            ("bus=", end.messaging_system),
            ("topic=", end.destination),
        ] {
            if !of.is_none() {
                said.push(format!("{key}{}", columns.say(of)));
            }
        }
        if end.port != 0 {
            said.push(format!(":{}", end.port));
        }
        if said.is_empty() { "-".to_owned() } else { said.join(" ") }
    };
    for row in columns.rows() {
        let _ = write!(text, "{} {} {:?}: ", row.source.as_str(), row.protocol.as_str(), row.what);
        let _ = write!(text, "{} > {}", end(&row.client), end(&row.server));
        if !row.operation.is_none() {
            let _ = write!(text, " [{}]", columns.say(row.operation));
        }
        for (bit, word) in [
            (Outcome::FAILED, "failed"),
            (Outcome::STATUS_4XX, "4xx"),
            (Outcome::STATUS_5XX, "5xx"),
            (Outcome::RETRY, "retry"),
        ] {
            if row.outcome.has(bit) {
                let _ = write!(text, " {word}");
            }
        }
        if let Some(count) = row.count_milli {
            let _ = write!(text, " n={}", count as f64 / 1e3);
        }
        if let Some(sum) = row.sum {
            let _ = write!(text, " sum={sum}");
        }
        let buckets = columns.buckets(row);
        if !buckets.is_empty() {
            let _ = write!(text, " {:?}{buckets:?}", row.shape);
        }
        text.push('\n');
    }
    if columns.other > 0 {
        let _ = writeln!(text, "other {}", columns.other);
    }
    for why in refused {
        let _ = writeln!(text, "refused {}: {}", why.reason.as_str(), why.detail);
    }
    text
}

fn seconds(sum: f64, counts: [u64; 3]) -> ForeignValue {
    ForeignValue::Histogram { sum, bounds: vec![0.1, 1.0], counts: counts.into() }
}

#[test]
fn conventions_name_the_reporter_and_the_address_that_it_called() {
    let web = "service.name=web,service.namespace=shop";
    check(
        &[
            point(
                web,
                "rpc.client.call.duration",
                "rpc.system.name=grpc,rpc.method=shop.Cart/Get,rpc.status_code=DEADLINE_EXCEEDED,\
                 error.type=DEADLINE_EXCEEDED,server.address=cart.shop.svc.cluster.local,server.port=7070",
                seconds(3.0, [1, 0, 1]),
            ),
            point(
                web,
                "rpc.server.call.duration",
                "rpc.system.name=grpc,rpc.method=shop.Web/Get,rpc.status_code=NOT_FOUND",
                seconds(0.1, [2, 0, 0]),
            ),
            point(
                web,
                "http.client.request.duration",
                "http.request.method=GET,server.address=10.0.0.7,server.port=8080,\
                 http.response.status_code=404",
                seconds(0.5, [0, 1, 0]),
            ),
            point(
                web,
                "db.client.operation.duration",
                "db.system.name=postgresql,db.namespace=orders,server.address=pg.prod,server.port=5432,\
                 db.operation.name=SELECT,db.collection.name=items",
                seconds(0.01, [1, 0, 0]),
            ),
            point(
                web,
                "messaging.client.sent.messages",
                "messaging.system=kafka,messaging.destination.name=orders",
                ForeignValue::Counter(4.0),
            ),
            point(
                web,
                "messaging.process.duration",
                "messaging.system=kafka,messaging.destination.name=orders",
                seconds(0.2, [1, 1, 0]),
            ),
            point(web, "process.cpu.time", "", ForeignValue::Counter(1.0)),
            point("", "http.client.request.duration", "", seconds(0.1, [1, 0, 0])),
        ],
        &expect![[r#"
            rpc_client grpc Calls: web ns=shop > cart ns=shop :7070 [shop.Cart/Get] failed 5xx n=2 sum=3000000000 Bounds[(100000000, 1), (1000000000, 0), (9223372036854775807, 1)]
            rpc_server grpc Calls: - > web ns=shop [shop.Web/Get] n=2 sum=100000000 Bounds[(100000000, 2), (1000000000, 0), (9223372036854775807, 0)]
            rpc_client http Calls: web ns=shop > addr=10.0.0.7 :8080 [GET] failed 4xx n=1 sum=500000000 Bounds[(100000000, 0), (1000000000, 1), (9223372036854775807, 0)]
            rpc_client database Calls: web ns=shop > addr=pg.prod db=postgresql base=orders :5432 [SELECT items] n=1 sum=10000000 Bounds[(100000000, 1), (1000000000, 0), (9223372036854775807, 0)]
            rpc_client messaging Calls: web ns=shop > bus=kafka topic=orders n=4
            rpc_server messaging Calls: bus=kafka topic=orders > web ns=shop n=2 sum=200000000 Bounds[(100000000, 1), (1000000000, 1), (9223372036854775807, 0)]
            other 1
            refused bad_field: http.client.request.duration: nothing names the service
        "#]],
    );
}

#[test]
fn old_names_are_milliseconds_and_fold_into_the_new() {
    let old = |name| {
        let mut point = point(
            "service.name=web",
            name,
            "rpc.system=grpc,rpc.service=shop.Cart,rpc.method=Get,rpc.grpc.status_code=14,\
             net.peer.name=cart,net.peer.port=7070",
            ForeignValue::Histogram { sum: 20.0, bounds: vec![10.0], counts: vec![0, 1] },
        );
        point.unit = "ms".into();
        point
    };
    check(
        &[old("rpc.client.duration")],
        &expect![[r#"
            rpc_client grpc Calls: web > addr=cart :7070 [shop.Cart/Get] failed 5xx n=1 sum=20000000 Bounds[(10000000, 0), (9223372036854775807, 1)]
        "#]],
    );
    let new = point("service.name=web", "rpc.client.call.duration", "", seconds(0.0, [0, 0, 0]));
    let encoding = MetricEncoding::OtlpProto;
    let points = [old("rpc.client.duration"), new];
    let (columns, _) = read(encoding, &write_metrics(encoding, &points));
    let [old, new] = columns.rows() else { panic!("two points") };
    assert_eq!((old.stream, old.group), (new.stream, new.group));
    assert!(old.counts > new.counts && old.times > new.times);
}

#[test]
fn proxies_of_a_mesh_name_both_ends() {
    let istio = |reporter: &str, more: &str| {
        point(
            "",
            "istio_requests_total",
            &format!(
                "reporter={reporter},source_workload=web-v1,source_canonical_service=web,\
                 source_workload_namespace=shop,request_protocol=grpc,{more}"
            ),
            ForeignValue::Counter(7.0),
        )
    };
    check(
        &[
            istio(
                "destination",
                "destination_canonical_service=cart,destination_service_namespace=shop,\
                 response_code=200,grpc_response_status=14",
            ),
            istio(
                "source",
                "destination_canonical_service=unknown,destination_service=PassthroughCluster,\
                 destination_workload_namespace=unknown,response_code=0,response_flags=UF",
            ),
            istio(
                "source",
                "destination_workload=unknown,destination_workload_namespace=shop,response_code=200",
            ),
            point(
                "service.name=web",
                "envoy_cluster_upstream_rq_total",
                "envoy_cluster_name=outbound|9080||reviews.default.svc.cluster.local",
                ForeignValue::Counter(1.0),
            ),
            point(
                "k8s.deployment.name=web,k8s.namespace.name=shop",
                "response_total",
                "direction=outbound,dst_deployment=cart,dst_namespace=shop,classification=failure,\
                 status_code=503",
                ForeignValue::Counter(1.0),
            ),
            point("service.name=web", "response_total", "direction=up", ForeignValue::Counter(1.0)),
            point(
                "",
                "istio_tcp_sent_bytes_total",
                "reporter=source,source_workload=web,destination_workload=db",
                ForeignValue::Counter(300.0),
            ),
        ],
        &expect![[r#"
            mesh_server grpc Calls: web ns=shop > cart ns=shop failed 5xx n=7
            mesh_client grpc Calls: web ns=shop > addr=PassthroughCluster failed n=7
            mesh_client grpc Calls: web ns=shop > - n=7
            mesh_client http Calls: web > reviews ns=default n=1
            mesh_client http Calls: web ns=shop > cart ns=shop failed 5xx n=1
            mesh_client tcp BytesReceived: web > db sum=300
            other 1
        "#]],
    );
}

#[test]
fn two_ended_metrics_are_taken_as_they_are() {
    check(
        &[
            point(
                "",
                "ipc.client.call",
                "ipc.client.app=web,ipc.server.app=cart,ipc.protocol=http_1,ipc.result=failure,\
                 ipc.attempt=second,ipc.endpoint=/cart",
                seconds(0.2, [1, 0, 0]),
            ),
            point(
                "",
                "traces_service_graph_request_total",
                "client=web,server=cart",
                ForeignValue::Counter(2.0),
            ),
            point(
                "service.name=web",
                "grpc.client.call.duration",
                "grpc.method=shop.Cart/Get,grpc.status=OK,grpc.target=dns:///cart.shop.svc:7070",
                seconds(0.2, [1, 0, 0]),
            ),
        ],
        &expect![[r#"
            rpc_client http Calls: web > cart [/cart] failed retry n=1 sum=200000000 Bounds[(100000000, 1), (1000000000, 0), (9223372036854775807, 0)]
            derived unknown Calls: web > cart n=2
            rpc_client grpc Calls: web > cart ns=shop :7070 [shop.Cart/Get] n=1 sum=200000000 Bounds[(100000000, 1), (1000000000, 0), (9223372036854775807, 0)]
        "#]],
    );
}

#[test]
fn exponential_histogram_keeps_its_indexes() {
    check(
        &[point(
            "service.name=web",
            "http.client.request.duration",
            "server.address=cart",
            ForeignValue::Exponential {
                sum: 1.5,
                scale: 3,
                zero: 1,
                offset: -2,
                counts: vec![1, 0, 4],
            },
        )],
        &expect![[r#"
            rpc_client http Calls: web > addr=cart n=6 sum=1500000000 Scale(3)[(-9223372036854775808, 1), (-2, 1), (0, 4)]
        "#]],
    );
}

#[test]
fn remote_write_brings_the_parts_of_a_histogram_one_by_one() {
    let encoding = MetricEncoding::RemoteWrite;
    let written = write_metrics(
        encoding,
        &[
            point(
                "job=shop/web,instance=a",
                "http_client_request_duration_seconds",
                "server_address=cart,server_port=80,http_request_method=GET",
                seconds(1.5, [1, 1, 1]),
            ),
            point("job=shop/web", "up", "", ForeignValue::Counter(1.0)),
        ],
    );
    let (columns, refused) = read(encoding, &written);
    expect![[r#"
        rpc_client http Calls: web ns=shop > addr=cart :80 [GET] Upto[(100000000, 1)]
        rpc_client http Calls: web ns=shop > addr=cart :80 [GET] Upto[(1000000000, 2)]
        rpc_client http Calls: web ns=shop > addr=cart :80 [GET] Upto[(9223372036854775807, 3)]
        rpc_client http Calls: web ns=shop > addr=cart :80 [GET] n=3
        rpc_client http Calls: web ns=shop > addr=cart :80 [GET] sum=1500000000
        other 1
    "#]]
    .assert_eq(&render(&columns, &refused));
    let series = columns.rows().iter().map(|row| row.series);
    assert!(series.clone().all(|s| Some(s) == series.clone().next()), "one series");
    // The same without compression.
    let plain = snap::raw::Decoder::new().decompress_vec(&written).unwrap();
    let (again, refused_again) = read(encoding, &plain);
    assert_eq!(render(&again, &refused_again), render(&columns, &refused));
}

#[test]
fn what_no_counter_can_have_is_refused() {
    let of = |value, time| {
        let mut point = point(
            "service.name=web",
            "http.client.request.duration",
            "server.address=cart",
            ForeignValue::Counter(value),
        );
        point.time = time;
        point
    };
    check(
        &[
            of(-1.0, NOW),
            of(1e300, NOW),
            of(1.0, 0),
            of(1.0, NOW + 7_200 * SECOND),
            of(1.0, NOW - 100 * SECOND),
        ],
        &expect![[r#"
            refused implausible: http.client.request.duration: a value that no counter can have
            refused implausible: http.client.request.duration: a value that no counter can have
            refused no_time: http.client.request.duration: no time
            refused future: http.client.request.duration: a point in the future
            refused ends_before_start: http.client.request.duration: it was read before it starts
        "#]],
    );
}
