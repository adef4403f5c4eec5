"""A small typed builder for Grafana's classic dashboard JSON, as file provisioning of Grafana 10 to 13 loads it.

It has the six kinds of panels that are used here and what every dashboard of this project has in common: the
variables, the annotations, the links, and a grid that is filled from left to right, so that nothing can overlap.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Optional

COLUMNS = 24
SCHEMA = 39  # Grafana 10.4; later versions migrate it when they load it
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
REDUCERS = {"lastNotNull": "Last *", "max": "Max"}  # of a legend, and the columns that it is sorted by
ROW_IDS = 1000  # ids of rows start here: panels have ids of their own, below


@dataclass(frozen=True)
class Query:
    """A PromQL expression. `instant` asks for the value now, for a table or for one that has a window of its own."""

    expr: str
    legend: str = ""
    instant: bool = False
    format: str = "time_series"


@dataclass(frozen=True)
class Step:
    """From this value on, this colour."""

    value: Optional[float]
    color: str


@dataclass(frozen=True)
class Field:
    """What one series or column looks like, different from its panel."""

    name: str
    unit: str = ""
    title: str = ""
    color: str = ""
    steps: tuple = ()
    mappings: tuple = ()
    custom: dict = field(default_factory=dict)
    link: Optional[dict] = None
    decimals: Optional[int] = None
    regex: bool = False

    def json(self):
        properties = []

        def put(name, value):
            properties.append({"id": name, "value": value})

        if self.title:
            put("displayName", self.title)
        if self.unit:
            put("unit", self.unit)
        if self.decimals is not None:
            put("decimals", self.decimals)
        if self.color:
            put("color", {"mode": "fixed", "fixedColor": self.color})
        if self.steps:
            put("thresholds", thresholds(self.steps))
        if self.mappings:
            put("mappings", list(self.mappings))
        if self.link:
            put("links", [self.link])
        for name, value in self.custom.items():
            put(f"custom.{name}", value)
        return {"matcher": {"id": "byRegexp" if self.regex else "byName", "options": self.name}, "properties": properties}


@dataclass
class Panel:
    """One panel. Its place in the grid follows from the order of the panels and from width and height."""

    id: int
    type: str
    title: str
    description: str
    queries: list
    unit: str
    width: int
    height: int
    steps: tuple = ()
    fields: tuple = ()
    mappings: tuple = ()
    links: tuple = ()
    options: dict = field(default_factory=dict)
    custom: dict = field(default_factory=dict)
    defaults: dict = field(default_factory=dict)
    transformations: list = field(default_factory=list)
    interval: str = ""  # no finer step than this: for what has many series and changes slowly

    def json(self, x, y):
        return {
            "id": int(self.id),
            "type": self.type,
            "title": self.title,
            "description": self.description,
            "datasource": DATASOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "links": list(self.links),
            "targets": [target(ref, query) for ref, query in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", self.queries)],
            "transformations": self.transformations,
            **({"interval": self.interval} if self.interval else {}),
            "options": self.options,
            "fieldConfig": {
                "defaults": {
                    "unit": self.unit,
                    "mappings": list(self.mappings),
                    "thresholds": thresholds(self.steps or (Step(None, "text"),)),
                    **self.defaults,
                    "custom": self.custom,
                },
                "overrides": [f.json() for f in self.fields],
            },
        }


@dataclass
class Row:
    """A heading and its panels. What is `collapsed` asks nothing until it is opened."""

    title: str
    panels: list
    collapsed: bool = False


@dataclass
class Block:
    """Panels that are placed together, in a part of the width."""

    width: int
    panels: list


@dataclass
class Dashboard:
    uid: str
    title: str
    description: str
    rows: list
    links: list
    tags: tuple = ("blooio",)
    since: str = "now-6h"
    annotations: tuple = ()
    variables: tuple = ()

    def json(self):
        panels, y = [], 0
        for number, row in enumerate(self.rows):
            if row.title:
                head = {"id": ROW_IDS + number, "type": "row", "title": row.title, "collapsed": row.collapsed,
                        "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}, "panels": []}
                panels.append(head)
                y += 1
            placed, below = flow(row.panels, y)
            if row.collapsed:
                head["panels"] = placed
            else:
                panels += placed
                y = below
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": list(self.tags),
            "schemaVersion": SCHEMA,
            "version": 1,
            "editable": False,
            "graphTooltip": 1,
            "timezone": "browser",
            "time": {"from": self.since, "to": "now"},
            "refresh": "30s",
            "timepicker": {},
            "links": self.links,
            "annotations": {"list": list(self.annotations)},
            "templating": {"list": list(self.variables)},
            "panels": panels,
        }


def flow(panels, y, left=0, columns=COLUMNS):
    """Places panels from left to right; a panel that does not fit begins below the highest of the line."""
    placed, x, height = [], 0, 0
    for panel in panels:
        if x + panel.width > columns:
            x, y, height = 0, y + height, 0
        if isinstance(panel, Block):
            inside, below = flow(panel.panels, y, left + x, panel.width)
            placed += inside
            height = max(height, below - y)
        else:
            placed.append(panel.json(left + x, y))
            height = max(height, panel.height)
        x += panel.width
    return placed, y + height


def target(ref, query):
    return {
        "refId": ref,
        "datasource": DATASOURCE,
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "instant": query.instant,
        "range": not query.instant,
        "format": query.format,
        "editorMode": "code",
    }


def thresholds(steps):
    return {"mode": "absolute", "steps": [{"value": step.value, "color": step.color} for step in steps]}


def mapping(texts):
    """Words for numbers: {0: ("not reached", "red")}."""
    options = {str(value): {"text": text, "color": color, "index": index}
               for index, (value, (text, color)) in enumerate(texts.items())}
    return {"type": "value", "options": options}


# ---- kinds of panels -------------------------------------------------------------------------------------


def stat(id, title, description, queries, unit="short", none="no data", name=False, decimals=None, width=6, height=3,
         spark=False, steps=(), **more):
    """A large number. `none` is what it says without one; `name` also shows of what it speaks."""
    defaults = {"noValue": none, "color": {"mode": "thresholds"}}
    if decimals is not None:
        defaults["decimals"] = decimals
    return Panel(
        id, "stat", title, description, queries, unit, width, height, steps=steps,
        options={
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "textMode": "value_and_name" if name else "value",
            "colorMode": "value",
            "graphMode": "area" if spark else "none",
            "justifyMode": "center",
            "orientation": "auto",
            "wideLayout": True,
        },
        defaults=defaults, **more)


def series(id, title, description, queries, unit, width=12, height=8, stack=False, bars=False, fill=None, calcs=("lastNotNull", "max"),
           limit="", low=0, high=None, below=None, log=False, legend="table", line=2, points="never", span=False, defaults=None, decimals=None, **more):
    """Lines over time. `limit` draws the thresholds: "line" or "area". `calcs` are the reducers in the legend."""
    custom = {
        "drawStyle": "bars" if bars else "line",
        "lineInterpolation": "linear",
        "lineWidth": 0 if stack else line,  # the outline of a share of 0 would lie on those below it
        "fillOpacity": fill if fill is not None else 70 if bars else 45 if stack else 0,
        "gradientMode": "none",
        "showPoints": points,
        "pointSize": 4,
        "spanNulls": span,
        "stacking": {"mode": "normal" if stack else "none", "group": "A"},
        "thresholdsStyle": {"mode": limit or "off"},
        "axisSoftMin": 0,
    }
    if high is not None:
        custom["axisSoftMax"] = high
    if log:
        custom["scaleDistribution"] = {"type": "log", "log": 10}
        low = None
    own = {"color": {"mode": "palette-classic"}, "min": low}
    if low is None:
        del own["min"]
        del custom["axisSoftMin"]
    if below is not None:
        custom["axisSoftMin"] = below
    if decimals is not None:
        own["decimals"] = decimals
    return Panel(
        id, "timeseries", title, description, queries, unit, width, height,
        options={
            "legend": {"displayMode": legend, "placement": "right" if legend == "table" and width >= 12 else "bottom",
                       "showLegend": True, "calcs": list(calcs),
                       **({"sortBy": REDUCERS[calcs[0]], "sortDesc": True} if legend == "table" else {})},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        custom=custom, defaults={**own, **(defaults or {})}, **more)


def heatmap(id, title, description, query, width=12, height=8, unit="s", **more):
    """A classic histogram over time: the lighter, the more."""
    return Panel(
        id, "heatmap", title, description, [dataclasses.replace(query, format="heatmap", legend="{{le}}")], unit, width, height,
        options={
            "calculate": False,
            "cellGap": 1,
            "color": {"mode": "scheme", "scheme": "Blues", "steps": 64, "exponent": 0.5, "fill": "blue", "reverse": False, "scale": "exponential"},
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "auto"},
            "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": True},
            "yAxis": {"axisPlacement": "left", "unit": unit, "reverse": False},
            "cellValues": {"unit": "short", "decimals": 1},
        },
        custom={"hideFrom": {"legend": False, "tooltip": False, "viz": False}, "scaleDistribution": {"type": "linear"}}, **more)


def timeline(id, title, description, queries, width=12, height=8, mappings=(), steps=(), **more):
    """States over time, a band for each series."""
    return Panel(
        id, "state-timeline", title, description, queries, more.pop("unit", "none"), width, height, mappings=mappings, steps=steps,
        options={
            "mergeValues": True, "showValue": "auto", "alignValue": "left", "rowHeight": 0.8,
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False},
            "tooltip": {"mode": "single", "sort": "none"},
        },
        custom={"fillOpacity": 80, "lineWidth": 0, "spanNulls": False}, defaults={"color": {"mode": "thresholds"}}, **more)


def table(id, title, description, queries, fields, order=(), hidden=(), sort=(), width=24, height=8, none="no data", **more):
    """The values now, a row for each set of labels. `order` are the columns, `sort` pairs of a column and whether it falls."""
    hidden = ("Time", *hidden)
    return Panel(
        id, "table", title, description, [dataclasses.replace(q, instant=True, format="table") for q in queries], "short", width, height,
        fields=fields,
        transformations=[
            *([{"id": "merge", "options": {}}] if len(queries) > 1 else []),
            {"id": "organize", "options": {
                "excludeByName": {name: True for name in hidden},
                "indexByName": {name: index for index, name in enumerate(order)},
                "renameByName": {},
            }},
        ],
        options={
            "showHeader": True, "cellHeight": "sm",
            "footer": {"show": False, "reducer": ["sum"], "countRows": False, "fields": ""},
            "sortBy": [{"displayName": name, "desc": falls} for name, falls in sort],
        },
        custom={"align": "auto", "minWidth": 70, "cellOptions": {"type": "auto"}, "inspect": False, "filterable": False},
        defaults={"noValue": none, "color": {"mode": "thresholds"}}, **more)


def bars(id, title, description, queries, unit="short", width=12, height=8, none="0", **more):
    """Horizontal bars, one for each query: the values now."""
    return Panel(
        id, "bargauge", title, description, [dataclasses.replace(q, instant=True) for q in queries], unit, width, height,
        options={
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "orientation": "horizontal", "displayMode": "basic", "valueMode": "color", "showUnfilled": True,
            "namePlacement": "left", "sizing": "auto", "minVizWidth": 8, "minVizHeight": 16, "maxVizHeight": 300,
        },
        defaults={"noValue": none, "min": 0, "color": {"mode": "thresholds"}}, **more)
