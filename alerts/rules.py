"""The rules: what is recorded and what is said about it. Numbers come from thresholds.py, text form from generate.py.

Every recorded name is `level:metric:operation`. The level names the labels that are kept besides `job`:
`account`, `account_line`, `account_line_protocol`. `instance` is summed away, so two exporters of the same account
agree and a new pod continues the old one's series.

A window without messages has no ratio: the divisor is filtered with `> 0`, and nothing is put in its place.
"""

from source import ids  # dashboards/source/ids.py

LINE = "job, account, line"
ACCOUNT = "job, account"
WINDOWS = ["5m", "30m", "1h", "2h", "6h"]
SLOW_WINDOWS = ["1d", "3d"]
SEND_FAILED = "account_line:blooio_outbound_failed_messages"
ENDED = "account_line:blooio_outbound_ended_messages"
FALLBACK = "account_line:blooio_outbound_fallback_messages"
ROUTED = "account_line:blooio_outbound_routed_messages"
MEASURED = "account_line:blooio_delivery_latency_measured_messages"
SLOW = "account_line:blooio_delivery_latency_slow_messages"
API_ASKED = "account:blooio_api_requests"
API_ERRORS = "account:blooio_api_request_errors"
AGE = "account:blooio_collection:age_seconds"
FRESH = "account:blooio_collection:fresh"
UNREADABLE = "account:blooio_collection:unreadable_chats"


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


class Book:
    """All rules for one set of thresholds `t`. `d` turns a duration into text, divided by the scale; `s` into seconds."""

    def __init__(self, t, d, s):
        self.t, self.d, self.s = t, d, s

    # ---- recording ----

    def increase(self, selector, window, by):
        return f"sum by ({by}) (increase({selector}[{self.d(window)}]))"

    def window(self, w):
        """What is known of one window."""
        t, d = self.t, self.d(w)
        limit = f"{t.LATENCY_SECONDS:g}"
        # The text format says le="30.0", the protobuf form le="30".
        le = f'{limit}|{limit}[.]0' if "." not in limit else limit.replace(".", "[.]")
        yield Rule(record=f"{SEND_FAILED}:increase{w}",
                   expr=self.increase("blooio_outbound_failed_messages_total", w, LINE))
        # `or` joins the families: no two of their series have the same labels, so none hides another.
        yield Rule(record=f"{ENDED}:increase{w}", expr=f"""
sum by ({LINE}) (
    increase(blooio_outbound_delivered_messages_total[{d}])
  or
    increase(blooio_outbound_failed_messages_total[{d}])
  or
    increase(blooio_outbound_unconfirmed_messages_total[{d}])
)""")
        yield Rule(record=f"{SEND_FAILED}:ratio_rate{w}", expr=f"""
  {SEND_FAILED}:increase{w}
/
  ({ENDED}:increase{w} > 0)""")
        yield Rule(record=f"{ROUTED}:increase{w}", expr=f"""
sum by ({LINE}) (
    increase(blooio_outbound_fallback_messages_total[{d}])
  or
    increase(blooio_outbound_sent_messages_total{{protocol="imessage"}}[{d}])
)""")
        yield Rule(record=f"{FALLBACK}:ratio_rate{w}", expr=f"""
  {self.increase("blooio_outbound_fallback_messages_total", w, LINE)}
/
  ({ROUTED}:increase{w} > 0)""")
        yield Rule(record=f"{MEASURED}:increase{w}", expr=self.increase(
            'blooio_delivery_latency_seconds_count{protocol="imessage"}', w, LINE))
        yield Rule(record=f"{SLOW}:increase{w}", expr=f"""
clamp_min(
    {MEASURED}:increase{w}
  -
    {self.increase(f'blooio_delivery_latency_seconds_bucket{{protocol="imessage", le=~"{le}"}}', w, LINE)},
  0
)""")
        yield Rule(record=f"{SLOW}:ratio_rate{w}", expr=f"""
  {SLOW}:increase{w}
/
  ({MEASURED}:increase{w} > 0)""")
        yield Rule(record=f"{API_ASKED}:increase{w}", expr=self.increase(
            'blooio_api_requests_total{endpoint!="get_background"}', w, ACCOUNT))
        # All minus good: a code that was never seen has no series, and must count as none, not as unknown.
        yield Rule(record=f"{API_ERRORS}:increase{w}", expr=f"""
  {API_ASKED}:increase{w}
-
  {self.increase('blooio_api_requests_total{endpoint!="get_background", code!~"5..|timeout|connection|body"}', w, ACCOUNT)}""")
        yield Rule(record=f"{API_ERRORS}:ratio_rate{w}", expr=f"""
  {API_ERRORS}:increase{w}
/
  ({API_ASKED}:increase{w} > 0)""")

    def quantiles(self, w):
        for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            # Without a delivery the quantile is NaN, which no comparison lets through.
            yield Rule(record=f"account_line_protocol:blooio_delivery_latency_seconds:{name}_rate{w}", expr=f"""
  histogram_quantile(
    {q},
    sum by ({LINE}, protocol, le) (rate(blooio_delivery_latency_seconds_bucket[{self.d(w)}]))
  )
>=
  0""")

    def collection_records(self):
        # Before the first complete sweep the time is 0; the process start stands in for it, so that an exporter that
        # never gets anywhere is noticed too.
        yield Rule(record=AGE, expr=f"""
  time()
-
  max by ({ACCOUNT}) (
      blooio_collection_last_success_timestamp_seconds > 0
    or
        blooio_collection_last_success_timestamp_seconds
      + on (job, instance) group_left ()
        process_start_time_seconds
  )""")
        # Two exporters of one account see the same chats: the larger number counts, not the sum.
        yield Rule(record=UNREADABLE, expr=f"""
sum by ({ACCOUNT}) (
  max by ({ACCOUNT}, reason) (blooio_collection_unreadable_chats)
)""")
        yield Rule(record=FRESH, expr=f"{AGE} < bool {self.s(self.t.FRESHNESS_AGE):g}")

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
        (sum_over_time({all_}:increase1h[{period}:{hour}]) > 0)
    )
  /
    (1 - {objective})""")

        yield budget("account_line", "delivery", SEND_FAILED, ENDED, t.DELIVERY_OBJECTIVE)
        yield budget("account_line", "latency", SLOW, MEASURED, t.LATENCY_OBJECTIVE)
        yield budget("account", "api", API_ERRORS, API_ASKED, t.API_OBJECTIVE)
        yield Rule(record="account:blooio_freshness_error_budget:remaining30d", expr=f"""
  1
