"""Breaks the rules one at a time and asks whether the tests notice. Python 3.11 or later and promtool, nothing else.

  python3 -m mixin mutate            every mutant
  python3 -m mixin mutate --quick    each alert dropped, each threshold halved
  python3 -m mixin mutate --list     what would be tried
  python3 -m mixin mutate --only X   mutants whose name contains X

A mutant that no test notices must be in mutants-survivors.txt with the reason why that is acceptable; a reason for a
mutant that is noticed after all, or does not exist, is an error too. Each mutant runs against the tests that are
about it (the first words of a test's name say so), with the rules that it needs and no others: that is what makes
several hundred of them affordable.
"""

import argparse
import concurrent.futures
import copy
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from mixin import contracts
from mixin.alerts import render

from mixin import ALERTS
SURVIVORS = pathlib.Path(__file__).parent / "mutants-survivors.txt"
WINDOWS = {}  # recorded name -> its windows, shortest first
RECORDED = re.compile(r"\b((?:account|account_line|account_line_protocol|blooio):\w+:(?:\w+))")
BOUNDARY = {">": ">=", ">=": ">", "<": "<=", "<=": "<", "==": "!="}
TURNED = {">": "<", ">=": "<=", "<": ">", "<=": ">="}


def spans_of_strings(expr):
    return [m.span() for m in re.finditer(r'"[^"]*"', expr)]


def outside(span, spans):
    return all(span[1] <= a or span[0] >= b for a, b in spans)


def halved_and_doubled(text):
    value = render.seconds(text)
    return [("halved", render.duration(value / render.fractions.Fraction(2))), ("doubled", render.duration(value * 2))]


def mutants_of_expr(expr):
    """(kind, what, mutated text); `#2` is the second of its sort in the expression."""
    strings = spans_of_strings(expr)

    def found(pattern, text=expr):
        matches = (m for m in re.finditer(pattern, text) if outside(m.span(), strings))
        return enumerate(matches, 1)

    def replace(span, text):
        return expr[:span[0]] + text + expr[span[1]:]

    # Numbers: thresholds, guards, factors.
    for n, m in found(r"(?<![\w.:])\d+(?:\.\d+)?(?![\w.:])"):
        compared = re.search(r"(?:>=|<=|==|>|<)(?: bool)?\s+$", expr[:m.start()])
        kind = "threshold" if compared else "constant"
        value = float(m[0])
        for word, new in [("raised to 1", 1)] if value == 0 else [("halved", value / 2), ("doubled", value * 2)]:
            halving = word == "halved"
            yield (kind + ("-halved" if halving else ""), f"number #{n} ({m[0]}) {word}", replace(m.span(), f"{new:.10g}"))
    # Comparisons.
    for n, m in found(r">=|<=|==|>|<"):
        yield "comparison", f"comparison #{n} from {m[0]} to {BOUNDARY[m[0]]}", replace(m.span(), BOUNDARY[m[0]])
        if m[0] in TURNED:
            yield "comparison", f"comparison #{n} from {m[0]} to {TURNED[m[0]]}", replace(m.span(), TURNED[m[0]])
    # Windows: ranges, subqueries, offsets, and the window in a recorded name.
    for n, m in found(r"(?:\[|:|offset )(\d+[a-z]+)(?![\w])"):
        for word, new in halved_and_doubled(m[1]):
            yield "window", f"range #{n} ({m[1]}) {word}", replace(m.span(1), new)
    for n, m in found(r"\b(\w+:\w+:(?:increase|ratio_rate))(\d+[mhd])\b"):
        known = WINDOWS[m[1]]
        i = known.index(m[2])
        for j in (i - 1, i + 1):
            if 0 <= j < len(known):
                yield "window", f"recorded window #{n} from {m[2]} to {known[j]}", replace(m.span(2), known[j])
    # Label matchers, one at a time.
    for n, braces in enumerate(re.finditer(r"\{([^{}]*)\}", expr), 1):
        for m in re.finditer(r'(\w+)(=~|!~|!=|=)"[^"]*"', braces[1]):
            rest = (braces[1][:m.start()] + braces[1][m.end():]).strip(", ").replace(", , ", ", ")
            yield "matcher", f"matcher {m[0]} in #{n} dropped", replace(braces.span(1), rest)
    # Labels that are kept, aggregations.
    for n, m in found(r"(max|sum) by \(([^()]*)\)"):
        for label in m[2].split(", "):
            rest = ", ".join(name for name in m[2].split(", ") if name != label)
            yield "label", f"label {label} of aggregation #{n} dropped", replace(m.span(2), rest)
        if m[1] == "max":
            yield "aggregation", f"aggregation #{n} from max to min", replace(m.span(1), "min")
    # Operands of set operations at the top level.
    parts = re.split(r"\n(and|unless)\n", expr)
    for i in range(1, len(parts), 2):
        yield "operand", f"`{parts[i]}` number {(i + 1) // 2} dropped", "".join(
            part if j % 2 == 0 else f"\n{part}\n" for j, part in enumerate(parts[:i] + parts[i + 2:]))


