//! The organisation's own webhooks: how the receivers fare to which Blooio sends.

use std::time::Duration;

use super::{Engine, Note, Now, Recurring};
use crate::api::{ApiError, Fault, Page};
use crate::collect::engine::task::Task;
use crate::domain::{Endpoint, Webhook};

/// When they are first asked for: after what counting needs.
const FIRST: Duration = Duration::from_secs(60);
/// Between two requests for them.
const INTERVAL: Duration = Duration::from_secs(300);
/// The same with a key that may not list them.
const REJECTED: Duration = Duration::from_secs(6 * 3_600);
/// Most of them that are shown: as many as an organisation may have (DOC).
const MOST: usize = 64;

pub(super) fn first() -> Recurring {
    Recurring::Due(FIRST)
}

impl Engine {
    pub(super) fn begin_webhooks(&mut self, now: Now) -> Option<Task> {
        if !self.webhooks.is_due(now.mono) {
            return None;
        }
        self.webhooks = Recurring::Running;
        Some(Task::Webhooks)
    }

    pub(super) fn webhooks_answered(&mut self, page: Page<Webhook>, now: Now) {
        for rejection in &page.rejected {
            self.ledger.record_rejection(Endpoint::ListWebhooks, *rejection);
        }
        let mut webhooks = page.rows;
        webhooks.sort_by(|one, other| one.id.cmp(&other.id));
        webhooks.dedup_by(|one, other| one.id == other.id);
        webhooks.truncate(MOST);
        self.health.webhooks = webhooks;
        self.webhooks = Recurring::Due(now.mono + INTERVAL);
        self.must_publish = true;
    }

    /// A rejected request says nothing of the key's other uses, and is asked again rarely; what was known is forgotten.
    pub(super) fn webhooks_failed(&mut self, error: &ApiError, now: Now) {
        let is_rejected = matches!(error.fault, Fault::Status(401 | 403 | 404));
        if is_rejected {
            self.health.webhooks.clear();
            self.must_publish = true;
            self.notes.push(Note::NoWebhooks);
        } else {
            self.notes.push(Note::Failed(*error));
        }
        self.webhooks = Recurring::Due(now.mono + if is_rejected { REJECTED } else { INTERVAL });
    }
}