-
    (1 - avg_over_time({FRESH}[{period}:{self.d("5m")}]))
  /
    (1 - {t.FRESHNESS_OBJECTIVE})""")

    # ---- alerts ----

    def alert(self, name, expr, severity, summary, description, by, wait=None, keep=None, panel=None, **labels):
        carries = {label.strip() for label in by.split(",") if label.strip()}
        choice = [f"var-{label}={{{{ $labels.{label} | urlquery }}}}" for label in ("account", "line") if label in carries]
        # The number alone: Grafana 10 knows no other form, and later ones still take it.
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

    def exporter(self):
        t, d, job = self.t, self.d, self.t.JOB
        yield self.alert(
            "BlooioExporterDown", f'up{{job="{job}"}} == 0', "critical",
            "The Blooio exporter {{ $labels.instance }} does not answer",
            f"Prometheus has not been able to scrape {{{{ $labels.instance }}}} for {d(t.DOWN_FOR)}. Nothing else about "
            "Blooio can be seen until it answers. What happens meanwhile is counted when it is back.",
            "job, instance", wait=t.DOWN_FOR, keep=t.DOWN_KEEP, panel=ids.Exporter.UP)
        yield self.alert(
            "BlooioExporterAbsent", f'absent(up{{job="{job}"}})', "critical",
            f"Prometheus has no target in the job {job}",
            f"No target of the job {job} has been known to Prometheus for {d(t.DOWN_FOR)}: the scrape configuration or the "
            "service discovery lost the Blooio exporter, or the job has another name.",
            "job", wait=t.DOWN_FOR, keep=t.DOWN_KEEP, panel=ids.Exporter.UP)
        yield self.alert(
            "BlooioExporterRestarting",
            f'changes(process_start_time_seconds{{job="{job}"}}[{d(t.RESTARTS_WINDOW)}]) > {t.RESTARTS}', "warning",
            "The Blooio exporter {{ $labels.instance }} keeps restarting",
            "{{ $labels.instance }} started {{ $value | humanize }} times in the last " + d(t.RESTARTS_WINDOW) + ".",
            "job, instance", panel=ids.Exporter.STARTS)
        # An expired client authority is ignored while others are valid, so only the time before its expiry counts.
        for left, severity in t.CERTIFICATE:
            yield self.alert(
                "BlooioExporterCertificateExpiring", f"""
  min by (job, instance, role) (
      blooio_exporter_web_certificate_expiry_timestamp_seconds{{role="server"}}
    or
      blooio_exporter_web_certificate_expiry_timestamp_seconds > time()
  )
