//! Baton: an AI-first customer-service bot orchestration service with human takeover.
//!
//! A conversation is held by exactly one party: the assistant, a human, or nobody. The modules in reading order, from the
//! ground up; a module knows only what stands above it in this list. `docs/ARCHITECTURE.md` is the map.

pub mod clock;
pub mod config;
pub mod field;
pub mod guard;
pub mod health;
pub mod ids;
pub mod metrics;
pub mod telemetry;
pub mod text;

pub mod db;
pub mod model;

pub mod access;
pub mod api;
pub mod jobs;

pub mod hub;
pub mod knowledge;

pub mod assistant;
pub mod contact;
pub mod directory;

pub mod conversation;
pub mod socket;
pub mod words;

pub mod backup;
pub mod conditions;

pub mod assist;
pub mod handoff;
pub mod turn;

pub mod app;
pub mod inbox;
pub mod live;
pub mod nodes;
pub mod playground;
pub mod widget;

pub mod assets;
pub mod server;

pub mod cli;
pub mod demo;

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;

#[cfg(test)]
mod sim;
