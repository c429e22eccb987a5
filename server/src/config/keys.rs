//! Every key: its form, and what is allowed. The text of refusals, and the types of variables.

/// A key of the configuration.
pub(super) struct Key {
    /// Its path; `[]` stands for any index.
    pub path: &'static str,
    /// What a variable of the environment is read as.
    pub form: Form,
    /// What is allowed.
    pub allowed: &'static str,
}

/// What a variable of the environment is read as.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Form {
    Text,
    Number,
    Boolean,
}

const fn key(path: &'static str, form: Form, allowed: &'static str) -> Key {
    Key { path, form, allowed }
}

/// All keys but the free ones below `kafka[].properties`. The bounds are those of `check.rs`.
pub(super) const KEYS: &[Key] = &[
    key("listen.grpc", Form::Text, "an IP address and a port, such as \"127.0.0.1:7474\""),
    key("listen.http", Form::Text, "an IP address and a port, such as \"127.0.0.1:7475\""),
    key("receive.otlp_grpc", Form::Text, "an IP address and a port, such as \"127.0.0.1:4317\""),
    key("receive.otlp_http", Form::Text, "an IP address and a port, such as \"127.0.0.1:4318\""),
    key("receive.zipkin", Form::Text, "an IP address and a port, such as \"127.0.0.1:9411\""),
    key("store.path", Form::Text, "a directory"),
    key("store.window_secs", Form::Number, "seconds that divide a day: 1 to 3600, such as 10"),
    key(
        "store.retention",
        Form::Text,
        "\"0s\" for ever, or a duration from 10m to 100years and no shorter than line.horizon",
    ),
    key(
        "store.max_bytes",
        Form::Number,
        "0 for no bound, or a whole number of bytes from 268435456 (256 MiB)",
    ),
    key(
        "store.levels[].length",
        Form::Text,
        "a duration that divides a day and is a multiple of the level before, such as \"1m\"",
    ),
    key(
        "store.levels[].retention",
        Form::Text,
        "\"0s\" for ever, or a duration no shorter than that of the finer level, such as \"30days\"",
    ),
    key("store.on_damage", Form::Text, "\"recover\" or \"refuse\""),
    key("line.horizon", Form::Text, "a duration from 10s to 1h in whole seconds, such as \"60s\""),
    key("line.late_horizon", Form::Text, "a duration from line.horizon to 1h, such as \"10m\""),
    key("line.clock_tolerance", Form::Text, "a duration from 0ms to 1m, such as \"2s\""),
    key("line.max_connections", Form::Number, "a whole number from 1000 to 100000000"),
    key("traces.wait", Form::Text, "a duration from 1s to 5m in whole seconds, such as \"15s\""),
    key(
        "traces.horizon",
        Form::Text,
        "a duration from 10s to 1h in whole seconds and at least twice traces.wait, such as \"60s\"",
    ),
    key("traces.link_lag", Form::Text, "a duration from 1m to 1day in whole seconds"),
    key("traces.max_spans", Form::Number, "a whole number from 1000 to 100000000"),
    key("traces.max_operations", Form::Number, "a whole number from 0 to 10000"),
    key("traces.max_exemplars", Form::Number, "a whole number from 0 to 100000"),
    key("traces.user", Form::Text, "1 to 64 characters"),
    key("traces.strict", Form::Boolean, "true or false"),
    key("traces.links", Form::Text, "\"messaging\" or \"all\""),
    key(
        "metrics.horizon",
        Form::Text,
        "a duration from 10s to 1h in whole seconds, such as \"60s\"",
    ),
    key("metrics.gap", Form::Text, "a duration from 10s to 1day in whole seconds, such as \"5m\""),
    key("metrics.max_points", Form::Number, "a whole number from 1000 to 100000000"),
    key(FAMILIES, Form::Text, "families of metrics, as docs/METRIC_FAMILIES.md has them"),
    key(ENDS, Form::Text, "lists of labels that name an end, as docs/METRIC_FAMILIES.md has them"),
    key(
        STATUS,
        Form::Text,
        "lists of labels that say how calls ended: http, grpc, error, protocol",
    ),
    key("notes.max_subjects", Form::Number, "a whole number from 100 to 10000000"),
    key("notes.max_versions", Form::Number, "a whole number from 1 to 10000"),
    key("notes.max_changes", Form::Number, "a whole number from 100 to 10000000"),
    key("line.commit_interval", Form::Text, "a duration from 50ms to 1m, such as \"1s\""),
    key("line.max_epoch_records", Form::Number, "a whole number from 1000 to 100000000"),
    key("line.now_range", Form::Text, "a duration from one window to 1day, such as \"5m\""),
    key("log.format", Form::Text, "\"text\" or \"json\""),
    key(
        "log.level",
        Form::Text,
        "off, error, warn, info, debug or trace; by module with commas: \"info,portolan_actors=debug\"",
    ),
    key("limits.max_message_bytes", Form::Number, "a whole number from 1024 to 1073741824"),
    key("limits.dead_letters", Form::Number, "a whole number from 0 to 10000"),
    key(
        "kafka[].name",
        Form::Text,
        "1 to 64 of A-Z a-z 0-9 . _ -, different for every cluster, not \"local\"",
    ),
    key("kafka[].brokers", Form::Text, "host:port, several with commas"),
    key("kafka[].properties", Form::Text, "librdkafka's consumer properties, names as it has them"),
    key(
        "kafka[].topics[].name",
        Form::Text,
        "1 to 249 of A-Z a-z 0-9 . _ -, different for every topic of the cluster",
    ),
    key(
        "kafka[].topics[].encoding",
        Form::Text,
        concat!(
            "\"netobserv-pb\", \"netobserv-json\", \"goflow2-pb\", \"goflow2-json\", ",
            "\"hubble-json\", \"aws-vpc\", \"ztunnel-json\", \"ztunnel-text\", \"envoy-json\", ",
            "\"obi-otlp\", \"portolan-pb\", \"portolan-json\", \"netobserv-k8scache\", ",
            "\"otlp-proto\", \"otlp-json\", \"zipkin-json\", \"zipkin-json-v1\", ",
            "\"zipkin-proto\", \"zipkin-thrift\", \"jaeger-proto\", \"jaeger-json\", ",
            "\"otlp-metrics-proto\", \"otlp-metrics-json\", \"prometheus-remote-write\", ",
            "\"portolan-catalogue-pb\", \"portolan-catalogue-json\", \"portolan-changes-pb\" or ",
            "\"portolan-changes-json\""
        ),
    ),
    key("kafka[].topics[].scope", Form::Text, "1 to 255 characters, such as \"cluster/a/pod\""),
    key(
        "kafka[].topics[].fields",
        Form::Text,
        "with encoding \"aws-vpc\", the format string of the flow log: fields with spaces between",
    ),
    key("kafka[].topics[].gaps_are_losses", Form::Boolean, "true or false"),
    key("inventory[].name", Form::Text, "1 to 64 of A-Z a-z 0-9 . _ -, different for every file"),
    key("inventory[].path", Form::Text, "a file"),
    key("inventory[].encoding", Form::Text, "\"inventory-yaml\" or \"inventory-csv\""),
    key("inventory[].scope", Form::Text, "1 to 255 characters, such as \"cluster/a/pod\""),
];

/// The free keys: `kafka[].properties.…`.
pub(super) const PROPERTIES: &str = "kafka[].properties";
const FAMILIES: &str = "metrics.families";
const ENDS: &str = "metrics.ends";
const STATUS: &str = "metrics.status";
/// What stands below these is not listed key by key; of a file alone, but for the first.
pub(super) const FREE: [&str; 4] = [PROPERTIES, FAMILIES, ENDS, STATUS];

/// The key at a path, whatever the indexes in it.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    let general = generalise(path);
    let general = FREE.into_iter().find(|free| general.starts_with(free)).unwrap_or(&general);
    KEYS.iter().find(|key| key.path == general)
}

/// `kafka[3].name` is `kafka[].name`.
pub(super) fn generalise(path: &str) -> String {
    let mut general = String::with_capacity(path.len());
    let mut inside = false;
    for c in path.chars() {
        inside = (inside || c == '[') && c != ']';
        if !inside || c == '[' {
            general.push(c);
        }
    }
    general
}
