"""Writes tests/spans.json: for how many evaluations each alert of a generated test fires. Python 3.11 or later and promtool.

Which lines fire, and when they must not, is stated in cases.py and cases_signs.py. This file fixes the rest, as it is: a change of
a window, a limit or a waiting time moves a beginning or an end. Run this after such a change and read the difference.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile


from mixin import ALERTS
from mixin import contracts
from mixin.alerts import cases
from mixin.alerts import cases_signs
from mixin.alerts import render


def found(path):
    """What promtool got in place of each expectation that does not hold: expression -> labels -> value."""
    done = subprocess.run(["promtool", "test", "rules", str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    got = {}
    for expr, values in re.findall(r'expr: (".*"), time: .*\n\s+exp: nil\n\s+got: (.*)', done.stdout):
        samples = re.findall(r"(\{[^}]*\}) ([\d.E+]+)", values)
        got[json.loads(expr)] = {labels: int(float(value)) for labels, value in samples}
    return got


def main():
    cases.SPANS.clear()
    with tempfile.TemporaryDirectory() as directory:
        rules = render.generated(contracts.load_thresholds())["blooio.rules.yml"]
        (pathlib.Path(directory) / "blooio.rules.yml").write_text(rules)
        tests = pathlib.Path(directory) / "tests"
        tests.mkdir()
        for name, text in {**cases.generated(), **cases_signs.generated()}.items():
            # One test at a time: an expression alone does not say whose it is.
            head, *parts = re.split(r"(?m)^(?=  - name: ')", text)
            for part in parts:
                path = tests / pathlib.Path(name).name
                path.write_text(head + part)
                test = re.match(r"  - name: '(.*)'", part)[1]
                cases.SPANS[test] = next((got for expr, got in found(path).items() if expr.startswith(cases.SPAN)), {})
    (ALERTS / "tests" / "spans.json").write_text(json.dumps(cases.SPANS, indent=1) + "\n")
    print(f"{len(cases.SPANS)} tests; now run python3 -m mixin generate")


if __name__ == "__main__":
    main()
