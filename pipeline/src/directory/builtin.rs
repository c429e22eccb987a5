//! Addresses that mean the same everywhere, by standard.

use portolan_model::Ip;

/// What nobody has to claim.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Builtin {
    /// The instance metadata service of the large clouds: 169.254.169.254, `fd00:ec2::254` (AWS).
    Metadata,
    /// 224.0.0.0/4 (RFC 5771), `ff00::/8` (RFC 4291).
    Multicast,
    /// 255.255.255.255 (RFC 919).
    Broadcast,
    /// 127.0.0.0/8 (RFC 1122), `::1` (RFC 4291).
    Loopback,
}

impl Builtin {
    /// What an address is. A group is only ever spoken to (RFC 1122, section 3.2.1.3): a record in which
    /// its address sends means something else by it, such as a capture whose addresses were changed.
    pub(crate) fn of(ip: Ip, sends: bool) -> Option<Self> {
        let is_group = |what: &Self| matches!(what, Self::Multicast | Self::Broadcast);
        Self::by_standard(ip).filter(|what| !(sends && is_group(what)))
    }

    fn by_standard(ip: Ip) -> Option<Self> {
        if let Some(v4) = ip.as_v4() {
            return match v4 {
                0xa9fe_a9fe => Some(Self::Metadata),
                u32::MAX => Some(Self::Broadcast),
                _ if v4 >> 28 == 0xe => Some(Self::Multicast),
                _ if v4 >> 24 == 127 => Some(Self::Loopback),
                _ => None,
            };
        }
        match ip.0 {
            0xfd00_0ec2_0000_0000_0000_0000_0000_0254 => Some(Self::Metadata),
            1 => Some(Self::Loopback),
            v6 if v6 >> 120 == 0xff => Some(Self::Multicast),
            _ => None,
        }
    }

    /// The name it has on the map.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Loopback => "loopback",
        }
    }
}
