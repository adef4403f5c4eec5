"""Whether the exporter sees everything, how soon, and at what cost."""

from mixin.alerts.rules import AGE

from mixin.dashboards import common as c
from mixin import ids
from mixin.dashboards.grafana import Dashboard, Field, Query, Row, Step, heatmap, series, table, timeline
from mixin.ids import Exporter as P

T = c.T
# Panels that no alert leads to, and that are looked at when something else raised a question.
MORE = (P.COMMITS, P.LAG, P.SWEEPS, P.TAKEOVERS)
RESULTS = {"complete": "super-light-blue", "partial": c.WARN, "failed": c.BAD}
KINDS = {"all": "text", "phone": "blue", "group": "purple", "email": "light-blue", "other": "#8e8e8e"}
WATERMARK = f"time() - min by (account) ({c.sel('blooio_collection_watermark_timestamp_seconds', c.ACCOUNT)})"
DEFERRED = c.sel("blooio_collection_deferred_chats", c.ACCOUNT)
UNREADABLE_SINCE = c.sel("blooio_collection_unreadable_oldest_timestamp_seconds", c.ACCOUNT)
EXPIRY = c.sel("blooio_exporter_web_certificate_expiry_timestamp_seconds", c.JOB)
# The less time is left, the worse.
LEFT_STEPS = (Step(None, c.BAD), Step(c.seconds(T.CERTIFICATE[1][0]) / 86400, c.WARN), Step(c.seconds(T.CERTIFICATE[0][0]) / 86400, c.GOOD))


def strip():
    states = [(c.sel("up", c.JOB), "scraped"), (c.sel("blooio_state_writable", c.JOB), "state written"),
              (f"min by (instance) ({both('last_reload_successful')})", "configuration read")]
    return [timeline(P.HEALTH, "Does it run", "Whether Prometheus reaches the exporter, whether its newest commit succeeded (while none does, the page stays at the last one), and whether the newest "
                     "configuration, and web configuration where there is one, was accepted. Empty: Prometheus has no target.",
                     [Query(expr, "{{instance}} " + what) for expr, what in states], width=24, height=5, mappings=c.HOLDS, steps=c.UP_STEPS)]


def both(what):
    """What is said of the configuration and of the web configuration: two families that differ in nothing but their names."""
    families = {file: c.sel(f"blooio_exporter_{file}_{what}", c.JOB) for file in ("config", "web_config")}
    return " or ".join(f'label_replace({family}, "file", "{file}", "", "")' for file, family in families.items())


def freshness():
    return [
        series(P.FRESHNESS, "Age of the data", "Time since the newest complete sweep, with the limits of the alerts.",
               [Query(c.recorded(AGE, c.ACCOUNT, by=c.BY_ACCOUNT) + " / 60", "{{account}}")], unit="suffix: min", limit="dashed", steps=c.AGE_MINUTES, high=6, decimals=0, width=8, legend="list"),
        series(P.WATERMARK, "Distance of the watermark", "Everything that was sent longer ago than this is counted.",
               [Query(f"({WATERMARK}) / 60", "{{account}}"), Query(f"sum by (account) ({DEFERRED})", "{{account}} chats deferred")],
               unit="suffix: min", limit="dashed", steps=c.steps((c.seconds(T.BEHIND_AGE) / 60, c.WARN)), high=12, decimals=0, width=8, legend="list",
               fields=(Field("/ chats deferred$/", unit="none", regex=True, decimals=0),)),
        heatmap(P.DELAY, "From message to page", "From time_sent (time_delivered for deliveries) to the commit that counted it: how fresh the page is.",
                Query(f"sum by (le) (increase({c.sel('blooio_collection_delay_seconds_bucket', c.ACCOUNT)}[$__rate_interval]))"), width=8),
        series(P.SWEEPS, "Sweeps by result", "Sweeps per minute. A sweep is complete when everything its list named was read, and partial when some of it is unreadable or not read in time.",
               [Query(c.per_minute("blooio_collection_sweeps_total", "result", c.ACCOUNT), "{{result}}")], unit="suffix:/min", stack=True,
               width=24, height=6, fields=c.by_name(RESULTS), calcs=("lastNotNull", "mean"), decimals=1),
    ]


