//! Times as people and programs write them: RFC 3339 text, or seconds since the epoch.

use jiff::Timestamp;
use portolan_model::Nanos;

const NANOS: u64 = 1_000_000_000;

/// The instant that a JSON value names: RFC 3339 text, or seconds as a number or as text of one.
/// The digits are read as they stand: a float would lose the microseconds.
pub(crate) fn parse(json: &str) -> Option<Nanos> {
    let text = match json.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None => json,
    };
    seconds(text).or_else(|| rfc3339(text))
}

/// Decimal seconds. Digits past the nanosecond are cut.
fn seconds(text: &str) -> Option<Nanos> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let nanos = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanos = nanos.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    whole.parse::<u64>().ok()?.checked_mul(NANOS)?.checked_add(nanos)
}

/// RFC 3339. Times before 1970 and after 2554 have no nanoseconds of ours.
pub(crate) fn rfc3339(text: &str) -> Option<Nanos> {
    let instant = text.parse::<Timestamp>().ok()?;
    u64::try_from(instant.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_keep_every_digit() {
        assert_eq!(parse("1795420225.376947"), Some(1_795_420_225_376_947_000));
        assert_eq!(parse("1795420225.123456789"), Some(1_795_420_225_123_456_789));
        assert_eq!(parse("1795420225.1234567891"), Some(1_795_420_225_123_456_789));
        assert_eq!(parse("1795420225"), Some(1_795_420_225_000_000_000));
        assert_eq!(parse("\"1795420225.5\""), Some(1_795_420_225_500_000_000));
    }

    #[test]
    fn rfc_3339_is_read_in_any_zone() {
        let noon = Some(1_795_435_200_123_456_000);
        assert_eq!(parse("\"2026-11-23T12:00:00.123456Z\""), noon);
        assert_eq!(parse("\"2026-11-23T13:00:00.123456+01:00\""), noon);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "\"", "\"\"", "-1", "1e9", ".5", "1.", "true", "{}", "\"yesterday\""] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse("\"1969-12-31T23:59:59Z\""), None);
        assert_eq!(parse("18446744074"), None, "past the last nanosecond of 64 bits");
    }
}
