//! All SQL of conversations, their messages, log, turn headers, obligations and alarms.

mod due;
mod load;
mod project;
mod read;
mod row;
mod write;

pub use due::{DueTurn, due_timers, due_turns, ended_tries, next_timer_at, next_turn_at};
pub(super) use due::{end_leases_of, end_leases_of_others, renew};
pub use load::{Loaded, TurnFacts, of_contact, turn_facts};
pub(super) use load::{
    Opening, Sent, agent_name, contact_blocked, load, load_inbox, load_of_contact, wait_for_turn,
    wait_for_turn_of_contact,
};
pub use project::Lease;
pub(super) use project::project;
pub use read::{Part, Span, message, message_by_client_id, messages, timeline};
pub(crate) use row::{from_json, parse, parse_opt, unsigned};
pub use write::{Origin, put_turn_record};
pub(super) use write::{
    insert, insert_events, insert_evidence, insert_job, insert_message, snippet, update,
};
