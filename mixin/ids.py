"""The id of every panel, and the uid of every dashboard.

Links from alerts and from other people's pages name them: a panel keeps its number when it moves, and a number is
never used again for another panel.
"""

from enum import IntEnum

OVERVIEW = "blooio-overview"
LINE = "blooio-line"
OBJECTIVES = "blooio-objectives"
API = "blooio-api"
EXPORTER = "blooio-exporter"


class Overview(IntEnum):
    DELIVERY = 1
    OLDEST = 5
    LINES = 6
    AGE = 8
    ALERTS = 9
    TABLE = 11
    INBOUND = 12
    OUTBOUND = 13
    WAITING = 18
    FAILURES = 21
    ACCOUNTS = 22


class Line(IntEnum):
    DEVICE = 1
    FAILURE_SHARE = 2
    BUDGET = 7
    FAILURES = 11
    REASONS = 12
    AGES = 13
    OPEN = 14
    QUANTILES = 15
    DEVICES = 17
    PROBES = 18
    INBOUND = 19
    OUTBOUND = 20
    FALLBACK = 21
    MIX = 22
    GRADE = 26
    RECEIPTS = 27
    WITHIN = 28
    STARTED = 29
    POSITIONS = 30
    LOST = 31
    REPLIES = 32
    STREAKS = 33
    RISK = 34


class Objectives(IntEnum):
    TABLE = 1
    DELIVERY = 2
    DELIVERY_BURN = 4
    LATENCY = 5
    LATENCY_BURN = 7
    API = 8
    FRESHNESS = 11
    BUDGETS = 14


class Api(IntEnum):
    USED = 5
    CODES = 7
    ERRORS = 9
    DURATIONS = 11
    THROTTLED = 13
    DEVICES = 16
    LAST_ACTIVE = 19
    WORK = 20
    CLOCK = 21


class Exporter(IntEnum):
    VERSION = 7
    FRESHNESS = 9
    DELAY = 10
    SWEEPS = 11
    WATERMARK = 14
    COMMITS = 16
    REJECTED = 18
    CHATS = 19
    STATE = 25
    BALANCE = 29
    SETTINGS = 30
    UNREADABLE = 31
    LISTING = 33
    CERTIFICATES = 34
    DELIVERIES = 36
    WEBHOOKS = 37
    MISSED = 38
    LAG = 39
    HOLDERS = 40
    TAKEOVERS = 41
    HEALTH = 42


UIDS = {Overview: OVERVIEW, Line: LINE, Objectives: OBJECTIVES, Api: API, Exporter: EXPORTER}
