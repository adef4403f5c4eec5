"""What the API answers, and whether the devices behind it do."""

from mixin.alerts.rules import API_ASKED, API_ERRORS

from mixin.dashboards import common as c
from mixin import ids
from mixin.dashboards.grafana import Dashboard, Field, Query, Row, series, timeline
from mixin.ids import Api as P

T = c.T
REQUESTS = "blooio_api_requests_total"
DURATION = "blooio_api_request_duration_seconds"
CEILING = f"max by ({c.BY_ACCOUNT}) ({c.sel('blooio_api_budget_requests_per_second', c.ACCOUNT)})"
ENDPOINTS = {"list_chats": "blue", "get_chat": "light-blue", "list_messages": "purple", "get_message": "light-purple", "list_numbers": "#8e8e8e",
             "get_background": "green"}
NO_PROBES = 'endpoint!="get_background"'


def requests():
    # 502 and 503 to a probe speak of the device, rejections of the account.
    asked = (NO_PROBES, 'endpoint="get_background", code=~"401|403|429"')
    answers = " or ".join(f"rate({c.sel(REQUESTS, c.ACCOUNT, which)}[$__rate_interval])" for which in asked)
    return [
        series(P.CODES, "Requests by answer", "Attempts per minute, retries and pages included. 429: too many requests. 401 and 403: the key. timeout, connection and body had no usable answer.",
               [Query(f"60 * sum by (code) ({answers})", "{{code}}")], unit="suffix:/min", stack=True, fields=c.by_name(c.CODES),
               calcs=("lastNotNull", "mean"), decimals=1),
        series(P.ERRORS, "API errors by window", f"Share of our requests that were answered 5xx or not at all. Orange: {1 - T.API_OBJECTIVE:.1%}, what the objective allows.",
               [Query(c.recorded(f"{API_ERRORS}:ratio_rate{w}", c.ACCOUNT, by=c.BY_ACCOUNT), "{{account}} " + w) for w in ("5m", "1h", "6h")],
               unit="percentunit", limit="dashed", steps=c.steps((round(1 - T.API_OBJECTIVE, 6), c.WARN)), high=0.01),
    ]


def pace():
    return [
        series(P.DURATIONS, "p95 by endpoint", "95 % of the requests of each endpoint were answered within this.",
               [Query(f"{c.quantile(0.95, DURATION, 'endpoint', c.ACCOUNT)} >= 0", "{{endpoint}}"),
                Query(c.quantile(0.95, "blooio_device_probe_duration_seconds", "", c.ACCOUNT), "probe of a device")], unit="s", width=8, legend="list", fields=c.by_name(ENDPOINTS), decimals=2),
        series(P.USED, "Request budget used", f"Requests per second, of the ceiling that is configured. Above {T.BUDGET_USED:.0%} there is no reserve. The legend has the ceiling.",
               [Query(f"sum by ({c.BY_ACCOUNT}) (rate({c.sel(REQUESTS, c.ACCOUNT)}[$__rate_interval])) / {CEILING}", "{{account}}"),
                Query(CEILING, "{{account}} ceiling")], unit="percentunit", width=8, legend="list", limit="dashed", steps=c.steps((T.BUDGET_USED, c.WARN)), high=1, decimals=0,
               fields=(Field("/ ceiling$/", unit="reqps", regex=True, decimals=1, custom=c.LEGEND_ONLY),)),
        series(P.THROTTLED, "Time spent waiting", "Share of the time in which requests waited: for our own budget, or because the API asked for a pause.",
               [Query(f"sum by (cause) (rate({c.sel('blooio_api_throttled_seconds_total', c.ACCOUNT)}[$__rate_interval]))", "{{cause}}")], unit="percentunit", width=8, legend="list",
               high=0.1, fields=c.by_name({"budget": "blue", "retry_after": "purple"}), decimals=0),
    ]


def spending():
    return [
        series(P.WORK, "Requests by class of work", "Attempts per minute, retries and pages included: where the request budget goes.",
               [Query(c.per_minute("blooio_api_work_requests_total", "work", c.ACCOUNT), "{{work}}")], unit="suffix:/min", width=12, legend="list", stack=True,
               calcs=("lastNotNull", "mean"), decimals=1),
        series(P.CLOCK, "Offset of the clock", f"Server's clock minus that of the host, as used. The alert's limit is {T.CLOCK_OFFSET_SECONDS} s in either direction.",
               [Query(f"max by (account) ({c.sel('blooio_api_clock_offset_seconds', c.ACCOUNT)})", "{{account}}")], unit="s", low=None, below=-1, high=1,
               calcs=("lastNotNull", "min", "max"), decimals=1),
    ]


def devices():
    probed = f"(time() - max by ({c.BY_LINE}) ({c.sel('blooio_device_probe_last_timestamp_seconds', c.LINE)} > 0)) / 60"
    return [
        timeline(P.DEVICES, "Devices that were not reached", "Lines of which a probe failed in the time in view.",
                 [Query(f"{c.recorded('blooio_device_probe_success', op='min')} and on ({c.BY_LINE}) min by ({c.BY_LINE}) (min_over_time({c.sel('blooio_device_probe_success', c.LINE)}[$__range])) == 0", "{{line}}")],
                 mappings=c.REACHED, steps=c.UP_STEPS),
        series(P.LAST_ACTIVE, "Minutes since the last probe, and since Blooio saw a line", f"The twelve oldest of each. A probe is due every 5 minutes; {T.NOT_PROBED_AGE} are the limit.",
               [Query(f"topk(12, {probed})", "{{line}}: last probe"),
                Query(f"topk(12, (time() - max by ({c.BY_LINE}) ({c.sel('blooio_line_last_active_timestamp_seconds', c.LINE)})) / 60)", "{{line}}: last seen")], unit="suffix: min",
               calcs=("lastNotNull",), decimals=0),
    ]


def dashboard():
    return Dashboard(
        ids.API, c.TITLES[ids.API], "What the API answers, and whether the devices behind it do.",
        rows=[Row("Answers", requests()), Row("Pace and budget", pace() + spending()), Row("Devices and lines", devices())],
        links=c.links(ids.API), annotations=c.ANNOTATIONS, variables=c.VARIABLES)
