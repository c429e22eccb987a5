//! Which path rows apply in which mode (flow semantics, sections 4.2 and 4.3).

use portolan_model::{Collapse, EntityId, Evidence, HopClass, PathKey, PathKind};

/// Whether a row is folded in a mode. A row folds its hops: those of its list, or the client where
/// the row is a hop's own leg.
pub(super) fn applies(
    key: &PathKey,
    collapse: Collapse,
    hop_class: &dyn Fn(EntityId) -> Option<HopClass>,
) -> bool {
    let folds = |hop| folds(key.evidence, hop_class(hop), collapse);
    match key.kind {
        PathKind::Leg => folds(key.client),
        PathKind::Explained | PathKind::Moved => {
            !key.via.is_empty() && key.via.iter().all(|hop| folds(*hop))
        }
    }
}

/// Whether evidence about a hop of a class is enough in a mode. What is not known to be a hop is
/// folded only by the record's own rewrite: the kernel did forward it, whoever owns the address.
fn folds(evidence: Evidence, class: Option<HopClass>, collapse: Collapse) -> bool {
    let Some(class) = class else {
        return evidence == Evidence::Rewrite && collapse >= Collapse::L4;
    };
    let least = match evidence {
        Evidence::Rewrite | Evidence::Alias => Collapse::L4,
        // A service address or NAT with one target rewrites addresses and does nothing else: the
        // declaration is then as good as the rewrite. Any other forwarder may answer by itself.
        Evidence::Declared if matches!(class, HopClass::ClusterIp | HopClass::NatGateway) => {
            Collapse::L4
        }
        Evidence::Identity => Collapse::Mesh,
        Evidence::Logs | Evidence::Trace => Collapse::Proven,
        Evidence::Declared => Collapse::ProvenAndDeclared,
    };
    collapse >= least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mode_folds_what_its_name_says() {
        let modes = [
            Collapse::None,
            Collapse::L4,
            Collapse::Mesh,
            Collapse::Proven,
            Collapse::ProvenAndDeclared,
            Collapse::Possible,
        ];
        let folded = |evidence, class| modes.map(|mode| folds(evidence, Some(class), mode));
        let lb = HopClass::LoadBalancer;
        assert_eq!(folded(Evidence::Rewrite, lb), [false, true, true, true, true, true]);
        assert_eq!(folded(Evidence::Alias, lb), [false, true, true, true, true, true]);
        assert_eq!(folded(Evidence::Identity, lb), [false, false, true, true, true, true]);
        assert_eq!(folded(Evidence::Logs, lb), [false, false, false, true, true, true]);
        assert_eq!(folded(Evidence::Trace, lb), [false, false, false, true, true, true]);
        assert_eq!(folded(Evidence::Declared, lb), [false, false, false, false, true, true]);
        let vip = HopClass::ClusterIp;
        assert_eq!(folded(Evidence::Declared, vip), [false, true, true, true, true, true]);
    }

    #[test]
    fn what_is_not_known_to_be_a_hop_is_folded_by_the_kernels_word_alone() {
        assert!(folds(Evidence::Rewrite, None, Collapse::L4));
        assert!(!folds(Evidence::Rewrite, None, Collapse::None));
        assert!(!folds(Evidence::Alias, None, Collapse::ProvenAndDeclared));
        assert!(!folds(Evidence::Declared, None, Collapse::ProvenAndDeclared));
    }
}
