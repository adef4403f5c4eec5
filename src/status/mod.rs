//! The status page: how each account and line is doing, for a person who opens the exporter's address in a browser.
//!
//! [`assess`] decides what the page says, from the committed views and from [`history`]; `signs` holds the early warnings;
//! [`render`] turns that [`content`] into HTML; [`reference`](mod@reference) is the page that explains the metrics. It shows no configuration, no contact, no text and no id.
//!
//! What does not belong here: metrics (`metrics`), and thresholds that no alert has (the alerts and this page share theirs).

pub mod assess;
pub mod content;
mod figures;
pub mod history;
pub mod reference;
pub mod render;
mod signs;
mod thresholds;
mod webhooks;
