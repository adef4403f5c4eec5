"""What both sides read: the thresholds, and the metrics that the exporter has."""

import ast
import json
import sys
import tomllib
import types

from mixin import ROOT

THRESHOLDS = ROOT / "mixin" / "thresholds.toml"
# Written by the exporter's test that writes docs/metrics.md, from the declarations of the metrics.
METRICS = ROOT / "docs" / "metrics.json"
FROM_PROMETHEUS = {"up": set()}


def frozen(value):
    """Rows are tuples, and an empty text in one stands for no value: TOML has none."""
    return tuple(None if one == "" else frozen(one) for one in value) if isinstance(value, list) else value


def load_thresholds(overrides=()):
    """The thresholds as a namespace. Each override is `NAME=VALUE`, with the value in Python's notation or plain text."""
    known = {name: [frozen(row) for row in value] if isinstance(value, list) and value and isinstance(value[0], list) else frozen(value)
             for name, value in tomllib.loads(THRESHOLDS.read_text()).items()}
    for text in overrides:
        name, _, value = text.partition("=")
        if name not in known:
            sys.exit(f"{THRESHOLDS.name} has no {name}")
        try:
            known[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            known[name] = value
    return types.SimpleNamespace(**known)


def catalogue():
    """Sample name -> labels."""
    found = dict(FROM_PROMETHEUS)
    for metric in json.loads(METRICS.read_text()):
        name, labels = metric["name"], set(metric["labels"])
        if metric["type"] == "histogram":
            found.update({name + "_sum": labels, name + "_count": labels, name + "_bucket": labels | {"le"}})
        else:
            found[name] = labels
    return found
