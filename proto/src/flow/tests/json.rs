use super::*;

fn decode_json(payload: &str) -> (Vec<FlowRow>, Vec<(Reject, String)>) {
    decode_as(FlowEncoding::NetobservJson, payload.as_bytes())
}

const FLOW: &str = r#"{"SrcAddr":"10.0.0.1","DstAddr":"10.0.0.2","SrcPort":40000,"DstPort":80,
    "Proto":6,"Etype":2048,"Bytes":1500,"Packets":3,"Flags":258,"AgentIP":"10.0.0.9",
    "TimeFlowStartMs":1795435190500,"TimeFlowEndMs":1795435195000,"TimeFlowRttNs":250000,
    "Sampling":1,"Interfaces":["eth0"],"K8S_ClusterName":"east","_RecordType":"flowLog"}"#;

fn flow_row() -> FlowRow {
    FlowRow { end: 1_795_435_195_000_000_000, ..golden_row() }
}

/// `FLOW` in one line with one text replaced.
fn with(from: &str, to: &str) -> String {
    assert!(FLOW.contains(from));
    FLOW.replace(from, to).replace('\n', "")
}

fn reason_of(flow: &str) -> Reject {
    let (rows, refused) = decode_json(flow);
    assert_eq!(rows, []);
    assert_eq!(refused.len(), 1);
    refused[0].0
}

#[test]
fn object_over_several_lines_is_one_flow() {
    assert_eq!(decode_json(FLOW), (vec![flow_row()], vec![]));
}

#[test]
fn array_and_lines_hold_many_flows() {
    let line = with("flowLog", "flowLog");
    let array = format!(" [{FLOW}, {line}]");
    assert_eq!(decode_json(&array), (vec![flow_row(); 2], vec![]));
    let lines = format!("{line}\n\n{line}\r\n{line}");
    assert_eq!(decode_json(&lines), (vec![flow_row(); 3], vec![]));
}

#[test]
fn bad_line_or_element_is_refused_alone() {
    let line = with("flowLog", "flowLog");
    let (rows, refused) = decode_json(&format!("{{broken\n{line}\n[]\n{line}"));
    assert_eq!(rows, vec![flow_row(); 2]);
    assert!(refused[0].1.starts_with("record 0: "), "{refused:?}");
    assert_eq!(refused[1], (Reject::Undecodable, "record 2: not a JSON object".to_owned()));
    let (rows, refused) = decode_json(&format!("[{line}, 7, {line}]"));
    assert_eq!(rows, vec![flow_row(); 2]);
    assert_eq!(refused, [(Reject::Undecodable, "record 1: not a JSON object".to_owned())]);
}

#[test]
fn broken_array_is_refused_once_and_whole() {
    let (rows, refused) = decode_json(&format!("[{FLOW}, {FLOW}"));
    assert_eq!(rows, []);
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].0, Reject::Undecodable);
    assert_eq!(reason_of("  \n "), Reject::Undecodable);
    assert_eq!(reason_of("7"), Reject::Undecodable);
}

#[test]
fn numbers_may_be_text_and_absent_fields_null() {
    let flow = with("40000", "\"40000\"").replace("\"Sampling\":1", "\"Sampling\":1.0");
    assert_eq!(decode_json(&flow), (vec![flow_row()], vec![]));
    let flow = with("\"10.0.0.9\"", "null").replace("250000", "null");
    let row = FlowRow { agent: Ip::NONE, rtt: 0, ..flow_row() };
    assert_eq!(decode_json(&flow), (vec![row], vec![]));
}

#[test]
fn flags_are_a_number_or_names() {
    for flags in ["\"258\"", "258.0", "[\"SYN\",\"SYN_ACK\"]", "[\"syn\", 256, \"WHAT\"]"] {
        let flow = with("\"Flags\":258", &format!("\"Flags\":{flags}"));
        assert_eq!(decode_json(&flow), (vec![flow_row()], vec![]), "{flags}");
    }
}

#[test]
fn absent_ethernet_type_is_decided_by_the_addresses() {
    let flow = with("\"Etype\":2048,", "").replace("10.0.0.1", "2001:db8::1");
    assert_eq!(decode_json(&flow).0[0].src, "2001:db8::1".parse().unwrap());
    assert_eq!(reason_of(&with("2048", "2054")), Reject::NotIp);
    assert_eq!(reason_of(&with("2048", "4294969344")), Reject::NotIp, "2^32 + 2048");
}

#[test]
fn conversation_record_is_derived() {
    assert_eq!(reason_of(&with("flowLog", "heartbeat")), Reject::Derived);
    assert_eq!(reason_of(&with("\"Proto\":6", "\"Proto\":6,\"Duplicate\":true")), Reject::Derived);
}

#[test]
fn drops_and_translation_are_read() {
    let more = r#""Proto":6,"PktDropBytes":5,"PktDropPackets":"2","XlatSrcAddr":"",
        "XlatDstAddr":"10.0.0.7","XlatDstPort":8080"#;
    let xlat = Xlat { dst: Ip::v4(0x0a00_0007), dst_port: 8080, ..Xlat::default() };
    let row = FlowRow { drop_bytes: 5, drop_packets: 2, xlat: Some(xlat), ..flow_row() };
    assert_eq!(decode_json(&with("\"Proto\":6", more)), (vec![row], vec![]));
}

#[test]
fn value_of_the_wrong_type_is_a_bad_field() {
    assert_eq!(reason_of(&with("40000", "-1")), Reject::BadField);
    assert_eq!(reason_of(&with("40000", "1.5")), Reject::BadField);
    assert_eq!(reason_of(&with("40000", "70000")), Reject::BadField);
    // Floats over 2^53 do not hold their last digits, and one below zero is no count.
    for bytes in ["9007199254740994.0", "1e30", "-1.0"] {
        let bytes = format!("\"Bytes\":{bytes}");
        assert_eq!(reason_of(&with("\"Bytes\":1500", &bytes)), Reject::BadField, "{bytes}");
    }
    assert_eq!(reason_of(&with("\"10.0.0.1\"", "\"web\"")), Reject::BadField);
    assert_eq!(reason_of(&with("\"10.0.0.1\"", "[]")), Reject::BadField);
    assert_eq!(reason_of(&with("\"10.0.0.1\"", "\"\"")), Reject::NoAddress);
    assert_eq!(reason_of(&with("1795435190500", "18446744073709551615")), Reject::NoTime);
}

#[test]
fn cluster_names_the_scope_only_if_asked_to() {
    let mut out = FlowColumns::default();
    let mut decoder = FlowDecoder::default().with_scope_from_cluster(true);
    let encoding = FlowEncoding::NetobservJson;
    for flow in [FLOW.to_owned(), with("east", "west"), with("\"east\"", "null")] {
        decoder.decode(encoding, SCOPE, NOW, flow.as_bytes(), &mut out, &mut |why| {
            panic!("{why:?}");
        });
    }
    assert_eq!(
        out.scope,
        [ScopeId::of("cluster/east/pod"), ScopeId::of("cluster/west/pod"), SCOPE]
    );
}

#[test]
fn deep_nesting_does_no_harm() {
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let flow = with("[\"eth0\"]", &deep);
    assert_eq!(decode_json(&flow), (vec![flow_row()], vec![]));
    assert_eq!(reason_of(&with("258", &deep)), Reject::Undecodable);
}
