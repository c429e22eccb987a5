//! Captured messages in files, as `load replay` and `map` take them.
//!
//! A file is NDJSON if its first line begins an object: each line is one message, either
//! `{"key": base64?, "value": base64 | object}` or the value itself as an object. Anything else is
//! one message of bare bytes, or, where the caller says that the file is text, a message a line.
//! Reads as it goes: memory is bounded by the longest line allowed.

use std::io::{self, BufRead, Read};

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

#[cfg(test)]
mod tests;

/// The longest line, or bare message, taken unless told otherwise: 32 MiB, which is the largest
/// default message (16 MiB) in base64 (four thirds) with room for its key.
pub const DEFAULT_MAX_LINE_BYTES: usize = 32 << 20;

/// One captured message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// The line it stood on, from 1; 1 for a file that is one message.
    pub line: usize,
    /// The message key, if there was one.
    pub key: Option<Vec<u8>>,
    /// The message.
    pub value: Vec<u8>,
}

/// A line that is no message, or a file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The line is not what a capture has.
    #[error("line {line}: {why}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// The line, or the bare message, is too long.
    #[error("line {line}: longer than {max} bytes")]
    TooLong {
        /// Which, from 1.
        line: usize,
        /// The bound.
        max: usize,
    },
    /// Reading failed.
    #[error("line {line}: cannot be read")]
    Read {
        /// After which line.
        line: usize,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The messages of a file. After a faulty line it goes on with the next; after a failed read it
/// ends.
#[derive(Debug)]
pub struct Captures<R> {
    reader: io::Chain<io::Cursor<Vec<u8>>, R>,
    max_line_bytes: usize,
    line: usize,
    state: State,
    is_text: bool,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was read.
    Start,
    /// In the lines of NDJSON.
    Lines,
    /// In lines that are messages as they stand.
    Text,
    /// At the end.
    Done,
}

/// How much of a file is looked at to tell what it is: white space before the first line is rare.
const PEEK_BYTES: u64 = 4_096;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Default, Deserialize)]
#[serde(default)]
struct Line<'a> {
    key: Option<String>,
    #[serde(borrow, deserialize_with = "present")]
    value: Option<&'a RawValue>,
}

/// A value that is there, null included: a null is not the same as no value.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

// === impl Captures ===

impl<R: BufRead> Captures<R> {
    /// The messages of a file whose lines have at most `max_line_bytes`.
    pub fn new(reader: R, max_line_bytes: usize) -> Self {
        let reader = io::Cursor::new(Vec::new()).chain(reader);
        Self { reader, max_line_bytes, line: 0, state: State::Start, is_text: false }
    }

    /// Whether a file that is not NDJSON is lines of text, each a message: logs are.
    #[must_use]
    pub fn with_text(mut self, is_text: bool) -> Self {
        self.is_text = is_text;
        self
    }

    /// Looks at the beginning: whether the file is lines of JSON, one message, or empty.
    fn begin(&mut self) -> Result<State, CaptureError> {
        let mut head = Vec::new();
        let (_, file) = self.reader.get_mut();
        file.take(PEEK_BYTES).read_to_end(&mut head).map_err(|source| self.unread(source))?;
        let state = match &head[..] {
            [] => State::Done,
            head if is_ndjson(head) => State::Lines,
            _ if self.is_text => State::Text,
            _ => State::Start,
        };
        *self.reader.get_mut().0 = io::Cursor::new(head);
        Ok(state)
    }

    /// The whole file as one message.
    fn whole(&mut self) -> Result<Captured, CaptureError> {
        self.line = 1;
        let mut value = Vec::new();
        let limit = self.max_line_bytes as u64 + 1;
        let read = (&mut self.reader).take(limit).read_to_end(&mut value);
        read.map_err(|source| self.unread(source))?;
        if value.len() > self.max_line_bytes {
            return Err(CaptureError::TooLong { line: 1, max: self.max_line_bytes });
        }
        Ok(Captured { line: 1, key: None, value })
    }

    /// The next line that is not blank, without its end.
    fn next_line(&mut self) -> Option<Result<Vec<u8>, CaptureError>> {
        loop {
            let mut text = Vec::new();
            let limit = self.max_line_bytes as u64 + 1;
            match (&mut self.reader).take(limit).read_until(b'\n', &mut text) {
                Ok(0) => return None,
                Ok(_) => self.line += 1,
                Err(source) => {
                    self.state = State::Done;
                    return Some(Err(self.unread(source)));
                }
            }
            let ended = text.ends_with(b"\n");
            if !ended && text.len() > self.max_line_bytes {
                if let Err(source) = skip_line(&mut self.reader) {
                    self.state = State::Done;
                    return Some(Err(self.unread(source)));
                }
                let max = self.max_line_bytes;
                return Some(Err(CaptureError::TooLong { line: self.line, max }));
            }
            if !text.trim_ascii().is_empty() {
                return Some(Ok(text));
            }
        }
    }

    fn unread(&self, source: io::Error) -> CaptureError {
        CaptureError::Read { line: self.line, source }
    }
}

impl<R: BufRead> Iterator for Captures<R> {
    type Item = Result<Captured, CaptureError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Start {
            match self.begin() {
                Ok(State::Start) => {
                    self.state = State::Done;
                    return Some(self.whole());
                }
                Ok(state) => self.state = state,
                Err(error) => {
                    self.state = State::Done;
                    return Some(Err(error));
                }
            }
        }
        if self.state == State::Done {
            return None;
        }
        let text = match self.next_line()? {
            Ok(text) => text,
            Err(error) => return Some(Err(error)),
        };
        let line = self.line;
        if self.state == State::Text {
            let value = text.trim_ascii().to_vec();
            return Some(Ok(Captured { line, key: None, value }));
        }
        Some(message(line, &text).map_err(|why| CaptureError::Line { line, why }))
    }
}

/// Whether a file that begins so is lines of JSON objects.
///
/// A `Records` of protobuf begins with a line feed, too, and its first length may be a brace. After
/// the brace of an object comes a quote, white space or the other brace; inside an entry comes the
/// key of its first field, and of these only the end time's (4) looks like a quote.
fn is_ndjson(head: &[u8]) -> bool {
    match head.trim_ascii_start() {
        [b'{'] => true,
        // A brace alone on its line begins one object over many lines: one message.
        [b'{', next, ..] => matches!(next, b'"' | b' ' | b'\t' | b'}'),
        _ => false,
    }
}

/// Reads to the end of the line and forgets it.
fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let chunk = match reader.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let (read, done) = end.map_or((chunk.len(), chunk.is_empty()), |at| (at + 1, true));
        reader.consume(read);
        if done {
            return Ok(());
        }
    }
}

/// The message that a line holds.
fn message(line: usize, text: &[u8]) -> Result<Captured, String> {
    let parsed: Line<'_> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let Some(value) = parsed.value else {
        let value = text.trim_ascii().to_vec();
        return Ok(Captured { line, key: None, value });
    };
    let key = match parsed.key {
        Some(key) => Some(bytes("key", &key)?),
        None => None,
    };
    let value = match value.get().as_bytes().first() {
        Some(b'{' | b'[') => value.get().as_bytes().to_vec(),
        Some(b'"') => {
            let text = serde_json::from_str::<String>(value.get()).map_err(|e| e.to_string())?;
            bytes("value", &text)?
        }
        _ => return Err("value is neither base64 nor an object".to_owned()),
    };
    Ok(Captured { line, key, value })
}

fn bytes(field: &str, text: &str) -> Result<Vec<u8>, String> {
    BASE64.decode(text).map_err(|error| format!("{field} is not base64: {error}"))
}
