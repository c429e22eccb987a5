//! Addresses: one 16-byte form for both families, so that a key has one width.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address of either family. IPv4 is kept as its IPv4-mapped form (`::ffff:a.b.c.d`, RFC 4291
/// section 2.5.5.2), and a mapped address on the wire is therefore equal to the plain one.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ip(pub u128);

/// IANA protocol number.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Proto(pub u8);

/// One end of a connection.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Socket {
    /// Address.
    pub ip: Ip,
    /// Port; 0 where the protocol has none.
    pub port: u16,
}

const V4_PREFIX: u128 = 0xffff_0000_0000;
const NAT64_PREFIX: u128 = 0x0064_ff9b << 96;

// === impl Ip ===

impl Ip {
    /// No address: the all-zero value, which no flow may carry.
    pub const NONE: Self = Self(0);

    /// From the big-endian reading of an IPv4 address (10.0.0.1 = `0x0A00_0001`).
    pub const fn v4(address: u32) -> Self {
        Self(V4_PREFIX | address as u128)
    }

    /// From network-order bytes.
    pub const fn v6(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// The IPv4 address, if it is one.
    pub const fn as_v4(self) -> Option<u32> {
        if self.0 >> 32 == V4_PREFIX >> 32 { Some(self.0 as u32) } else { None }
    }

    /// Whether there is an address at all. `0.0.0.0` and `::` count as absent.
    pub const fn is_none(self) -> bool {
        self.0 == 0 || self.0 == V4_PREFIX
    }

    /// The IPv4 address behind an address of NAT64's well-known prefix (`64:ff9b::/96`, RFC 6052
    /// section 2.1); any other as it is. Who dials the one reaches the other.
    #[must_use]
    pub const fn beyond_nat64(self) -> Self {
        if self.0 >> 32 == NAT64_PREFIX >> 32 { Self::v4(self.0 as u32) } else { self }
    }

    /// Network-order bytes, as keys and foreign formats have them.
    pub const fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The first `prefix` bits, where an IPv4 prefix counts from its own 32 bits.
    #[must_use]
    pub const fn masked(self, prefix: u8) -> Self {
        let bits = if self.as_v4().is_some() { prefix as u32 + 96 } else { prefix as u32 };
        if bits == 0 {
            Self(0)
        } else if bits >= 128 {
            self
        } else {
            Self(self.0 & (u128::MAX << (128 - bits)))
        }
    }

    /// Whether the address belongs to a private, shared or local range (RFC 1918, RFC 6598,
    /// RFC 4193, loopback, link-local).
    pub fn is_private(self) -> bool {
        match self.to_std() {
            IpAddr::V4(v4) => {
                v4.is_private()
                    || v4.is_loopback()
                    || v4.is_link_local()
                    || (v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64)
            }
            IpAddr::V6(v6) => {
                v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()
            }
        }
    }

    /// The standard library's form.
    pub fn to_std(self) -> IpAddr {
        self.as_v4()
            .map_or_else(|| IpAddr::V6(Ipv6Addr::from(self.0)), |v4| IpAddr::V4(Ipv4Addr::from(v4)))
    }
}

impl From<IpAddr> for Ip {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => Self::v4(v4.into()),
            IpAddr::V6(v6) => Self(v6.into()),
        }
    }
}

impl FromStr for Ip {
    type Err = std::net::AddrParseError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        IpAddr::from_str(text).map(Self::from)
    }
}

impl fmt::Display for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_std().fmt(f)
    }
}

impl fmt::Debug for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_std().fmt(f)
    }
}

// === impl Proto ===

impl Proto {
    /// ICMP.
    pub const ICMP: Self = Self(1);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// ICMP for IPv6.
    pub const ICMP6: Self = Self(58);
    /// SCTP.
    pub const SCTP: Self = Self(132);

    /// Whether the protocol has ports.
    pub const fn has_ports(self) -> bool {
        matches!(self.0, 6 | 17 | 33 | 132 | 136)
    }

    /// By name (`tcp`, any case) or by number.
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Some(Self::TCP),
            "udp" => Some(Self::UDP),
            "sctp" => Some(Self::SCTP),
            "icmp" => Some(Self::ICMP),
            "icmp6" | "icmpv6" | "ipv6-icmp" => Some(Self::ICMP6),
            other => other.parse().ok().map(Self),
        }
    }
}

impl fmt::Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TCP => f.write_str("tcp"),
            Self::UDP => f.write_str("udp"),
            Self::SCTP => f.write_str("sctp"),
            Self::ICMP => f.write_str("icmp"),
            Self::ICMP6 => f.write_str("icmp6"),
            Self(other) => write!(f, "{other}"),
        }
    }
}

impl fmt::Debug for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === impl Socket ===

impl Socket {
    /// An address with its port.
    pub const fn new(ip: Ip, port: u16) -> Self {
        Self { ip, port }
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip.to_std() {
            IpAddr::V4(v4) => write!(f, "{v4}:{}", self.port),
            IpAddr::V6(v6) => write!(f, "[{v6}]:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_address_is_the_plain_one() {
        let mapped: Ip = "::ffff:10.0.0.1".parse().unwrap();
        assert_eq!(mapped, Ip::v4(0x0A00_0001));
        assert_eq!(mapped.to_string(), "10.0.0.1");
    }

    #[test]
    fn prefix_of_v4_counts_from_its_own_bits() {
        let ip: Ip = "10.1.2.3".parse().unwrap();
        assert_eq!(ip.masked(8), "10.0.0.0".parse().unwrap());
        assert_eq!(ip.masked(32), ip);
        let v6: Ip = "2001:db8::1".parse().unwrap();
        assert_eq!(v6.masked(32), "2001:db8::".parse().unwrap());
    }

    #[test]
    fn zero_address_of_either_family_is_absent() {
        assert!("0.0.0.0".parse::<Ip>().unwrap().is_none());
        assert!("::".parse::<Ip>().unwrap().is_none());
    }
}
