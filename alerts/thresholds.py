"""Every number of the rules, each with its reason. Nothing else in this directory holds one.

Change a value here and run `./generate.py`. Durations are written as Prometheus writes them: "5m", "1h", "3d".
The tests in `tests/` prove the numbers as shipped: after a change they tell you which situations now end
differently, which is the moment to decide whether that is what you meant.
"""

# ---- your installation -----------------------------------------------------------------------------------

# The scrape job of the exporter. Needed where a metric exists for every job (`up`, `process_start_time_seconds`)
# or where there is nothing left to take a label from (`absent`). Every other rule takes `job` as it comes.
JOB = "blooio"

# Where your people read runbooks.md. `.invalid` is reserved and resolves nowhere: put your own address here.
# `./generate.py` writes it into the rules and into the expectations of the tests.
RUNBOOKS = "https://runbooks.invalid/blooio-exporter/runbooks.md"

# ---- objectives, over 30 days ----------------------------------------------------------------------------

# Share of the messages that ended and did not fail. One in a hundred is what wrong numbers and contacts that
# left iMessage cost in ordinary traffic; above that, something is broken.
DELIVERY_OBJECTIVE = 0.99

# Share of the iMessage deliveries that took at most LATENCY_SECONDS, and that limit. It must be a bucket of
# blooio_delivery_latency_seconds. Half a minute is where a conversation stops feeling like one. Phones that are
# off deliver late without anybody's fault, so one in twenty may.
LATENCY_OBJECTIVE = 0.95
LATENCY_SECONDS = 30

# Share of the exporter's requests that the API answered, with anything below 500. Probes of devices stay out:
# their 502 and 503 speak of a device, not of the API.
API_OBJECTIVE = 0.995

# Share of the time in which the newest complete sweep was younger than FRESHNESS_AGE (ten sweeps at 30s).
FRESHNESS_OBJECTIVE = 0.995
FRESHNESS_AGE = "5m"

# The period of the objectives.
OBJECTIVE_PERIOD = "30d"

# ---- delivery --------------------------------------------------------------------------------------------

# How fast the delivery budget may burn: factor, long window, short window, for, severity. At 14.4 the budget of
# 30 days is gone in 50 hours, at 6 in 5 days, at 3 in 10 days, at 1 exactly at the end. The short window lets the
# alert end soon after the cause did.
DELIVERY_BURN = [
    (14.4, "1h", "5m", "2m", "critical"),
    (6, "6h", "30m", "15m", "critical"),
    (3, "1d", "2h", "1h", "warning"),
    (1, "3d", "6h", "3h", "warning"),
]

# Below so many ended messages in the long window a ratio is chance: two failures of three would be 67 %.
MIN_ENDED = 20

# What the guard above leaves out: few messages, and yet so many failures that chance does not explain them.
LOW_VOLUME_WINDOW = "6h"
LOW_VOLUME_FAILED = 5
LOW_VOLUME_RATIO = 0.20
LOW_VOLUME_FOR = "10m"

# The same for latency. 14.4 x 5 % = 72 % and 6 x 5 % = 30 %: slow is a nuisance, not an outage, so nobody is woken.
LATENCY_BURN = [
    (14.4, "1h", "5m", "2m", "warning"),
    (6, "6h", "30m", "15m", "warning"),
]

# Age of the oldest message that still waits for its hand-over (`pending` or `queued`; `sent` may last for days when
# a phone is off). Hand-over takes seconds. It needs no ratio, so it also works at three messages a day.
STUCK = [("5m", "warning"), ("15m", "critical")]
STUCK_FOR = "5m"

# Waiting messages that grow: more than a burst leaves behind, and still rising after half an hour.
BACKLOG_MESSAGES = 50
BACKLOG_WINDOW = "30m"
BACKLOG_FOR = "30m"

# Share of messages that left iMessage. One in five is far above the usual share of Android contacts in an iMessage
# audience, and a line that always has such a share is compared with its own last week.
FALLBACK_RATIO = 0.20
FALLBACK_TIMES_LAST_WEEK = 3
FALLBACK_WINDOW = "1h"
FALLBACK_MIN_MESSAGES = 20
FALLBACK_FOR = "30m"
LAST_WEEK = "1w"

# Opt-in (optional/): nothing in the window, and more than so many in the same window last week.
SILENT_WINDOW = "1h"
SILENT_MESSAGES_LAST_WEEK = 20
SILENT_FOR = "30m"

# ---- devices and lines -----------------------------------------------------------------------------------

# A line's device is probed every 5m. SETTLE and FOR together are longer than that, so at least two probes in a row
# failed: one lost round trip wakes nobody. KEEP covers a restart of the exporter, whose gauges vanish meanwhile.
DEVICE_DOWN_SETTLE = "2m"
DEVICE_DOWN_FOR = "5m"
DEVICE_DOWN_KEEP = "5m"

