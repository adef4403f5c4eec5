"""What the API answers, and whether the devices behind it do."""

from rules import API_ERRORS

from . import common as c
from . import ids
from .grafana import Dashboard, Query, Row, heatmap, series, stat, timeline
from .ids import Api as P

T = c.T
REQUESTS = "blooio_api_requests_total"
DURATION = "blooio_api_request_duration_seconds"
PROBES = "blooio_device_probes_total"
ENDPOINTS = {"list_chats": "blue", "get_chat": "light-blue", "list_messages": "purple", "get_message": "light-purple", "list_numbers": "#8e8e8e",
             "get_background": "green"}
NO_PROBES = 'endpoint!="get_background"'


def strip():
    return [
        stat(P.ERROR_SHARE, "API errors, 1 h", "Share of our requests that were answered 5xx or not at all; probes of devices stay out.",
             [Query(c.recorded(API_ERRORS + ":ratio_rate1h", c.ACCOUNT, by=""), "errors", instant=True)], unit="percentunit", none="none asked",
             steps=c.steps((round(1 - T.API_OBJECTIVE, 6), c.WARN)), decimals=2, width=4),
        stat(P.REFUSED, "Key refused, in view", "Answers 401 and 403 in the time in view. A refused key shows nothing of what happens.",
             [Query(f"{c.over_range(REQUESTS, '', c.ACCOUNT, c.label('code', '=~', '401|403'))} or vector(0)", "refused", instant=True)],
             none="0", steps=c.COUNT_STEPS, decimals=0, width=4),
        stat(P.LIMITED, "429, in view", "Requests that the API refused because there were too many, in the time in view.",
             [Query(f"{c.over_range(REQUESTS, '', c.ACCOUNT, c.label('code', '=', '429'))} or vector(0)", "limited", instant=True)],
             none="0", steps=c.steps((1, c.WARN)), decimals=0, width=4),
        stat(P.LATENCY, "p95 of a request", "95 % of the newest requests were answered within this; probes of devices stay out.",
             [Query(c.quantile(0.95, DURATION, "", c.ACCOUNT, NO_PROBES), "p95")], unit="s", none="none asked", decimals=2, width=4, spark=True),
        stat(P.USED, "Budget used", "Requests per second, of the ceiling that is configured. At 100 % chats are deferred.",
             [Query(f"sum(rate({c.sel(REQUESTS, c.ACCOUNT)}[$__rate_interval])) / sum({c.sel('blooio_api_budget_requests_per_second', c.ACCOUNT)})", "used")],
             unit="percentunit", none="none asked", decimals=0, width=4, spark=True, steps=c.steps((0.9, c.WARN))),
        stat(P.DEVICES_DOWN, "Devices not reached", "Lines whose newest probe failed.",
             [Query(f"count({c.recorded('blooio_device_probe_success', op='min')} == 0) or vector(0)", "not reached", instant=True)], none="0",
             steps=c.COUNT_STEPS, decimals=0, width=4),
    ]


def requests():
    return [
        series(P.CODES, "Requests by answer", "Attempts per minute, retries and pages included. timeout, connection and body had no usable answer.",
               [Query(c.per_minute(REQUESTS, "code", c.ACCOUNT, NO_PROBES), "{{code}}")], unit="suffix:/min", stack=True, fields=c.by_name(c.CODES),
               calcs=("lastNotNull", "mean"), decimals=1),
        series(P.ENDPOINTS, "Requests by endpoint", "Attempts per minute. get_background are the probes of devices.",
               [Query(c.per_minute(REQUESTS, "endpoint", c.ACCOUNT), "{{endpoint}}")], unit="suffix:/min", stack=True, fields=c.by_name(ENDPOINTS),
               calcs=("lastNotNull", "mean"), decimals=1),
        series(P.ERRORS, "API errors by window", f"Share of our requests that were answered 5xx or not at all. Orange: {1 - T.API_OBJECTIVE:.1%}, what the objective allows.",
               [Query(c.recorded(f"{API_ERRORS}:ratio_rate{w}", c.ACCOUNT, by="account"), "{{account}} " + w) for w in ("5m", "1h", "6h")],
               unit="percentunit", limit="dashed", steps=c.steps((round(1 - T.API_OBJECTIVE, 6), c.WARN)), high=0.01),
        series(P.LIMITS, "Refused requests", "429: too many. 401 and 403: the key. Attempts per minute.",
               [Query(f"60 * sum(rate({c.sel(REQUESTS, c.ACCOUNT, c.label('code', '=', code))}[$__rate_interval])) or vector(0)", code)
                for code in ("429", "401", "403")],
               unit="suffix:/min", bars=True, high=1, fields=c.by_name(c.CODES), calcs=("lastNotNull", "max"), decimals=1),
    ]


