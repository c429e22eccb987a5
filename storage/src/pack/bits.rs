//! Numbers of any width, one behind the other, lowest bit first.

/// An array of a function for each width: shifts are constants then, and this is what makes them fast.
macro_rules! widths {
    ($of:ident) => {
        widths!($of; 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
            33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64)
    };
    ($of:ident; $($width:literal)*) => { [$($of::<$width>),*] };
}

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
        // The zeros before the first one, at most 63; what lies beyond the bytes reads as zeros.
        let len = get(self.bytes, self.at, 64).trailing_zeros();
        self.at += len as usize + 1;
        (len < 64).then_some(())?;
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

/// Bytes that eight numbers of any width are read from: 64, and what the last one may reach into.
const EIGHT: usize = 72;

/// Reads as many numbers of `width` bits (64 at most) as `out` takes, from the first bit on, each with `least` added.
/// Bits beyond the bytes are zero.
pub(super) fn unpack(bytes: &[u8], width: u32, least: i64, out: &mut [i64]) {
    UNPACK[width as usize](bytes, least, out);
}

/// As [`unpack`], but adds each to what is there, without a look at what numbers hold.
pub(super) fn add(bytes: &[u8], width: u32, least: i64, sums: &mut [i64]) {
    ADD[width as usize](bytes, least, sums);
}

/// As [`add`], each to the sum of its slot. There is a sum for each slot.
pub(super) fn add_at(bytes: &[u8], width: u32, least: i64, slots: &[u32], sums: &mut [i64]) {
    ADD_AT[width as usize](bytes, least, slots, sums);
}

type Run = fn(&[u8], i64, &mut [i64]);
type Spread = fn(&[u8], i64, &[u32], &mut [i64]);
const UNPACK: [Run; 65] = widths!(unpack_width);
const ADD: [Run; 65] = widths!(add_width);
const ADD_AT: [Spread; 65] = widths!(add_width_at);

fn unpack_width<const WIDTH: usize>(bytes: &[u8], least: i64, out: &mut [i64]) {
    let (eights, rest) = out.as_chunks_mut::<8>();
    let mut at = Eights::<WIDTH>::new(bytes, least);
    for eight in eights {
        at.next(eight);
    }
    if !rest.is_empty() {
        let mut eight = [0; 8];
        at.next(&mut eight);
        rest.copy_from_slice(&eight[..rest.len()]);
    }
}

fn add_width<const WIDTH: usize>(bytes: &[u8], least: i64, sums: &mut [i64]) {
    let (eights, rest) = sums.as_chunks_mut::<8>();
    let mut at = Eights::<WIDTH>::new(bytes, least);
    let mut eight = [0; 8];
    for sums in eights {
        at.next(&mut eight);
        sums.iter_mut().zip(&eight).for_each(|(sum, value)| *sum = sum.wrapping_add(*value));
    }
    if !rest.is_empty() {
        at.next(&mut eight);
        rest.iter_mut().zip(&eight).for_each(|(sum, value)| *sum = sum.wrapping_add(*value));
    }
}

fn add_width_at<const WIDTH: usize>(bytes: &[u8], least: i64, slots: &[u32], sums: &mut [i64]) {
    let mut at = Eights::<WIDTH>::new(bytes, least);
    let mut eight = [0; 8];
    let mut add = |slot: &u32, value: &i64| {
        let sum = &mut sums[*slot as usize];
        *sum = sum.wrapping_add(*value);
    };
    let (eights, rest) = slots.as_chunks::<8>();
    for slots in eights {
        at.next(&mut eight);
        slots.iter().zip(&eight).for_each(|(slot, value)| add(slot, value));
    }
    if !rest.is_empty() {
        at.next(&mut eight);
        rest.iter().zip(&eight).for_each(|(slot, value)| add(slot, value));
    }
}

/// Numbers of one width, eight at a time.
struct Eights<'a, const WIDTH: usize> {
    bytes: &'a [u8],
    at: usize,
    least: i64,
}

// === impl Eights ===

impl<'a, const WIDTH: usize> Eights<'a, WIDTH> {
    fn new(bytes: &'a [u8], least: i64) -> Self {
        Self { bytes, at: 0, least }
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "its loops are the hottest of the store")]
    fn next(&mut self, out: &mut [i64; 8]) {
        match self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<EIGHT>) {
            Some(from) => unpack_eight::<WIDTH>(from, self.least, out),
            None => unpack_eight::<WIDTH>(&padded(self.bytes, self.at), self.least, out),
        }
        self.at += WIDTH;
    }
}

#[inline]
fn unpack_eight<const WIDTH: usize>(from: &[u8; EIGHT], least: i64, out: &mut [i64; 8]) {
    for (n, out) in out.iter_mut().enumerate() {
        let (byte, shift) = (n * WIDTH / 8, n * WIDTH % 8);
        let head = from[byte..].first_chunk().expect("eight numbers end within 64 bytes");
        let mut value = u64::from_le_bytes(*head) >> shift;
        if shift + WIDTH > 64 {
            value |= u64::from(from[byte + 8]) << (64 - shift);
        }
        *out = least.wrapping_add((value & low(WIDTH as u32)) as i64);
    }
}

#[cold]
fn padded(bytes: &[u8], at: usize) -> [u8; EIGHT] {
    let mut padded = [0; EIGHT];
    let rest = bytes.get(at..).unwrap_or_default();
    let len = rest.len().min(EIGHT);
    padded[..len].copy_from_slice(&rest[..len]);
    padded
}

#[cold]
fn tail(bytes: &[u8], from: usize) -> u64 {
    let rest = bytes.get(from..).unwrap_or_default();
    rest.iter().take(8).rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

pub(super) const fn low(width: u32) -> u64 {
    if width >= 64 { u64::MAX } else { (1 << width) - 1 }
}
