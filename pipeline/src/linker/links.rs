//! Links from what consumes a message to what made it (trace semantics, C.6).
//!
//! The two are mostly in different traces. So what is linked to is remembered by itself, longer than
//! its trace: a queue may lag by minutes. Each is judged by itself: one call a link, and the one of a
//! span that only fetched gives way to that of a span of the same service that worked on it.

use portolan_model::{CallKey, CallProtocol, CallSource, EntityId, Nanos, WindowLen};
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use super::call::{Call, Rows, difference};
use super::ends::Ends;
use super::gather::Pools;
use super::judge::queued;
use super::span::{Role, Span};
use super::traces::rest;

/// A span by its trace and id.
pub(super) type Place = (u128, u64);

/// See the module.
pub(super) struct Links {
    targets: FxHashMap<Place, Target>,
    /// What a span that fetched messages links to.
    fetched: FxHashMap<Place, SmallVec<[Place; 1]>>,
    touched: Vec<Place>,
    /// A message may lie this long before it is consumed.
    ttl: Nanos,
    /// Links of spans that have nothing to do with messages count, too.
    all: bool,
}

/// What is linked to, or may be.
#[derive(Default)]
struct Target {
    span: Option<Span>,
    /// What links to it, by trace and id.
    from: SmallVec<[(u128, Span); 1]>,
    emitted: Vec<Call>,
    touched: bool,
}

// === impl Links ===

impl Links {
    pub(super) fn new(ttl: Nanos, all: bool) -> Self {
        let (targets, fetched) = (FxHashMap::default(), FxHashMap::default());
        Self { targets, fetched, touched: Vec::new(), ttl, all }
    }

    /// Whether links of spans in this role say anything.
    pub(super) fn takes(&self, role: Role) -> bool {
        role.consumes() || role == Role::Send || self.all
    }

    /// Whether a span is one that something links to, or makes messages.
    pub(super) fn wants(&self, place: Place, span: &Span) -> bool {
        span.role.produces() || self.targets.contains_key(&place)
    }

    /// Takes in a span that may be linked to. Of several with one id, what makes messages is meant.
    pub(super) fn target(&mut self, place: Place, span: &Span, pools: &Pools) {
        let target = self.touch(place);
        if target.span.as_ref().is_none_or(|old| is_better(span, old, pools)) {
            target.span = Some(*span);
        }
    }

    /// Takes in a link.
    pub(super) fn link(&mut self, to: Place, trace: u128, from: &Span, pools: &Pools) {
        if from.role == Role::Receive {
            let fetched = self.fetched.entry((trace, from.id)).or_default();
            if !fetched.contains(&to) {
                fetched.push(to);
            }
        }
        let target = self.touch(to);
        match target
            .from
            .binary_search_by_key(&(trace, from.id, from.role), |(t, s)| (*t, s.id, s.role))
        {
            Ok(at) if is_better(from, &target.from[at].1, pools) => target.from[at].1 = *from,
            Ok(_) => {}
            Err(at) => target.from.insert(at, (trace, *from)),
        }
    }

