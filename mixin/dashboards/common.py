"""What the dashboards share: variables, links, annotations, colours, and the numbers of the alerting rules."""

import re

from mixin import contracts
from mixin.alerts import render as alerting
from mixin.alerts.model import GRADE

from mixin import ids
from mixin.dashboards.grafana import DATASOURCE, Field, Query, Step, mapping, series, table

T = contracts.load_thresholds()
seconds = alerting.seconds

# ---- which series ----------------------------------------------------------------------------------------

JOB = "".join(['job=~"$job"', *(f', {name}=~"${name}"' for name in T.EXTRA_LABELS)])
ACCOUNT = JOB + ', account=~"$account"'
LINE = ACCOUNT + ', line=~"$line"'
# An alert about an account has no line, and one about the exporter neither: they concern what is chosen, too.
ALERT = (f'alertname=~"Blooio.+", alertname!="BlooioWatchdog", {JOB}, account=~"$account|", line=~"$line|"')
WAITING = 'status=~"pending|queued"'
IMESSAGE = 'protocol="imessage"'
OUTBOUND = 'direction="outbound"'

EXTRA = "".join(f"{name}, " for name in T.EXTRA_LABELS)
BY_LINE = EXTRA + "account, line"
BY_ACCOUNT = EXTRA + "account"


def sel(metric, scope, *more):
    return f'{metric}{{{", ".join([scope, *more])}}}'


def label(name, op, value):
    return f'{name}{op}"{value}"'


def per_minute(metric, by, scope=LINE, *more):
    return f"60 * sum by ({by}) (rate({sel(metric, scope, *more)}[$__rate_interval]))"


def over_range(metric, by, scope=LINE, *more):
    inside = f"increase({sel(metric, scope, *more)}[$__range])"
    # Prometheus estimates to the edges of the range: a count with a fraction would look odd.
    return f"round(sum by ({by}) ({inside}))" if by else f"round(sum({inside}))"


def share(bad, all_):
    """Of two recorded increases, over everything that is chosen. No messages, no value."""
    return f"sum({sel(bad, LINE)}) / (sum({sel(all_, LINE)}) > 0)"


def or_unknown(expr):
    """NaN instead of nothing: what is unknown can then have a colour of its own."""
    return f'{expr} or on () label_replace(vector(NaN), "line", "every line", "", "")'


def quantile(q, metric, by, scope, *more):
    keep = f"{by}, le" if by else "le"
    return f"histogram_quantile({q}, sum by ({keep}) (rate({sel(metric + '_bucket', scope, *more)}[$__rate_interval])))"


def firing(*more):
    return sel("ALERTS", 'alertstate="firing", ' + ALERT, *more)


def recorded(name, scope=LINE, op="max", by=BY_LINE):
    return f"{op} by ({by}) ({sel(name, scope)})" if by else f"{op}({sel(name, scope)})"


# ---- colours, by meaning ---------------------------------------------------------------------------------

# Good has no colour of its own: only a breach has one.
GOOD, WARN, BAD = "text", "orange", "red"
BAND = "rgba(142, 142, 142, 0.25)"  # a good state over time
NOTHING = "#5a5a62"  # behind "no data": it is neither good nor bad
PROTOCOLS = {
    "imessage": "blue", "sms": "green", "rcs": "purple", "non-imessage": "dark-green",
    "pending": "light-yellow", "unknown": "#8e8e8e", "none": "#6e6e6e", "other": "orange",
}
STATUSES = {
    "delivered": "super-light-blue", "sent": "light-blue", "queued": "yellow", "pending": "light-yellow", "failed": "red",
    "cancellation_requested": "#8e8e8e", "cancelled": "#6e6e6e", "none": "#4e4e4e", "other": "orange",
}
CODES = {
    "200": "super-light-blue", "404": "#8e8e8e", "429": "purple", "401": "dark-red", "403": "dark-red", "500": "red", "502": "red", "503": "orange",
    "timeout": "yellow", "connection": "light-yellow", "body": "dark-yellow",
}
SEVERITIES = {"critical": BAD, "warning": WARN}
REACHED_WORD = (mapping({0: ("not reached", BAD), 1: ("reached", GOOD)}),)
HOLDS = (mapping({0: ("no", BAD), 1: ("yes", BAND)}),)
REACHED = (mapping({0: ("not reached", BAD), 1: ("reached", BAND)}),)
YES_NO = (mapping({0: ("no", BAD), 1: ("yes", GOOD)}),)
# Grafana colours "no data" with the lowest step, so that one must mean nothing.
UP_STEPS = (Step(None, NOTHING), Step(0, BAD), Step(1, GOOD))
GRADES = (mapping({0: ("well", "text"), 1: ("watch", "yellow"), 2: ("at risk", WARN), 3: ("critical", BAD)}),)
GRADE_STEPS = (Step(None, "text"), Step(1, "yellow"), Step(2, WARN), Step(3, BAD))


