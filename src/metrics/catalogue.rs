//! Every family of the product, declared once: its name, type, labels and help.
//!
//! A name or a meaning here is a contract with dashboards and alerts. The help text becomes the page's
//! `# HELP` and `docs/metrics.md`. Buckets stand with the durable histograms, in `domain::totals`.

/// A family's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, across restarts too (the `process_*` ones excepted).
    Counter,
    /// A momentary value.
    Gauge,
    /// Classic buckets, a sum and a count.
    Histogram,
}

/// A metric family.
#[derive(Debug)]
pub struct Family {
    /// Its name, without the `_total` of a counter.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Names of its labels, in the page's order.
    pub labels: &'static [&'static str],
    /// What it means, in a sentence or two.
    pub help: &'static str,
}

impl Family {
    /// The name that its samples carry and that queries use; histograms add their suffixes to it.
    pub fn sample_name(&self) -> String {
        match self.kind {
            Kind::Counter => format!("{}_total", self.name),
            Kind::Gauge | Kind::Histogram => self.name.to_owned(),
        }
    }
}

/// A chapter of the catalogue.
#[derive(Debug)]
pub struct Chapter {
    /// Its heading.
    pub title: &'static str,
    /// Its families, in the page's order.
    pub families: &'static [&'static Family],
}

macro_rules! families {
    ($($chapter:ident $title:literal { $($id:ident $kind:ident $name:literal [$($label:literal),*] $help:literal;)+ })+) => {
        $($(
            #[doc = $help]
            pub static $id: Family =
                Family { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };
        )+)+

        /// The whole catalogue.
        pub static CHAPTERS: &[Chapter] = &[$(Chapter { title: $title, families: &[$(&$id),+] }),+];
    };
}

