"""The four objectives: what is aimed at, what is reached, what is left, and how fast it burns."""

from mixin.alerts import rules as m

from mixin.dashboards import common as c
from mixin import ids
from mixin.dashboards.grafana import Dashboard, Field, Query, Row, Step, series, stat, table
from mixin.ids import Objectives as P

T = c.T
WINDOWS = {"5m": "light-blue", "1h": "blue", "6h": "purple", "3d": "#8e8e8e"}
BUDGET = "{}:blooio_{}_error_budget:remaining30d"


def total(name, window, scope):
    return f"sum({c.sel(f'{name}:increase{window}', scope)})"


def reached(id, title, meaning, objective, value, count=None, word=""):
    query = Query(c.of(value, count), "of {{of}} " + word, instant=True) if count else Query(value, "3 days", instant=True)
    return stat(id, f"{title}, 3 d (goal {objective * 100:g} %)", meaning, [query], unit="percentunit", none="no data yet", name=True, width=6, height=4, decimals=2,
                steps=(Step(None, c.NOTHING), Step(0, c.WARN), Step(objective, c.GOOD)))


def strip():
    line, account = c.LINE, c.ACCOUNT

    def good(bad, all_, scope):
        return f"1 - {total(bad, '3d', scope)} / ({total(all_, '3d', scope)} > 0)", total(all_, "3d", scope)
    return [
        reached(P.DELIVERY, "Delivered", "Share of the messages that ended and neither failed nor, by iMessage, stayed without a receipt.", T.DELIVERY_OBJECTIVE,
                *good(m.BAD, m.ENDED, line), "ended"),
        reached(P.LATENCY, "In time", f"Share of the iMessage deliveries within {T.LATENCY_SECONDS:g} s.", T.LATENCY_OBJECTIVE, *good(m.SLOW, m.MEASURED, line), "deliveries"),
        reached(P.API, "API answers", "Share of our requests that were answered below 500; probes of devices stay out.", T.API_OBJECTIVE,
                *good(m.API_ERRORS, m.API_ASKED, account), "requests"),
        reached(P.FRESHNESS, "Data is fresh", f"Share of the time in which the newest complete sweep was younger than {T.FRESHNESS_AGE}; of several accounts, the least.",
                T.FRESHNESS_OBJECTIVE, f"min(avg_over_time({c.sel(m.FRESH, account)}[3d]))"),
    ]


def budgets():
    kinds = (("delivery", "account_line", c.LINE, "blue"), ("latency", "account_line", c.LINE, "purple"), ("api", "account", c.ACCOUNT, "light-blue"),
             ("freshness", "account", c.ACCOUNT, "#8e8e8e"))
    return [series(
        P.BUDGETS, "Budgets left", f"What is left of what each objective allows to go wrong in 30 days; of several lines or accounts, the least. Below 0 the objective is missed. "
        f"Unknown before a day and {T.BUDGET_LEAST} messages.",
        [Query(c.recorded(BUDGET.format(level, name), scope, op="min", by=""), name) for name, level, scope, _ in kinds], unit="percentunit", width=24, height=8, low=None,
        limit="dashed", steps=c.ZERO_LINE, high=1, legend="list", calcs=("lastNotNull", "min"), fields=c.by_name({name: color for name, *_, color in kinds}), decimals=0,
        defaults={"noValue": "not yet"})]


def burns():
    panels = []
    for id, name, bad, all_, burn in ((P.DELIVERY_BURN, "delivery", m.BAD, m.ENDED, T.DELIVERY_BURN), (P.LATENCY_BURN, "latency", m.SLOW, m.MEASURED, T.LATENCY_BURN)):
        limits = c.steps(*sorted({factor: c.BAD if severity == "critical" else c.WARN for factor, *_, severity in reversed(burn)}.items()))
        drawn = ", ".join(f"{factor:g}" for factor in sorted({factor for factor, *_ in burn}))
        panels.append(series(
            id, f"Burn rate of {name}", f"How many times faster than allowed the budget of the chosen lines together burns: at 1 it lasts exactly 30 days. The alerts' limits are {drawn}; "
            "they also ask for more than chance explains.",
            [Query(f"{total(bad, w, c.LINE)} / ({total(all_, w, c.LINE)} > 0) / (1 - scalar(blooio:{name}_objective:ratio))", w) for w in WINDOWS], unit="suffix:x", height=8,
            limit="dashed", steps=limits, high=2, fields=c.by_name(WINDOWS), legend="list", calcs=("lastNotNull",), decimals=1))
    return panels


def by_line():
    colored = {"cellOptions": {"type": "color-background"}}
    columns = [
        ("Failed, 3 d", c.recorded(m.BAD + ":increase3d"), "none", (), 0),
        ("of", c.recorded(m.ENDED + ":increase3d"), "none", (), 0),
        ("Share", f"{c.recorded(m.BAD + ':ratio_rate3d')} and {c.recorded(m.ENDED + ':increase3d')} >= {T.RECEIPTS[2][2]}", "percentunit",
         c.steps((c.FAILURE_WARN, c.WARN), (c.FAILURE_BAD, c.BAD)), 1),
        ("Delivery budget left", c.recorded(BUDGET.format("account_line", "delivery"), op="min"), "percentunit", c.BUDGET_STEPS, 0),
        ("Slow, 3 d", c.recorded(m.SLOW + ":increase3d"), "none", (), 0),
        ("of ", c.recorded(m.MEASURED + ":increase3d"), "none", (), 0),
        ("Latency budget left", c.recorded(BUDGET.format("account_line", "latency"), op="min"), "percentunit", c.BUDGET_STEPS, 0),
    ]
    fields = [Field("line", title="Line", unit="string", link=c.ROW_TO_LINE), Field("account", title="Account", unit="string")]
    fields += [Field(f"Value #{letter}", title=title, unit=unit, steps=c.plain(steps), decimals=decimals, mappings=c.NO_CELL, custom=colored if steps else {})
               for letter, (title, _, unit, steps, decimals) in zip("ABCDEFG", columns)]
    return [table(
        P.TABLE, "Objectives by line", "A row for each line; a click on it opens its page. A share of fewer than eight messages is left out.", [Query(c.cells(expr, c.BY_LINE)) for _, expr, *_ in columns],
        fields, height=11, none="-", order=("line", *(f"Value #{x}" for x in "ABCDEFG"), *T.EXTRA_LABELS, "account"), sort=(("Failed, 3 d", True),))]


def dashboard():
    return Dashboard(
        ids.OBJECTIVES, c.TITLES[ids.OBJECTIVES], "What is aimed at over 30 days, what is reached, and how fast the error budgets burn.",
        rows=[Row("", strip() + budgets() + burns() + by_line())],
        since="now-24h", links=c.links(ids.OBJECTIVES), annotations=c.ANNOTATIONS, variables=c.VARIABLES)