def unknown(text, color):
    """For what may be below every step and may be unknown: a query that then gives NaN, and this for it."""
    return {"type": "special", "options": {"match": "null+nan", "result": {"text": text, "color": color, "index": 0}}}


NO_HOUR = (unknown("not yet", "text"),)
NO_CELL = (unknown("-", "transparent"),)


def steps(*pairs):
    """Good, until the first value is reached."""
    return (Step(None, GOOD), *(Step(value, color) for value, color in pairs))


# The limits of the alerts: nothing is orange or red here that would not be there.
ALLOWED = round(1 - T.DELIVERY_OBJECTIVE, 6)
FAILURE_BAD, FAILURE_WARN = (round(factor * ALLOWED, 6) for factor, *_ in T.DELIVERY_BURN[:2])
FAILURE_STEPS = steps((FAILURE_WARN, WARN), (FAILURE_BAD, BAD))
LATENCY_STEPS = steps((T.LATENCY_SECONDS, WARN))
WAIT_STEPS = steps(*((seconds(age), BAD if severity == "critical" else WARN) for age, severity in T.STUCK))
WAIT_MINUTES = tuple(Step(None if s.value is None else s.value / 60, s.color) for s in WAIT_STEPS)
AGE_STEPS = steps(*((seconds(age), BAD if severity == "critical" else WARN) for age, severity in T.STALE))
AGE_MINUTES = tuple(Step(None if s.value is None else s.value / 60, s.color) for s in AGE_STEPS)
BUDGET_STEPS = (Step(None, BAD), Step(0, WARN), Step(0.25, GOOD))
COUNT_STEPS = steps((1, BAD))
ZERO_LINE = steps((0, BAD))  # draws a red line at 0

# A count that stands beside a share: a number in the legend, and no line.
LEGEND_ONLY = {"hideFrom": {"viz": True, "legend": False, "tooltip": False}, "axisPlacement": "hidden"}


def plain(given):
    """The same limits for a table, whose good cells need no colour."""
    return tuple(Step(step.value, "transparent" if step.color in (GOOD, NOTHING) else step.color) for step in given)


def of(value, count, label="of"):
    """A share with the number that it is a share of, as a label: no share without its count."""
    return f'({value}) * on () group_right () count_values("{label}", round({count}))'


def cells(expr, by):
    """A column of a table: NaN, which is shown as "-", where there is no value, so that the column is there without any."""
    return f"({expr}) or NaN * max by ({by}) ({sel(GRADE, LINE)})"


def beyond_chance(share, failed, ended):
    """A share of failures as the alerts take it: left out where it is high, and chance explains that."""
    chance = f"{T.AT_LEAST} + {ALLOWED} * {ended} + {T.SIGMAS} * sqrt({ALLOWED} * {ended})"
    return f"{share} unless ({share} >= {FAILURE_WARN} unless {failed} > {chance})"


def sentence(summary):
    """An alert's summary without the names that have a column of their own."""
    text = re.sub(r" (?:of|from|on|for) (?:the )?(?:line|Blooio account|account|Blooio exporter) \{\{[^}]*\}\}", "", summary)
    text = re.sub(r"(?i)^the (?:line|Blooio account|Blooio exporter) \{\{[^}]*\}\}", "It", text)
    text = re.sub(r" the (?:line|Blooio account|Blooio exporter) \{\{[^}]*\}\}", " it", text)
    return re.sub(r":? ?\{\{[^}]*\}\}", "", text).strip()


