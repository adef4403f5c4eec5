#!/usr/bin/env python3
"""Writes the dashboards from source/ and the limits in ../alerts/thresholds.py. Python 3.8 or later, nothing else.

  ./generate.py            write every dashboard
  ./generate.py --check    write nothing; fail when a file is not what would be written
"""

import argparse
import difflib
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
# `source` is here; `generate`, `rules` and `references` are those of the alerts.
sys.path[0:0] = [str(HERE.parent / "alerts"), str(HERE)]

from source import api, exporter, line, objectives, overview  # noqa: E402

DASHBOARDS = {f"{module.__name__.rpartition('.')[2]}.json": module for module in (overview, line, objectives, api, exporter)}


def generated():
    """Every generated file: name -> text."""
    return {name: json.dumps(module.dashboard().json(), indent=1, ensure_ascii=False) + "\n" for name, module in DASHBOARDS.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    files, stale = generated(), []
    for name, text in files.items():
        path = HERE / name
        before = path.read_text() if path.exists() else ""
        if before == text:
            continue
        if check:
            stale.append(name)
            diff = difflib.unified_diff(before.splitlines(), text.splitlines(), name, "generated", lineterm="", n=1)
            print("\n".join(list(diff)[:40]))
        else:
            path.write_text(text)
            print(f"wrote {path}")
    for path in sorted(HERE.glob("*.json")):
        if path.name not in files:
            stale.append(path.name)
    if stale:
        sys.exit(f"{', '.join(stale)}: not what generate.py writes; run dashboards/generate.py")
    print(f"{len(files)} dashboards are what their source says")


if __name__ == "__main__":
    main()
