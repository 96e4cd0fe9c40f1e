//! What programs send: configuration, socket frames, ids, cursors, origins.

use std::net::IpAddr;

use super::{in_two, text};
use crate::access::{AllowedOrigins, Origin};
use crate::config::{Config, Sources};
use crate::conversation::{Cursor, lists};
use crate::ids::{AgentId, ConversationId, MessageId};
use crate::text::catalogue;

/// A configuration file is taken, or the error names a key or a line.
pub(super) fn config(bytes: &[u8]) {
    let text = text(bytes);
    let (name, value) = in_two(&text);
    let variables = vec![(format!("BATON_{name}"), value.to_owned())];
    let flags = vec![(name.to_owned(), value.to_owned())];
    for sources in
        [Sources { variables, ..Sources::default() }, Sources { flags, ..Sources::default() }]
    {
        if let Err(error) = Config::load(&sources) {
            assert!(!error.to_string().is_empty());
        }
    }
    if let Err(error) = Config::of_text(&text) {
        assert!(!error.to_string().is_empty());
    }
}

/// Frames of both sockets.
pub(super) fn frames(bytes: &[u8]) {
    let text = text(bytes);
    crate::live::read_anything(&text);
}

/// Ids, cursors, origins and addresses: what is read is written as it was read.
pub(super) fn names(bytes: &[u8]) {
    let text = text(bytes);
    if let Ok(id) = text.parse::<ConversationId>() {
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(text.parse::<AgentId>().is_err() && text.parse::<MessageId>().is_err());
    }
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }
    if let Ok(after) = text.parse::<lists::After>() {
        assert_eq!(after.to_string().parse(), Ok(after));
    }
    if let Ok(origin) = text.parse::<Origin>() {
        assert_eq!(origin.to_string().parse().as_ref(), Ok(&origin));
        let own = Origin::of_host(origin.authority(), origin.is_https());
        assert_eq!(own, Some(origin));
    }
    let list: Vec<String> = text.split('\n').map(str::to_owned).collect();
    if let Ok(allowed) = AllowedOrigins::parse("origins", &list) {
        assert_eq!(AllowedOrigins::parse("origins", &allowed.to_list()).as_ref(), Ok(&allowed));
    }
    let _address = text.rsplit(',').next().and_then(|last| last.trim().parse::<IpAddr>().ok());
    assert!(!catalogue::supported(&text).is_empty(), "some language is always spoken");
}
