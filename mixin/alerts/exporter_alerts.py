"""Alerts about the exporter, its collection and the API."""

from mixin.alerts import model as m
from mixin.alerts.model import Base, ids, percent


class ExporterAlerts(Base):
    def exporter(self):
        t, d, job = self.t, self.d, self.t.JOB
        yield self.alert(
            "BlooioExporterDown", f'up{{job="{job}"}} == 0', "critical",
            "The Blooio exporter {{ $labels.instance }} does not answer",
            f"Prometheus has not been able to scrape {{{{ $labels.instance }}}} for {d(t.DOWN_FOR)}. Nothing else about "
            "Blooio can be seen until it answers. What happens meanwhile is counted when it is back.",
            self.INSTANCE, wait=t.DOWN_FOR, keep=t.DOWN_KEEP, panel=ids.Exporter.HEALTH)
        yield self.alert(
            "BlooioExporterAbsent", f'absent(up{{job="{job}"}})', "critical",
            f"Prometheus has no target in the job {job}",
            f"No target of the job {job} has been known to Prometheus for {d(t.DOWN_FOR)}: the scrape configuration or the "
            "service discovery lost the Blooio exporter, or the job has another name.",
            "job", wait=t.DOWN_FOR, keep=t.DOWN_KEEP, panel=ids.Exporter.HEALTH)
        yield self.alert(
            "BlooioExporterRestarting",
            f'changes(process_start_time_seconds{{job="{job}"}}[{d(t.RESTARTS_WINDOW)}]) > {t.RESTARTS}', "warning",
            "The Blooio exporter {{ $labels.instance }} keeps restarting",
            "{{ $labels.instance }} started {{ $value | humanize }} times in the last " + d(t.RESTARTS_WINDOW) + ".",
            self.INSTANCE, panel=ids.Exporter.VERSION)
        # An expired client authority is ignored while others are valid, so only the time before its expiry counts.
        for left, severity in t.CERTIFICATE:
            yield self.alert(
                "BlooioCertificateExpiring", f"""
  min by ({self.INSTANCE}, role) (
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
                f"{self.INSTANCE}, role", wait=t.CERTIFICATE_FOR, panel=ids.Exporter.CERTIFICATES)
        yield self.alert(
            "BlooioStateNotWritable", f"min by ({self.INSTANCE}) (blooio_state_writable) == 0", "critical",
            "The Blooio exporter {{ $labels.instance }} cannot write its state",
            f"No commit of {{{{ $labels.instance }}}} has succeeded for {d(t.NOT_WRITABLE_FOR)}. Its page stays at the last commit, so no "
            "other alert sees what happens now. A full disk is the usual cause.",
            self.INSTANCE, wait=t.NOT_WRITABLE_FOR, panel=ids.Exporter.HEALTH)
        # Absent where the state is a file: no lease, no alert.
        yield self.alert(
            "BlooioAccountHolders", f"sum by ({self.ACCOUNT}) (blooio_exporter_lease_held) != 1", "critical",
            "The Blooio account {{ $labels.account }} is held by {{ $value | humanize }} replicas",
            f"For {d(t.HOLDERS_FOR)}, the account {{{{ $labels.account }}}} has been held by {{{{ $value | humanize }}}} replicas of the "
            "exporter instead of 1. Held by none, it is on no page, and nothing of it can be seen; nothing is lost meanwhile.",
            self.ACCOUNT, wait=t.HOLDERS_FOR, panel=ids.Exporter.HOLDERS)
        yield self.alert(
            "BlooioStateGrowing", f"""
  max by ({self.INSTANCE}) (blooio_state_size_bytes) > {t.STATE_BYTES}
and
  max by ({self.INSTANCE}) (blooio_state_size_bytes) > {t.STATE_TIMES} * max by ({self.INSTANCE}) (blooio_state_size_bytes offset {d(t.LAST_WEEK)})""", "warning",
            "The state of the Blooio exporter {{ $labels.instance }} grows",
            "The state of {{ $labels.instance }} is {{ $value | humanize1024 }}B, more than "
            f"{t.STATE_TIMES} times what it was {d(t.LAST_WEEK)} ago. It should grow with the traffic of one retention only.",
            self.INSTANCE, wait=t.STATE_FOR, panel=ids.Exporter.STATE)
        yield self.alert(
            "BlooioSeriesDropped", f"sum by ({self.INSTANCE}, family) (increase(blooio_series_dropped_total[{d(t.DROPPED_WINDOW)}])) > 0", "warning",
            "The Blooio exporter {{ $labels.instance }} dropped series: {{ $labels.family }}",
            "A label of {{ $labels.family }} has too many values: about {{ $value | humanize }} observations of "
            f"{{{{ $labels.instance }}}} were counted under `overflow` in the last {d(t.DROPPED_WINDOW)}.",
            f"{self.INSTANCE}, family", panel=ids.Exporter.REJECTED)
        yield self.alert(
            "BlooioConfigReloadFailed", """
  label_replace(blooio_exporter_config_last_reload_successful, "file", "configuration", "", "") == 0
or
  label_replace(blooio_exporter_web_config_last_reload_successful, "file", "web configuration", "", "") == 0""", "warning",
            "The Blooio exporter {{ $labels.instance }} rejected its new configuration: {{ $labels.file }}",
            f"{{{{ $labels.instance }}}} has run on the previous {{{{ $labels.file }}}} for {d(t.RELOAD_FOR)}: the newest one was "
            "rejected. The next start fails on it.",
            f"{self.INSTANCE}, file", wait=t.RELOAD_FOR, panel=ids.Exporter.HEALTH)
        yield self.alert(
            "BlooioExporterClockOffset",
            f"max by ({self.INSTANCE}) (abs(blooio_api_clock_offset_seconds)) > {t.CLOCK_OFFSET_SECONDS}", "warning",
            "The clock of the Blooio exporter {{ $labels.instance }} is wrong",
            f"The clock of the host of {{{{ $labels.instance }}}} has differed from the API's by more than {t.CLOCK_OFFSET_SECONDS}s for "
            f"{d(t.CLOCK_FOR)}, now by {{{{ $value | humanizeDuration }}}}. The exporter corrects for it; other programs on the host do not.",
            self.INSTANCE, wait=t.CLOCK_FOR, panel=ids.Api.CLOCK)
        yield self.alert(
            "BlooioWatchdog", "vector(1)", "none",
            "Alerts reach their receiver",
            "This alert always fires. When it stops arriving, no other alert arrives either.", "")

    def webhook_flow(self, window):
        """Messages of an account that were counted within the window."""
        terms = [self.increase(f"blooio_{way}_messages_total", window, self.ACCOUNT) for way in ("inbound", "outbound")]
        return f"({terms[0]} + {terms[1]})"

    def since(self, name, window):
        """How much a total grew within the window, or since it began: two samples, however long the window is."""
        return f"({name} - ({name} offset {self.d(window)} or 0 * {name}))"

    def webhook_flow_of_day(self, window):
        terms = [f"sum by ({self.ACCOUNT}) {self.since(f'{name}:total', window)}" for name in (m.INBOUND, m.ACCEPTED)]
        return f"({terms[0]} + {terms[1]})"

    def webhook_missed_of_day(self, window):
        return f"sum by ({self.ACCOUNT}) {self.since('blooio_webhook_missed_messages_total', window)}"

    def webhook_failures(self, window):
        """Deliveries that a receiver did not take within the window. What a webhook failed before it was first seen is not of the window."""
        failures = f"max by ({self.ACCOUNT}, webhook) (blooio_webhook_failures"
        return f"({failures}) - {failures} offset {self.d(window)}))"

    def webhooks(self):
        t, d, account = self.t, self.d, self.ACCOUNT
        failures, flow = self.webhook_failures, self.webhook_flow
        yield self.alert(
            "BlooioWebhookFailing",
            f"{failures(t.WEBHOOK_WINDOW)} >= {t.WEBHOOK_FAILURES} and on ({account}) {flow(t.WEBHOOK_WINDOW)} > 0\n"
            f"or\n{failures(t.WEBHOOK_DAY)} >= {t.WEBHOOK_FAILURES} "
            f"> on ({account}) group_left () {t.WEBHOOK_RATIO} * {self.webhook_flow_of_day(t.WEBHOOK_DAY)} "
            f"and {failures(t.WEBHOOK_RECENT)} > 0", "warning",
            "The webhook {{ $labels.webhook }} of the Blooio account {{ $labels.account }} fails",
            "Your receiver behind the webhook {{ $labels.webhook }} of the account {{ $labels.account }} did not take {{ $value | humanize }} "
            f"deliveries in {d(t.WEBHOOK_WINDOW)}, or on a quiet account in {d(t.WEBHOOK_DAY)}. Blooio gives a delivery up after about 15m, "
            "and disables no webhook by itself.",
            f"{account}, webhook", wait=t.WEBHOOK_FOR, panel=ids.Exporter.WEBHOOKS)
        missed = self.increase("blooio_webhook_missed_messages_total", t.FEED_WINDOW, account)
        lately = self.increase("blooio_webhook_missed_messages_total", t.FEED_RECOVERED, account)
        events = lambda window: self.increase("blooio_webhook_events_total", window, account)
        yield self.alert(
            "BlooioWebhookSilent",
            # Not one event although messages come, which shows within minutes. After a start, messages of the time before it are found.
            f"({flow(t.FEED_SILENT_WINDOW)} >= {t.FEED_MESSAGES} and on ({account}) {events(t.FEED_SILENT_WINDOW)} == 0 "
            f"and on ({account}) blooio_webhook_feed_trusted offset {d(t.FEED_STARTED)})\n"
            # Events that Blooio has stopped sending again.
            f"or\n({missed} >= {t.FEED_MESSAGES} > {t.FEED_RATIO} * {flow(t.FEED_WINDOW)})\n"
            # The same on a quiet account, until events come and nothing is missed.
            f"or\n({self.webhook_missed_of_day(t.FEED_DAY)} >= {t.FEED_MESSAGES} > {t.FEED_RATIO} * {self.webhook_flow_of_day(t.FEED_DAY)} "
            f"unless on ({account}) ({events(t.FEED_RECOVERED)} > 0 and on ({account}) {lately} == 0))", "warning",
            "Webhooks of the Blooio account {{ $labels.account }} do not arrive",
            "Polling found {{ $value | humanize }} messages and outcomes of the account {{ $labels.account }} that no event announced. "
            "Nothing is lost: the exporter counts what it reads; it is only slower.",
            account, wait=t.FEED_FOR, panel=ids.Exporter.MISSED)
        rejected = self.increase('blooio_webhook_rejected_total{account!="none"}', t.RECEIVER_WINDOW, f"{self.ACCOUNT}, reason")
        yield self.alert(
            "BlooioReceiverRejecting", f"{rejected} >= {t.RECEIVER_REJECTED}", "warning",
            "The exporter rejects webhooks of the Blooio account {{ $labels.account }}: {{ $labels.reason }}",
            "{{ $value | humanize }} webhook deliveries to the account {{ $labels.account }} were rejected in "
            f"{d(t.RECEIVER_WINDOW)}, for the reason {{{{ $labels.reason }}}}.",
            f"{self.ACCOUNT}, reason", wait=t.RECEIVER_FOR, panel=ids.Exporter.DELIVERIES)

    def collection(self):
        t, d = self.t, self.d
        for age, severity in t.STALE:
            # One chat that cannot be read holds back every complete sweep, while all others are read. That is not
            # staleness, and BlooioChatsUnreadable reports it. After recovery the window leaves time to catch up.
            # `a > 0 <= b <= c` keeps the values of a between 0 and both limits.
            yield self.alert(
                "BlooioCollectorStale", f"""
  {m.AGE} > {self.s(age):g}
unless
  (
      max_over_time({m.UNREADABLE}[{d(age)}]) > 0 <= {t.UNREADABLE_FEW} <= {t.UNREADABLE_FEW_RATIO} * max by ({self.ACCOUNT}) (blooio_chats)
    and
      {self.increase('blooio_collection_sweeps_total{result!="failed"}', age, self.ACCOUNT)} > 0
  )""", severity,
                "The data of the Blooio account {{ $labels.account }} is out of date",
                "The newest complete sweep of the account {{ $labels.account }} is {{ $value | humanizeDuration }} old; "
                f"{d(age)} is the limit. Other alerts of this account describe the past.",
                self.ACCOUNT, wait=t.STALE_FOR, panel=ids.Exporter.FRESHNESS)
        yield self.alert(
            "BlooioChatsUnreadable", f"{m.UNREADABLE} > 0", "warning",
            "Chats of the Blooio account {{ $labels.account }} cannot be read",
            "{{ $value | humanize }} chats of the account {{ $labels.account }} are listed, but their messages cannot be read. Messages in "
            "these chats are not counted until they can; all other chats are read as usual.",
            self.ACCOUNT, wait=t.UNREADABLE_FOR, panel=ids.Exporter.UNREADABLE)
        yield self.alert(
            "BlooioUnreadableChatsExpiring",
            f"time() - min by ({self.ACCOUNT}) (blooio_collection_unreadable_oldest_timestamp_seconds > 0) > {self.s(t.UNREADABLE_EXPIRING_AGE):g}",
            "critical",
            "Messages in unreadable chats of the Blooio account {{ $labels.account }} are about to be lost",
            "A chat of the account {{ $labels.account }} has been unreadable for {{ $value | humanizeDuration }}; "
            f"{d(t.UNREADABLE_EXPIRING_AGE)} is the limit. Its messages are lost to the counters once they are older than two retentions.",
            self.ACCOUNT, wait=t.UNREADABLE_EXPIRING_FOR, panel=ids.Exporter.UNREADABLE)
        # A rejected row of the list makes a chat unreadable, which has its own alert.
        rejected = self.increase('blooio_collection_rejected_items_total{endpoint!="list_chats"}', t.REJECTED_WINDOW, self.ACCOUNT)
        yield self.alert(
            "BlooioRowsRejected", f"{rejected} > {t.REJECTED_ITEMS}", "warning",
            "The API of the Blooio account {{ $labels.account }} returns rows that cannot be used",
            "About {{ $value | humanize }} rows in the answers for the account {{ $labels.account }} were rejected in the last "
            f"{d(t.REJECTED_WINDOW)}; {t.REJECTED_ITEMS} is the limit. Messages in rejected rows are not counted.",
            self.ACCOUNT, wait=t.REJECTED_FOR, panel=ids.Exporter.REJECTED)
        yield from self.webhooks()
        yield self.alert(
            "BlooioFullListingOverdue", f"""
  time()
-
  max by ({self.ACCOUNT}) (
      blooio_collection_full_listing_timestamp_seconds > 0
    or
        blooio_collection_full_listing_timestamp_seconds
      + on ({self.INSTANCE}) group_left ()
        process_start_time_seconds
  )
>
  {self.s(t.LISTING_AGE):g}""", "warning",
            "The chats of the Blooio account {{ $labels.account }} are not listed completely",
            "The newest complete listing of all chats of the account {{ $labels.account }} is {{ $value | humanizeDuration }} old; "
            f"{d(t.LISTING_AGE)} is the limit. Chats that the first pages of the list do not show are missed meanwhile.",
            self.ACCOUNT, wait=t.LISTING_FOR, panel=ids.Exporter.LISTING)
        yield self.alert(
            "BlooioFloorStalled",
            f"time() - max by ({self.ACCOUNT}) (blooio_collection_floor_timestamp_seconds > 0) > {self.s(t.FLOOR_AGE):g}", "warning",
            "The state of the Blooio account {{ $labels.account }} grows",
            "The floor of the account {{ $labels.account }}, below which messages are forgotten, is {{ $value | humanizeDuration }} old; "
            f"{d(t.FLOOR_AGE)} is the limit. Audits do not complete, and state and memory grow meanwhile.",
            self.ACCOUNT, wait=t.FLOOR_FOR, panel=ids.Exporter.LISTING)
        # The list decides: a single chat that answers 403 is unreadable, and says nothing about the key.
        yield self.alert(
            "BlooioApiAuthFailing", f"""
  {self.increase('blooio_api_requests_total{endpoint="list_chats", code=~"401|403"}', t.AUTH_WINDOW, self.ACCOUNT)} > 0
and
  max by ({self.ACCOUNT}) (blooio_up) == 0""", "critical",
            "Blooio rejects the API key of the account {{ $labels.account }}",
            "About {{ $value | humanize }} requests of the account {{ $labels.account }} were answered 401 or 403 in the last "
            f"{d(t.AUTH_WINDOW)}, and the newest sweep did not complete. Sending with the same key may be rejected too.",
            self.ACCOUNT, wait=t.AUTH_FOR, panel=ids.Api.CODES)
        yield self.alert(
            "BlooioRateLimited", f"""
    {self.increase('blooio_api_requests_total{code="429"}', t.RATE_LIMITED_WINDOW, self.ACCOUNT)}
  /
    {self.increase('blooio_api_requests_total', t.RATE_LIMITED_WINDOW, self.ACCOUNT)}
>
  {t.RATE_LIMITED_RATIO}""", "warning",
            "Blooio limits the requests of the account {{ $labels.account }}",
            "{{ $value | humanizePercentage }} of the requests of the account {{ $labels.account }} were answered 429 in the "
            f"last {d(t.RATE_LIMITED_WINDOW)}; {percent(t.RATE_LIMITED_RATIO)} is the limit. Senders share the account's "
            "allowance and may be limited with it.",
            self.ACCOUNT, wait=t.RATE_LIMITED_FOR, panel=ids.Api.CODES)
        yield self.alert(
            "BlooioCollectionFallingBehind", f"""
  max by ({self.ACCOUNT}) (blooio_collection_deferred_chats - on ({self.ACCOUNT}, instance) sum by ({self.ACCOUNT}, instance) (blooio_collection_unreadable_chats)) > 0
and
  time() - max by ({self.ACCOUNT}) (blooio_collection_watermark_timestamp_seconds > 0) > {self.s(t.BEHIND_AGE):g}""", "warning",
            "Counting of the Blooio account {{ $labels.account }} does not keep up",
            "{{ $value | humanize }} readable chats of the account {{ $labels.account }} wait to be read, and messages older than "
            f"{d(t.BEHIND_AGE)} are not counted yet. The request budget is exhausted, or the API is slow.",
            self.ACCOUNT, wait=t.BEHIND_FOR, panel=ids.Exporter.WATERMARK)
        yield self.alert(
            "BlooioLedgerImbalance", f"""
abs(
    sum by ({self.LINE}) (blooio_outbound_messages_total)
  + sum by ({self.LINE}) (blooio_outbound_open_history_messages)
  - sum by ({self.LINE}) (blooio_outbound_delivered_messages_total)
  - sum by ({self.LINE}) (blooio_outbound_failed_messages_total)
  - sum by ({self.LINE}) (blooio_outbound_cancelled_messages_total)
  - sum by ({self.LINE}) (blooio_outbound_unconfirmed_messages_total)
  - sum by ({self.LINE}) (blooio_outbound_open_messages)
) > {t.IMBALANCE_MESSAGES}""", "warning",
            "The counts of the line {{ $labels.line }} contradict each other",
            "{{ $value | humanize }} outbound messages of the line {{ $labels.line }} (account {{ $labels.account }}) are neither "
            "open nor ended, or are counted twice. This is a fault of the exporter: its numbers cannot be trusted.",
            self.LINE, wait=t.IMBALANCE_FOR, panel=ids.Exporter.BALANCE)
        yield self.alert(
            "BlooioRequestBudgetExhausted",
            f"{self.used()} > {t.BUDGET_USED}", "warning",
            "The request budget of the account {{ $labels.account }} is used up",
            "{{ $value | humanizePercentage }} of the request budget of the account {{ $labels.account }} has been used for "
            f"{d(t.BUDGET_FOR)}; {percent(t.BUDGET_USED)} is the limit. Probes, receipts and full listings come late.",
            self.ACCOUNT, wait=t.BUDGET_FOR, panel=ids.Api.USED)
        settled = d(t.VANISHED_SETTLE)
        # The exporter must be there: without it everything is missing.
        yield self.alert(
            "BlooioAccountUnseen", f"""
  group by ({self.ACCOUNT}) (blooio_up offset {d(t.YESTERDAY)})
unless
  group by ({self.ACCOUNT}) (last_over_time(blooio_up[{settled}]))
and on ({self.JOB})
  group by ({self.JOB}) (blooio_up)""", "critical",
            "The Blooio account {{ $labels.account }} is not monitored any more",
            "The account {{ $labels.account }} was on the exporter's page a day ago and is missing now, while other accounts are "
            "there. Nothing about it is counted, and no alert about it can fire.",
            self.ACCOUNT, wait=t.VANISHED_FOR, panel=ids.Exporter.FRESHNESS)
        yield self.alert(
            "BlooioChatsShrunk", f"""
  max by ({self.ACCOUNT}) (blooio_chats)
<
  {t.CHATS_LEFT} * (max by ({self.ACCOUNT}) (blooio_chats offset {d(t.YESTERDAY)}) >= {t.CHATS_LEAST})""", "warning",
            "Chats of the Blooio account {{ $labels.account }} are gone",
            "The account {{ $labels.account }} has {{ $value | humanize }} chats, less than "
            f"{percent(t.CHATS_LEFT)} of those of a day ago. Messages in chats that are not listed are not counted.",
            self.ACCOUNT, wait=t.CHATS_FOR, panel=ids.Exporter.CHATS)
        baseline = "blooio_collection_baseline_timestamp_seconds"
        yield self.alert(
            "BlooioCountingRestarted", f"""
  max by ({self.ACCOUNT}) ({baseline})
-
  max by ({self.ACCOUNT}) ({baseline} offset {d(t.YESTERDAY)} > 0)
>
  {t.BASELINE_SECONDS}""", "warning",
            "The counts of the Blooio account {{ $labels.account }} began again",
            "The first start of the account {{ $labels.account }} is {{ $value | humanizeDuration }} later than it was a day ago: "
            "its state was lost or replaced. Messages sent in between are in no counter.",
            self.ACCOUNT, panel=ids.Exporter.SETTINGS)
        changed = self.increase("blooio_collection_unknown_values_total", t.API_CHANGED_WINDOW, self.ACCOUNT)
        yield self.alert(
            "BlooioApiChanged", f"{changed} >= {t.API_CHANGED_VALUES}", "warning",
            "Blooio's answers for the account {{ $labels.account }} hold unknown values",
            "About {{ $value | humanize }} values in the answers for the account {{ $labels.account }} were outside the known words in "
            f"the last {d(t.API_CHANGED_WINDOW)}. They are counted under `other`; a newer exporter may recognise them.",
            self.ACCOUNT, panel=ids.Exporter.REJECTED)
        for factor, long, short, wait, severity in t.API_BURN:
            limit = round(factor * (1 - t.API_OBJECTIVE), 6)
            yield self.alert(
                "BlooioApiErrorBudgetBurn", f"""
  {m.API_ERRORS}:ratio_rate{long} > {limit:g}
and
  {self.significant(f"{m.API_ERRORS}:increase{long}", f"{m.API_ASKED}:increase{long}", round(1 - t.API_OBJECTIVE, 6))}
unless
  {m.API_ERRORS}:ratio_rate{short} <= {limit:g}""", severity,
                "Requests for the Blooio account {{ $labels.account }} fail too often",
                "{{ $value | humanizePercentage }} of the requests of the account {{ $labels.account }} in the last "
                f"{d(long)} were answered 5xx or not at all; {percent(limit)} is the limit here and {percent(1 - t.API_OBJECTIVE)} the objective.",
                self.ACCOUNT, wait=wait, window=long, panel=ids.Api.ERRORS)
        for factor, long, short, wait, severity in t.FRESHNESS_BURN:
            limit = round(factor * (1 - t.FRESHNESS_OBJECTIVE), 6)
            yield self.alert(
                "BlooioFreshnessBudgetBurn", f"""
  account:blooio_collection_stale:ratio_rate{long} > {limit:g}
and
  account:blooio_collection_stale:ratio_rate{short} > {limit:g}""", severity,
                "The data of the Blooio account {{ $labels.account }} is out of date too often",
                "In {{ $value | humanizePercentage }} of the last "
                f"{d(long)} the newest complete sweep of the account {{{{ $labels.account }}}} was older than {d(t.FRESHNESS_AGE)}; {percent(limit)} "
                f"is the limit here and {percent(1 - t.FRESHNESS_OBJECTIVE)} the objective.",
                self.ACCOUNT, wait=wait, window=long, panel=ids.Exporter.FRESHNESS)

    def used(self):
        """Share of the request budget."""
        return (f"sum by ({self.ACCOUNT}) (rate(blooio_api_requests_total[{self.d(self.t.BUDGET_WINDOW)}])) / "
                f"max by ({self.ACCOUNT}) (blooio_api_budget_requests_per_second)")