-
  time()
<
  {self.s(left):g}""", severity,
                "A TLS certificate of the Blooio exporter {{ $labels.instance }} expires soon",
                "A certificate ({{ $labels.role }}) in the web configuration of {{ $labels.instance }} expires in "
                f"{{{{ $value | humanizeDuration }}}}; {d(left)} is the limit. After that, scrapes fail.",
                "job, instance, role", wait=t.CERTIFICATE_FOR, panel=ids.Exporter.CERTIFICATES)
        yield self.alert(
            "BlooioExporterReloadFailed", """
  label_replace(blooio_exporter_config_last_reload_successful, "file", "configuration", "", "") == 0
or
  label_replace(blooio_exporter_web_config_last_reload_successful, "file", "web configuration", "", "") == 0""", "warning",
            "The Blooio exporter {{ $labels.instance }} rejected its new {{ $labels.file }}",
            f"{{{{ $labels.instance }}}} has run on the previous {{{{ $labels.file }}}} for {d(t.RELOAD_FOR)}: the newest one was "
            "rejected. The next start fails on it.",
            "job, instance, file", wait=t.RELOAD_FOR, panel=ids.Exporter.RELOAD)
        yield self.alert(
            "BlooioExporterClockOffset",
            f"max by (job, instance) (abs(blooio_api_clock_offset_seconds)) > {t.CLOCK_OFFSET_SECONDS}", "warning",
            "The clock of the Blooio exporter {{ $labels.instance }} is wrong",
            f"The clock of the host of {{{{ $labels.instance }}}} has differed from the API's by more than {t.CLOCK_OFFSET_SECONDS}s for "
            f"{d(t.CLOCK_FOR)}, now by {{{{ $value | humanizeDuration }}}}. The exporter corrects for it; other programs on the host do not.",
            "job, instance", wait=t.CLOCK_FOR, panel=ids.Api.CLOCK)
        yield self.alert(
            "BlooioWatchdog", "vector(1)", "none",
            "The way from Prometheus to you works",
            "This alert always fires. Whoever waits for it should worry when it stops coming.", "")

    def collection(self):
        t, d = self.t, self.d
        for age, severity in t.STALE:
            # One chat that cannot be read holds back every complete sweep, while all others are read. That is not
            # staleness, and BlooioChatsUnreadable reports it. After recovery the window leaves time to catch up.
            # `a > 0 <= b <= c` keeps the values of a between 0 and both limits.
            yield self.alert(
                "BlooioCollectorStale", f"""
  {AGE} > {self.s(age):g}
