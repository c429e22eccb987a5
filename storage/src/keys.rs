//! Keys: bytes whose order is the order of the values they stand for.
//!
//! Numbers are big-endian; a list is a run of `0x01 item` closed by `0x00`, a string is its bytes
//! with `0x00` written `0x00 0xff`, closed by `0x00 0x01`: so a prefix sorts before what it
//! begins. `docs/FORMAT.md` has the table.

use portolan_model::{
    CallKey, CallProtocol, CallSource, Direction, EdgeKey, EntityId, Evidence, Layer, PathKey,
    PathKind, Proto, Via, Window,
};

/// The level of base windows; coarser windows get higher ones.
pub(crate) const BASE_LEVEL: u8 = 0;

/// First byte of a ledger row, in every keyspace.
pub(crate) const LEDGER: u8 = 0;

/// First byte of an edge row.
pub(crate) const EDGE: u8 = 1;

/// First byte of a path row.
pub(crate) const PATH: u8 = 2;

/// First byte of a row of calls.
pub(crate) const CALL: u8 = 3;

/// First bytes of all kinds of rows.
pub(crate) const KINDS: [u8; 3] = [EDGE, PATH, CALL];

/// What a kind of rows is called.
pub(crate) fn kind_name(kind: u8) -> &'static str {
    match kind {
        EDGE => "edges",
        PATH => "paths",
        _ => "calls",
    }
}

/// Longest list of hops in a key: 9 bytes each, far below the 65,535 bytes that the engine takes.
pub(crate) const MAX_VIA: usize = 1_024;

/// Bytes of a string that a key holds as they are. A longer one keeps this many and gets a hash.
const MAX_TEXT: usize = 512;

/// A cursor over key bytes. Every reader returns nothing at the first byte that does not fit.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

/// The key of a ledger row.
pub(crate) fn ledger(epoch: u64) -> [u8; 9] {
    let mut key = [0; 9];
    key[0] = LEDGER;
    key[1..].copy_from_slice(&epoch.to_be_bytes());
    key
}

/// The epoch of a ledger key.
pub(crate) fn read_ledger(key: &[u8]) -> Option<u64> {
    let mut key = Reader(key);
    (key.u8()? == LEDGER).then_some(())?;
    let epoch = key.u64()?;
    key.end(epoch)
}

/// What every row key of a window begins with.
pub(crate) fn window(kind: u8, window: Window) -> [u8; 6] {
    let [a, b, c, d] = window.0.to_be_bytes();
    [kind, BASE_LEVEL, a, b, c, d]
}

/// Appends the key of an edge row: 28 bytes.
pub(crate) fn put_edge(out: &mut Vec<u8>, key: &EdgeKey) {
    out.extend_from_slice(&window(EDGE, key.window));
    out.push(key.layer as u8);
    out.extend_from_slice(&key.client.0.to_be_bytes());
    out.extend_from_slice(&key.server.0.to_be_bytes());
    out.push(key.proto.0);
    out.extend_from_slice(&key.port.to_be_bytes());
    out.push(key.direction as u8);
}

/// The edge of a row key.
pub(crate) fn read_edge(bytes: &[u8]) -> Option<EdgeKey> {
    let mut at = Reader(bytes);
    let key = EdgeKey {
        window: at.window(EDGE)?,
        layer: Layer::from_code(at.u8()?)?,
        client: EntityId(at.u64()?),
        server: EntityId(at.u64()?),
        proto: Proto(at.u8()?),
        port: at.u16()?,
        direction: Direction::from_code(at.u8()?)?,
    };
    at.end(key)
}

/// Appends the key of a path row.
pub(crate) fn put_path(out: &mut Vec<u8>, key: &PathKey) {
    out.extend_from_slice(&window(PATH, key.window));
    out.push(key.layer as u8);
    out.extend_from_slice(&key.client.0.to_be_bytes());
    out.extend_from_slice(&key.server.0.to_be_bytes());
    out.push(key.proto.0);
    out.extend_from_slice(&key.front_port.to_be_bytes());
    out.extend_from_slice(&key.port.to_be_bytes());
    for hop in &key.via {
        out.push(1);
        out.extend_from_slice(&hop.0.to_be_bytes());
    }
    out.push(0);
    out.push(key.kind as u8);
    out.push(key.evidence as u8);
}

/// The path of a row key.
pub(crate) fn read_path(bytes: &[u8]) -> Option<PathKey> {
    let mut at = Reader(bytes);
    let key = PathKey {
        window: at.window(PATH)?,
        layer: Layer::from_code(at.u8()?)?,
        client: EntityId(at.u64()?),
        server: EntityId(at.u64()?),
        proto: Proto(at.u8()?),
        front_port: at.u16()?,
        port: at.u16()?,
        via: at.via()?,
        kind: PathKind::from_code(at.u8()?)?,
        evidence: Evidence::from_code(at.u8()?)?,
    };
    at.end(key)
}

/// Appends the key of a row of calls: 32 bytes.
pub(crate) fn put_call(out: &mut Vec<u8>, key: &CallKey) {
    out.extend_from_slice(&window(CALL, key.window));
    out.extend_from_slice(&key.client.0.to_be_bytes());
    out.extend_from_slice(&key.server.0.to_be_bytes());
    out.push(key.source as u8);
    out.push(key.protocol as u8);
    out.extend_from_slice(&key.operation.0.to_be_bytes());
}

/// The calls of a row key.
pub(crate) fn read_call(bytes: &[u8]) -> Option<CallKey> {
    let mut at = Reader(bytes);
    let key = CallKey {
        window: at.window(CALL)?,
        client: EntityId(at.u64()?),
        server: EntityId(at.u64()?),
        source: CallSource::from_code(at.u8()?)?,
        protocol: CallProtocol::from_code(at.u8()?)?,
        operation: EntityId(at.u64()?),
    };
    at.end(key)
}

/// Appends a string. Strings over 512 bytes keep their order only in these; a 128-bit hash of the
/// whole tells them apart.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let kept = &bytes[..bytes.len().min(MAX_TEXT)];
    for byte in kept {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xff);
        }
    }
    if bytes.len() > MAX_TEXT {
        // Two independent FNV-1a (64 bit) runs: forwards and backwards.
        out.extend_from_slice(format!("{:016x}", fnv(bytes.iter())).as_bytes());
        out.extend_from_slice(format!("{:016x}", fnv(bytes.iter().rev())).as_bytes());
    }
    out.extend_from_slice(&[0, 1]);
}

fn fnv<'a>(bytes: impl Iterator<Item = &'a u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

// === impl Reader ===

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[b]| b)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    /// The kind, level and window that a row key begins with.
    pub(crate) fn window(&mut self, kind: u8) -> Option<Window> {
        let fits = self.u8()? == kind && self.u8()? == BASE_LEVEL;
        fits.then_some(())?;
        self.u32().map(Window)
    }

    fn via(&mut self) -> Option<Via> {
        let mut via = Via::new();
        loop {
            match self.u8()? {
                0 => return Some(via),
                1 => via.push(EntityId(self.u64()?)),
                _ => return None,
            }
        }
    }

    /// The value, if nothing is left.
    pub(crate) fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

#[cfg(test)]
mod tests;
