"""What must hold of every dashboard file, whatever wrote it. Python 3.11 or later and promtool, nothing else.

It reads the JSON as Grafana would, not the source that made it. At the end it breaks the dashboards in every way of its
table, one at a time: each must be noticed.
"""

import copy
import json
import pathlib
import re
import subprocess
import sys
import tempfile

from mixin import contracts
from mixin import DASHBOARDS

from mixin.alerts import render
from mixin.alerts import references
from mixin import ids
from mixin.dashboards import common, grafana

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
KINDS = {"stat", "timeseries", "table", "heatmap", "state-timeline", "bargauge", "row"}
UNITS = {"none", "short", "s", "percentunit", "bytes", "reqps", "dtdurations", "suffix:/min", "suffix:/h", "suffix: min", "suffix: h", "suffix: d", "suffix:x", "string",
         "dateTimeAsLocal", "dateTimeAsLocalNoDateIfToday"}
BUILT_IN = {"__rate_interval", "__range", "__url_time_range", "__all_variables", "__all", "__data", "__field"}
VARIABLES = ["datasource", "job", *common.T.EXTRA_LABELS, "account", "line"]
IN_SIGHT = 22
# A variable stands for "all" while an expression is parsed; a window for any.
STAND_INS = {**{name: ".+" for name in common.T.EXTRA_LABELS}, "job": ".+", "account": ".+", "line": ".+", "__rate_interval": "1m", "__range": "6h"}
VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)[^}]*\}")
# Windows besides $__rate_interval and $__range: over a recorded value, or that of an alert whose limit is drawn.
OWN_WINDOW = re.compile(r"changes\(process_start_time_seconds\{[^}]*\}$|avg_over_time\(account:blooio_collection:fresh\{[^}]*\}$")
# The certificate that clients see is also the first one of the role `server`, which is shown with all others.
SHOWN_BY_ANOTHER = {"blooio_exporter_web_tls_certificate_not_after_timestamp_seconds"}
PROMETHEUS = {"up": set(), "scrape_duration_seconds": set(), "ALERTS": {"alertname", "alertstate", "severity", "account", "line"},
              "ALERTS_FOR_STATE": {"alertname", "severity", "account", "line"}}


def panels(dashboard):
    """Every panel but the rows, with whether a collapsed row hides it."""
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            yield panel, False
        for inner in panel.get("panels") or []:
            yield inner, True


def filled(expr):
    return VARIABLE.sub(lambda m: STAND_INS.get(m[1] or m[2], m[0]), expr)


def links(value):
    """Every link in it, at any depth."""
    if isinstance(value, dict):
        if isinstance(value.get("url"), str):
            yield value["url"]
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from links(inner)


