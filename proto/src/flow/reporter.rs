//! Reporters that have a name and no address.
//!
//! Records of two reporters of one connection are copies of each other, records of one are not: so
//! they have to be told apart, also where the format names the reporter (an interface, a node) and
//! not its address.

use portolan_model::Ip;

/// The first half of the discard-only prefix `100::/64` (RFC 6666): no agent has an address in it.
const PREFIX: u128 = 0x0100 << 112;

/// An address that stands for a named reporter: the same for the same name, and no real one. None
/// for no name.
pub(super) fn stand_in(name: &str) -> Ip {
    if name.is_empty() {
        return Ip::NONE;
    }
    // FNV-1a: two of a million names meet with a chance of 1 in 37 million, and then only if they
    // report the same connection.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Ip(PREFIX | u128::from(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reporters_are_told_apart_by_name_and_never_taken_for_an_address() {
        let eni = stand_in("eni-1235b8ca123456789");
        assert_eq!(eni, stand_in("eni-1235b8ca123456789"));
        assert_ne!(eni, stand_in("eni-1235b8ca123456780"));
        assert!(eni.to_string().starts_with("100::"), "{eni}");
        assert_eq!(stand_in(""), Ip::NONE);
    }
}
