"""Do messages arrive, how fast, by which protocol, and which line is ill: within ten seconds."""

from . import common as c
from . import ids
from .grafana import Dashboard, Field, Query, Row, Step, heatmap, series, stat, table, timeline
from .ids import Overview as P
from rules import AGE, API_ERRORS, ENDED, FALLBACK, SEND_FAILED

T = c.T
P95 = "account_line_protocol:blooio_delivery_latency_seconds:p95_rate1h"
BUDGET = "account_line:blooio_delivery_error_budget:remaining30d"
OLDEST = c.sel("blooio_outbound_open_oldest_age_seconds", c.LINE, c.WAITING)
PROBED = c.sel("blooio_device_probe_success", c.LINE)


def worst(expr):
    """The line that stands out, with its name."""
    return [Query(f"topk(1, {expr})", "{{line}}", instant=True)]


def strip():
    objective = f"{T.DELIVERY_OBJECTIVE * 100:g} %"
    return [
        stat(P.FIRING, "Alerts firing", "How many alerts of the chosen account and lines fire now. Which ones: the table below.",
             [Query(f"count({c.firing(c.label('severity', '=', name))})", name, instant=True) for name in c.SEVERITIES],
             none="0", name=True, steps=c.steps((1, c.BAD)),
             fields=[Field("warning", steps=c.steps((1, c.WARN)))]),
        stat(P.LINES, "Devices reached", "Lines whose device answered the newest probe, and those whose did not.",
             [Query(f"sum({c.recorded('blooio_device_probe_success', op='min')}) or vector(0)", "reached", instant=True),
              Query(f"count({c.recorded('blooio_device_probe_success', op='min')} == 0) or vector(0)", "not reached", instant=True)],
             name=True, none="not probed", steps=c.COUNT_STEPS, fields=[Field("reached", steps=c.steps())]),
        stat(P.OLDEST, "Oldest waiting message",
             "The line whose oldest message has waited longest for its hand-over (pending or queued). Hand-over takes seconds.",
             worst(f"max by ({c.BY_LINE}) ({OLDEST}) > 0"), unit="s", none="none waits", name=True, steps=c.WAIT_STEPS, decimals=1),
        stat(P.FAILURE_SHARE, "Failing most, 1 h",
             "The line with the highest share of failures among the messages that ended in the last hour.",
             worst(f"{c.recorded(SEND_FAILED + ':ratio_rate1h')} > 0"), unit="percentunit", none="no failure", name=True,
             steps=c.FAILURE_STEPS, decimals=1),
        stat(P.LATENCY, "Slowest p95 latency, 1 h",
             "The line whose iMessages took longest: 95 % of its deliveries of the last hour were faster than this.",
             worst(f"max by ({c.BY_LINE}) ({c.sel(P95, c.LINE, c.IMESSAGE)})"),
             unit="s", none="no delivery", name=True, steps=c.LATENCY_STEPS, decimals=1),
        stat(P.DELIVERY, f"Delivered, 3 d (goal {objective})",
             f"Share of the messages that ended in the last 3 days and did not fail, over all chosen lines. The objective is {objective}.",
             [Query(f"1 - {c.share(SEND_FAILED + ':increase3d', ENDED + ':increase3d')}", "delivered", instant=True)],
             unit="percentunit", none="none ended", decimals=2,
             steps=(Step(None, c.NOTHING), Step(0, c.BAD), Step(T.DELIVERY_OBJECTIVE, c.GOOD)), links=[c.to_dashboard(ids.OBJECTIVES)]),
        stat(P.BUDGET, "Error budget left, 30 d",
             "What the worst line has left of the failures that its objective allows in 30 days: below 0 % the objective is missed.",
             [Query(c.or_unknown(f"bottomk(1, {c.recorded(BUDGET, op='min')})"), "{{line}}", instant=True)], unit="percentunit", none="no hour yet", name=True,
             mappings=c.NO_HOUR, steps=c.BUDGET_STEPS, decimals=0,
             links=[c.to_dashboard(ids.OBJECTIVES)]),
        stat(P.AGE, "Age of the data", "Time since the newest complete sweep of the API. When this is old, so is everything on this page.",
             [Query(c.recorded(AGE, c.ACCOUNT, by=""), "age", instant=True)], unit="s", none="no exporter", steps=c.AGE_STEPS, decimals=0,
             links=[c.to_dashboard(ids.EXPORTER)]),
    ]


