use std::net::IpAddr;

use proptest::prelude::{ProptestConfig, any, proptest};
use url::Url;

use super::{is_globally_routable, judge};
use crate::core::http::TransportFault;

#[test]
fn only_public_addresses_are_routable() {
    for refused in REFUSED_ADDRESSES.split_whitespace() {
        let address: IpAddr = refused.parse().expect(refused);
        assert!(!is_globally_routable(address), "{refused} is not public");
    }
    for admitted in ADMITTED_ADDRESSES.split_whitespace() {
        let address: IpAddr = admitted.parse().expect(admitted);
        assert!(is_globally_routable(address), "{admitted} is public");
    }
}

/// The first and last address of each refused range, and those inside that attackers like.
const REFUSED_ADDRESSES: &str = "
    0.0.0.0 0.0.0.1 0.255.255.255 10.0.0.0 10.0.0.1 10.255.255.255 100.64.0.0 100.100.100.200 100.127.255.255
    127.0.0.0 127.0.0.1 127.1.2.3 127.255.255.255 168.63.129.16 169.254.0.0 169.254.169.254 169.254.170.2
    169.254.255.255 172.16.0.0 172.17.0.1 172.31.255.255 192.0.0.0 192.0.0.8 192.0.0.192 192.0.0.255 192.0.2.0
    192.0.2.255 192.31.196.1 192.52.193.1 192.88.99.1 192.168.0.0 192.168.1.1 192.168.255.255 198.18.0.0
    198.19.255.255 198.51.100.0 198.51.100.255 203.0.113.0 203.0.113.255 224.0.0.0 224.0.0.251 239.255.255.255
    240.0.0.0 250.1.2.3 255.255.255.254 255.255.255.255
    :: ::1 ::127.0.0.1 ::8.8.8.8 ::ffff:0.0.0.0 ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:8.8.8.8
    ::ffff:0:127.0.0.1 64:ff9b::127.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b::8.8.8.8 64:ff9b:1::1 64:ff9b:1:ffff::1 100::1
    100:0:0:1::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2::1 2001:10::1 2001:20::1 2001:1ff:ffff::1
    2001:db8::1 2001:db8:ffff::1 2002:7f00:1::1 2002:a9fe:a9fe::1 2002:808:808::1 3ffe::1 3fff::1 3fff:fff::1
    2600::5efe:127.0.0.1 2600::200:5efe:10.0.0.1 5f00::1 4000::1 8000::1 fc00::1 fd00::1 fd00:ec2::254
    fd20:ce::254 fdff:ffff::1 fe80::1 fe80::a9fe:a9fe febf::1 fec0::1 feff::1 ff00::1 ff02::1 ff0e::1
    ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
";

/// Public addresses, most of them neighbours of what is refused.
const ADMITTED_ADDRESSES: &str = "
    1.0.0.0 1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
    168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0
    192.0.3.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 203.0.112.255 203.0.114.0 223.255.255.255
    2001:200::1 2001:4860:4860::8888 2001:db7:ffff::1 2001:db9::1 2003::1 2600:: 2606:4700:4700::1111
    2620:fe::fe 2a00:1450:4001::1 3fff:1000::1
";

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The standard library knows part of the special ranges by name; what it knows must be refused here.
    #[test]
    fn what_is_known_to_be_special_is_refused(bits in any::<u32>(), wide in any::<u128>()) {
        let v4 = std::net::Ipv4Addr::from_bits(bits);
        if v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || v4.is_documentation() {
            assert!(!is_globally_routable(IpAddr::V4(v4)), "{v4}");
        }
        let mapped = v4.to_ipv6_mapped();
        assert!(!is_globally_routable(IpAddr::V6(mapped)), "{mapped}");
        let v6 = std::net::Ipv6Addr::from_bits(wide);
        if v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_multicast() {
            assert!(!is_globally_routable(IpAddr::V6(v6)), "{v6}");
        }
    }
}

#[test]
fn a_literal_is_judged_however_it_is_spelt() {
    for spelling in REFUSED_URLS.split_whitespace() {
        match Url::parse(spelling) {
            Ok(url) => {
                let judged = judge(&url);
                assert!(
                    matches!(judged, Err(TransportFault::Blocked { .. })),
                    "{spelling} is {url}: {judged:?}"
                );
            }
            // What is no URL never gets as far as a request.
            Err(_) => assert!(UNPARSABLE.contains(&spelling), "{spelling} should parse"),
        }
    }
}

