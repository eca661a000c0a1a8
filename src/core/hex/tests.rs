//! Every digit, and zeros in front.

use crate::core::hex::hex;

#[test]
fn hex_is_lower_case_and_whole() {
    assert_eq!(hex(&[]), "");
    assert_eq!(hex(&[0x00, 0x0f, 0xa0, 0xff]), "000fa0ff");
}