def pace():
    return [
        series(P.DURATIONS, "p95 by endpoint", "95 % of the requests of each endpoint were answered within this.",
               [Query(f"{c.quantile(0.95, DURATION, 'endpoint', c.ACCOUNT)} >= 0", "{{endpoint}}")], unit="s", fields=c.by_name(ENDPOINTS), decimals=2),
        heatmap(P.DURATION_HEATMAP, "Requests by duration", "Each column is a moment; the lighter a cell, the more requests took that long.",
                Query(f"sum by (le) (increase({c.sel(DURATION + '_bucket', c.ACCOUNT)}[$__rate_interval]))")),
        series(P.BUDGET, "Requests and their ceiling", "Requests per second, and the ceiling that is configured.",
               [Query(f"sum(rate({c.sel(REQUESTS, c.ACCOUNT)}[$__rate_interval]))", "requests"),
                Query(f"sum({c.sel('blooio_api_budget_requests_per_second', c.ACCOUNT)})", "ceiling")], unit="reqps",
               fields=c.by_name({"requests": "blue", "ceiling": c.WARN}), decimals=2),
        series(P.THROTTLED, "Time spent waiting", "Share of the time in which requests waited: for our own budget, or because the API asked for a pause.",
               [Query(f"sum by (cause) (rate({c.sel('blooio_api_throttled_seconds_total', c.ACCOUNT)}[$__rate_interval]))", "{{cause}}")], unit="percentunit",
               fields=c.by_name({"budget": "blue", "retry_after": "purple"}), decimals=1),
    ]


def spending():
    return [
        series(P.WORK, "Requests by class of work", "Attempts per minute, retries and pages included: where the request budget goes.",
               [Query(c.per_minute("blooio_api_work_requests_total", "work", c.ACCOUNT), "{{work}}")], unit="suffix:/min", stack=True,
               calcs=("lastNotNull", "mean"), decimals=1),
        series(P.CLOCK, "Offset of the clock", f"Server's clock minus that of the host, as used. The alert's limit is {T.CLOCK_OFFSET_SECONDS} s in either direction.",
               [Query(f"max by (account) ({c.sel('blooio_api_clock_offset_seconds', c.ACCOUNT)})", "{{account}}")], unit="s", low=None,
               calcs=("lastNotNull", "min", "max"), decimals=1),
    ]


def devices():
    return [
        timeline(P.DEVICES, "Devices", "Whether the newest probe of each line's device was answered.",
                 [Query(c.recorded("blooio_device_probe_success", op="min"), "{{line}}")], mappings=c.REACHED, steps=c.UP_STEPS),
        series(P.PROBES, "Probes by answer", "Probes in each step. 502 is a failed round trip to a device, 503 no active number.",
               [Query(f"sum by (code) (increase({c.sel(PROBES, c.LINE)}[$__rate_interval]))", "{{code}}")], unit="short", bars=True, stack=True,
               fields=c.by_name(c.CODES), calcs=("lastNotNull", "max"), decimals=0),
        series(P.PROBE_DURATION, "Duration of a probe", "A probe makes the round trip to the device.",
               [Query(c.quantile(q, "blooio_device_probe_duration_seconds", "", c.ACCOUNT), name) for name, q in (("p50", 0.5), ("p95", 0.95))], unit="s",
               width=8, legend="list", fields=c.by_name({"p50": "light-blue", "p95": "blue"}), decimals=2),
        timeline(P.LISTED, "Lines as Blooio lists them", "is_active of GET /me/numbers, where the API serves it.",
                 [Query(c.recorded("blooio_line_active", op="min"), "{{line}}")], width=8, mappings=c.ACTIVE, steps=c.UP_STEPS),
        series(P.LAST_ACTIVE, "Time since Blooio saw a line", "Since last_active of GET /me/numbers, where the API serves it.",
               [Query(f"time() - max by ({c.BY_LINE}) ({c.sel('blooio_line_last_active_timestamp_seconds', c.LINE)})", "{{line}}")], unit="s", width=8,
               calcs=("lastNotNull",)),
    ]


def dashboard():
    return Dashboard(
        ids.API, c.TITLES[ids.API], "What the API answers, and whether the devices behind it do.",
        rows=[Row("", strip()), Row("Answers", requests()), Row("Pace", pace()), Row("Budget and clock", spending()), Row("Devices and lines", devices())],
        links=c.links(ids.API), annotations=c.ANNOTATIONS, variables=c.VARIABLES)
