//! Numbers of any width, one behind the other, lowest bit first.

/// Writes bits.
#[derive(Default)]
pub(super) struct BitWriter {
    out: Vec<u8>,
    bits: u64,
    used: u32,
}

/// Reads bits.
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

// === impl BitWriter ===

impl BitWriter {
    /// Appends the low `width` bits, at most 64.
    pub(super) fn put(&mut self, value: u64, width: u32) {
        if width > 32 {
            self.put(value & 0xffff_ffff, 32);
            self.put(value >> 32, width - 32);
            return;
        }
        self.bits |= (value & low(width)) << self.used;
        self.used += width;
        while self.used >= 8 {
            self.out.push(self.bits as u8);
            self.bits >>= 8;
            self.used -= 8;
        }
    }

    /// Appends a number above 0 in Elias' gamma code: about twice its length in bits.
    pub(super) fn put_gamma(&mut self, value: u64) {
        debug_assert!(value > 0, "gamma codes begin at 1");
        let len = value.ilog2();
        // As many zeros as bits follow the first, then a one, then these bits.
        self.put(0, len);
        self.put(1, 1);
        self.put(value, len);
    }

    /// Bits so far.
    pub(super) fn len(&self) -> usize {
        self.out.len() * 8 + self.used as usize
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.used > 0 {
            self.out.push(self.bits as u8);
        }
        self.out
    }
}

// === impl BitReader ===

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    pub(super) fn take(&mut self, width: u32) -> Option<u64> {
        if self.at + width as usize > self.bytes.len() * 8 {
            return None;
        }
        let value = get(self.bytes, self.at, width);
        self.at += width as usize;
        Some(value)
    }

    pub(super) fn take_gamma(&mut self) -> Option<u64> {
        let mut len = 0;
        while self.take(1)? == 0 {
            len += 1;
            if len > 63 {
                return None;
            }
        }
        Some(1 << len | self.take(len)?)
    }
}

/// The number of `width` bits that begins at bit `at`; bits beyond the bytes are zero.
#[inline]
pub(super) fn get(bytes: &[u8], at: usize, width: u32) -> u64 {
    let (byte, shift) = (at / 8, (at % 8) as u32);
    let head = match bytes.get(byte..byte + 8) {
        Some(eight) => u64::from_le_bytes(*eight.first_chunk().expect("eight bytes were taken")),
        None => tail(bytes, byte),
    };
    let mut value = head >> shift;
    if shift + width > 64 {
        value |= u64::from(bytes.get(byte + 8).copied().unwrap_or(0)) << (64 - shift);
    }
    value & low(width)
}

#[cold]
fn tail(bytes: &[u8], from: usize) -> u64 {
    let rest = bytes.get(from..).unwrap_or_default();
    rest.iter().take(8).rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

const fn low(width: u32) -> u64 {
    if width >= 64 { u64::MAX } else { (1 << width) - 1 }
}
