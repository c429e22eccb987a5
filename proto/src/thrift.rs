//! Thrift's binary protocol, as far as reading needs it (`thrift-binary-protocol.md`): no message
//! envelope, fields by number until one of type 0, everything in network order.

/// The bytes end too early, nest too deep, or say something that there is not.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error("thrift ends too early")]
    Truncated,
    #[error("an unknown thrift type")]
    Type,
    #[error("thrift nests too deep")]
    Deep,
}

/// The types of fields and elements that are read.
pub(crate) const BOOL: u8 = 2;
pub(crate) const BYTE: u8 = 3;
pub(crate) const DOUBLE: u8 = 4;
pub(crate) const I16: u8 = 6;
pub(crate) const I32: u8 = 8;
pub(crate) const I64: u8 = 10;
pub(crate) const BINARY: u8 = 11;
pub(crate) const STRUCT: u8 = 12;
const MAP: u8 = 13;
const SET: u8 = 14;
pub(crate) const LIST: u8 = 15;

/// Structs and lists within each other that are passed over.
const MAX_DEPTH: u8 = 16;

/// See the module.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Broken> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Broken::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Broken::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// The next field of a struct: its number and type, or nothing at the end.
    pub(crate) fn field(&mut self) -> Result<Option<(i16, u8)>, Broken> {
        let [kind] = self.array()?;
        if kind == 0 {
            return Ok(None);
        }
        Ok(Some((i16::from_be_bytes(self.array()?), kind)))
    }

    pub(crate) fn i16(&mut self) -> Result<i16, Broken> {
        self.array().map(i16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Broken> {
        self.array().map(i32::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Broken> {
        self.array().map(i64::from_be_bytes)
    }

    pub(crate) fn binary(&mut self) -> Result<&'a [u8], Broken> {
        let len = self.i32()?;
        self.take(usize::try_from(len).map_err(|_| Broken::Truncated)?)
    }

    /// The head of a list: type and number of its elements. A list of more than there are bytes is
    /// broken, so that nobody reserves memory for it.
    pub(crate) fn list(&mut self) -> Result<(u8, usize), Broken> {
        let [kind] = self.array()?;
        let len = usize::try_from(self.i32()?).map_err(|_| Broken::Truncated)?;
        if len > self.rest.len() { Err(Broken::Truncated) } else { Ok((kind, len)) }
    }

    /// Passes over a value.
    pub(crate) fn skip(&mut self, kind: u8) -> Result<(), Broken> {
        self.skip_within(kind, MAX_DEPTH)
    }

    fn skip_within(&mut self, kind: u8, depth: u8) -> Result<(), Broken> {
        let depth = depth.checked_sub(1).ok_or(Broken::Deep)?;
        match kind {
            BOOL | BYTE => self.take(1).map(drop),
            I16 => self.take(2).map(drop),
            I32 => self.take(4).map(drop),
            I64 | DOUBLE => self.take(8).map(drop),
            BINARY => self.binary().map(drop),
            STRUCT => {
                while let Some((_, kind)) = self.field()? {
                    self.skip_within(kind, depth)?;
                }
                Ok(())
            }
            LIST | SET => {
                let (kind, len) = self.list()?;
                (0..len).try_for_each(|_| self.skip_within(kind, depth))
            }
            MAP => {
                let [key, value, ..] = self.array::<2>()?;
                let len = usize::try_from(self.i32()?).map_err(|_| Broken::Truncated)?;
                (0..len).try_for_each(|_| {
                    self.skip_within(key, depth)?;
                    self.skip_within(value, depth)
                })
            }
            _ => Err(Broken::Type),
        }
    }
}
