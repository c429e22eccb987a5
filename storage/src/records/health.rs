//! Keys and values of health.

use portolan_model::{EntityId, Health, HealthKey, HealthRow, Window};

use super::HEALTH;
use crate::codec::{put_varint, take_u8, take_varint};

pub(crate) fn health_key(key: &HealthKey) -> Vec<u8> {
    let mut out = vec![HEALTH];
    out.extend_from_slice(&key.client.0.to_be_bytes());
    out.extend_from_slice(&key.server.0.to_be_bytes());
    out
}

pub(crate) fn put_health(out: &mut Vec<u8>, row: &HealthRow) {
    out.extend([row.state as u8, row.leaning as u8, row.latency_of]);
    for number in [
        u64::from(row.since.0),
        u64::from(row.judged.0),
        u64::from(row.streak),
        u64::from(row.learnt),
        row.usual_errors,
        row.errors,
        row.usual_latency,
        row.latency,
        u64::from(row.latency_learnt),
        row.waiting.0,
        row.waiting.1,
        u64::from(row.waiting_windows),
    ] {
        put_varint(out, number);
    }
}

pub(crate) fn read_health(key: &[u8], mut bytes: &[u8]) -> Option<HealthRow> {
    let (client, server) = key.strip_prefix(&[HEALTH])?.split_first_chunk()?;
    let key = HealthKey {
        client: EntityId(u64::from_be_bytes(*client)),
        server: EntityId(u64::from_be_bytes(server.try_into().ok()?)),
    };
    let at = &mut bytes;
    let state = Health::from_code(take_u8(at)?)?;
    let leaning = Health::from_code(take_u8(at)?)?;
    let latency_of = take_u8(at)?;
    let small = |at: &mut &[u8]| u32::try_from(take_varint(at)?).ok();
    let row = HealthRow {
        key,
        state,
        leaning,
        latency_of,
        since: Window(small(at)?),
        judged: Window(small(at)?),
        streak: small(at)?,
        learnt: small(at)?,
        usual_errors: take_varint(at)?,
        errors: take_varint(at)?,
        usual_latency: take_varint(at)?,
        latency: take_varint(at)?,
        latency_learnt: small(at)?,
        waiting: (take_varint(at)?, take_varint(at)?),
        waiting_windows: small(at)?,
    };
    at.is_empty().then_some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_comes_back_as_it_went_and_no_shorter_one_is_one() {
        let key = HealthKey { client: EntityId(u64::MAX), server: EntityId(7) };
        let row = HealthRow {
            state: Health::Degraded,
            leaning: Health::Unhealthy,
            judged: Window(20),
            streak: 1,
            learnt: 30,
            usual_errors: 1_000_000,
            errors: 999_999_999,
            usual_latency: u64::MAX,
            latency: 5,
            latency_learnt: 2,
            latency_of: u8::MAX,
            waiting: (9, 3),
            waiting_windows: 4,
            ..HealthRow::new(key, Window(10))
        };
        let mut bytes = Vec::new();
        put_health(&mut bytes, &row);
        assert_eq!(read_health(&health_key(&key), &bytes), Some(row));
        assert_eq!(read_health(&health_key(&key)[..16], &bytes), None);
        for end in 0..bytes.len() {
            assert_eq!(read_health(&health_key(&key), &bytes[..end]), None, "{end}");
        }
    }
}
