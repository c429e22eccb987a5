//! What a decoder says of a record that it does not let in.

use portolan_model::Reject;

/// A refused record or message: the reason that is counted, and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why, as metrics count it.
    pub reason: Reject,
    /// What was wrong, at most [`MAX_DETAIL_BYTES`] long and without control characters.
    pub detail: String,
}

/// A detail is one line of a status page: long enough for a field, a value and a position.
pub const MAX_DETAIL_BYTES: usize = 200;

// === impl Refused ===

impl Refused {
    /// A refusal. The detail may quote hostile input: it is cut, and control characters (which a
    /// terminal would obey) become spaces.
    pub fn new(reason: Reject, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        if detail.len() > MAX_DETAIL_BYTES {
            let mut end = MAX_DETAIL_BYTES;
            while !detail.is_char_boundary(end) {
                end -= 1;
            }
            detail.truncate(end);
        }
        if detail.contains(char::is_control) {
            // A control character above U+007F is two bytes and a space one: it only gets shorter.
            detail = detail.replace(char::is_control, " ");
        }
        Self { reason, detail }
    }
}

/// Refuses a message that is empty or over its bound, before anything of it is read.
pub(crate) fn check_size(payload: &[u8], max_bytes: usize) -> Result<(), Refused> {
    if payload.len() > max_bytes {
        let detail = format!("message of {} bytes, at most {max_bytes}", payload.len());
        return Err(Refused::new(Reject::TooLarge, detail));
    }
    if payload.is_empty() {
        return Err(Refused::new(Reject::Undecodable, "empty message"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detail_is_bounded_whole_and_harmless() {
        let refused = Refused::new(Reject::BadField, format!("\u{1b}[2J{}", "é".repeat(300)));
        assert!(refused.detail.len() <= MAX_DETAIL_BYTES);
        assert!(refused.detail.starts_with(" [2Jé"));
    }
}
