//! One keyspace, read key by key.

use std::collections::BTreeMap;

use fjall::{Keyspace, Readable, UserKey, UserValue};
use portolan_model::{CallDelta, EdgeDelta, PathDelta, Window};

use super::super::FjallStore;
use super::super::buckets::BucketMap;
use super::super::holes;
use super::super::levels::read_marks;
use super::super::packs::{self, PartKey};
use super::Checked;
use crate::codec::take_varint;
use crate::keys;
use crate::pack::{COUNTERS, Head, Opened, Reverse, Summer, unseal};
use crate::records::{
    AGENTS, CATALOGUE, CHANGE, ENTITY, FORMAT, HEAD, HEALTH, HOLE, LEARNED, LOSS, MARKS, OWNER,
    POSITION, TALLY, TOUCHED, TRACE, read_agents, read_catalogue, read_change, read_entity,
    read_entity_key, read_head, read_health, read_learned, read_loss, read_owner, read_position,
    read_tally, read_trace,
};
use crate::row::{Sum, read_row};
use crate::verify::{Check, Findings};

/// What the keys of a keyspace are.
pub(super) enum Kind<'a> {
    Meta,
    Rows(Home<'a>),
    Late(Home<'a>),
    Packs(Home<'a>),
    /// Of a level that the store has no more: bytes are all that can be looked at.
    Other,
}

/// Which keyspace a window belongs in. Those before `first` are out of sight, wherever they are.
#[derive(Copy, Clone)]
pub(super) struct Home<'a> {
    pub(super) map: &'a BucketMap,
    pub(super) first: Window,
}

/// The parts of one packed window and layer, as they come by in the order of keys: all heads of a keyspace first, then
/// all slices, then all reverse indexes.
#[derive(Default)]
struct Parts {
    heads: BTreeMap<(u8, PartKey), UserValue>,
    /// The slices of the window that is coming by.
    slices: Vec<UserValue>,
    of: Option<(u8, PartKey)>,
    sliced: usize,
    reversed: usize,
}

// === impl Home ===

impl Home<'_> {
    fn has(self, window: Window, keyspace: &Keyspace) -> bool {
        window < self.first || self.map.is_home(window, keyspace)
    }
}

/// One keyspace, read from its first key to its last.
pub(super) struct Scan<'a> {
    pub(super) store: &'a FjallStore,
    pub(super) name: &'a str,
    pub(super) findings: &'a mut Findings,
}

// === impl Scan ===

