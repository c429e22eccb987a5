//! What rows of edges, paths and calls have in common, so that one piece of code keeps them all.

use std::hash::Hash;

use portolan_model::{
    CALL_MEASURES, CallCounters, CallDelta, CallKey, Counters, EdgeDelta, EdgeKey, EntityId,
    Latency, MEASURES, Nanos, PathDelta, PathKey, Window,
};

use crate::codec::{CallSums, Sums};
use crate::{codec, keys};

/// What a row holds beside its key: counts that add up, and the times of the first and last event.
pub(crate) trait Sum: Clone + PartialEq + std::fmt::Debug + Send + Sync + 'static {
    /// Nothing counted, no time known.
    fn zero() -> Self;
    /// Whether nothing is left to count: such a row is not there.
    fn is_zero(&self) -> bool;
    /// Adds another sum of the same key.
    fn merge(&mut self, other: &Self);
    /// Takes the counts of another sum away; times stay.
    fn subtract(&mut self, other: &Self);
    /// First and last event; [`Nanos::MAX`] and 0 where none is known.
    fn times(&self) -> (Nanos, Nanos);
    /// Sets them.
    fn set_times(&mut self, first_ns: Nanos, last_ns: Nanos);
    /// As columns: the counters, and the histograms where it has them.
    fn parts(&self) -> ([i64; MEASURES], Option<[Latency; 3]>);
    /// From columns.
    fn from_parts(
        counters: &[i64; MEASURES],
        latency: Option<[Latency; 3]>,
        times: (Nanos, Nanos),
    ) -> Self;
    /// Appends it, as a row of `window`.
    fn put(&self, out: &mut Vec<u8>, window: Window);
    /// Reads it off the front.
    fn take(bytes: &mut &[u8], window: Window) -> Option<Self>;
}

/// A row: a key that names a window, and sums.
pub(crate) trait Row: Clone + Send + Sync + 'static {
    /// Its key. The order of keys is the order on disk.
    type Key: Clone + Ord + Hash + Send + Sync + std::fmt::Debug;

    /// Its value.
    type Sums: Sum;

    /// First byte of its keys on disk.
    const KIND: u8;
    /// Where the layer stands in a key on disk; none where it follows from the rest.
    const LAYER_AT: Option<usize>;
    /// Where client and server end in a key on disk.
    const TAIL_AT: usize;

    fn key(&self) -> &Self::Key;
    fn sums(&self) -> Self::Sums;
    fn new(key: Self::Key, sums: Self::Sums) -> Self;
    fn window(key: &Self::Key) -> Window;
    /// Client and server.
    fn ends(key: &Self::Key) -> (EntityId, EntityId);
    /// The same key in another window.
    fn moved(key: &Self::Key, window: Window) -> Self::Key;
    /// The same key in a window, between these ends.
    fn between(key: &Self::Key, window: Window, ends: (EntityId, EntityId)) -> Self::Key;
    fn put_key(out: &mut Vec<u8>, key: &Self::Key);
    fn read_key(bytes: &[u8]) -> Option<Self::Key>;

    /// The layer of a key on disk; 0 where it follows from the rest.
    fn layer_of(key: &[u8]) -> u8 {
        Self::LAYER_AT.map_or(0, |at| key[at])
    }

    /// A key on disk of window 0 between no ends, with this layer and tail.
    fn put_bytes(out: &mut Vec<u8>, layer: u8, tail: &[u8]) {
        out.extend_from_slice(&keys::window(Self::KIND, Window(0)));
        out.extend(Self::LAYER_AT.map(|_| layer));
        out.extend_from_slice(&[0; 16]);
        out.extend_from_slice(tail);
    }
}

/// The value of a row.
pub(crate) fn put_value<R: Row>(out: &mut Vec<u8>, key: &R::Key, sums: &R::Sums) {
    sums.put(out, R::window(key));
}

/// The row of a key and a value.
pub(crate) fn read_row<R: Row>(key: &[u8], mut value: &[u8]) -> Option<R> {
    let key = R::read_key(key)?;
    let sums = R::Sums::take(&mut value, R::window(&key))?;
    value.is_empty().then(|| R::new(key, sums))
}