families! {
    MESSAGES "Messages" {
        INBOUND Counter "blooio_inbound_messages" ["account", "line", "protocol"]
            "Inbound messages, each counted once, when first observed.";
        OUTBOUND Counter "blooio_outbound_messages" ["account", "line"]
            "Outbound messages that Blooio accepted, each counted once, when first observed.";
        SENT Counter "blooio_outbound_sent_messages" ["account", "line", "protocol"]
            "Outbound messages first known to be handed over (sent or delivered), under the protocol known then.";
        DELIVERED Counter "blooio_outbound_delivered_messages" ["account", "line", "protocol"]
            "Outbound messages that ended delivered.";
        FAILED Counter "blooio_outbound_failed_messages" ["account", "line", "protocol", "reason"]
            "Outbound messages that ended failed, by the class of their error text.";
        CANCELLED Counter "blooio_outbound_cancelled_messages" ["account", "line"]
            "Outbound messages that ended cancelled.";
        UNCONFIRMED Counter "blooio_outbound_unconfirmed_messages" ["account", "line", "protocol", "status"]
            "Outbound messages given up: still without an end at the horizon, or gone from the API. The status is the last one seen.";
        FALLBACK Counter "blooio_outbound_fallback_messages" ["account", "line", "protocol"]
            "Outbound messages first known to travel by sms, rcs or non-imessage instead of iMessage.";
        OPEN Gauge "blooio_outbound_open_messages" ["account", "line", "status"]
            "Outbound messages without an end yet.";
        OPEN_OLDEST_AGE Gauge "blooio_outbound_open_oldest_age_seconds" ["account", "line", "status"]
            "Age of the oldest open outbound message at the moment of the scrape; 0 when there is none.";
        OPEN_HISTORY Gauge "blooio_outbound_open_history_messages" ["account", "line"]
            "Open outbound messages that were sent before the first start: in no counter, now or when they end.";
        LATENCY Histogram "blooio_delivery_latency_seconds" ["account", "line", "protocol"]
            "From time_sent to time_delivered of outbound messages that ended delivered; includes the wait in Blooio's queue.";
        CLOCK_SKEW Counter "blooio_clock_skew_messages" ["account"]
            "Deliveries whose latency was negative: observed as 0.";
        REGRESSIONS Counter "blooio_status_regressions" ["account"]
            "Messages that the API showed leaving an end state; the first end stands.";
        RECENT Gauge "blooio_recent_messages" ["account", "line", "direction", "protocol", "status"]
            "Messages whose time_sent lies in the trailing window, by what is known of them now.";
        RECENT_WINDOW Gauge "blooio_recent_window_seconds" []
            "Length of the trailing window.";
    }
    CHATS "Chats" {
        CHATS_TOTAL Gauge "blooio_chats" ["account"]
            "Chats of the organisation.";
        ACTIVE_CHATS Gauge "blooio_active_chats" ["account", "kind"]
            "Chats with a message in the trailing window.";
    }
    DEVICES "Devices and lines" {
        PROBE_SUCCESS Gauge "blooio_device_probe_success" ["account", "line"]
            "1 when the newest probe of the line's device was answered, 0 when it failed. A refused key, a missing chat or a rate limit leaves it as it was.";
        PROBES Counter "blooio_device_probes" ["account", "line", "code"]
            "Device probes by outcome: 502 is a failed round trip to the device, 503 no active number.";
        PROBE_DURATION Histogram "blooio_device_probe_duration_seconds" ["account"]
            "Duration of a device probe.";
        LINE_ACTIVE Gauge "blooio_line_active" ["account", "line"]
            "is_active of GET /me/numbers, where the API serves it.";
        LINE_LAST_ACTIVE Gauge "blooio_line_last_active_timestamp_seconds" ["account", "line"]
            "last_active of GET /me/numbers, where the API serves it.";
    }
    API "The API as seen by us" {
        REQUESTS Counter "blooio_api_requests" ["account", "endpoint", "code"]
            "Attempts of requests, retries and pages included; code is the HTTP status, or timeout, connection or body where there was no usable response.";
        REQUEST_DURATION Histogram "blooio_api_request_duration_seconds" ["account", "endpoint"]
            "Duration of a request until its body is read.";
        THROTTLED Counter "blooio_api_throttled_seconds" ["account", "cause"]
            "Time spent waiting before requests, for the budget or because the API asked for a pause.";
        WORK_REQUESTS Counter "blooio_api_work_requests" ["account", "work"]
            "The same attempts as blooio_api_requests_total, by what they were for: where the budget goes.";
        CLOCK_OFFSET Gauge "blooio_api_clock_offset_seconds" ["account"]
            "Server's clock minus ours, as used; absent before the first answer that is believed.";
        BUDGET Gauge "blooio_api_budget_requests_per_second" ["account"]
            "The configured ceiling of requests.";
    }
    COLLECTION "Collection" {
        UP Gauge "blooio_up" ["account"]
            "1 when the newest sweep that ended was complete, that is, when everything its list named was read; else 0.";
        SWEEPS Counter "blooio_collection_sweeps" ["account", "result"]
            "Sweeps by result: partial ones could not read, or not in time, everything that the list named.";
        SWEEP_DURATION Histogram "blooio_collection_duration_seconds" ["account"]
            "Duration of a sweep, from its list until everything that the list named is read.";
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
        DELAY Histogram "blooio_collection_delay_seconds" ["account"]
            "From time_sent (time_delivered for deliveries) to the commit that counted it: how fresh the page is.";
        LATE Counter "blooio_collection_late_messages" ["account"]
            "Messages counted although their time_sent lay before the watermark.";
        REJECTED Counter "blooio_collection_rejected_items" ["account", "endpoint", "reason"]
            "Single items that could not be used; the rest of their page was.";
        UNKNOWN_VALUES Counter "blooio_collection_unknown_values" ["account", "field"]
            "Values outside the known enums.";
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
    EXPORTER "The exporter" {
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
    }
    PROCESS "The process" {
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
    CHAPTERS.iter().flat_map(|chapter| chapter.families.iter().copied())
}