def now():
    both = f"ALERTS_FOR_STATE{{{c.ALERT}}} and ignoring (alertstate) {c.firing()}"
    by = "severity, alertname, account, line"
    alerts = table(
        P.ALERTS, "What is wrong, and since when", "The alerts that fire now. Since: when their condition began to hold without a break.",
        [Query(f"1000 * min by ({by}) ({both})"), Query(f"time() - min by ({by}) ({both})")],
        width=15, height=7, none="Nothing fires.", order=("line", "alertname", "severity", "Value #A", "Value #B", "account"), sort=(("Severity", False), ("Since", False)),
        fields=[
            Field("severity", title="Severity", unit="string", custom={"cellOptions": {"type": "color-background"}, "width": 80},
                  mappings=[_severities()]),
            Field("alertname", title="Alert", unit="string", custom={"minWidth": 185}),
            Field("line", title="Line", unit="string", custom={"width": 120}, link=c.ROW_TO_LINE),
            Field("account", title="Account", unit="string", custom={"width": 72}),
            Field("Value #A", title="Since", unit="dateTimeAsLocalNoDateIfToday", custom={"width": 104}),
            Field("Value #B", title="For", unit="dtdurations", custom={"width": 86}),
        ])
    devices = timeline(
        P.DEVICES, "Devices", "Whether the newest probe of each line's device was answered. No probe, no band.",
        [Query(c.recorded("blooio_device_probe_success", op="min"), "{{line}}")], width=9, height=7, mappings=c.REACHED, steps=c.UP_STEPS)
    return [alerts, devices]


def _severities():
    return {"type": "value", "options": {name: {"text": name, "color": color, "index": index}
                                         for index, (name, color) in enumerate(c.SEVERITIES.items())}}


def lines():
    known = f"group by ({c.BY_LINE}) ({c.sel('blooio_outbound_messages_total', c.LINE)})"
    colored = {"cellOptions": {"type": "color-background"}}
    columns = [
        # title, query, unit, steps, decimals
        ("Alerts", f"count by ({c.BY_LINE}) ({c.firing()}) or 0 * {known}", "short", c.COUNT_STEPS, 0),
        ("Device", c.recorded("blooio_device_probe_success", op="min"), "short", c.UP_STEPS, None),
        ("Failed, 1 h", c.recorded(SEND_FAILED + ":ratio_rate1h"), "percentunit", c.FAILURE_STEPS, 1),
        ("Oldest wait", f"max by ({c.BY_LINE}) ({OLDEST})", "s", c.WAIT_STEPS, 1),
        ("Waiting", f"sum by ({c.BY_LINE}) ({c.sel('blooio_outbound_open_messages', c.LINE, c.WAITING)})", "short", (), 0),
        ("p95, 1 h", f"max by ({c.BY_LINE}) ({c.sel(P95, c.LINE, c.IMESSAGE)})", "s", c.LATENCY_STEPS, 1),
        ("Fallback, 1 h", c.recorded(FALLBACK + ":ratio_rate1h"), "percentunit", c.FALLBACK_STEPS, 1),
        ("Sent", c.over_range("blooio_outbound_messages_total", c.BY_LINE), "short", (), None),
        ("Received", c.over_range("blooio_inbound_messages_total", c.BY_LINE), "short", (), None),
        ("Budget left", c.recorded(BUDGET, op="min"), "percentunit", c.BUDGET_STEPS, 0),
    ]
    fields = [
        Field("line", title="Line", unit="string", custom={"width": 130}, link=c.ROW_TO_LINE),
        Field("account", title="Account", unit="string", custom={"width": 84}),
    ]
    for letter, (title, _, unit, steps, decimals) in zip("ABCDEFGHIJ", columns):
        fields.append(Field(f"Value #{letter}", title=title, unit=unit, steps=c.plain(steps), decimals=decimals,
                            mappings=c.REACHED if title == "Device" else c.NO_CELL, custom=colored if steps else {}))
    return [table(
        P.TABLE, "Lines", "A row for each line, the ill ones first. A click on the line opens its page. Fallback is the share that left iMessage; sent and received count the time in view; the budget is that of 30 days.",
        [Query(expr) for _, expr, *_ in columns], fields, width=24, height=11, none="-",
        order=("line", "Value #A", "Value #B", "Value #C", "Value #D", "Value #E", "Value #F", "Value #G", "Value #H", "Value #I", "Value #J", "account"),
        sort=(("Alerts", True), ("Failed, 1 h", True)))]


