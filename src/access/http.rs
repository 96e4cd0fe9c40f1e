//! Signing in and out, oneself, colleagues, invitations, tickets for the socket.

use std::net::IpAddr;

use axum::extract::{FromRef, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::AppendHeaders;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Address, SESSION_COOKIE, Signed, same_origin};
use super::password::{self, PasswordError};
use super::role::{Presence, Right, Role};
use super::secret::token_hash;
use super::session::{self, NewSession, Session};
use super::state::AccessState;
use super::store::{self, NewMember, NotAccepted};
use super::tickets::{self, TicketOwner};
use crate::api::{
    AgentErrors, ApiError, ApiResult, ErrorAnswer, InputErrors, Json, MissingErrors, OpenErrors,
};
use crate::clock::Timestamp;
use crate::field;
use crate::ids::{AgentId, WorkspaceId};

/// Longest name of a person.
const NAME_MAX: usize = 80;

/// The routes of this feature.
pub fn router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    AccessState: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(sign_in))
        .routes(routes!(sign_out))
        .routes(routes!(me, update_me))
        .routes(routes!(check_invite))
        .routes(routes!(accept_invite))
        .routes(routes!(live_ticket))
}

/// Who is signed in, and what they may do.
#[derive(Debug, Serialize, ToSchema)]
pub struct Me {
    agent: MyAgent,
    workspace: MyWorkspace,
    /// Send it as the header `x-baton-csrf` with every unsafe method.
    csrf: String,
    rights: &'static [Right],
}

#[derive(Debug, Serialize, ToSchema)]
struct MyAgent {
    id: AgentId,
    name: String,
    email: String,
    role: Role,
    presence: Presence,
    locale: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct MyWorkspace {
    id: WorkspaceId,
    name: String,
}

impl From<Session> for Me {
    fn from(session: Session) -> Self {
        Self {
            rights: session.role.rights(),
            csrf: session.csrf,
            agent: MyAgent {
                id: session.agent,
                name: session.name,
                email: session.email,
                role: session.role,
                presence: session.presence,
                locale: session.locale,
            },
            workspace: MyWorkspace { id: session.workspace, name: session.workspace_name },
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SignIn {
    email: String,
    password: String,
}

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Interrupted => {
                Self::unavailable("The server is stopping: try again in a moment.")
            }
            PasswordError::Hash(_) => Self::internal(error),
        }
    }
}

/// Signs in and sets the session cookie.
#[utoipa::path(post, path = "/auth/sign-in", tag = "Signing in", request_body = SignIn, responses(
    (status = 200, description = "Signed in", body = Me),
    (status = 401, description = "Address or password is not right (`bad_credentials`)", body = ErrorAnswer),
    InputErrors, OpenErrors,
))]
async fn sign_in(
    State(access): State<AccessState>,
    Address(address): Address,
    parts: Parts,
    Json(input): Json<SignIn>,
) -> ApiResult<(SetCookie, Json<Me>)> {
    same_origin(&access, &parts)?;
    let email = input.email.trim().to_lowercase();
    access.limits.sign_in(address, &email)?;
    // No account has such an address or password. PostgreSQL drops U+0000, which would give one account many spellings,
    // each with tries of its own.
    let long = input.password.len() > password::MAX_BYTES || email.len() > password::MAX_BYTES;
    if long || email.chars().any(char::is_control) {
        return Err(ApiError::bad_credentials());
    }
    let account = store::account(&mut access.db.read().await?, &email).await?;
    let (id, hash) = account.map(|a| (a.id, a.password_hash)).unzip();
    let right = access.passwords.verify(&input.password, hash).await?;
    let home = match id.filter(|_| right) {
        Some(id) => store::home(&mut access.db.read().await?, id).await?,
        None => None,
    };
    let Some((workspace, agent)) = home else {
        access.limits.sign_in_failed(address, &email);
        return Err(ApiError::bad_credentials());
    };
    access.limits.sign_in_succeeded(address, &email);
    let new = NewSession::fresh();
    let now = access.clock.now();
    let stored = new.clone();
    access
        .db
        .write(move |conn| {
            let new = stored.clone();
            Box::pin(async move { session::create(conn, workspace, agent, &new, now).await })
        })
        .await?;
    tracing::info!(agent.id = %agent, "signed in");
    welcome(&access, &new).await
}

