"""One line (or some): is it at risk, what happens to its messages, and why."""

from mixin.alerts import rules as m

from mixin.dashboards import common as c
from mixin import ids
from mixin.dashboards.grafana import Dashboard, Field, Query, Row, Step, heatmap, series, stat, timeline
from mixin.ids import Line as P

T = c.T
OUTCOMES = {"handed over": "#8e8e8e", "with a receipt": "blue", "started by us": "#8e8e8e", "answered": "blue"}
REASONS = {
    "not_on_imessage": "blue", "unreachable": "orange", "timeout": "yellow", "rejected": "red", "rate_limited": "purple",
    "device_offline": "dark-red", "attachment": "light-blue", "none": "#6e6e6e", "other": "#8e8e8e",
}
POSITIONS = {"1": "super-light-blue", "2": "light-blue", "3": "blue", "4": "orange", "5plus": "red"}


def rec(name, window):
    return f"sum({c.sel(f'{name}:increase{window}', c.LINE)})"


def share(bad, of, window):
    return f"{rec(bad, window)} / ({rec(of, window)} > 0)"


def strip():
    return [
        stat(P.GRADE, "State", "Well: no warning sign. Watch: one. At risk: several. Critical: an alert that pages. Of several lines, the worst.",
             [Query(f"max({c.sel(m.GRADE, c.LINE)})", "state", instant=True)], unit="none", none="no line", mappings=c.GRADES, steps=c.GRADE_STEPS),
        stat(P.DEVICE, "Device", "Whether the newest probe of the device was answered; of several lines, the worst.",
             [Query(c.recorded("blooio_device_probe_success", op="min", by=""), "device", instant=True)], unit="none", none="not probed",
             mappings=c.REACHED_WORD, steps=c.UP_STEPS),
        stat(P.FAILURE_SHARE, "Failed, 1 d", "Share of the messages that ended within a day and failed, or, by iMessage, stayed without a receipt. A share that chance explains is left out.",
             [Query(c.of(c.beyond_chance(share(m.BAD, m.ENDED, "1d"), rec(m.BAD, "1d"), rec(m.ENDED, "1d")), rec(m.ENDED, "1d")), "of {{of}} ended", instant=True)],
             unit="percentunit", name=True, none="too few to say", steps=c.FAILURE_STEPS, decimals=1),
        stat(P.BUDGET, "Budget left, 30 d", f"What is left of the failures that the objective allows in 30 days; of several lines, the least. Unknown before a day and {T.BUDGET_LEAST} messages.",
             [Query(c.or_unknown(c.recorded("account_line:blooio_delivery_error_budget:remaining30d", op="min", by="")), "left", instant=True)],
             unit="percentunit", none="not yet", mappings=c.NO_HOUR, steps=c.BUDGET_STEPS, decimals=0, links=[c.to_dashboard(ids.OBJECTIVES)]),
    ]


