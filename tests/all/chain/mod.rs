//! The program with what reads its metrics: Prometheus, Alertmanager, dashboards.

pub(crate) mod alerting;
pub(crate) mod dashboards;
pub(crate) mod prometheus;