unless
  (
      max_over_time({UNREADABLE}[{d(age)}]) > 0 <= {t.UNREADABLE_FEW} <= {t.UNREADABLE_FEW_RATIO} * max by ({ACCOUNT}) (blooio_chats)
    and
      {self.increase('blooio_collection_sweeps_total{result!="failed"}', age, ACCOUNT)} > 0
  )""", severity,
                "The data of the Blooio account {{ $labels.account }} is out of date",
                "The newest complete sweep of the account {{ $labels.account }} is {{ $value | humanizeDuration }} old; "
                f"{d(age)} is the limit. Other alerts of this account describe the past.",
                ACCOUNT, wait=t.STALE_FOR, panel=ids.Exporter.FRESHNESS)
        yield self.alert(
            "BlooioChatsUnreadable", f"{UNREADABLE} > 0", "warning",
            "Chats of the Blooio account {{ $labels.account }} cannot be read",
            "{{ $value | humanize }} chats of the account {{ $labels.account }} are listed, but their messages cannot be read. Messages in "
            "these chats are not counted until they can; all other chats are read as usual.",
            ACCOUNT, wait=t.UNREADABLE_FOR, panel=ids.Exporter.UNREADABLE)
        yield self.alert(
            "BlooioUnreadableChatsExpiring",
            f"time() - min by ({ACCOUNT}) (blooio_collection_unreadable_oldest_timestamp_seconds > 0) > {self.s(t.UNREADABLE_EXPIRING_AGE):g}",
            "critical",
            "Messages in unreadable chats of the Blooio account {{ $labels.account }} are about to be lost",
            "A chat of the account {{ $labels.account }} has been unreadable for {{ $value | humanizeDuration }}; "
            f"{d(t.UNREADABLE_EXPIRING_AGE)} is the limit. Its messages are lost to the counters once they are older than two retentions.",
            ACCOUNT, wait=t.UNREADABLE_EXPIRING_FOR, panel=ids.Exporter.UNREADABLE_OLDEST)
        # A rejected row of the list makes a chat unreadable, which has its own alert.
        rejected = self.increase('blooio_collection_rejected_items_total{endpoint!="list_chats"}', t.REJECTED_WINDOW, ACCOUNT)
        yield self.alert(
            "BlooioRowsRejected", f"{rejected} > {t.REJECTED_ITEMS}", "warning",
            "The API of the Blooio account {{ $labels.account }} returns rows that cannot be used",
            "About {{ $value | humanize }} rows in the answers for the account {{ $labels.account }} were rejected in the last "
            f"{d(t.REJECTED_WINDOW)}; {t.REJECTED_ITEMS} is the limit. Messages in rejected rows are not counted.",
            ACCOUNT, wait=t.REJECTED_FOR, panel=ids.Exporter.REJECTED)
        yield self.alert(
            "BlooioFullListingOverdue", f"""
  time()
-
  max by ({ACCOUNT}) (
      blooio_collection_full_listing_timestamp_seconds > 0
    or
        blooio_collection_full_listing_timestamp_seconds
      + on (job, instance) group_left ()
        process_start_time_seconds
  )
>
  {self.s(t.LISTING_AGE):g}""", "warning",
            "The chats of the Blooio account {{ $labels.account }} are not listed completely",
            "The newest complete listing of all chats of the account {{ $labels.account }} is {{ $value | humanizeDuration }} old; "
            f"{d(t.LISTING_AGE)} is the limit. Chats that the first pages of the list do not show are missed meanwhile.",
            ACCOUNT, wait=t.LISTING_FOR, panel=ids.Exporter.LISTING)
        yield self.alert(
            "BlooioFloorStalled",
            f"time() - max by ({ACCOUNT}) (blooio_collection_floor_timestamp_seconds > 0) > {self.s(t.FLOOR_AGE):g}", "warning",
            "The state of the Blooio account {{ $labels.account }} grows",
            "The floor of the account {{ $labels.account }}, below which messages are forgotten, is {{ $value | humanizeDuration }} old; "
            f"{d(t.FLOOR_AGE)} is the limit. Audits do not complete, and state and memory grow meanwhile.",
            ACCOUNT, wait=t.FLOOR_FOR, panel=ids.Exporter.LISTING)
        # The list decides: a single chat that answers 403 is unreadable, and says nothing about the key.
        yield self.alert(
            "BlooioApiAuthFailing", f"""
  {self.increase('blooio_api_requests_total{endpoint="list_chats", code=~"401|403"}', t.AUTH_WINDOW, ACCOUNT)} > 0
and
  max by ({ACCOUNT}) (blooio_up) == 0""", "critical",
            "Blooio refuses the API key of the account {{ $labels.account }}",
            "About {{ $value | humanize }} requests of the account {{ $labels.account }} were answered 401 or 403 in the last "
            f"{d(t.AUTH_WINDOW)}, and the newest sweep did not complete. Whoever sends with the same key may be refused too.",
            ACCOUNT, wait=t.AUTH_FOR, panel=ids.Api.LIMITS)
        yield self.alert(
            "BlooioRateLimited", f"""
    {self.increase('blooio_api_requests_total{code="429"}', t.RATE_LIMITED_WINDOW, ACCOUNT)}
  /
    ({self.increase('blooio_api_requests_total', t.RATE_LIMITED_WINDOW, ACCOUNT)} > 0)
>
  {t.RATE_LIMITED_RATIO}""", "warning",
            "Blooio limits the requests of the account {{ $labels.account }}",
            "{{ $value | humanizePercentage }} of the requests of the account {{ $labels.account }} were answered 429 in the "
            f"last {d(t.RATE_LIMITED_WINDOW)}; {percent(t.RATE_LIMITED_RATIO)} is the limit. Senders share the account's "
            "allowance and may be limited with it.",
            ACCOUNT, wait=t.RATE_LIMITED_FOR, panel=ids.Api.LIMITS)
        yield self.alert(
            "BlooioCollectionFallingBehind", f"""
  max by ({ACCOUNT}) (blooio_collection_deferred_chats - on (job, instance, account) sum by (job, instance, account) (blooio_collection_unreadable_chats)) > 0
