"""Writes and proves the alerts and dashboards. Python 3.11 or later, and for the proofs promtool and amtool.

  python3 -m mixin generate                         write every generated file
  python3 -m mixin generate --check                 write nothing; fail when a file is not what would be written
  python3 -m mixin generate --scale 1/60 -o DIR     the rule files with all times divided by 60, for a test that cannot wait
  python3 -m mixin generate --set SIGMAS=3 -o DIR   with another value of a threshold (repeatable)
  python3 -m mixin check [--quick]                  prove everything

Single proofs and figures, each with --help: references, structure, montecarlo, mutate, cost, spans, measure, query.
"""

import argparse
import fractions
import os
import pathlib
import runpy
import sys

from mixin import ALERTS, DASHBOARDS, ROOT
from mixin.contracts import load_thresholds
from mixin.output import put

TOOLS = {
    "references": "mixin.alerts.references",
    "montecarlo": "mixin.alerts.montecarlo",
    "mutate": "mixin.alerts.mutate",
    "cost": "mixin.alerts.cost",
    "spans": "mixin.alerts.spans",
    "structure": "mixin.dashboards.structure",
    "measure": "mixin.dashboards.measure",
    "query": "mixin.dashboards.query",
}


def generate(arguments):
    parser = argparse.ArgumentParser(prog="python3 -m mixin generate")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not what would be written")
    parser.add_argument("--scale", type=fractions.Fraction, default=fractions.Fraction(1), metavar="1/N", help="multiply all times")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="overrides", help="another value of a threshold")
    parser.add_argument("-o", "--output", type=pathlib.Path, metavar="DIR", help="write the rule files there")
    args = parser.parse_args(arguments)
    if (args.overrides or args.scale != 1) and not args.output:
        parser.error("a changed variant needs -o DIR: the files in the repository are the shipped ones")
    from mixin.alerts import render as alerts
    thresholds = load_thresholds(args.overrides)
    if args.output:
        return put(args.output, alerts.generated(thresholds, args.scale), args.check)
    from mixin import status_page
    from mixin.dashboards import render as dashboards
    boards = dashboards.generated()
    stale = put(ALERTS, alerts.shipped(thresholds), args.check) + put(DASHBOARDS, boards, args.check)
    stale += put(ROOT, status_page.generated(thresholds), args.check)
    for path in sorted(DASHBOARDS.glob("*.json")):
        if path.name not in boards:
            print(f"{path} is not generated: remove it", file=sys.stderr)
            stale += 1
    if stale:
        print(f"{stale} files are not what is generated: run `python3 -m mixin generate`", file=sys.stderr)
    else:
        print("rules, tests, dashboards, their ConfigMaps, the mixin and the status page's thresholds are what their source says")
    return min(stale, 1)


def main():
    match sys.argv[1:]:
        case ["generate", *arguments]:
            return generate(arguments)
        case ["check", *arguments]:
            os.chdir(ROOT)
            os.execv(str(ROOT / "mixin" / "check.sh"), ["mixin/check.sh", *arguments])
        case [tool, *arguments] if tool in TOOLS:
            sys.argv = [f"python3 -m mixin {tool}", *arguments]
            runpy.run_module(TOOLS[tool], run_name="__main__", alter_sys=False)
            return 0
        case ["-h" | "--help"]:
            print(__doc__)
            return 0
        case _:
            print(__doc__, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main())
