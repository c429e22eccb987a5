use portolan_model::{Measure, TimeRange};
use portolan_storage::ReadEdges as _;

use super::*;

/// The sum of a measure over the map of a file with this content.
fn sum_of(content: &str, encoding: &str, measure: Measure) -> (i64, Drawn) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    let flows = Input::parse_flows(&format!("{}:{encoding}", file.path().display())).unwrap();
    let line = line_config(LineConfig::default(), None).unwrap();
    let drawing = Drawing {
        flows: vec![flows],
        spans: vec![],
        metrics: vec![],
        owners: vec![],
        scope: "default".into(),
        line,
        families: Arc::default(),
    };
    let drawn = draw(&drawing, &|_| {}).unwrap();
    let mut sum = 0;
    drawn.store.edges(TimeRange::ALL, &mut |edge| sum += edge.counters[measure]).unwrap();
    (sum, drawn)
}

const SHORT: &str = "dstaddr srcaddr srcport dstport protocol bytes start end";

#[test]
fn header_of_a_flow_log_holds_until_the_next() {
    let log = format!(
        "{SHORT}\n10.0.0.2 10.0.0.1 40000 80 6 5 1795420230 1795420231\nnonsense\n\
         10.0.0.2 10.0.0.1 40001 80 6 7 1795420232 1795420233\n\
         srcaddr dstaddr srcport dstport protocol bytes start end\n\
         10.0.0.1 10.0.0.2 40002 80 6 11 1795420234 1795420235\n"
    );
    let (sent, drawn) = sum_of(&log, "aws-vpc", Measure::BytesSent);
    assert_eq!((sent, drawn.accepted), (23, 3));
    assert_eq!(drawn.rejects, BTreeMap::from([(Reject::Undecodable, 1)]));
    assert!(drawn.refusals[0].contains("line 3: undecodable: "), "{:?}", drawn.refusals);
}

#[test]
fn flow_log_without_a_header_has_the_default_format() {
    let line = "2 1 eni-1 10.0.0.1 10.0.0.2 40000 80 6 3 90 1795420230 1795420231 ACCEPT OK";
    let (sent, drawn) = sum_of(line, "aws-vpc", Measure::BytesSent);
    assert_eq!((sent, drawn.accepted, drawn.rejects.len()), (90, 1, 0));
}

#[test]
fn both_interfaces_of_a_connection_are_counted_once() {
    let line = |interface: &str, bytes: u32| {
        format!(
            "2 1 {interface} 10.0.0.1 10.0.0.2 40000 80 6 3 {bytes} 1795420230 1795420234 ACCEPT OK"
        )
    };
    let log = format!("{}\n{}\n", line("eni-1", 90), line("eni-2", 80));
    assert_eq!(sum_of(&log, "aws-vpc", Measure::BytesSent).0, 90);
}

#[test]
fn connection_in_the_log_of_a_proxy_is_one_connection() {
    let log = "2025-11-23T14:17:15.5Z\tinfo\taccess\tconnection complete\tsrc.addr=10.0.0.1:40000 \
               dst.addr=10.0.0.2:15008 dst.hbone_addr=10.0.0.2:80 direction=\"outbound\" \
               bytes_sent=90 bytes_recv=7 duration=\"15ms\"\n";
    let (opened, drawn) = sum_of(log, "ztunnel-text", Measure::Connections);
    assert_eq!((opened, drawn.accepted), (1, 2));
    assert_eq!(sum_of(log, "ztunnel-text", Measure::ConnectionsFailed).0, 0);
    assert_eq!(sum_of(log, "ztunnel-text", Measure::BytesReceived).0, 7);
}

#[test]
fn unknown_encoding_of_a_file_is_answered_with_all_there_are() {
    let error = Input::parse_flows("flows.bin").unwrap_err().to_string();
    assert!(error.contains("FILE:netobserv-pb") && error.ends_with("FILE:obi-otlp"), "{error}");
}

