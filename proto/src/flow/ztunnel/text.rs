//! The text form: a time, words, `connection complete`, and `key=value` or `key="value"`.

use std::borrow::Cow;

use portolan_model::Reject;

use super::{Access, COMPLETE};
use crate::json::{Number, Text};
use crate::{Refused, time};

/// The record of a line. What a container runtime puts in front is passed over.
pub(super) fn parse(line: &str) -> Result<Access<'_>, Refused> {
    let Some((head, body)) = line.split_once(COMPLETE) else {
        return Ok(Access::default());
    };
    let stamp = head.split_ascii_whitespace().rfind(|word| time::rfc3339(word).is_some());
    let mut access = Access {
        message: Text(Cow::Borrowed(COMPLETE)),
        time: Text(Cow::Borrowed(stamp.unwrap_or_default())),
        ..Access::default()
    };
    let mut rest = body.trim_ascii();
    while !rest.is_empty() {
        let (key, value, after) = pair(rest).ok_or_else(|| {
            Refused::new(Reject::Undecodable, format!("no key=value at {rest:?}"))
        })?;
        rest = after.trim_ascii_start();
        let value = Text(Cow::Borrowed(value));
        match key {
            "src.addr" => access.src = value,
            "dst.addr" => access.dst = value,
            "dst.hbone_addr" => access.hbone = value,
            "direction" => access.direction = value,
            "duration" => access.duration = value,
            "error" => access.error = value,
            "bytes_sent" => access.bytes_sent = number(key, &value)?,
            "bytes_recv" => access.bytes_recv = number(key, &value)?,
            _ => {}
        }
    }
    Ok(access)
}

/// The first pair, and what stands after it. A quoted value ends at a quote that is not escaped;
/// the escapes stay, as no value that is read has any.
fn pair(text: &str) -> Option<(&str, &str, &str)> {
    let (key, rest) = text.split_once('=')?;
    if key.is_empty() || key.contains(char::is_whitespace) {
        return None;
    }
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        return Some((key, &rest[..end], &rest[end..]));
    };
    let mut is_escaped = false;
    let end = quoted.bytes().position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    })?;
    Some((key, &quoted[..end], &quoted[end + 1..]))
}

fn number(key: &str, value: &str) -> Result<Number, Refused> {
    value.parse().map(Number).map_err(|_| super::bad(key, value))
}