# "No active number" (503) among the last three probes, and the newest one failed.
NO_DEVICE_WINDOW = "15m"
NO_DEVICE_FOR = "5m"
NO_DEVICE_KEEP = "10m"

# A device that answers, but not always: 502 in more than one probe of twenty, at least 5 of about 72 in 6h. The
# recent window ends the alert an hour after the last 502.
DEVICE_ERRORS_WINDOW = "6h"
DEVICE_ERRORS_RECENT = "1h"
DEVICE_ERRORS_RATIO = 0.05
DEVICE_ERRORS_COUNT = 5
DEVICE_ERRORS_FOR = "15m"

# More changes than three outages with their ends; an hour holds 12 probes.
FLAPPING_CHANGES = 6
FLAPPING_WINDOW = "1h"

# Blooio says so itself; ten minutes leave time for a restart of the device.
LINE_INACTIVE_FOR = "10m"

# ---- collection ------------------------------------------------------------------------------------------

# Age of the newest complete sweep. A sweep starts every 30s: ten missed ones are no accident, sixty are an outage
# in which no other alert of the account can be believed.
STALE = [("5m", "warning"), ("30m", "critical")]
STALE_FOR = "2m"

# Chats that are listed and cannot be read. Such a chat is retried every minute or more often, so several attempts failed.
# FOR must be shorter than the warning age and STALE_FOR of STALE together: the alert that names the cause comes first.
UNREADABLE_FOR = "5m"

# While at most this many chats, and at most this share of all chats, are unreadable and other chats are still read, the
# account is not stale: BlooioChatsUnreadable reports the cause. Above either limit it is an outage of the account.
UNREADABLE_FEW = 10
UNREADABLE_FEW_RATIO = 0.5

# An unreadable chat holds the floor for one further retention: messages in it are lost once they are older than two
# retentions (14d at the default --collector.retention of 7d). The alert leaves two days. Change it with the retention.
UNREADABLE_EXPIRING_AGE = "12d"
UNREADABLE_EXPIRING_FOR = "1h"

# Age of the newest complete listing of all chats. One starts every 10m and may use a tenth of the budget: at 2 requests
# per second and 200 chats per page, 6h suffice for 800,000 chats. Raise it with --collector.full-interval.
LISTING_AGE = "6h"
LISTING_FOR = "30m"

# Age of the floor. It follows at a distance of one retention (7d) plus the audit interval (24h); an unreadable chat may
# hold it for one further retention. Two retentions and two days: audits do not succeed. Change it with the retention.
FLOOR_AGE = "16d"
FLOOR_FOR = "1h"

# Rows of an answer that could not be used, chat rows excepted (they make chats unreadable). One broken message is
# rejected about five times before it is skipped, so this is more than one broken message in an hour.
REJECTED_ITEMS = 10
REJECTED_WINDOW = "1h"
REJECTED_FOR = "15m"

# 401 or 403. A refused key is tried again at most every 5m, so 10m always holds a try.
AUTH_WINDOW = "10m"
AUTH_FOR = "5m"

# 429 answers. A pause that the API asks for may last 15m, so the window is twice that.
RATE_LIMITED_RATIO = 0.05
RATE_LIMITED_WINDOW = "30m"
RATE_LIMITED_FOR = "15m"

# Chats are left for later while messages of more than this age are still uncounted. A burst is caught up sooner.
BEHIND_AGE = "10m"
BEHIND_FOR = "15m"

# The conservation law of the counts. It holds on every page, so any difference is a fault of the exporter.
IMBALANCE_MESSAGES = 0
IMBALANCE_FOR = "5m"

# ---- the exporter ----------------------------------------------------------------------------------------

# A restart or a deployment takes less than 5m. KEEP bridges a crash loop that is up now and then.
DOWN_FOR = "5m"
DOWN_KEEP = "10m"

# More restarts than a deployment and its correction need.
RESTARTS = 3
RESTARTS_WINDOW = "1h"

# Difference between the host's clock and the server's. NTP keeps a host within a second; 30 s is a clock that nothing
# disciplines, and latency and ages computed by other programs on the host are wrong by as much.
CLOCK_OFFSET_SECONDS = 30
CLOCK_FOR = "15m"

# Time until a certificate of the web configuration expires: what a renewal through a change process needs, and the last
# moment to do it by hand.
CERTIFICATE = [("14d", "warning"), ("2d", "critical")]
CERTIFICATE_FOR = "10m"

# A rejected reload: the time between two steps of a deployment that replaces several files.
RELOAD_FOR = "5m"

# How often the long windows (1d, 3d, 30 days) are computed. Below the 5m after which Prometheus forgets a sample.
SLOW_INTERVAL = "2m"
