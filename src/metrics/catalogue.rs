//! Every family of the page: the counters and histograms of `domain::families`, and the gauges declared here.
//!
//! A name or a meaning is a contract with dashboards and alerts. The help text becomes the page's `# HELP` and
//! `docs/metrics.md`.

use crate::domain::{Family, Group, Kind};

/// A chapter of the catalogue.
#[derive(Debug)]
pub struct Chapter {
    /// The heading of the chapter.
    pub title: &'static str,
    /// The counters and histograms that it begins with, if there are any.
    pub groups: &'static [Group],
    /// Its gauges, and what counts the exporter itself, in the page's order.
    pub others: &'static [&'static Family],
}

impl Chapter {
    /// Its families, in the page's order.
    pub fn families(&self) -> impl Iterator<Item = &'static Family> {
        let durable = self.groups.iter().flat_map(|group| group.counters().chain(group.histograms()));
        durable.chain(self.others.iter().copied())
    }
}

macro_rules! families {
    ($($title:literal $($group:ident)? { $($id:ident $kind:ident $name:literal [$($label:literal),*] $help:literal;)+ })+) => {
        $($(
            #[doc = $help]
            pub static $id: Family =
                Family { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };
        )+)+

        /// Every chapter of the catalogue, in the page's order.
        pub static CHAPTERS: &[Chapter] = &[$(Chapter {
            title: $title,
            groups: &[$(Group::$group)?],
            others: &[$(&$id),+],
        }),+];
    };
}