def quality():
    return [
        series(P.FAILURES, "Failure share by line, 30 min",
               f"Share of the messages that ended within 30 minutes and failed. Above {c.FAILURE_WARN:.0%} for hours, or above "
               f"{c.FAILURE_BAD:.1%} for an hour, somebody is woken. A line is missing while nothing of it ended.",
               [Query(c.recorded(SEND_FAILED + ":ratio_rate30m"), "{{line}}")], unit="percentunit", limit="dashed", steps=c.FAILURE_STEPS,
               high=0.2, defaults=c.BY_LIMIT, height=8),
        series(P.WAITING, "Oldest waiting message by line",
               "Age of the oldest message that is pending or queued. It climbs by a second each second as long as nothing is handed over.",
               [Query(f"max by ({c.BY_LINE}) (max_over_time({OLDEST}[$__rate_interval]))", "{{line}}")], unit="s", limit="dashed", steps=c.WAIT_STEPS, high=60,
               defaults=c.BY_LIMIT, height=8),
        heatmap(P.HEATMAP, "Delivery latency of iMessages", "How long deliveries took: each column is a moment, the lighter a cell the more deliveries.",
                Query(f"sum by (le) (increase({c.sel('blooio_delivery_latency_seconds_bucket', c.LINE, c.IMESSAGE)}[$__rate_interval]))"),
                height=8),
        series(P.MIX, "Status of the messages of the last hour",
               "Outbound messages whose time_sent lies in the exporter's trailing window, by what is known of them now. Red is failed, yellow waits, "
               "light blue was handed over without a receipt.",
               [Query(f"sum by (status) ({c.sel('blooio_recent_messages', c.LINE, c.OUTBOUND)})", "{{status}}")],
               unit="short", stack=True, fields=c.by_name(c.STATUSES), calcs=("lastNotNull",), height=8, interval="1m"),
    ]


def more():
    return [
        series(P.FALLBACK, "Share that left iMessage, by line",
               f"Share of the messages of 30 minutes that went by SMS or RCS instead of iMessage. Orange: {T.FALLBACK_RATIO:.0%}.",
               [Query(c.recorded(FALLBACK + ":ratio_rate30m"), "{{line}}")], unit="percentunit", limit="dashed", steps=c.FALLBACK_STEPS, high=0.3,
               defaults=c.BY_LIMIT, width=8),
        series(P.API_CODES, "API errors", "Share of our requests that were answered 5xx or not at all. Probes of devices stay out.",
               [Query(c.recorded(API_ERRORS + ":ratio_rate5m", c.ACCOUNT, by="account"), "{{account}}")], unit="percentunit", limit="dashed",
               steps=c.steps((1 - T.API_OBJECTIVE, c.WARN)), high=0.02, width=8, legend="list"),
        series(P.FRESHNESS, "Age of the data", "Time since the newest complete sweep, by account.",
               [Query(c.recorded(AGE, c.ACCOUNT, by="account"), "{{account}}")], unit="s", limit="dashed", steps=c.AGE_STEPS, high=120, width=8,
               legend="list"),
    ]


def dashboard():
    return Dashboard(
        ids.OVERVIEW, c.TITLES[ids.OVERVIEW], "Do messages arrive, how fast, by which protocol, and which line is ill.",
        rows=[
            Row("", strip() + now() + [c.traffic("outbound", P.OUTBOUND), c.traffic("inbound", P.INBOUND)] + lines()),
            Row("Quality", quality()),
            Row("What explains it", more(), collapsed=True),
        ],
        links=c.links(ids.OVERVIEW), annotations=c.ANNOTATIONS, variables=c.VARIABLES)
