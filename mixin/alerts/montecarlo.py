"""False pages and time to page of the delivery alerts, on simulated traffic. Python 3.11 or later, nothing else.

  python3 -m mixin montecarlo            the table of README.md: 2,000 line-months and 400 incidents for each volume
  python3 -m mixin montecarlo --quick    fewer, for alerts/check; fails when a bound is exceeded

Messages end at random (Poisson), around the clock or within ten hours of a day. A healthy line fails at half of what the
objective allows; on a failing line half of everything fails from some moment on. The rows of DELIVERY_BURN, SIGMAS,
AT_LEAST and DELIVERY_OBJECTIVE are those of thresholds.toml, and the windows are counted as the rules count them: one
sample per minute, long windows every SLOW_INTERVAL. `--set NAME=VALUE` tries other ones.
"""

import argparse
import bisect
import math
import random
import sys

from mixin import contracts
from mixin.alerts import render

DAY = 1440
MONTH = 30 * DAY
# Bounds: false pages per line and month, and the minutes within which every incident must be paged, by volume. Where
# traffic is within ten hours of a day, the fourteen others are part of the time.
FALSE_PAGES = 0.1
PAGED_WITHIN = {20: 3 * DAY, 50: 2 * DAY, 100: 36 * 60, 300: DAY}


class Rules:
    def __init__(self, t):
        def minutes(text):
            return int(render.seconds(text)) // 60
        self.allowed = 1 - t.DELIVERY_OBJECTIVE
        self.sigmas, self.least = t.SIGMAS, t.AT_LEAST
        slow = minutes(t.SLOW_INTERVAL)
        self.rows = [(factor * self.allowed, minutes(long), minutes(short), minutes(wait), severity, slow if long in ("1d", "3d") else 1)
                     for factor, long, short, wait, severity in t.DELIVERY_BURN]


class Line:
    """When messages ended, and when they ended badly; both sorted, in minutes."""

    def __init__(self, ended, bad):
        self.ended, self.bad = ended, bad

    @staticmethod
    def count(times, since, until):
        return bisect.bisect_right(times, until) - bisect.bisect_right(times, since)

    def holds(self, rules, row, at):
        limit, long, short, _, _, _ = row
        bad = self.count(self.bad, at - long, at)
        ended = self.count(self.ended, at - long, at)
        expected = rules.allowed * ended
        if not ended or bad / ended <= limit or bad <= rules.least + expected + rules.sigmas * math.sqrt(expected):
            return False
        recent = self.count(self.ended, at - short, at)
        return not recent or self.count(self.bad, at - short, at) / recent > limit

    def candidates(self, rules, row):
        """Spans in which the long window holds more bad events than AT_LEAST: nothing fires outside of them."""
        long, need, spans = row[1], max(rules.least + 1, 1), []
        for first, last in zip(self.bad, self.bad[need - 1:]):
            if last - first < long:
                begin, end = math.ceil(last), int(first + long)
                if spans and begin <= spans[-1][1] + 1:
                    spans[-1][1] = max(spans[-1][1], end)
                else:
                    spans.append([begin, end])
        return spans

    def firings(self, rules, severity, until):
        """When alerts of a severity begin to fire."""
        found = []
        for row in rules.rows:
            if row[4] != severity:
                continue
            for begin, end in self.candidates(rules, row):
                since = None
                for at in range(begin + -begin % row[5], min(end, until) + 1, row[5]):
                    if not self.holds(rules, row, at):
                        since = None
                        continue
                    since = at if since is None else since
                    if at - since >= row[3]:
                        found.append(at)
                        break
        return sorted(found)


def traffic(rng, per_day, hours, until):
    """Moments at which messages end, within so many hours of each day."""
    times, active, length = [], 0.0, hours * 60
    while True:
        active += rng.expovariate(per_day / length)
        day, minute = divmod(active, length)
        at = day * DAY + minute
        if at > until:
            return times
        times.append(at)


def healthy(rules, rng, per_day, hours, months):
    """Pages and warnings per line and month at half of the error budget."""
    counts = {"critical": 0, "warning": 0}
    for _ in range(months):
        ended = traffic(rng, per_day, hours, MONTH)
        line = Line(ended, [at for at in ended if rng.random() < rules.allowed / 2])
        for severity in counts:
            # Firings within a day are one incident.
            last = -DAY
            for at in line.firings(rules, severity, MONTH):
                counts[severity] += at - last >= DAY
                last = at
    return counts["critical"] / months, counts["warning"] / months


def incident(rules, rng, per_day, hours):
    """Minutes from the moment on which half of everything fails until the page; None when there is none in ten days."""
    began = 3 * DAY + rng.random() * DAY
    ended = traffic(rng, per_day, hours, began + 10 * DAY)
    line = Line(ended, [at for at in ended if rng.random() < (0.5 if at >= began else rules.allowed / 2)])
    pages = [at for at in line.firings(rules, "critical", int(began + 10 * DAY)) if at >= began]
    return pages[0] - began if pages else None


def text(minutes):
    return "never" if minutes is None or minutes == math.inf else f"{minutes / 60:.1f} h"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="overrides")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rules = Rules(contracts.load_thresholds(args.overrides))
    volumes = (20, 100, 300) if args.quick else (6, 10, 20, 50, 100, 300, 1000)
    months, incidents = (60, 20) if args.quick else (2000, 400)
    failed = []
    print("| messages a day | within | false pages per line and month | false warnings | half fails: page after (median) | 95 of 100 | longest |")
    print("|---|---|---|---|---|---|---|")
    for volume in volumes:
        for hours in (24, 10):
            rng = random.Random(args.seed * 100_003 + volume * 101 + hours)
            pages, warnings = healthy(rules, rng, volume, hours, months if volume < 1000 else months // 10)
            took = sorted(math.inf if m is None else m for m in (incident(rules, rng, volume, hours) for _ in range(incidents)))
            print(f"| {volume} | {hours} h | {pages:.4f} | {warnings:.4f} | {text(took[len(took) // 2])} | {text(took[int(len(took) * 0.95)])} | {text(took[-1])} |", flush=True)
            if pages > FALSE_PAGES:
                failed.append(f"{volume} a day, {hours} h: {pages:.2f} false pages per line and month, above {FALSE_PAGES}")
            if volume in PAGED_WITHIN and took[-1] > PAGED_WITHIN[volume]:
                failed.append(f"{volume} a day, {hours} h: a page took {text(took[-1])}, above {text(PAGED_WITHIN[volume])}")
    if args.quick and not args.overrides:
        # The bound can be exceeded: without the test of significance it is.
        bare = Rules(contracts.load_thresholds(["SIGMAS=0", "AT_LEAST=0"]))
        pages, _ = healthy(bare, random.Random(args.seed), 20, 24, 20)
        if pages <= FALSE_PAGES:
            failed.append(f"without the test of significance there are only {pages:.2f} false pages: nothing is measured")
    for problem in failed:
        print(problem)
    if failed:
        sys.exit(1)
    print(f"{months} line-months and {incidents} incidents for each row: at most {FALSE_PAGES} false pages, and every incident is paged in time")


if __name__ == "__main__":
    main()
