"""What is recorded: totals, windows over them, and what follows from both.

A total is the sum of a counter over the labels that no rule needs; of several exporters of one account, the larger one.
It exists from the first scrape of a line, with 0, although a series such as `failed{reason="timeout"}` begins with its
first event: `increase()` over that series misses the event, a difference of totals does not. A window is the newest total
minus the smallest in the window. That is exact (nothing is extrapolated), reads one sample per minute and line, and a
restart of the exporter, whose counters continue, loses nothing.

A window without messages has no ratio: the divisor is filtered with `> 0`, and nothing is put in its place.
"""

from mixin.alerts import model as m
from mixin.alerts.durations import plus, seconds
from mixin.alerts.model import Base, Rule

BURN_WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
LATENCY_WINDOWS = ("5m", "30m", "1h", "6h", "3d")
API_WINDOWS = ("5m", "30m", "1h", "6h", "3d")
SLOW_WINDOW = "1d"  # and longer
ERROR_CODES = 'endpoint!="get_background", code=~"5..|timeout|connection|body"'
FIRING = 'alertstate="firing", alertname=~"Blooio.+", alertname!="BlooioLedgerImbalance", line!=""'


class Records(Base):
    def total(self, name, selectors, by, zero):
        zeros = [] if zero in selectors else [f"0 * {zero}"]
        inside = "\n    or\n".join(f"      {selector}" for selector in [*selectors, *zeros])
        return Rule(record=f"{name}:total", expr=f"""
max by ({by}) (
  sum by ({by}, instance) (
{inside}
  )
)""")

    def line_totals(self):
        imessage = '{protocol="imessage"}'
        out = "blooio_outbound_{}_messages_total"
        # `or` joins the families: no two of their series have the same labels, so none hides another.
        for name, *selectors in (
            (m.BAD, out.format("failed"), out.format("unconfirmed") + imessage),
            (m.ENDED, out.format("delivered"), out.format("failed"), out.format("unconfirmed")),
            (m.FALLBACK, out.format("fallback")),
            (m.ROUTED, out.format("fallback"), out.format("sent") + imessage),
            (m.ACCEPTED, "blooio_outbound_messages_total"),
            (m.HANDED, out.format("sent")),
            (m.INBOUND, "blooio_inbound_messages_total"),
            (m.IMESSAGE_SENT, out.format("sent") + imessage),
            (m.IMESSAGE_DELIVERED, out.format("delivered") + imessage),
            (m.MEASURED, "blooio_delivery_latency_seconds_count" + imessage),
            (m.STARTED, 'blooio_conversations_started_total{by="us"}'),
            (m.ANSWERED, "blooio_conversations_answered_total"),
            (m.POSITIONED, "blooio_outbound_unanswered_messages_total"),
            (m.DEEP, 'blooio_outbound_unanswered_messages_total{position=~"4|5plus"}'),
            (m.LOST, "blooio_outbound_lost_imessage_messages_total"),
        ):
            yield self.total(name, selectors, self.LINE, "blooio_outbound_messages_total")
        limit = f"{self.t.LATENCY_SECONDS:g}"
        # The text format says le="30.0", the protobuf form le="30".
        le = f'{limit}|{limit}[.]0' if "." not in limit else limit.replace(".", "[.]")
        yield Rule(record=f"{m.SLOW}:total", expr=f"""
  {m.MEASURED}:total
-
  max by ({self.LINE}) (
    sum by ({self.LINE}, instance) (
        blooio_delivery_latency_seconds_bucket{{protocol="imessage", le=~"{le}"}}
      or
        0 * blooio_outbound_messages_total
    )
  )""")

    def account_totals(self):
        yield self.total(m.API_ASKED, ['blooio_api_requests_total{endpoint!="get_background"}'], self.ACCOUNT, "blooio_up")
        yield self.total(m.API_ERRORS, [f"blooio_api_requests_total{{{ERROR_CODES}}}"], self.ACCOUNT, "blooio_up")

    def windows(self):
        """(name, windows, what it is a share of): which differences are recorded."""
        t = self.t
        return (
            (m.BAD, BURN_WINDOWS, m.ENDED),
            (m.ENDED, BURN_WINDOWS, None),
            (m.SLOW, LATENCY_WINDOWS, m.MEASURED),
            (m.MEASURED, LATENCY_WINDOWS, None),
            (m.FALLBACK, (t.FALLBACK_WINDOW, t.SHARE_WINDOW), m.ROUTED),
            (m.ROUTED, (t.FALLBACK_WINDOW, t.SHARE_WINDOW), None),
            (m.HANDED, (t.STUCK_WINDOW,), None),
            (m.ACCEPTED, ("1h", t.SILENT_WINDOW), None),
            (m.INBOUND, (t.SILENT_WINDOW,), None),
            (m.IMESSAGE_SENT, ("2h", "1d"), None),
            # What comes of something is looked for from its beginning until now, also where it began in a window that ended earlier.
            (m.IMESSAGE_DELIVERED, ("2h", *(plus(w, t.RECEIPTS_DELAY) for w in ("2h", "1d"))), None),
            (m.STARTED, ("1h", "1d", "3d"), None),
            (m.ANSWERED, ("1d", plus(t.REPLIES_WINDOW, t.REPLIES_DELAY), "3d"), None),
            (m.POSITIONED, (t.STREAK_WINDOW,), None),
            (m.DEEP, (t.STREAK_WINDOW,), None),
            (m.LOST, (t.LOST_WINDOW,), None),
            (m.API_ERRORS, API_WINDOWS, m.API_ASKED),
            (m.API_ASKED, API_WINDOWS, None),
        )

    def differences(self, slow):
        ratios = []
        for name, windows, of in self.windows():
            for w in windows:
                if (seconds(w) >= seconds(SLOW_WINDOW)) != slow:
                    continue
                yield Rule(record=f"{name}:increase{w}", expr=f"{name}:total - min_over_time({name}:total[{self.d(w)}])")
                if of:
                    ratios.append(Rule(record=f"{name}:ratio_rate{w}", expr=f"{name}:increase{w} / ({of}:increase{w} > 0)"))
        yield from ratios

    def usual(self):
        """The share that left iMessage in the week before the newest day."""
        t = self.t
        before = f"offset {self.d(t.SHARE_WINDOW)}"
        history = self.d(t.SHARE_HISTORY)
        for name in (m.FALLBACK, m.ROUTED):
            yield Rule(record=f"{name}:usual_increase", expr=f"""
  {name}:total {before}
-
  min_over_time({name}:total[{history}] {before})""")
        yield Rule(record=m.USUAL_FALLBACK, expr=f"{m.FALLBACK}:usual_increase / ({m.ROUTED}:usual_increase > 0)")

    def quantiles(self):
        for name, q in ((m.MEDIAN, 0.5), (m.P95, 0.95)):
            # Without a delivery the quantile is NaN, which no comparison lets through.
            yield Rule(record=name, expr=f"""
  histogram_quantile(
    {q},
    sum by ({self.LINE}, le) (rate(blooio_delivery_latency_seconds_bucket{{protocol="imessage"}}[{self.d("1h")}]))
  )
>=
  0""")

    def collection_records(self):
        # Before the first complete sweep the time is 0; the process start stands in for it, so that an exporter that
        # never gets anywhere is noticed too.
        yield Rule(record=m.AGE, expr=f"""
  time()
-
  max by ({self.ACCOUNT}) (
      blooio_collection_last_success_timestamp_seconds > 0
    or
        blooio_collection_last_success_timestamp_seconds
      + on ({self.INSTANCE}) group_left ()
        process_start_time_seconds
  )""")
        # Two exporters of one account see the same chats: the larger number counts, not the sum.
        yield Rule(record=m.UNREADABLE, expr=f"""
sum by ({self.ACCOUNT}) (
  max by ({self.ACCOUNT}, reason) (blooio_collection_unreadable_chats)
)""")
        yield Rule(record=m.FRESH, expr=f"{m.AGE} < bool {self.s(self.t.FRESHNESS_AGE):g}")
        # Without `bool` in a name of its own: the share of time that was not fresh, for each window of its alerts.
        for w in sorted({w for _, long, short, *_ in self.t.FRESHNESS_BURN for w in (long, short)}, key=self.s):
            yield Rule(record=f"account:blooio_collection_stale:ratio_rate{w}", expr=f"1 - avg_over_time({m.FRESH}[{self.d(w)}])")

    def objectives(self):
        t = self.t
        for name, value in (("delivery", t.DELIVERY_OBJECTIVE), ("latency", t.LATENCY_OBJECTIVE),
                            ("api", t.API_OBJECTIVE), ("freshness", t.FRESHNESS_OBJECTIVE)):
            yield Rule(record=f"blooio:{name}_objective:ratio", expr=f"vector({value})")

    def budgets(self):
        """What is left of each error budget: 1 is all of it, 0 none, below 0 the objective is missed."""
        t, period, hour = self.t, self.d(self.t.OBJECTIVE_PERIOD), self.d("1h")

        def budget(level, name, bad, all_, objective):
            return Rule(record=f"{level}:blooio_{name}_error_budget:remaining30d", expr=f"""
  1
-
    (
        sum_over_time({bad}:increase1h[{period}:{hour}])
      /
        (sum_over_time({all_}:increase1h[{period}:{hour}]) >= {t.BUDGET_LEAST})
    )
  /
    (1 - {objective})
and
  count_over_time({all_}:increase1h[{period}:{hour}]) >= {t.BUDGET_HOURS}""")

        yield budget("account_line", "delivery", m.BAD, m.ENDED, t.DELIVERY_OBJECTIVE)
        yield budget("account_line", "latency", m.SLOW, m.MEASURED, t.LATENCY_OBJECTIVE)
        yield budget("account", "api", m.API_ERRORS, m.API_ASKED, t.API_OBJECTIVE)
        yield Rule(record="account:blooio_freshness_error_budget:remaining30d", expr=f"""
  1
-
    (1 - avg_over_time({m.FRESH}[{period}:{self.d("5m")}]))
  /
    (1 - {t.FRESHNESS_OBJECTIVE})""")

    def grades(self):
        """The alerts that fire for a line, counted by name, and the line's grade: 0 well, 1 watch, 2 at risk, 3 critical."""
        yield Rule(record=m.SIGNS, expr=f"""
  count by ({self.LINE}) (
    group by ({self.LINE}, alertname) (ALERTS{{{FIRING}}})
  )
or
  0 * {m.ACCEPTED}:total""")
        yield Rule(record=m.GRADE, expr=f"""
  3 * group by ({self.LINE}) (ALERTS{{{FIRING}, severity="critical"}})
or
  ({m.SIGNS} >= bool 1) + ({m.SIGNS} >= bool {self.t.AT_RISK_SIGNS})""")
