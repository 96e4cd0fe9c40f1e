//! Contacts over HTTP, for agents.

use axum::extract::{FromRef, State};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Contact, ContactChange, store};
use crate::access::{AccessState, Signed};
use crate::api::{AgentErrors, ApiError, ApiResult, InputErrors, Json, MissingErrors, Path};
use crate::ids::ContactId;

/// The routes of this feature.
pub fn router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    AccessState: FromRef<S>,
{
    OpenApiRouter::new().routes(routes!(get, update))
}

/// One contact.
#[utoipa::path(get, path = "/contacts/{id}", tag = "Contacts", params(("id" = ContactId, Path)),
    security(("session" = [])), responses(
    (status = 200, description = "The contact", body = Contact), MissingErrors, AgentErrors,
))]
async fn get(
    State(access): State<AccessState>,
    signed: Signed,
    Path(id): Path<ContactId>,
) -> ApiResult<Json<Contact>> {
    let found = store::get(&mut access.db.read().await?, signed.workspace, id).await?;
    found.map(Json).ok_or_else(|| ApiError::not_found("contact"))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct UpdateContact {
    /// Null or empty removes it.
    #[serde(default, deserialize_with = "crate::api::extract::present")]
    #[schema(value_type = Option<String>)]
    name: Option<Option<String>>,
    /// Null or empty removes it.
    #[serde(default, deserialize_with = "crate::api::extract::present")]
    #[schema(value_type = Option<String>)]
    email: Option<Option<String>>,
    /// Null or empty removes it.
    #[serde(default, deserialize_with = "crate::api::extract::present")]
    #[schema(value_type = Option<String>)]
    phone: Option<Option<String>>,
}

/// Changes what is known of a contact; what is absent stays.
#[utoipa::path(patch, path = "/contacts/{id}", tag = "Contacts", params(("id" = ContactId, Path)),
    security(("session" = [], "csrf" = [])),
    request_body = UpdateContact, responses(
    (status = 200, description = "Changed", body = Contact), InputErrors, MissingErrors, AgentErrors,
))]
async fn update(
    State(access): State<AccessState>,
    signed: Signed,
    Path(id): Path<ContactId>,
    Json(input): Json<UpdateContact>,
) -> ApiResult<Json<Contact>> {
    let change = ContactChange::checked(input.name, input.email, input.phone)?;
    let workspace = signed.workspace;
    let changed = access
        .db
        .write(move |conn| {
            let change = change.clone();
            Box::pin(async move { store::update(conn, workspace, id, &change).await })
        })
        .await?;
    changed.map(Json).ok_or_else(|| ApiError::not_found("contact"))
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::Method;
    use serde_json::{Value, json};

    use super::*;
    use crate::access::Role;
    use crate::access::testing::{signed_in, state};
    use crate::db::testing::databases;

    #[tokio::test]
    async fn agents_read_and_correct_contacts_of_their_workspace() {
        for db in databases().await {
            let access = state(db);
            let ana = signed_in(&access, Role::Agent, "ana@example.com").await;
            let app: Router = router::<AccessState>().with_state(access.clone()).into();
            let (workspace, now) = (ana.workspace, access.clock.now());
            let id: ContactId = access.ids.fresh();
            let made = access.db.write(move |conn| {
                Box::pin(async move { store::create(conn, workspace, id, "pt-BR", now).await })
            });
            made.await.expect("stored");
            let uri = format!("/contacts/{id}");
            let found = ana.send(&app, Method::GET, &uri, Value::Null).await;
            assert_eq!(found.body["locale"], "pt-BR", "{}", found.body);
            assert_eq!(found.body["attributes"], json!({}));
            let change =
                json!({"name": " Zoë ", "email": "Zoe@Example.com", "phone": "+62 812 3456"});
            let changed = ana.send(&app, Method::PATCH, &uri, change).await;
            assert_eq!(changed.body["email"], "zoe@example.com", "{}", changed.body);
            let changed = ana.send(&app, Method::PATCH, &uri, json!({"email": null})).await;
            assert_eq!(
                (&changed.body["name"], &changed.body["email"]),
                (&json!("Zoë"), &Value::Null)
            );
            assert_eq!(changed.body["phone"], "+628123456");
            let bad = ana.send(&app, Method::PATCH, &uri, json!({"email": "x"})).await;
            assert_eq!((bad.status.as_u16(), bad.field()), (400, "email"));
            let none = ana
                .send(
                    &app,
                    Method::GET,
                    &format!("/contacts/{}", access.ids.fresh::<ContactId>()),
                    Value::Null,
                )
                .await;
            assert_eq!((none.status.as_u16(), none.code()), (404, "not_found"));
            let odd = ana.send(&app, Method::GET, "/contacts/1", Value::Null).await;
            assert_eq!(odd.status, 400);
        }
    }
}