/// The rows sorted, one per key: as the line emits them, at the price of one look; sorted and
/// merged here if they are not.
pub(crate) fn tidy<R: Row>(rows: &[R]) -> std::borrow::Cow<'_, [R]> {
    if rows.is_sorted_by(|a, b| a.key() < b.key()) {
        return rows.into();
    }
    let mut sorted = rows.to_vec();
    sorted.sort_by(|a, b| a.key().cmp(b.key()));
    let mut merged: Vec<R> = Vec::with_capacity(sorted.len());
    for row in sorted {
        match merged.last_mut() {
            Some(last) if last.key() == row.key() => {
                let mut sums = last.sums();
                sums.merge(&row.sums());
                *last = R::new(row.key().clone(), sums);
            }
            _ => merged.push(row),
        }
    }
    merged.into()
}

// === impl Sum ===

impl Sum for Sums {
    fn zero() -> Self {
        Self::ZERO
    }

    fn is_zero(&self) -> bool {
        self.counters.is_zero()
    }

    fn merge(&mut self, other: &Self) {
        self.counters.add(&other.counters);
        self.first_ns = self.first_ns.min(other.first_ns);
        self.last_ns = self.last_ns.max(other.last_ns);
    }

    fn subtract(&mut self, other: &Self) {
        self.counters.subtract(&other.counters);
    }

    fn times(&self) -> (Nanos, Nanos) {
        (self.first_ns, self.last_ns)
    }

    fn set_times(&mut self, first_ns: Nanos, last_ns: Nanos) {
        (self.first_ns, self.last_ns) = (first_ns, last_ns);
    }

    fn parts(&self) -> ([i64; MEASURES], Option<[Latency; 3]>) {
        (*self.counters.as_array(), None)
    }

    fn from_parts(
        counters: &[i64; MEASURES],
        _: Option<[Latency; 3]>,
        (first_ns, last_ns): (Nanos, Nanos),
    ) -> Self {
        Self { counters: Counters::from_array(*counters), first_ns, last_ns }
    }

    fn put(&self, out: &mut Vec<u8>, window: Window) {
        codec::put_sums(out, window, self);
    }

    fn take(bytes: &mut &[u8], window: Window) -> Option<Self> {
        codec::take_sums(bytes, window)
    }
}

impl Sum for CallSums {
    fn zero() -> Self {
        Self::zero()
    }

    fn is_zero(&self) -> bool {
        self.counters.is_zero() && self.latency.iter().all(Latency::is_zero)
    }

    fn merge(&mut self, other: &Self) {
        self.counters.add(&other.counters);
        for (mine, theirs) in self.latency.iter_mut().zip(&other.latency) {
            mine.add(theirs);
        }
        self.first_ns = self.first_ns.min(other.first_ns);
        self.last_ns = self.last_ns.max(other.last_ns);
    }

    fn subtract(&mut self, other: &Self) {
        self.counters.subtract(&other.counters);
        for (mine, theirs) in self.latency.iter_mut().zip(&other.latency) {
            mine.subtract(theirs);
        }
    }

    fn times(&self) -> (Nanos, Nanos) {
        (self.first_ns, self.last_ns)
    }

    fn set_times(&mut self, first_ns: Nanos, last_ns: Nanos) {
        (self.first_ns, self.last_ns) = (first_ns, last_ns);
    }

    fn parts(&self) -> ([i64; MEASURES], Option<[Latency; 3]>) {
        let mut counters = [0; MEASURES];
        counters[..CALL_MEASURES].copy_from_slice(self.counters.as_array());
        (counters, Some(self.latency.clone()))
    }

    fn from_parts(
        counters: &[i64; MEASURES],
        latency: Option<[Latency; 3]>,
        (first_ns, last_ns): (Nanos, Nanos),
    ) -> Self {
        let counters = CallCounters::from_array(std::array::from_fn(|at| counters[at]));
        Self { counters, latency: latency.unwrap_or_default(), first_ns, last_ns }
    }

    fn put(&self, out: &mut Vec<u8>, window: Window) {
        codec::put_call_sums(out, window, self);
    }

    fn take(bytes: &mut &[u8], window: Window) -> Option<Self> {
        codec::take_call_sums(bytes, window)
    }
}

