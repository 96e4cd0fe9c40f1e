//! On every engine that is at hand.

use super::super::session::{self, NewSession};
use super::super::testing::{member, state};
use super::super::visitor::{self, IssuedToken};
use super::*;
use crate::db::testing::databases;

#[tokio::test]
async fn the_first_start_makes_one_owner_through_a_one_time_link() {
    for db in databases().await {
        let access = state(db);
        let start = || first_start(&access.db, &access.clock, access.ids, "Shop");
        let first = start().await.expect("start");
        let again = start().await.expect("start");
        assert_eq!(first.workspace, again.workspace);
        let (old, token) =
            (first.owner_invitation.expect("link"), again.owner_invitation.expect("link"));
        let now = access.clock.now();
        let mut conn = access.db.read().await.expect("conn");
        assert_eq!(invitation(&mut conn, &old, now).await.expect("read"), None);
        let found = invitation(&mut conn, &token, now).await.expect("read").expect("good");
        assert_eq!((found.role, found.workspace_name.as_str()), (Role::Owner, "Shop"));
        assert_eq!(invitation(&mut conn, &token, now + INVITATION_LIFE).await.expect("read"), None);

        let accept = || {
            let (token, ids) = (token.clone(), access.ids);
            access.db.write(move |conn| {
                let token = token.clone();
                Box::pin(async move {
                    let new = NewMember {
                        name: "Ana".into(),
                        email: "ana@example.com".into(),
                        password_hash: "x".into(),
                        role: Role::Agent,
                    };
                    accept_invitation(conn, &token, ids, &new, now).await
                })
            })
        };
        let (_, agent) = accept().await.expect("stored").expect("accepted");
        assert_eq!(accept().await.expect("stored"), Err(NotAccepted::Gone));
        let owner = member_of(&access.db, first.workspace, agent).await.expect("there");
        assert_eq!(
            (owner.role, owner.email.as_str(), owner.open),
            (Role::Owner, "ana@example.com", 0)
        );
        assert_eq!(start().await.expect("start").owner_invitation, None);
    }
}

async fn member_of(db: &Db, workspace: WorkspaceId, agent: AgentId) -> Option<Member> {
    let mut conn = db.read().await.expect("conn");
    super::member(&mut conn, workspace, agent).await.expect("read")
}

#[tokio::test]
async fn people_change_themselves_and_stay_in_their_workspace() {
    for db in databases().await {
        let access = state(db);
        let (workspace, agent) = member(&access, Role::Agent, "bo@example.com").await;
        let db = &access.db;
        let update = move |workspace| {
            db.write(move |conn| {
                Box::pin(async move {
                    let presence = Some(Presence::Away);
                    update_member(conn, workspace, agent, Some("Bo"), presence, None).await
                })
            })
        };
        assert!(update(workspace).await.expect("stored"));
        assert!(!update(Ids.fresh()).await.expect("stored"));
    }
}

#[tokio::test]
async fn a_session_slides_with_use_and_ends_without() {
    for db in databases().await {
        let access = state(db);
        let (workspace, agent) = member(&access, Role::Supervisor, "cy@example.com").await;
        let (new, start) = (NewSession::fresh(), access.clock.now());
        let hash = token_hash(&new.token);
        let stored = new.clone();
        let made = access.db.write(move |conn| {
            let new = stored.clone();
            Box::pin(async move { session::create(conn, workspace, agent, &new, start).await })
        });
        made.await.expect("stored");
        let mut conn = access.db.read().await.expect("conn");
        let found = session::find(&mut conn, &hash, start).await.expect("read").expect("good");
        assert_eq!((found.agent, found.role, found.csrf), (agent, Role::Supervisor, new.csrf));
        let end = start + session::IDLE_LIFE;
        assert!(session::find(&mut conn, &hash, end).await.expect("read").is_none());
        drop(conn);

        let later = start + Duration::from_hours(1);
        let name = hash.clone();
        let touched = access.db.write(move |conn| {
            let name = name.clone();
            Box::pin(async move { session::touch(conn, &name, start, later).await })
        });
        touched.await.expect("stored");
        let mut conn = access.db.read().await.expect("conn");
        assert!(session::find(&mut conn, &hash, end).await.expect("read").is_some());
        drop(conn);

        let swept = access.db.write(move |conn| {
            Box::pin(async move { session::sweep(conn, start + session::LONGEST_LIFE).await })
        });
        assert_eq!(swept.await.expect("swept"), 1);
    }
}

#[tokio::test]
async fn visitor_tokens_stand_for_one_contact_and_rotate() {
    for db in databases().await {
        let access = state(db);
        let workspace = super::super::testing::workspace(&access).await;
        let (inbox, contact, now) = (Ids.fresh(), Ids.fresh(), access.clock.now());
        let token = IssuedToken::fresh(now);
        let (first, second) = (token.clone(), IssuedToken::fresh(now));
        let made = access.db.write(move |conn| {
            let token = token.clone();
            Box::pin(async move {
                seed(conn, workspace, inbox, contact).await?;
                visitor::issue(conn, workspace, inbox, contact, &token, now).await
            })
        });
        made.await.expect("stored");
        let find = async |token: &str, at| {
            let mut conn = access.db.read().await.expect("conn");
            visitor::find(&mut conn, token, at).await.expect("read")
        };
        let found = find(&first.token, now).await.expect("good");
        assert_eq!((found.contact, found.inbox), (contact, inbox));
        assert!(find("junk", now).await.is_none());
        assert!(find(&first.token, now + visitor::TOKEN_LIFE).await.is_none());

        let renewed = second.clone();
        let made = access.db.write(move |conn| {
            let (old, new) = (found.clone(), renewed.clone());
            Box::pin(async move { visitor::renew(conn, &old, &new, now).await })
        });
        made.await.expect("stored");
        assert!(find(&first.token, now).await.is_some());
        assert!(find(&first.token, now + visitor::RENEW_GRACE).await.is_none());
        assert_eq!(find(&second.token, now).await.map(|t| t.contact), Some(contact));

        let mut conn = access.db.read().await.expect("conn");
        let door = visitor::door(&mut conn, "key").await.expect("read").expect("there");
        assert_eq!((door.inbox, door.workspace), (inbox, workspace));
    }
}

async fn seed(
    conn: &mut Conn,
    workspace: WorkspaceId,
    inbox: crate::ids::InboxId,
    contact: crate::ids::ContactId,
) -> Result<(), DbError> {
    sql("INSERT INTO inbox (id, workspace, name, public_key, allowed_origins, settings, created_at) \
         VALUES ($1, $2, 'Web', 'key', '[\"https://shop.example\"]', '{}', 0)")
    .bind(inbox)
    .bind(workspace)
    .execute(conn)
    .await?;
    sql("INSERT INTO contact (id, workspace, locale, attributes, created_at, seen_at) \
         VALUES ($1, $2, 'en', '{}', 0, 0)")
    .bind(contact)
    .bind(workspace)
    .execute(conn)
    .await?;
    Ok(())
}