and
  time() - max by ({ACCOUNT}) (blooio_collection_watermark_timestamp_seconds > 0) > {self.s(t.BEHIND_AGE):g}""", "warning",
            "Counting of the Blooio account {{ $labels.account }} does not keep up",
            "{{ $value | humanize }} readable chats of the account {{ $labels.account }} wait to be read, and messages older than "
            f"{d(t.BEHIND_AGE)} are not counted yet. The request budget is exhausted, or the API is slow.",
            ACCOUNT, wait=t.BEHIND_FOR, panel=ids.Exporter.WATERMARK)
        yield self.alert(
            "BlooioLedgerImbalance", f"""
abs(
    sum by ({LINE}) (blooio_outbound_messages_total)
  + sum by ({LINE}) (blooio_outbound_open_history_messages)
  - sum by ({LINE}) (blooio_outbound_delivered_messages_total)
  - sum by ({LINE}) (blooio_outbound_failed_messages_total)
  - sum by ({LINE}) (blooio_outbound_cancelled_messages_total)
  - sum by ({LINE}) (blooio_outbound_unconfirmed_messages_total)
  - sum by ({LINE}) (blooio_outbound_open_messages)
) > {t.IMBALANCE_MESSAGES}""", "critical",
            "The counts of the line {{ $labels.line }} contradict each other",
            "{{ $value | humanize }} outbound messages of the line {{ $labels.line }} (account {{ $labels.account }}) are neither "
            "open nor ended, or are counted twice. This is a fault of the exporter: its numbers cannot be trusted.",
            LINE, wait=t.IMBALANCE_FOR, panel=ids.Exporter.BALANCE)

    def devices(self):
        t, d = self.t, self.d
        yield self.alert(
            "BlooioDeviceDown",
            f"max by ({LINE}) (max_over_time(blooio_device_probe_success[{d(t.DEVICE_DOWN_SETTLE)}])) == 0", "critical",
            "The device of the line {{ $labels.line }} does not answer",
            f"For more than {d(t.DEVICE_DOWN_FOR)} no probe of the line {{{{ $labels.line }}}} (account {{{{ $labels.account }}}}) "
            "has reached its device. Its messages are likely to wait until it is back.",
            LINE, wait=t.DEVICE_DOWN_FOR, keep=t.DEVICE_DOWN_KEEP, panel=ids.Line.DEVICES)
        yield self.alert(
            "BlooioNoActiveDevice", f"""
  {self.increase('blooio_device_probes_total{code="503"}', t.NO_DEVICE_WINDOW, LINE)} > 0
and
  max by ({LINE}) (blooio_device_probe_success) == 0""", "critical",
            "Blooio has no active device for the line {{ $labels.line }}",
            "About {{ $value | humanize }} probes of the line {{ $labels.line }} (account {{ $labels.account }}) were answered 503 "
            f"in the last {d(t.NO_DEVICE_WINDOW)}, and none has succeeded since. Sending is likely to be refused with 503 as well.",
            LINE, wait=t.NO_DEVICE_FOR, keep=t.NO_DEVICE_KEEP, panel=ids.Line.DEVICES)
        yield self.alert(
            "BlooioDeviceErrors", f"""
    {self.increase('blooio_device_probes_total{code="502"}', t.DEVICE_ERRORS_WINDOW, LINE)}
  /
    ({self.increase('blooio_device_probes_total', t.DEVICE_ERRORS_WINDOW, LINE)} > 0)
>
  {t.DEVICE_ERRORS_RATIO}
and
  {self.increase('blooio_device_probes_total{code="502"}', t.DEVICE_ERRORS_WINDOW, LINE)} >= {t.DEVICE_ERRORS_COUNT}
