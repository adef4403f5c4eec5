"""What a rule is, and the names of what is recorded.

Every recorded name is `level:metric:operation`. The level names the labels that are kept besides `job` and
EXTRA_LABELS: `account`, `account_line`. `instance` is aggregated away, so a new pod continues the old one's series.
"""

from mixin import ids

BAD = "account_line:blooio_outbound_bad_messages"
ENDED = "account_line:blooio_outbound_ended_messages"
FALLBACK = "account_line:blooio_outbound_fallback_messages"
ROUTED = "account_line:blooio_outbound_routed_messages"
ACCEPTED = "account_line:blooio_outbound_accepted_messages"
HANDED = "account_line:blooio_outbound_sent_messages"
INBOUND = "account_line:blooio_inbound_messages"
IMESSAGE_SENT = "account_line:blooio_outbound_imessage_sent_messages"
IMESSAGE_DELIVERED = "account_line:blooio_outbound_imessage_delivered_messages"
MEASURED = "account_line:blooio_delivery_latency_measured_messages"
SLOW = "account_line:blooio_delivery_latency_slow_messages"
STARTED = "account_line:blooio_conversations_started"
ANSWERED = "account_line:blooio_conversations_answered"
POSITIONED = "account_line:blooio_outbound_positioned_messages"
DEEP = "account_line:blooio_outbound_deep_messages"
LOST = "account_line:blooio_outbound_lost_imessage_messages"
API_ASKED = "account:blooio_api_requests"
API_ERRORS = "account:blooio_api_request_errors"
AGE = "account:blooio_collection:age_seconds"
FRESH = "account:blooio_collection:fresh"
UNREADABLE = "account:blooio_collection:unreadable_chats"
MEDIAN = "account_line:blooio_delivery_latency_seconds:p50_rate1h"
P95 = "account_line:blooio_delivery_latency_seconds:p95_rate1h"
USUAL_FALLBACK = f"{FALLBACK}:usual_ratio"
SIGNS = "account_line:blooio_warning_signs:count"
GRADE = "account_line:blooio_line:grade"
GRADES = ("well", "watch", "at risk", "critical")


class Rule:
    """A recording rule, or an alert when `alert` is set."""

    def __init__(self, expr, record=None, alert=None, wait=None, keep=None, labels=None, annotations=None, carries=()):
        self.record, self.alert, self.expr = record, alert, expr.strip("\n")
        self.wait, self.keep = wait, keep
        self.labels, self.annotations = labels or {}, annotations or {}
        self.carries = set(carries)  # labels that the expression's result has


class Group:
    def __init__(self, name, rules, interval=None, why=""):
        self.name, self.rules, self.interval, self.why = name, rules, interval, why


def percent(ratio):
    return f"{round(ratio * 100, 4):g} %"


class Base:
    """Thresholds `t`; `d` turns a duration into text, divided by the scale; `s` into seconds."""

    def __init__(self, t, d, s):
        self.t, self.d, self.s = t, d, s
        extra = list(t.EXTRA_LABELS)
        self.INSTANCE = ", ".join(["job", *extra, "instance"])
        self.ACCOUNT = ", ".join(["job", *extra, "account"])
        self.LINE = ", ".join(["job", *extra, "account", "line"])
        self.JOB = ", ".join(["job", *extra])

    def increase(self, selector, window, by):
        return f"sum by ({by}) (increase({selector}[{self.d(window)}]))"

    def significant(self, bad, all_, usual):
        """More than chance explains when the share `usual` of `all_` is bad."""
        t = self.t
        return f"{bad} > {t.AT_LEAST} + {usual} * {all_} + {t.SIGMAS} * sqrt({usual} * {all_})"

    def alert(self, name, expr, severity, summary, description, by, wait=None, keep=None, panel=None, **labels):
        carries = {label.strip() for label in by.split(",") if label.strip()}
        choice = [f"var-{label}={{{{ $labels.{label} | urlquery }}}}"
                  for label in (*self.t.EXTRA_LABELS, "account", "line") if label in carries]
        # The number alone: Grafana 10 accepts no other form, and later ones still take it.
        choice += [f"viewPanel={int(panel)}"] if panel else []
        dashboard = f"/d/{ids.UIDS[type(panel)] if panel else ids.OVERVIEW}" + ("?" + "&".join(choice) if choice else "")
        return Rule(
            alert=name, expr=expr, wait=wait, keep=keep, carries=carries | {"alertname", "severity"} | set(labels),
            labels={"severity": severity, **labels},
            annotations={
                "summary": summary,
                "description": description,
                "runbook_url": f"{self.t.RUNBOOKS}#{name.lower()}",
                "dashboard": dashboard,
            })
