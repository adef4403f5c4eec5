"""Tests of every limit of the alerts about webhooks: tests/limits-webhooks.yml and tests/waits-webhooks.yml. `python3 -m mixin generate` writes them.

A case states the samples that a rule reads, as in cases_limits.py. A counter begins with 0 a minute inside of the window: then its
increase is its last value, and nothing is estimated.
"""

from mixin.alerts.cases_limits import file, limits, samples

# Of the day: what is recorded. Of minutes: the exporter's counters.
IN_DAY, OUT_DAY = "account_line:blooio_inbound_messages:total{line=\"day\"}", "account_line:blooio_outbound_accepted_messages:total{line=\"day\"}"
IN, OUT = 'blooio_inbound_messages_total{line="x", protocol="imessage"}', 'blooio_outbound_messages_total{line="x"}'


def grew(counter, at, by=0):
    """A counter that is 0 at a time and `by` now."""
    return {f"{counter} @ {at}": 0, counter: by}


def before(counter, since, until, by):
    """A counter that grew before the time at which a window begins, and not since."""
    first, last = (f"{counter} @ {at}" for at in (since, until))
    return {first: 0, last: by}


def failing():
    alert, failures = "BlooioWebhookFailing", 'blooio_webhook_failures{webhook="wh"}'
    more = {"webhook": "wh"}
    # Six failures, one message.
    base = {f"{failures} @ 30m": 0, failures: 6, **grew(IN, "29m", 1), **grew(OUT, "29m")}
    yield limits(alert, "account", base, more=more, about="limits of half an hour", fires={
        "sent": {**grew(IN, "29m"), **grew(OUT, "29m", 1)}, "pair": {failures: (6, 0)}, "pair before": {f"{failures} @ 30m": (3, 0), failures: 9},
    }, quiet={
        "five": {failures: 5}, "no messages": grew(IN, "29m"), "+messages before": {**before(IN, "59m", "31m", 9), f"{IN} @ 29m": 9, IN: 9},
        "+sent before": {**grew(IN, "29m"), **before(OUT, "59m", "31m", 9), f"{OUT} @ 29m": 9, OUT: 9},
        "pair of five": {f"{failures} @ 30m": (4, 0), failures: 9},
    })
    # Six failures are more than a twentieth of 119 messages, and not of 120.
    base = {f"{failures} @ 1d": 1, f"{failures} @ 4h": 6, failures: 7, f"{IN_DAY} @ 1d": 1000, IN_DAY: 1060, f"{OUT_DAY} @ 1d": 1000, OUT_DAY: 1059}
    yield limits(alert, "account", base, more=more, about="limits of a day", fires={
        "pair": {failures: (7, 0)}, "new messages": {f"{IN_DAY} @ 1d": None, IN_DAY: 60}, "new sent": {f"{OUT_DAY} @ 1d": None, OUT_DAY: 59},
    }, quiet={
        "five": {failures: 6, f"{failures} @ 4h": 5, IN_DAY: 1000, OUT_DAY: 1000}, "share": {OUT_DAY: 1060}, "ended": {f"{failures} @ 4h": 7},
        "new share": {f"{IN_DAY} @ 1d": None, IN_DAY: 120, OUT_DAY: 1000}, "new sent share": {f"{OUT_DAY} @ 1d": None, OUT_DAY: 120, IN_DAY: 1000},
        "pair a day ago": {f"{failures} @ 1d": (2, 0)}, "pair lately": {f"{failures} @ 4h": (7, 0)},
    })


