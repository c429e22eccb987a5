//! What types cannot say: bounds, and keys that must agree. A problem is `(path, what is wrong)`.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use portolan_model::WindowLen;
use portolan_proto::{Encoding, FlowDecoder, FlowEncoding};

use super::properties::OWNED;
use super::{Config, Kafka, Level, Store, Topic};

type Problem = (String, String);

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Seconds of it fit into 32 bits, as the line counts them; window starts end in 2106 anyway.
const LONGEST_RETENTION: Duration = Duration::from_secs(100 * 31_557_600);

/// More would be merged again and again for little.
const MOST_LEVELS: usize = 8;

/// Four times what the journals alone may take.
const LEAST_BYTES: u64 = 256 << 20;

/// All checks, in the order of the sections.
pub(super) fn check(config: &Config) -> Result<(), Problem> {
    listen(config)?;
    store(config)?;
    line(config)?;
    traces(config)?;
    metrics(config)?;
    notes(config)?;
    level(&config.log.level)?;
    within("limits.max_message_bytes", &config.limits.max_message_bytes, &(1 << 10..=1 << 30))?;
    within("limits.dead_letters", &config.limits.dead_letters, &(0..=10_000))?;
    clusters(config)?;
    inventories(config)
}

fn problem<T>(path: impl Into<String>, text: impl Into<String>) -> Result<T, Problem> {
    Err((path.into(), text.into()))
}

fn within<T>(path: &str, value: &T, allowed: &RangeInclusive<T>) -> Result<(), Problem>
where
    T: PartialOrd + std::fmt::Display,
{
    if allowed.contains(value) { Ok(()) } else { problem(path, format!("{value} is out of range")) }
}

fn lasting(path: &str, value: Duration, allowed: RangeInclusive<Duration>) -> Result<(), Problem> {
    if allowed.contains(&value) {
        return Ok(());
    }
    problem(path, format!("{} is out of range", humantime::format_duration(value)))
}

fn listen(config: &Config) -> Result<(), Problem> {
    let (grpc, http) = (config.listen.grpc, config.listen.http);
    if grpc == http && grpc.port() != 0 {
        return problem("listen.http", format!("{http} is taken by listen.grpc"));
    }
    let (otlp_grpc, otlp_http) = config.receivers();
    let receivers = [
        ("receive.otlp_grpc", otlp_grpc),
        ("receive.otlp_http", otlp_http),
        ("receive.zipkin", config.receive.zipkin),
    ];
    let mut taken = vec![("listen.grpc", grpc), ("listen.http", http)];
    for (key, addr) in receivers {
        let Some(addr) = addr.filter(|addr| addr.port() != 0) else { continue };
        if let Some((name, _)) = taken.iter().find(|(_, other)| *other == addr) {
            return problem(key, format!("{addr} is taken by {name}"));
        }
        taken.push((key, addr));
    }
    Ok(())
}

fn store(config: &Config) -> Result<(), Problem> {
    let store = &config.store;
    if store.path.as_os_str().is_empty() {
        return problem("store.path", "it is empty");
    }
    if store.window_secs > 3_600 || WindowLen::try_new(store.window_secs).is_none() {
        return problem("store.window_secs", format!("{} is not allowed", store.window_secs));
    }
    if !store.retention.is_zero() {
        lasting("store.retention", store.retention, 10 * MINUTE..=LONGEST_RETENTION)?;
        if store.retention < config.line.horizon {
            return problem("store.retention", "it is shorter than line.horizon");
        }
    }
    if store.max_bytes > 0 && store.max_bytes < LEAST_BYTES {
        return problem("store.max_bytes", format!("{} is not allowed", store.max_bytes));
    }
    store.levels.as_deref().map_or(Ok(()), |all| levels(store, all))
}

