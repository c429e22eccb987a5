//! The one claim on an address: most addresses have but one, and no other can answer for them.

use portolan_model::{EntityId, HopClass, Ip, Nanos, Proto};

use super::claims::{Claim, ClaimKind};
use super::{Directory, OwnerIdx};

/// The only claim on an address, with what is asked of its owner most. Within its certain interval
/// a lookup answers with it, exactly.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Sole {
    pub(crate) owner: OwnerIdx,
    pub(crate) id: EntityId,
    pub(crate) node: Ip,
    pub(crate) hop: Option<HopClass>,
    declares: Ports,
    claim: Claim,
}

/// Ports of a protocol, where they are few enough to be told without looking.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ports {
    /// None at all.
    #[default]
    None,
    /// This one.
    One(Proto, u16),
    /// More: who wants to know has to ask.
    Many,
}

// === impl Ports ===

impl Ports {
    fn of(mut ports: impl ExactSizeIterator<Item = (Proto, u16)>) -> Self {
        match (ports.len(), ports.next()) {
            (0, _) | (_, None) => Self::None,
            (1, Some((proto, port))) => Self::One(proto, port),
            _ => Self::Many,
        }
    }

    /// Whether a port is one of them; absent if that has to be asked.
    pub(crate) fn have(self, proto: Proto, port: u16) -> Option<bool> {
        match self {
            Self::None => Some(false),
            Self::One(p, n) => Some((p, n) == (proto, port)),
            Self::Many => None,
        }
    }
}

// === impl Sole ===

impl Sole {
    /// Whether the owner declares a port; absent if it has to be asked.
    pub(crate) fn declares(&self, proto: Proto, port: u16) -> Option<bool> {
        self.declares.have(proto, port)
    }

    /// Whether the claim surely answers for a port from `at` until `until`.
    pub(crate) fn answers(&self, proto: Proto, port: u16, at: Nanos, until: Nanos) -> bool {
        self.claim.speaks_of(proto, port)
            && self.claim.surely(at)
            && (until <= at || self.claim.surely(until))
    }
}

impl Directory {
    /// The only claim at a number, unless it is a node's: its ports may be a service's.
    pub(crate) fn sole(&self, index: u32) -> Option<Sole> {
        let [claim] = self.addrs[index as usize].claims[..] else { return None };
        if claim.kind == ClaimKind::Node {
            return None;
        }
        let owner = self.owner(claim.owner);
        let (id, node, hop) = (owner.id, owner.node, owner.hop);
        let declares = Ports::of(owner.ports.iter().map(|port| (port.proto, port.port)));
        Some(Sole { owner: claim.owner, id, node, hop, declares, claim })
    }

    /// The ports of an address that hops forward to.
    pub(crate) fn targets(&self, index: u32) -> Ports {
        Ports::of(self.addrs[index as usize].targets())
    }
}
