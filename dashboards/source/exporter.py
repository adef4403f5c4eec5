"""Whether the exporter sees everything, how soon, and at what cost."""

from rules import AGE

from . import common as c
from . import ids
from .grafana import Dashboard, Field, Query, Row, Step, heatmap, series, stat, table
from .ids import Exporter as P

T = c.T
RESULTS = {"complete": c.GOOD, "partial": c.WARN, "failed": c.BAD}
QUANTILES = {"p50": ("light-blue", 0.5), "p95": ("blue", 0.95), "p99": ("purple", 0.99)}
KINDS = {"all": "text", "phone": "blue", "group": "purple", "email": "light-blue", "other": "#8e8e8e"}
COLORS = {name: color for name, (color, _) in QUANTILES.items()}
BEHIND_STEPS = c.steps((c.seconds(T.BEHIND_AGE), c.WARN))
WATERMARK = f"time() - min by (account) ({c.sel('blooio_collection_watermark_timestamp_seconds', c.ACCOUNT)})"
DEFERRED = c.sel("blooio_collection_deferred_chats", c.ACCOUNT)
UNREADABLE_SINCE = c.sel("blooio_collection_unreadable_oldest_timestamp_seconds", c.ACCOUNT)
EXPIRY = c.sel("blooio_exporter_web_certificate_expiry_timestamp_seconds", c.JOB)
# The less time is left, the worse.
LEFT_STEPS = (Step(None, c.BAD), Step(c.seconds(T.CERTIFICATE[1][0]), c.WARN), Step(c.seconds(T.CERTIFICATE[0][0]), c.GOOD))


def quantiles(metric, scope):
    return [Query(c.quantile(q, metric, "", scope), name) for name, (_, q) in QUANTILES.items()]


def strip():
    return [
        stat(P.UP, "Scraped", "Whether Prometheus reaches the exporter; of several, the worst.",
             [Query(f"min({c.sel('up', c.JOB)})", "up", instant=True)], unit="none", none="no target", mappings=c.YES_NO, steps=c.UP_STEPS),
        stat(P.SWEEPING, "Newest sweep complete", "Whether the newest sweep of the API completed; of several accounts, the worst.",
             [Query(f"min({c.sel('blooio_up', c.ACCOUNT)})", "complete", instant=True)], unit="none", none="no exporter", mappings=c.YES_NO, steps=c.UP_STEPS),
        stat(P.AGE, "Age of the data", "Time since the newest complete sweep.",
             [Query(c.recorded(AGE, c.ACCOUNT, by=""), "age", instant=True)], unit="s", none="no exporter", steps=c.AGE_STEPS, decimals=0),
        stat(P.BEHIND, "Counted up to", "How long ago the watermark was: everything that was sent before it is counted.",
             [Query(f"max({WATERMARK})", "behind", instant=True)], unit="s", none="no exporter", steps=BEHIND_STEPS, decimals=0),
        stat(P.DEFERRED, "Chats deferred", "Chats that need reading: changed and not read yet, never read, or unreadable.",
             [Query(f"sum({DEFERRED})", "deferred", instant=True)], none="no exporter", steps=c.steps((1, c.WARN)), decimals=0),
        stat(P.WRITABLE, "State writable", "Whether the newest commit succeeded. While it does not, the page stays at the last commit.",
             [Query(f"min({c.sel('blooio_state_writable', c.JOB)})", "writable", instant=True)], unit="none", none="no exporter", mappings=c.YES_NO, steps=c.UP_STEPS),
        stat(P.RELOAD, "Configuration read", "Whether the newest reading of the configuration succeeded, and that of the web configuration where there is one.",
             [Query(f"min({both('last_reload_successful')})", "read", instant=True)], unit="none", none="no exporter",
             mappings=c.YES_NO, steps=c.UP_STEPS),
        stat(P.UPTIME, "Running for", "Since the newest start.",
             [Query(f"time() - max({c.sel('process_start_time_seconds', c.JOB)})", "uptime", instant=True)], unit="dtdurations", none="no exporter",
             steps=(Step(None, c.NOTHING),)),
    ]


