//! What the extractors and handlers of this floor need; the app's state provides it through `FromRef`.

use std::sync::Arc;

use super::limits::{RateLimits, Rates};
use super::origin::Origin;
use super::password::{PasswordCost, PasswordError, Passwords};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::Db;
use crate::ids::Ids;

/// The state of this floor. Cheap to clone.
#[derive(Clone)]
pub struct AccessState {
    /// The database.
    pub db: Db,
    /// The only source of time.
    pub clock: Clock,
    /// Where ids come from.
    pub ids: Ids,
    /// How often everybody may ask.
    pub limits: Arc<RateLimits>,
    /// Hashes and checks passwords.
    pub passwords: Passwords,
    /// Whether the session cookie is for encrypted connections only: true when the public address is https.
    pub cookie_secure: bool,
    /// The address people reach us at, where it is configured.
    pub public_origin: Option<Origin>,
    /// Whether the nearest proxy's X-Forwarded-For is to be believed.
    pub trust_proxy: bool,
}

impl AccessState {
    /// With everything given; the cookie is secure when `public_origin` is https.
    ///
    /// # Errors
    /// When password hashing cannot be set up.
    pub fn new(
        db: Db,
        clock: Clock,
        ids: Ids,
        rates: &Rates,
        public_origin: Option<Origin>,
        cost: PasswordCost,
    ) -> Result<Self, PasswordError> {
        Ok(Self {
            limits: Arc::new(RateLimits::new(rates, &clock)),
            passwords: Passwords::new(cost)?,
            cookie_secure: public_origin.as_ref().is_some_and(Origin::is_https),
            trust_proxy: false,
            db,
            clock,
            ids,
            public_origin,
        })
    }

    /// As the installation is configured, with the standard password cost.
    ///
    /// # Errors
    /// When password hashing cannot be set up.
    pub fn from_config(
        config: &Config,
        db: Db,
        clock: Clock,
        ids: Ids,
    ) -> Result<Self, PasswordError> {
        let rates = Rates::from(&config.limits);
        let origin = config.public_origin().and_then(|origin| origin.parse().ok());
        let state = Self::new(db, clock, ids, &rates, origin, PasswordCost::STANDARD)?;
        Ok(Self { trust_proxy: config.listen.trust_proxy, ..state })
    }
}
