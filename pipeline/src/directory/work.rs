//! Working events in: from the versions of a uid to its claims.

use portolan_model::{DeclaredPort, Ip, OwnerKind, OwnerRecord, ScopeId, ValidTime};
use rustc_hash::FxHashMap;

use super::claims::{AddrClaims, Claim, ClaimKind};
use super::owner::{Owner, OwnerIdx};
use super::{Changed, Directory, SCOPE_ITSELF, gaps};

/// Ports that every node of a scope opens for some service.
#[derive(Default)]
pub(super) struct NodePorts {
    by_scope: FxHashMap<ScopeId, AddrClaims>,
    /// Addresses of nodes by scope: their answers change with the ports.
    nodes: FxHashMap<ScopeId, Vec<u32>>,
}

// === impl NodePorts ===

impl NodePorts {
    pub(super) fn get(&self, scope: ScopeId) -> Option<&AddrClaims> {
        self.by_scope.get(&scope)
    }

    /// Addresses of the nodes of a scope, if services have ports on them.
    fn nodes(&self, scope: ScopeId) -> &[u32] {
        match self.by_scope.get(&scope) {
            Some(ports) if !ports.claims.is_empty() => {
                self.nodes.get(&scope).map_or(&[], Vec::as_slice)
            }
            _ => &[],
        }
    }

    /// Drops one version of a service.
    pub(super) fn drop_version(&mut self, scope: ScopeId, owner: OwnerIdx) {
        if let Some(ports) = self.by_scope.get_mut(&scope) {
            ports.forget_version(owner);
        }
    }

    fn is_node(&mut self, scope: ScopeId, addr: u32) {
        let nodes = self.nodes.entry(scope).or_default();
        if let Err(place) = nodes.binary_search(&addr) {
            nodes.insert(place, addr);
        }
    }
}

// === impl Directory ===

impl Directory {
    /// Works all pending events in and says what may have changed.
    pub fn settle(&mut self) -> Changed {
        let mut changed = Changed::default();
        let mut stale: Vec<u32> = self.stale.drain().collect();
        stale.sort_unstable();
        let mut ported: Vec<ScopeId> = Vec::new();
        for &number in &stale {
            self.rework(number, &mut changed, &mut ported);
        }
        for scope in ported {
            if let Some(ports) = self.node_ports.by_scope.get_mut(&scope) {
                ports.arrange(&self.owners);
            }
            let nodes = self.node_ports.nodes.get(&scope);
            changed.addrs.extend(nodes.into_iter().flatten());
        }
        changed.addrs.sort_unstable();
        changed.addrs.dedup();
        for &addr in &changed.addrs {
            self.addrs[addr as usize].arrange(&self.owners);
        }
        for number in stale {
            self.ranges.arrange(number, &self.owners);
        }
        for scope in self.beaten.drain() {
            let until = self.scopes.told_until(scope).expect("it was just told");
            let name = self.scopes.name(scope);
            let mut beat =
                OwnerRecord::blank(&name, SCOPE_ITSELF, OwnerKind::Pod, ValidTime::since(0));
            beat.observed_at = until;
            changed.owners.push(beat);
        }
        changed.gaps = std::mem::take(&mut self.fresh_gaps);
        for &(scope, from, to) in &changed.gaps {
            changed.owners.push(gaps::record(&self.scopes.name(scope), (from, to)));
        }
        self.fresh.clear();
        changed.owners.sort_unstable();
        changed
    }

    /// Rebuilds all claims of one uid.
    fn rework(&mut self, number: u32, changed: &mut Changed, ported: &mut Vec<ScopeId>) {
        let uid = &mut self.uids[number as usize];
        let scope = uid.scope;
        for addr in uid.claimed.drain(..) {
            self.addrs[addr as usize].forget(number);
            changed.addrs.push(addr);
        }
        changed.ranges |= self.ranges.forget(number);
        changed.named.extend(self.names.forget(number));
        if let Some(ports) = self.node_ports.by_scope.get_mut(&scope)
            && ports.claims.iter().any(|c| c.uid == number)
        {
            ports.forget(number);
            ported.push(scope);
        }
        let versions = uid.versions.clone();
        let ended = uid.ended.clone();
        for (place, &idx) in versions.iter().enumerate() {
            let next = versions.get(place + 1).map(|v| self.owners[v.0 as usize].valid.from);
            let owner = &mut self.owners[idx.0 as usize];
            let from = owner.valid.from;
            let end = ended.iter().find(|(at, _)| *at > from);
            if end.is_some_and(|end| owner.end(*end)) || self.fresh.contains(&idx) {
                let record = self.record(idx);
                changed.owners.push(record);
            }
            let owner = &mut self.owners[idx.0 as usize];
            let told = owner.told();
            owner.valid = next.map_or(told, |next| told.ended(next, next));
            if owner.claims() {
                self.claim(idx, changed, ported);
            }
        }
        let claimed = &mut self.uids[number as usize].claimed;
        claimed.sort_unstable();
        claimed.dedup();
    }

