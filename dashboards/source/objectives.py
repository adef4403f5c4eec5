"""The four objectives: what is aimed at, what is reached, what is left to burn, and how fast it burns."""

from rules import API_ASKED, API_ERRORS, ENDED, FRESH, MEASURED, SEND_FAILED, SLOW

from . import common as c
from . import ids
from .grafana import Dashboard, Field, Query, Row, Step, series, stat, table
from .ids import Objectives as P

T = c.T
WINDOWS = {"5m": "light-blue", "1h": "blue", "6h": "purple", "1d": "#8e8e8e", "3d": "#6e6e6e"}
BUDGET = "{}:blooio_{}_error_budget:remaining30d"


def reached(objective):
    return (Step(None, c.NOTHING), Step(0, c.BAD), Step(objective, c.GOOD))


def chapter(name, title, meaning, level, scope, actual, burn, panels, objective, burns):
    """Goal, actual, budget left, burn rate. `burn` gives the share of what went wrong in a window."""
    panel, budget_panel, burn_panel = panels
    budget = c.recorded(BUDGET.format(level, name), scope, op="min", by="")
    allowed = f"(1 - scalar(blooio:{name}_objective:ratio))"
    limits = c.steps(*sorted((factor, c.BAD if severity == "critical" else c.WARN) for factor, *_, severity in burns))
    drawn = ", ".join(f"{factor:g}" for factor, *_ in burns)
    return [
        stat(panel, title, meaning,
             [Query(f"max(blooio:{name}_objective:ratio)", "goal", instant=True), Query(actual, "3 days", instant=True)],
             unit="percentunit", none="no data", name=True, width=6, height=7, decimals=2, steps=reached(objective),
             fields=[Field("goal", steps=(Step(None, c.NOTHING),))]),
        series(budget_panel, "Budget left", "What is left of what the objective allows to go wrong in 30 days; of several lines, the least. Below 0 the objective is missed.",
               [Query(budget, "left")], unit="percentunit", width=9, height=7, low=None, limit="dashed", steps=c.ZERO_LINE, high=1, fill=10,
               legend="list", calcs=("lastNotNull", "min"), fields=c.by_name({"left": "blue"}), defaults={"noValue": "no full hour yet"}),
        series(burn_panel, "Burn rate by window", f"How many times faster than allowed the budget burns: at 1 it lasts exactly 30 days. The alerts' limits are {drawn}. Of several lines, the worst.",
               [Query(f"{burn(w)} / {allowed}", w) for w in WINDOWS], unit="suffix:x", width=9, height=7, limit="dashed", steps=limits, high=2,
               fields=c.by_name(WINDOWS), legend="list", calcs=("lastNotNull",), decimals=1),
    ]


def goal(objective):
    return f"{objective * 100:g} %"


def delivery():
    return chapter(
        "delivery", "Delivered", f"Share of the messages that ended and did not fail. The objective: {goal(T.DELIVERY_OBJECTIVE)} over 30 days.",
        "account_line", c.LINE, f"1 - {c.share(SEND_FAILED + ':increase3d', ENDED + ':increase3d')}",
        lambda w: c.recorded(f"{SEND_FAILED}:ratio_rate{w}", by=""), (P.DELIVERY, P.DELIVERY_BUDGET, P.DELIVERY_BURN), T.DELIVERY_OBJECTIVE, T.DELIVERY_BURN)


def latency():
    return chapter(
        "latency", "Delivered in time", f"Share of the iMessage deliveries within {T.LATENCY_SECONDS:g} s. The objective: {goal(T.LATENCY_OBJECTIVE)} over 30 days.",
        "account_line", c.LINE, f"1 - {c.share(SLOW + ':increase3d', MEASURED + ':increase3d')}",
        lambda w: c.recorded(f"{SLOW}:ratio_rate{w}", by=""), (P.LATENCY, P.LATENCY_BUDGET, P.LATENCY_BURN), T.LATENCY_OBJECTIVE, T.LATENCY_BURN)


def api():
    actual = f"1 - sum({c.sel(API_ERRORS + ':increase3d', c.ACCOUNT)}) / (sum({c.sel(API_ASKED + ':increase3d', c.ACCOUNT)}) > 0)"
    return chapter(
        "api", "API answers", f"Share of our requests that were answered below 500; probes stay out. The objective: {goal(T.API_OBJECTIVE)} over 30 days.",
        "account", c.ACCOUNT, actual, lambda w: c.recorded(f"{API_ERRORS}:ratio_rate{w}", c.ACCOUNT, by=""),
        (P.API, P.API_BUDGET, P.API_BURN), T.API_OBJECTIVE, ((1, "", "", "", "warning"),))


def freshness():
    fresh = c.sel(FRESH, c.ACCOUNT)
    return chapter(
        "freshness", "Data is fresh", f"Share of the time in which the newest complete sweep was younger than {T.FRESHNESS_AGE}. The objective: {goal(T.FRESHNESS_OBJECTIVE)} over 30 days.",
        "account", c.ACCOUNT, f"min(avg_over_time({fresh}[3d]))", lambda w: f"(1 - min(avg_over_time({fresh}[{w}])))",
        (P.FRESHNESS, P.FRESHNESS_BUDGET, P.FRESHNESS_BURN), T.FRESHNESS_OBJECTIVE, ((1, "", "", "", "warning"),))


def by_line():
    colored = {"cellOptions": {"type": "color-background"}}
    columns = [
        ("Ended, 3 d", c.recorded(ENDED + ":increase3d"), "short", (), 0),
        ("Failed, 3 d", c.recorded(SEND_FAILED + ":ratio_rate3d"), "percentunit", c.steps((c.ALLOWED, c.WARN), (c.FAILURE_WARN, c.BAD)), 2),
        ("Delivery budget left", c.recorded(BUDGET.format("account_line", "delivery"), op="min"), "percentunit", c.BUDGET_STEPS, 0),
        ("Slow, 3 d", c.recorded(SLOW + ":ratio_rate3d"), "percentunit", c.steps((round(1 - T.LATENCY_OBJECTIVE, 6), c.WARN)), 2),
        ("Latency budget left", c.recorded(BUDGET.format("account_line", "latency"), op="min"), "percentunit", c.BUDGET_STEPS, 0),
    ]
    fields = [Field("line", title="Line", unit="string", link=c.ROW_TO_LINE), Field("account", title="Account", unit="string")]
    fields += [Field(f"Value #{letter}", title=title, unit=unit, steps=c.plain(steps), decimals=decimals, mappings=c.NO_CELL, custom=colored if steps else {})
               for letter, (title, _, unit, steps, decimals) in zip("ABCDE", columns)]
    return [table(
        P.TABLE, "Objectives by line", "A row for each line; a click on it opens its page.", [Query(expr) for _, expr, *_ in columns], fields, height=11, none="-",
        order=("line", "Value #A", "Value #B", "Value #C", "Value #D", "Value #E", "account"), sort=(("Failed, 3 d", True),))]


def dashboard():
    return Dashboard(
        ids.OBJECTIVES, c.TITLES[ids.OBJECTIVES], "What is aimed at over 30 days, what is reached, and how fast the error budgets burn.",
        rows=[
            Row("Delivery", delivery()),
            Row("Latency", latency()),
            Row("API", api()),
            Row("Freshness", freshness()),
            Row("By line", by_line()),
        ],
        since="now-24h", links=c.links(ids.OBJECTIVES), annotations=c.ANNOTATIONS, variables=c.VARIABLES)
