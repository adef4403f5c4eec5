"""How long a Prometheus takes to evaluate the rules. Python 3.11 or later, prometheus and promtool, nothing else.

  python3 -m mixin cost --lines 20 --days 30      about five minutes, 1 GB below TMPDIR

Writes what the rules read (recorded totals and hourly differences for so many days, the exporter's own series for six
hours), starts a Prometheus with the rules and prints how long each group took, of its interval: the median of its
evaluations. On a busy machine an evaluation waits for a processor, so the processor time of the Prometheus is printed too; it
includes everything else that a Prometheus does. Both grow with the number of lines: a figure for 200 lines is ten times that
for 20.
"""

import argparse
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from mixin import contracts
from mixin.alerts import render
from mixin.alerts import model as m
from mixin.alerts import references
from mixin import ALERTS

LATENCIES = "0.5 1.0 2.0 3.0 5.0 10.0 20.0 30.0 60.0 120.0 300.0 600.0 1800.0 3600.0 21600.0 86400.0 +Inf".split()
VALUES = {
    "protocol": ["imessage", "sms", "rcs"], "status": ["pending", "queued", "sent", "cancellation_requested"], "by": ["us", "them"],
    "reason": ["not_on_imessage", "other"], "code": ["200", "404", "502", "503"], "position": ["1", "2", "3", "4", "5plus"],
    "streak": ["1", "2", "3", "4", "5plus"], "direction": ["inbound", "outbound"], "le": LATENCIES,
}


def combinations(labels):
    found = [""]
    for label in sorted(labels):
        found = [f'{text},{label}="{value}"' for text in found for value in VALUES.get(label, ["x"])]
    return found


def raw(lines):
    """Name -> label texts of the exporter's series that the rules read."""
    used = set(re.findall(r"\b(?:blooio|process)_\w+", " ".join(rule.expr for group in book().main() for rule in group.rules)))
    for name, labels in contracts.catalogue().items():
        if name in used:
            scope = [f',account="default",line="{line}"' for line in lines] if "line" in labels else [',account="default"'] if "account" in labels else [""]
            rest = labels - {"account", "line"}
            if name == "blooio_delivery_latency_seconds_bucket":
                yield name, [text + f',protocol="imessage",le="{le}"' for text in scope for le in LATENCIES]
            else:
                yield name, [text + more for text in scope for more in combinations(rest)]


def book():
    return render.book(contracts.load_thresholds())


def recorded(days):
    """Name, seconds of history: totals as far back as the longest difference, hourly differences for the budgets."""
    for rule in book().line_totals():
        yield rule.record, 9 * 86400
    for name in (m.BAD, m.ENDED, m.SLOW, m.MEASURED):
        yield f"{name}:increase1h", days * 86400
    yield f"{m.ACCEPTED}:increase1h", 9 * 86400


def write(path, lines, days, scrape, end):
    count = 0
    with open(path, "w") as out:
        def put(name, labels, since, step, target):
            nonlocal count
            out.write(f"# TYPE {name} unknown\n")
            for number, text in enumerate(labels):
                head = f'{name}{{job="blooio"{target}{text}}} '
                out.writelines([f"{head}{(at // 600 + number) % 9 + at // 3600} {at}\n" for at in range(end - since, end, step)])
                count += since // step
        for name, since in recorded(days):
            put(name, [f',account="default",line="{line}"' for line in lines], since, 60, "")
        for name, labels in raw(lines):
            put(name, labels, 6 * 3600, scrape, ',instance="a"')
        out.write("# EOF\n")
    return count


def durations(page):
    found = {}
    for key, name in (("last_duration", "took"), ("interval", "interval"), ("last_evaluation_timestamp", "at")):
        for group, value in re.findall(rf'prometheus_rule_group_{key}_seconds{{rule_group="[^;]*;([^"]*)"}} (\S+)', page):
            found.setdefault(group, {})[name] = float(value)
    return found


def observe(address, seconds):
    """Group -> its interval and what each evaluation took; processor seconds per second, once the first evaluations are over."""
    groups, processor, began = {}, [], time.monotonic()
    while time.monotonic() < began + seconds:
        time.sleep(3)
        try:
            page = urllib.request.urlopen(f"http://{address}/metrics", timeout=30).read().decode()
        except urllib.error.URLError:
            continue  # it is starting
        for name, values in durations(page).items():
            if values["at"] > 0:
                groups.setdefault(name, (values["interval"], {}))[1][values["at"]] = values["took"]
        if time.monotonic() > began + 60:
            processor.append((time.monotonic(), float(re.search(r"(?m)^process_cpu_seconds_total (\S+)", page)[1])))
    (first, before), (last, after) = processor[0], processor[-1]
    return groups, (after - before) / (last - first)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=20)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--scrape", type=int, default=30)
    parser.add_argument("--seconds", type=int, default=270, help="how long the Prometheus runs: longer than the longest interval")
    args = parser.parse_args()
    lines = [f"line-{number:03}" for number in range(args.lines)]
    with tempfile.TemporaryDirectory() as directory:
        folder = pathlib.Path(directory)
        # Samples into the future: what is evaluated meanwhile finds newest values.
        end = int(time.time()) // 60 * 60 + 1800
        samples = write(folder / "samples.txt", lines, args.days, args.scrape, end)
        print(f"{args.lines} lines, {args.days} days, {samples:,} samples", flush=True)
        subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=240h", "--quiet", str(folder / "samples.txt"), str(folder / "data")], check=True)
        (folder / "samples.txt").unlink()
        (folder / "prometheus.yml").write_text(f"global: {{evaluation_interval: 15s}}\nrule_files: ['{ALERTS / 'blooio.rules.yml'}']\n")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = "127.0.0.1:%d" % free.getsockname()[1]
        log = open(folder / "log", "w")
        prometheus = subprocess.Popen(
            ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", "--storage.tsdb.retention.time=60d",
             f"--web.listen-address={address}"], stderr=log)
        try:
            groups, processor = observe(address, args.seconds)
            total = 0
            for group, (interval, evaluations) in sorted(groups.items()):
                took = statistics.median(evaluations.values())
                total += took / interval
                print(f"{group:24} {took:8.3f} s of {interval:5.0f} s  {took / interval:7.2%}  {len(evaluations):3} evaluations")
            for what, share in (("all groups", total), ("processor time", processor)):
                print(f"{what:24} {share:27.2%}  of 200 lines about {share * 200 / args.lines:.1%}")
        finally:
            prometheus.kill()
            prometheus.wait()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main()