const UNPARSABLE: [&str; 5] = [
    "http://[fe80::1%25eth0]/",
    "http://[::ffff:0x7f.1]/",
    "http://0x7f.0.0.1.1.1/",
    "http://127.0.0.256/",
    "http://4294967296/",
];

/// Loopback, metadata and private hosts in disguise, and what else may not stand in a stranger's URL.
const REFUSED_URLS: &str = "
    http://127.0.0.1/ http://127.0.0.1:8600/ http://127.0.0.1./ http://127.1/ http://127.0.1/ http://0177.0.0.1/
    http://0177.1/ http://017700000001/ http://0x7f.1/ http://0x7f.0.0.1/ http://0x7F.0x0.0x0.0x1/ http://0x7f000001/
    http://0X7F000001/ http://2130706433/ http://2130706433./ http://127.000.000.001/ http://127.0x0.01.1/
    http://0/ http://0.0.0.0/ http://0x0/ http://00/ http://0.0/
    http://%31%32%37.0.0.1/ http://127%2E0%2E0%2E1/ http://１２７.0.0.1/ http://127。0。0。1/
    http://①②⑦.⓪.⓪.①/ http:127.0.0.1 http:/127.0.0.1/ http:///127.0.0.1/ http:\\\\127.0.0.1\\
    http://127.0.0.1\\@8.8.8.8/ http://127.0.0.1#@8.8.8.8/ http://127.0.0.1?@8.8.8.8/ http://8.8.8.8@127.0.0.1/
    HTTP://127.0.0.1/ hTTps://127.0.0.1/ https://127.0.0.1:443/
    http://169.254.169.254/latest/meta-data/ http://2852039166/ http://0xA9FEA9FE/ http://0251.0376.0251.0376/
    http://169.16689662/ http://0xa9.0xfe.43518/ http://168.63.129.16/
    http://[::]/ http://[::1]/ http://[0:0:0:0:0:0:0:1]/ http://[0000::0001]/ http://[::127.0.0.1]/
    http://[::ffff:127.0.0.1]/ http://[::ffff:7f00:1]/ http://[0:0:0:0:0:ffff:127.0.0.1]/ http://[::FFFF:7F00:0001]/
    http://[::ffff:a9fe:a9fe]/ http://[64:ff9b::7f00:1]/ http://[64:ff9b::169.254.169.254]/ http://[64:ff9b:1::1]/
    http://[2002:7f00:1::]/ http://[2001:0:1::1]/ http://[fe80::1]/ http://[fe80::1%25eth0]/ http://[fd00:ec2::254]/
    http://[fc00::1]/ http://[ff02::1]/ http://[::ffff:0x7f.1]/
    http://10.1/ http://192.168.257/ http://172.16.1/ http://100.64.1/ http://198.18.1/ http://255.255.255.255/
    http://0x7f.0.0.1.1.1/ http://127.0.0.256/ http://4294967296/
    http://8.8.8.8:22/ http://8.8.8.8:25/ http://example.com:6/ http://example.com:1023/ https://example.com:80443@8.8.8.8/
    http://user@example.com/ http://user:word@example.com/ http://:word@example.com/
    ftp://example.com/ file:///etc/passwd gopher://example.com/ unix:/run/docker.sock data:text/plain,hello
";

#[test]
fn public_urls_pass() {
    for spelling in [
        "http://8.8.8.8/",
        "https://8.8.8.8:443/hook",
        "http://134744072/",
        "http://example.com/",
        "https://example.com:8443/hook?x=1",
        "http://example.com:1024/",
        "http://example.com:65535/",
        "https://[2606:4700:4700::1111]/",
        // Judged by what they resolve to.
        "http://localhost/",
        "http://metadata.google.internal/",
        "http://127.0.0.1.nip.example/",
    ] {
        let url = Url::parse(spelling).expect(spelling);
        assert_eq!(judge(&url), Ok(()), "{spelling}");
    }
}