def completeness():
    return [
        series(P.UNREADABLE, "Unreadable chats", "Chats that are listed and whose messages cannot be read, by reason, and for how long the oldest cannot. They hold back the watermark and "
               f"complete sweeps. After {T.UNREADABLE_EXPIRING_AGE} ({c.seconds(T.UNREADABLE_EXPIRING_AGE) / 3600:g} h) messages in them are about to be lost.",
               [Query(f"sum by (reason) ({c.sel('blooio_collection_unreadable_chats', c.ACCOUNT)})", "{{reason}}"),
                Query(f"max by (account) ((time() - {UNREADABLE_SINCE}) * ({UNREADABLE_SINCE} > bool 0)) / 3600", "{{account}} oldest")], unit="none",
               legend="list", decimals=0, high=1, fields=(Field("/ oldest$/", unit="suffix: h", regex=True, decimals=0),)),
        series(P.LISTING, "Age of the full listing and of the floor",
               f"Time since the start of the newest complete listing of all chats (limit {T.LISTING_AGE}), and the age of the floor, below which "
               f"messages are forgotten (limit {T.FLOOR_AGE}).",
               [Query(f"(time() - max by (account) ({c.sel('blooio_collection_full_listing_timestamp_seconds', c.ACCOUNT)} > 0)) / 3600", "{{account}} listing"),
                Query(f"(time() - max by (account) ({c.sel('blooio_collection_floor_timestamp_seconds', c.ACCOUNT)} > 0)) / 3600", "{{account}} floor")],
               unit="suffix: h", legend="list", decimals=0),
    ]


def work():
    return [
        series(P.REJECTED, "Oddities of the data", "Per minute: items that could not be used, values outside the known words, and what was counted although it came late, "
               "was delivered before it was sent, left an end state, or could not be put in its place in a conversation; and series that were dropped, because a label had too many values.",
               [Query(c.per_minute("blooio_collection_rejected_items_total", "reason", c.ACCOUNT) + " > 0", "rejected: {{reason}}"),
                Query(c.per_minute("blooio_collection_unknown_values_total", "field", c.ACCOUNT), "unknown {{field}}"),
                *(Query(f"60 * sum(rate({c.sel(metric, c.ACCOUNT)}[$__rate_interval]))", name) for name, metric in (
                    ("late", "blooio_collection_late_messages_total"), ("clock skew", "blooio_clock_skew_messages_total"),
                    ("left an end", "blooio_status_regressions_total"), ("no place", "blooio_conversation_unplaced_messages_total"))),
                Query(f"60 * sum(rate({c.sel('blooio_series_dropped_total', c.JOB)}[$__rate_interval]))", "series dropped")],
               unit="suffix:/min", decimals=1, high=1),
        series(P.BALANCE, "Balance of the counts", "Accepted minus all that became of the messages: 0 on every page, for every line. Anything else is a fault of the exporter.",
               [Query(f"({balance()}) != 0", "{{line}}")], unit="none", width=6, legend="list", low=None, decimals=0, calcs=("lastNotNull",),
               steps=(Step(None, c.BAD), Step(0, c.GOOD), Step(1, c.BAD)), defaults={**c.BY_LIMIT, "noValue": "balanced"}),
        series(P.CERTIFICATES, "Time until certificates expire", "Of the certificates in the web configuration; empty without TLS. Position counts from 1 in a file.",
               [Query(f"(min by (role, position) ({EXPIRY}) - time()) / 86400", "{{role}} {{position}}")],
               unit="suffix: d", width=6, legend="list", limit="dashed", steps=LEFT_STEPS, decimals=0, low=None, defaults={"noValue": "no TLS"}),
    ]


def balance():
    ends = ("delivered", "failed", "cancelled", "unconfirmed")
    terms = [("", "messages_total"), *(("- ", f"{end}_messages_total") for end in ends), ("- ", "open_messages"), ("+ ", "open_history_messages")]
    return " ".join(f"{sign}sum by ({c.BY_LINE}) ({c.sel('blooio_outbound_' + name, c.LINE)})" for sign, name in terms)


def details():
    return [
        series(P.COMMITS, "Duration of a sweep and of a commit", "95 % of the sweeps, and of the durable commits, took at most this long.",
               [Query(c.quantile(0.95, "blooio_collection_duration_seconds", "", c.ACCOUNT), "sweep"), Query(c.quantile(0.95, "blooio_state_commit_duration_seconds", "", c.JOB), "commit")],
               unit="s", width=8, legend="list", fields=c.by_name({"sweep": "blue", "commit": "purple"}), log=True),
    ]


