//! What belongs to a business in which everything has happened once: an id of every kind, and words that must stay inside.

use std::time::Duration;

use serde_json::json;

use crate::support::people::fresh_client_id;
use crate::support::world::Business;
use crate::support::{Agent, Visitor, World, kind_is};

/// One business, seen by its people.
pub struct Belongings {
    pub workspace: String,
    pub key: String,
    pub visitor: Visitor,
    pub conversation: String,
    pub contact: String,
    pub turn: String,
    pub alarm: String,
    pub artifact: String,
    pub article: String,
    pub assistant: String,
    pub inbox: String,
    pub base: String,
    pub agent: String,
    /// For the people of the business alone.
    pub private: Vec<String>,
    /// For them and the one visitor.
    pub personal: Vec<String>,
    people: Vec<Agent>,
}

impl Belongings {
    /// Lets everything happen once; `mark` stands in all words.
    pub async fn of(world: &World, business: &Business, mark: &str) -> Self {
        let people: Vec<Agent> = ["Sari", "Dewi", "Citra", "Ana", "Budi"]
            .iter()
            .map(|name| business.agent(name, &world.http, &world.origin))
            .collect();
        let (sari, ana) = (people[0].clone(), people[3].clone());
        let bases = format!("/knowledge-bases/{}/articles", business.base);
        let internal = json!({
            "source": "text", "title": format!("Private {mark}"), "audience": "internal", "locale": "en",
            "body": format!("A refund for somebody important is approved at once: private-{mark}"),
        });
        let article = sari.post(&bases, internal).await.ok();
        let mut desk = ana.live(None).await;
        let visitor = Visitor::arrive("Rina", &world.http, &world.origin, &business.key).await;
        let name = format!("personal-{mark}");
        let left = json!({ "name": name, "email": format!("{mark}@personal.example") });
        assert_eq!(visitor.post("/widget/contact", left).await.status, 204);
        visitor.write(&format!("How long does a refund take? personal-{mark}")).await;
        let conversation = visitor.ask_for_person().await["id"].as_str().expect("an id").to_owned();
        let note = json!({ "text": format!("private-{mark}"), "client_id": fresh_client_id() });
        ana.post(&format!("/conversations/{conversation}/notes"), note).await.ok();
        for kind in ["brief", "suggestions"] {
            desk.help(&conversation, kind).await;
        }
        let artifact = ana.get(&format!("/conversations/{conversation}/assist")).await.ok();
        let artifact = artifact["suggestions"]["id"].as_str().expect("an id").to_owned();
        world.pass(Duration::from_secs(600));
        let of = |frame: &serde_json::Value| {
            kind_is(frame, "alarm") && frame["alarm"]["conversation_id"] == conversation.as_str()
        };
        let alarm = desk.ever("an alarm", of).await["alarm"]["id"].clone();
        let line = ana.timeline(&conversation).await;
        let turn = line.iter().find_map(|item| item["data"]["turn"].as_str()).expect("a turn");
        let detail = ana.detail(&conversation).await;
        let contact = detail["contact"]["id"].as_str().expect("an id").to_owned();
        let article = article["id"].as_str().expect("an id").to_owned();
        let alarm = alarm.as_str().expect("an id").to_owned();
        let workspace = business.workspace.to_string();
        let mut private = vec![
            format!("private-{mark}"),
            format!("@{workspace}.example"),
            workspace.clone(),
            artifact.clone(),
            alarm.clone(),
            article.clone(),
            contact.clone(),
            business.assistant.to_string(),
            business.inbox.to_string(),
            business.base.to_string(),
        ];
        private.extend(people.iter().map(|agent| agent.id.clone()));
        Self {
            workspace,
            key: business.key.clone(),
            contact,
            turn: turn.to_owned(),
            alarm,
            artifact,
            article,
            assistant: business.assistant.to_string(),
            inbox: business.inbox.to_string(),
            base: business.base.to_string(),
            agent: people[4].id.clone(),
            private,
            personal: vec![
                format!("personal-{mark}"),
                format!("{mark}@personal.example"),
                conversation.clone(),
            ],
            conversation,
            visitor,
            people,
        }
    }

    /// Somebody who works here.
    #[track_caller]
    pub fn person(&self, name: &str) -> &Agent {
        self.people.iter().find(|p| p.name == name).unwrap_or_else(|| panic!("nobody is {name}"))
    }

    /// The path with these ids in their places; none if a place is not known.
    pub fn fill(&self, path: &str) -> Option<String> {
        let id = match path.split('/').nth(1)? {
            "conversations" => &self.conversation,
            "contacts" => &self.contact,
            "turns" => &self.turn,
            "alarms" => &self.alarm,
            "assistants" => &self.assistant,
            "inboxes" => &self.inbox,
            "knowledge-bases" => &self.base,
            _ if !path.contains("{id}") => "",
            _ => return None,
        };
        let filled = path
            .replace("{id}", id)
            .replace("{article}", &self.article)
            .replace("{artifact}", &self.artifact)
            .replace("{index}", "0")
            .replace("{key}", &self.key);
        (!filled.contains('{')).then_some(filled)
    }
}
