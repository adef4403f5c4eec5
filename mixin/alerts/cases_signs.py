"""Tests of what announces that a line fails: tests/signs-*.yml. `python3 -m mixin generate` writes them.

A line is stated as the number of events in each column of a test; what is expected, as the lines that fire at a moment.
"""

from mixin.alerts.cases import GROUPS, HEAD, expect, runs, series, test

COUNTERS = {
    "accepted": ("blooio_outbound_messages_total", {}),
    "sent": ("blooio_outbound_sent_messages_total", {"protocol": "imessage"}),
    "sms": ("blooio_outbound_sent_messages_total", {"protocol": "sms"}),
    "delivered": ("blooio_outbound_delivered_messages_total", {"protocol": "imessage"}),
    "fallback": ("blooio_outbound_fallback_messages_total", {"protocol": "sms"}),
    "inbound": ("blooio_inbound_messages_total", {"protocol": "imessage"}),
    "started": ("blooio_conversations_started_total", {"by": "us"}),
    "contacted": ("blooio_conversations_started_total", {"by": "them"}),
    "answered": ("blooio_conversations_answered_total", {}),
    "first": ("blooio_outbound_unanswered_messages_total", {"position": "1"}),
    "third": ("blooio_outbound_unanswered_messages_total", {"position": "3"}),
    "fourth": ("blooio_outbound_unanswered_messages_total", {"position": "4"}),
    "fifth": ("blooio_outbound_unanswered_messages_total", {"position": "5plus"}),
    "lost": ("blooio_outbound_lost_imessage_messages_total", {}),
    "within 10": ("blooio_delivery_latency_seconds_bucket", {"protocol": "imessage", "le": "10.0"}),
    "within 30": ("blooio_delivery_latency_seconds_bucket", {"protocol": "imessage", "le": "30.0"}),
    "within 60": ("blooio_delivery_latency_seconds_bucket", {"protocol": "imessage", "le": "60.0"}),
    "within inf": ("blooio_delivery_latency_seconds_bucket", {"protocol": "imessage", "le": "+Inf"}),
    "measured": ("blooio_delivery_latency_seconds_count", {"protocol": "imessage"}),
}


def every(columns, events=1, since=0, until=10**9):
    """So many events in every so many columns, from a column on, until another."""
    return lambda c: events if since < c <= until and c % columns == 0 else 0


def once(at, events):
    return lambda c: events if c == at else 0


def total(*parts):
    return lambda c: sum(part(c) for part in parts)


def counters(line, columns, given):
    """The series of a line, which exist from the column `begins` on."""
    begins = given.pop("begins", 0)
    labels = {"job": "blooio", "instance": "a", "account": "default", "line": line}
    for name, events in {"accepted": lambda c: 0, **given}.items():
        family, more = COUNTERS[name]
        values, sum_ = [], 0
        for column in range(columns + 1):
            sum_ += events(column)
            values.append(sum_)
        absent = f"_x{begins} " if begins else ""
        yield series(family, {**labels, **more}, absent + runs(values[begins:]))


def world(columns, lines):
    return [text for line, given in lines.items() for text in counters(line, columns, given)]


def firing(alert, minute, lines, **labels):
    more = "".join(f', {key}="{value}"' for key, value in labels.items())
    return expect(f'count by (line) (ALERTS{{alertname="{alert}"{more}, alertstate="firing"}})', minute, [f'{{line="{line}"}}' for line in lines])


def file(interval, tests):
    return HEAD.format(interval=f"{interval}m", groups=GROUPS) + "\n".join(tests)


