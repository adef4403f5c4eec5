"""All rules for one set of thresholds. Numbers come from thresholds.toml, text form from render.py."""

from mixin.alerts.exporter_alerts import ExporterAlerts
from mixin.alerts.line_alerts import LineAlerts
from mixin.alerts.model import *  # noqa: F401,F403  the names of what is recorded: the dashboards ask for them
from mixin.alerts.model import Group
from mixin.alerts.records import Records


class Book(Records, ExporterAlerts, LineAlerts):
    def main(self):
        t = self.t
        totals = [*self.line_totals(), *self.account_totals(), *self.differences(slow=False), *self.quantiles()]
        slow = [*self.differences(slow=True), *self.usual(), *self.budgets()]
        return [
            Group("blooio-recording", [*self.objectives(), *self.collection_records()]),
            Group("blooio-totals", totals, interval=t.TOTALS_INTERVAL, why="A sample per minute is enough for windows that are differences."),
            Group("blooio-recording-slow", slow, interval=t.SLOW_INTERVAL, why="Long windows read many samples and change little."),
            Group("blooio-exporter", list(self.exporter())),
            Group("blooio-collection", list(self.collection())),
            Group("blooio-devices", list(self.devices())),
            Group("blooio-delivery", list(self.delivery())),
            # OutboundSpike reads a week: the cost is bounded by the interval of what it reads.
            Group("blooio-early-warning", list(self.signs()), interval=t.TOTALS_INTERVAL),
            Group("blooio-grades", list(self.grades())),
        ]
