//! Who a visitor is: a contact and a token for one inbox, and what the widget needs to know before anybody writes.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::view::{self, Stretch, Whose};
use super::wire::VisitorConversation;
use crate::access::extract::Address;
use crate::access::visitor::{self, Door, RENEW_AFTER};
use crate::access::{IssuedToken, Visitor, VisitorToken};
use crate::api::{
    AgentErrors, ApiError, ApiResult, InputErrors, Json, MissingErrors, OpenErrors, Path,
};
use crate::app::AppState;
use crate::clock::Timestamp;
use crate::contact::{self, ContactChange};
use crate::conversation::others::Item;
use crate::directory::{Directory, Identity};
use crate::field;
use crate::ids::ContactId;
use crate::text::{catalogue, is_unwanted};

/// The page the widget runs on.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct PageOfVisitor {
    /// Its address.
    pub url: Option<String>,
    /// Its title.
    pub title: Option<String>,
}

/// Characters kept of a page's address.
const MAX_URL_CHARS: usize = 2_000;
/// Characters kept of a page's title.
const MAX_TITLE_CHARS: usize = 300;

impl PageOfVisitor {
    /// Address and title as they are stored: web addresses only, without control characters.
    pub(super) fn kept(self) -> (Option<String>, Option<String>) {
        let plain = |text: String, max: usize| -> Option<String> {
            let kept: String =
                text.chars().filter(|&c| !c.is_control() && !is_unwanted(c)).take(max).collect();
            let kept = kept.trim();
            (!kept.is_empty()).then(|| kept.to_owned())
        };
        let web = |url: &String| url.starts_with("https://") || url.starts_with("http://");
        let url = self.url.and_then(|url| plain(url, MAX_URL_CHARS)).filter(web);
        (url, self.title.and_then(|title| plain(title, MAX_TITLE_CHARS)))
    }
}

/// What the widget brings.
#[derive(Debug, Deserialize, ToSchema)]
pub struct StartSession {
    /// The token from last time.
    token: Option<String>,
    /// The visitor's language.
    #[serde(default)]
    locale: String,
    /// Where the widget runs.
    #[serde(default)]
    #[expect(dead_code, reason = "the page is stored with the first message")]
    page: Option<PageOfVisitor>,
}

/// What the widget gets.
#[derive(Debug, Serialize, ToSchema)]
pub struct VisitorSession {
    /// Send it as `Authorization: Bearer`.
    token: String,
    expires_at: Timestamp,
    /// From then on, start a session again to get a fresh token.
    renew_after: Timestamp,
    /// The token from last time was good: the contact is the same.
    renewed: bool,
    contact: VisitorContact,
    conversation: Option<VisitorConversation>,
    config: WidgetConfig,
}

#[derive(Debug, Serialize, ToSchema)]
struct VisitorContact {
    name: Option<String>,
    email: Option<String>,
}

/// How the widget looks and greets.
#[derive(Debug, Serialize, ToSchema)]
pub struct WidgetConfig {
    /// The business.
    name: String,
    assistant: Option<WidgetAssistant>,
    greeting: String,
    disclosure: String,
    /// A CSS colour.
    accent: String,
    locales: Vec<String>,
    /// Somebody of the business is there.
    human_available: bool,
    /// The language of greeting and notices.
    locale: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct WidgetAssistant {
    name: String,
    avatar: Option<String>,
}

/// Starts or continues a visitor's session. A bad or ended token makes a new contact.
#[utoipa::path(post, path = "/widget/{key}/session", tag = "Widget", request_body = StartSession,
    params(("key" = String, Path, description = "The inbox's public key")), responses(
    (status = 200, description = "Welcome", body = VisitorSession),
    InputErrors, MissingErrors, OpenErrors,
))]
pub async fn session(
    State(state): State<AppState>,
    Address(address): Address,
    Path(key): Path<String>,
    Json(input): Json<StartSession>,
) -> ApiResult<Json<VisitorSession>> {
    let mut conn = state.conversations.db().read().await?;
    let door = visitor::door(&mut conn, &key).await?.ok_or_else(|| ApiError::not_found("inbox"))?;
    let now = state.conversations.clock().now();
    let known = match &input.token {
        Some(token) => visitor::find(&mut conn, token, now).await?,
        None => None,
    };
    drop(conn);
    let known = known.filter(|known| known.inbox == door.inbox);
    let locale = field::locale("locale", &input.locale).unwrap_or_else(|_| "en".to_owned());
    let renewed = known.is_some();
    let (contact, token) = match (known, input.token) {
        (Some(known), Some(token)) => (known.contact, keep(&state, known, token, &locale).await?),
        _ => {
            state.access.limits.visitor_session(address)?;
            start(&state, &door, &locale).await?
        }
    };
    let whose = Whose { workspace: door.workspace, inbox: door.inbox, contact };
    let mut conn = state.conversations.db().read().await?;
    let read = view::read(&state, &mut conn, whose, Stretch::Last).await?;
    let person = contact::store::get(&mut conn, door.workspace, contact).await?;
    drop(conn);
    let directory = state.names.of(door.workspace).await?;
    let (name, email) = person.map(|p| (p.name, p.email)).unwrap_or_default();
    Ok(Json(VisitorSession {
        token: token.token,
        expires_at: token.expires_at,
        renew_after: token.renew_after,
        renewed,
        contact: VisitorContact { name, email },
        conversation: read.map(|read| read.view),
        config: config(&state, &door, &directory, &locale),
    }))
}