def receipts():
    hours, day = 60, 24 * 4 + 20
    return [
        test("BlooioReceiptsMissing 2h: receipts stop at minute 120; too few messages, or a third without, are no page", 5, world(hours, {
            "stopped": {"sent": every(1, 2), "delivered": every(1, 2, until=24)},
            "third": {"sent": every(1, 3), "delivered": every(1, 1)},
            "few": {"sent": every(2, 1)},
            "chance": {"sent": every(2, 1), "delivered": every(8, 1)},
            "usual": {"sent": every(1, 5), "delivered": every(1, 3)},
            "green": {"sms": every(1, 5)},
            "campaign": {"sent": every(1, 30, until=12), "delivered": every(1, 30, until=12)},
            "resumed": {"sent": every(1, 2), "delivered": total(every(1, 2, since=36), once(60, 1))},
        }), [
            firing("BlooioReceiptsMissing", 240, ["stopped", "third"], window="2h", severity="critical"),
            firing("BlooioReceiptsMissing", 240, ["stopped", "third", "few"], window="2h", severity="warning"),
            firing("BlooioReceiptsMissing", 150, ["third", "resumed"], window="2h", severity="critical"),
        ]),
        test("BlooioReceiptsMissing 1d: twelve messages a day without receipts; half of them; six are too few", 15, world(day, {
            "none": {"sent": every(8)}, "half": {"sent": every(8), "delivered": every(16)},
            "well": {"sent": every(8), "delivered": every(8)}, "few": {"sent": every(16)},
            "most": {"sent": every(8), "delivered": lambda c: 1 if c % 8 == 0 and c % 24 else 0},
        }), [firing("BlooioReceiptsMissing", 24 * 60 + 60, ["none", "half"], window="1d", severity="warning")]),
    ]


def stuck():
    def waiting(line, handed, count, age):
        labels = {"job": "blooio", "instance": "a", "account": "default", "line": line, "status": "queued"}
        yield from counters(line, 120, {"sent": handed})
        yield series("blooio_outbound_open_messages", labels, runs([count(c) for c in range(121)]))
        yield series("blooio_outbound_open_oldest_age_seconds", labels, runs([age(c) for c in range(121)]))

    def since(start):
        return lambda c: max(0, c - start) * 60
    lines = [
        *waiting("stuck", every(1, 1, until=10), lambda c: min(max(0, c - 10), 30), since(10)),
        # Three messages a day: the second one that waits distinguishes it from a forgotten one.
        *waiting("quiet", every(1000), lambda c: (c >= 10) + (c >= 20), since(10)),
        *waiting("zombie", every(1, 1), lambda c: 1 if c < 100 else 2, lambda c: 86400 + 60 * c),
        *waiting("zombie alone", every(1000), lambda c: 1, lambda c: 86400 + 60 * c),
        # 1,500 messages at one per second.
        *waiting("campaign", lambda c: 60 if 10 < c <= 35 else 0, lambda c: max(0, 1500 - 60 * (c - 10)) if c >= 10 else 0,
                 lambda c: (c - 10) * 60 if 10 <= c < 35 else 0),
        # 1,500 messages at one per minute.
        *waiting("crawling", lambda c: 1 if c > 10 else 0, lambda c: 1500 - (c - 10) if c >= 10 else 0, since(10)),
        *waiting("draining", every(3, 2), lambda c: 30, lambda c: 3600 if c > 20 else 60),
        *waiting("young", every(1000), lambda c: 3, lambda c: 180),
        *waiting("old", every(1000), lambda c: 3, since(0)),
    ]
    name = "BlooioMessagesStuck"
    return [test(f"{name}: nothing is handed over from minute 10 on; a forgotten message, a campaign, a crawling line", 1, lines, [
        firing(name, 30, ["stuck", "quiet", "crawling", "old"], severity="warning"),
        firing(name, 34, ["old"], severity="critical"),
        firing(name, 38, ["stuck", "quiet", "old"], severity="critical"),
        firing(name, 118, ["stuck", "quiet", "crawling", "old"], severity="warning"),
        expect(f'count by (line) (max_over_time(ALERTS{{alertname="{name}", line=~"zombie.*|campaign|young|draining", alertstate="firing"}}[2h]))', 119, []),
    ])]