def mutants_of_rule(rule):
    """(kind, what, mutated rule or None when it is dropped)"""
    yield "dropped", "dropped", None

    def changed(**fields):
        mutant = copy.copy(rule)
        mutant.__dict__.update(fields)
        return mutant

    for kind, what, expr in mutants_of_expr(rule.expr):
        yield kind, what, changed(expr=expr)
    for field, name in (("wait", "for"), ("keep", "keep_firing_for")):
        if getattr(rule, field):
            for word, new in halved_and_doubled(getattr(rule, field)):
                yield "for", f"{name} {word}", changed(**{field: new})
            yield "for", f"{name} dropped", changed(**{field: None})
    if rule.alert:
        yield "severity", "severity changed", changed(labels={**rule.labels, "severity": "page"})


def name_of(rule):
    extra = [v for k, v in rule.labels.items() if k == "window" or k == "direction" or (k == "severity" and rule.alert in PAIRED)]
    return " ".join([rule.alert or rule.record] + extra)


def recorded_subject(rule):
    """The tests in tests/records.yml and delivery.yml that speak of this recording rule."""
    for subject, sign in (("objectives", "_objective:"), ("budgets", "_budget:"), ("quantiles", "_latency_seconds:"),
                          ("usual", ":usual_"), ("totals", ":total"), ("age", ":blooio_collection:"), ("grades", "_signs:"), ("grades", ":grade")):
        if sign in rule.record:
            return f"record {subject}"
    return "record windows"


class Tests:
    """The test files, cut into their tests."""

    def __init__(self):
        self.files = []
        for path in sorted((ALERTS / "tests").glob("*.yml")):
            head, *tests = re.split(r"(?m)^(?=  - name: ')", path.read_text())
            named = [(re.match(r"  - name: '([^:]*):", test)[1], test) for test in tests]
            self.files.append((path.name, re.sub(r"rule_files: .*", "rule_files: [rules.yml]", head), named))

    def about(self, subjects):
        """file name -> text, with the tests of these subjects only."""
        chosen = {}
        for name, head, tests in self.files:
            text = [test for about, test in tests if about in subjects]
            if text:
                chosen[name] = head + "".join(text)
        return chosen

    def subjects(self):
        return {about for _, _, tests in self.files for about, _ in tests}


