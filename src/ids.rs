//! Typed, prefixed, sortable ids: UUIDv7 shown as `conv_0192…`.
//!
//! Every entity has its own type, so that two ids cannot be swapped. The text form is the only form: in the database,
//! in the API and in logs. Fresh ids come from [`Ids`], which is passed in like the clock, so that tests can repeat.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// Why a text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind} id: it must look like `{prefix}_` and 32 hexadecimal digits")]
pub struct InvalidId {
    /// What the id was for, in words.
    pub kind: &'static str,
    /// The prefix that was expected, without the underscore.
    pub prefix: &'static str,
}

/// Where fresh ids come from. Cheap to clone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ids;

impl Ids {
    /// A fresh UUIDv7 (time-ordered).
    #[expect(clippy::disallowed_methods, reason = "the one place that makes ids")]
    #[must_use]
    pub fn fresh<T: From<Uuid>>(self) -> T {
        #[cfg(test)]
        if let Some(id) = seeded::next() {
            return T::from(id);
        }
        T::from(Uuid::now_v7())
    }
}

#[cfg(test)]
pub(crate) mod seeded {
    //! Ids that repeat: while a [`Seeded`] lives, this thread's ids follow from its seed, and sort as they were made.

    use std::cell::Cell;

    use uuid::{Builder, Uuid};

    thread_local! {
        static STATE: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
    }

    /// The thread's ids repeat until it is dropped.
    pub struct Seeded(());

    impl Seeded {
        pub fn from(seed: u64) -> Self {
            STATE.set(Some((seed, 0)));
            Self(())
        }
    }

    impl Drop for Seeded {
        fn drop(&mut self) {
            STATE.set(None);
        }
    }

    pub(super) fn next() -> Option<Uuid> {
        let (seed, made) = STATE.get()?;
        STATE.set(Some((seed, made + 1)));
        let mut chance = [0; 10];
        chance[..8].copy_from_slice(&seed.to_be_bytes());
        Some(Builder::from_unix_timestamp_millis(made + 1, &chance).into_uuid())
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal, $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// The prefix of the text form, without the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// The bare number, for systems that know no prefixes.
            #[must_use]
            pub const fn uuid(self) -> Uuid { self.0 }
        }
        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self { Self(id) }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.as_simple())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(self, f) }
        }
        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let invalid = InvalidId { kind: $kind, prefix: $prefix };
                let hex = text.strip_prefix(concat!($prefix, "_")).filter(|hex| hex.len() == 32);
                let id = hex.and_then(|hex| Uuid::try_parse(hex).ok()).ok_or(invalid)?;
                Ok(Self(id))
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> { s.collect_str(self) }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .pattern(Some(concat!("^", $prefix, "_[0-9a-f]{32}$")))
                    .into()
            }
        }
        impl utoipa::ToSchema for $name {}
    )*};
}

ids! {
    /// A business that uses Baton; everything else belongs to exactly one.
    WorkspaceId = "ws", "workspace";
    /// A person's log-in, apart from the workspaces they work in.
    AccountId = "acc", "account";
    /// A person working in a workspace (a member), never the AI.
    AgentId = "agt", "agent";
    /// A group of agents.
    TeamId = "team", "team";
    /// Where conversations come in: one widget, later one channel.
    InboxId = "ibx", "inbox";
    /// A customer; a visitor until identified.
    ContactId = "con", "contact";
    /// One conversation between a contact and the business.
    ConversationId = "conv", "conversation";
    /// One message, public or private.
    MessageId = "msg", "message";
    /// One reply by the assistant, from trigger to outcome.
    TurnId = "turn", "turn";
    /// The business's AI agent.
    AssistantId = "ast", "assistant";
    /// A set of articles that is searched together.
    KnowledgeBaseId = "kb", "knowledge base";
    /// One article of a knowledge base.
    ArticleId = "art", "article";
    /// One retrievable piece of an article.
    ChunkId = "chk", "chunk";
    /// A broken promise that somebody has to look at.
    AlarmId = "alm", "alarm";
    /// Durable due work.
    JobId = "job", "job";
    /// A brief, a summary or a set of suggested replies.
    ArtifactId = "aid", "artifact";
    /// One running server process.
    NodeId = "node", "node";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips_and_refuses_other_kinds() {
        let id: ConversationId = Ids.fresh();
        assert_eq!(id.to_string().parse::<ConversationId>(), Ok(id));
        assert!(id.to_string().parse::<MessageId>().is_err());
        assert!("conv_".parse::<ConversationId>().is_err());
        assert!("conv_zz".parse::<ConversationId>().is_err());
    }

    #[test]
    fn seeded_ids_repeat_and_sort() {
        let make = || {
            let _seeded = seeded::Seeded::from(7);
            [(); 3].map(|()| Ids.fresh::<MessageId>())
        };
        let ids = make();
        assert_eq!(ids, make());
        assert!(ids.is_sorted() && ids[0] != ids[1]);
        assert!(!ids.contains(&Ids.fresh()));
    }

    #[test]
    fn fresh_ids_sort_by_time() {
        let first: MessageId = Ids.fresh();
        let second: MessageId = Ids.fresh();
        assert!(first < second);
    }
}