def silent():
    alert = "BlooioWebhookSilent"
    events, missed, trusted = 'blooio_webhook_events_total{event="e"}', 'blooio_webhook_missed_messages_total{kind="message"}', "blooio_webhook_feed_trusted"
    # Five messages, no event.
    base = {**grew(IN, "9m", 5), **grew(OUT, "9m"), **grew(events, "9m"), f"{trusted} @ 15m": 0}
    yield limits(alert, "account", base, about="limits of ten minutes", fires={
        "sent": {**grew(IN, "9m", 2), **grew(OUT, "9m", 3)}, "trusted": {f"{trusted} @ 15m": 1},
        "+events before": {**before(events, "19m", "11m", 9), f"{events} @ 9m": 9, events: 9},
    }, quiet={
        "four": grew(IN, "9m", 4), "an event": grew(events, "9m", 1), "started": {f"{trusted} @ 15m": None},
        "+messages before": {**before(IN, "19m", "11m", 9), f"{IN} @ 9m": 9, IN: 9},
        "+sent before": {**grew(IN, "9m"), **before(OUT, "19m", "11m", 9), f"{OUT} @ 9m": 9, OUT: 9},
    })
    # Five of 99 messages were missed in half an hour; the day is too busy to count.
    busy = {f"{IN_DAY} @ 1d": 0, IN_DAY: 1000, f"{OUT_DAY} @ 1d": 0, OUT_DAY: 0}
    base = {**grew(missed, "29m", 5), **grew(IN, "29m", 50), **grew(OUT, "29m", 49), **busy}
    yield limits(alert, "account", base, about="limits of half an hour", fires={
        "+messages before": {**before(IN, "59m", "31m", 500), f"{IN} @ 29m": 500, IN: 500},
        "+sent before": {**before(OUT, "59m", "31m", 500), f"{OUT} @ 29m": 500, OUT: 500},
    }, quiet={
        "four": {**grew(missed, "29m", 4), **grew(IN, "29m"), **grew(OUT, "29m")}, "share": grew(OUT, "29m", 50),
        "+missed before": {**before(missed, "59m", "31m", 5), f"{missed} @ 29m": 5, missed: 5},
    })
    # The same in a day, none of it within two hours.
    base = {f"{missed} @ 1d": 100, f"{missed} @ 119m": 105, missed: 105, f"{IN_DAY} @ 1d": 1000, IN_DAY: 1050, f"{OUT_DAY} @ 1d": 1000, OUT_DAY: 1049}
    came = {f"{events} @ 119m": 0, events: 1}
    yield limits(alert, "account", base, about="limits of a day", fires={
        "new": {f"{missed} @ 1d": None, f"{missed} @ 119m": 5, missed: 5},
        "new messages": {f"{IN_DAY} @ 1d": None, IN_DAY: 50}, "new sent": {f"{OUT_DAY} @ 1d": None, OUT_DAY: 49},
        "+no event": {**came, events: 0}, "+missed lately": {**came, f"{missed} @ 119m": 104},
        "+events before": {**before(events, "239m", "121m", 1), f"{events} @ 119m": 1, events: 1},
    }, quiet={
        "four": {f"{missed} @ 119m": 104, missed: 104, IN_DAY: 1000, OUT_DAY: 1000}, "share": {OUT_DAY: 1050},
        "new share": {f"{IN_DAY} @ 1d": None, IN_DAY: 100, OUT_DAY: 1000}, "new sent share": {f"{OUT_DAY} @ 1d": None, OUT_DAY: 100, IN_DAY: 1000},
        "+recovered": came, "+an hour ago": {f"{events} @ 119m": 0, f"{events} @ 61m": 1},
        "+missed before": {**came, f"{missed} @ 239m": 100, f"{missed} @ 121m": 105},
    })


def rejecting():
    rejected = 'blooio_webhook_rejected_total{reason="signature"}'
    base = grew(rejected, "14m", 5)
    yield limits("BlooioReceiverRejecting", "account", base, more={"reason": "signature"}, quiet={
        "four": {rejected: 4}, "none": {rejected: 9}, "+before": {**before(rejected, "29m", "16m", 9), f"{rejected} @ 14m": 9, rejected: 9},
        "+reasons": {rejected: 4, **grew(rejected.replace("signature", "timestamp"), "14m", 4)},
    })


# ---- Waiting times -----------------------------------------------------------------------------------------

def fires_within(alert, inputs, labels, minute):
    """A condition that begins in this minute and stays: pending for five minutes, then firing."""
    return (f"  - name: '{alert}: fires five minutes after its condition began'\n    interval: 1m\n    input_series:\n"
            + "".join(samples(text, {"job": "blooio", "instance": "a", "account": "first"}, values) for text, values in inputs)
            + "    promql_expr_test:\n" + "".join(
                f"      - expr: sum without (alertname, alertstate) (ALERTS{{alertname=\"{alert}\", alertstate=\"{state}\"}})\n        eval_time: {at}m\n"
                f"        exp_samples: [{{labels: '{{{labels}}}', value: 1}}]\n"
                for state, at in (("pending", minute), ("pending", minute + 4), ("firing", minute + 5))))


def waits():
    flows = [(IN, "0+1x60"), (OUT, "0x60")]
    label = 'severity="warning", job="blooio", account="first"'
    yield fires_within("BlooioWebhookFailing", [*flows, ('blooio_webhook_failures{webhook="wh"}', "0x39 6x20")], label + ', webhook="wh"', 40)
    yield fires_within("BlooioWebhookSilent", [*flows, ('blooio_webhook_events_total{event="e"}', "0+1x60"),
                                               ('blooio_webhook_missed_messages_total{kind="end"}', "0x39 9x20")], label, 40)
    yield fires_within("BlooioReceiverRejecting", [('blooio_webhook_rejected_total{reason="timestamp"}', "0x39 9x20")], label + ', reason="timestamp"', 40)


def generated():
    return {
        "tests/limits-webhooks.yml": file("1d", failing(), silent(), rejecting(), source="cases_webhooks.py"),
        "tests/waits-webhooks.yml": file("1m", waits(), source="cases_webhooks.py"),
    }
