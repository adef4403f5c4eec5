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

# Labels that your Prometheus adds to every series and that keep accounts apart, such as ("cluster",). Each is added to
# every `by`, to `equal` in alertmanager.yml, and to the dashboards as a variable.
EXTRA_LABELS = ()

# ---- objectives, over 30 days ----------------------------------------------------------------------------

# Share of the messages that ended well: they did not fail and, if they went by iMessage, did not stay without a
# receipt until they were given up. One in a hundred is what wrong numbers and contacts that left iMessage cost in
# ordinary traffic; above that, something is broken. Most SMS never confirms, so an unconfirmed one is not counted.
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

# What is left of a budget is unknown before so many hours of data and, for messages and requests, so many of them: after
# half an hour a single failure would read -951 %.
BUDGET_HOURS = 24
BUDGET_LEAST = 300

# ---- delivery --------------------------------------------------------------------------------------------

# How fast the delivery budget may burn: factor, long window, short window, for, severity. At 14.4 the budget of
# 30 days is gone in 50 hours, at 6 in 5 days, at 3 in 10 days, at 1 exactly at the end. The page over a day is for
# lines with a few messages a day, whose failures never meet within six hours. The short window lets the alert end
# soon after the cause did; a short window in which nothing ended is no recovery.
DELIVERY_BURN = [
    (14.4, "1h", "5m", "2m", "critical"),
    (6, "6h", "30m", "15m", "critical"),
    (14.4, "1d", "2h", "30m", "critical"),
    (3, "1d", "2h", "1h", "warning"),
    (1, "3d", "6h", "3h", "warning"),
]

# A ratio counts only when chance does not explain it. If N messages ended and a share p of them may fail, about p N
# fail with a spread of sqrt(p N): the alert needs more than p N + SIGMAS sqrt(p N) + AT_LEAST failures. The spread
# decides for busy lines; AT_LEAST for quiet ones, where two failures of twenty are an ordinary day. What this costs in
# time, and saves in false alarms, is measured by montecarlo.py. The same test guards latency, the API and fallback.
SIGMAS = 4
AT_LEAST = 2

# An alert of the delivery budget stays so long after its condition ended: on a quiet line the short window empties
# between two failures, and a restart of the exporter leaves a gap.
DELIVERY_KEEP = "15m"

# The same for latency. 14.4 x 5 % = 72 % and 6 x 5 % = 30 %: slow is a nuisance, not an outage, so nobody is woken.
LATENCY_BURN = [
    (14.4, "1h", "5m", "2m", "warning"),
    (6, "6h", "30m", "15m", "warning"),
]

# Messages that wait for their hand-over (`pending` or `queued`; `sent` may last for days when a phone is off): age of
# the oldest, severity, for. Hand-over takes seconds; Blooio's `queue` adds 3 to 8 s per message and `slow` 30 to 60 s.
STUCK = [("5m", "warning"), ("15m", "critical")]
STUCK_FOR = [("5m", "warning"), ("10m", "critical")]

# One message that was forgotten is not a stuck line: so many must wait. It also works at three messages a day.
STUCK_MESSAGES = 2

# The warning: at the pace of the newest window, what waits needs more than so many windows (an hour) to be handed over.
# A campaign of 1,500 messages at one per second needs 25 minutes. Critical: nothing at all was handed over in the window.
STUCK_WINDOW = "15m"
STUCK_DRAIN_WINDOWS = 4

# Both end only when their condition has been false for so long: a restart of the exporter leaves a gap.
STUCK_KEEP = "5m"

# Waiting messages that grow: more than a burst leaves behind, and still rising after half an hour.
BACKLOG_MESSAGES = 50
BACKLOG_WINDOW = "30m"
BACKLOG_FOR = "30m"

# ---- early warning: nothing fails yet --------------------------------------------------------------------

# iMessages of which a receipt is missing: window, least share with a receipt, least number handed over, severity.
# Compared with what was handed over this much earlier: a phone that is on confirms within seconds, most others within
# minutes. Linq: a failing line may produce no error at all. In the second row the number is decided by the test of
# significance, with RECEIPTS_USUAL as the share of phones that are off for hours.
RECEIPTS = [
    ("2h", 0.5, 20, "critical"),
    ("2h", 0.5, None, "warning"),
    ("1d", 0.6, 8, "warning"),
]
RECEIPTS_DELAY = "10m"
RECEIPTS_USUAL = 0.15
RECEIPTS_FOR = "5m"

