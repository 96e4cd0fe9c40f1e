//! Agents and visitors as HTTP clients.

use std::sync::{Arc, PoisonError};

use baton::ids::{ConversationId, Ids};
use reqwest::Method;
use serde_json::{Value, json};

use super::socket::{Bytes, Live};

/// What the server answered, and to what.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
    pub text: String,
    pub what: String,
}

impl Answer {
    /// The body of a success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{}: {} {}", self.what, self.status, self.text);
        self.body
    }

    /// The error of a refusal with this status and code.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Value {
        let error = self.body["error"].clone();
        let same = self.status == status && error["code"] == code;
        assert!(same, "{}: wanted {status} {code}, got {} {}", self.what, self.status, self.text);
        assert!(
            error["message"].as_str().is_some_and(|message| !message.is_empty()),
            "{}: an error without words: {}",
            self.what,
            self.text
        );
        error
    }

    /// A refusal that names the field at fault.
    #[track_caller]
    pub fn names(self, status: u16, code: &str, field: &str) {
        let what = self.what.clone();
        let error = self.refused(status, code);
        assert_eq!(error["field"], field, "{what}: {error}");
    }
}

/// Sends a request and reads the whole answer.
pub async fn send(request: reqwest::RequestBuilder, what: impl Into<String>) -> Answer {
    let what = what.into();
    let response = request.send().await.unwrap_or_else(|e| panic!("{what}: no answer: {e:?}"));
    let status = response.status().as_u16();
    let text = response.text().await.unwrap_or_else(|e| panic!("{what}: broke off: {e:?}"));
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer { status, body, text, what }
}

/// A signed-in colleague.
#[derive(Clone)]
pub struct Agent {
    pub name: String,
    pub id: String,
    pub http: reqwest::Client,
    pub origin: String,
    pub cookie: String,
    pub csrf: String,
}

impl Agent {
    /// A request to an address under `/api/v1`, with cookie and CSRF header.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http
            .request(method, format!("{}/api/v1{path}", self.origin))
            .header("cookie", &self.cookie)
            .header("x-baton-csrf", &self.csrf)
    }

    pub async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path), format!("{} reads {path}", self.name)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        let what = format!("{} posts {body} to {path}", self.name);
        send(self.request(Method::POST, path).json(&body), what).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        let what = format!("{} changes {path} with {body}", self.name);
        send(self.request(Method::PATCH, path).json(&body), what).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        let what = format!("{} puts {body} to {path}", self.name);
        send(self.request(Method::PUT, path).json(&body), what).await
    }

    /// All that is known of a conversation.
    pub async fn detail(&self, conversation: &str) -> Value {
        self.get(&format!("/conversations/{conversation}")).await.ok()
    }

    pub async fn epoch(&self, conversation: &str) -> u64 {
        let detail = self.detail(conversation).await;
        detail["epoch"].as_u64().unwrap_or_else(|| panic!("no epoch in {detail}"))
    }

    /// Every event of a conversation, oldest first.
    pub async fn timeline(&self, conversation: &str) -> Vec<Value> {
        let path = format!("/conversations/{conversation}/timeline?after=0&limit=500");
        let body = self.get(&path).await.ok();
        assert_eq!(body["has_more"], false, "more than 500 events");
        body["items"].as_array().cloned().unwrap_or_default()
    }

    /// The kinds of every event, oldest first.
    pub async fn kinds(&self, conversation: &str) -> Vec<String> {
        let kind = |item: &Value| item["kind"].as_str().unwrap_or_default().to_owned();
        self.timeline(conversation).await.iter().map(kind).collect()
    }

    /// A command under the epoch that is, with more fields.
    pub async fn command(&self, conversation: &str, command: &str, fields: Value) -> Answer {
        let mut body = fields;
        let epoch = self.epoch(conversation).await;
        if let Some(fields) = body.as_object_mut() {
            fields.entry("expected_epoch").or_insert(json!(epoch));
        }
        self.post(&format!("/conversations/{conversation}/{command}"), body).await
    }

    /// Takes over without naming an epoch, as the button does.
    pub async fn take_over(&self, conversation: &str) -> Value {
        self.post(&format!("/conversations/{conversation}/take-over"), json!({})).await.ok()
    }

    /// Writes to the visitor under the epoch that is.
    pub async fn write(&self, conversation: &str, text: &str) -> Value {
        let fields = json!({ "text": text, "client_id": fresh_client_id() });
        self.command(conversation, "messages", fields).await.ok()
    }

    /// Opens a socket with a fresh ticket.
    pub async fn live(&self, watch: Option<&str>) -> Live {
        self.live_from(None, watch).await
    }

    /// Opens a socket that resumes from a cursor.
    pub async fn live_from(&self, cursor: Option<&str>, watch: Option<&str>) -> Live {
        let ticket = self.post("/live/ticket", json!({})).await.ok();
        let hello = json!({
            "type": "hello", "ticket": ticket["ticket"], "cursor": cursor, "watch": watch,
        });
        Live::hello(&self.name, &self.origin, &hello, None).await
    }
}

