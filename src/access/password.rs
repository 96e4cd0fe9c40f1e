//! Passwords: argon2id, off the async threads, a few at a time.
//!
//! Invariant: checking an unknown account costs what checking a known one costs.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tokio::sync::Semaphore;

use crate::field::Invalid;

/// Shortest password, in characters.
pub const MIN_CHARS: usize = 10;
/// Longest password, in bytes; argon2 would take more, patience would not.
pub const MAX_BYTES: usize = 256;
/// How many hashes run at once, so that a flood of sign-ins cannot take every core and all memory.
const CONCURRENT: usize = 2;

/// What one hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
}

impl PasswordCost {
    /// OWASP's first recommendation for argon2id (19 MiB, two passes, one lane).
    pub const STANDARD: Self = Self { memory_kib: 19 * 1024, passes: 2 };
    /// As cheap as the algorithm goes: tests only.
    pub const CHEAP: Self = Self { memory_kib: 8, passes: 1 };
}

/// Why a password could not be hashed or checked.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The algorithm refused its parameters or the stored hash.
    #[error("password hashing: {0}")]
    Hash(String),
    /// The server is shutting down.
    #[error("password hashing was interrupted")]
    Interrupted,
}

/// Hashes and checks passwords. Cheap to clone.
#[derive(Clone)]
pub struct Passwords {
    cost: PasswordCost,
    permits: Arc<Semaphore>,
    /// What looks like a hash and is one of nothing, checked when the account is unknown: the work is the same.
    nobody: Arc<str>,
}

impl Passwords {
    /// With hashes of this cost.
    ///
    /// # Errors
    /// When the algorithm refuses the cost.
    pub fn new(cost: PasswordCost) -> Result<Self, PasswordError> {
        let nobody = hash_of_nothing(cost)?;
        Ok(Self { cost, permits: Arc::new(Semaphore::new(CONCURRENT)), nobody: nobody.into() })
    }

    /// The stored form of a password.
    ///
    /// # Errors
    /// When the algorithm fails or the server stops.
    pub async fn hash(&self, password: &str) -> Result<String, PasswordError> {
        let (cost, password) = (self.cost, password.to_owned());
        self.off_thread(move || hash_now(cost, &password)).await
    }

    /// Whether `password` is right; with no stored hash the answer is no, at the same price.
    ///
    /// # Errors
    /// When the stored hash is broken or the server stops.
    pub async fn verify(
        &self,
        password: &str,
        stored: Option<String>,
    ) -> Result<bool, PasswordError> {
        let known = stored.is_some();
        let hash = stored.unwrap_or_else(|| self.nobody.to_string());
        let password = password.to_owned();
        let right = self.off_thread(move || verify_now(&password, &hash)).await?;
        Ok(right && known)
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| PasswordError::Interrupted)?;
        tokio::task::spawn_blocking(move || {
            // Held until the work is done, even if the caller has gone.
            let _permit = permit;
            work()
        })
        .await
        .map_err(|_| PasswordError::Interrupted)?
    }
}

fn params(cost: PasswordCost) -> Result<Params, PasswordError> {
    Params::new(cost.memory_kib, cost.passes, 1, None)
        .map_err(|e| PasswordError::Hash(e.to_string()))
}

/// Salt and hash drawn by lot: a start need not hash anything to have it.
fn hash_of_nothing(cost: PasswordCost) -> Result<String, PasswordError> {
    params(cost)?;
    let PasswordCost { memory_kib, passes } = cost;
    let (salt, hash): ([u8; 16], [u8; 32]) = rand::random();
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
    Ok(format!("$argon2id$v=19$m={memory_kib},t={passes},p=1${salt}${hash}"))
}

fn hash_now(cost: PasswordCost, password: &str) -> Result<String, PasswordError> {
    let params = params(cost)?;
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash: PasswordHash =
        argon.hash_password(password.as_bytes()).map_err(|e| PasswordError::Hash(e.to_string()))?;
    Ok(hash.to_string())
}

fn verify_now(password: &str, hash: &str) -> Result<bool, PasswordError> {
    let hash = PasswordHash::new(hash).map_err(|e| PasswordError::Hash(e.to_string()))?;
    // The parameters come from the stored hash, so a change of cost does not lock anyone out.
    Ok(Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

/// Whether a new password is good enough.
///
/// # Errors
/// Names `field` and what would do.
pub fn acceptable(field: &str, password: &str, email: &str) -> Result<(), Invalid> {
    if password.chars().count() < MIN_CHARS {
        return Err(Invalid::new(field, format!("Must have at least {MIN_CHARS} characters.")));
    }
    if password.len() > MAX_BYTES {
        return Err(Invalid::new(field, format!("Must have at most {MAX_BYTES} bytes.")));
    }
    if password.to_lowercase() == email {
        return Err(Invalid::new(field, "Must not be the e-mail address."));
    }
    let mut chars = password.chars();
    let first = chars.next();
    if chars.all(|c| Some(c) == first) {
        return Err(Invalid::new(field, "Must not be one character repeated."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_a_known_account_passes() {
        let passwords = Passwords::new(PasswordCost::CHEAP).expect("cost");
        let hash = passwords.hash("correct horse").await.expect("hash");
        assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
        assert!(passwords.verify("correct horse", Some(hash.clone())).await.expect("verify"));
        assert!(!passwords.verify("correct hors", Some(hash)).await.expect("verify"));
        assert!(!passwords.verify("anything", None).await.expect("verify"));
        assert!(passwords.verify("anything", Some("junk".into())).await.is_err());
    }

    #[test]
    fn weak_passwords_are_refused_with_a_reason() {
        assert!(acceptable("password", "short", "a@b.c").is_err());
        assert!(acceptable("password", "aaaaaaaaaaaaaa", "a@b.c").is_err());
        assert!(acceptable("password", "Ana@Example.com", "ana@example.com").is_err());
        assert!(acceptable("password", &"ab".repeat(200), "a@b.c").is_err());
        assert!(acceptable("password", "correct horse", "a@b.c").is_ok());
    }
}