/// Answers with the cookie and the fresh session's `Me`.
async fn welcome(access: &AccessState, new: &NewSession) -> ApiResult<(SetCookie, Json<Me>)> {
    let hash = token_hash(&new.token);
    let now = access.clock.now();
    let found = session::find(&mut access.db.read().await?, &hash, now).await?;
    let session = found.ok_or_else(ApiError::unauthenticated)?;
    Ok((cookie(&new.token, access.cookie_secure), Json(session.into())))
}

type SetCookie = AppendHeaders<[(HeaderName, String); 1]>;

/// The session cookie; an empty token removes it. Tokens are URL-safe, so nothing needs quoting.
fn cookie(token: &str, secure: bool) -> SetCookie {
    // The server decides when a session ends; the cookie only has to outlive it.
    let seconds = if token.is_empty() { 0 } else { session::LONGEST_LIFE.as_secs() };
    let secure = if secure { "; Secure" } else { "" };
    let cookie = format!(
        "{SESSION_COOKIE}={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}"
    );
    AppendHeaders([(header::SET_COOKIE, cookie)])
}

/// Ends the session.
#[utoipa::path(post, path = "/auth/sign-out", tag = "Signing in",
    security(("session" = [], "csrf" = [])), responses(
    (status = 204, description = "Signed out"), AgentErrors,
))]
async fn sign_out(
    State(access): State<AccessState>,
    signed: Signed,
) -> ApiResult<(StatusCode, SetCookie)> {
    let (workspace, hash) = (signed.workspace, signed.token_hash.clone());
    access
        .db
        .write(move |conn| {
            let hash = hash.clone();
            Box::pin(async move { session::end(conn, workspace, &hash).await })
        })
        .await?;
    Ok((StatusCode::NO_CONTENT, cookie("", access.cookie_secure)))
}

/// Who is signed in.
#[utoipa::path(get, path = "/auth/me", tag = "Signing in",
    security(("session" = [])), responses(
    (status = 200, description = "The signed-in agent", body = Me), AgentErrors,
))]
async fn me(Signed(session): Signed) -> Json<Me> {
    Json(session.into())
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct UpdateMe {
    presence: Option<Presence>,
    name: Option<String>,
    locale: Option<String>,
}

/// Changes what a person may change about themselves.
#[utoipa::path(patch, path = "/auth/me", tag = "Signing in", request_body = UpdateMe,
    security(("session" = [], "csrf" = [])), responses(
    (status = 200, description = "Changed", body = Me), InputErrors, AgentErrors,
))]
async fn update_me(
    State(access): State<AccessState>,
    Signed(mut session): Signed,
    Json(input): Json<UpdateMe>,
) -> ApiResult<Json<Me>> {
    let name = input.name.map(|name| field::line("name", &name, NAME_MAX)).transpose()?;
    let locale = input.locale.map(|tag| field::locale("locale", &tag)).transpose()?;
    let presence = input.presence;
    let (workspace, agent) = (session.workspace, session.agent);
    let (new_name, new_locale) = (name.clone(), locale.clone());
    access
        .db
        .write(move |conn| {
            let (name, locale) = (new_name.clone(), new_locale.clone());
            Box::pin(async move {
                let (name, locale) = (name.as_deref(), locale.as_deref());
                store::update_member(conn, workspace, agent, name, presence, locale).await
            })
        })
        .await?;
    session.name = name.unwrap_or(session.name);
    session.locale = locale.unwrap_or(session.locale);
    session.presence = presence.unwrap_or(session.presence);
    Ok(Json(session.into()))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CheckInvite {
    token: String,
}

/// What an invitation is for.
#[derive(Debug, Serialize, ToSchema)]
struct Invite {
    workspace: InviteWorkspace,
    role: Role,
}

#[derive(Debug, Serialize, ToSchema)]
struct InviteWorkspace {
    name: String,
}

/// Says what an invitation is for, without using it up.
#[utoipa::path(post, path = "/auth/check-invite", tag = "Signing in", request_body = CheckInvite, responses(
    (status = 200, description = "A good invitation", body = Invite), InputErrors, MissingErrors, OpenErrors,
))]
async fn check_invite(
    State(access): State<AccessState>,
    Address(address): Address,
    Json(input): Json<CheckInvite>,
) -> ApiResult<Json<Invite>> {
    access.limits.invitation(address)?;
    let now = access.clock.now();
    let found = store::invitation(&mut access.db.read().await?, &input.token, now).await?;
    let found = found.ok_or_else(invitation_gone)?;
    let workspace = InviteWorkspace { name: found.workspace_name };
    Ok(Json(Invite { workspace, role: found.role }))
}

