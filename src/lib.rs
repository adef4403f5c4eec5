//! Prometheus exporter and monitoring agent for Blooio.
//!
//! Data flows in one direction:
//!
//! ```text
//! collect ── requests ──▶ api ── rows ──▶ domain (ledger) ── delta ──▶ store ── committed ──▶ metrics, status ──▶ web
//! ```
//!
//! Nothing flows back: metrics are never read to make decisions, the web server never causes a request to Blooio, and the
//! ledger calls nothing.
//!
//! ARCHITECTURE.md has the map of the modules, what each may depend on, and where to change what.

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
pub mod plan;
pub mod secret;
pub mod status;
pub mod store;
pub mod terminal;

// Crates of this workspace, under the names that this crate and its tests use for them.
pub use blooio_simulator as simulator;
pub use exporter_web as web;
use exporter_web::{paths, privacy};
