//! Every metric this crate emits, by name: the code emits through these constants, the document
//! lists them, and a test holds one against the other.
//!
//! What leaves a stage is what enters the next one, so records are counted at the entrance of each.
//! Counters count since the process started, and include what a reset made the line read again; the
//! exact totals are the tallies of the store.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// What a metric is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

/// A metric and what it means.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct MetricInfo {
    /// Name as scraped.
    pub name: &'static str,
    /// Kind.
    pub kind: Kind,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// What it says, with its unit.
    pub help: &'static str,
}

/// Messages read from Kafka.
pub const SOURCE_MESSAGES: &str = "portolan_source_messages_total";
/// Bytes read from Kafka.
pub const SOURCE_BYTES: &str = "portolan_source_bytes_total";
/// Records that the decoders accepted.
pub const SOURCE_RECORDS: &str = "portolan_source_records_total";
/// Records refused.
pub const SOURCE_REJECTED: &str = "portolan_source_rejected_total";
/// Offsets that were gone when they were wanted.
pub const SOURCE_LOST: &str = "portolan_source_lost_offsets_total";
/// Times that the source paused its partitions because the line was full.
pub const SOURCE_PAUSES: &str = "portolan_source_pauses_total";
/// Offsets not yet read.
pub const PARTITION_LAG: &str = "portolan_partition_lag";
/// How far a partition's watermark is behind the clock.
pub const PARTITION_WATERMARK_DELAY: &str = "portolan_partition_watermark_delay_seconds";
/// Batches that a stage took in.
pub const STAGE_BATCHES: &str = "portolan_stage_batches_total";
/// Records that a stage took in.
pub const STAGE_RECORDS: &str = "portolan_stage_records_total";
/// Messages of an earlier generation that a stage ignored.
pub const STAGE_FENCED: &str = "portolan_stage_fenced_total";
/// Time that a stage spent on a batch.
pub const STAGE_BATCH_SECONDS: &str = "portolan_stage_batch_seconds";
/// Time that a stage spent on a barrier.
pub const STAGE_BARRIER_SECONDS: &str = "portolan_stage_barrier_seconds";
/// Messages that wait for a stage.
pub const MAILBOX_DEPTH: &str = "portolan_mailbox_depth";
/// Time from an epoch's first record to its commit.
pub const EPOCH_SECONDS: &str = "portolan_epoch_seconds";
/// Flow records of an epoch.
pub const EPOCH_RECORDS: &str = "portolan_epoch_records";
/// Rows that an epoch changed.
pub const EPOCH_ROWS: &str = "portolan_epoch_rows";
/// Last committed epoch.
pub const EPOCH: &str = "portolan_epoch";
/// Event to visible.
pub const FRESHNESS_SECONDS: &str = "portolan_freshness_seconds";
/// Time of a commit in the store.
pub const STORE_COMMIT_SECONDS: &str = "portolan_store_commit_seconds";
/// Time of making commits survive a power loss.
pub const STORE_SYNC_SECONDS: &str = "portolan_store_sync_seconds";
/// Commits that the store refused and that were tried again.
pub const STORE_RETRIES: &str = "portolan_store_retries_total";
/// Commits that would have broken what must hold, and were not written.
pub const INVARIANTS_BROKEN: &str = "portolan_invariants_broken_total";
/// Bytes of the store on disk; set by whoever opened it.
pub const STORE_BYTES: &str = "portolan_store_bytes";
/// Bytes on disk of each level; set by whoever opened the store.
pub const STORE_LEVEL_BYTES: &str = "portolan_store_level_bytes";
/// Windows that are set apart because they do not read; set by whoever opened the store.
pub const STORE_APART: &str = "portolan_store_apart_windows";
/// Times that the store was opened anew after it stopped; counted by whoever opened it.
pub const STORE_REOPENED: &str = "portolan_store_reopened_total";
/// Resets of the line after a failure.
pub const RESTARTS: &str = "portolan_restarts_total";
/// Generation of the line.
pub const GENERATION: &str = "portolan_generation";

const fn info(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
) -> MetricInfo {
    MetricInfo { name, kind, labels, help }
}

