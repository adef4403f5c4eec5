"""Alerts about lines: their devices, what becomes of their messages, and what announces that a line fails."""

from mixin.alerts import model as m
from mixin.alerts.durations import plus
from mixin.alerts.model import Base, ids, percent

LINE_OF = "the line {{ $labels.line }} (account {{ $labels.account }})"


class LineAlerts(Base):
    def devices(self):
        t, d, line = self.t, self.d, self.LINE
        probed = f"max by ({line}) (blooio_device_probe_last_timestamp_seconds)"
        # Two failed probes: the newest one is later than the one before the waiting time began. While it fires, that no longer
        # matters.
        yield self.alert(
            "BlooioDeviceDown", f"""
  max by ({line}) (max_over_time(blooio_device_probe_success[{d(t.DEVICE_DOWN_SETTLE)}])) == 0
and (
    {probed} > max by ({line}) (blooio_device_probe_last_timestamp_seconds offset {d(t.DEVICE_DOWN_PROBED)})
  or
    group by ({line}) (ALERTS{{alertname="BlooioDeviceDown", alertstate="firing"}})
)""", "critical",
            "The device of the line {{ $labels.line }} does not answer",
            f"For more than {d(t.DEVICE_DOWN_FOR)} no probe of {LINE_OF} "
            "has reached its device. Its messages are likely to wait until it is back.",
            line, wait=t.DEVICE_DOWN_FOR, keep=t.DEVICE_DOWN_KEEP, panel=ids.Line.DEVICES)
        yield self.alert(
            "BlooioNoActiveDevice", f"""
  {self.increase('blooio_device_probes_total{code="503"}', t.NO_DEVICE_WINDOW, line)} > 0
and
  max by ({line}) (blooio_device_probe_success) == 0""", "critical",
            "Blooio has no active device for the line {{ $labels.line }}",
            f"About {{{{ $value | humanize }}}} probes of {LINE_OF} were answered 503 "
            f"in the last {d(t.NO_DEVICE_WINDOW)}, and none has succeeded since. Sending is likely to be rejected with 503 as well.",
            line, wait=t.NO_DEVICE_FOR, keep=t.NO_DEVICE_KEEP, panel=ids.Line.DEVICES)
        yield self.alert(
            "BlooioDeviceErrors", f"""
    {self.increase('blooio_device_probes_total{code="502"}', t.DEVICE_ERRORS_WINDOW, line)}
  /
    {self.increase('blooio_device_probes_total', t.DEVICE_ERRORS_WINDOW, line)}
>
  {t.DEVICE_ERRORS_RATIO}
and
  {self.increase('blooio_device_probes_total{code="502"}', t.DEVICE_ERRORS_WINDOW, line)} >= {t.DEVICE_ERRORS_COUNT}
and
  {self.increase('blooio_device_probes_total{code="502"}', t.DEVICE_ERRORS_RECENT, line)} > 0""", "warning",
            "The device of the line {{ $labels.line }} answers only at times",
            f"{{{{ $value | humanizePercentage }}}} of the probes of {LINE_OF} failed "
            f"on the way to its device in the last {d(t.DEVICE_ERRORS_WINDOW)}; {percent(t.DEVICE_ERRORS_RATIO)} is the limit.",
            line, wait=t.DEVICE_ERRORS_FOR, panel=ids.Line.PROBES)
        yield self.alert(
            "BlooioDeviceFlapping",
            f"max by ({line}) (changes(blooio_device_probe_success[{d(t.FLAPPING_WINDOW)}])) > {t.FLAPPING_CHANGES}", "warning",
            "The device of the line {{ $labels.line }} comes and goes",
            f"The device of {LINE_OF} changed between reached and not reached "
            "{{ $value | humanize }} times in the last " + d(t.FLAPPING_WINDOW) + ".",
            line, panel=ids.Line.DEVICES)
        yield self.alert(
            "BlooioDeviceNotProbed", f"time() - max by ({line}) (blooio_device_probe_last_timestamp_seconds > 0) > {self.s(t.NOT_PROBED_AGE):g}", "warning",
            "The device of the line {{ $labels.line }} is not probed",
            f"The newest probe of the device of {LINE_OF} was {{{{ $value | humanizeDuration }}}} ago; {d(t.NOT_PROBED_AGE)} is the limit. "
            "Whether the device answers is not known.",
            line, wait=t.NOT_PROBED_FOR, panel=ids.Api.LAST_ACTIVE)
        yield self.alert(
            "BlooioLineInactive", f"max by ({line}) (blooio_line_active) == 0", "critical",
            "Blooio says that the line {{ $labels.line }} is inactive",
            "The line {{ $labels.line }} of the account {{ $labels.account }} has been listed as not active for "
            f"{d(t.LINE_INACTIVE_FOR)}.",
            line, wait=t.LINE_INACTIVE_FOR, keep=t.LINE_INACTIVE_KEEP, panel=ids.Line.DEVICES)
        # The account must be on the page: without it every line is missing.
        yield self.alert(
            "BlooioLineVanished", f"""
  max by ({line}) (blooio_line_active offset {d(t.YESTERDAY)}) == 1
unless
  group by ({line}) (last_over_time(blooio_line_active[{d(t.VANISHED_SETTLE)}]))
and on ({self.ACCOUNT})
  max by ({self.ACCOUNT}) (blooio_up) == 1""", "critical",
            "Blooio does not list the line {{ $labels.line }} any more",
            f"A day ago {LINE_OF} was listed as active; now the list of lines does not contain it.",
            line, wait=t.VANISHED_FOR, panel=ids.Line.DEVICES)

    def delivery(self):
        t, d, line = self.t, self.d, self.LINE
        days = self.s(t.OBJECTIVE_PERIOD) / 86400
        allowed = round(1 - t.DELIVERY_OBJECTIVE, 6)
        for factor, long, short, wait, severity in t.DELIVERY_BURN:
            limit = round(factor * allowed, 6)
            yield self.alert(
                "BlooioDeliveryErrorBudgetBurn", f"""
  {m.BAD}:ratio_rate{long} > {limit:g}
and
  {self.significant(f"{m.BAD}:increase{long}", f"{m.ENDED}:increase{long}", allowed)}
unless
  {m.BAD}:ratio_rate{short} <= {limit:g}""", severity,
                "Messages of the line {{ $labels.line }} fail too often",
                f"{{{{ $value | humanizePercentage }}}} of the messages of {LINE_OF} "
                f"that ended in the last {d(long)} failed or got no receipt; {percent(limit)} is the limit here and {percent(allowed)} "
                f"the objective. At the limit the error budget of {round(days, 3):g} days lasts {round(days / factor, 1):g} days.",
                line, wait=wait, keep=t.DELIVERY_KEEP, window=long, panel=ids.Line.FAILURES)
        slow = round(1 - t.LATENCY_OBJECTIVE, 6)
        for factor, long, short, wait, severity in t.LATENCY_BURN:
            limit = round(factor * slow, 6)
            yield self.alert(
                "BlooioLatencyBudgetBurn", f"""
  {m.SLOW}:ratio_rate{long} > {limit:g}
and
  {self.significant(f"{m.SLOW}:increase{long}", f"{m.MEASURED}:increase{long}", slow)}
unless
  {m.SLOW}:ratio_rate{short} <= {limit:g}""", severity,
                "iMessages of the line {{ $labels.line }} are delivered late",
                f"{{{{ $value | humanizePercentage }}}} of the iMessage deliveries of {LINE_OF} in the last {d(long)} "
                f"took longer than {t.LATENCY_SECONDS:g}s; {percent(limit)} is the limit here and {percent(slow)} the objective.",
                line, wait=wait, window=long, panel=ids.Line.WITHIN)
        yield from self.waiting()

    def waiting(self):
        t, d, line = self.t, self.d, self.LINE
        open_ = 'blooio_outbound_open_messages{status=~"pending|queued"}'
        handed = f"{m.HANDED}:increase{t.STUCK_WINDOW}"
        pace = {
            "warning": (f"sum by ({line}) ({open_}) > {t.STUCK_DRAIN_WINDOWS} * {handed}", "drain slowly"),
            "critical": (f"{handed} == 0", "are not handed over"),
        }
        for (age, severity), (wait, _) in zip(t.STUCK, t.STUCK_FOR):
            condition, what = pace[severity]
            yield self.alert(
                "BlooioMessagesStuck", f"""
  max by ({line}) (blooio_outbound_open_oldest_age_seconds{{status=~"pending|queued"}}) > {self.s(age):g}
and
  sum by ({line}) ({open_}) >= {t.STUCK_MESSAGES}
and
  {condition}""", severity,
                f"Messages of the line {{{{ $labels.line }}}} {what}",
                f"Several messages of {LINE_OF} are pending or queued, the oldest for {{{{ $value | humanizeDuration }}}} ({d(age)} is the limit). "
                + (f"Nothing was handed over in the last {d(t.STUCK_WINDOW)}." if severity == "critical" else
                   f"At the pace of the last {d(t.STUCK_WINDOW)} they need more than {t.STUCK_DRAIN_WINDOWS} times as long."),
                line, wait=wait, keep=t.STUCK_KEEP, panel=ids.Line.AGES)
        yield self.alert(
            "BlooioBacklogGrowing", f"""
  sum by ({line}) ({open_}) > {t.BACKLOG_MESSAGES}
and
  sum by ({line}) (delta({open_}[{d(t.BACKLOG_WINDOW)}])) > 0""", "warning",
            "Ever more messages of the line {{ $labels.line }} wait",
            f"{{{{ $value | humanize }}}} messages of {LINE_OF} are pending or queued, more than "
            f"{d(t.BACKLOG_WINDOW)} ago; {t.BACKLOG_MESSAGES} is the limit.",
            line, wait=t.BACKLOG_FOR, panel=ids.Line.OPEN)

    def signs(self):
        """What changes on a line before its messages fail."""
        yield from self.receipts()
        yield from self.protocol()
        yield from self.conversations()
        yield from self.traffic()

    def receipts(self):
        t, d, line = self.t, self.d, self.LINE
        for window, share, least, severity in t.RECEIPTS:
            sent = f"{m.IMESSAGE_SENT}:increase{window} offset {d(t.RECEIPTS_DELAY)}"
            got = f"{m.IMESSAGE_DELIVERED}:increase{plus(window, t.RECEIPTS_DELAY)}"
            enough = f"{sent} >= {least}" if least else self.significant(f"{sent} - {got}", f"({sent})", t.RECEIPTS_USUAL)
            yield self.alert(
                "BlooioReceiptsMissing", f"""
  {got} / {sent} < {share}
and
  {enough}""", severity,
                "iMessages of the line {{ $labels.line }} get no receipts",
                f"Only {{{{ $value | humanizePercentage }}}} of the iMessages that {LINE_OF} handed over within {d(window)} were "
                f"confirmed as delivered; {percent(share)} is the limit. Nothing failed: a line that Apple limits looks like this.",
                line, wait=t.RECEIPTS_FOR, window=window, panel=ids.Line.RECEIPTS)
        yield self.alert(
            "BlooioLineSlowed", f"""
  {m.MEDIAN} > {t.SLOWED_SECONDS}
and
  {m.MEASURED}:increase1h >= {t.SLOWED_MESSAGES}
unless
  {m.MEDIAN} <= {t.SLOWED_TIMES} * {m.MEDIAN} offset {d(t.YESTERDAY)}""", "warning",
            "iMessages of the line {{ $labels.line }} became slow",
            f"Half of the iMessage deliveries of {LINE_OF} in the last {d('1h')} took longer than {{{{ $value | humanizeDuration }}}}; the limits "
            f"are {t.SLOWED_SECONDS}s and {t.SLOWED_TIMES} times the value at this hour yesterday.",
            line, wait=t.SLOWED_FOR, panel=ids.Line.QUANTILES)

    def protocol(self):
        t, d, line = self.t, self.d, self.LINE
        now, all_ = f"{m.FALLBACK}:ratio_rate{t.SHARE_WINDOW}", f"{m.ROUTED}:increase{t.SHARE_WINDOW}"
        usual = m.USUAL_FALLBACK
        yield self.alert(
            "BlooioIMessageShareFalling", f"""
  {now} - {usual} > {t.SHARE_POINTS}
and
  {now} - {usual} > {t.SHARE_SIGMAS} * sqrt({usual} * (1 - {usual}) * (1 / {all_} + 1 / {m.ROUTED}:usual_increase))""", "warning",
            "The line {{ $labels.line }} sends less by iMessage",
            f"The share of iMessage of {LINE_OF} over the last {d(t.SHARE_WINDOW)} is {{{{ $value | humanizePercentage }}}} (in points) below that "
            f"of the {d(t.SHARE_HISTORY)} before; {t.SHARE_POINTS * 100:g} points are the limit.",
            line, wait=t.SHARE_FOR, panel=ids.Line.FALLBACK)
        w = t.FALLBACK_WINDOW
        known = f"({usual} or {t.FALLBACK_USUAL} + 0 * {m.ROUTED}:increase{w})"
        yield self.alert(
            "BlooioProtocolFallbackHigh", f"""
  {m.FALLBACK}:ratio_rate{w} > {t.FALLBACK_RATIO} + {known}
and
  {self.significant(f"{m.FALLBACK}:increase{w}", f"{m.ROUTED}:increase{w}", known)}""", "warning",
            "Many messages of the line {{ $labels.line }} leave iMessage",
            f"{{{{ $value | humanizePercentage }}}} of the messages of {LINE_OF} went by SMS or "
            f"RCS in the last {d(w)}: more than {t.FALLBACK_RATIO * 100:g} points above its usual share.",
            line, wait=t.FALLBACK_FOR, panel=ids.Line.FALLBACK)
        yield self.alert(
            "BlooioLostIMessage", f"{m.LOST}:increase{t.LOST_WINDOW} >= {t.LOST_IMESSAGE}", "warning",
            "Contacts of the line {{ $labels.line }} cannot be reached by iMessage any more",
            f"{{{{ $value | humanize }}}} messages of {LINE_OF} left iMessage in the last {d(t.LOST_WINDOW)}, in chats in which iMessage "
            f"had worked before; {t.LOST_IMESSAGE} is the limit.",
            line, panel=ids.Line.LOST)

    def conversations(self):
        t, d, line = self.t, self.d, self.LINE
        cap = round(t.NEW_PER_DAY * t.NEW_PER_DAY_SHARE, 6)
        day = f"{t.NEW_PER_DAY_SHARE * 100:g} % of the {t.NEW_PER_DAY} a day for which providers restrict a line"
        for window, comparison, limit, why in (("1d", ">", cap, day), ("1h", ">=", t.NEW_PER_HOUR, "which one provider names for any hour")):
            yield self.alert(
                "BlooioNewConversationsHigh", f"{m.STARTED}:increase{window} {comparison} {limit:g}", "warning",
                "The line {{ $labels.line }} starts many new conversations",
                f"{{{{ $value | humanize }}}} conversations were started from {LINE_OF} in the last {d(window)}; {limit:g} is the limit, {why}.",
                line, window=window, panel=ids.Line.STARTED)
        w = t.REPLIES_WINDOW
        started = f"{m.STARTED}:increase{w} offset {d(t.REPLIES_DELAY)}"
        answered = f"{m.ANSWERED}:increase{plus(w, t.REPLIES_DELAY)}"
        spread = round(t.REPLIES_RATIO * (1 - t.REPLIES_RATIO), 6)
        yield self.alert(
            "BlooioRepliesDryUp", f"""
  {answered} / {started} < {t.REPLIES_RATIO} - {t.REPLIES_SIGMAS} * sqrt({spread} / {started})
and
  {started} >= {t.REPLIES_STARTED}""", "warning",
            "Few contacts answer the line {{ $labels.line }}",
            f"{{{{ $value | humanizePercentage }}}} of the conversations that {LINE_OF} started in {d(w)} were answered; below "
            f"{percent(t.REPLIES_RATIO)} Blooio treats a line as one-way.",
            line, wait=t.REPLIES_FOR, panel=ids.Line.STARTED)
        w = t.STREAK_WINDOW
        yield self.alert(
            "BlooioUnansweredStreaks", f"""
  {m.DEEP}:increase{w} / {m.POSITIONED}:increase{w} > {t.STREAK_RATIO}
and
  {m.POSITIONED}:increase{w} >= {t.STREAK_MESSAGES}""", "warning",
            "The line {{ $labels.line }} writes to contacts who do not answer",
            f"{{{{ $value | humanizePercentage }}}} of the messages of {LINE_OF} in the last {d(w)} were the fourth or later in a row "
            f"without a reply; {percent(t.STREAK_RATIO)} is the limit.",
            line, wait=t.STREAK_FOR, panel=ids.Line.POSITIONS)

    def traffic(self):
        t, d, line = self.t, self.d, self.LINE
        w = t.SILENT_WINDOW
        inbound, accepted = f"{m.INBOUND}:increase{w}", f"{m.ACCEPTED}:increase{w}"
        yield self.alert(
            "BlooioInboundSilent", f"""
  {inbound} offset {d(t.YESTERDAY)} >= {t.SILENT_MESSAGES}
and
  {inbound} offset {d(t.LAST_WEEK)} >= {t.SILENT_MESSAGES}
and
  {inbound} == 0""", "warning",
            "Nothing arrives on the line {{ $labels.line }}",
            f"{LINE_OF[0].upper()}{LINE_OF[1:]} received nothing in the last {d(w)}; in the same hours yesterday it received {{{{ $value | humanize }}}} messages.",
            line, wait=t.SILENT_FOR, panel=ids.Line.INBOUND)
        yield self.alert(
            "BlooioOutboundStopped", f"""
  {accepted} offset {d(t.YESTERDAY)} >= {t.SILENT_MESSAGES}
and
  {inbound} >= {t.STOPPED_INBOUND}
and
  {accepted} == 0""", "warning",
            "Nothing is sent from the line {{ $labels.line }}",
            f"{LINE_OF[0].upper()}{LINE_OF[1:]} sent nothing in the last {d(w)} although messages arrive; in the same hours yesterday it sent {{{{ $value | humanize }}}}.",
            line, wait=t.SILENT_FOR, panel=ids.Line.OUTBOUND)
        # A line on its first day has no usual hour.
        yield self.alert(
            "BlooioOutboundSpike", f"""
  {m.ACCEPTED}:increase1h > {t.SPIKE_TIMES} * max_over_time({m.ACCEPTED}:increase1h[{d(t.SPIKE_HISTORY)}] offset {d("1h")})
and
  {m.ACCEPTED}:increase1h >= {t.SPIKE_MESSAGES}
and
  {m.ACCEPTED}:increase1h offset {d(t.YESTERDAY)}""", "warning",
            "The line {{ $labels.line }} sends far more than usual",
            f"{{{{ $value | humanize }}}} messages were accepted for {LINE_OF} in the last {d('1h')}: more than {t.SPIKE_TIMES} times the busiest "
            f"hour of {d(t.SPIKE_HISTORY)}.",
            line, panel=ids.Line.OUTBOUND)
