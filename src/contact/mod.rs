//! Contacts: the people who write to the business; visitors until they are identified.
//!
//! Invariant: what is stored has been through [`crate::field`]. This floor does not know conversations, so blocking and
//! erasing, which change them, live above.

pub mod http;
pub mod store;

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::field::{self, Invalid};
use crate::ids::ContactId;

/// Longest name of a contact.
const NAME_MAX: usize = 120;

/// A person who writes to the business, as agents see them.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Contact {
    /// Which.
    pub id: ContactId,
    /// What they call themselves.
    pub name: Option<String>,
    /// Where mail reaches them.
    pub email: Option<String>,
    /// Where a call reaches them.
    pub phone: Option<String>,
    /// The language of their page.
    pub locale: String,
    /// Whether they may not be answered.
    pub blocked: bool,
    /// When they first wrote.
    pub created_at: Timestamp,
    /// What the business knows besides.
    #[schema(value_type = Object)]
    pub attributes: BTreeMap<String, serde_json::Value>,
}

/// What is to change: `None` leaves it, `Some(None)` empties it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContactChange {
    /// The name.
    pub name: Option<Option<String>>,
    /// The address.
    pub email: Option<Option<String>>,
    /// The number.
    pub phone: Option<Option<String>>,
}

impl ContactChange {
    /// Checks what a client sent; an empty text empties the field.
    ///
    /// # Errors
    /// The field that is not right.
    pub fn checked(
        name: Option<Option<String>>,
        email: Option<Option<String>>,
        phone: Option<Option<String>>,
    ) -> Result<Self, Invalid> {
        let line = |field: &str, value: &str| field::line(field, value, NAME_MAX);
        Ok(Self {
            name: one("name", name, line)?,
            email: one("email", email, field::email)?,
            phone: one("phone", phone, field::phone)?,
        })
    }
}

fn one(
    field: &str,
    value: Option<Option<String>>,
    check: impl Fn(&str, &str) -> Result<String, Invalid>,
) -> Result<Option<Option<String>>, Invalid> {
    match value {
        Some(Some(text)) if !text.trim().is_empty() => Ok(Some(Some(check(field, &text)?))),
        Some(_) => Ok(Some(None)),
        None => Ok(None),
    }
}
