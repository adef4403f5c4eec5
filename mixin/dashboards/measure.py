"""How long the queries of the overview take at 20 lines and 10,000 series over 6 hours. Python 3.11 or later, prometheus, promtool.

  python3 -m mixin measure                  write the series, start a Prometheus on them, print the figures (some minutes, about 2 GB in TMPDIR)
  python3 -m mixin measure --interval 15    with another time between two scrapes, in seconds (30)
  python3 -m mixin measure --board line.json

The series are the exporter's families with every value of every label, and on top what the rules record. Their values
are made up: what a query costs depends on how many there are.
"""

import argparse
import itertools
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

from mixin import contracts
from mixin import DASHBOARDS

from mixin.alerts import render
from mixin.dashboards import query
from mixin.alerts import references
from mixin.dashboards import common

HOURS = 6
LINES = [f"+131055501{n:02}" for n in range(20)]
LATENCIES = "0.5 1.0 2.0 3.0 5.0 10.0 20.0 30.0 60.0 120.0 300.0 600.0 1800.0 3600.0 21600.0 86400.0 +Inf".split()
VALUES = {
    "account": ["default"], "line": LINES, "protocol": list(common.PROTOCOLS), "status": list(common.STATUSES),
    "reason": "not_on_imessage unreachable timeout rejected rate_limited device_offline attachment none other".split(),
    "direction": ["inbound", "outbound"], "kind": "phone email group other".split(), "code": "200 404 429 500 502 503 timeout connection body".split(),
    "endpoint": "list_chats get_chat list_messages get_message get_background list_numbers".split(), "cause": ["budget", "retry_after"],
    "result": ["complete", "partial", "failed"], "field": ["status", "protocol"], "family": ["blooio_outbound_messages_total"], "le": LATENCIES,
    "by": ["us", "them"], "position": ["1", "2", "3", "4", "5plus"], "streak": ["1", "2", "3", "4", "5plus"], "role": ["server"],
    "version": ["0.1.0"], "revision": ["unknown"], "rustc": ["1.95.0"],
}


def products(labels):
    labels = sorted(labels)
    return ([*zip(labels, values)] for values in itertools.product(*(VALUES[label] for label in labels)))


def series():
    """Name -> label sets of everything that the overview could ask for, in one place for each name: OpenMetrics wants that."""
    for name, labels in contracts.catalogue().items():
        yield name, list(products(labels))
    book = render.book(contracts.load_thresholds())
    levels = {"account": {"account"}, "account_line": {"account", "line"}, "blooio": set()}
    rules = [rule for group in book.main() for rule in group.rules]
    for name in {rule.record for rule in rules if rule.record}:
        yield name, list(products(levels[name.partition(":")[0]]))
    alerts = [[("alertname", name), ("severity", severity), ("account", "default"), ("line", LINES[2])]
              for name, severity in (("BlooioDeviceDown", "critical"), ("BlooioMessagesStuck", "warning"))]
    yield "ALERTS", [[*alert, ("alertstate", "firing")] for alert in alerts]
    yield "ALERTS_FOR_STATE", alerts


def write(path, end, interval):
    count, moments = 0, range(end - HOURS * 3600, end, interval)
    with open(path, "w") as out:
        for name, sets in series():
            out.write(f"# TYPE {name} unknown\n")
            for number, labels in enumerate(sets):
                count += 1
                # `job` and `instance` as Prometheus adds them; recorded series keep the job alone.
                target = [("job", "blooio")] + ([] if ":" in name else [("instance", "127.0.0.1:12566")])
                text = ",".join(f'{key}="{value}"' for key, value in [*target, *labels])
                grows = name.endswith(("_total", "_bucket", "_count", "_sum"))
                pace = number % 7 + 1
                out.writelines(f"{name}{{{text}}} {(at - moments[0]) // 60 * pace if grows else (at // 600 % 3 + 1) * pace} {at}\n" for at in moments)
        out.write("# EOF\n")
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interval", type=int, default=30)
    parser.add_argument("--board", default="overview.json")
    args = parser.parse_args()
    end = int(time.time()) // 60 * 60
    with tempfile.TemporaryDirectory() as directory:
        folder = pathlib.Path(directory)
        count = write(folder / "series.txt", end, args.interval)
        print(f"{count} series, every {args.interval} s for {HOURS} h: {count * HOURS * 3600 // args.interval:,} samples", flush=True)
        subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet", str(folder / "series.txt"), str(folder / "data")], check=True)
        (folder / "series.txt").unlink()
        (folder / "prometheus.yml").write_text("scrape_configs: []\n")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = "127.0.0.1:%d" % free.getsockname()[1]
        prometheus = subprocess.Popen(
            ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address={address}"],
            stderr=subprocess.DEVNULL)
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"http://{address}/-/ready", timeout=5).close()
                    break
                except OSError:
                    time.sleep(0.1)
            board = query.Board(DASHBOARDS / args.board, query.Prometheus(f"http://{address}"), end - args.interval, HOURS * 3600, args.interval)
            query.measure(board)
        finally:
            prometheus.kill()
            prometheus.wait()


if __name__ == "__main__":
    main()
