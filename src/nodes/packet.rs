//! Items on the wire: JSON, as many in one notification as PostgreSQL takes.

use serde::Deserialize;

use crate::conversation::others::Item;
use crate::db::MAX_PAYLOAD_BYTES;
use crate::ids::NodeId;

/// One notification as it is heard.
#[derive(Debug, Deserialize)]
pub struct Packet {
    /// Who says it.
    #[serde(rename = "n")]
    pub node: NodeId,
    /// What.
    #[serde(rename = "i")]
    pub items: Vec<serde_json::Value>,
}

/// The payloads that say these items in order; one without any if there are none.
pub fn payloads(node: NodeId, items: Vec<Item>) -> Vec<String> {
    let head = format!("{{\"n\":\"{node}\",\"i\":[");
    let mut all = Vec::new();
    let mut payload = head.clone();
    for item in items {
        let Some(text) = text(item, MAX_PAYLOAD_BYTES - head.len() - 2) else { continue };
        let is_first = payload.len() == head.len();
        if !is_first && payload.len() + text.len() + 3 > MAX_PAYLOAD_BYTES {
            all.push(payload + "]}");
            payload = head.clone() + &text;
            continue;
        }
        if !is_first {
            payload.push(',');
        }
        payload.push_str(&text);
    }
    if payload.len() > head.len() || all.is_empty() {
        all.push(payload + "]}");
    }
    all
}

/// An item in so many bytes; what is too long is left out, but for a sentence, in whose place it is said that the AI writes.
fn text(item: Item, room: usize) -> Option<String> {
    let text = serde_json::to_string(&item).ok()?;
    if text.len() <= room {
        return Some(text);
    }
    match item {
        Item::Draft(workspace, inbox, contact, draft) => {
            let writes = Item::Writes(workspace, inbox, contact, draft.conversation);
            serde_json::to_string(&writes).ok()
        }
        Item::Viewers(workspace, conversation, mut agents) if agents.len() > 1 => {
            agents.truncate(agents.len() / 2);
            self::text(Item::Viewers(workspace, conversation, agents), room)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::Draft;
    use crate::ids::Ids;

    fn draft(text: String) -> Item {
        let draft = Draft {
            conversation: Ids.fresh(),
            turn: Ids.fresh(),
            attempt: 1,
            epoch: 1,
            index: 0,
            text,
        };
        Item::Draft(Ids.fresh(), Ids.fresh(), Ids.fresh(), draft)
    }

    fn heard(node: NodeId, payloads: &[String]) -> Vec<Item> {
        let each = payloads.iter().flat_map(|payload| {
            assert!(payload.len() <= MAX_PAYLOAD_BYTES, "{} bytes", payload.len());
            let packet: Packet = serde_json::from_str(payload).expect("a packet");
            assert_eq!(packet.node, node);
            packet.items
        });
        each.map(|item| serde_json::from_value(item).expect("an item")).collect()
    }

    #[test]
    fn many_items_share_a_notification_and_keep_their_order() {
        let node: NodeId = Ids.fresh();
        assert!(heard(node, &payloads(node, Vec::new())).is_empty());
        let items: Vec<Item> = (0..200).map(|n| draft(format!("Sentence {n}. "))).collect();
        let wanted: Vec<String> = items.iter().map(|item| format!("{item:?}")).collect();
        let payloads = payloads(node, items);
        assert!((3..40).contains(&payloads.len()), "{}", payloads.len());
        let got: Vec<String> =
            heard(node, &payloads).iter().map(|item| format!("{item:?}")).collect();
        assert_eq!(got, wanted);
    }

    #[test]
    fn a_sentence_that_is_too_long_becomes_typing_whatever_its_letters_cost() {
        let node: NodeId = Ids.fresh();
        for (text, fits) in [("x".repeat(7_000), true), ("\u{1}".repeat(2_000), false)] {
            let told = heard(node, &payloads(node, vec![draft(text), Item::Settings]));
            assert_eq!(matches!(told[0], Item::Draft(..)), fits);
            assert_eq!(matches!(told[0], Item::Writes(..)), !fits);
            assert!(matches!(told[1], Item::Settings));
        }
        let crowd = (0..300).map(|_| Ids.fresh()).collect();
        let told =
            heard(node, &payloads(node, vec![Item::Viewers(Ids.fresh(), Ids.fresh(), crowd)]));
        assert!(matches!(&told[0], Item::Viewers(_, _, some) if some.len() > 100));
    }
}
