//! JSON as it arrives: one value a message, an array of values, or one value a line; numbers that
//! come as text; absent fields that come as null.

use std::borrow::Cow;
use std::fmt;

use portolan_model::Reject;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Unexpected, Visitor};
use serde_json::value::RawValue;

use crate::Refused;

/// Text that borrows from the message where it has no escapes. Null is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

/// A number that is not negative and not broken; text of digits counts. Null is 0.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Number(pub(crate) u64);

/// A number, or the name of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NumberOr<'a> {
    Number(Number),
    Text(Text<'a>),
}

/// True or false; 0 and 1 and the words count. Null is false.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Truth(pub(crate) bool);

/// Calls `each` with every value of a message and its place, if there are several.
///
/// A line that is not JSON is the caller's to refuse alone. An array that is not JSON is refused as
/// a whole: where its elements end cannot be known.
pub(crate) fn each_value<'a>(payload: &'a [u8], each: &mut Each<'_, 'a>) {
    match payload.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => {
            each(None, Err(Refused::new(Reject::Undecodable, "nothing but white space")));
        }
        Some(b'[') => each_element(payload, each),
        Some(_) if !payload.contains(&b'\n') => each(None, Ok(payload)),
        // One value may be written over several lines. Only one that is whole is one value.
        Some(_) if serde_json::from_slice::<&RawValue>(payload).is_ok() => each(None, Ok(payload)),
        Some(_) => {
            let lines = payload.split(|byte| *byte == b'\n').enumerate();
            for (place, line) in lines.filter(|(_, line)| !line.trim_ascii().is_empty()) {
                each(Some(place), Ok(line));
            }
        }
    }
}

/// What takes the values: the place among several, and the bytes or the fault of the whole.
pub(crate) type Each<'f, 'a> = dyn FnMut(Option<usize>, Result<&'a [u8], Refused>) + 'f;

fn each_element<'a>(payload: &'a [u8], each: &mut Each<'_, 'a>) {
    // Once to see that it is whole, once to walk: an array of its elements could take many times
    // the memory of the message.
    let whole = serde_json::from_slice::<&RawValue>(payload);
    let walked = whole.and_then(|_| {
        serde_json::Deserializer::from_slice(payload).deserialize_seq(Elements(each))
    });
    if let Err(error) = walked {
        each(None, Err(refusal(&error)));
    }
}

/// Whether the value is an object: serde reads a struct from an array, too, by position.
pub(crate) fn is_object(value: &[u8]) -> bool {
    value.trim_ascii_start().first() == Some(&b'{')
}

/// The object that a value is.
pub(crate) fn object<'a, T: Deserialize<'a>>(value: &'a [u8]) -> Result<T, Refused> {
    if is_object(value) {
        serde_json::from_slice(value).map_err(|error| refusal(&error))
    } else {
        Err(Refused::new(Reject::Undecodable, "not a JSON object"))
    }
}

struct Elements<'e, 'f, 'a>(&'e mut Each<'f, 'a>);

/// The refusal that a JSON error means: a value of the wrong type is a bad field, the rest is not
/// JSON at all.
pub(crate) fn refusal(error: &serde_json::Error) -> Refused {
    let reason = if error.is_data() { Reject::BadField } else { Reject::Undecodable };
    Refused::new(reason, error.to_string())
}

// === impl Elements ===

impl<'a> Visitor<'a> for Elements<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut place = 0;
        while let Some(element) = seq.next_element::<&'a RawValue>()? {
            (self.0)(Some(place), Ok(element.get().as_bytes()));
            place += 1;
        }
        Ok(())
    }
}

// === impl Text ===

impl std::ops::Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(Text::default())
            }
        }
        deserializer.deserialize_any(Visit)
    }
}

// === impl Number ===

impl Number {
    /// What does not fit into 32 bits becomes their largest value, which no field may have.
    pub(crate) fn narrow(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl Visitor<'_> for Visit {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number, not negative")
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Number, E> {
                Ok(Number(number))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Number, E> {
                u64::try_from(number)
                    .map(Number)
                    .map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
            }
            fn visit_f64<E: Error>(self, number: f64) -> Result<Number, E> {
                // Up to 2^53 a float holds every whole number; over it the digits are guesses.
                const EXACT: f64 = 9_007_199_254_740_992.0;
                if number.fract() == 0.0 && (0.0..=EXACT).contains(&number) {
                    Ok(Number(number as u64))
                } else {
                    Err(E::invalid_value(Unexpected::Float(number), &self))
                }
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
                text.parse().map(Number).map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
            }
            fn visit_unit<E: Error>(self) -> Result<Number, E> {
                Ok(Number(0))
            }
        }
        deserializer.deserialize_any(Visit)
    }
}

// === impl NumberOr ===

impl Default for NumberOr<'_> {
    fn default() -> Self {
        Self::Text(Text::default())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for NumberOr<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&'de RawValue>::deserialize(deserializer)?.get();
        // The text of a value that was parsed as part of its message parses again.
        let parsed = if json.starts_with('"') || json == "null" {
            serde_json::from_str(json).map(Self::Text)
        } else {
            serde_json::from_str(json).map(Self::Number)
        };
        parsed.map_err(D::Error::custom)
    }
}

// === impl Truth ===

impl<'de> Deserialize<'de> for Truth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl Visitor<'_> for Visit {
            type Value = Truth;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true or false")
            }
            fn visit_bool<E: Error>(self, truth: bool) -> Result<Truth, E> {
                Ok(Truth(truth))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Truth, E> {
                match number {
                    0 | 1 => Ok(Truth(number == 1)),
                    _ => Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
                }
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Truth, E> {
                match text {
                    "true" | "1" => Ok(Truth(true)),
                    "false" | "0" | "" => Ok(Truth(false)),
                    _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }
            fn visit_unit<E: Error>(self) -> Result<Truth, E> {
                Ok(Truth(false))
            }
        }
        deserializer.deserialize_any(Visit)
    }
}
