"""Which line has a problem and which, in words; then the figures behind it."""

from mixin.alerts import rules as m
from mixin.alerts.durations import plus

from mixin.dashboards import common as c
from mixin import ids
from mixin.dashboards.grafana import Block, Dashboard, Field, Query, Row, Step, series, stat, table
from mixin.ids import Overview as P

T = c.T
OLDEST = c.sel("blooio_outbound_open_oldest_age_seconds", c.LINE, c.WAITING)
TOP = 12  # lines in a graph: more cannot be told apart


def rec(name, window):
    return c.sel(f"{name}:increase{window}", c.LINE)


def strip():
    grade = c.sel(m.GRADE, c.LINE)
    ended, bad = (f"sum({rec(name, '1d')})" for name in (m.ENDED, m.BAD))
    failed = c.beyond_chance(f"{bad} / ({ended} > 0)", bad, ended)
    problems = c.problems(
        P.ALERTS, "What is wrong", "One sentence for each alert that fires, and since when its condition has held. A click on the line opens its page.", width=16, height=8)
    figures = [
        stat(P.LINES, "Lines that are well", "Lines without a warning sign, of all chosen lines. The table below names the others.",
             [Query(c.of(f"sum({grade} == bool 0)", f"count({grade})"), "of {{of}}", instant=True)], name=True, none="no line", decimals=0, width=4, height=4),
        stat(P.DELIVERY, "Did not fail, 1 d", f"Share of the messages that ended within a day and neither failed nor, by iMessage, stayed without a receipt. The objective is {T.DELIVERY_OBJECTIVE * 100:g} %.",
             [Query(c.of(f"1 - ({failed})", ended), "of {{of}} ended", instant=True)], unit="percentunit", name=True,
             none="too few to say", decimals=2, width=4, height=4, steps=(Step(None, c.BAD), Step(1 - c.FAILURE_BAD, c.WARN), Step(1 - c.FAILURE_WARN, c.GOOD)),
             links=[c.to_dashboard(ids.OBJECTIVES)]),
        stat(P.OLDEST, "Overdue", "Messages that are accepted, not handed over, and older than 15 minutes. A single one may have been forgotten by the API.",
             [Query(f"sum({c.sel('blooio_outbound_overdue_messages', c.LINE)})", "overdue", instant=True)], none="none", decimals=0, width=4, height=4,
             steps=c.steps((T.STUCK_MESSAGES, c.WARN))),
        stat(P.AGE, "Age of the data", "Time since the newest complete sweep of the API. When this is old, so is everything on this page.",
             [Query(c.recorded(m.AGE, c.ACCOUNT, by=""), "age", instant=True)], unit="s", none="no exporter", steps=c.AGE_STEPS, decimals=0, width=4, height=4,
             links=[c.to_dashboard(ids.EXPORTER)]),
    ]
    return [problems, Block(8, figures)]


def shares(scope_by):
    """Title, query, unit, steps, decimals. A share stands beside what it is a share of, and only where that is enough."""
    def total(name, window, offset=""):
        return f"sum by ({scope_by}) ({rec(name, window)}{offset})"

    sent = total(m.IMESSAGE_SENT, "2h", f" offset {T.RECEIPTS_DELAY}")
    within = f"1 - {total(m.SLOW, '1h')} / ({total(m.MEASURED, '1h')} > 0)"
    imessage = f"1 - {total(m.FALLBACK, '1d')} / ({total(m.ROUTED, '1d')} > 0)"
    usual = f"sum by ({scope_by}) ({c.sel(m.FALLBACK + ':usual_increase', c.LINE)}) / (sum by ({scope_by}) ({c.sel(m.ROUTED + ':usual_increase', c.LINE)}) > 0)"
    ended, failed = total(m.ENDED, "1d"), total(m.BAD, "1d")
    share = f"{failed} / ({ended} > 0)"
    receipts = (Step(None, c.BAD), Step(T.RECEIPTS[0][1], "transparent"))
    columns = [
        ("Receipts 2 h", f"clamp_max({total(m.IMESSAGE_DELIVERED, plus('2h', T.RECEIPTS_DELAY))} / ({sent} > 0), 1)", "percentunit", receipts, 0),
        ("of", f"{sent}", "none", (), 0),
        (f"In {T.LATENCY_SECONDS} s, 1 h", within, "percentunit", (Step(None, c.WARN), Step(1 - T.LATENCY_BURN[1][0] * (1 - T.LATENCY_OBJECTIVE), "transparent")), 0),
        ("of ", total(m.MEASURED, "1h"), "none", (), 0),
        ("iMessage 1 d", imessage, "percentunit", (), 0),
        ("Change", f"({usual}) - ({total(m.FALLBACK, '1d')} / ({total(m.ROUTED, '1d')} > 0))", "percentunit", (Step(None, c.WARN), Step(-T.SHARE_POINTS, "transparent")), 0),
        (f"New (cap {T.NEW_PER_DAY})", total(m.STARTED, "1d"), "none", c.plain(c.steps((T.NEW_PER_DAY * T.NEW_PER_DAY_SHARE, c.WARN), (T.NEW_PER_DAY, c.BAD))) if scope_by == c.BY_LINE else (), 0),
        ("Replied 3 d", f"clamp_max({total(m.ANSWERED, '3d')} / ({total(m.STARTED, '3d')} > 0), 1)", "percentunit", (), 0),
        ("of  ", total(m.STARTED, "3d"), "none", (), 0),
        ("In : out", f"{c.over_range('blooio_inbound_messages_total', scope_by)} / ({c.over_range('blooio_outbound_messages_total', scope_by)} > 0)", "short", (), 1),
        ("Failed 1 d", f"{c.beyond_chance(share, failed, ended)} and {ended} >= {T.RECEIPTS[2][2]}", "percentunit",
         c.plain(c.steps((c.FAILURE_WARN, c.WARN), (c.FAILURE_BAD, c.BAD))), 1),
        ("of   ", ended, "none", (), 0),
    ]
    return [(title, c.cells(expr, scope_by), *rest) for title, expr, *rest in columns]