def both(what):
    """What is said of the configuration and of the web configuration: two families that differ in nothing but their names."""
    families = {file: c.sel(f"blooio_exporter_{file}_{what}", c.JOB) for file in ("config", "web_config")}
    return " or ".join(f'label_replace({family}, "file", "{file}", "", "")' for file, family in families.items())


def freshness():
    return [
        series(P.FRESHNESS, "Age of the data", "Time since the newest complete sweep, with the limits of the alerts.",
               [Query(c.recorded(AGE, c.ACCOUNT, by="account"), "{{account}}")], unit="s", limit="dashed", steps=c.AGE_STEPS, high=120, width=8, legend="list"),
        series(P.WATERMARK, "Distance of the watermark", "Everything that was sent longer ago than this is counted.",
               [Query(WATERMARK, "{{account}}")], unit="s", limit="dashed", steps=BEHIND_STEPS, high=120, width=8, legend="list"),
        series(P.DEFERRED_TREND, "Chats deferred", "Chats that need reading: changed and not read yet, never read, or unreadable.",
               [Query(f"sum by (account) ({DEFERRED})", "{{account}}")], unit="short", width=8, legend="list", decimals=0),
        heatmap(P.DELAY, "From message to page", "From time_sent (time_delivered for deliveries) to the commit that counted it: how fresh the page is.",
                Query(f"sum by (le) (increase({c.sel('blooio_collection_delay_seconds_bucket', c.ACCOUNT)}[$__rate_interval]))"), width=12),
        series(P.SWEEPS, "Sweeps by result", "Sweeps per minute. A sweep is complete when everything its list named was read, and partial when some of it is unreadable or not read in time.",
               [Query(c.per_minute("blooio_collection_sweeps_total", "result", c.ACCOUNT), "{{result}}")], unit="suffix:/min", stack=True,
               fields=c.by_name(RESULTS), calcs=("lastNotNull", "mean"), decimals=1),
    ]


def completeness():
    return [
        series(P.UNREADABLE, "Unreadable chats", "Chats that are listed and whose messages cannot be read. They hold back the watermark and complete sweeps.",
               [Query(f"sum by (reason) ({c.sel('blooio_collection_unreadable_chats', c.ACCOUNT)})", "{{reason}}")], unit="short", width=8,
               legend="list", stack=True, decimals=0, high=1),
        series(P.UNREADABLE_OLDEST, "Unreadable since",
               f"For how long the oldest unreadable chat cannot be read. After {T.UNREADABLE_EXPIRING_AGE} its messages are about to be lost.",
               [Query(f"max by (account) ((time() - {UNREADABLE_SINCE}) * ({UNREADABLE_SINCE} > bool 0))", "{{account}}")], unit="s", width=8,
               legend="list", steps=c.steps((c.seconds(T.UNREADABLE_EXPIRING_AGE), c.BAD)), limit="dashed", high=600),
        series(P.LISTING, "Age of the full listing and of the floor",
               f"Time since the start of the newest complete listing of all chats (limit {T.LISTING_AGE}), and the age of the floor, below which "
               f"messages are forgotten (limit {T.FLOOR_AGE}).",
               [Query(f"time() - max by (account) ({c.sel('blooio_collection_full_listing_timestamp_seconds', c.ACCOUNT)} > 0)", "{{account}} listing"),
                Query(f"time() - max by (account) ({c.sel('blooio_collection_floor_timestamp_seconds', c.ACCOUNT)} > 0)", "{{account}} floor")],
               unit="s", width=8, legend="list", log=True),
    ]