def sentences():
    """What each alert says, as mappings of its name."""
    book = alerting.book(T)
    rules = {rule.alert: rule for group in book.main() for rule in group.rules if rule.alert}
    return {"type": "value", "options": {name: {"text": sentence(rule.annotations["summary"]), "index": i} for i, (name, rule) in enumerate(sorted(rules.items()))}}


SEVERITY = {"type": "value", "options": {name: {"text": name, "color": color, "index": i} for i, (name, color) in enumerate(SEVERITIES.items())}}


# A line that is down has one problem. Of these, the first that fires names it, as the inhibitions of Alertmanager have it.
FIRING = 'alertstate="firing"'
DOWN = ("BlooioNoActiveDevice", "BlooioDeviceDown", "BlooioLineInactive|BlooioLineVanished")


def causes(more):
    """The alerts that fire, without those that follow from a line that is down."""
    # What is chosen is told once; the other sides only have to match it.
    def fire(*names):
        return f"ALERTS{{{', '.join([FIRING, *names])}}}"

    def since(name):
        return f"ALERTS_FOR_STATE{{{', '.join([ALERT, *more, name])}}} and ignoring (alertstate) {fire()}"

    def among(names, operator="=~"):
        return f'alertname{operator}"{"|".join(names)}"'

    # Where an alert pages, its warning says nothing more.
    critical, warning = ('severity="%s"' % severity for severity in ("critical", "warning"))
    paged = f"unless on (severity, alertname, {BY_LINE}) ({fire(warning)} and on (alertname, {BY_LINE}) {fire(critical)})"
    kinds = [f"({since(among(DOWN, '!~'))} unless on ({BY_LINE}) {fire(among(DOWN))} {paged})"]
    for n, name in enumerate(DOWN):
        earlier = f" unless on ({BY_LINE}) {fire(among(DOWN[:n]))}" if n else ""
        kinds.append(f"({since(among([name]))}{earlier})")
    return " or ".join(kinds)


def problems(id, title, description, more="", **size):
    """One sentence for each problem, and since when."""
    chosen = causes([more.lstrip(", ")] if more else [])
    by = f"severity, alertname, {BY_LINE}"
    return table(
        id, title, description, [Query(f"1000 * min by ({by}) ({chosen})"), Query(f"time() - min by ({by}) ({chosen})")],
        none="Nothing is wrong.", order=("severity", "alertname", "line", "Value #A", "Value #B", *T.EXTRA_LABELS, "account"),
        sort=(("Severity", False), ("For", True)),
        fields=[
            Field("severity", title="Severity", unit="string", custom={"cellOptions": {"type": "color-text"}, "width": 80}, mappings=[SEVERITY]),
            Field("alertname", title="What is wrong", unit="string", custom={"minWidth": 276}, mappings=[sentences()]),
            Field("line", title="Line", unit="string", custom={"width": 124}, link=ROW_TO_LINE),
            Field("account", title="Account", unit="string", custom={"width": 70}),
            Field("Value #A", title="Since", unit="dateTimeAsLocalNoDateIfToday", custom={"width": 100}),
            Field("Value #B", title="For", unit="dtdurations", decimals=0, custom={"width": 96}),
        ], **size)


# ---- what every dashboard has ----------------------------------------------------------------------------


def _variable(name, label, query):
    return {
        "name": name, "label": label, "type": "query", "datasource": DATASOURCE,
        "query": {"query": query, "refId": name}, "definition": query,
        "multi": True, "includeAll": True, "allValue": ".+", "current": {"text": ["All"], "value": ["$__all"]},
        # On a change of the time range: lines that were there then.
        "refresh": 2, "sort": 1, "regex": "", "hide": 0, "options": [],
    }


