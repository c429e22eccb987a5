//! `GetStatus`: how far the line is, what it lost or refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portolan_model::{Counters, DeadLetter, Loss, Position, TimeRange};
use portolan_proto::{certainty_to_v1, nanos_to_micros, v1};
use portolan_storage::{Apart, Level};

use super::Inner;
use crate::status::{LineStatus, PartitionStatus, StageStatus};
use crate::{Error, LineState, StoreFacts, convert};

/// Windows that are listed; all are counted.
const MAX_APART: usize = 100;

pub(super) async fn get_status(inner: &Inner) -> Result<v1::GetStatusResponse, Error> {
    let reader = inner.reader.clone();
    let facts = inner.queries.run(move |_| reader.facts()).await;
    let mut line = inner.line.status();
    let facts = match facts {
        Ok(facts) => facts,
        // Of all questions this one must be answered when the store is not well.
        Err(Error::Store(inside)) => {
            tracing::error!(error = &inside as &dyn std::error::Error, "store cannot be read");
            unwell(&mut line);
            StoreFacts::default()
        }
        Err(other) => return Err(other),
    };
    Ok(answer(line, facts))
}

fn unwell(line: &mut LineStatus) {
    if matches!(line.state, LineState::Running) {
        line.state = LineState::Degraded;
    }
    if !line.reason.is_empty() {
        line.reason.push_str("; ");
    }
    line.reason.push_str("the store cannot be read, the server's log says why");
}

fn answer(line: LineStatus, facts: StoreFacts) -> v1::GetStatusResponse {
    let StoreFacts { checkpoint, disk_bytes, levels, apart, entities, span, recent } = facts;
    v1::GetStatusResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        state: line.state.as_str().to_owned(),
        reason: line.reason,
        started_unix_us: nanos_to_micros(line.started),
        epoch: checkpoint.epoch,
        watermark_unix_us: nanos_to_micros(checkpoint.watermark),
        partitions: line
            .partitions
            .into_iter()
            .map(|status| partition(status, &checkpoint.positions))
            .collect(),
        stages: line.stages.into_iter().map(stage).collect(),
        tallies: checkpoint.tallies.iter().map(|(name, sum)| (name.to_string(), *sum)).collect(),
        losses: checkpoint.losses.iter().map(loss).collect(),
        dead_letters: line.dead_letters.into_iter().map(dead_letter).collect(),
        store: Some(v1::StoreStatus {
            path: line.store_path,
            disk_bytes,
            entities,
            span: span.map(convert::range),
            levels: levels.iter().map(level).collect(),
            apart: apart.iter().take(MAX_APART).map(set_apart).collect(),
            apart_total: apart.len() as u64,
        }),
        freshness: Some(v1::Freshness {
            samples: line.freshness.samples,
            p50_us: line.freshness.p50_us,
            p99_us: line.freshness.p99_us,
            max_us: line.freshness.max_us,
        }),
        restarts: line.restarts,
        recent: recent.iter().map(window).collect(),
    }
}

fn set_apart(apart: &Apart) -> v1::ApartWindow {
    v1::ApartWindow {
        window_secs: apart.len.secs(),
        start_unix_us: nanos_to_micros(apart.window.start()),
        rows: apart.rows.to_owned(),
    }
}

fn window((range, counters): &(TimeRange, Counters)) -> v1::WindowCertainty {
    let (range, certainty) = (Some(convert::range(*range)), certainty_to_v1(counters));
    v1::WindowCertainty { range, certainty }
}

fn level(level: &Level) -> v1::LevelStatus {
    v1::LevelStatus {
        window_secs: level.len.secs(),
        disk_bytes: level.disk_bytes,
        from_unix_us: nanos_to_micros(level.first.start()),
        sealed_unix_us: nanos_to_micros(level.sealed.start()),
    }
}

fn partition(status: PartitionStatus, positions: &[Position]) -> v1::PartitionStatus {
    let PartitionStatus { partition, next, end, watermark, paused } = status;
    let stored = positions.iter().find(|position| position.partition == partition);
    v1::PartitionStatus {
        cluster: partition.cluster.to_string(),
        topic: partition.topic.to_string(),
        partition: partition.partition,
        next,
        end,
        // An end that is not known yet, or older than what was read, leaves no lag to tell.
        lag: end.saturating_sub(next).max(0),
        watermark_unix_us: nanos_to_micros(watermark),
        paused,
        committed: stored.map_or(0, |position| position.next),
    }
}

fn stage(status: StageStatus) -> v1::StageStatus {
    let StageStatus { name, generation, batches, records, mailbox_depth, mailbox_capacity } =
        status;
    v1::StageStatus { name, generation, batches, records, mailbox_depth, mailbox_capacity }
}

fn loss(loss: &Loss) -> v1::Loss {
    v1::Loss {
        cluster: loss.partition.cluster.to_string(),
        topic: loss.partition.topic.to_string(),
        partition: loss.partition.partition,
        from: loss.from,
        to: loss.to,
        noticed_unix_us: nanos_to_micros(loss.at),
    }
}

fn dead_letter(letter: DeadLetter) -> v1::DeadLetter {
    v1::DeadLetter {
        cluster: letter.partition.cluster.to_string(),
        topic: letter.partition.topic.to_string(),
        partition: letter.partition.partition,
        offset: letter.offset,
        reason: letter.reason.as_str().to_owned(),
        detail: letter.detail,
        at_unix_us: nanos_to_micros(letter.at),
        head: STANDARD.encode(letter.head),
    }
}
