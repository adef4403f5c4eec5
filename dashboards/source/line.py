"""One line (or some): what happens to its messages, and why."""

from rules import ENDED, FALLBACK, MEASURED, ROUTED, SEND_FAILED, SLOW

from . import common as c
from . import ids
from .grafana import Dashboard, Query, Row, bars, heatmap, series, stat, timeline
from .ids import Line as P

T = c.T
OUTCOMES = {"accepted": "text", "sent": "light-blue", "delivered": "green", "failed": "red", "cancelled": "#6e6e6e", "unconfirmed": "orange"}
FAMILIES = {
    "accepted": "blooio_outbound_messages_total",
    "sent": "blooio_outbound_sent_messages_total",
    "delivered": "blooio_outbound_delivered_messages_total",
    "failed": "blooio_outbound_failed_messages_total",
    "cancelled": "blooio_outbound_cancelled_messages_total",
    "unconfirmed": "blooio_outbound_unconfirmed_messages_total",
}
REASONS = {
    "not_on_imessage": "blue", "unreachable": "orange", "timeout": "yellow", "rejected": "red", "rate_limited": "purple",
    "device_offline": "dark-red", "attachment": "light-blue", "none": "#6e6e6e", "other": "#8e8e8e",
}
WINDOWS = {"5m": "light-blue", "30m": "blue", "1h": "purple", "6h": "#8e8e8e"}
LISTED = c.sel("blooio_line_active", c.LINE)


def strip():
    hour = "over the chosen lines, of the last hour"
    return [
        stat(P.DEVICE, "Device", "Whether the newest probe of the device was answered; of several lines, the worst.",
             [Query(c.recorded("blooio_device_probe_success", op="min", by=""), "device", instant=True)], unit="none", none="not probed",
             mappings=c.REACHED, steps=c.UP_STEPS),
        stat(P.LISTED, "Listed by Blooio", "is_active as Blooio lists the line; of several lines, the worst.",
             [Query(f"min({LISTED})", "active", instant=True)], unit="none", none="not listed", mappings=c.ACTIVE, steps=c.UP_STEPS),
        stat(P.FAILURE_SHARE, "Failed, 1 h", f"Share of failures among the messages that ended, {hour}.",
             [Query(c.share(SEND_FAILED + ":increase1h", ENDED + ":increase1h"), "failed", instant=True)], unit="percentunit",
             none="none ended", steps=c.FAILURE_STEPS, decimals=1),
        stat(P.LATENCY, "p95 latency, 1 h", "95 % of the iMessage deliveries of the last hour were faster than this; of several lines, the slowest.",
             [Query(f"max({c.sel('account_line_protocol:blooio_delivery_latency_seconds:p95_rate1h', c.LINE, c.IMESSAGE)})", "p95", instant=True)],
             unit="s", none="no delivery", steps=c.LATENCY_STEPS, decimals=1),
        stat(P.OLDEST, "Oldest waiting", "Age of the oldest message that is pending or queued.",
             [Query(f"max({c.sel('blooio_outbound_open_oldest_age_seconds', c.LINE, c.WAITING)})", "age", instant=True)], unit="s",
             none="no line", steps=c.WAIT_STEPS, decimals=1),
        stat(P.WAITING, "Waiting", f"Messages that are pending or queued. Orange above {T.BACKLOG_MESSAGES}.",
             [Query(f"sum({c.sel('blooio_outbound_open_messages', c.LINE, c.WAITING)})", "waiting", instant=True)], none="no line",
             steps=c.steps((T.BACKLOG_MESSAGES, c.WARN)), decimals=0),
        stat(P.FALLBACK_NOW, "Left iMessage, 1 h", f"Share of the messages that went by SMS or RCS, {hour}.",
             [Query(f"sum({c.sel(FALLBACK + ':ratio_rate1h', c.LINE)} * {c.sel(ROUTED + ':increase1h', c.LINE)}) / "
                    f"(sum({c.sel(ROUTED + ':increase1h', c.LINE)}) > 0)", "left", instant=True)],
             unit="percentunit", none="none sent", steps=c.FALLBACK_STEPS, decimals=1),
        stat(P.BUDGET, "Budget left, 30 d", "What is left of the failures that the objective allows in 30 days; of several lines, the least.",
             [Query(c.or_unknown(c.recorded("account_line:blooio_delivery_error_budget:remaining30d", op="min", by="")), "left", instant=True)],
             unit="percentunit", none="no hour yet", mappings=c.NO_HOUR, steps=c.BUDGET_STEPS, decimals=0, links=[c.to_dashboard(ids.OBJECTIVES)]),
    ]


def outcome():
    limits = f"Above {c.FAILURE_WARN:.0%} for hours, or above {c.FAILURE_BAD:.1%} for an hour, somebody is woken."
    return [
        series(P.FUNNEL, "From accepted to delivered",
               "Messages per minute that Blooio accepted, handed over and delivered. Where the lines part, messages wait, fail, or get no receipt.",
               [Query(c.per_minute(FAMILIES[name], "").replace(" by ()", ""), name) for name in ("accepted", "sent", "delivered", "failed")],
               unit="suffix:/min", width=16, fields=c.by_name(OUTCOMES), calcs=("lastNotNull", "mean"), decimals=1),
        bars(P.FUNNEL_TOTAL, "In view", "What became of the messages of the time in view. A message can be accepted before it and end in it.",
             [Query(c.over_range(family, ""), name) for name, family in FAMILIES.items()], width=8, fields=c.by_name(OUTCOMES)),
        series(P.FAILURES, "Failure share by window", f"Share of failures among the messages that ended in each window, of the worst line. {limits}",
               [Query(c.recorded(f"{SEND_FAILED}:ratio_rate{w}", by=""), w) for w in ("5m", "30m", "1h", "6h")], unit="percentunit",
               limit="dashed", steps=c.FAILURE_STEPS, high=0.2, fields=c.by_name(WINDOWS)),
        series(P.REASONS, "Failures by reason", "Messages per minute that ended failed, by the class of their error text.",
               [Query(f"{c.per_minute(FAMILIES['failed'], 'reason')} > 0", "{{reason}}")], unit="suffix:/min", stack=True, bars=True,
               fields=c.by_name(REASONS), calcs=("lastNotNull", "max"), decimals=1, defaults={"noValue": "none failed"}),
    ]