/// Every metric of this crate.
pub const ALL: &[MetricInfo] = &[
    info(SOURCE_MESSAGES, Kind::Counter, &["cluster", "topic"], "Messages read from Kafka."),
    info(SOURCE_BYTES, Kind::Counter, &["cluster", "topic"], "Payload bytes read from Kafka."),
    info(
        SOURCE_RECORDS,
        Kind::Counter,
        &["cluster", "topic"],
        "Records that the decoders accepted.",
    ),
    info(
        SOURCE_REJECTED,
        Kind::Counter,
        &["cluster", "topic", "reason"],
        "Records refused, by reason.",
    ),
    info(
        SOURCE_LOST,
        Kind::Counter,
        &["cluster", "topic"],
        "Offsets that the broker no longer had when they were wanted.",
    ),
    info(
        SOURCE_PAUSES,
        Kind::Counter,
        &["cluster"],
        "Times that the source paused its partitions because the line was full.",
    ),
    info(
        PARTITION_LAG,
        Kind::Gauge,
        &["cluster", "topic", "partition"],
        "Offsets not yet read, as of the last look at the end of the partition.",
    ),
    info(
        PARTITION_WATERMARK_DELAY,
        Kind::Gauge,
        &["cluster", "topic", "partition"],
        "How far the partition's watermark is behind the clock, in seconds.",
    ),
    info(STAGE_BATCHES, Kind::Counter, &["stage"], "Batches that a stage took in."),
    info(
        STAGE_RECORDS,
        Kind::Counter,
        &["stage"],
        "Records that a stage took in; what leaves a stage enters the next.",
    ),
    info(
        STAGE_FENCED,
        Kind::Counter,
        &["stage"],
        "Messages of an earlier generation that a stage ignored.",
    ),
    info(
        STAGE_BATCH_SECONDS,
        Kind::Histogram,
        &["stage"],
        "Time of a stage on a batch, in seconds.",
    ),
    info(
        STAGE_BARRIER_SECONDS,
        Kind::Histogram,
        &["stage"],
        "Time of a stage on a barrier, in seconds.",
    ),
    info(MAILBOX_DEPTH, Kind::Gauge, &["stage"], "Messages that wait for a stage."),
    info(
        EPOCH_SECONDS,
        Kind::Histogram,
        &[],
        "Time from the first record of an epoch to its commit, in seconds.",
    ),
    info(EPOCH_RECORDS, Kind::Histogram, &[], "Flow records of an epoch."),
    info(EPOCH_ROWS, Kind::Histogram, &[], "Edge and path rows that an epoch changed."),
    info(EPOCH, Kind::Gauge, &[], "Last committed epoch."),
    info(
        FRESHNESS_SECONDS,
        Kind::Histogram,
        &[],
        "From the end of a batch's newest event to its epoch being visible, in seconds.",
    ),
    info(STORE_COMMIT_SECONDS, Kind::Histogram, &[], "Time of a commit in the store, in seconds."),
    info(
        STORE_SYNC_SECONDS,
        Kind::Histogram,
        &[],
        "Time of making commits survive a power loss, in seconds.",
    ),
    info(
        STORE_RETRIES,
        Kind::Counter,
        &[],
        "Commits that the store refused and that were retried.",
    ),
    info(
        INVARIANTS_BROKEN,
        Kind::Counter,
        &["invariant"],
        "Commits that would have broken an invariant and were not written: the process ends.",
    ),
    info(STORE_BYTES, Kind::Gauge, &[], "Bytes of the store on disk."),
    info(
        STORE_LEVEL_BYTES,
        Kind::Gauge,
        &["window_secs"],
        "Bytes on disk of a level, by the length of its windows.",
    ),
    info(STORE_APART, Kind::Gauge, &[], "Windows that are set apart because they do not read."),
    info(
        STORE_REOPENED,
        Kind::Counter,
        &[],
        "Times that the store was opened anew after its disk was full or failed.",
    ),
    info(RESTARTS, Kind::Counter, &["stage"], "Resets of the line, by the stage that failed."),
    info(GENERATION, Kind::Gauge, &[], "Generation of the line: resets since the start, plus one."),
];

/// Tells the installed recorder what every metric means. Call it once, after installing one.
pub fn describe() {
    for metric in ALL {
        let unit = if metric.name.ends_with("_seconds") { Unit::Seconds } else { Unit::Count };
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, unit, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, unit, metric.help),
            Kind::Histogram => describe_histogram!(metric.name, unit, metric.help),
        }
    }
}