def protocol():
    fall = "BlooioProtocolFallbackHigh"
    return [
        test(f"{fall}: no week to compare with; above 30 % of the last hour, and more than chance explains", 1, world(90, {
            "half": {"sent": every(1, 1), "fallback": every(1, 1), "sms": every(1, 1)},
            "quarter": {"sent": every(1, 3), "fallback": every(1, 1)},
            "chance": {"sent": once(5, 2), "fallback": once(5, 6)},
            "beyond": {"sent": once(5, 1), "fallback": once(5, 7)},
        }), [firing(fall, 40, ["half", "beyond"])]),
        test("BlooioLostIMessage: five in six hours; four are not enough", 15, world(60, {
            "five": {"lost": every(4, 1, until=20)}, "four": {"lost": every(4, 1, until=16)},
            "slow": {"lost": every(7, 1)},
        }), [firing("BlooioLostIMessage", 360, ["five"]), firing("BlooioLostIMessage", 285, []), firing("BlooioLostIMessage", 700, [])]),
    ]


def conversations():
    new, dry, deep = "BlooioNewConversationsHigh", "BlooioRepliesDryUp", "BlooioUnansweredStreaks"
    day = 24 * 4
    return [
        test(f"{new} 1h: fifteen in an hour; fourteen, or those that contacts start, are not too many", 5, world(40, {
            "fifteen": {"started": total(every(1, 1, until=12), once(6, 3))}, "fourteen": {"started": total(every(1, 1, until=12), once(6, 2))},
            "support": {"contacted": every(1, 5)},
        }), [firing(new, 60, ["fifteen"], window="1h"), firing(new, 130, [], window="1h")]),
        test(f"{new} 1d: 36 in a day; 35 are not too many, nor 20", 15, world(day * 2, {
            "many": {"started": every(1, 1, until=36)}, "cap": {"started": every(1, 1, until=35)}, "some": {"started": every(2, 1, until=40)},
        }), [firing(new, 36 * 15, ["many"], window="1d"), firing(new, 35 * 15, [], window="1d"), firing(new, 135 * 15, [], window="1d")]),
        test(f"{dry}: of 24 conversations a day 2 are answered; of few, or at 30 %, chance explains it", 15, world(day * 2, {
            "dry": {"started": every(4), "answered": every(48)}, "well": {"started": every(4), "answered": every(8)},
            "chance": {"started": every(4), "answered": every(12)}, "new": {"started": every(24)},
            "low": {"started": every(4, 10), "answered": every(4, 3)}, "ten": {"started": every(9)}, "nine": {"started": every(11)},
            "burst": {"started": every(1, 3, until=8), "answered": every(1, 2, until=8)},
        }), [firing(dry, 30 * 60, ["dry", "low", "ten"])]),
        test(f"{deep}: a third at position 4 or beyond; a sixth, or few messages, are not enough", 15, world(day + 20, {
            "deep": {"first": every(2, 2), "fourth": every(4), "fifth": every(4)}, "usual": {"first": every(2, 4), "third": every(2), "fourth": every(4), "fifth": every(4)},
            "few": {"fifth": every(8)}, "third": {"third": every(1)},
            "some": {"first": every(4, 3), "fifth": every(4)},
        }), [firing(deep, 24 * 60 + 75, ["deep", "some"])]),
    ]


def slowed():
    off = every(1000)

    def latency(fast, slow, between=off):
        all_ = total(fast, between, slow)
        return {"within 10": fast, "within 30": total(fast, between), "within 60": all_, "within inf": all_, "measured": all_}
    day = 24 * 4
    slow = "BlooioLineSlowed"
    return [test(f"{slow}: half of the deliveries take 45 s from hour 25 on; as yesterday, or of few, they do not count", 15, world(day + 20, {
        "slowed": latency(every(1, 3, until=day + 4), every(1, 3, since=day + 4)),
        "usual": latency(off, every(1, 3)),
        "few": latency(every(1, 3, until=day + 4), every(4, 6, since=day + 4)),
        "new": latency(off, every(1, 3, since=day + 4)),
        "near": latency(off, off, every(1, 3, since=day + 4)),
        "doubled": latency(off, every(1, 3, since=day + 4), every(1, 3, until=day + 4)),
        "half": latency(every(1, 3), every(1, 2, since=day + 4)),
    }), [firing(slow, (day + 10) * 15, ["slowed", "new"])])]