fn invitation_gone() -> ApiError {
    ApiError::not_found(
        "invitation: it has been used, has ended or was never made. Ask for a new one",
    )
    .with_field("token")
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AcceptInvite {
    token: String,
    name: String,
    email: String,
    password: String,
}

/// Uses an invitation up, makes the person and signs them in.
#[utoipa::path(post, path = "/auth/accept-invite", tag = "Signing in", request_body = AcceptInvite, responses(
    (status = 200, description = "Welcome", body = Me),
    (status = 409, description = "This account is a member already (`already_member`)", body = ErrorAnswer),
    InputErrors, MissingErrors, OpenErrors,
))]
async fn accept_invite(
    State(access): State<AccessState>,
    Address(address): Address,
    parts: Parts,
    Json(input): Json<AcceptInvite>,
) -> ApiResult<(SetCookie, Json<Me>)> {
    same_origin(&access, &parts)?;
    access.limits.invitation(address)?;
    let name = field::line("name", &input.name, NAME_MAX)?;
    let email = field::email("email", &input.email)?;
    let now = access.clock.now();
    // Before any hashing: without a good invitation nobody makes us work.
    let invited = store::invitation(&mut access.db.read().await?, &input.token, now).await?;
    invited.ok_or_else(invitation_gone)?;
    let password_hash = invited_password(&access, address, &email, &input.password).await?;
    let new = NewMember { name, email, password_hash, role: Role::Agent };
    let secrets = NewSession::fresh();
    let (token, ids, stored) = (input.token, access.ids, secrets.clone());
    let accepted = access
        .db
        .write(move |conn| {
            let (token, new, secrets) = (token.clone(), new.clone(), stored.clone());
            Box::pin(async move {
                let accepted = store::accept_invitation(conn, &token, ids, &new, now).await?;
                if let Ok((workspace, agent)) = accepted {
                    session::create(conn, workspace, agent, &secrets, now).await?;
                }
                Ok(accepted)
            })
        })
        .await?;
    match accepted {
        Ok((_, agent)) => {
            tracing::info!(agent.id = %agent, "an invitation was accepted");
            welcome(&access, &secrets).await
        }
        Err(NotAccepted::Gone) => Err(invitation_gone()),
        Err(NotAccepted::AlreadyMember) => Err(ApiError::conflict(
            "already_member",
            "This e-mail address is a member of the workspace already: sign in with it.",
        )
        .with_field("email")),
    }
}

/// The hash for an invited person: a new password's, or the existing account's if they know its password. Trying passwords
/// here is signing in, and is counted as that.
async fn invited_password(
    access: &AccessState,
    address: IpAddr,
    email: &str,
    password: &str,
) -> Result<String, ApiError> {
    let account = store::account(&mut access.db.read().await?, email).await?;
    let Some(account) = account else {
        password::acceptable("password", password, email)?;
        return Ok(access.passwords.hash(password).await?);
    };
    access.limits.sign_in(address, email)?;
    if access.passwords.verify(password, Some(account.password_hash.clone())).await? {
        access.limits.sign_in_succeeded(address, email);
        return Ok(account.password_hash);
    }
    access.limits.sign_in_failed(address, email);
    Err(ApiError::invalid(
        "password",
        "This e-mail address has an account already: give its password, or use another address.",
    ))
}

/// A ticket for the first frame of a socket.
#[derive(Debug, Serialize, ToSchema)]
struct LiveTicket {
    ticket: String,
    expires_at: Timestamp,
}

/// Makes a ticket for the socket: single use, 30 seconds.
#[utoipa::path(post, path = "/live/ticket", tag = "Live",
    security(("session" = [], "csrf" = [])), responses(
    (status = 200, description = "A ticket", body = LiveTicket), AgentErrors,
))]
async fn live_ticket(
    State(access): State<AccessState>,
    Signed(session): Signed,
) -> ApiResult<Json<LiveTicket>> {
    let owner = TicketOwner {
        workspace: session.workspace,
        agent: session.agent,
        session: session.token_hash,
    };
    let (ticket, expires_at) = tickets::issue(&access.db, owner, &access.clock).await?;
    Ok(Json(LiveTicket { ticket, expires_at }))
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
