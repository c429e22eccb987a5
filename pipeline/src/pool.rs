//! Values kept once, by number. Numbers say nothing about order, and never leave the stage.

use std::hash::Hash;

use rustc_hash::FxHashMap;

/// See the module.
pub(crate) struct Pool<T> {
    items: Vec<T>,
    numbers: FxHashMap<T, u32>,
    free: Vec<u32>,
    /// How many were in use when last looked.
    in_use: usize,
}

/// A pool is swept once it holds twice what was in use, and this many more.
const SLACK: usize = 4_096;

impl<T: Clone + Eq + Hash> Pool<T> {
    /// A pool whose number 0 is `nothing`.
    pub(crate) fn new(nothing: &T) -> Self {
        let mut pool =
            Self { items: Vec::new(), numbers: FxHashMap::default(), free: Vec::new(), in_use: 0 };
        pool.number(nothing);
        pool
    }

    /// The number of a value.
    pub(crate) fn number(&mut self, value: &T) -> u32 {
        if let Some(number) = self.numbers.get(value) {
            return *number;
        }
        let number = if let Some(free) = self.free.pop() {
            self.items[free as usize] = value.clone();
            free
        } else {
            self.items.push(value.clone());
            self.items.len() as u32 - 1
        };
        self.numbers.insert(value.clone(), number);
        number
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
