//! Points in time as people write them on a command line.

use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time, perhaps relative to now.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// Microseconds since the Unix epoch.
    At(i64),
    /// This long before now.
    Ago(Duration),
}

/// What a time may look like.
#[derive(Debug, thiserror::Error)]
#[error(
    "not a time: give RFC 3339 (2026-11-23T03:00:00Z), seconds since 1970, `now`, or relative (-15m)"
)]
pub struct NotATime;

impl When {
    /// Microseconds since the Unix epoch.
    pub fn unix_us(self) -> i64 {
        match self {
            Self::At(us) => us,
            Self::Ago(ago) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                now.saturating_sub(ago).as_micros() as i64
            }
        }
    }
}

impl FromStr for When {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        if text == "now" {
            return Ok(Self::Ago(Duration::ZERO));
        }
        if let Some(ago) = text.strip_prefix('-') {
            return humantime::parse_duration(ago).map(Self::Ago).map_err(|_| NotATime);
        }
        if let Ok(secs) = text.parse::<f64>() {
            let us = secs * 1e6;
            return if us.is_finite() && us >= 0.0 {
                Ok(Self::At(us as i64))
            } else {
                Err(NotATime)
            };
        }
        let at = humantime::parse_rfc3339_weak(text).map_err(|_| NotATime)?;
        let since = at.duration_since(UNIX_EPOCH).map_err(|_| NotATime)?;
        Ok(Self::At(since.as_micros() as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_a_time_are_read() {
        let at = When::At(1_795_420_235_500_000);
        assert_eq!("1795420235.5".parse::<When>().unwrap(), at);
        assert_eq!("2026-11-23T07:50:35.5Z".parse::<When>().unwrap(), at);
        assert_eq!("-15m".parse::<When>().unwrap(), When::Ago(Duration::from_secs(900)));
        assert!("yesterday".parse::<When>().is_err());
    }
}