def process():
    started = f"process_start_time_seconds{{{c.JOB}}}"
    used = [
        ("Started", f"1000 * max by (job, instance) ({started})", "dateTimeAsLocal", None),
        ("Build", f"max by (job, instance, version) ({c.sel('blooio_exporter_build_info', c.JOB)})", "short", 0),
        ("Starts, 1 h", f"max by (job, instance) (changes({started}[{T.RESTARTS_WINDOW}]))", "short", 0),
        ("Processor", f"sum by (job, instance) (rate({c.sel('process_cpu_seconds_total', c.JOB)}[$__rate_interval]))", "percentunit", 1),
        ("Resident", f"max by (job, instance) ({c.sel('process_resident_memory_bytes', c.JOB)})", "bytes", 0),
        ("Virtual", f"max by (job, instance) ({c.sel('process_virtual_memory_bytes', c.JOB)})", "bytes", 0),
        ("Files open", f"max by (job, instance) ({c.sel('process_open_fds', c.JOB)} / {c.sel('process_max_fds', c.JOB)})", "percentunit", 1),
        ("Scrape", f"max by (job, instance) ({c.sel('scrape_duration_seconds', c.JOB)})", "s", 2),
    ]
    return [
        series(P.STATE, "State on disk, and messages in it", f"The state file and its log, and the messages held in it: open ones, and those that must not be counted again. Open history was sent before the "
               f"first start and is in no counter. The alert asks for {T.STATE_TIMES} times the size of a week ago.",
               [Query(c.sel("blooio_state_size_bytes", c.JOB), "{{instance}}"),
                Query(f"sum by (account) ({c.sel('blooio_collection_tracked_messages', c.ACCOUNT)})", "{{account}} messages"),
                Query(f"sum by (account) ({c.sel('blooio_outbound_open_history_messages', c.LINE)})", "{{account}} open history")], unit="bytes", legend="list", decimals=0,
               fields=(Field("/ (messages|open history)$/", unit="none", regex=True, decimals=0),)),
        series(P.CHATS, "Chats", "All of the organisation, and by kind those with a message in the trailing window.",
               [Query(f"sum({c.sel('blooio_chats', c.ACCOUNT)})", "all"),
                Query(f"sum by (kind) ({c.sel('blooio_active_chats', c.ACCOUNT)})", "{{kind}}")], unit="none", legend="list", decimals=0,
               fields=c.by_name(KINDS)),
        table(P.VERSION, "The process", "What runs, since when, and what it uses.", [Query(expr) for _, expr, *_ in used],
              [Field("instance", title="Instance", unit="string"), Field("version", title="Version", unit="string"),
               *(Field(f"Value #{letter}", title=title, unit=unit, decimals=decimals, custom={"width": 185 if title == "Started" else 90})
                 for letter, (title, _, unit, decimals) in zip("ABCDEFGH", used) if title != "Build")],
              width=24, height=5, order=("instance", "version", *(f"Value #{letter}" for letter in "ACDEFGH")), hidden=("job", "Value #B"), none="no exporter"),
        table(P.SETTINGS, "Counting", "First start, trailing window, and since when the configuration (the older one, where there is a web configuration too) has been in force.",
              [Query(f"1000 * min by (account) ({c.sel('blooio_collection_baseline_timestamp_seconds', c.ACCOUNT)})"),
               Query(f"max by (account) ({c.sel('blooio_up', c.ACCOUNT)}) * 0 + scalar(max({c.sel('blooio_recent_window_seconds', c.JOB)}))"),
               Query(f"count by (account) ({c.sel('blooio_line_info', c.ACCOUNT)})"),
               Query(c.sel("blooio_account_info", c.ACCOUNT)),
               Query(f"max by (account) ({c.sel('blooio_up', c.ACCOUNT)}) * 0 + 1000 * scalar(min({both('last_reload_success_timestamp_seconds')}))")],
              [Field("account", title="Account", unit="string"), Field("Value #A", title="Counts since", unit="dateTimeAsLocal", custom={"width": 185}),
               Field("Value #B", title="Window", unit="dtdurations"), Field("Value #C", title="Lines", unit="none", decimals=0),
               Field("Value #E", title="Configuration read", unit="dateTimeAsLocal", custom={"width": 185})],
              width=24, height=5, order=("account", "Value #A", "Value #B", "Value #C", "Value #E"), hidden=("job", "instance", "__name__", "Value #D"), none="no exporter"),
    ]