VARIABLES = (
    {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "regex": "", "hide": 0,
     "multi": False, "includeAll": False, "refresh": 1, "current": {}, "options": []},
    _variable("job", "Job", "label_values(blooio_up, job)"),
    *(_variable(name, name.capitalize(), f"label_values({sel('blooio_up', JOB.partition(',')[0])}, {name})") for name in T.EXTRA_LABELS),
    _variable("account", "Account", f"label_values({sel('blooio_up', JOB)}, account)"),
    _variable("line", "Line", f"label_values({sel('blooio_outbound_messages_total', ACCOUNT)}, line)"),
)

ANNOTATIONS = (
    {"name": "Alerts", "datasource": DATASOURCE, "enable": True, "hide": False, "iconColor": BAD,
     "expr": f"max by (alertname, severity, account, line) ({firing()})", "step": "60s",
     "titleFormat": "{{alertname}}", "textFormat": "{{severity}} {{account}} {{line}}", "tagKeys": "severity"},
    {"name": "Starts of the exporter", "datasource": DATASOURCE, "enable": True, "hide": False, "iconColor": "blue",
     "expr": f"1000 * {sel('process_start_time_seconds', JOB)}", "step": "60s", "useValueForTime": True,
     "titleFormat": "Exporter started", "textFormat": "{{instance}}", "tagKeys": ""},
    # Annotations of your own with the tag: POST /api/annotations {"tags": ["deployment"], "text": "..."}.
    {"name": "Deployments", "datasource": {"type": "grafana", "uid": "-- Grafana --"}, "enable": True, "hide": False, "iconColor": "purple",
     "target": {"type": "tags", "tags": ["deployment"], "matchAny": True, "limit": 100}},
)

TITLES = {
    ids.OVERVIEW: "Blooio / Overview",
    ids.LINE: "Blooio / Line",
    ids.OBJECTIVES: "Blooio / Objectives",
    ids.API: "Blooio / API and devices",
    ids.EXPORTER: "Blooio / Exporter",
}


def links(here):
    """To the other dashboards, with time and variables kept."""
    return [{"type": "link", "title": title.partition(" / ")[2], "tooltip": title, "icon": "dashboard", "url": f"/d/{uid}",
             "keepTime": True, "includeVars": True, "asDropdown": False, "targetBlank": False, "tags": []}
            for uid, title in TITLES.items() if uid != here]


def to_line(account, line):
    """A link from a row or a series to the page of its line. The number's + must not become a space."""
    return {"title": "Open this line", "targetBlank": False,
            "url": f"/d/{ids.LINE}?${{__url_time_range}}&${{datasource:queryparam}}&${{job:queryparam}}"
                   f"&var-account=${{{account}:percentencode}}&var-line=${{{line}:percentencode}}"}


ROW_TO_LINE = to_line("__data.fields.account", "__data.fields.line")
SERIES_TO_LINE = to_line("__field.labels.account", "__field.labels.line")

# A line of a graph has the colour of the limit that it passed: among many, the ill one is the red one.
BY_LIMIT = {"color": {"mode": "thresholds", "seriesBy": "last"}, "links": [SERIES_TO_LINE]}


def to_dashboard(uid, panel=None):
    show = f"&viewPanel={int(panel)}" if panel else ""
    return {"title": TITLES[uid], "url": f"/d/{uid}?${{__url_time_range}}&${{__all_variables}}{show}", "targetBlank": False}


def traffic(direction, id, width=12, height=7):
    """Messages per minute by protocol, the same on every page."""
    title, metric, meaning = {
        "inbound": ("Received by protocol", "blooio_inbound_messages_total", "received messages per minute"),
        "outbound": ("Sent by protocol", "blooio_outbound_sent_messages_total",
                     "Outbound messages per minute that were handed over, under the protocol known then"),
    }[direction]
    return series(
        id, title, f"{meaning[0].upper()}{meaning[1:]}. Nothing here, while the data is fresh, means that nothing happens.",
        [Query(per_minute(metric, "protocol"), "{{protocol}}")], unit="suffix:/min", width=width, height=height, stack=True,
        calcs=("lastNotNull", "mean"), legend="table" if width >= 12 else "list", fields=by_name(PROTOCOLS), decimals=1)


def by_name(colors):
    return tuple(Field(name, color=color) for name, color in colors.items())
