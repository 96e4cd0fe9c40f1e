//! Conversations and alarms as agents see them: list rows and details.

use serde::Serialize;
use utoipa::ToSchema;

use super::wire::{HolderView, Named, holder};
use crate::clock::Timestamp;
use crate::contact::Contact;
use crate::conversation::AiMode;
use crate::conversation::lists::{ListRow, OpenAlarm, Snippet};
use crate::directory::Directory;
use crate::ids::{AlarmId, ContactId, ConversationId, InboxId};

/// A conversation as lists show it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ConversationRow)]
pub struct RowView {
    /// With whom.
    pub contact: RowContact,
    /// The rest.
    #[serde(flatten)]
    pub body: RowBody,
}

/// One conversation with all that is known of it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ConversationDetail)]
pub struct DetailView {
    /// With whom.
    pub contact: Contact,
    /// What lists show too.
    #[serde(flatten)]
    pub body: RowBody,
    /// The page the visitor wrote from.
    pub page: Option<PageView>,
    /// How often it was opened, the first time included.
    pub episode: u32,
    /// A short name to say on the telephone.
    pub reference: String,
}

/// The page a visitor wrote from.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PageView {
    /// Its address.
    pub url: Option<String>,
    /// Its title.
    pub title: Option<String>,
}

/// What lists and details share.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ConversationBody)]
pub struct RowBody {
    /// Its id.
    pub id: ConversationId,
    /// Where it came in.
    pub inbox: Named<InboxId>,
    /// Who holds it.
    pub holder: HolderView,
    /// Send it back with every command.
    pub epoch: u64,
    /// The number of its last event.
    pub seq: u64,
    /// How far you have read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_read_seq: Option<u64>,
    /// Whether the AI may speak.
    pub ai_mode: AiMode,
    /// The last public message.
    pub snippet: Option<Snippet>,
    /// Visitor messages you have not read.
    pub unread: u64,
    /// Since when the visitor has been waiting.
    pub waiting_since: Option<Timestamp>,
    /// The open promise.
    pub obligation: Option<ObligationView>,
    /// Somebody has to look.
    pub alarm: bool,
    /// The visitor has a page open.
    pub visitor_online: bool,
    /// When it began.
    pub created_at: Timestamp,
    /// When something last happened.
    pub updated_at: Timestamp,
    /// The visitor's language.
    pub locale: String,
}

/// The visitor in a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RowContact {
    /// Their id.
    pub id: ContactId,
    /// Their name.
    pub name: Option<String>,
    /// Their address.
    pub email: Option<String>,
    /// Their number.
    pub phone: Option<String>,
}

/// A promise to a waiting visitor.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ObligationView {
    /// When its next step is due; null at the end of the ladder.
    pub due_at: Option<Timestamp>,
    /// How many steps were missed.
    pub step: u32,
}

/// An alarm that nobody has looked at.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Alarm)]
pub struct AlarmView {
    /// Its id.
    pub id: AlarmId,
    /// Where.
    pub conversation_id: ConversationId,
    /// What about.
    pub kind: String,
    /// When it was raised.
    pub raised_at: Timestamp,
    /// Which step of the ladder.
    pub step: u64,
    /// Who waits.
    pub contact_name: Option<String>,
}

impl From<OpenAlarm> for AlarmView {
    fn from(alarm: OpenAlarm) -> Self {
        Self {
            id: alarm.id,
            conversation_id: alarm.conversation,
            kind: alarm.kind,
            raised_at: alarm.raised_at,
            step: alarm.step,
            contact_name: alarm.contact_name,
        }
    }
}

/// A list row.
#[must_use]
pub fn row(row: &ListRow, directory: &Directory, visitor_online: bool) -> RowView {
    let contact = RowContact {
        id: row.conversation.contact,
        name: row.contact_name.clone(),
        email: row.contact_email.clone(),
        phone: row.contact_phone.clone(),
    };
    RowView { contact, body: body(row, directory, visitor_online, None) }
}

/// All that is known of a conversation.
#[must_use]
pub fn detail(
    row: &ListRow,
    contact: Contact,
    directory: &Directory,
    visitor_online: bool,
    position: Option<u64>,
) -> DetailView {
    let page = (row.page_url.is_some() || row.page_title.is_some())
        .then(|| PageView { url: row.page_url.clone(), title: row.page_title.clone() });
    let id = row.conversation.id.to_string();
    // The end of the id is its random part.
    let reference = id.get(id.len().saturating_sub(6)..).unwrap_or_default().to_uppercase();
    DetailView {
        contact,
        body: body(row, directory, visitor_online, position),
        page,
        episode: row.conversation.episode,
        reference,
    }
}

fn body(
    row: &ListRow,
    directory: &Directory,
    visitor_online: bool,
    position: Option<u64>,
) -> RowBody {
    let c = &row.conversation;
    let inbox = directory.inboxes.get(&c.inbox).map(|i| i.name.clone()).unwrap_or_default();
    RowBody {
        id: c.id,
        inbox: Named { id: c.inbox, name: inbox },
        holder: holder(c, directory, row.evidence.as_ref(), position),
        epoch: c.epoch,
        seq: c.seq,
        last_read_seq: row.last_read_seq,
        ai_mode: c.ai_mode,
        snippet: row.snippet.clone(),
        unread: row.unread,
        waiting_since: c.waiting.map(|mark| mark.at),
        obligation: c
            .obligation
            .map(|open| ObligationView { due_at: open.due_at, step: open.step }),
        alarm: row.alarm,
        visitor_online,
        created_at: row.created_at,
        updated_at: row.updated_at,
        locale: row.locale.clone(),
    }
}