def webhooks():
    failures = c.sel("blooio_webhook_failures", c.ACCOUNT)
    return [
        series(P.DELIVERIES, "Webhook deliveries", "Per minute: events that the receiver took, by name, and deliveries that it rejected, by reason. An event is a hint of what to read now; no message is "
               f"counted from it. The alert asks for {T.RECEIVER_REJECTED} rejected ones within {T.RECEIVER_WINDOW}. Empty while the receiver is off.",
               [Query(c.per_minute("blooio_webhook_events_total", "event", c.ACCOUNT) + " > 0", "{{event}}"),
                Query(c.per_minute("blooio_webhook_rejected_total", "reason", c.ACCOUNT) + " > 0", "rejected: {{reason}}"),
                Query(f"(time() - max by (account) ({c.sel('blooio_webhook_last_event_timestamp_seconds', c.ACCOUNT)})) / 60", "{{account}} since the last")],
               unit="suffix:/min", width=8, legend="list", decimals=1, high=1,
               fields=(Field("/ since the last$/", unit="suffix: min", regex=True, decimals=0), Field("/^rejected: /", color=c.BAD, regex=True)), defaults={"noValue": "no receiver"}),
        series(P.MISSED, "Events that never arrived", f"Messages and outcomes per minute that polling found and no event announced. They are counted all the same. The alert asks for {T.FEED_MESSAGES} messages within {T.FEED_WINDOW}. While a feed is not trusted, the exporter polls as if there were none.",
               [Query(c.per_minute("blooio_webhook_missed_messages_total", "kind", c.ACCOUNT) + " > 0", "{{kind}}"),
                Query(f"min by (account) ({c.sel('blooio_webhook_feed_trusted', c.ACCOUNT)})", "{{account}} feed trusted")],
               unit="suffix:/min", width=8, legend="list", decimals=1, high=1,
               fields=(Field("/ feed trusted$/", unit="none", regex=True, decimals=0),), defaults={"noValue": "no receiver"}),
        series(P.LAG, "Delay of webhooks", "From the time that the API gives a message or its delivery to the arrival of the event: half, and 95 %, were faster.",
               [Query(c.quantile(0.5, "blooio_webhook_lag_seconds", "account", c.ACCOUNT), "{{account}} p50"),
                Query(c.quantile(0.95, "blooio_webhook_lag_seconds", "account", c.ACCOUNT), "{{account}} p95")], unit="s",
               width=8, legend="list", decimals=1),
        series(P.WEBHOOKS, "Failures of your receivers", f"Deliveries within {T.WEBHOOK_WINDOW} that your own receivers did not take, as GET /webhooks counts them. Empty where the key may not list webhooks.",
               [Query(f"max by (account, webhook) ({failures} - {failures} offset {T.WEBHOOK_WINDOW})", "{{account}} {{webhook}}"),
                Query(f"(time() - max by (account, webhook) ({c.sel('blooio_webhook_last_triggered_timestamp_seconds', c.ACCOUNT)})) / 3600", "{{account}} {{webhook}} called"),
                Query(f"max by (account, webhook) ({c.sel('blooio_webhook_active', c.ACCOUNT)}) == 0", "{{account}} {{webhook}} inactive")], unit="none",
               width=8, legend="list", decimals=0, high=1, steps=c.steps((T.WEBHOOK_FAILURES, c.WARN)), limit="dashed",
               fields=(Field("/ called$/", unit="suffix: h", regex=True, decimals=0),)),
    ]


def replicas():
    held = c.sel("blooio_exporter_lease_held", c.ACCOUNT)
    return [
        series(P.HOLDERS, "Which replica holds which account", "1 while the replica holds the account. Each account is held by one replica, but for seconds during a takeover. Empty where the state is a file.",
               [Query(f"max by (account, instance) ({held}) > 0", "{{account}} {{instance}}")], unit="none",
               width=24, height=6, legend="list", decimals=0, high=2, defaults={"noValue": "one process"}),
        series(P.TAKEOVERS, "Takeovers", "Leases per minute that began or ended, by reason. Fenced: another replica took the account; expired: the database did not answer in time.",
               [Query(c.per_minute("blooio_exporter_lease_transitions_total", "reason", c.JOB) + " > 0", "{{reason}}"),
                Query(f"60 * sum(rate({c.sel('blooio_state_lost_commits_total', c.JOB)}[$__rate_interval])) > 0", "lost commits"),
                Query(f"max by (account) ({c.sel('blooio_exporter_lease_epoch', c.ACCOUNT)})", "{{account}} takes in all"),
                Query(f"max by (account) ({c.sel('blooio_exporter_lease_expires_timestamp_seconds', c.ACCOUNT)}) - time()", "{{account}} seconds left")], unit="suffix:/min",
               width=8, legend="list", decimals=1, high=1),
    ]


def dashboard():
    return Dashboard(
        ids.EXPORTER, c.TITLES[ids.EXPORTER], "Whether the exporter sees everything, how soon, and at what cost.",
        rows=[Row("", strip()), Row("How fresh the page is", [panel for panel in freshness() if panel.id not in MORE]), Row("What it cannot see", completeness()), Row("Webhooks", [panel for panel in webhooks() if panel.id not in MORE]),
              Row("Replicas", [panel for panel in replicas() if panel.id not in MORE]),
              Row("Its work", [panel for panel in work() + details() + process() if panel.id not in MORE]),
              Row("More", [panel for panel in freshness() + work() + details() + webhooks() + process() + replicas() if panel.id in MORE], collapsed=True)],
        links=c.links(ids.EXPORTER), annotations=c.ANNOTATIONS, variables=c.VARIABLES)