def weeks():
    day, silent, stopped, spike, share = 48, "BlooioInboundSilent", "BlooioOutboundStopped", "BlooioOutboundSpike", "BlooioIMessageShareFalling"
    end = 9 * day
    columns = end + 20

    def until(column, count):
        return every(1, count, until=column)
    # What came in at a moment a week before counts for the whole window of the comparison.
    early = total(every(1, 2, until=2 * day))
    return [
        test(f"{silent}: nothing arrives from day 9 on; few messages, a silent yesterday or last week do not count", 30, world(columns, {
            "silent": {"inbound": until(end, 2)}, "well": {"inbound": every(1, 2)}, "few": {"inbound": until(end, 1)},
            "weekend": {"inbound": total(until(end, 2), lambda c: -2 if end - 7 * day - 10 < c <= end - 7 * day + 40 else 0)},
            "fewer": {"inbound": total(every(1, 2, until=end - 2 * day), every(1, 1, since=end - 2 * day, until=end))},
            "more": {"inbound": total(every(1, 1, until=end - 2 * day), every(1, 2, since=end - 2 * day, until=end))},
            "dead": {"inbound": early},
            "chat": {"inbound": lambda c: (2 if c <= end else 0) if c % 4 else 0},
        }), [firing(silent, (end + 10) * 30, ["silent", "chat"]), firing(silent, (end + 6) * 30, [])]),
        test(f"{stopped}: nothing is sent from day 9 on while messages arrive", 30, world(columns, {
            "stopped": {"accepted": until(end, 2), "inbound": every(1)}, "quiet": {"accepted": until(end, 2), "inbound": every(2)},
            "well": {"accepted": every(1, 2), "inbound": every(1)}, "few": {"accepted": until(end, 1), "inbound": every(1)},
            "five": {"accepted": until(end, 2), "inbound": lambda c: 1 if c % 8 < 5 else 0},
        }), [firing(stopped, (end + 10) * 30, ["stopped", "five"])]),
        test(f"{spike}: an hour with more than five times the busiest of eight days", 30, world(columns, {
            "spike": {"accepted": total(every(1, 5), once(end, 60))}, "near": {"accepted": total(every(1, 6), once(end, 42))},
            "small": {"accepted": total(every(1, 1), once(end, 40))}, "weekly": {"accepted": total(every(1, 5), once(end - 7 * day, 60), once(end, 60))},
            "idle": {"accepted": every(1, 100, since=end)},
            "first day": {"accepted": every(1, 100, since=end), "begins": end - 36}, "second day": {"accepted": every(1, 100, since=end), "begins": end - 50},
        }), [firing(spike, (end + 1) * 30, ["spike", "idle", "second day"]), firing(spike, (end + 4) * 30, [])]),
        test(f"{share}: 10 % leave iMessage for a week, then 25 %; 18 % are not enough, and of few chance explains it", 30, world(columns, {
            "falling": {"sent": lambda c: 9 if c <= end - day else 15, "fallback": lambda c: 1 if c <= end - day else 5},
            "near": {"sent": lambda c: 9 if c <= end - day else 41, "fallback": lambda c: 1 if c <= end - day else 9},
            "few": {"sent": lambda c: 0 if c % 10 else 9 if c <= end - day else 3, "fallback": lambda c: 0 if c % 10 else 1},
            "android": {"sent": every(1, 6), "fallback": every(1, 4)},
        }), [firing(share, (end + 3) * 30, ["falling"])]),
        test("BlooioProtocolFallbackHigh: 40 % leave iMessage for a week, then 55 %, or 75 %", 30, world(columns, {
            "android": {"sent": every(1, 6), "fallback": every(1, 4)},
            "near": {"sent": lambda c: 60 if c <= end else 45, "fallback": lambda c: 40 if c <= end else 55},
            "risen": {"sent": lambda c: 60 if c <= end else 25, "fallback": lambda c: 40 if c <= end else 75},
        }), [firing("BlooioProtocolFallbackHigh", (end + 4) * 30, ["risen"])]),
    ]


def generated():
    return {
        "tests/signs-minutes.yml": file(1, stuck() + protocol()[:1]),
        "tests/signs-hours.yml": file(5, receipts()[:1] + conversations()[:1]),
        "tests/signs-days.yml": file(15, receipts()[1:] + protocol()[1:] + conversations()[1:] + slowed()),
        "tests/signs-weeks.yml": file(30, weeks()),
    }