def waiting():
    return [
        series(P.AGES, "Oldest open message by status", "Pending and queued wait for their hand-over: their limits are drawn. Sent may last for days when a "
               "phone is off, and most SMS stay there.",
               [Query(f"max by (status) (max_over_time({c.sel('blooio_outbound_open_oldest_age_seconds', c.LINE, c.WAITING)}[$__rate_interval]))", "{{status}}")], unit="s",
               limit="dashed", steps=c.WAIT_STEPS, high=60, fields=c.by_name(c.STATUSES)),
        series(P.OPEN, "Open messages by status", "Outbound messages without an end yet.",
               [Query(f"sum by (status) ({c.sel('blooio_outbound_open_messages', c.LINE)})", "{{status}}")], unit="short", stack=True,
               fields=c.by_name(c.STATUSES), decimals=0),
        timeline(P.DEVICES, "Device", "Whether the newest probe was answered.",
                 [Query(c.recorded("blooio_device_probe_success", op="min"), "{{line}}")], height=6, mappings=c.REACHED, steps=c.UP_STEPS),
        series(P.PROBES, "Probes by answer", "Probes in each step: 502 is a failed round trip to the device, 503 no active number.",
               [Query(f"sum by (code) (increase({c.sel('blooio_device_probes_total', c.LINE)}[$__rate_interval])) > 0", "{{code}}")], unit="short",
               bars=True, stack=True, height=6, fields=c.by_name(c.CODES), calcs=("lastNotNull", "max"), decimals=0),
    ]


def speed():
    steps = {"p50": "light-blue", "p95": "blue", "p99": "purple"}
    return [
        series(P.QUANTILES, "Delivery latency of iMessages", f"Of the last 5 minutes; of several lines, the slowest. The objective's limit is {T.LATENCY_SECONDS:g} s.",
               [Query(f"max({c.sel(f'account_line_protocol:blooio_delivery_latency_seconds:{name}_rate5m', c.LINE, c.IMESSAGE)})", name) for name in steps],
               unit="s", limit="dashed", steps=c.LATENCY_STEPS, fields=c.by_name(steps), log=True),
        heatmap(P.HEATMAP, "Deliveries by latency", "Each column is a moment; the lighter a cell, the more deliveries took that long.",
                Query(f"sum by (le) (increase({c.sel('blooio_delivery_latency_seconds_bucket', c.LINE, c.IMESSAGE)}[$__rate_interval]))")),
    ]


def traffic():
    return [
        c.traffic("outbound", P.OUTBOUND, width=8),
        c.traffic("inbound", P.INBOUND, width=8),
        series(P.FALLBACK, "Share that left iMessage", f"Share of the messages that went by SMS or RCS, of the worst line. The alert's limit is {T.FALLBACK_RATIO:.0%}, "
               "and three times the share of a week ago.",
               [Query(c.recorded(f"{FALLBACK}:ratio_rate{w}", by=""), w) for w in ("30m", "1h", "6h")], unit="percentunit", limit="dashed", width=8, height=7,
               legend="list", steps=c.FALLBACK_STEPS, high=0.3, fields=c.by_name(WINDOWS)),
    ]


def more():
    return [
        series(P.SLOW, "Share of slow deliveries", f"Share of the iMessage deliveries that took longer than {T.LATENCY_SECONDS:g} s, of the worst line.",
               [Query(c.recorded(f"{SLOW}:ratio_rate{w}", by=""), w) for w in ("5m", "1h")], unit="percentunit", limit="dashed", width=12, legend="list",
               steps=c.steps((1 - T.LATENCY_OBJECTIVE, c.WARN)), high=0.1),
        series(P.ENDS, "Deliveries of the last hour", "How many messages the shares on this page are made of: few make a share jump.",
               [Query(f"sum({c.sel(ENDED + ':increase1h', c.LINE)})", "ended"), Query(f"sum({c.sel(MEASURED + ':increase1h', c.LINE)})", "iMessages delivered")],
               unit="short", width=12, legend="list", decimals=0),
        series(P.MIX, "Status of the messages of the last hour", "Outbound messages of the exporter's trailing window, by what is known of them now.",
               [Query(f"sum by (status) ({c.sel('blooio_recent_messages', c.LINE, c.OUTBOUND)})", "{{status}}")], unit="short", stack=True,
               fields=c.by_name(c.STATUSES), calcs=("lastNotNull",)),
        series(P.LAST_ACTIVE, "Time since Blooio saw the line", "Since last_active, where the API serves it.",
               [Query(f"time() - max by ({c.BY_LINE}) ({c.sel('blooio_line_last_active_timestamp_seconds', c.LINE)})", "{{line}}")], unit="s", width=12,
               legend="list"),
    ]


def dashboard():
    return Dashboard(
        ids.LINE, c.TITLES[ids.LINE], "What happens to the messages of a line, and why.",
        rows=[
            Row("", strip()),
            Row("What becomes of its messages", outcome()),
            Row("What waits", waiting()),
            Row("How fast", speed()),
            Row("Traffic", traffic()),
            Row("More", more(), collapsed=True),
        ],
        links=c.links(ids.LINE), annotations=c.ANNOTATIONS, variables=c.VARIABLES)