# Nothing inbound in the window, and at least so many in the same hours yesterday and last week: nights and weekends
# compare with nights and weekends.
SILENT_WINDOW = "4h"
SILENT_MESSAGES = 12
SILENT_FOR = "15m"
YESTERDAY = "1d"
LAST_WEEK = "1w"

# Nothing accepted for sending in SILENT_WINDOW while at least so many messages arrive: the sender's side has stopped.
STOPPED_INBOUND = 5

# An hour with so many times the messages of the busiest hour of SPIKE_HISTORY, and at least so many. Photon names
# bursts of 100 as a cause of restrictions. The history exceeds a week, so a weekly campaign is in it. A line on its first day
# (YESTERDAY) has no usual hour.
SPIKE_TIMES = 5
SPIKE_MESSAGES = 50
SPIKE_HISTORY = "8d"

# Half of the iMessage deliveries of an hour slower than this, and than so many times yesterday's hour. Blooio v4: `queue`
# adds 3 to 8 s per message, `slow` 30 to 60 s; an unrestricted line takes about 2 s.
SLOWED_SECONDS = 20
SLOWED_TIMES = 3
SLOWED_MESSAGES = 10
SLOWED_FOR = "10m"

# Share of iMessage over a day, in points below that of the week before, and its significance. Blooio v4: a share down
# by more than 10 points over 72 h is `delivery`.
SHARE_POINTS = 0.10
SHARE_SIGMAS = 3
SHARE_WINDOW = "1d"
SHARE_HISTORY = "7d"
SHARE_FOR = "1h"

# A sudden change of the same within an hour: so many points above the usual share that leaves iMessage (of the week
# before; FALLBACK_USUAL where there is none), and significant.
FALLBACK_RATIO = 0.20
FALLBACK_USUAL = 0.10
FALLBACK_WINDOW = "1h"
FALLBACK_FOR = "10m"

# Messages that left iMessage in chats in which an earlier one was delivered by iMessage. Near 0 on a healthy line: a
# contact changes phones now and then.
LOST_IMESSAGE = 5
LOST_WINDOW = "6h"

# New conversations that we start: Sendblue and Photon name 50 new contacts per day and line, Sendblue 15 in any hour.
# The warning comes at this share of the day's cap.
NEW_PER_DAY = 50
NEW_PER_DAY_SHARE = 0.70
NEW_PER_HOUR = 15

# Share of the conversations of a day that are answered. Blooio v4: more than 10 new conversations a day with under 40 %
# replied to is `one_way`, so fewer raise nothing. Conversations get so long to be answered, and the shortfall must be
# significant: with 2 sigmas, 2 of 20 lines in simulated fortnights failed before they were warned of; with 1.5, none of 50.
REPLIES_RATIO = 0.40
REPLIES_SIGMAS = 1.5
REPLIES_STARTED = 10
REPLIES_WINDOW = "1d"
REPLIES_DELAY = "4h"
REPLIES_FOR = "1h"

# Share of the outbound messages at position 4 or beyond in a streak without a reply. Blooio v4 allows 3 in new, 4 in
# active, 6 in established chats; Sendblue 5; Photon two or three follow-ups.
STREAK_RATIO = 0.20
STREAK_MESSAGES = 20
STREAK_WINDOW = "1d"
STREAK_FOR = "1h"

# So many warning signs at once put a line at risk; one is worth watching, and an alert that pages is critical.
AT_RISK_SIGNS = 2

# ---- devices and lines -----------------------------------------------------------------------------------

# A line's device is probed every 5m. SETTLE and FOR together are longer than that, and a probe within PROBED is asked
# for, which is longer than the time between two probes and shorter than both together: at least two probes failed, so
# one lost round trip wakes nobody, not even while probes are starved. A page that fires holds until a probe succeeds.
# KEEP covers a restart of the exporter, whose page vanishes meanwhile.
DEVICE_DOWN_SETTLE = "2m"
DEVICE_DOWN_FOR = "5m"
DEVICE_DOWN_PROBED = "6m"
DEVICE_DOWN_KEEP = "5m"