    fn claim(&mut self, idx: OwnerIdx, changed: &mut Changed, ported: &mut Vec<ScopeId>) {
        let owner = self.owners[idx.0 as usize].clone();
        let scope = owner.scope;
        if owner.kind() == OwnerKind::DnsName {
            self.names.insert(scope, idx, &owner);
            changed.named.extend(owner.ips.iter().map(|ip| (scope, *ip)));
            return;
        }
        let kind = ClaimKind::of(owner.kind(), owner.host_network);
        let claim = Claim::new(kind, idx, &owner);
        let fallback = owner.ips.is_empty() && matches!(kind, ClaimKind::Node | ClaimKind::Socket);
        let node = Some(owner.node).filter(|node| fallback && !node.is_none());
        for ip in owner.ips.iter().copied().chain(node) {
            let addr = self.claim_addr(scope, ip, claim, &owner.ports, changed);
            if kind == ClaimKind::Node {
                self.node_ports.is_node(scope, addr);
            }
        }
        self.claim_targets(&owner, changed);
        let Some(more) = &owner.more else { return };
        if !more.host_ports.is_empty() && !owner.node.is_none() {
            let claim = Claim { kind: ClaimKind::Socket, ..claim };
            self.claim_addr(scope, owner.node, claim, &more.host_ports, changed);
        }
        for &(ip, prefix) in &more.cidrs {
            let claim = Claim { kind: ClaimKind::Cidr, ..claim };
            self.ranges.insert(scope, ip, prefix, claim);
            changed.ranges = true;
        }
        if !more.node_ports.is_empty() {
            let ports = more.node_ports.iter();
            let ports: Vec<DeclaredPort> =
                ports.map(|p| DeclaredPort { proto: p.proto, port: p.node_port }).collect();
            let all = self.node_ports.by_scope.entry(scope);
            let all = all.or_insert_with(|| AddrClaims::new(scope, Ip::NONE));
            all.claim(Claim { kind: ClaimKind::NodePort, ..claim }, &ports);
            ported.push(scope);
        }
    }

    fn claim_addr(
        &mut self,
        scope: ScopeId,
        ip: Ip,
        claim: Claim,
        ports: &[DeclaredPort],
        changed: &mut Changed,
    ) -> u32 {
        let addr = self.addr(scope, ip);
        self.addrs[addr as usize].claim(claim, ports);
        self.uids[claim.uid as usize].claimed.push(addr);
        changed.addrs.push(addr);
        addr
    }

    /// Notes where a hop forwards to.
    fn claim_targets(&mut self, owner: &Owner, changed: &mut Changed) {
        let scope = owner.scope;
        for backend in &*owner.backends {
            let addr = self.addr(scope, backend.ip);
            self.addrs[addr as usize].add_target(backend.proto, backend.port);
            changed.addrs.push(addr);
            let mut fronts: Vec<u32> = owner.ips.iter().map(|ip| self.addr(scope, *ip)).collect();
            fronts.extend(self.node_ports.nodes(scope));
            self.fronts.entry((scope, backend.ip)).or_default().extend(fronts);
        }
    }

    fn addr(&mut self, scope: ScopeId, ip: Ip) -> u32 {
        let (hash, next) = (crate::index::hash((scope, ip)), self.addrs.len() as u32);
        let addrs = &self.addrs;
        let is = |index: u32| addrs[index as usize].is_of(scope, ip);
        let index = self.by_addr.find_or_put(hash, next, is);
        if index == next {
            self.addrs.push(AddrClaims::new(scope, ip));
        }
        index
    }
}
