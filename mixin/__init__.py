"""Alerts and dashboards, generated from one set of numbers. `python3 -m mixin` says how."""

import pathlib
import sys

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parent.parent
# Where the generated files go, as Prometheus and Grafana load them.
ALERTS = ROOT / "alerts"
DASHBOARDS = ROOT / "dashboards"