WIDTHS = {"Receipts 2 h": 94, "of": 44, "iMessage 1 d": 96, "Change": 64, f"New (cap {T.NEW_PER_DAY})": 100, "Replied 3 d": 88, "In : out": 60,
          "Failed 1 d": 96}  # others: 86


def boards():
    # All columns of the lines fit into 1200 pixels.
    def fields(columns, first=0, widths=WIDTHS):
        return [Field(f"Value #{letter}", title=title, unit=unit, steps=steps or (Step(None, "transparent"),), decimals=decimals, mappings=c.NO_CELL,
                      custom={"width": widths.get(title.strip(), 86), **({"cellOptions": {"type": "color-background"}} if steps else {})})
                for letter, (title, _, unit, steps, decimals) in zip("ABCDEFGHIJKLMNOP"[first:], columns)]

    state = ("State", f"max by ({c.BY_LINE}) ({c.sel(m.GRADE, c.LINE)})")
    columns = shares(c.BY_LINE)
    letters = [f"Value #{letter}" for letter in "BCDEFGHIJKLM"]
    lines = table(
        P.TABLE, "Lines", "A row for each line, those with problems first. State: watch is one warning sign, at risk several, critical an alert that pages. 'Of' is the number of messages, or of "
        "new conversations, that the share on its left is of. Change: iMessage share in points against the week before. "
        "In : out counts the time in view. A failed share that chance explains is left out. Only what is beyond a limit of the alerts has a colour.",
        [Query(state[1]), *(Query(expr) for _, expr, *_ in columns)],
        [Field("line", title="Line", unit="string", custom={"width": 120}, link=c.ROW_TO_LINE),
         Field("account", title="Account", unit="string", custom={"width": 76}),
         Field("Value #A", title="State", unit="string", mappings=c.GRADES, steps=c.GRADE_STEPS, custom={"width": 64, "cellOptions": {"type": "color-text"}}),
         *fields(columns, 1)],
        width=24, height=12, none="-", order=("Value #A", "line", *letters, *T.EXTRA_LABELS, "account"), sort=(("State", True), ("Failed 1 d", True)))
    columns = shares(c.BY_ACCOUNT)
    several = f"and on () (count({c.recorded('blooio_up', c.ACCOUNT, by=c.BY_ACCOUNT)}) > 1)"
    accounts = table(
        P.ACCOUNTS, "Accounts", "The same for each account, when there are several.",
        [Query(f"count by ({c.BY_ACCOUNT}) ({c.sel(m.GRADE, c.LINE)} >= 1) {several}"), *(Query(f"({expr}) {several}") for _, expr, *_ in columns)],
        [Field("account", title="Account", unit="string", custom={"width": 130}),
         Field("Value #A", title="Not well", unit="short", decimals=0, mappings=c.NO_CELL, custom={"width": 80}), *fields(columns, 1, {**WIDTHS, "of": 64})],
        width=24, height=5, none="A single account: see the lines below.", order=("account", "Value #A", *letters))
    return [accounts, lines]


def graphs():
    failures = f"topk({TOP}, 60 * sum by ({c.BY_LINE}) (rate({c.sel('blooio_outbound_failed_messages_total', c.LINE)}[$__rate_interval])) > 0)"
    waiting = f"topk({TOP}, max by ({c.BY_LINE}) (max_over_time({OLDEST}[$__rate_interval])) / 60 > 0)"
    return [
        c.traffic("outbound", P.OUTBOUND),
        c.traffic("inbound", P.INBOUND),
        series(P.FAILURES, "Failures by line", f"Messages per minute that ended failed, for the {TOP} lines with most of them.",
               [Query(failures, "{{line}}")], unit="suffix:/min", bars=True, high=1, decimals=1, height=7, calcs=("max",), defaults={"color": {"mode": "shades", "fixedColor": c.BAD}, "links": [c.SERIES_TO_LINE], "noValue": "none failed"}),
        series(P.WAITING, "Oldest waiting message by line",
               f"Age of the oldest message that is pending or queued, for the {TOP} lines that wait longest. It climbs as long as that message is not handed over.",
               [Query(waiting, "{{line}}")], unit="suffix: min", limit="dashed", steps=c.WAIT_MINUTES, high=20, decimals=0, height=7,
               defaults={**c.BY_LIMIT, "noValue": "none waits"}),
    ]


def dashboard():
    return Dashboard(
        ids.OVERVIEW, c.TITLES[ids.OVERVIEW], "Which line has a problem, and which.",
        rows=[Row("", strip() + boards() + graphs())],
        links=c.links(ids.OVERVIEW), annotations=c.ANNOTATIONS, variables=c.VARIABLES)