/// A visitor on somebody's page.
#[derive(Clone)]
pub struct Visitor {
    pub name: String,
    pub http: reqwest::Client,
    pub origin: String,
    pub key: String,
    pub token: String,
    /// Every byte that was sent to this visitor.
    pub bytes: Bytes,
}

impl Visitor {
    /// Opens the widget.
    pub async fn arrive(name: &str, http: &reqwest::Client, origin: &str, key: &str) -> Self {
        let mut visitor = Self {
            name: name.to_owned(),
            http: http.clone(),
            origin: origin.to_owned(),
            key: key.to_owned(),
            token: String::new(),
            bytes: Arc::default(),
        };
        let session = visitor.session(None).await.ok();
        session["token"].as_str().expect("a token").clone_into(&mut visitor.token);
        visitor
    }

    /// Starts or continues a session.
    pub async fn session(&self, token: Option<&str>) -> Answer {
        let body = json!({
            "token": token, "locale": "en",
            "page": { "url": "https://shop.example/refunds", "title": "Refunds" },
        });
        self.post(&format!("/widget/{}/session", self.key), body).await
    }

    /// The same visitor at another server's address.
    pub fn at(&self, origin: &str) -> Self {
        Self { origin: origin.to_owned(), ..self.clone() }
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}/api/v1{path}", self.origin));
        if self.token.is_empty() { request } else { request.bearer_auth(&self.token) }
    }

    pub async fn get(&self, path: &str) -> Answer {
        let what = format!("{} reads {path}", self.name);
        self.seen(send(self.request(Method::GET, path), what).await)
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        let shown: String = body.to_string().chars().take(200).collect();
        let what = format!("{} posts {shown} to {path}", self.name);
        self.seen(send(self.request(Method::POST, path).json(&body), what).await)
    }

    fn seen(&self, answer: Answer) -> Answer {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).push(answer.text.clone());
        answer
    }

    /// Whether anything the visitor was ever sent contains these words.
    pub fn has_seen(&self, words: &str) -> bool {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.iter().any(|text| text.contains(words))
    }

    /// Writes; returns the acknowledgement.
    pub async fn write(&self, text: &str) -> Value {
        self.write_as(&fresh_client_id(), text).await.ok()
    }

    /// Writes under a client id of the test's choice.
    pub async fn write_as(&self, client_id: &str, text: &str) -> Answer {
        self.post("/widget/messages", json!({ "client_id": client_id, "text": text })).await
    }

    pub async fn ask_for_person(&self) -> Value {
        self.post("/widget/request-person", json!({ "client_id": fresh_client_id() })).await.ok()
    }

    /// The conversation as the widget reads it.
    pub async fn conversation(&self) -> Value {
        self.get("/widget/conversation").await.ok()
    }

    /// Every message, oldest first.
    pub async fn messages(&self) -> Vec<Value> {
        self.conversation().await["messages"].as_array().cloned().unwrap_or_default()
    }

    /// Opens a socket.
    pub async fn live(&self) -> Live {
        self.live_after(0).await
    }

    pub async fn live_after(&self, after: u64) -> Live {
        let hello = json!({ "type": "hello", "token": self.token, "after": after });
        Live::hello(&self.name, &self.origin, &hello, Some(Arc::clone(&self.bytes))).await
    }
}

/// A client's own id for a message.
pub fn fresh_client_id() -> String {
    Ids.fresh::<ConversationId>().to_string()
}

/// The id of the conversation that an acknowledgement names.
#[track_caller]
pub fn conversation_of(acknowledged: &Value) -> String {
    let id = acknowledged["conversation_id"].as_str();
    id.unwrap_or_else(|| panic!("no conversation in {acknowledged}")).to_owned()
}
