//! The status as text.

use std::fmt::Write as _;

use portolan_proto::v1;

use super::certainty::recent;
use super::graph::table;
use super::units::{bytes, count, time};

/// The status, the worst first.
pub fn status(status: &v1::GetStatusResponse) -> String {
    let mut out = String::new();
    let _ = write!(out, "state      {}", status.state);
    if !status.reason.is_empty() {
        let _ = write!(out, ": {}", status.reason);
    }
    let _ = writeln!(out, "\nversion    {}", status.version);
    let _ = writeln!(out, "started    {}", time(status.started_unix_us));
    let _ = writeln!(out, "epoch      {}", status.epoch);
    let _ = writeln!(out, "watermark  {}", time(status.watermark_unix_us));
    let _ = writeln!(out, "restarts   {}", status.restarts);
    if let Some(f) = &status.freshness {
        let ms = |us: u64| us as f64 / 1e3;
        let _ = writeln!(
            out,
            "freshness  p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms",
            ms(f.p50_us),
            ms(f.p99_us),
            ms(f.max_us)
        );
    }
    if let Some(store) = &status.store {
        let span = store.span.unwrap_or_default();
        let _ = writeln!(
            out,
            "store      {}, {} entities, {} to {}, {}",
            bytes(store.disk_bytes),
            count(store.entities),
            time(span.from_unix_us),
            time(span.to_unix_us),
            store.path
        );
    }
    levels(&mut out, status);
    partitions(&mut out, status);
    stages(&mut out, status);
    if !status.recent.is_empty() {
        let _ = writeln!(out, "{}\n", recent(&status.recent));
    }
    let mut tallies: Vec<_> = status.tallies.iter().collect();
    tallies.sort();
    for (name, total) in tallies {
        let _ = writeln!(out, "total      {name} {total}");
    }
    for loss in &status.losses {
        let _ = writeln!(
            out,
            "LOST       {}/{} offsets {} to {} ({} records), noticed {}",
            loss.topic,
            loss.partition,
            loss.from,
            loss.to,
            loss.to - loss.from,
            time(loss.noticed_unix_us)
        );
    }
    let store = status.store.as_ref();
    for apart in store.iter().flat_map(|store| &store.apart).take(10) {
        let _ = writeln!(
            out,
            "SET APART  {} of the {} s from {}: they do not read",
            apart.rows,
            apart.window_secs,
            time(apart.start_unix_us)
        );
    }
    let more = store.map_or(0, |store| store.apart_total.saturating_sub(10));
    if more > 0 {
        let _ = writeln!(out, "SET APART  and {} more windows", count(more));
    }
    for letter in status.dead_letters.iter().rev().take(10) {
        let _ = writeln!(
            out,
            "refused    {}/{} offset {}: {}: {}",
            letter.topic, letter.partition, letter.offset, letter.reason, letter.detail
        );
    }
    out
}

fn levels(out: &mut String, status: &v1::GetStatusResponse) {
    let Some(store) = &status.store else { return };
    let mut table = table(&["LEVEL", "DISK", "HELD FROM", "PACKED UNTIL"]);
    let instant = |us: i64| if us == 0 { String::new() } else { time(us) };
    for level in &store.levels {
        let length = std::time::Duration::from_secs(u64::from(level.window_secs));
        table.add_row([
            humantime::format_duration(length).to_string(),
            bytes(level.disk_bytes),
            instant(level.from_unix_us),
            instant(level.sealed_unix_us),
        ]);
    }
    if !store.levels.is_empty() {
        let _ = writeln!(out, "\n{table}");
    }
}

fn partitions(out: &mut String, status: &v1::GetStatusResponse) {
    let mut table = table(&["TOPIC", "PARTITION", "NEXT", "END", "LAG", "WATERMARK", ""]);
    for p in &status.partitions {
        table.add_row([
            p.topic.clone(),
            p.partition.to_string(),
            p.next.to_string(),
            if p.end < 0 { "?".to_owned() } else { p.end.to_string() },
            p.lag.to_string(),
            time(p.watermark_unix_us),
            if p.paused { "paused".to_owned() } else { String::new() },
        ]);
    }
    if !status.partitions.is_empty() {
        let _ = writeln!(out, "\n{table}");
    }
}

fn stages(out: &mut String, status: &v1::GetStatusResponse) {
    let mut table = table(&["STAGE", "GENERATION", "BATCHES", "RECORDS", "MAILBOX"]);
    for s in &status.stages {
        table.add_row([
            s.name.clone(),
            s.generation.to_string(),
            s.batches.to_string(),
            s.records.to_string(),
            format!("{}/{}", s.mailbox_depth, s.mailbox_capacity),
        ]);
    }
    if !status.stages.is_empty() {
        let _ = writeln!(out, "\n{table}\n");
    }
}
