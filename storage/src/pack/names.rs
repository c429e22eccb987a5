//! What the keys of a table are made of: entities and key tails, each by its place in a sorted list, so that a
//! key is one number and the order of numbers is the order of keys.

/// The sorted lists, and how a key is put together: client, server, tail, from the highest bit down.
#[derive(Default)]
pub(super) struct Names {
    ids: Vec<u64>,
    tails: Vec<Box<[u8]>>,
}

/// Where the parts of a key stand.
#[derive(Copy, Clone, PartialEq, Eq)]
struct Shifts {
    client: u32,
    server: u32,
}

/// The parts of keys by the codes of somebody else's lists.
pub(super) struct Codes {
    ids: Part,
    tails: Part,
    shifts: Shifts,
}

/// What the codes of somebody else's list are here.
enum Part {
    /// The same, of so many.
    Same(usize),
    /// These.
    Moved(Vec<u32>),
}

/// Bits of a key: the highest stays free.
const KEY_BITS: u32 = 63;

// === impl Names ===

impl Names {
    /// Takes in sorted lists, without doubles, and says what their codes are here. Keys that were made before are
    /// made anew where their codes move. Nothing if keys get too long for a number: with 16 M entities and 30 k tails, say.
    pub(super) fn learn<'a>(
        &mut self,
        ids: impl Iterator<Item = u64>,
        tails: impl Iterator<Item = &'a [u8]>,
        keys: &mut [u64],
    ) -> Option<Codes> {
        let before = self.shifts();
        let (old_ids, new_ids) = union(&mut self.ids, ids, Ord::cmp, |id| id);
        let (old_tails, new_tails) =
            union(&mut self.tails, tails, |tail, other| (**tail).cmp(*other), Into::into);
        let after = self.shifts();
        if after.client + bits(self.ids.len()) > KEY_BITS {
            return None;
        }
        if old_ids.is_some() || old_tails.is_some() || before != after {
            let of = |old: &Option<Vec<u32>>, code: u64| {
                old.as_ref().map_or(code, |codes| u64::from(codes[code as usize]))
            };
            for key in keys {
                let (client, server, tail) = before.split(*key);
                let ends =
                    of(&old_ids, client) << after.client | of(&old_ids, server) << after.server;
                *key = ends | of(&old_tails, tail);
            }
        }
        Some(Codes { ids: Part::of(new_ids), tails: Part::of(new_tails), shifts: after })
    }

    /// Codes of client, server and tail in a key.
    #[inline]
    pub(super) fn split(&self, key: u64) -> (usize, usize, usize) {
        let (client, server, tail) = self.shifts().split(key);
        (client as usize, server as usize, tail as usize)
    }

    /// How many names.
    pub(super) fn len(&self) -> usize {
        self.ids.len() + self.tails.len()
    }

    pub(super) fn ids(&self) -> &[u64] {
        &self.ids
    }

    pub(super) fn tails(&self) -> &[Box<[u8]>] {
        &self.tails
    }

    fn shifts(&self) -> Shifts {
        let server = bits(self.tails.len());
        Shifts { client: server + bits(self.ids.len()), server }
    }
}

// === impl Shifts ===

impl Shifts {
    fn split(self, key: u64) -> (u64, u64, u64) {
        let low = |bits: u32| (1_u64 << bits) - 1;
        let server = key >> self.server & low(self.client - self.server);
        (key >> self.client, server, key & low(self.server))
    }
}

// === impl Codes ===

impl Codes {
    #[inline]
    pub(super) fn client(&self, code: i64) -> Option<u64> {
        Some(self.ids.get(code)? << self.shifts.client)
    }

    /// What a server and a tail add to a key.
    #[inline]
    pub(super) fn rest(&self, server: i64, tail: i64) -> Option<u64> {
        Some(self.ids.get(server)? << self.shifts.server | self.tails.get(tail)?)
    }

    /// The keys of rows with these servers and tails, of which there are as many, in runs of one client each.
    /// The codes are exchanged for those here.
    pub(super) fn keys(
        &self,
        (clients, lengths): (&mut [i64], &[i64]),
        (servers, tails): (&mut [i64], &mut [i64]),
        keys: &mut Vec<u64>,
    ) -> Option<()> {
        self.ids.exchange(clients)?;
        self.ids.exchange(servers)?;
        self.tails.exchange(tails)?;
        keys.resize(servers.len(), 0);
        let mut rest = &mut **keys;
        for (client, length) in clients.iter().zip(lengths) {
            let run;
            (run, rest) = rest.split_at_mut_checked(usize::try_from(*length).ok()?)?;
            run.fill((*client as u64) << self.shifts.client);
        }
        rest.is_empty().then_some(())?;
        let by = self.shifts.server;
        for (key, (server, tail)) in keys.iter_mut().zip(servers.iter().zip(&*tails)) {
            *key |= (*server as u64) << by | *tail as u64;
        }
        Some(())
    }
}

// === impl Part ===

impl Part {
    fn of(codes: Vec<u32>) -> Self {
        let same = codes.iter().enumerate().all(|(at, code)| at as u32 == *code);
        if same { Self::Same(codes.len()) } else { Self::Moved(codes) }
    }

    /// Exchanges codes for those here.
    fn exchange(&self, codes: &mut [i64]) -> Option<()> {
        match self {
            Self::Same(len) => {
                // A number below zero is one that is negative, or that is taken from less: there is no branch.
                let last = *len as i64 - 1;
                let all = codes.iter().fold(0, |all, code| all | code | last.wrapping_sub(*code));
                (all >= 0).then_some(())
            }
            Self::Moved(here) => codes.iter_mut().try_for_each(|code| {
                *code = i64::from(*here.get(usize::try_from(*code).ok()?)?);
                Some(())
            }),
        }
    }