#[test]
fn inventory_beside_a_flow_file_names_its_ends() {
    let flow = r#"{"SrcAddr":"10.0.0.1","DstAddr":"10.0.0.2","SrcPort":40000,"DstPort":5432,"Proto":6,
        "Etype":2048,"Bytes":9,"Packets":1,"TimeFlowStartMs":1795420230000,"TimeFlowEndMs":1795420231000}"#
        .replace('\n', "");
    let inventory = "- {name: web, ips: 10.0.0.1}\n\
                     - {kind: database, name: orders, ips: 10.0.0.2, ports: 5432}\n";
    let draw_with = |inventory: &str| {
        let (flows, owners) =
            (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
        std::fs::write(flows.path(), &flow).unwrap();
        std::fs::write(owners.path(), inventory).unwrap();
        let named =
            |file: &tempfile::NamedTempFile, e: &str| format!("{}:{e}", file.path().display());
        let drawing = Drawing {
            flows: vec![Input::parse_flows(&named(&flows, "netobserv-json")).unwrap()],
            spans: vec![],
            metrics: vec![],
            owners: vec![Input::parse_owners(&named(&owners, "inventory-yaml")).unwrap()],
            scope: "default".into(),
            line: line_config(LineConfig::default(), None).unwrap(),
            families: Arc::default(),
        };
        draw(&drawing, &|_| {})
    };
    let drawn = draw_with(inventory).unwrap();
    let mut names = Vec::new();
    drawn.store.entities(&mut |_, entity| names.push(format!("{:?} {}", entity.kind, entity.name)));
    names.sort();
    assert_eq!((names, drawn.owners), (vec!["Database orders".into(), "Workload web".into()], 2));
    let error = draw_with("- {name: web, ips: 10.0.0}").err().unwrap().to_string();
    assert!(error.ends_with(": entry 1 (web): ips: \"10.0.0\" is not an address"), "{error}");
}

#[test]
fn metrics_are_read_by_the_families_of_a_configuration_over_its_windows() {
    use portolan_model::{CallMeasure, CallSource};
    use portolan_proto::{ForeignPoint, ForeignValue, write_metrics};

    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let point = ForeignPoint {
        resource: vec![pair("service.name", "web")],
        name: "partner.calls".into(),
        attributes: vec![pair("partner", "bank")],
        delta: true,
        start: 1_795_420_230_000_000_000,
        time: 1_795_420_231_000_000_000,
        value: ForeignValue::Counter(3.0),
        ..ForeignPoint::default()
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), write_metrics(MetricEncoding::OtlpProto, &[point])).unwrap();
    let text = "[store]\nwindow_secs = 60\n[metrics.ends.partner]\nservice = [\"partner\"]\n\
                [[metrics.families]]\nnames = [\"partner.calls\"]\nsource = \"rpc_client\"\n\
                group = \"partner\"\ncounts = 0\nclient = \"reporter\"\nserver = \"partner\"\n";
    let configured = crate::config::Config::parse("test", text, []).unwrap();
    let mut found = Vec::new();
    for config in [crate::config::Config::default(), configured] {
        let metrics = format!("{}:otlp-metrics-proto", file.path().display());
        let drawing = Drawing {
            flows: vec![],
            spans: vec![],
            metrics: vec![Input::parse_metrics(&metrics).unwrap()],
            owners: vec![],
            scope: "default".into(),
            line: line_config(config.line_config(), None).unwrap(),
            families: Arc::new(config.metrics.families().unwrap()),
        };
        let drawn = draw(&drawing, &|_| {}).unwrap();
        let mut rows = Vec::new();
        drawn.store.calls(TimeRange::ALL, &mut |row| rows.push(row.clone())).unwrap();
        found.push((drawn.store.window_len().secs(), rows));
    }
    assert_eq!(found[0], (10, vec![]), "no family knows it");
    let (60, [row]) = (found[1].0, &found[1].1[..]) else { panic!("{:?}", found[1]) };
    assert_eq!(row.key.source, CallSource::RpcClient);
    assert_eq!(row.counters[CallMeasure::CallsMilli], 3_000);
    let finer = line_config(LineConfig::default(), Some(5)).unwrap();
    assert_eq!(finer.window.secs(), 5, "what is said on the command line holds");
    assert!(line_config(LineConfig::default(), Some(7)).is_err());
}
