//! The program as a process, or its parts behind real sockets, against the simulator or a server that misbehaves.

pub(crate) mod accounts;
pub(crate) mod attack;
pub(crate) mod backfill;
pub(crate) mod crashes;
pub(crate) mod defaults;
pub(crate) mod doubt;
pub(crate) mod extremes;
pub(crate) mod fault_matrix;
pub(crate) mod feed;
pub(crate) mod hardening;
pub(crate) mod inputs;
pub(crate) mod inspect;
pub(crate) mod migration;
pub(crate) mod output;
pub(crate) mod page;
pub(crate) mod plan;
pub(crate) mod privacy_under_faults;
pub(crate) mod replicas;
pub(crate) mod scenarios;
pub(crate) mod security;
pub(crate) mod soak;
pub(crate) mod startup;
pub(crate) mod status_page;
pub(crate) mod truth;
pub(crate) mod webhooks;
