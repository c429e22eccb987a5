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
    claim: Claim,
}

impl Sole {
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
        Some(Sole { owner: claim.owner, id, node, hop, claim })
    }
}