/// A new contact with a token.
async fn start(state: &AppState, door: &Door, locale: &str) -> ApiResult<(ContactId, IssuedToken)> {
    let now = state.conversations.clock().now();
    let contact: ContactId = state.conversations.ids().fresh();
    let token = IssuedToken::fresh(now);
    let (workspace, inbox) = (door.workspace, door.inbox);
    let (issued, locale) = (token.clone(), locale.to_owned());
    state
        .conversations
        .db()
        .write(move |conn| {
            let (issued, locale) = (issued.clone(), locale.clone());
            Box::pin(async move {
                contact::store::create(conn, workspace, contact, &locale, now).await?;
                visitor::issue(conn, workspace, inbox, contact, &issued, now).await
            })
        })
        .await?;
    Ok((contact, token))
}

/// The same contact, with a fresh token if the old one is past half its life.
async fn keep(
    state: &AppState,
    known: VisitorToken,
    token: String,
    locale: &str,
) -> ApiResult<IssuedToken> {
    let now = state.conversations.clock().now();
    let renew_after = known.created_at + RENEW_AFTER;
    let fresh = (now >= renew_after).then(|| IssuedToken::fresh(now));
    let kept = IssuedToken { token, expires_at: known.expires_at, renew_after };
    let answer = fresh.clone().unwrap_or(kept);
    let locale = locale.to_owned();
    state
        .conversations
        .db()
        .write(move |conn| {
            let (known, fresh, locale) = (known.clone(), fresh.clone(), locale.clone());
            Box::pin(async move {
                if let Some(fresh) = &fresh {
                    visitor::renew(conn, &known, fresh, now).await?;
                }
                contact::store::seen(conn, known.workspace, known.contact, &locale, now).await
            })
        })
        .await?;
    Ok(answer)
}

fn config(state: &AppState, door: &Door, directory: &Directory, locale: &str) -> WidgetConfig {
    let face = directory.answering(door.inbox).map(|(_, face)| face);
    let locales: Vec<String> = match face {
        Some(face) if !face.languages.is_empty() => face.languages.clone(),
        _ => catalogue::LOCALES.iter().map(|&l| l.to_owned()).collect(),
    };
    let language = locale.split('-').next().unwrap_or_default();
    let spoken = locales.iter().find(|l| l.as_str() == language).or_else(|| locales.first());
    let locale = spoken.cloned().unwrap_or_else(|| "en".to_owned());
    let say = |texts: fn(&Identity) -> &std::collections::BTreeMap<String, String>| {
        face.map(texts)
            .and_then(|texts| texts.get(&locale).or_else(|| texts.get("en")))
            .cloned()
            .unwrap_or_default()
    };
    let presence = &state.conversations.wire().presence;
    WidgetConfig {
        name: directory.workspace_name.clone(),
        assistant: face
            .map(|face| WidgetAssistant { name: face.name.clone(), avatar: face.avatar() }),
        greeting: say(|face| &face.greeting),
        disclosure: say(|face| &face.disclosure),
        accent: directory
            .inboxes
            .get(&door.inbox)
            .map(|inbox| inbox.accent.clone())
            .unwrap_or_default(),
        locales,
        human_available: presence.anyone_available(door.workspace),
        locale,
    }
}

/// What a visitor says of themselves.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaveContact {
    /// What to call them.
    name: Option<String>,
    /// Where an answer reaches them.
    email: Option<String>,
}

/// Leaves a name or an address; what is absent or empty stays.
#[utoipa::path(post, path = "/widget/contact", tag = "Widget", request_body = LeaveContact,
    security(("visitor" = [])), responses(
    (status = 204, description = "Remembered"), InputErrors, AgentErrors,
))]
pub async fn contact(
    State(state): State<AppState>,
    visitor: Visitor,
    Json(input): Json<LeaveContact>,
) -> ApiResult<StatusCode> {
    state.access.limits.visitor_message(visitor.contact)?;
    let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty()).map(Some);
    let change = ContactChange::checked(given(input.name), given(input.email), None)?;
    let (workspace, id) = (visitor.workspace, visitor.contact);
    state
        .conversations
        .db()
        .write(move |conn| {
            let change = change.clone();
            Box::pin(async move { contact::store::update(conn, workspace, id, &change).await })
        })
        .await?;
    state.feeds.tell_contact(id);
    state.conversations.wire().others.tell(|| Item::Contact(id));
    Ok(StatusCode::NO_CONTENT)
}
