//! `portolan demo` as a process: nothing outside it is needed.

use portolan_e2e::free_port;

use super::replay::asked;

#[test]
fn demo_runs_by_itself_and_its_map_is_exact() {
    let address = || format!("127.0.0.1:{}", free_port().unwrap());
    let (grpc, http) = (address(), address());
    let report =
        asked(&["demo", "--for", "5s", "--seed", "7", "--json", "--grpc", &grpc, "--http", &http]);
    let value =
        |pointer| report.pointer(pointer).unwrap_or_else(|| panic!("{pointer}: {report:#}"));
    let number = |pointer| value(pointer).as_u64().unwrap();
    let time = |pointer| value(pointer).as_f64().unwrap();
    assert_eq!(report["ok"], true, "{report:#}");
    assert!(number("/flows/sent") > 1_000, "{report:#}");
    assert_eq!(number("/flows/counted"), number("/flows/sent"));
    assert!(report["flows"]["rejected"].as_object().unwrap().is_empty());
    assert!(number("/edges/true") > 10);
    assert_eq!(number("/edges/found"), number("/edges/true"));
    assert_eq!((number("/edges/missing"), number("/edges/invented")), (0, 0));
    assert!(time("/freshness/p50_ms") > 0.0);
    assert!(time("/freshness/p99_ms") >= time("/freshness/p50_ms"));
    assert_eq!(number("/lag"), 0);
    assert_eq!(number("/seed"), 7);
}
