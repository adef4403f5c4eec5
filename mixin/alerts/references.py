"""Everything that one file here says about another must be true. Python 3.11 or later and promtool, nothing else.

* every alert has its chapter in runbooks.md, and every chapter its alert; every `runbook_url` names that anchor
* every query in runbooks.md parses, and every metric in it exists
* inhibitions name alerts that exist, and `equal` only labels that all of them carry
* no label of an alert holds `$value`: each evaluation would make another alert of it
* every metric and label of a rule is in the exporter's catalogue
* the Kubernetes objects hold the same rules as the rule files
"""

import pathlib
import re
import subprocess
import sys
import tempfile

from mixin import contracts
from mixin.alerts import render

from mixin import ALERTS
TARGET_LABELS = {"job", "instance", "alertname"}
problems = []


def anchor(heading):
    """What Markdown readers make of a heading: lower case, spaces to hyphens, punctuation gone."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def check_expression(where, expr, known, recorded):
    for name in re.findall(r"\b(?:account|account_line|account_line_protocol|blooio):\w+:\w+", expr):
        if name not in recorded:
            problems.append(f"{where}: {name} is not recorded")
    bare = re.sub(r"\b\w+:\w+:\w+", "", expr)
    for m in re.finditer(r"\b((?:blooio|process)_\w+|up\b)(?:\{([^{}]*)\})?", re.sub(r'"[^"]*"', lambda s: '"' + "_" * (len(s[0]) - 2) + '"', bare)):
        name = m[1]
        if name not in known:
            problems.append(f"{where}: the exporter has no {name}")
            continue
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", m[2] or ""):
            if label not in known[name] | TARGET_LABELS:
                problems.append(f"{where}: {name} has no label {label}")


def check_rules(groups, known, recorded):
    for group in groups:
        for rule in group.rules:
            where = rule.alert or rule.record
            check_expression(where, rule.expr, known, recorded)
            for label in {name.strip() for by in re.findall(r"\bby \(([^()]*)\)", rule.expr) for name in by.split(",")}:
                used = [known[m] for m in re.findall(r"\b(?:blooio|process)_\w+", re.sub(r"\b\w+:\w+:\w+", "", rule.expr)) if m in known]
                if label not in TARGET_LABELS and used and not any(label in labels for labels in used):
                    problems.append(f"{where}: no metric of it has the label {label} that it keeps")
            for key, value in rule.labels.items():
                if "$value" in value or "{{" in value:
                    problems.append(f"{where}: the label {key} is a template")
            if rule.alert:
                missing = {"summary", "description", "runbook_url", "dashboard"} - set(rule.annotations)
                if missing or "severity" not in rule.labels:
                    problems.append(f"{where}: lacks {sorted(missing)} or its severity")


def check_runbooks(alerts, known, recorded):
    text = (ALERTS / "runbooks.md").read_text()
    headings = {anchor(h): h.strip() for h in re.findall(r"(?m)^## (.*)$", text)}
    for rule in alerts:
        base, _, wanted = rule.annotations["runbook_url"].partition("#")
        if wanted not in headings:
            problems.append(f"runbooks.md has no chapter #{wanted} for {rule.alert}")
    for name in {h for h in headings.values() if h.startswith("Blooio")} - {rule.alert for rule in alerts}:
        problems.append(f"runbooks.md: {name} is no alert")
    chapters = re.split(r"(?m)^## ", text)[1:]
    for chapter in chapters:
        name = chapter.partition("\n")[0].strip()
        if name.startswith("Blooio"):
            for part in ("**Meaning.**", "**Look.**", "**Do.**", "**False alarm.**"):
                if part not in chapter:
                    problems.append(f"runbooks.md: {name} does not say {part}")
    queries = re.findall(r"```promql\n(.*?)```", text, re.S)
    rules = []
    for number, query in enumerate(q for block in queries for q in block.strip().split("\n\n")):
        check_expression(f"runbooks.md: `{query}`", query, known, recorded)
        rules.append(render.rules.Rule(record=f"query{number}", expr=query))
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "queries.yml"
        path.write_text(render.render_groups([render.rules.Group("queries", rules)], str))
        done = subprocess.run(["promtool", "check", "rules", "--lint=none", str(path)], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            problems.append(f"runbooks.md: {done.stdout}")
    return len(rules)


def matchers(text):
    return [(name, op, value.strip('"')) for name, op, value in re.findall(r"'(\w+) (=~|!~|=|!=) ([^']*)'", text)]


def holds(labels, name, op, value):
    actual = labels.get(name, "")
    equal = actual == value if op in ("=", "!=") else bool(re.fullmatch(value, actual))
    return equal if op in ("=", "=~") else not equal


def check_inhibitions(alerts):
    text = (ALERTS / "alertmanager" / "alertmanager.yml").read_text()
    text = re.sub(r"(?m)^\s*#.*\n", "", text.partition("inhibit_rules:")[2].partition("\nreceivers:")[0])
    rules = re.split(r"(?m)^  - ", text)[1:]
    for rule in rules:
        source, target = rule.partition("target_matchers")[::2]
        equal = [label.strip() for label in re.search(r"equal: \[(.*)\]", rule)[1].split(",")]
        target = target.partition("equal:")[0]
        for side, found in (("source", matchers(source)), ("target", matchers(target))):
            hit = [a for a in alerts if all(holds({"alertname": a.alert, **a.labels}, *m) for m in found)]
            if not found or not hit:
                problems.append(f"alertmanager.yml: no alert is the {side} of {found}")
            for a in hit:
                for label in set(equal) - a.carries:
                    problems.append(f"alertmanager.yml: {a.alert} has no label {label}, which `equal` names")
            for _, _, value in (m for m in found if m[0] == "alertname" and "*" not in m[2]):
                for name in set(value.split("|")) - {a.alert for a in alerts}:
                    if "." not in name:
                        problems.append(f"alertmanager.yml: {name} is no alert")
    return len(rules)


def check_kubernetes():
    for rules, wrapped in (("blooio.rules.yml", "prometheusrule.yaml"),):
        plain = (ALERTS / rules).read_text()
        plain = plain[plain.index("groups:"):]
        inside = (ALERTS / "kubernetes" / wrapped).read_text().partition("\nspec:\n")[2]
        if re.sub(r"(?m)^  ", "", inside) != plain:
            problems.append(f"{wrapped} does not hold the rules of {rules}")


def main():
    book = render.book(contracts.load_thresholds())
    groups = book.main()
    recorded = {rule.record for group in groups for rule in group.rules if rule.record}
    alerts = [rule for group in groups for rule in group.rules if rule.alert]
    known = contracts.catalogue()
    if len(known) < 40:
        problems.append(f"only {len(known)} metrics found in {contracts.METRICS.name}")
    check_rules(groups, known, recorded)
    queries = check_runbooks(alerts, known, recorded)
    inhibitions = check_inhibitions(alerts)
    check_kubernetes()
    for problem in problems:
        print(problem)
    if problems:
        sys.exit(f"{len(problems)} references are wrong")
    print(f"{len(alerts)} alerts have their runbook; {queries} queries of the runbooks parse; {inhibitions} inhibitions name labels "
          f"that both sides carry; every metric and label is in the catalogue; the Kubernetes objects hold the same rules")


if __name__ == "__main__":
    main()
