//! Pages of edges, and the token that says where the next one begins.
//!
//! A token names the last edge of its page, not a number of edges: edges that come or go between
//! two pages neither shift others out of sight nor show them twice.

use portolan_model::{Direction, EntityId, Layer, Proto};

use crate::{Link, Prepared};

/// A page of edges.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Page {
    /// Places of its edges in the graph, ascending.
    pub edges: Vec<usize>,
    /// Its last edge, if more follow.
    pub last: Option<Link>,
    /// Edges that the filter keeps, over all pages; known ones.
    pub total: u64,
    /// The same, of edges that only may be.
    pub possible: u64,
}

/// Where a page ended, and of which query.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct PageToken {
    /// A hash of what was asked: a token of another query is refused.
    pub query: u64,
    /// The last edge that was shown.
    pub last: Link,
}

/// A text that is no token.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a token of this server")]
pub struct TokenError;

/// Changes with the meaning of a token's bytes.
const VERSION: u8 = 1;
/// Version, query, layer, client, server, protocol, port, direction, check.
const BYTES: usize = 1 + 8 + 1 + 8 + 8 + 1 + 2 + 1 + 4;

// === impl Prepared ===

impl Prepared<'_> {
    /// The edges that the filter keeps from place `start` on, at most `size`.
    pub fn page(&self, start: usize, size: usize) -> Page {
        let mut page = Page::default();
        let edges = self.graph().edges();
        for at in (0..edges.len()).filter(|at| self.keeps(*at)) {
            let counted =
                if edges[at].possible.is_empty() { &mut page.total } else { &mut page.possible };
            *counted += 1;
            if at < start {
                continue;
            }
            if page.edges.len() < size {
                page.edges.push(at);
            } else {
                page.last = page.edges.last().map(|last| edges[*last].link);
            }
        }
        page
    }
}

// === impl PageToken ===

impl PageToken {
    /// As text: hexadecimal digits.
    pub fn encode(&self) -> String {
        use std::fmt::Write as _;
        let link = &self.last;
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.push(VERSION);
        bytes.extend(self.query.to_be_bytes());
        bytes.push(link.layer as u8);
        bytes.extend(link.client.0.to_be_bytes());
        bytes.extend(link.server.0.to_be_bytes());
        bytes.push(link.proto.0);
        bytes.extend(link.port.to_be_bytes());
        bytes.push(link.direction as u8);
        bytes.extend(check(&bytes).to_be_bytes());
        bytes.iter().fold(String::with_capacity(2 * BYTES), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes all that is written");
            text
        })
    }

    /// From text.
    pub fn decode(text: &str) -> Result<Self, TokenError> {
        let bytes = unhex(text).ok_or(TokenError)?;
        let (body, sum) = bytes.split_at(BYTES - 4);
        if body[0] != VERSION || check(body).to_be_bytes() != *sum {
            return Err(TokenError);
        }
        let u64_at = |at: usize| {
            u64::from_be_bytes(body[at..at + 8].try_into().expect("eight bytes are eight bytes"))
        };
        Ok(Self {
            query: u64_at(1),
            last: Link {
                layer: Layer::from_code(body[9]).ok_or(TokenError)?,
                client: EntityId(u64_at(10)),
                server: EntityId(u64_at(18)),
                proto: Proto(body[26]),
                port: u16::from_be_bytes([body[27], body[28]]),
                direction: Direction::from_code(body[29]).ok_or(TokenError)?,
            },
        })
    }
}

fn unhex(text: &str) -> Option<[u8; BYTES]> {
    let digits: Vec<u32> = text.chars().map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8);
    (digits.len() == 2 * BYTES).then(|| pairs.collect::<Vec<u8>>().try_into().ok()).flatten()
}

/// FNV-1a, 32 bit: finds a mangled token. It is no secret, and a token gives no rights.
fn check(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests;
