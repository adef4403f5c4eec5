"""Asks a Prometheus every question that the dashboards ask. Python 3.11 or later, nothing else.

  python3 -m mixin query URL                          fail when a variable, a panel's query or an annotation gets an error or no value
  python3 -m mixin query URL --time overview.json     print how long each panel's queries take, the slowest last

Each is asked twice: with All chosen, and with the first value of every variable.
"""

import argparse
import json
import math
import pathlib
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from mixin import DASHBOARDS

VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)[^}]*\}")
POINTS = 800  # of a graph on a wide screen

# What may have no value, and why. (file, panel id or variable or annotation): reason
MAY_BE_EMPTY = {
    ("exporter.json", 34): "certificates: an exporter without TLS has none",
    ("exporter.json", 29): "the balance of the counts shows differences only, and there are none",
    **{("exporter.json", panel): "webhooks: an exporter without a receiver has none, and no webhook of the account is inactive"
       for panel in (36, 37, 38, 39)},
    **{("exporter.json", panel): "leases: an exporter whose state is a file has none" for panel in (40, 41)},
    ("overview.json", 22): "accounts: only shown when there are several",
}
# The same for what compares with an earlier time, and for budgets, which are unknown before a day.
NEEDS_HISTORY = re.compile(r":usual_|\boffset\b|_error_budget:")


class QueryRejected(Exception):
    """Prometheus did not answer a question."""


class Prometheus:
    def __init__(self, url):
        self.url = url.rstrip("/")
        # Loopback or not: never through a proxy of the environment.
        self.open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def ask(self, path, **arguments):
        request = urllib.request.Request(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(arguments)}")
        try:
            with self.open(request, timeout=60) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise QueryRejected(error.read().decode(errors="replace")[:300]) from None


def has_value(data):
    """Whether there is a number that can be shown."""
    rows = [[data["result"]]] if data["resultType"] in ("scalar", "string") else [s.get("values") or [s["value"]] for s in data["result"]]
    return any(math.isfinite(float(value)) for row in rows for _, value in row)


class Board:
    """A dashboard, over a span of time that ends at `end`, with its variables chosen."""

    def __init__(self, path, prometheus, end, span, scrape):
        self.name, self.prometheus, self.end, self.span = path.name, prometheus, end, span
        self.model = json.loads(path.read_text())
        self.step = max(math.ceil(span / POINTS), scrape)
        self.values = {"__range": f"{span}s", "__rate_interval": f"{max(self.step + scrape, 4 * scrape)}s"}
        self.questions = 0

    def fill(self, text):
        return VARIABLE.sub(lambda m: self.values[m[1] or m[2]], text)

    def choose(self, everything):
        """Chooses all or one of each variable, in their order: they build on each other. Says which have no value."""
        for variable in self.model["templating"]["list"]:
            if variable["type"] != "query":
                continue
            series, label = re.fullmatch(r"label_values\((.+), (\w+)\)", self.fill(variable["query"]["query"])).groups()
            self.questions += 1
            found = self.prometheus.ask(f"label/{label}/values", **{"match[]": series, "start": self.end - self.span, "end": self.end})
            # As Grafana fills in one of several: escaped for a regular expression inside of a PromQL string.
            one = re.sub(r"([\\^$.|?*+()\[\]{}])", r"\\\\\1", found[0]) if found else ""
            self.values[variable["name"]] = variable["allValue"] if everything else one
            if not found:
                yield variable["name"], self.fill(variable["query"]["query"])

    def panels(self):
        for panel in self.model["panels"]:
            for inner in [panel, *(panel.get("panels") or [])]:
                if inner["type"] != "row":
                    yield inner

    def ask(self, target, least="0s"):
        """The answer to a query, in steps of at least `least`."""
        self.questions += 1
        expr = self.fill(target["expr"])
        if target.get("instant"):
            return self.prometheus.ask("query", query=expr, time=self.end)
        return self.prometheus.ask("query_range", query=expr, start=self.end - self.span, end=self.end, step=max(self.step, int(least[:-1]) * {"s": 1, "m": 60}[least[-1]]))

    def empty(self):
        """Everything that has no value, with the question."""
        for everything in (True, False):
            chosen = "all" if everything else "one"
            for name, question in self.choose(everything):
                yield f"${name}", f"variable ${name}", question
            asked = [(panel["id"], f"#{panel['id']} {panel['title']}", target) for panel in self.panels() for target in panel["targets"]]
            asked += [(a["name"], f"annotation {a['name']}", {"expr": a["expr"]}) for a in self.model["annotations"]["list"] if "expr" in a]
            for key, what, target in asked:
                try:
                    if has_value(self.ask(target)):
                        continue
                except QueryRejected as error:
                    yield None, f"{what} ({chosen} chosen): {error}", self.fill(target["expr"])
                    continue
                yield key, f"{what} ({chosen} chosen)", self.fill(target["expr"])


def check(boards):
    wrong, allowed = [], set()
    for board in boards:
        for key, what, question in board.empty():
            if NEEDS_HISTORY.search(question):
                continue
            if (board.name, key) in MAY_BE_EMPTY:
                allowed.add((board.name, key))
            else:
                wrong.append(f"{board.name}: {what} has no value: {question}")
    for name, key in set(MAY_BE_EMPTY) - allowed:
        wrong.append(f"{name}: {key} has a value: it should not be listed as empty")
    for problem in wrong:
        print(problem)
    if wrong:
        sys.exit(f"{len(wrong)} have no value")
    print(f"{sum(board.questions for board in boards)} questions answered")


def measure(board, rounds=5):
    """Milliseconds of each query, in the median and at worst: another program may run at the same time."""
    list(board.choose(True))
    figures = []
    for panel in board.panels():
        least = panel.get("interval", "0s")
        for target in panel["targets"]:
            if not has_value(board.ask(target, least)):
                sys.exit(f"{panel['title']} {target['refId']} has no value: its time would mean nothing")
            took = []
            for _ in range(rounds):
                began = time.perf_counter()
                board.ask(target, least)
                took.append((time.perf_counter() - began) * 1000)
            figures.append((sorted(took)[rounds // 2], max(took), f"{panel['title']} {target['refId']}"))
    for median, worst, title in sorted(figures):
        print(f"{median:8.1f} ms  {worst:8.1f} ms  {title}")
    print(f"{len(figures)} queries: the slowest {max(f[0] for f in figures):.0f} ms in the median of {rounds}, {max(f[1] for f in figures):.0f} ms at worst")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--time", metavar="FILE")
    parser.add_argument("--span", type=int, default=6 * 3600, help="seconds in view (6 hours)")
    parser.add_argument("--end", type=float, default=None, help="unix time at which the view ends (now)")
    parser.add_argument("--scrape", type=int, default=15, help="seconds between two scrapes (15)")
    args = parser.parse_args()
    prometheus = Prometheus(args.url)
    end = args.end or time.time()
    paths = [DASHBOARDS / args.time] if args.time else sorted(DASHBOARDS.glob("*.json"))
    boards = [Board(path, prometheus, end, args.span, args.scrape) for path in paths]
    measure(boards[0]) if args.time else check(boards)


if __name__ == "__main__":
    main()