def work():
    return [
        series(P.ODDITIES, "Oddities of the data", "Per minute: counted late, delivered before they were sent, leaving an end state. They are counted all the same.",
               [Query(f"60 * sum(rate({c.sel(metric, c.ACCOUNT)}[$__rate_interval]))", name) for name, metric in (
                   ("late", "blooio_collection_late_messages_total"), ("clock skew", "blooio_clock_skew_messages_total"),
                   ("left an end", "blooio_status_regressions_total"))],
               unit="suffix:/min", width=8, legend="list", decimals=1, high=1),
        series(P.REJECTED, "Not understood", "Per minute: items that could not be used, and values outside the known words.",
               [Query(c.per_minute("blooio_collection_rejected_items_total", "reason", c.ACCOUNT) + " > 0", "rejected: {{reason}}"),
                Query(c.per_minute("blooio_collection_unknown_values_total", "field", c.ACCOUNT), "unknown {{field}}")],
               unit="suffix:/min", width=8, legend="list", decimals=1, high=1),
        series(P.BALANCE, "Balance of the counts", "Accepted minus all that became of the messages: 0 on every page, for every line. Anything else is a fault of the exporter.",
               [Query(balance(), "{{line}}")], unit="short", width=8, legend="list", low=None, decimals=0, calcs=("lastNotNull",),
               steps=(Step(None, c.BAD), Step(0, c.GOOD), Step(1, c.BAD)), defaults=c.BY_LIMIT),
        series(P.CERTIFICATES, "Time until certificates expire", "Of the certificates in the web configuration; empty without TLS. Position counts from 1 in a file.",
               [Query(f"min by (role, position) ({EXPIRY}) - time()", "{{role}} {{position}}")], unit="s", width=8, legend="list", limit="dashed",
               steps=LEFT_STEPS, defaults={"color": c.BY_LIMIT["color"]}, low=None),
        series(P.STARTS, "Starts in an hour", f"Changes of the start time. The alert's limit is {T.RESTARTS}.",
               [Query(f"changes({c.sel('process_start_time_seconds', c.JOB)}[{T.RESTARTS_WINDOW}])", "{{instance}}")], unit="short",
               width=8, legend="list", limit="dashed", steps=c.steps((T.RESTARTS, c.WARN)), high=T.RESTARTS + 1, decimals=0),
    ]


def balance():
    ends = ("delivered", "failed", "cancelled", "unconfirmed")
    terms = [("", "messages_total"), *(("- ", f"{end}_messages_total") for end in ends), ("- ", "open_messages"), ("+ ", "open_history_messages")]
    return " ".join(f"{sign}sum by ({c.BY_LINE}) ({c.sel('blooio_outbound_' + name, c.LINE)})" for sign, name in terms)


def details():
    return [
        series(P.SWEEP_DURATION, "Duration of a sweep", "From its start to its last commit.",
               quantiles("blooio_collection_duration_seconds", c.ACCOUNT), unit="s", width=8, legend="list", fields=c.by_name(COLORS), decimals=2),
        series(P.COMMITS, "Duration of a commit", "A durable commit of what one read changed.",
               quantiles("blooio_state_commit_duration_seconds", c.JOB), unit="s", width=8, legend="list", fields=c.by_name(COLORS), decimals=1),
        series(P.TRACKED, "Tracked messages", "Messages held in the state: open ones, and those that must not be counted again.",
               [Query(f"sum by (account) ({c.sel('blooio_collection_tracked_messages', c.ACCOUNT)})", "{{account}}")], unit="short", width=8, legend="list"),
        series(P.DROPPED, "Series dropped", "Observations per minute that were counted under `overflow`, because a label had too many values.",
               [Query(c.per_minute("blooio_series_dropped_total", "family", c.JOB), "{{family}}")], unit="suffix:/min", width=8, legend="list", decimals=1, high=1),
    ]