impl Scan<'_> {
    pub(super) fn keyspace(&mut self, keyspace: &Keyspace) {
        let (kind, len) = self.store.kind_of(self.name);
        let snapshot = self.store.shared.db.snapshot();
        let mut parts = Parts::default();
        for guard in snapshot.iter(keyspace) {
            let (key, value) = match guard.into_inner() {
                Ok(read) => read,
                Err(e) => {
                    let fault =
                        format!("{}: {e:?}; what comes behind was not looked at", self.name);
                    self.findings.fault(Check::TablesRead, fault);
                    break;
                }
            };
            self.findings.see(Check::TablesRead, None);
            match &kind {
                _ if key.first() == Some(&keys::LEDGER) => {}
                Kind::Meta => self.meta(&key, &value),
                Kind::Rows(home) => self.any_row(*home, keyspace, &key, &value),
                Kind::Late(home) => self.any_late(*home, keyspace, &key, &value),
                Kind::Packs(home) => self.part(*home, keyspace, &mut parts, &key, value),
                Kind::Other => {}
            }
        }
        if let (Kind::Packs(_), Some(len)) = (kind, len) {
            self.window_done(&mut parts);
            let heads = parts.heads.len();
            let fault = (parts.sliced != heads || parts.reversed != heads).then(|| {
                let (sliced, reversed) = (parts.sliced, parts.reversed);
                format!(
                    "{} ({} s): {heads} heads, slices of {sliced}, reverse indexes of {reversed}",
                    self.name,
                    len.secs()
                )
            });
            if let Some(fault) = fault {
                self.findings.fault(Check::PartsWhole, fault);
            }
        }
    }

    /// A row of what is known beside the counts. Those that every open reads are read here, too: this is a list of all.
    fn meta(&mut self, key: &[u8], value: &[u8]) {
        let (what, reads) = match key.first().copied() {
            Some(FORMAT) => ("the format stamp", value.len() >= 8),
            Some(HEAD) => ("the checkpoint", read_head(value).is_some()),
            Some(POSITION) => ("a position", read_position(value).is_some()),
            Some(TALLY) => ("a tally", read_tally(value).is_some()),
            Some(LOSS) => ("a loss", read_loss(value).is_some()),
            Some(TOUCHED) => ("a last write", take_varint(&mut &*value).is_some()),
            Some(ENTITY) => {
                ("an entity", read_entity_key(key).is_some() && read_entity(value).is_some())
            }
            Some(OWNER) => ("an owner", read_owner(value).is_some()),
            Some(MARKS) => ("the marks of the levels", read_marks(value).is_some()),
            Some(AGENTS) => ("the agents", read_agents(value).is_some()),
            Some(HOLE) => ("what a window lacks", holes::read(key).is_some()),
            Some(CATALOGUE) => ("a row of the catalogue", read_catalogue(value).is_some()),
            Some(CHANGE) => ("a change", read_change(value).is_some()),
            Some(HEALTH) => ("a row of health", read_health(key, value).is_some()),
            Some(TRACE) => ("a trace", read_trace(key, value).is_some()),
            Some(LEARNED) => ("the learned ports", read_learned(value).is_some()),
            _ => ("a row that this version does not know", false),
        };
        let fault = (!reads).then(|| format!("{}: {what} does not read, {key:02x?}", self.name));
        self.findings.see(Check::RowsRead, fault);
    }

    fn any_row(&mut self, home: Home<'_>, keyspace: &Keyspace, key: &[u8], value: &[u8]) {
        match key.first().copied() {
            Some(keys::EDGE) => self.row(home, keyspace, key, read_row::<EdgeDelta>(key, value)),
            Some(keys::PATH) => self.row(home, keyspace, key, read_row::<PathDelta>(key, value)),
            _ => self.row(home, keyspace, key, read_row::<CallDelta>(key, value)),
        }
    }

    fn any_late(&mut self, home: Home<'_>, keyspace: &Keyspace, key: &[u8], value: &[u8]) {
        let row = |known: Option<(portolan_model::Nanos, EdgeDelta)>| known.map(|(_, row)| row);
        match key.first().copied() {
            Some(keys::EDGE) => self.change(home, keyspace, key, row(packs::read_late(key, value))),
            Some(keys::PATH) => {
                let late = packs::read_late::<PathDelta>(key, value).map(|(_, row)| row);
                self.change(home, keyspace, key, late);
            }
            _ => {
                let late = packs::read_late::<CallDelta>(key, value).map(|(_, row)| row);
                self.change(home, keyspace, key, late);
            }
        }
    }

    /// A row that is a sum.
    fn row<R: Checked>(&mut self, home: Home<'_>, keyspace: &Keyspace, key: &[u8], row: Option<R>) {
        if let Some(row) = &row {
            self.counts(row);
        }
        self.change(home, keyspace, key, row);
    }

    /// A row that may be a change only.
    fn change<R: Checked>(
        &mut self,
        home: Home<'_>,
        keyspace: &Keyspace,
        key: &[u8],
        row: Option<R>,
    ) {
        let fault = match &row {
            None => Some(format!("{}: row {key:02x?} does not read", self.name)),
            Some(row) if !home.has(R::window(row.key()), keyspace) => {
                Some(format!("{}: row {:?} does not belong here", self.name, row.key()))
            }
            Some(_) => None,
        };
        self.findings.see(Check::RowsRead, fault);
        if let Some(row) = row {
            self.names(&row);
        }
    }

    fn names<R: Checked>(&mut self, row: &R) {
        let (client, server) = R::ends(row.key());
        let entities = &self.store.shared.entities;
        let mut ids = [client, server].into_iter().chain(row.others());
        let unknown = ids.find(|id| !entities.contains_key(id));
        let fault = unknown.map(|id| format!("entity {id} of row {:?} is not there", row.key()));
        self.findings.see(Check::EntitiesKnown, fault);
    }

    fn counts<R: Checked>(&mut self, row: &R) {
        let fault =
            row.is_negative().then(|| format!("row {:?} counts less than nothing", row.key()));
        self.findings.see(Check::CountsNotNegative, fault);
    }

    fn part(
        &mut self,
        home: Home<'_>,
        keyspace: &Keyspace,
        parts: &mut Parts,
        key: &UserKey,
        value: UserValue,
    ) {
        let Some((role, kind, part)) = packs::read_part_key(key) else {
            let fault = format!("{}: part {:02x?} does not read", self.name, &**key);
            return self.findings.see(Check::PartsWhole, Some(fault));
        };
        let sound = match role {
            packs::HEAD => Head::read(&value).is_some() && home.has(part.window, keyspace),
            packs::SLICE => unseal(&value).is_some(),
            _ => Reverse::read(&value).is_some(),
        };
        let fault = (!sound).then(|| {
            let (role, kind) = (role_name(role), keys::kind_name(kind));
            format!("{}: a {role} of {kind} of window {} does not read", self.name, part.window.0)
        });
        self.findings.see(Check::PartsWhole, fault);
        match role {
            packs::HEAD => {
                parts.heads.insert((kind, part), value);
            }
            packs::SLICE => {
                if parts.of != Some((kind, part)) {
                    self.window_done(parts);
                    parts.of = Some((kind, part));
                }
                parts.slices.push(value);
            }
            _ => parts.reversed += 1,
        }
    }

    /// All slices of a window have come by.
    fn window_done(&mut self, parts: &mut Parts) {
        let Some((kind, part)) = parts.of.take() else { return };
        let slices = std::mem::take(&mut parts.slices);
        parts.sliced += 1;
        let Some(head) = parts.heads.get(&(kind, part)).and_then(|head| Head::read(head)) else {
            return;
        };
        // What came late is packed as changes: these may be less than nothing, and come to nothing.
        let earlier = |part: PartKey| PartKey { known: 0, ..part };
        let changes = parts.heads.range((kind, earlier(part))..(kind, part)).next().is_some();
        let bodies: Option<Vec<&[u8]>> = slices.iter().map(|slice| unseal(slice)).collect();
        let fault = match bodies {
            Some(bodies) if bodies.len() == head.slices() => match kind {
                keys::EDGE => self.totals::<EdgeDelta>((part, changes), head, bodies),
                keys::PATH => self.totals::<PathDelta>((part, changes), head, bodies),
                _ => self.totals::<CallDelta>((part, changes), head, bodies),
            },
            Some(bodies) => Some(format!("{} slices of {}", bodies.len(), head.slices())),
            // Told as a part.
            None => return,
        };
        let fault = fault.map(|fault| {
            format!("{}: {} of window {}: {fault}", self.name, keys::kind_name(kind), part.window.0)
        });
        self.findings.see(Check::TotalsAgree, fault);
    }

    fn totals<R: Checked>(
        &mut self,
        (part, changes): (PartKey, bool),
        head: Head<'_>,
        slices: Vec<&[u8]>,
    ) -> Option<String> {
        let (rows, totals) = (head.rows, head.totals);
        let mut sum = Summer::<R>::new();
        let slices = slices.into_iter().map(Ok::<_, std::convert::Infallible>);
        let opened = Opened { window: part.window, layer: part.layer, head, slices };
        if !sum.add_packed(vec![opened], None).is_empty() {
            return Some("a slice does not read".into());
        }
        let (mut found, mut sums) = (0, [0_i64; COUNTERS]);
        sum.visit(part.window, &mut |row| {
            found += 1;
            let (counters, _) = row.sums().parts();
            sums.iter_mut().zip(counters).for_each(|(sum, by)| *sum = sum.saturating_add(by));
            self.names(row);
            if !changes {
                self.counts(row);
            }
        });
        if found != rows && !changes {
            return Some(format!("{found} rows of {rows}"));
        }
        (sums != totals).then(|| format!("its rows come to {sums:?}, its head says {totals:?}"))
    }
}

fn role_name(role: u8) -> &'static str {
    match role {
        packs::HEAD => "head",
        packs::SLICE => "slice",
        _ => "reverse index",
    }
}
