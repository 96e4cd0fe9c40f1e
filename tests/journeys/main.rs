//! Journeys: the real server on a free port, a fresh database on each engine, the scripted model over real HTTP.
//!
//! A test reads as the story. It sees what people see (REST, sockets) and what the model was sent, waits for events and
//! never for time, and ends with the laws read off everything that was stored. PostgreSQL takes part where
//! `BATON_TEST_POSTGRES` names a server (`tools/with-postgres cargo test`).

#[allow(dead_code, unused_imports, reason = "journeys need a part of what the double can do")]
#[path = "../doubles/qdrant/mod.rs"]
mod qdrant_double;
mod support;

mod backup;
mod bad_input;
mod chaos;
mod crash;
mod durability;
mod faults;
mod hostile_model;
mod laws;
mod metrics;
mod nodes;
mod qdrant;
mod story;
mod takeovers;
mod walls;