    /// Traces whose spans link to the same as `to` does: what one is, the others may give way to.
    pub(super) fn kin(&self, to: Place) -> impl Iterator<Item = u128> + '_ {
        self.targets.get(&to).into_iter().flat_map(|t| t.from.iter().map(|(trace, _)| *trace))
    }

    fn touch(&mut self, place: Place) -> &mut Target {
        let target = self.targets.entry(place).or_default();
        if !target.touched {
            target.touched = true;
            self.touched.push(place);
        }
        target
    }

    /// Whether some span that sends links to the message that a span makes.
    pub(super) fn is_sent(&self, trace: u128, create: u64) -> bool {
        self.targets
            .get(&(trace, create))
            .is_some_and(|t| t.from.iter().any(|(_, s)| s.role == Role::Send))
    }

    /// Whether the service of a span that fetched a message also works on it.
    pub(super) fn is_worked_on(&self, trace: u128, receive: &Span) -> bool {
        let works = |s: &Span| s.role == Role::Process && s.who == receive.who;
        let of = self.fetched.get(&(trace, receive.id));
        let mut targets = of.into_iter().flatten().filter_map(|to| self.targets.get(to));
        targets.any(|t| t.from.iter().any(|(_, s)| works(s)))
    }

    /// Judges again what names an entity that had to make room.
    pub(super) fn touch_naming(&mut self, displaced: &FxHashSet<EntityId>) {
        let names =
            |c: &Call| displaced.contains(&c.key.client) || displaced.contains(&c.key.server);
        for (place, target) in &mut self.targets {
            if !target.touched && target.emitted.iter().any(names) {
                target.touched = true;
                self.touched.push(*place);
            }
        }
    }

    /// Judges what was touched, and emits the differences.
    pub(super) fn judge(&mut self, window: WindowLen, ends: &mut Ends<'_>, out: &mut Rows) {
        for place in std::mem::take(&mut self.touched) {
            let Some(target) = self.targets.get_mut(&place) else { continue };
            target.touched = false;
            let mut calls = Vec::new();
            if let Some(to) = &target.span {
                for (_, from) in
                    target.from.iter().filter(|(_, s)| counts(&target.from, s, self.all))
                {
                    let named = to.who != 0 && from.who != 0;
                    if named && from.start <= to.end.saturating_add(self.ttl) {
                        calls.push(call(window, ends, to, from));
                    }
                }
            }
            difference(&mut target.emitted, &mut calls, out);
            target.emitted = calls;
        }
    }

    /// Forgets what ended before `folded`, and what nothing can be linked to any more at `watermark`.
    /// Says how many links never found what they link to.
    pub(super) fn forget(&mut self, folded: Nanos, watermark: Nanos) -> i64 {
        let mut missing = 0;
        let (ttl, all) = (self.ttl, self.all);
        let lag = watermark.saturating_sub(folded);
        self.targets.retain(|_, target| {
            let newest = target.from.iter().map(|(_, s)| s.end).max().unwrap_or(0);
            let keep = match &target.span {
                // A restart reads again what links to it for as long as that is remembered.
                Some(span) => {
                    newest >= folded
                        || span.end.saturating_add(ttl).saturating_add(lag) >= watermark
                }
                None => newest >= folded,
            };
            if !keep {
                let within =
                    |s: &Span| target.span.is_some_and(|t| s.start <= t.end.saturating_add(ttl));
                let lost = target.from.iter().filter(|(_, s)| {
                    (s.role.consumes() || all && s.role != Role::Send) && !within(s)
                });
                missing += lost.count() as i64;
            }
            keep
        });
        let targets = &self.targets;
        self.fetched.retain(|_, to| to.iter().any(|place| targets.contains_key(place)));
        missing
    }

    /// Forgets the oldest until at most `most` are left. Says how many went.
    pub(super) fn shed(&mut self, most: usize) -> i64 {
        let over = self.targets.len().saturating_sub(most);
        if over == 0 {
            return 0;
        }
        let age = |t: &Target| {
            let newest = t.from.iter().map(|(_, s)| s.end).max().unwrap_or(0);
            newest.max(t.span.map_or(0, |s| s.end))
        };
        let mut ages: Vec<_> = self.targets.iter().map(|(p, t)| (age(t), *p)).collect();
        ages.select_nth_unstable(over - 1);
        for (_, place) in &ages[..over] {
            self.targets.remove(place);
        }
        over as i64
    }

    /// The end of the oldest span that is remembered.
    pub(super) fn oldest(&self) -> Option<Nanos> {
        let ends = |t: &Target| {
            let from = t.from.iter().map(|(_, s)| s.end).min();
            from.into_iter().chain(t.span.map(|s| s.end)).min()
        };
        self.targets.values().filter_map(ends).min()
    }

    /// Calls `visit` with every span that is remembered.
    pub(super) fn each(&self, visit: &mut impl FnMut(&Span)) {
        for target in self.targets.values() {
            target.span.iter().chain(target.from.iter().map(|(_, s)| s)).for_each(&mut *visit);
        }
    }
}

/// Of several spans with one id, whether `a` is meant rather than `b`: what makes messages, and of two
/// versions the one that its trace keeps.
fn is_better(a: &Span, b: &Span, pools: &Pools) -> bool {
    let rank = |s: &Span| (!s.role.produces(), s.role);
    let service = |s: &Span| pools.services.get(s.who).id;
    rank(a)
        .cmp(&rank(b))
        .then_with(|| service(a).cmp(&service(b)))
        .then_with(|| rest(a, b, pools))
        .is_lt()
}

/// Whether a link is one of its own.
fn counts(links: &[(u128, Span)], from: &Span, all: bool) -> bool {
    match from.role {
        Role::Process => true,
        Role::Receive => !links.iter().any(|(_, s)| s.role == Role::Process && s.who == from.who),
        // What sends a message links to what made it: that is no call.
        Role::Send => false,
        _ => all,
    }
}

fn call(window: WindowLen, ends: &mut Ends<'_>, to: &Span, from: &Span) -> Call {
    let key = CallKey {
        window: window.window(to.start),
        client: ends.service(to.who),
        server: ends.service(from.who),
        source: CallSource::TraceLink,
        protocol: CallProtocol::Async,
        operation: EntityId::NONE,
    };
    queued(key, (to.end, to.weight), from)
}
