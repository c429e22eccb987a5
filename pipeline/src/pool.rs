//! Values kept once, by number. Numbers say nothing about order, and never leave the stage.
//!
//! A value is known by its print, 128 bits of hash, and not compared: most of what a batch of records says is known
//! already, and comparing it would wait for the memory of every text in it.

use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::xxh3_128;

/// What a value is known by. Of ten million different values two share one with a chance of about 1e-25.
#[derive(Copy, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Print(pub(crate) u128);

/// Makes prints; its memory is kept.
#[derive(Default)]
pub(crate) struct Printer {
    parts: Vec<u8>,
}

/// See the module.
pub(crate) struct Pool<T> {
    items: Vec<T>,
    numbers: FxHashMap<Print, u32>,
    free: Vec<u32>,
    /// How many were in use when last looked.
    in_use: usize,
}

/// A pool is swept once it holds twice what was in use, and this many more.
const SLACK: usize = 4_096;

// === impl Printer ===

impl Printer {
    /// The print of some texts and numbers, as many and in the same order for all values of a pool.
    pub(crate) fn print(&mut self, texts: &[&str], numbers: &[u64]) -> Print {
        self.parts.clear();
        for text in texts {
            // Its length first, so that parts do not run into each other.
            self.parts.extend_from_slice(&(text.len() as u32).to_le_bytes());
            self.parts.extend_from_slice(text.as_bytes());
        }
        for number in numbers {
            self.parts.extend_from_slice(&number.to_le_bytes());
        }
        Print(xxh3_128(&self.parts))
    }
}

// === impl Pool ===

impl<T> Pool<T> {
    /// A pool whose number 0 is `nothing`.
    pub(crate) fn new(print: Print, nothing: T) -> Self {
        let numbers = FxHashMap::from_iter([(print, 0)]);
        Self { items: vec![nothing], numbers, free: Vec::new(), in_use: 0 }
    }

    /// The number of the value with this print, which is made if it is new.
    pub(crate) fn number(&mut self, print: Print, make: impl FnOnce() -> T) -> u32 {
        if let Some(number) = self.numbers.get(&print) {
            return *number;
        }
        let number = if let Some(free) = self.free.pop() {
            self.items[free as usize] = make();
            free
        } else {
            self.items.push(make());
            self.items.len() as u32 - 1
        };
        self.numbers.insert(print, number);
        number
    }

    /// How many values there are, and were since the last look.
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The value of a number.
    pub(crate) fn get(&self, number: u32) -> &T {
        &self.items[number as usize]
    }

    /// Whether it is time to see what is still in use.
    pub(crate) fn is_due(&self) -> bool {
        self.numbers.len() > 2 * self.in_use + SLACK
    }

    /// One flag a number, all false but for nothing.
    pub(crate) fn flags(&self) -> Vec<bool> {
        let mut flags = vec![false; self.items.len()];
        flags[0] = true;
        flags
    }

    /// One flag a number: whether its value is wanted. Of numbers that are free it means nothing.
    pub(crate) fn flags_where(&self, wanted: impl Fn(&T) -> bool) -> Vec<bool> {
        self.items.iter().map(wanted).collect()
    }

    /// Frees the numbers that are not flagged.
    pub(crate) fn keep(&mut self, used: &[bool]) {
        let free = &mut self.free;
        self.numbers.retain(|_, number| {
            let keep = used[*number as usize];
            if !keep {
                free.push(*number);
            }
            keep
        });
        self.in_use = self.numbers.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        let mut printer = Printer::default();
        let mut print = |texts: &[&str], numbers: &[u64]| printer.print(texts, numbers).0;
        assert_ne!(print(&["ab", "c"], &[1]), print(&["a", "bc"], &[1]));
        assert_ne!(print(&["ab", "c"], &[1]), print(&["ab", "c"], &[2]));
        assert_eq!(print(&["ab", "c"], &[1]), print(&["ab", "c"], &[1]));
    }

    #[test]
    fn number_of_what_is_gone_is_given_again_and_nothing_keeps_its_own() {
        let mut printer = Printer::default();
        let mut pool = Pool::new(printer.print(&[""], &[]), String::new());
        let mut number = |pool: &mut Pool<String>, text: &str| {
            pool.number(printer.print(&[text], &[]), || text.to_owned())
        };
        assert_eq!(["", "a", "b", "a"].map(|text| number(&mut pool, text)), [0, 1, 2, 1]);
        let mut used = pool.flags();
        used[2] = true;
        pool.keep(&used);
        assert_eq!(["c", "b", "", "a"].map(|text| number(&mut pool, text)), [1, 2, 0, 3]);
        assert_eq!([1, 2, 3].map(|number| pool.get(number).as_str()), ["c", "b", "a"]);
    }
}