class Bench:
    def __init__(self):
        self.book = render.book(contracts.load_thresholds())
        self.groups = self.book.main()
        self.rules = [rule for group in self.groups for rule in group.rules]
        self.records = {rule.record: rule for rule in self.rules if rule.record}
        self.tests = Tests()
        for name in self.records:
            found = re.fullmatch(r"(\w+:\w+:(?:increase|ratio_rate))(\d+[mhd])", name)
            if found:
                WINDOWS.setdefault(found[1], []).append(found[2])
        for windows in WINDOWS.values():
            windows.sort(key=render.seconds)

    def needs(self, rules):
        """The rules and what they are computed from."""
        found, todo = set(), list(rules)
        while todo:
            rule = todo.pop()
            if id(rule) not in found:
                found.add(id(rule))
                todo += [self.records[name] for name in RECORDED.findall(rule.expr) if name in self.records]
        return found

    def family(self, alert_rule):
        """The rules that the tests of this one speak of, and the subject of these tests."""
        if "window" in alert_rule.labels:
            window = alert_rule.labels["window"]
            return ([rule for rule in self.rules if rule.alert == alert_rule.alert and rule.labels["window"] == window],
                    f"{alert_rule.alert} {window}")
        return [rule for rule in self.rules if rule.alert == alert_rule.alert], alert_rule.alert

    def stages(self, rule):
        """(rules to load, tests to run), cheapest first, for a change in this rule."""
        if rule.alert:
            family, subject = self.family(rule)
            yield family, {subject}
            return
        subject = recorded_subject(rule)
        if subject == "record grades":  # they count the alerts that fire
            yield self.rules, {subject}
            return
        yield [r for r in self.rules if r.record and recorded_subject(r) == subject], {subject}
        seen = set()
        for user in (r for r in self.rules if r.alert and id(rule) in self.needs([r])):
            family, subject = self.family(user)
            if subject not in seen:
                seen.add(subject)
                yield family, {subject}

    def run(self, rule, mutant):
        """True when a test notices that `rule` became `mutant`."""
        for family, subjects in self.stages(rule):
            with tempfile.TemporaryDirectory(prefix="blooio-mutant-") as directory:
                directory = pathlib.Path(directory)
                changed = [mutant if r is rule else r for r in family]
                needed = self.needs([r for r in changed if r])
                if rule.record:
                    needed.add(id(rule))
                groups = []
                for group in self.groups:
                    kept = [mutant if r is rule else r for r in group.rules if id(r) in needed or r is rule and r in family
                            or mutant is not None and r is rule]
                    kept = [r for r in kept if r is not None]
                    if kept:
                        groups.append(render.rules.Group(group.name, kept, group.interval, group.why))
                (directory / "rules.yml").write_text(render.render_groups(groups, self.book.d) if groups else "groups: []\n")
                for name, text in self.tests.about(subjects).items():
                    (directory / name).write_text(text)
                    done = subprocess.run(["promtool", "test", "rules", name], cwd=directory, text=True,
                                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                    if done.returncode:
                        if not re.search(r"\bexp:|\berr:|execution:", done.stdout):
                            raise RuntimeError(f"{name_of(rule)}: promtool could not run it:\n{done.stdout}")
                        return True
        return False


def reasons():
    known = {}
    for number, line in enumerate(SURVIVORS.read_text().splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            name, found, reason = line.partition(" -- ")
            if not found or not reason.strip():
                sys.exit(f"{SURVIVORS.name}:{number}: a survivor needs ` -- ` and a reason")
            known[name.strip()] = reason.strip()
    return known


def paired(rules):
    """The alerts that have two severities for the same window."""
    severities = {}
    for rule in rules:
        if rule.alert:
            severities.setdefault((rule.alert, rule.labels.get("window")), set()).add(rule.labels["severity"])
    return {alert for (alert, _), found in severities.items() if len(found) > 1}


def mutants(rules, quick, only):
    """The mutants to try, each as its name, its kind, the rule and the mutant."""
    work = []
    for rule in rules:
        for kind, what, mutant in mutants_of_rule(rule):
            # The windows are written by one template: it is broken in one of them.
            if rule.record and re.search(r":(increase|ratio_rate)\d+[mhd]$", rule.record) and not re.search(r"_bad_messages:\w+6h$", rule.record):
                continue
            if quick and not (rule.alert and kind in ("dropped", "threshold-halved")):
                continue
            name = f"{name_of(rule)}: {what}"
            if only in name:
                work.append((name, kind, rule, mutant))
    return work


def noticed_by(bench, work, jobs):
    """Whether the tests notice each mutant. Ends the program when the tests fail without one."""
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        # As they are, the rules must pass: otherwise every mutant would look noticed.
        alive = {}
        for rule in bench.rules:
            if rule.alert:
                alive[bench.family(rule)[1]] = rule
            else:
                alive[recorded_subject(rule)] = rule
        broken = [subject for subject, failed in zip(alive, pool.map(lambda rule: bench.run(rule, rule), alive.values())) if failed]
        if broken:
            sys.exit(f"the tests fail without a mutant: {sorted(broken)}")
        return list(pool.map(lambda item: bench.run(item[2], item[3]), work))


def report(work, noticed, is_partial, began):
    """Prints what was noticed; returns whether everything else has a reason, and every reason its mutant."""
    names = [name for name, *_ in work]
    known = reasons()
    survivors = [name for name, found in zip(names, noticed) if not found]
    kinds = {}
    for (_, kind, *_), found in zip(work, noticed):
        count = kinds.setdefault(kind, [0, 0])
        count[0] += 1
        count[1] += found
    for kind, (count, found) in sorted(kinds.items()):
        print(f"{kind:17} {count:4} mutants, {found:4} noticed")
    unexplained = [name for name in survivors if name not in known]
    wrong = [name for name in known if name in names and name not in survivors]
    gone = [] if is_partial else [name for name in known if name not in names]
    for title, found in (("NOT NOTICED, and no reason given", unexplained), ("listed as a survivor, but noticed", wrong),
                         ("listed as a survivor, but not tried", gone)):
        for name in found:
            print(f"{title}: {name}")
    print(f"{len(work)} mutants, {sum(noticed)} noticed, {len(survivors)} survive, {len(unexplained)} without a reason, "
          f"{time.monotonic() - began:.0f} s")
    return not (unexplained or wrong or gone)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    began = time.monotonic()
    bench = Bench()
    global PAIRED
    PAIRED = paired(bench.rules)

    work = mutants(bench.rules, args.quick, args.only)
    if args.list:
        print("\n".join(f"{kind:16} {name}" for name, kind, _, _ in work))
        return
    names = [name for name, *_ in work]
    double = {name for name in names if names.count(name) > 1}
    if double:
        sys.exit(f"mutants with the same name: {sorted(double)}")
    untested = {bench.family(rule)[1] for rule in bench.rules if rule.alert} - bench.tests.subjects()
    if untested:
        sys.exit(f"alerts without a test: {sorted(untested)}")
    noticed = noticed_by(bench, work, args.jobs)
    if not report(work, noticed, args.quick or args.only, began):
        sys.exit(1)


if __name__ == "__main__":
    main()