def process():
    return [
        series(P.CPU, "Processor", "Share of one core.",
               [Query(f"sum by (instance) (rate({c.sel('process_cpu_seconds_total', c.JOB)}[$__rate_interval]))", "{{instance}}")], unit="percentunit",
               width=6, legend="list", decimals=1),
        series(P.MEMORY, "Memory", "Resident and virtual size.",
               [Query(c.sel("process_resident_memory_bytes", c.JOB), "resident"), Query(c.sel("process_virtual_memory_bytes", c.JOB), "virtual")],
               unit="bytes", width=6, legend="list"),
        series(P.FILES, "Open files", "Of those that the process may open.",
               [Query(f"{c.sel('process_open_fds', c.JOB)} / {c.sel('process_max_fds', c.JOB)}", "{{instance}}")], unit="percentunit", width=6,
               legend="list", decimals=1),
        series(P.STATE, "State on disk", "The state file and its log.",
               [Query(c.sel("blooio_state_size_bytes", c.JOB), "{{instance}}")], unit="bytes", width=6, legend="list"),
        series(P.SCRAPES, "Duration of a scrape", "As Prometheus measures it.",
               [Query(c.sel("scrape_duration_seconds", c.JOB), "{{instance}}")], unit="s", width=8, legend="list"),
        series(P.CHATS, "Chats", "All of the organisation, and by kind those with a message in the trailing window.",
               [Query(f"sum({c.sel('blooio_chats', c.ACCOUNT)})", "all"),
                Query(f"sum by (kind) ({c.sel('blooio_active_chats', c.ACCOUNT)})", "{{kind}}")], unit="short", width=8, legend="list", decimals=0,
               fields=c.by_name(KINDS)),
        series(P.HISTORY, "Open history", "Open messages that were sent before the first start: in no counter.",
               [Query(f"sum by (account) ({c.sel('blooio_outbound_open_history_messages', c.LINE)})", "{{account}}")], unit="short", width=8, legend="list", decimals=0),
        table(P.VERSION, "Builds", "What runs, and since when.",
              [Query(f"1000 * {c.sel('process_start_time_seconds', c.JOB)} * on (job, instance) group_left (version, revision, rustc) {c.sel('blooio_exporter_build_info', c.JOB)}")],
              [Field("instance", title="Instance", unit="string"), Field("job", title="Job", unit="string"), Field("version", title="Version", unit="string"),
               Field("revision", title="Revision", unit="string"), Field("rustc", title="Compiler", unit="string"), Field("Value", title="Started", unit="dateTimeAsLocal", custom={"width": 185})],
              width=12, height=5, order=("instance", "version", "revision", "rustc", "Value", "job"), none="no exporter"),
        table(P.SETTINGS, "Counting", "First start, trailing window, and since when the configuration (the older one, where there is a web configuration too) has been in force.",
              [Query(f"1000 * min by (account) ({c.sel('blooio_collection_baseline_timestamp_seconds', c.ACCOUNT)})"),
               Query(f"max by (account) ({c.sel('blooio_up', c.ACCOUNT)}) * 0 + scalar(max({c.sel('blooio_recent_window_seconds', c.JOB)}))"),
               Query(f"max by (account) ({c.sel('blooio_up', c.ACCOUNT)}) * 0 + 1000 * scalar(min({both('last_reload_success_timestamp_seconds')}))")],
              [Field("account", title="Account", unit="string"), Field("Value #A", title="Counts since", unit="dateTimeAsLocal", custom={"width": 185}),
               Field("Value #B", title="Window", unit="dtdurations"), Field("Value #C", title="Configuration read", unit="dateTimeAsLocal", custom={"width": 185})],
              width=12, height=5, order=("account", "Value #A", "Value #B", "Value #C"), none="no exporter"),
    ]


def dashboard():
    return Dashboard(
        ids.EXPORTER, c.TITLES[ids.EXPORTER], "Whether the exporter sees everything, how soon, and at what cost.",
        rows=[Row("", strip()), Row("How fresh the page is", freshness()), Row("What it cannot see", completeness()), Row("Its work", work()), Row("Sweeps, commits and state", details(), collapsed=True), Row("The process", process(), collapsed=True)],
        links=c.links(ids.EXPORTER), annotations=c.ANNOTATIONS, variables=c.VARIABLES)
