//! What the people of a workspace are and what each may do. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a person is in a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything; made by the first start.
    Owner,
    /// Sets things up and manages people.
    Admin,
    /// Works in the inbox and may take conversations from colleagues.
    Supervisor,
    /// Works in the inbox.
    Agent,
}

/// Something that not everybody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// Take a conversation from a colleague who holds it.
    TakeFromColleague,
    /// Change assistants, knowledge and inboxes.
    Configure,
    /// Invite, change and remove people.
    ManagePeople,
}

impl Role {
    /// What this role may do, in a stable order.
    #[must_use]
    pub const fn rights(self) -> &'static [Right] {
        match self {
            Self::Owner | Self::Admin => {
                &[Right::TakeFromColleague, Right::Configure, Right::ManagePeople]
            }
            Self::Supervisor => &[Right::TakeFromColleague],
            Self::Agent => &[],
        }
    }

    /// Whether this role has the right.
    #[must_use]
    pub fn may(self, right: Right) -> bool {
        self.rights().contains(&right)
    }

    /// The stored and wire form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Supervisor => "supervisor",
            Self::Agent => "agent",
        }
    }
}

impl Right {
    /// The wire form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TakeFromColleague => "take_from_colleague",
            Self::Configure => "configure",
            Self::ManagePeople => "manage_people",
        }
    }
}

/// Whether a person is there to take conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// At work.
    Online,
    /// Signed in, but gives nothing new.
    Away,
    /// Not at work.
    Offline,
}

impl Presence {
    /// The stored and wire form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Away => "away",
            Self::Offline => "offline",
        }
    }
}

/// A text that names no known value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be one of {0}")]
pub struct NotOneOf(&'static str);

impl FromStr for Role {
    type Err = NotOneOf;
    fn from_str(text: &str) -> Result<Self, NotOneOf> {
        match text {
            "owner" => Ok(Self::Owner),
            "admin" => Ok(Self::Admin),
            "supervisor" => Ok(Self::Supervisor),
            "agent" => Ok(Self::Agent),
            _ => Err(NotOneOf("owner, admin, supervisor, agent")),
        }
    }
}

impl FromStr for Presence {
    type Err = NotOneOf;
    fn from_str(text: &str) -> Result<Self, NotOneOf> {
        match text {
            "online" => Ok(Self::Online),
            "away" => Ok(Self::Away),
            "offline" => Ok(Self::Offline),
            _ => Err(NotOneOf("online, away, offline")),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_has_its_rights() {
        for (role, take, configure, people) in [
            (Role::Owner, true, true, true),
            (Role::Admin, true, true, true),
            (Role::Supervisor, true, false, false),
            (Role::Agent, false, false, false),
        ] {
            assert_eq!(role.may(Right::TakeFromColleague), take, "{role}");
            assert_eq!(role.may(Right::Configure), configure, "{role}");
            assert_eq!(role.may(Right::ManagePeople), people, "{role}");
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert!("root".parse::<Role>().is_err());
    }
}
