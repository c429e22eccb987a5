//! Notes: records of the catalogue, and changes that people made.
//!
//! The same rules hold for the protobuf and the JSON form: both become a message of `notes.proto`,
//! and that is judged. Every record of a message becomes one note or one refusal; one with any field
//! that cannot be read is refused as a whole.

use portolan_model::{Nanos, Note, Reject};
use prost::Message;

use crate::{NoteEncoding, Refused, json, v1};

mod encode;
mod judge;
#[cfg(test)]
mod tests;
mod words;

pub use encode::{encode_catalogue, encode_change};
pub use judge::{MAX_LABELS, MAX_LINK_BYTES, MAX_VALUE_BYTES};

/// How many refusals of one message say why in words.
const MAX_DETAILED: usize = crate::MAX_DETAILED;

/// The largest message of notes taken: as of ownership.
pub const DEFAULT_MAX_NOTE_BYTES: usize = crate::DEFAULT_MAX_OWNER_BYTES;

/// Decodes one message: its notes in the order they stand, and what was refused.
///
/// `received` is when the message arrived: the time of records that carry none. Messages over
/// `max_bytes` are refused.
pub fn decode_notes(
    encoding: NoteEncoding,
    received: Nanos,
    max_bytes: usize,
    payload: &[u8],
    notes: &mut Vec<Note>,
    refuse: &mut dyn FnMut(Refused),
) {
    if let Err(why) = crate::refused::check_size(payload, max_bytes) {
        refuse(why);
        return;
    }
    let mut refusals = 0;
    let mut take = |place: Option<usize>, note: Result<Note, Refused>| match note {
        Ok(note) => notes.push(note),
        Err(why) => {
            refusals += 1;
            let detail = match place {
                _ if refusals > MAX_DETAILED => String::new(),
                Some(place) => format!("record {place}: {}", why.detail),
                None => why.detail,
            };
            refuse(Refused::new(why.reason, detail));
        }
    };
    let undecodable =
        |error: prost::DecodeError| Refused::new(Reject::Undecodable, error.to_string());
    let catalogue = |record: v1::CatalogueRecord| judge::catalogue(&record, received);
    let change = |record: v1::ChangeRecord| judge::change(&record, received);
    match encoding {
        NoteEncoding::CataloguePb => {
            let record = v1::CatalogueRecord::decode(payload).map_err(undecodable);
            take(None, record.and_then(catalogue));
        }
        NoteEncoding::ChangesPb => {
            let record = v1::ChangeRecord::decode(payload).map_err(undecodable);
            take(None, record.and_then(change));
        }
        NoteEncoding::CatalogueJson => json::each_value(payload, &mut |place, value| {
            take(place, value.and_then(words::catalogue).and_then(catalogue));
        }),
        NoteEncoding::ChangesJson => json::each_value(payload, &mut |place, value| {
            take(place, value.and_then(words::change).and_then(change));
        }),
    }
}