class Check:
    def __init__(self, dashboards, known=None):
        self.dashboards, self.problems, self.expressions = dashboards, [], []
        self.book = render.book(contracts.load_thresholds())
        self.rules = [rule for group in self.book.main() for rule in group.rules]
        self.recorded = {rule.record for rule in self.rules if rule.record}
        self.known = {**(known or contracts.catalogue()), **PROMETHEUS}
        self.ids = {uid: {int(panel["id"]): hidden for panel, hidden in panels(d)} for uid, d in self.by_uid().items()}

    def by_uid(self):
        return {d.get("uid"): d for d in self.dashboards.values()}

    def say(self, where, text):
        self.problems.append(f"{where}: {text}")

    def run(self, parse=True):
        if len(self.by_uid()) != len(self.dashboards):
            self.say("dashboards", "two of them have the same uid")
        if {u for u in self.by_uid()} != set(ids.UIDS.values()):
            self.say("dashboards", f"not those of mixin/ids.py: {sorted(map(str, self.by_uid()))}")
        for name, dashboard in self.dashboards.items():
            self.dashboard(name, dashboard)
        self.alerts()
        self.all_drawn()
        if parse:
            self.parse()
        return self.problems

    # ---- one dashboard ----

    def dashboard(self, name, d):
        for key in {"id", "__inputs", "__requires", "__elements"} & set(d):
            self.say(name, f"has {key}, which belongs to one server")
        wanted = {"editable": False, "graphTooltip": 1, "schemaVersion": grafana.SCHEMA}
        for key, value in wanted.items():
            if d.get(key) != value:
                self.say(name, f"{key} is {d.get(key)!r}, not {value!r}")
        for key in ("title", "description"):
            if not d.get(key):
                self.say(name, f"has no {key}")
        self.variables(name, d)
        self.grid(name, d)
        self.annotations(name, d)
        numbers = [p["id"] for p, _ in panels(d)] + [p["id"] for p in d["panels"] if p["type"] == "row"]
        if len(set(numbers)) != len(numbers) or not all(isinstance(n, int) and n > 0 for n in numbers):
            self.say(name, "ids of panels are not unique positive numbers")
        named = next((set(map(int, kind)) for kind, uid in ids.UIDS.items() if uid == d.get("uid")), set())
        if named != {p["id"] for p, _ in panels(d)}:
            self.say(name, f"ids differ from mixin/ids.py: {sorted(named ^ {p['id'] for p, _ in panels(d)})}")
        others = {f"/d/{uid}" for uid in ids.UIDS.values()} - {f"/d/{d.get('uid')}"}
        found = {link["url"] for link in d.get("links", []) if link.get("keepTime") and link.get("includeVars")}
        if found != others:
            self.say(name, f"does not link to {sorted(others - found)} with time and variables")
        for panel, _ in panels(d):
            self.panel(f"{name}: {panel.get('title')} #{panel.get('id')}", panel)
        for url in links(d):
            self.link(name, url)
        declared = {v["name"] for v in d["templating"]["list"]} | BUILT_IN
        for used in {m[1] or m[2] for m in VARIABLE.finditer(json.dumps(d))} - declared:
            self.say(name, f"${used} is not declared")

    def variables(self, name, d):
        found = d["templating"]["list"]
        if [v["name"] for v in found] != VARIABLES:
            self.say(name, f"variables are {[v['name'] for v in found]}")
        for v in found:
            where = f"{name}: ${v['name']}"
            if v["name"] == "datasource":
                if (v["type"], v["query"]) != ("datasource", "prometheus"):
                    self.say(where, "is not a choice of Prometheus data sources")
                continue
            if not (v["type"] == "query" and v["multi"] and v["includeAll"] and v["allValue"] == ".+" and v["refresh"] == 2):
                self.say(where, "must offer several and All (.+), and refresh with the time range")
            if v["datasource"] != DATASOURCE:
                self.say(where, "asks another data source")
            query = re.fullmatch(r"label_values\((.+), (\w+)\)", v["query"]["query"])
            if not query:
                self.say(where, "is not label_values(series, label)")
                continue
            self.expression(where, query[1])
            metric = query[1].partition("{")[0]
            if query[2] not in self.known.get(metric, set()) | references.TARGET_LABELS:
                self.say(where, f"{metric} has no label {query[2]}")

    def grid(self, name, d):
        taken = {}
        for panel in d["panels"]:
            self.place(name, panel, taken)
        for row in d["panels"]:
            if row["type"] == "row":
                if bool(row.get("panels")) != bool(row.get("collapsed")):
                    self.say(name, f"the row {row['title']} holds panels and is open, or is closed and holds none")
                inner = {}
                for panel in row.get("panels") or []:
                    self.place(name, panel, inner)
        seen = sum(1 for _, hidden in panels(d) if not hidden)
        if seen > IN_SIGHT:
            self.say(name, f"{seen} panels in sight; {IN_SIGHT} are what one looks at")

    def place(self, name, panel, taken):
        g = panel["gridPos"]
        if g["x"] < 0 or g["y"] < 0 or g["w"] < 1 or g["h"] < 1 or g["x"] + g["w"] > 24:
            self.say(name, f"#{panel['id']} is outside of the grid: {g}")
        for cell in ((x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])):
            if taken.setdefault(cell, panel["id"]) != panel["id"]:
                self.say(name, f"#{panel['id']} lies on #{taken[cell]}")
                return

    def annotations(self, name, d):
        expressions = [a.get("expr", "") for a in d["annotations"]["list"]]
        for needed in ("ALERTS", "process_start_time_seconds"):
            if not any(needed in expr for expr in expressions):
                self.say(name, f"no annotation comes from {needed}")
        for a in d["annotations"]["list"]:
            where = f"{name}: annotation {a['name']}"
            if a.get("target", {}).get("type") == "tags":
                if a["datasource"]["uid"] != "-- Grafana --" or not a["target"]["tags"]:
                    self.say(where, "tags come from Grafana itself")
                continue
            self.expression(where, a["expr"])
            if a.get("datasource") != DATASOURCE:
                self.say(where, "asks another data source")

    # ---- one panel ----

    def panel(self, where, p):
        if p["type"] not in KINDS:
            self.say(where, f"a panel of the kind {p['type']}")
        for key in ("title", "description"):
            if not p.get(key, "").strip():
                self.say(where, f"has no {key}")
        defaults = p["fieldConfig"]["defaults"]
        units = [defaults.get("unit")] + [v["value"] for o in p["fieldConfig"]["overrides"] for v in o["properties"] if v["id"] == "unit"]
        for unit in units:
            if unit not in UNITS:
                self.say(where, f"unit {unit!r}")
        options = p["options"]
        if p["type"] in ("stat", "bargauge") and not options.get("reduceOptions", {}).get("calcs"):
            self.say(where, "has no reducer")
        if p["type"] == "timeseries" and not options.get("legend", {}).get("calcs"):
            self.say(where, "has no reducer in its legend")
        if p["type"] in ("stat", "bargauge", "table") and not defaults.get("noValue"):
            self.say(where, "does not say what it means when there is nothing")
        if not p.get("targets"):
            self.say(where, "asks nothing")
        for override in p["fieldConfig"]["overrides"]:
            name = override["matcher"]["options"]
            color = next((v["value"]["fixedColor"] for v in override["properties"] if v["id"] == "color"), None)
            meant = {**common.PROTOCOLS, "failed": common.BAD, "delivered": common.STATUSES["delivered"]}.get(name)
            if color and meant and name != "none" and name != "other" and color != meant and not (name == "pending" and color == common.STATUSES["pending"]):
                self.say(where, f"{name} is {color} here and {meant} elsewhere")
        if p["datasource"] != DATASOURCE or any(t["datasource"] != DATASOURCE for t in p["targets"]):
            self.say(where, "asks another data source")
        if len({t["refId"] for t in p["targets"]}) != len(p["targets"]):
            self.say(where, "two queries have the same letter")
        for t in p["targets"]:
            self.expression(f"{where} {t['refId']}", t["expr"])
            if bool(t.get("instant")) == bool(t.get("range")):
                self.say(where, f"query {t['refId']} must be either instant or range")
            if p["type"] in ("timeseries", "heatmap", "state-timeline") and t.get("instant"):
                self.say(where, f"query {t['refId']} has one moment, and the panel shows time")
            for label in re.findall(r"\{\{(\w+)\}\}", t["legendFormat"]):
                if f'count_values("{label}"' not in t["expr"] and not self.carries(t["expr"], label):
                    self.say(where, f"the result of {t['refId']} has no label {label}, which its legend names")

    def carries(self, expr, label):
        kept = re.findall(r"\bby \(([^()]*)\)", expr)
        if kept:
            return any(label in {x.strip() for x in by.split(",")} for by in kept)
        return not re.search(r"\b(sum|max|min|count|avg)\(", expr) and label in references.TARGET_LABELS | set().union(*self.metrics(expr).values(), set())

    def metrics(self, expr):
        return {name: self.known[name] for name in re.findall(r"\b[a-zA-Z_]\w*\b", expr) if name in self.known}

    def expression(self, where, expr):
        self.expressions.append((where, expr))
        references.problems.clear()
        references.check_expression(where, expr, self.known, self.recorded)
        self.problems += references.problems
        for name, inside in re.findall(r"\b(ALERTS\w*|scrape_\w+)\{([^{}]*)\}", expr):
            for label in set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', '""', inside))) - self.known.get(name, set()) - references.TARGET_LABELS:
                self.say(where, f"{name} has no label {label}")
        for name, inside in re.findall(r"\b(\w+:\w+:\w+)\{([^{}]*)\}", expr):
            has = set(name.partition(":")[0].split("_")) | {"job"}
            for label in set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', '""', inside))) - has:
                self.say(where, f"{name} has no label {label}")
        for m in re.finditer(r"\[([^\]]*)\]", expr):
            if m[1] not in ("$__rate_interval", "$__range") and not OWN_WINDOW.search(expr[:m.start()]):
                self.say(where, f"has the window [{m[1]}] of its own")
        for name in re.findall(r"\b(blooio_\w+|process_\w+|up|scrape_\w+|ALERTS\w*|\w+:\w+:\w+)(?![\w{:])", re.sub(r'"[^"]*"|\{[^}]*\}', lambda m: "{}" if m[0][0] == "{" else '""', expr)):
            if where.endswith("$job"):  # the first choice: nothing is chosen before it
                continue
            if name in self.known or name in self.recorded and not name.startswith("blooio:"):
                self.say(where, f"{name} is not narrowed to what is chosen")

    # ---- between files ----

    def link(self, where, url):
        m = re.match(r"/d/([\w-]+)(?:\?(.*))?$", url)
        if not m or m[1] not in self.ids:
            self.say(where, f"links to {url}, which does not exist")
            return
        for name in re.findall(r"var-(\w+)=", m[2] or ""):
            if name not in VARIABLES:
                self.say(where, f"{url} sets ${name}, which does not exist")
        shown = re.search(r"viewPanel=(\w+)", m[2] or "")
        if shown:
            if int(shown[1]) not in self.ids[m[1]]:
                self.say(where, f"{url} shows a panel that does not exist")
            elif self.ids[m[1]][int(shown[1])]:
                self.say(where, f"{url} shows a panel that a collapsed row hides")

    def alerts(self):
        for rule in self.rules:
            if rule.alert:
                url = re.sub(r"\{\{[^}]*\}\}", "x", rule.annotations["dashboard"])
                self.link(rule.alert, url)
                if "viewPanel" not in url and rule.alert != "BlooioWatchdog":
                    self.say(rule.alert, "does not lead to the panel that shows it")

    def all_drawn(self):
        """Every family is somewhere on a dashboard, or in a rule whose result is."""
        text = " ".join(expr for _, expr in self.expressions)
        rules = {rule.record: rule.expr for rule in self.rules if rule.record}
        for _ in range(4):  # rules are built on rules
            text += " ".join(expr for name, expr in rules.items() if name in text)
        words = set(re.findall(r"\w+", text))
        for name in self.known.keys() - SHOWN_BY_ANOTHER:
            if name not in words and not {base(name) + end for end in ("_bucket", "_count", "_sum")} & words:
                self.say("dashboards", f"nothing shows {name}")

    def parse(self):
        rules = [render.rules.Rule(record=f"expression{n}", expr=filled(expr)) for n, (_, expr) in enumerate(self.expressions)]
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "expressions.yml"
            path.write_text(render.render_groups([render.rules.Group("expressions", rules)], str))
            done = subprocess.run(["promtool", "check", "rules", "--lint=none", str(path)], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode:
                self.say("promtool", done.stdout)


def base(name):
    """The family of a sample: a histogram has three names."""
    return re.sub(r"(_bucket|_sum|_count)$", "", name)


def load():
    return {path.name: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


# ---- the check is checked --------------------------------------------------------------------------------


def breakages():
    def first(kind):
        return lambda d: next(p for p, _ in panels(d["overview.json"]) if p["type"] == kind)

    stat, graph, table = first("stat"), first("timeseries"), first("table")

    def expr(change):
        def broken(d):
            target = graph(d)["targets"][0]
            target["expr"] = change(target["expr"])
        return broken

    def put(of, *path):
        *keys, key, value = path

        def broken(d):
            inner = of(d)
            for k in keys:
                inner = inner[k]
            inner[key] = value
        return broken

    def whole(d):
        return d["overview.json"]

    return {
        "an id": put(whole, "id", 7),
        "inputs": put(whole, "__inputs", []),
        "editable": put(whole, "editable", True),
        "no shared crosshair": put(whole, "graphTooltip", 0),
        "another uid": put(whole, "uid", "blooio-line"),
        "a variable less": lambda d: whole(d)["templating"]["list"].pop(),
        "one line only": put(whole, "templating", "list", 3, "multi", False),
        "another value for All": put(whole, "templating", "list", 3, "allValue", ".*"),
        "no refresh": put(whole, "templating", "list", 3, "refresh", 1),
        "a variable of a label that is not there": put(whole, "templating", "list", 3, "query", "query", "label_values(blooio_up, line)"),
        "no annotations": put(whole, "annotations", "list", []),
        "a fixed data source": put(stat, "datasource", "uid", "abc"),
        "a fixed data source of a query": put(stat, "targets", 0, "datasource", {"type": "prometheus", "uid": "abc"}),
        "no description": put(stat, "description", ""),
        "no title": put(stat, "title", " "),
        "no unit": put(stat, "fieldConfig", "defaults", "unit", None),
        "a misspelt unit": put(stat, "fieldConfig", "defaults", "unit", "secs"),
        "no reducer": put(stat, "options", "reduceOptions", "calcs", []),
        "no reducer in a legend": put(graph, "options", "legend", "calcs", []),
        "no word for nothing": put(table, "fieldConfig", "defaults", "noValue", ""),
        "another colour": put(graph, "fieldConfig", "overrides", 0, "properties", 0, "value", "fixedColor", "pink"),
        "a metric that is gone": expr(lambda e: e.replace("blooio_outbound_sent_messages_total", "blooio_outbound_sent_total")),
        "a label that is not there": expr(lambda e: e.replace("line=~", "number=~")),
        "a legend of a label that is gone": put(graph, "targets", 0, "legendFormat", "{{reason}}"),
        "a window of its own": expr(lambda e: e.replace("$__rate_interval", "5m")),
        "an undeclared variable": expr(lambda e: e.replace("$line", "$number")),
        "an expression that does not parse": expr(lambda e: e + ")"),
        "nothing chosen": expr(lambda e: re.sub(r"\{[^}]*\}", "", e)),
        "one moment over time": put(graph, "targets", 0, "instant", True),
        "two panels in one place": put(graph, "gridPos", "y", 0),
        "outside of the grid": put(graph, "gridPos", "w", 30),
        "the same id twice": lambda d: stat(d).update(id=graph(d)["id"]),
        "a panel without its name": lambda d: stat(d).update(id=99),
        "a link less": lambda d: whole(d)["links"].pop(),
        "a link to nowhere": put(stat, "links", [{"url": "/d/blooio-nowhere"}]),
        "a link to no panel": put(stat, "links", [{"url": "/d/blooio-line?viewPanel=999"}]),
        "a panel less": lambda d: d["exporter.json"]["panels"].pop(-1),
    }


def main():
    dashboards = load()
    check = Check(dashboards)
    problems = check.run()
    for problem in problems:
        print(problem)
    if problems:
        sys.exit(f"{len(problems)} problems")
    unnoticed = []
    for name, broken in breakages().items():
        copied = copy.deepcopy(dashboards)
        broken(copied)
        if not Check(copied).run(parse="parse" in name):
            unnoticed.append(name)
    families = contracts.catalogue()
    for name in set(families) - set(PROMETHEUS) - SHOWN_BY_ANOTHER:
        # In a histogram's panel one of its three names stands for the others.
        renamed = {re.sub(r"(_bucket|_sum|_count)?$", r"_renamed\1", n, 1) if base(n) == base(name) else n: labels
                   for n, labels in families.items()}
        if not Check(dashboards, renamed).run(parse=False):
            unnoticed.append(f"another name for {name}")
    if unnoticed:
        sys.exit("not noticed: " + "; ".join(unnoticed))
    count = sum(1 for d in dashboards.values() for _ in panels(d))
    print(f"{len(dashboards)} dashboards, {count} panels, {len(check.expressions)} expressions; {len(breakages())} breakages and "
          f"{len(families) - 1 - len(SHOWN_BY_ANOTHER)} other names of metrics noticed")


if __name__ == "__main__":
    main()
