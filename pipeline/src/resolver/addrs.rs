//! Addresses by number: a connection's key then fits into 16 bytes, and an address finds its claims
//! without hashing.

use portolan_model::{Ip, Nanos, ScopeId};
use rustc_hash::FxHashMap;

use crate::directory::{Directory, Ports, Sole};

use super::key::{ConnKey, Side};

/// Number of an address in this process.
pub(super) type AddrId = u32;

/// No claims of its own in the directory.
const NO_CLAIMS: u32 = u32::MAX;

#[derive(Copy, Clone, Debug)]
pub(super) struct Addr {
    pub(super) scope: ScopeId,
    pub(super) ip: Ip,
    claims: u32,
    /// The claim on it, where there is but one.
    pub(super) sole: Option<Sole>,
    /// The ports of it that hops forward to.
    pub(super) targets: Ports,
    /// What it resolves to may have changed since its connections were last looked at.
    pub(super) dirty: bool,
}

/// See the module.
#[derive(Default)]
pub(super) struct Addrs {
    by_addr: FxHashMap<(ScopeId, Ip), AddrId>,
    table: Vec<Addr>,
    free: Vec<AddrId>,
    /// Scopes that addresses are in: few.
    scopes: Vec<ScopeId>,
    dirty: Vec<AddrId>,
}

impl Addr {
    fn new(scope: ScopeId, ip: Ip, directory: &Directory) -> Self {
        let claims = directory.index_of(scope, ip).unwrap_or(NO_CLAIMS);
        let mut addr = Self { scope, ip, claims, sole: None, targets: Ports::None, dirty: false };
        addr.look_again(directory);
        addr
    }

    pub(super) fn claims(&self) -> Option<u32> {
        (self.claims != NO_CLAIMS).then_some(self.claims)
    }

    /// Reads what asking for its owner reads; the sum is for the compiler.
    pub(super) fn warm(&self, directory: &Directory) -> u64 {
        match (&self.sole, self.claims()) {
            (Some(sole), _) => sole.id.0,
            (None, Some(index)) => directory.warm(index),
            (None, None) => 0,
        }
    }

    /// Takes over what the directory says of its claims now.
    fn look_again(&mut self, directory: &Directory) {
        if let Some(index) = self.claims() {
            (self.sole, self.targets) = (directory.sole(index), directory.targets(index));
        }
    }
}

impl Addrs {
    /// The number of an address.
    pub(super) fn intern(&mut self, scope: ScopeId, ip: Ip, directory: &Directory) -> AddrId {
        if let Some(id) = self.by_addr.get(&(scope, ip)) {
            return *id;
        }
        let addr = Addr::new(scope, ip, directory);
        let id = if let Some(id) = self.free.pop() {
            self.table[id as usize] = addr;
            id
        } else {
            self.table.push(addr);
            self.table.len() as AddrId - 1
        };
        self.by_addr.insert((scope, ip), id);
        if !self.scopes.contains(&scope) {
            self.scopes.push(scope);
        }
        id
    }

    /// How many are numbered.
    pub(super) fn len(&self) -> usize {
        self.by_addr.len()
    }

    /// Scopes that addresses are in, or were.
    pub(super) fn scopes(&self) -> &[ScopeId] {
        &self.scopes
    }

    /// A connection by what is the same in every process, where numbers are not.
    pub(super) fn names(&self, key: ConnKey) -> [(Ip, u16, ScopeId); 2] {
        let mut ends = [Side::Low, Side::High].map(|side| {
            let end = key.end(side);
            let addr = self.get(end.addr);
            (addr.ip, end.port, addr.scope)
        });
        ends.sort_unstable();
        ends
    }

    pub(super) fn get(&self, id: AddrId) -> &Addr {
        &self.table[id as usize]
    }

    /// Notes that the claims on an address changed.
    pub(super) fn touch(&mut self, directory: &Directory, claims: u32) {
        let at = directory.at(claims);
        if let Some(&id) = self.by_addr.get(&(at.scope, at.ip)) {
            let addr = &mut self.table[id as usize];
            addr.claims = claims;
            addr.look_again(directory);
            self.mark(id);
        }
    }

    /// Looks again at the claims of all addresses: versions of owners were dropped.
    pub(super) fn look_again(&mut self, directory: &Directory) {
        for addr in &mut self.table {
            addr.look_again(directory);
        }
    }

    /// Notes that an address may resolve otherwise wherever it is looked up in `scope` as well.
    pub(super) fn mark_linked(&mut self, directory: &Directory, scope: ScopeId, ip: Ip) {
        for at in 0..self.scopes.len() {
            let from = self.scopes[at];
            if directory.reaches(from, ip, scope)
                && let Some(&id) = self.by_addr.get(&(from, ip))
            {
                self.mark(id);
            }
        }
    }

    /// Notes that every address without claims of its own may resolve otherwise.
    pub(super) fn touch_unclaimed(&mut self) {
        for id in 0..self.table.len() as AddrId {
            if self.table[id as usize].claims == NO_CLAIMS {
                self.mark(id);
            }
        }
    }

    /// Notes that nobody watched a scope for a while: whatever no claim surely holds through it may
    /// resolve otherwise.
    pub(super) fn mark_in_gap(
        &mut self,
        directory: &Directory,
        scope: ScopeId,
        gap: (Nanos, Nanos),
        tolerance: Nanos,
    ) {
        for id in 0..self.table.len() as AddrId {
            let Addr { scope: from, ip, .. } = self.table[id as usize];
            if directory.reaches(from, ip, scope)
                && !directory.holds_through((scope, ip), gap, tolerance)
            {
                self.mark(id);
            }
        }
    }

    pub(super) fn mark(&mut self, id: AddrId) {
        let addr = &mut self.table[id as usize];
        if !addr.dirty {
            addr.dirty = true;
            self.dirty.push(id);
        }
    }

    /// Whether any address is marked.
    pub(super) fn any_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Unmarks all.
    pub(super) fn clean(&mut self) {
        for id in self.dirty.drain(..) {
            self.table[id as usize].dirty = false;
        }
    }

    /// Frees the numbers that `used` does not name.
    pub(super) fn keep(&mut self, used: &[bool]) {
        let free = &mut self.free;
        self.by_addr.retain(|_, id| {
            let keep = used.get(*id as usize).copied().unwrap_or(false);
            if !keep {
                free.push(*id);
            }
            keep
        });
    }

    /// One flag a number, all false.
    pub(super) fn flags(&self) -> Vec<bool> {
        vec![false; self.table.len()]
    }
}