families! {
    "Messages" Messages {
        OPEN Gauge "blooio_outbound_open_messages" ["account", "line", "status"]
            "Outbound messages without an end yet.";
        OPEN_OLDEST_AGE Gauge "blooio_outbound_open_oldest_age_seconds" ["account", "line", "status"]
            "Age of the oldest open outbound message at the moment of the scrape; 0 when there is none.";
        OPEN_HISTORY Gauge "blooio_outbound_open_history_messages" ["account", "line"]
            "Open outbound messages that were sent before the first start: in no counter, now or when they end.";
        OVERDUE Gauge "blooio_outbound_overdue_messages" ["account", "line"]
            "Outbound messages that are not handed over and were accepted more than 15 minutes ago.";
        RECENT Gauge "blooio_recent_messages" ["account", "line", "direction", "protocol", "status"]
            "Messages whose time_sent lies in the trailing window, by what is known of them now.";
        RECENT_WINDOW Gauge "blooio_recent_window_seconds" []
            "Length of the trailing window.";
    }
    "Conversations" Conversations {
        UNANSWERED_CHATS Gauge "blooio_unanswered_chats" ["account", "line", "streak"]
            "Chats within the retention whose newest message is ours, by the length of that streak of turns.";
    }
    "Chats" {
        CHATS_TOTAL Gauge "blooio_chats" ["account"]
            "Chats of the organisation.";
        ACTIVE_CHATS Gauge "blooio_active_chats" ["account", "kind"]
            "Chats with a message in the trailing window.";
    }
    "Devices and lines" Devices {
        PROBE_SUCCESS Gauge "blooio_device_probe_success" ["account", "line"]
            "1 when the newest probe of the line's device was answered, 0 when it failed. A rejected key, a missing chat or a rate limit leaves it as it was.";
        PROBE_LAST Gauge "blooio_device_probe_last_timestamp_seconds" ["account", "line"]
            "When the line's device was last probed, whatever came of it.";
        LINE_ACTIVE Gauge "blooio_line_active" ["account", "line"]
            "is_active of GET /me/numbers, where the API serves it.";
        LINE_LAST_ACTIVE Gauge "blooio_line_last_active_timestamp_seconds" ["account", "line"]
            "last_active of GET /me/numbers, where the API serves it.";
    }
    "The API as seen by us" Api {
        CLOCK_OFFSET Gauge "blooio_api_clock_offset_seconds" ["account"]
            "Server's clock minus ours, as used; absent before the first answer that is believed.";
        BUDGET Gauge "blooio_api_budget_requests_per_second" ["account"]
            "The configured ceiling of requests.";
    }
    "Collection" Collection {
        UP Gauge "blooio_up" ["account"]
            "1 when the newest sweep that ended was complete, that is, when everything its list named was read and is stored; else 0.";
        LAST_SUCCESS Gauge "blooio_collection_last_success_timestamp_seconds" ["account"]
            "End of the newest complete sweep; 0 before the first.";
        WATERMARK Gauge "blooio_collection_watermark_timestamp_seconds" ["account"]
            "Every message that the API shows with time_sent at or before this is counted.";
        BASELINE Gauge "blooio_collection_baseline_timestamp_seconds" ["account"]
            "The first start: messages sent at or before this are history and in no counter. 0 before the first answer.";
        FULL_LISTING Gauge "blooio_collection_full_listing_timestamp_seconds" ["account"]
            "Start of the newest complete listing of all chats; 0 before the first.";
        FLOOR Gauge "blooio_collection_floor_timestamp_seconds" ["account"]
            "Messages sent at or before this are never counted any more.";
        UNREADABLE Gauge "blooio_collection_unreadable_chats" ["account", "reason"]
            "Chats that are listed and cannot be read: they hold the watermark, and count as deferred.";
        UNREADABLE_OLDEST Gauge "blooio_collection_unreadable_oldest_timestamp_seconds" ["account"]
            "Since when the oldest of them cannot be read; 0 when there is none.";
        DEFERRED Gauge "blooio_collection_deferred_chats" ["account"]
            "Chats known to need reading: changed and not read yet, unreadable, never read, or hidden by an unusable row of the list.";
        TRACKED Gauge "blooio_collection_tracked_messages" ["account"]
            "Messages held in the state: open ones and those that must not be counted again.";
        COMMIT_DURATION Histogram "blooio_state_commit_duration_seconds" []
            "Duration of a durable commit.";
        STATE_SIZE Gauge "blooio_state_size_bytes" []
            "Size of the state file and its log.";
        STATE_WRITABLE Gauge "blooio_state_writable" []
            "1 when the newest commit of every account succeeded; while it is 0 the page stays at the last commit.";
        SERIES_DROPPED Counter "blooio_series_dropped" ["family"]
            "Observations counted under the value overflow because a label had too many values.";
    }
    "Webhooks" Webhooks {
        WEBHOOK_EVENTS Counter "blooio_webhook_events" ["account", "event"]
            "Events received by webhook and queued, by the event's name or other. An event is a hint of what to read: no message is counted from it. Present where webhooks are received.";
        WEBHOOK_REJECTED Counter "blooio_webhook_rejected" ["account", "reason"]
            "Webhook deliveries that were not taken; account is none where the path is no account's. Present where webhooks are received.";
        WEBHOOK_LAST_EVENT Gauge "blooio_webhook_last_event_timestamp_seconds" ["account"]
            "When the newest event was received by webhook; absent before the first.";
        WEBHOOK_FAILURES Gauge "blooio_webhook_failures" ["account", "webhook"]
            "failure_count of GET /webhooks: deliveries to this receiver of yours that it did not take. Whether it ever falls is not documented. Absent where the key may not list webhooks.";
        WEBHOOK_LAST_TRIGGERED Gauge "blooio_webhook_last_triggered_timestamp_seconds" ["account", "webhook"]
            "last_triggered of GET /webhooks: when Blooio last called this receiver of yours.";
        WEBHOOK_ACTIVE Gauge "blooio_webhook_active" ["account", "webhook"]
            "is_active of GET /webhooks: 0 once the webhook is deprecated.";
        FEED_TRUSTED Gauge "blooio_webhook_feed_trusted" ["account"]
            "1 while webhook events have announced for an hour everything that polling found, so that polling is less frequent; else 0. Present where webhooks are configured.";
    }
    "Names of your own" {
        ACCOUNT_INFO Gauge "blooio_account_info" ["account"]
            "Always 1; its further labels are those that the configuration gives the account, to route and group by.";
        LINE_INFO Gauge "blooio_line_info" ["account", "line"]
            "Always 1; its further labels are those that the configuration gives the line, to route and group by.";
    }
    "The exporter" {
        BUILD_INFO Gauge "blooio_exporter_build_info" ["version", "revision", "rustc"]
            "What this program was built from; always 1.";
        RELOAD_SUCCESSFUL Gauge "blooio_exporter_config_last_reload_successful" []
            "1 when the newest reading of the configuration succeeded.";
        RELOAD_TIMESTAMP Gauge "blooio_exporter_config_last_reload_success_timestamp_seconds" []
            "When the configuration was last read with success.";
        WEB_RELOAD_SUCCESSFUL Gauge "blooio_exporter_web_config_last_reload_successful" []
            "1 when the newest reading of the web configuration file and of what it names succeeded, 0 while an older one is in force; present where there is such a file.";
        WEB_RELOAD_TIMESTAMP Gauge "blooio_exporter_web_config_last_reload_success_timestamp_seconds" []
            "When the web configuration file was last read with success; present where there is such a file.";
        CERTIFICATE_EXPIRY Gauge "blooio_exporter_web_certificate_expiry_timestamp_seconds" ["role", "position"]
            "When a certificate of the web configuration expires; role is server or client_ca, position counts from 1 in its file.";
        CERTIFICATE_NOT_AFTER Gauge "blooio_exporter_web_tls_certificate_not_after_timestamp_seconds" []
            "When the certificate that the server shows expires, its issuers left aside; present where TLS is enabled.";
    }
    "Replicas" {
        LEASE_HELD Gauge "blooio_exporter_lease_held" ["account"]
            "1 while this replica holds the account, else 0. Present where replicas share the accounts, like every family of this chapter.";
        LEASE_EPOCH Gauge "blooio_exporter_lease_epoch" ["account"]
            "How often the lease of the account was taken, by any replica.";
        LEASE_EXPIRES Gauge "blooio_exporter_lease_expires_timestamp_seconds" ["account"]
            "Until when this replica relies on the lease of an account that it holds.";
        LEASE_TRANSITIONS Counter "blooio_exporter_lease_transitions" ["reason"]
            "Leases that this process took, and how they ended: released, fenced because another replica took the account, or expired because the database did not answer in time.";
        LOST_COMMITS Counter "blooio_state_lost_commits" []
            "How often the database had lost commits that it had acknowledged, as after a failover, and everything of an account was committed again.";
    }
    "The process" {
        PROCESS_CPU Counter "process_cpu_seconds" []
            "Total user and system CPU time spent in seconds.";
        PROCESS_OPEN_FDS Gauge "process_open_fds" []
            "Number of open file descriptors.";
        PROCESS_MAX_FDS Gauge "process_max_fds" []
            "Maximum number of open file descriptors.";
        PROCESS_VIRTUAL_MEMORY Gauge "process_virtual_memory_bytes" []
            "Virtual memory size in bytes.";
        PROCESS_RESIDENT_MEMORY Gauge "process_resident_memory_bytes" []
            "Resident memory size in bytes.";
        PROCESS_START_TIME Gauge "process_start_time_seconds" []
            "Start time of the process since unix epoch in seconds.";
    }
}

/// Every family, in the page's order.
pub fn all() -> impl Iterator<Item = &'static Family> {
    CHAPTERS.iter().flat_map(Chapter::families)
}