/// Each level is merged from the one before: its length is a multiple of that one's, and it lasts as long at least.
fn levels(store: &Store, levels: &[Level]) -> Result<(), Problem> {
    if levels.len() > MOST_LEVELS {
        return problem("store.levels", format!("there are more than {MOST_LEVELS}"));
    }
    let mut finer = Duration::from_secs(u64::from(store.window_secs));
    let mut kept = store.retention;
    for (at, level) in levels.iter().enumerate() {
        let (length, retention) =
            (format!("store.levels[{at}].length"), format!("store.levels[{at}].retention"));
        let secs = u32::try_from(level.length.as_secs()).ok();
        let whole = level.length.subsec_nanos() == 0;
        if !whole || secs.and_then(WindowLen::try_new).is_none() {
            return problem(&length, "it does not divide a day into whole seconds");
        }
        if level.length <= finer || !level.length.as_secs().is_multiple_of(finer.as_secs()) {
            return problem(&length, "it is no multiple of the length before");
        }
        if !level.retention.is_zero() {
            lasting(&retention, level.retention, level.length..=LONGEST_RETENTION)?;
            if kept.is_zero() || level.retention < kept {
                return problem(&retention, "it is shorter than that of the finer level");
            }
        }
        (finer, kept) = (level.length, level.retention);
    }
    Ok(())
}

fn line(config: &Config) -> Result<(), Problem> {
    let line = &config.line;
    lasting("line.horizon", line.horizon, 10 * SECOND..=HOUR)?;
    lasting("line.late_horizon", line.late_horizon, line.horizon..=HOUR)?;
    if line.horizon.subsec_nanos() != 0 {
        return problem("line.horizon", "it is not in whole seconds");
    }
    lasting("line.clock_tolerance", line.clock_tolerance, Duration::ZERO..=MINUTE)?;
    within("line.max_connections", &line.max_connections, &(1_000..=100_000_000))?;
    lasting("line.commit_interval", line.commit_interval, Duration::from_millis(50)..=MINUTE)?;
    within("line.max_epoch_records", &line.max_epoch_records, &(1_000..=100_000_000))?;
    let window = Duration::from_secs(u64::from(config.store.window_secs));
    lasting("line.now_range", line.now_range, window..=DAY)
}

fn traces(config: &Config) -> Result<(), Problem> {
    let traces = &config.traces;
    lasting("traces.wait", traces.wait, SECOND..=5 * MINUTE)?;
    lasting("traces.horizon", traces.horizon, 10 * SECOND..=HOUR)?;
    if traces.horizon < 2 * traces.wait {
        return problem("traces.horizon", "it is shorter than twice traces.wait");
    }
    lasting("traces.link_lag", traces.link_lag, MINUTE..=DAY)?;
    for (path, value) in [
        ("traces.wait", traces.wait),
        ("traces.horizon", traces.horizon),
        ("traces.link_lag", traces.link_lag),
    ] {
        if value.subsec_nanos() != 0 {
            return problem(path, "it is not in whole seconds");
        }
    }
    within("traces.max_spans", &traces.max_spans, &(1_000..=100_000_000))?;
    within("traces.max_operations", &traces.max_operations, &(0..=10_000))?;
    within("traces.max_exemplars", &traces.max_exemplars, &(0..=100_000))?;
    let user = &traces.user;
    if user.is_empty() || user.len() > 64 || user.contains(char::is_control) {
        return problem("traces.user", format!("{user:?} is not allowed"));
    }
    Ok(())
}

fn metrics(config: &Config) -> Result<(), Problem> {
    let metrics = &config.metrics;
    lasting("metrics.horizon", metrics.horizon, 10 * SECOND..=HOUR)?;
    lasting("metrics.gap", metrics.gap, 10 * SECOND..=DAY)?;
    for (path, value) in [("metrics.horizon", metrics.horizon), ("metrics.gap", metrics.gap)] {
        if value.subsec_nanos() != 0 {
            return problem(path, "it is not in whole seconds");
        }
    }
    within("metrics.max_points", &metrics.max_points, &(1_000..=100_000_000))?;
    match metrics.families() {
        Ok(_) => Ok(()),
        Err(fault) => problem("metrics.families", fault.to_string()),
    }
}

fn notes(config: &Config) -> Result<(), Problem> {
    let notes = &config.notes;
    within("notes.max_subjects", &notes.max_subjects, &(100..=10_000_000))?;
    within("notes.max_versions", &notes.max_versions, &(1..=10_000))?;
    within("notes.max_changes", &notes.max_changes, &(100..=10_000_000))
}

/// Strict, because the filter's own parser takes a misspelt level for the name of a module.
fn level(filter: &str) -> Result<(), Problem> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for directive in filter.split(',') {
        let (module, level) = directive.rsplit_once('=').unwrap_or(("any", directive));
        let named = !module.is_empty()
            && module.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
        if !named || !LEVELS.contains(&level.to_ascii_lowercase().as_str()) {
            return problem("log.level", format!("\"{directive}\" is not a level"));
        }
    }
    Ok(())
}

