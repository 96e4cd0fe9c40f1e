//! How callers prove who they are, for the OpenAPI document: what the extractors beside this demand.

use utoipa::Modify;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};

use super::extract::{CSRF_HEADER, SESSION_COOKIE};

/// Adds the schemes that operations name in their `security`: `session`, `csrf` and `visitor`.
pub struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut OpenApi) {
        let session = ApiKeyValue::with_description(
            SESSION_COOKIE,
            "An agent's session, from POST /api/v1/auth/sign-in.",
        );
        let csrf = ApiKeyValue::with_description(
            CSRF_HEADER,
            "The csrf value of GET /api/v1/auth/me, beside the session wherever something changes.",
        );
        let visitor = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A visitor's token, from POST /api/v1/widget/{key}/session."))
            .build();
        document.components.get_or_insert_default().add_security_schemes_from_iter([
            ("session", SecurityScheme::ApiKey(ApiKey::Cookie(session))),
            ("csrf", SecurityScheme::ApiKey(ApiKey::Header(csrf))),
            ("visitor", SecurityScheme::Http(visitor)),
        ]);
    }
}