# No probe for four intervals: the request budget is exhausted, or probes are rejected. The device may be down unseen.
NOT_PROBED_AGE = "20m"
NOT_PROBED_FOR = "5m"

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
LINE_INACTIVE_KEEP = "5m"

# A line that was listed as active a day ago and is not listed any more, an account that was on the page a day ago: the
# newest value is looked for in VANISHED_SETTLE, so that a restart is none.
VANISHED_SETTLE = "10m"
VANISHED_FOR = "10m"

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

# Webhooks. Deliveries to a receiver of yours that it did not take, as failure_count of GET /webhooks says: a single failure is
# sent again and taken, and one delivery that fails for good counts six times (one attempt and five retries).
WEBHOOK_FAILURES = 6
WEBHOOK_WINDOW = "30m"
WEBHOOK_FOR = "5m"

# Messages that polling found and no event announced: all of them while not one event arrives, which shows at once, or those whose
# events Blooio has stopped sending again, which takes 16 minutes. A few lost events cost a read each and are no reason.
FEED_MESSAGES = 5
FEED_WINDOW = "30m"
FEED_FOR = "15m"

# Deliveries to the receiver of the exporter that it rejected. Requests of strangers, who know no account's path, are no reason.
RECEIVER_REJECTED = 5
RECEIVER_WINDOW = "15m"
RECEIVER_FOR = "5m"

# 401 or 403. A refused key is tried again at most every 5m, so 10m always holds a try.
AUTH_WINDOW = "10m"
AUTH_FOR = "5m"

# Share of the request budget that is used. Above it the exporter has no reserve: probes and full listings come late.
BUDGET_USED = 0.90
BUDGET_WINDOW = "5m"
BUDGET_FOR = "15m"

# Share of the chats of a day ago that are left, and least number: chats are not deleted in such numbers by people.
CHATS_LEFT = 0.80
CHATS_LEAST = 20
CHATS_FOR = "30m"

# A baseline that moved: the state was lost or replaced, and every count began again.
BASELINE_SECONDS = 60

# Values outside the known words: Blooio changed its API. A single one may be a slip.
API_CHANGED_VALUES = 5
API_CHANGED_WINDOW = "6h"

# How fast the budget of our own requests may burn, and that of freshness: factor, long, short, for, severity. Nobody is
# woken: when the API fails for good, BlooioCollectorStale does that.
API_BURN = [
    (14.4, "1h", "5m", "2m", "warning"),
    (6, "6h", "30m", "15m", "warning"),
    (1, "3d", "6h", "3h", "warning"),
]
FRESHNESS_BURN = [
    (6, "6h", "30m", "15m", "warning"),
    (1, "3d", "6h", "3h", "warning"),
]

# 429 answers. A pause that the API asks for may last 15m, so the window is twice that.
RATE_LIMITED_RATIO = 0.05
RATE_LIMITED_WINDOW = "30m"
RATE_LIMITED_FOR = "15m"

# Chats are left for later while messages of more than this age are still uncounted. A burst is caught up sooner.
BEHIND_AGE = "10m"
BEHIND_FOR = "15m"

# The conservation law of the counts. It holds on every page, so any difference is a fault of the exporter. Nobody is
# woken for it: messages travel all the same.
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

# Commits that fail: a full disk, usually. The page stays at the last commit, so nothing else can fire.
NOT_WRITABLE_FOR = "5m"

# The state in bytes, and so many times what it was a week ago. It grows with the traffic of one retention only.
STATE_BYTES = 256 * 1024 * 1024
STATE_TIMES = 2
STATE_FOR = "1h"

# Observations that were counted under `overflow`, because a label had too many values.
DROPPED_WINDOW = "1h"

# ---- evaluation ------------------------------------------------------------------------------------------

# How often totals and short windows are computed, and the long ones (a day and more). Both below the 5m after which
# Prometheus forgets a sample. Windows are differences of recorded totals: a sample per minute is enough for them.
TOTALS_INTERVAL = "1m"
SLOW_INTERVAL = "4m"