def risk():
    low = T.RECEIPTS[0][1]
    in_time = round(1 - T.LATENCY_BURN[1][0] * (1 - T.LATENCY_OBJECTIVE), 6)
    return [
        c.problems(P.RISK, "Warning signs", "What changed on this line, one sentence for each sign that holds.", more=', line!=""', width=12, height=7),
        series(P.RECEIPTS, "iMessages and their receipts, 2 h",
               f"iMessages handed over within 2 hours, and those confirmed as delivered. Below {low:.0%} nothing has failed, and yet they may not arrive.",
               [Query(rec(m.IMESSAGE_SENT, "2h"), "handed over"), Query(rec(m.IMESSAGE_DELIVERED, "2h"), "with a receipt")], unit="none", height=7,
               legend="list", calcs=("lastNotNull",), fields=c.by_name(OUTCOMES), decimals=0),
        series(P.WITHIN, f"Delivered within {T.LATENCY_SECONDS} s, 1 h", f"Share of the iMessage deliveries of an hour. Orange below {in_time:.0%}. The legend has the number of deliveries.",
               [Query(f"1 - {share(m.SLOW, m.MEASURED, '1h')}", "in time"), Query(f"({rec(m.MEASURED, '1h')})", "deliveries")], unit="percentunit", width=8, height=7,
               legend="list", calcs=("lastNotNull",), limit="dashed", steps=(Step(None, c.WARN), Step(in_time, c.GOOD)), decimals=0, high=1,
               fields=(c.Field("deliveries", unit="none", decimals=0, custom=c.LEGEND_ONLY),
                       c.Field("in time", color="blue"))),
        series(P.FALLBACK, "Share by iMessage, 1 d", f"Against the week before. The alert asks for {T.SHARE_POINTS * 100:g} points less, and more than chance. The legend has the number of messages.",
               [Query(f"1 - {share(m.FALLBACK, m.ROUTED, '1d')}", "now"),
                Query(f"1 - sum({c.sel(m.FALLBACK + ':usual_increase', c.LINE)}) / (sum({c.sel(m.ROUTED + ':usual_increase', c.LINE)}) > 0)", "the week before"),
                Query(f"({rec(m.ROUTED, '1d')})", "messages")], unit="percentunit",
               width=8, height=7, legend="list", calcs=("lastNotNull",), decimals=0, high=1,
               fields=(c.Field("messages", unit="none", decimals=0, custom=c.LEGEND_ONLY),
                       *c.by_name({"now": "blue", "the week before": "#8e8e8e"}))),
        series(P.LOST, "iMessage lost", f"Messages that left iMessage in chats in which it had worked, within {T.LOST_WINDOW}. The alert's limit is {T.LOST_IMESSAGE}.",
               [Query(rec(m.LOST, T.LOST_WINDOW), "lost")], unit="none", width=8, height=7, legend="list", limit="dashed", steps=c.steps((T.LOST_IMESSAGE, c.WARN)),
               high=T.LOST_IMESSAGE + 1, decimals=0, fields=c.by_name({"lost": "blue"})),
        series(P.STARTED, "New conversations, 1 d", f"Conversations that the line started within a day, and those that were answered. The limit is {T.NEW_PER_DAY_SHARE:.0%} of {T.NEW_PER_DAY}.",
               [Query(rec(m.STARTED, "1d"), "started by us"), Query(rec(m.ANSWERED, "1d"), "answered")], unit="none", height=7, legend="list", limit="dashed",
               steps=c.steps((T.NEW_PER_DAY * T.NEW_PER_DAY_SHARE, c.WARN)), calcs=("lastNotNull",), decimals=0, fields=c.by_name(OUTCOMES)),
        series(P.POSITIONS, "Messages by position without a reply", "Outbound messages per hour by their position: 1 is the first since the contact last wrote. Providers restrict lines for the fourth and later.",
               [Query(f"3600 * sum by (position) (rate({c.sel('blooio_outbound_unanswered_messages_total', c.LINE)}[$__rate_interval]))", "{{position}}")],
               unit="suffix:/h", stack=True, height=7, legend="list", calcs=("lastNotNull",), decimals=0, fields=c.by_name(POSITIONS)),
    ]


