//! Connections in chunks: adding one never moves the others, and a cleared table gives its memory to
//! the next window instead of to the system, which would have to zero it again.

use std::ops::{Index, IndexMut};

use super::table::Conn;

/// Connections of a chunk: 200 KB or so, past what an allocator keeps at hand, far below a window.
const CHUNK: u32 = 1_024;

/// See the module.
#[derive(Default)]
pub(super) struct Slots {
    chunks: Vec<Vec<Conn>>,
}

impl Slots {
    /// Makes the slot at `place` that of a new connection. Slots are opened in order.
    pub(super) fn open(&mut self, place: u32) -> &mut Conn {
        let (chunk, at) = split(place);
        if chunk == self.chunks.len() {
            self.chunks.push(Vec::with_capacity(CHUNK as usize));
        }
        let chunk = &mut self.chunks[chunk];
        match chunk.get_mut(at) {
            Some(used) => used.renew(),
            None => chunk.push(Conn::default()),
        }
        &mut chunk[at]
    }
}

impl Index<u32> for Slots {
    type Output = Conn;
    fn index(&self, place: u32) -> &Conn {
        let (chunk, at) = split(place);
        &self.chunks[chunk][at]
    }
}

impl IndexMut<u32> for Slots {
    fn index_mut(&mut self, place: u32) -> &mut Conn {
        let (chunk, at) = split(place);
        &mut self.chunks[chunk][at]
    }
}

const fn split(place: u32) -> (usize, usize) {
    ((place / CHUNK) as usize, (place % CHUNK) as usize)
}
