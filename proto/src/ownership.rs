//! Ownership records: who has which address, and when.
//!
//! The same rules hold for the protobuf and the JSON form: both become a [`v1::OwnershipRecord`],
//! and that is judged. Invariants:
//! - every record of a message becomes one event or one refusal;
//! - a record with any field that cannot be read is refused as a whole: half an owner would take
//!   addresses from the wrong one;
//! - times keep the precision that they were written with.

use std::sync::Arc;

use portolan_model::{Nanos, OwnerEvent, Reject};
use prost::Message;

use crate::{OwnerEncoding, Refused, json, v1};

mod encode;
pub(crate) mod judge;
mod k8scache;
pub(crate) mod portolan_json;
#[cfg(test)]
mod tests;

pub use encode::{encode_event, encode_owner};
pub use judge::{MAX_LIST, MAX_NAME_BYTES};

/// The largest ownership message taken unless told otherwise: 4 MiB. A service of [`MAX_LIST`]
/// backends is under 1 MiB in either form, and a hostile message of the smallest list entries
/// grows about thirtyfold in memory.
pub const DEFAULT_MAX_OWNER_BYTES: usize = 4 << 20;

/// How many refusals of one message say why in words: a message of the largest size can hold two
/// million bad records, and a status page shows a few.
pub const MAX_DETAILED: usize = 100;

/// Decodes one message: its events in the order they stand, and what was refused.
///
/// `default_scope` is for records that name none. `received` is when the message arrived: the time
/// of records that carry none. Messages over `max_bytes` are refused. Every refusal has its reason,
/// the first [`MAX_DETAILED`] also their details.
pub fn decode_owners(
    encoding: OwnerEncoding,
    default_scope: &str,
    received: Nanos,
    max_bytes: usize,
    payload: &[u8],
) -> (Vec<OwnerEvent>, Vec<Refused>) {
    let mut events = Vec::new();
    let mut refused = Vec::new();
    if let Err(why) = crate::refused::check_size(payload, max_bytes) {
        return (events, vec![why]);
    }
    let default_scope: Arc<str> = Arc::from(default_scope);
    let mut take = |place: Option<usize>, record: Result<v1::OwnershipRecord, Refused>| match record
        .and_then(|record| judge::judge(&record, &default_scope, received))
    {
        Ok(event) => events.push(event),
        Err(why) => {
            let detail = match place {
                _ if refused.len() >= MAX_DETAILED => String::new(),
                Some(place) => format!("record {place}: {}", why.detail),
                None => why.detail,
            };
            refused.push(Refused::new(why.reason, detail));
        }
    };
    match encoding {
        OwnerEncoding::PortolanPb => take(
            None,
            v1::OwnershipRecord::decode(payload)
                .map_err(|error| Refused::new(Reject::Undecodable, error.to_string())),
        ),
        OwnerEncoding::NetobservK8scache => {
            k8scache::each_record(&default_scope, received, payload, &mut take);
        }
        OwnerEncoding::PortolanJson => json::each_value(payload, &mut |place, value| {
            take(place, value.and_then(portolan_json::parse));
        }),
    }
    (events, refused)
}