fn clusters(config: &Config) -> Result<(), Problem> {
    let mut names = BTreeSet::new();
    for (index, kafka) in config.kafka.iter().enumerate() {
        let path = format!("kafka[{index}]");
        cluster(&path, kafka)?;
        if !names.insert(&kafka.name) {
            return problem(format!("{path}.name"), format!("\"{}\" is there twice", kafka.name));
        }
    }
    Ok(())
}

fn cluster(path: &str, kafka: &Kafka) -> Result<(), Problem> {
    if !is_plain(&kafka.name, 64) || kafka.name == portolan_storage::LOCAL {
        return problem(format!("{path}.name"), format!("{:?} is not allowed", kafka.name));
    }
    if kafka.brokers.trim().is_empty() {
        return problem(format!("{path}.brokers"), "it is missing");
    }
    for broker in kafka.brokers.split(',').map(str::trim) {
        if !is_broker(broker) {
            return problem(format!("{path}.brokers"), format!("{broker:?} is not host:port"));
        }
    }
    for (name, _) in kafka.properties.iter() {
        if let Some((_, reason)) = OWNED.iter().find(|(owned, _)| *owned == name) {
            return problem(
                format!("{path}.properties.{name}"),
                format!("it is not for the configuration: {reason}"),
            );
        }
    }
    if kafka.topics.is_empty() {
        return problem(
            format!("{path}.topics"),
            "no topic is configured; leave it out for the defaults",
        );
    }
    let mut names = BTreeSet::new();
    for (index, each) in kafka.topics.iter().enumerate() {
        let path = format!("{path}.topics[{index}]");
        topic(&path, each)?;
        if !names.insert(&each.name) {
            return problem(format!("{path}.name"), format!("\"{}\" is there twice", each.name));
        }
    }
    Ok(())
}

fn inventories(config: &Config) -> Result<(), Problem> {
    let mut names = BTreeSet::new();
    for (index, file) in config.inventory.iter().enumerate() {
        let path = format!("inventory[{index}]");
        if !is_plain(&file.name, 64) {
            return problem(format!("{path}.name"), format!("{:?} is not allowed", file.name));
        }
        if !names.insert(&file.name) {
            return problem(format!("{path}.name"), format!("\"{}\" is there twice", file.name));
        }
        if file.path.as_os_str().is_empty() {
            return problem(format!("{path}.path"), "it is empty");
        }
        if file.encoding().is_none() {
            return problem(
                format!("{path}.encoding"),
                format!("{} does not end in .yaml, .yml, .json or .csv", file.path.display()),
            );
        }
        scope(&path, &file.scope)?;
    }
    Ok(())
}

/// The bound of every name on the wire.
fn scope(path: &str, scope: &str) -> Result<(), Problem> {
    if scope.is_empty() || scope.len() > 255 || scope.contains(char::is_control) {
        return problem(format!("{path}.scope"), format!("{scope:?} is not allowed"));
    }
    Ok(())
}

fn topic(path: &str, topic: &Topic) -> Result<(), Problem> {
    // The rule of Kafka's own `Topic.validate`.
    if !is_plain(&topic.name, 249) || topic.name == "." || topic.name == ".." {
        return problem(format!("{path}.name"), format!("{:?} is not allowed", topic.name));
    }
    scope(path, &topic.scope)?;
    fields(path, topic)
}

fn fields(path: &str, topic: &Topic) -> Result<(), Problem> {
    let Some(fields) = &topic.fields else { return Ok(()) };
    let path = format!("{path}.fields");
    if topic.encoding != Encoding::Flow(FlowEncoding::AwsVpc) {
        return problem(path, format!("{} has no choice of fields", topic.encoding));
    }
    match FlowDecoder::default().with_vpc_fields(fields) {
        Ok(_) => Ok(()),
        Err(error) => problem(path, error.to_string()),
    }
}

fn is_plain(name: &str, longest: usize) -> bool {
    (1..=longest).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn is_broker(broker: &str) -> bool {
    broker.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty()
            && !host.contains(char::is_whitespace)
            && port.parse::<u16>().is_ok_and(|port| port != 0)
    })
}