and
  {self.increase('blooio_device_probes_total{code="502"}', t.DEVICE_ERRORS_RECENT, LINE)} > 0""", "warning",
            "The device of the line {{ $labels.line }} answers only at times",
            "{{ $value | humanizePercentage }} of the probes of the line {{ $labels.line }} (account {{ $labels.account }}) failed "
            f"on the way to its device in the last {d(t.DEVICE_ERRORS_WINDOW)}; {percent(t.DEVICE_ERRORS_RATIO)} is the limit.",
            LINE, wait=t.DEVICE_ERRORS_FOR, panel=ids.Line.PROBES)
        yield self.alert(
            "BlooioDeviceFlapping",
            f"max by ({LINE}) (changes(blooio_device_probe_success[{d(t.FLAPPING_WINDOW)}])) > {t.FLAPPING_CHANGES}", "warning",
            "The device of the line {{ $labels.line }} comes and goes",
            "The device of the line {{ $labels.line }} (account {{ $labels.account }}) changed between reached and not reached "
            "{{ $value | humanize }} times in the last " + d(t.FLAPPING_WINDOW) + ".",
            LINE, panel=ids.Line.DEVICES)
        yield self.alert(
            "BlooioLineInactive", f"max by ({LINE}) (blooio_line_active) == 0", "critical",
            "Blooio says that the line {{ $labels.line }} is inactive",
            "The line {{ $labels.line }} of the account {{ $labels.account }} has been listed as not active for "
            f"{d(t.LINE_INACTIVE_FOR)}.",
            LINE, wait=t.LINE_INACTIVE_FOR, panel=ids.Line.LISTED)

    def delivery(self):
        t, d = self.t, self.d
        days = self.s(t.OBJECTIVE_PERIOD) / 86400
        for factor, long, short, wait, severity in t.DELIVERY_BURN:
            limit = round(factor * (1 - t.DELIVERY_OBJECTIVE), 6)
            yield self.alert(
                "BlooioDeliveryErrorBudgetBurn", f"""
  {SEND_FAILED}:ratio_rate{long} > {limit:g}
and
  {SEND_FAILED}:ratio_rate{short} > {limit:g}
and
  {ENDED}:increase{long} >= {t.MIN_ENDED}""", severity,
                "Messages of the line {{ $labels.line }} fail too often",
                "{{ $value | humanizePercentage }} of the messages of the line {{ $labels.line }} (account {{ $labels.account }}) "
                f"that ended in the last {d(long)} failed; {percent(limit)} is the limit here and {percent(1 - t.DELIVERY_OBJECTIVE)} "
                f"the objective. At the limit the error budget of {round(days, 3):g} days lasts {round(days / factor, 1):g} days.",
                LINE, wait=wait, window=long, panel=ids.Line.FAILURES)
        window = t.LOW_VOLUME_WINDOW
        yield self.alert(
            "BlooioLowVolumeFailures", f"""
  {SEND_FAILED}:ratio_rate{window} > {t.LOW_VOLUME_RATIO}
and
  {SEND_FAILED}:increase{window} >= {t.LOW_VOLUME_FAILED}
and
  {ENDED}:increase{window} < {t.MIN_ENDED}""", "warning",
            "Several of the few messages of the line {{ $labels.line }} failed",
            "{{ $value | humanizePercentage }} of the messages of the line {{ $labels.line }} (account {{ $labels.account }}) that ended "
            f"in the last {d(window)} failed: at least {t.LOW_VOLUME_FAILED}, of fewer than {t.MIN_ENDED}.",
            LINE, wait=t.LOW_VOLUME_FOR, panel=ids.Line.FAILURES)
        for factor, long, short, wait, severity in t.LATENCY_BURN:
            limit = round(factor * (1 - t.LATENCY_OBJECTIVE), 6)
            yield self.alert(
                "BlooioLatencyBudgetBurn", f"""
  {SLOW}:ratio_rate{long} > {limit:g}
and
  {SLOW}:ratio_rate{short} > {limit:g}
