//! Which destinations a URL from somebody else may name: only globally routable addresses, by default deny.
//!
//! Literal addresses are judged here before each request, names by the resolver on the addresses it hands out. After
//! the IANA special-purpose address registries (RFC 6890 and its updates), read strictly: what is special in any way,
//! or leads to another address inside, is refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use crate::core::http::TransportFault;

/// Judges a URL that came from somebody else, before anything is resolved or sent.
///
/// # Errors
/// [`TransportFault::Blocked`] for a scheme other than `http` and `https`, a user name or password, a reserved port
/// other than 80 and 443, and a literal address that is not globally routable, however it is spelt.
pub(crate) fn judge(url: &Url) -> Result<(), TransportFault> {
    match refusal(url) {
        None => Ok(()),
        Some(reason) => Err(TransportFault::Blocked {
            host: url.host_str().unwrap_or("the URL").to_owned(),
            reason: reason.to_owned(),
        }),
    }
}

fn refusal(url: &Url) -> Option<&'static str> {
    if !matches!(url.scheme(), "http" | "https") {
        return Some("only http and https may be used");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Some("a user name or password may not stand in the URL");
    }
    if !matches!(url.port_or_known_default(), Some(80 | 443 | 1024..)) {
        return Some("only the ports 80, 443 and those from 1024 may be used");
    }
    let address = match url.host() {
        // Names are judged by what they resolve to. The parser leaves no spelling of an address in here.
        Some(Host::Domain(_)) => return None,
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        None => return Some("there is no host"),
    };
    (!is_globally_routable(address)).then_some("the address is not a public one")
}

/// Whether an address is one of the public internet.
pub(crate) fn is_globally_routable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !V4_REFUSED.iter().any(|range| range.holds(address)),
        IpAddr::V6(address) => {
            V6_GLOBAL_UNICAST.holds(address)
                && !V6_REFUSED.iter().any(|range| range.holds(address))
                && !is_isatap(address)
        }
    }
}

/// RFC 5214: an interface identifier that embeds an IPv4 address, under any prefix.
fn is_isatap(address: Ipv6Addr) -> bool {
    let [_, _, _, _, group, marker, _, _] = address.segments();
    matches!(group, 0x0000 | 0x0200) && marker == 0x5efe
}

/// The addresses whose first `bits` are those of `prefix`.
struct Range<Address> {
    prefix: Address,
    bits: u32,
}

impl Range<Ipv4Addr> {
    fn holds(&self, address: Ipv4Addr) -> bool {
        let differing = self.prefix.to_bits() ^ address.to_bits();
        differing.leading_zeros() >= self.bits
    }
}

impl Range<Ipv6Addr> {
    fn holds(&self, address: Ipv6Addr) -> bool {
        let differing = self.prefix.to_bits() ^ address.to_bits();
        differing.leading_zeros() >= self.bits
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u32) -> Range<Ipv4Addr> {
    Range { prefix: Ipv4Addr::new(a, b, c, d), bits }
}

const fn v6(first: u16, second: u16, bits: u32) -> Range<Ipv6Addr> {
    Range { prefix: Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0), bits }
}

const V4_REFUSED: [Range<Ipv4Addr>; 17] = [
    v4(0, 0, 0, 0, 8),        // this network
    v4(10, 0, 0, 0, 8),       // private
    v4(100, 64, 0, 0, 10),    // carrier-grade NAT
    v4(127, 0, 0, 0, 8),      // loopback
    v4(168, 63, 129, 16, 32), // a cloud's metadata and name server, on an address that looks public
    v4(169, 254, 0, 0, 16),   // link-local, metadata
    v4(172, 16, 0, 0, 12),    // private
    v4(192, 0, 0, 0, 24),     // protocol assignments, metadata
    v4(192, 0, 2, 0, 24),     // documentation
    v4(192, 31, 196, 0, 24),  // AS112
    v4(192, 52, 193, 0, 24),  // multicast tunnels
    v4(192, 88, 99, 0, 24),   // 6to4 relays
    v4(192, 168, 0, 0, 16),   // private
    v4(198, 18, 0, 0, 15),    // benchmarks
    v4(198, 51, 100, 0, 24),  // documentation
    v4(203, 0, 113, 0, 24),   // documentation
    v4(224, 0, 0, 0, 3),      // multicast, reserved, broadcast
];

/// Everything else of IPv6 is special: loopback, mapped and compatible IPv4, NAT64, discard, segment routing, unique
/// local, link-local, site-local, multicast, or not assigned.
const V6_GLOBAL_UNICAST: Range<Ipv6Addr> = v6(0x2000, 0, 3);

const V6_REFUSED: [Range<Ipv6Addr>; 5] = [
    v6(0x2001, 0, 23),      // protocol assignments: Teredo, benchmarks, ORCHID
    v6(0x2001, 0x0db8, 32), // documentation
    v6(0x2002, 0, 16),      // 6to4
    v6(0x3ffe, 0, 16),      // the 6bone, given back
    v6(0x3fff, 0, 20),      // documentation
];

#[cfg(test)]
mod tests;
