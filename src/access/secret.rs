//! Random tokens, their stored form, and comparing without telling how much was right.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Bytes of randomness in a token: 256 bits, beyond guessing.
const TOKEN_BYTES: usize = 32;

/// A fresh random token, 43 characters that are safe in URLs and headers.
#[must_use]
pub fn fresh_token() -> String {
    let mut bytes = [0_u8; TOKEN_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A fresh random public key: 24 characters, no secret, only hard to collide.
#[must_use]
pub fn fresh_public_key() -> String {
    let mut bytes = [0_u8; 18];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The form in which a token is stored: whoever reads the database cannot use it.
///
/// Plain SHA-256 is enough for 256 random bits; passwords get argon2id.
#[must_use]
pub fn token_hash(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(token.as_bytes()))
}

/// Whether two secrets are equal, in time that does not depend on where they differ.
#[must_use]
pub fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_differ() {
        assert_eq!(fresh_token().len(), 43);
        assert_ne!(fresh_token(), fresh_token());
        assert_eq!(fresh_public_key().len(), 24);
    }

    #[test]
    fn hashes_repeat_and_comparison_is_exact() {
        let token = fresh_token();
        assert_eq!(token_hash(&token), token_hash(&token));
        assert_ne!(token_hash(&token), token);
        assert!(same(&token, &token.clone()));
        assert!(!same(&token, &token[1..]));
    }
}