def outcome():
    limits = f"Above {c.FAILURE_WARN:.0%} for hours, or above {c.FAILURE_BAD:.1%} for an hour, the alert pages, if chance does not explain it."
    return [
        series(P.FAILURES, "Ended, and ended badly, 1 h", f"Messages that ended within an hour, and those that failed or stayed without a receipt. {limits}",
               [Query(rec(m.ENDED, "1h"), "ended"), Query(rec(m.BAD, "1h"), "ended badly")], unit="none", width=8, height=7, legend="list",
               calcs=("lastNotNull", "max"), decimals=0, fields=c.by_name({"ended": "#8e8e8e", "ended badly": c.BAD})),
        series(P.REASONS, "Failures by reason", "Messages per minute that ended failed, by the class of their error text.",
               [Query(f"{c.per_minute('blooio_outbound_failed_messages_total', 'reason')} > 0", "{{reason}}")], unit="suffix:/min", width=8, height=7, legend="list",
               stack=True, bars=True, fields=(*c.by_name(REASONS), Field("none", title="no error text")), calcs=("max",), decimals=1, defaults={"noValue": "none failed"}),
        series(P.AGES, "Oldest waiting message", "Pending and queued wait for their hand-over: their limits are drawn.",
               [Query(f"max by (status) (max_over_time({c.sel('blooio_outbound_open_oldest_age_seconds', c.LINE, c.WAITING)}[$__rate_interval])) / 60", "{{status}}")],
               unit="suffix: min", width=8, height=7, legend="list", limit="dashed", steps=c.WAIT_MINUTES, high=20, decimals=0, fields=c.by_name(c.STATUSES)),
        series(P.OPEN, "Open messages by status", "Outbound messages without an end yet. Sent may last for days when a phone is off, and most SMS stay there.",
               [Query(f"sum by (status) ({c.sel('blooio_outbound_open_messages', c.LINE)})", "{{status}}")], unit="none", stack=True, height=7, width=8, legend="list",
               fields=c.by_name(c.STATUSES), decimals=0),
        timeline(P.DEVICES, "Device and listing", "Whether the newest probe was answered, and whether Blooio lists the line as active.",
                 [Query(c.recorded("blooio_device_probe_success", op="min"), "{{line}} reached"),
                  Query(f"min by ({c.BY_LINE}) ({c.sel('blooio_line_active', c.LINE)})", "{{line}} listed")], height=7, width=8, mappings=c.HOLDS, steps=c.UP_STEPS),
        series(P.PROBES, "Probes by answer", "Probes in each step: 502 is a failed round trip to the device, 503 no active number.",
               [Query(f"sum by (code) (increase({c.sel('blooio_device_probes_total', c.LINE)}[$__rate_interval])) > 0", "{{code}}")], unit="none",
               bars=True, stack=True, height=7, width=8, legend="list", fields=c.by_name(c.CODES), calcs=("lastNotNull", "max"), decimals=0),
    ]


def traffic():
    return [
        c.traffic("outbound", P.OUTBOUND, width=8),
        c.traffic("inbound", P.INBOUND, width=8),
        series(P.QUANTILES, "Delivery latency of iMessages, 1 h", f"Half, and 95 %, of the deliveries were faster; of several lines, the slowest. The limits are {T.LATENCY_SECONDS:g} s and, for the half, {T.SLOWED_SECONDS} s.",
               [Query(f"max({c.sel(name, c.LINE)})", label) for label, name in (("p50", m.MEDIAN), ("p95", m.P95))],
               unit="s", width=8, height=7, legend="list", limit="dashed", steps=c.LATENCY_STEPS, fields=c.by_name({"p50": "blue", "p95": "purple"}), decimals=0),
    ]


def more():
    return [
        heatmap(P.REPLIES, "Replies by delay", "From our newest message to the contact's next one.",
                Query(f"sum by (le) (increase({c.sel('blooio_reply_delay_seconds_bucket', c.LINE)}[$__rate_interval]))")),
        series(P.STREAKS, "Chats that wait for a reply", "Chats whose newest message is ours, by the number of our turns since the contact last wrote.",
               [Query(f"sum by (streak) ({c.sel('blooio_unanswered_chats', c.LINE)})", "{{streak}}")], unit="none", stack=True, legend="list",
               decimals=0, fields=c.by_name(POSITIONS)),
        series(P.MIX, "Status of the messages of the last hour", "Outbound messages of the exporter's trailing window, by what is known of them now.",
               [Query(f"sum by (status) ({c.sel('blooio_recent_messages', c.LINE, c.OUTBOUND)})", "{{status}}")], unit="none", stack=True, width=24, height=6,
               fields=c.by_name(c.STATUSES), calcs=("lastNotNull",), decimals=0),
    ]


def dashboard():
    return Dashboard(
        ids.LINE, c.TITLES[ids.LINE], "Is the line at risk, what happens to its messages, and why.",
        rows=[Row("", strip()), Row("Is it at risk", risk()), Row("What becomes of its messages", outcome()), Row("Traffic", traffic()),
              Row("More", more(), collapsed=True)],
        links=c.links(ids.LINE), annotations=c.ANNOTATIONS, variables=c.VARIABLES)