// === impl Row ===

impl Row for EdgeDelta {
    type Key = EdgeKey;
    type Sums = Sums;
    const KIND: u8 = keys::EDGE;
    const LAYER_AT: Option<usize> = Some(6);
    const TAIL_AT: usize = 23;

    fn key(&self) -> &EdgeKey {
        &self.key
    }

    fn sums(&self) -> Sums {
        Sums { counters: self.counters, first_ns: self.first_ns, last_ns: self.last_ns }
    }

    fn new(key: EdgeKey, sums: Sums) -> Self {
        Self { key, counters: sums.counters, first_ns: sums.first_ns, last_ns: sums.last_ns }
    }

    fn window(key: &EdgeKey) -> Window {
        key.window
    }

    fn ends(key: &EdgeKey) -> (EntityId, EntityId) {
        (key.client, key.server)
    }

    fn moved(key: &EdgeKey, window: Window) -> EdgeKey {
        EdgeKey { window, ..*key }
    }

    fn between(key: &EdgeKey, window: Window, (client, server): (EntityId, EntityId)) -> EdgeKey {
        EdgeKey { window, client, server, ..*key }
    }

    fn put_key(out: &mut Vec<u8>, key: &EdgeKey) {
        keys::put_edge(out, key);
    }

    fn read_key(bytes: &[u8]) -> Option<EdgeKey> {
        keys::read_edge(bytes)
    }
}

impl Row for PathDelta {
    type Key = PathKey;
    type Sums = Sums;
    const KIND: u8 = keys::PATH;
    const LAYER_AT: Option<usize> = Some(6);
    const TAIL_AT: usize = 23;

    fn key(&self) -> &PathKey {
        &self.key
    }

    fn sums(&self) -> Sums {
        Sums { counters: self.counters, first_ns: self.first_ns, last_ns: self.last_ns }
    }

    fn new(key: PathKey, sums: Sums) -> Self {
        Self { key, counters: sums.counters, first_ns: sums.first_ns, last_ns: sums.last_ns }
    }

    fn window(key: &PathKey) -> Window {
        key.window
    }

    fn ends(key: &PathKey) -> (EntityId, EntityId) {
        (key.client, key.server)
    }

    fn moved(key: &PathKey, window: Window) -> PathKey {
        PathKey { window, ..key.clone() }
    }

    fn between(key: &PathKey, window: Window, (client, server): (EntityId, EntityId)) -> PathKey {
        PathKey { window, client, server, ..key.clone() }
    }

    fn put_key(out: &mut Vec<u8>, key: &PathKey) {
        keys::put_path(out, key);
    }

    fn read_key(bytes: &[u8]) -> Option<PathKey> {
        keys::read_path(bytes)
    }
}

impl Row for CallDelta {
    type Key = CallKey;
    type Sums = CallSums;
    const KIND: u8 = keys::CALL;
    const LAYER_AT: Option<usize> = None;
    const TAIL_AT: usize = 22;

    fn key(&self) -> &CallKey {
        &self.key
    }

    fn sums(&self) -> CallSums {
        CallSums {
            counters: self.counters,
            latency: [self.client.clone(), self.server.clone(), self.gap.clone()],
            first_ns: self.first_ns,
            last_ns: self.last_ns,
        }
    }

    fn new(key: CallKey, sums: CallSums) -> Self {
        let CallSums { counters, latency: [client, server, gap], first_ns, last_ns } = sums;
        Self { key, counters, client, server, gap, first_ns, last_ns }
    }

    fn window(key: &CallKey) -> Window {
        key.window
    }

    fn ends(key: &CallKey) -> (EntityId, EntityId) {
        (key.client, key.server)
    }

    fn moved(key: &CallKey, window: Window) -> CallKey {
        CallKey { window, ..*key }
    }

    fn between(key: &CallKey, window: Window, (client, server): (EntityId, EntityId)) -> CallKey {
        CallKey { window, client, server, ..*key }
    }

    fn put_key(out: &mut Vec<u8>, key: &CallKey) {
        keys::put_call(out, key);
    }

    fn read_key(bytes: &[u8]) -> Option<CallKey> {
        keys::read_call(bytes)
    }
}
