//! What is sealed is opened with the same key, at the same place, and not otherwise.

use crate::core::auth::oauth2::TokenKey;
use crate::core::secret::Secret;
use crate::tokens::seal::{open, seal};

#[test]
fn a_sealed_token_is_opened_only_by_its_key_at_its_place() {
    let key = TokenKey { settings: [1; 16], configured: [2; 16] };
    let (token, configured) = (Secret::new("rotated-tokén"), Secret::new("configured"));
    let sealed = seal(&token, &configured, &key).unwrap();
    assert_eq!(open(&sealed, &configured, &key), Some(token.clone()));
    assert!(!String::from_utf8_lossy(&sealed).contains("rotated"));
    // The same token never looks the same.
    assert_ne!(seal(&token, &configured, &key).unwrap(), sealed);
    assert_eq!(open(&sealed, &Secret::new("other"), &key), None);
    for elsewhere in
        [TokenKey { settings: [3; 16], ..key }, TokenKey { configured: [3; 16], ..key }]
    {
        assert_eq!(open(&sealed, &configured, &elsewhere), None);
    }
    for at in 0..sealed.len() {
        let mut damaged = sealed.clone();
        damaged[at] ^= 1;
        assert_eq!(open(&damaged, &configured, &key), None, "byte {at}");
        assert_eq!(open(&sealed[..at], &configured, &key), None, "{at} bytes");
    }
    let empty = seal(&Secret::new(""), &configured, &key).unwrap();
    assert_eq!(open(&empty, &configured, &key), Some(Secret::new("")));
}