    #[inline]
    fn get(&self, code: i64) -> Option<u64> {
        match self {
            Self::Same(len) => Some(code as u64).filter(|code| *code < *len as u64),
            Self::Moved(codes) => codes.get(usize::try_from(code).ok()?).copied().map(u64::from),
        }
    }
}

/// Bits that hold every number below `len`.
fn bits(len: usize) -> u32 {
    len.checked_sub(1).and_then(usize::checked_ilog2).map_or(0, |highest| highest + 1)
}

/// Adds what is new of a sorted list to another. Where the old items stand then, if any moved, and where those of
/// the list stand.
fn union<T, U>(
    mine: &mut Vec<T>,
    theirs: impl Iterator<Item = U>,
    compare: impl Fn(&T, &U) -> std::cmp::Ordering,
    own: impl Fn(U) -> T,
) -> (Option<Vec<u32>>, Vec<u32>) {
    let mut codes = Vec::with_capacity(theirs.size_hint().0);
    // Items that are new, each before the old one at that place.
    let mut new: Vec<(usize, T)> = Vec::new();
    let mut at = 0;
    for item in theirs {
        while mine.get(at).is_some_and(|old| compare(old, &item).is_lt()) {
            at += 1;
        }
        codes.push((at + new.len()) as u32);
        if mine.get(at).is_none_or(|old| compare(old, &item).is_gt()) {
            new.push((at, own(item)));
        }
    }
    if new.is_empty() {
        return (None, codes);
    }
    let olds = std::mem::take(mine);
    let mut moved = Vec::with_capacity(olds.len());
    mine.reserve(olds.len() + new.len());
    let mut new = new.into_iter().peekable();
    for (at, old) in olds.into_iter().enumerate() {
        while let Some((_, item)) = new.next_if(|(before, _)| *before <= at) {
            mine.push(item);
        }
        moved.push(mine.len() as u32);
        mine.push(old);
    }
    mine.extend(new.map(|(_, item)| item));
    (Some(moved), codes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_order_and_meaning_as_names_come() {
        let mut names = Names::default();
        let mut keys = Vec::new();
        let tails: [&[u8]; 2] = [b"b", b"d"];
        let codes = names.learn([5, 9].into_iter(), tails.into_iter(), &mut keys).unwrap();
        for (client, server, tail) in [(0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 1, 1)] {
            keys.push(codes.client(client).unwrap() | codes.rest(server, tail).unwrap());
        }
        let said = |names: &Names, keys: &[u64]| -> Vec<(u64, u64, Vec<u8>)> {
            let of = |key: &u64| {
                let (client, server, tail) = names.split(*key);
                (names.ids()[client], names.ids()[server], names.tails()[tail].to_vec())
            };
            keys.iter().map(of).collect()
        };
        let before = said(&names, &keys);
        assert!(keys.is_sorted_by(|a, b| a < b) && before.is_sorted());
        let more: [&[u8]; 4] = [b"a", b"c", b"d", b"e"];
        let codes =
            names.learn([1, 5, 7, 11, 12].into_iter(), more.into_iter(), &mut keys).unwrap();
        assert_eq!(said(&names, &keys), before);
        assert!(keys.is_sorted_by(|a, b| a < b));
        let other = codes.client(4).unwrap() | codes.rest(0, 3).unwrap();
        assert_eq!(said(&names, &[other]), [(12, 1, b"e".to_vec())]);
        assert_eq!((codes.client(5), codes.rest(0, -1)), (None, None));
    }

    #[test]
    fn codes_that_stand_for_nothing_make_no_keys() {
        let mut names = Names::default();
        let tails: [&[u8]; 2] = [b"b", b"d"];
        let same = names.learn([5, 9].into_iter(), tails.into_iter(), &mut []).unwrap();
        let moved = names.learn([3, 9].into_iter(), tails[1..].iter().copied(), &mut []).unwrap();
        let make = |codes: &Codes, client: i64, server: i64, tail: i64| {
            let (mut clients, mut servers, mut tails) = ([client], [server], [tail]);
            let mut keys = Vec::new();
            codes.keys((&mut clients, &[1]), (&mut servers, &mut tails), &mut keys).map(|()| keys)
        };
        for codes in [&same, &moved] {
            assert_eq!(make(codes, 1, 1, 0).map(|keys| keys.len()), Some(1));
            for (client, server, tail) in
                [(2, 0, 0), (0, 2, 0), (0, 0, 2), (-1, 0, 0), (0, i64::MIN, 0)]
            {
                assert_eq!(make(codes, client, server, tail), None, "{client} {server} {tail}");
            }
        }
        let keys = &mut Vec::new();
        for length in [0, 2, -1] {
            assert_eq!(
                same.keys((&mut [0], &[length]), (&mut [0], &mut [0]), keys),
                None,
                "a run of {length}"
            );
        }
    }

    #[test]
    fn keys_that_do_not_fit_a_number_are_refused() {
        let mut names = Names::default();
        let none = || std::iter::empty::<&[u8]>();
        assert!(names.learn(0..1 << 20, none(), &mut []).is_some());
        let tails: Vec<Box<[u8]>> = (0..1_u32 << 23).map(|n| n.to_be_bytes().into()).collect();
        assert!(names.learn(0..1 << 20, tails.iter().map(|tail| &**tail), &mut []).is_some());
        assert!(names.learn(0..=1 << 20, none(), &mut []).is_none());
    }
}
