//! Prometheus exporter and monitoring agent for Blooio.
//!
//! The rooms, and the one direction in which things flow:
//!
//! ```text
//! collect ── asks ──▶ api ── rows ──▶ domain (ledger) ── delta ──▶ store ── committed ──▶ metrics ──▶ web
//! ```
//!
//! Nothing flows back: metrics are never read to decide, the web server never causes a request to Blooio,
//! the ledger never asks anyone anything.
//!
//! | room | holds | knows |
//! |---|---|---|
//! | [`app`] | wiring, start and stop | every room |
//! | [`config`] | flags, environment, file | `secret`, `files`, `paths`, `privacy` |
//! | [`api`] | the Blooio client | `domain`, `clock`, `secret` |
//! | [`domain`] | what counting means | nothing |
//! | [`collect`] | what to ask next, and the loop | `api`, `store`, `metrics`, `domain`, `clock`, `feed` |
//! | [`store`] | the durable state | `domain`, `lease`, `files`, `privacy`, `secret` |
//! | [`lease`] | which replica holds an account, and for how long | nothing |
//! | [`feed`] | webhooks: what is believed and read of them, and the hand-over to the collector | `web`, `clock`, `secret` |
//! | [`metrics`] | the page | `domain` |
//! | [`web`] | the HTTP server | `paths` |
//! | [`inspect`] | what an operator looks at, straight from the API | `api`, `domain`, `terminal` |
//! | [`plan`] | what an account will cost, predicted | `collect`, `api`, `domain`, `metrics` |
//! | [`backfill`] | message history as OpenMetrics text | `api`, `collect`, `store`, `metrics`, `domain`, `privacy` |
//! | [`limits`] | every limit in one table | every module that has one |
//! | [`privacy`] | what may be private in the wrong place | nothing |
//! | [`paths`] | paths of the web server | nothing |
//! | [`files`] | reading files within bounds | `privacy` |
//! | [`terminal`] | text of others made safe to print | nothing |
//! | [`simulator`] | a Blooio API with a seeded world | nothing |
//!
//! ARCHITECTURE.md tells the whole story.

pub mod api;
pub mod app;
pub mod backfill;
pub mod clock;
pub mod collect;
pub mod config;
pub mod domain;
pub mod feed;
pub mod files;
pub mod inspect;
pub mod lease;
pub mod limits;
pub mod logging;
pub mod metrics;
pub mod paths;
pub mod plan;
pub mod privacy;
pub mod secret;
pub mod simulator;
pub mod store;
pub mod terminal;
pub mod web;