and
  {MEASURED}:increase{long} >= {t.MIN_ENDED}""", severity,
                "iMessages of the line {{ $labels.line }} are delivered late",
                f"{{{{ $value | humanizePercentage }}}} of the iMessage deliveries of the line {{{{ $labels.line }}}} (account "
                f"{{{{ $labels.account }}}}) in the last {d(long)} took longer than {t.LATENCY_SECONDS:g}s; {percent(limit)} is the limit "
                f"here and {percent(1 - t.LATENCY_OBJECTIVE)} the objective.",
                LINE, wait=wait, window=long, panel=ids.Line.QUANTILES)
        for age, severity in t.STUCK:
            yield self.alert(
                "BlooioMessagesStuck",
                f'max by ({LINE}) (blooio_outbound_open_oldest_age_seconds{{status=~"pending|queued"}}) > {self.s(age):g}', severity,
                "Messages of the line {{ $labels.line }} are not handed over",
                "The oldest waiting message of the line {{ $labels.line }} (account {{ $labels.account }}) has been pending or queued for "
                f"{{{{ $value | humanizeDuration }}}}; {d(age)} is the limit.",
                LINE, wait=t.STUCK_FOR, panel=ids.Line.AGES)
        waiting = 'blooio_outbound_open_messages{status=~"pending|queued"}'
        yield self.alert(
            "BlooioBacklogGrowing", f"""
  sum by ({LINE}) ({waiting}) > {t.BACKLOG_MESSAGES}
and
  sum by ({LINE}) (delta({waiting}[{d(t.BACKLOG_WINDOW)}])) > 0""", "warning",
            "Ever more messages of the line {{ $labels.line }} wait",
            "{{ $value | humanize }} messages of the line {{ $labels.line }} (account {{ $labels.account }}) are pending or queued, more than "
            f"{d(t.BACKLOG_WINDOW)} ago; {t.BACKLOG_MESSAGES} is the limit.",
            LINE, wait=t.BACKLOG_FOR, panel=ids.Line.OPEN)
        w, week = t.FALLBACK_WINDOW, d(t.LAST_WEEK)
        # `unless`, not `and`: without a last week to compare with, the share alone decides.
        yield self.alert(
            "BlooioProtocolFallbackHigh", f"""
  {FALLBACK}:ratio_rate{w} > {t.FALLBACK_RATIO}
and
  {ROUTED}:increase{w} >= {t.FALLBACK_MIN_MESSAGES}
unless
    {FALLBACK}:ratio_rate{w}
  <=
    {t.FALLBACK_TIMES_LAST_WEEK} * ({FALLBACK}:ratio_rate{w} offset {week} and {ROUTED}:increase{w} offset {week} >= {t.FALLBACK_MIN_MESSAGES})""",
            "warning",
            "Many messages of the line {{ $labels.line }} leave iMessage",
            "{{ $value | humanizePercentage }} of the messages of the line {{ $labels.line }} (account {{ $labels.account }}) went by SMS or "
            f"RCS in the last {d(w)}; the limits are {percent(t.FALLBACK_RATIO)} and {t.FALLBACK_TIMES_LAST_WEEK} times the share "
            "at this hour a week ago.",
            LINE, wait=t.FALLBACK_FOR, panel=ids.Line.FALLBACK)

    def silent(self):
        t, d = self.t, self.d
        for direction in ("inbound", "outbound"):
            def total(offset=""):
                return f"sum by ({LINE}) (increase(blooio_{direction}_messages_total[{d(t.SILENT_WINDOW)}]{offset}))"
            yield self.alert(
                "BlooioLineSilent", f"""
  {total(f" offset {d(t.LAST_WEEK)}")} > {t.SILENT_MESSAGES_LAST_WEEK}
and
  {total()} == 0""", "warning",
                f"No {direction} messages on the line {{{{ $labels.line }}}}",
                f"The line {{{{ $labels.line }}}} (account {{{{ $labels.account }}}}) had no {direction} message in the last "
                f"{d(t.SILENT_WINDOW)}; in the same time a week ago it had about {{{{ $value | humanize }}}}.",
                LINE, wait=t.SILENT_FOR, direction=direction,
                panel=ids.Line.INBOUND if direction == "inbound" else ids.Line.OUTBOUND)

    # ---- groups ----

    def main(self):
        records = list(self.objectives()) + list(self.collection_records())
        for w in WINDOWS:
            records += self.window(w)
        records += list(self.quantiles("5m")) + list(self.quantiles("1h"))
        slow = [rule for w in SLOW_WINDOWS for rule in self.window(w)] + list(self.budgets())
        return [
            Group("blooio-recording", records),
            Group("blooio-recording-slow", slow, interval=self.t.SLOW_INTERVAL,
                  why="Long windows read many samples and change little."),
            Group("blooio-exporter", list(self.exporter())),
            Group("blooio-collection", list(self.collection())),
            Group("blooio-devices", list(self.devices())),
            Group("blooio-delivery", list(self.delivery())),
        ]

    def optional(self):
        return [Group("blooio-line-silent", list(self.silent()))]
