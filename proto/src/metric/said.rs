//! What labels say, in the spellings of those who write them: hosts, ports, statuses.

/// The host of a gRPC target: `dns:///orders.prod:9090`, `xds:///orders`, `ipv4:10.0.0.1:80`.
pub(super) fn target_host(target: &str) -> &str {
    if let Some((_, rest)) = target.split_once("://") {
        // What stands before the next slash is whom to ask for the name.
        return rest.split_once('/').map_or(rest, |(_, endpoint)| endpoint);
    }
    let schemes = ["dns:", "ipv4:", "ipv6:", "passthrough:"];
    schemes.iter().find_map(|scheme| target.strip_prefix(scheme)).unwrap_or(target)
}

/// The host of a cluster of Envoy that a mesh named: `outbound|9080||reviews.default.svc.…`.
pub(super) fn cluster_host(cluster: &str) -> Option<&str> {
    let mut parts = cluster.split('|');
    let is_outbound = parts.next() == Some("outbound");
    let host = parts.nth(2)?;
    (is_outbound && !host.is_empty()).then_some(host)
}

/// A host without its port.
pub(super) fn split_port(said: &str) -> (&str, u16) {
    if let Some(rest) = said.strip_prefix('[')
        && let Some((host, after)) = rest.split_once(']')
    {
        return (host, after.trim_start_matches(':').parse().unwrap_or(0));
    }
    match said.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') && !host.is_empty() => {
            port.parse().map_or((said, 0), |port| (host, port))
        }
        _ => (said, 0),
    }
}

/// The number of a status of gRPC, by number or by name in any of its spellings.
pub(super) fn grpc_code(said: &str) -> Option<u16> {
    const NAMES: [&str; 17] = [
        "ok",
        "cancelled",
        "unknown",
        "invalidargument",
        "deadlineexceeded",
        "notfound",
        "alreadyexists",
        "permissiondenied",
        "resourceexhausted",
        "failedprecondition",
        "aborted",
        "outofrange",
        "unimplemented",
        "internal",
        "unavailable",
        "dataloss",
        "unauthenticated",
    ];
    if let Ok(code) = said.parse() {
        return Some(code);
    }
    let word: String = said.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).collect();
    NAMES.iter().position(|name| *name == word).map(|code| code as u16)
}

/// The codes that the conventions take for errors of the server: UNKNOWN, DEADLINE_EXCEEDED,
/// UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS.
pub(super) const fn is_server_error(code: u16) -> bool {
    matches!(code, 2 | 4 | 12..=15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_in_targets_clusters_and_headers() {
        assert_eq!(split_port(target_host("dns:///orders.prod:9090")), ("orders.prod", 9090));
        assert_eq!(split_port(target_host("xds:///orders")), ("orders", 0));
        assert_eq!(split_port(target_host("ipv4:10.0.0.1:80")), ("10.0.0.1", 80));
        assert_eq!(split_port(target_host("dns://8.8.8.8/orders:1")), ("orders", 1));
        assert_eq!(split_port("[fd00::1]:80"), ("fd00::1", 80));
        assert_eq!(split_port("fd00::1"), ("fd00::1", 0));
        let reviews = "outbound|9080||reviews.default.svc.cluster.local";
        assert_eq!(cluster_host(reviews), Some("reviews.default.svc.cluster.local"));
        assert_eq!(cluster_host("inbound|9080||"), None);
        assert_eq!(cluster_host("xds-grpc"), None);
    }

    #[test]
    fn statuses_of_grpc_are_read_in_every_spelling() {
        for said in ["14", "UNAVAILABLE", "Unavailable", "unavailable"] {
            assert_eq!(grpc_code(said), Some(14), "{said}");
        }
        assert_eq!(grpc_code("DEADLINE_EXCEEDED"), Some(4));
        assert_eq!(grpc_code("OK"), Some(0));
        assert_eq!(grpc_code("E_NONE"), None);
    }
}
