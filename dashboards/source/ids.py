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
    BUDGET = 2
    FAILURE_SHARE = 3
    LATENCY = 4
    OLDEST = 5
    LINES = 6
    FIRING = 7
    AGE = 8
    ALERTS = 9
    DEVICES = 10
    TABLE = 11
    INBOUND = 12
    OUTBOUND = 13
    FAILURES = 14
    HEATMAP = 15
    FALLBACK = 16
    MIX = 17
    WAITING = 18
    API_CODES = 19
    FRESHNESS = 20


class Line(IntEnum):
    DEVICE = 1
    FAILURE_SHARE = 2
    LATENCY = 3
    OLDEST = 4
    WAITING = 5
    FALLBACK_NOW = 6
    BUDGET = 7
    LISTED = 8
    FUNNEL = 9
    FUNNEL_TOTAL = 10
    FAILURES = 11
    REASONS = 12
    AGES = 13
    OPEN = 14
    QUANTILES = 15
    HEATMAP = 16
    DEVICES = 17
    PROBES = 18
    INBOUND = 19
    OUTBOUND = 20
    FALLBACK = 21
    MIX = 22
    SLOW = 23
    LAST_ACTIVE = 24
    ENDS = 25


class Objectives(IntEnum):
    TABLE = 1
    DELIVERY = 2
    DELIVERY_BUDGET = 3
    DELIVERY_BURN = 4
    LATENCY = 5
    LATENCY_BUDGET = 6
    LATENCY_BURN = 7
    API = 8
    API_BUDGET = 9
    API_BURN = 10
    FRESHNESS = 11
    FRESHNESS_BUDGET = 12
    FRESHNESS_BURN = 13


class Api(IntEnum):
    ERROR_SHARE = 1
    LIMITED = 2
    REFUSED = 3
    LATENCY = 4
    USED = 5
    DEVICES_DOWN = 6
    CODES = 7
    ENDPOINTS = 8
    ERRORS = 9
    LIMITS = 10
    DURATIONS = 11
    DURATION_HEATMAP = 12
    THROTTLED = 13
    BUDGET = 14
    PROBES = 15
    DEVICES = 16
    PROBE_DURATION = 17
    LISTED = 18
    LAST_ACTIVE = 19
    WORK = 20
    CLOCK = 21


class Exporter(IntEnum):
    UP = 1
    SWEEPING = 2
    AGE = 3
    DEFERRED = 4
    BEHIND = 5
    WRITABLE = 6
    VERSION = 7
    UPTIME = 8
    FRESHNESS = 9
    DELAY = 10
    SWEEPS = 11
    SWEEP_DURATION = 12
    DEFERRED_TREND = 13
    WATERMARK = 14
    TRACKED = 15
    COMMITS = 16
    ODDITIES = 17
    REJECTED = 18
    CHATS = 19
    HISTORY = 20
    STARTS = 21
    CPU = 22
    MEMORY = 23
    FILES = 24
    STATE = 25
    SCRAPES = 26
    RELOAD = 27
    DROPPED = 28
    BALANCE = 29
    SETTINGS = 30
    UNREADABLE = 31
    UNREADABLE_OLDEST = 32
    LISTING = 33
    CERTIFICATES = 34


UIDS = {Overview: OVERVIEW, Line: LINE, Objectives: OBJECTIVES, Api: API, Exporter: EXPORTER}
