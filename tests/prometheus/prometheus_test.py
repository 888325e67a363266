#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What Prometheus makes of the service: one function for each test, run by name through CTest.

    prometheus_test.py SOURCE-DIR BUILD-DIR NAME
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

SKIPPED = 77
PATIENCE_SECONDS = 60
SCRAPES = 12  # a second apart: what rate() needs, and what was recorded at the beginning
SOURCE, BUILD = (os.path.abspath(path) for path in sys.argv[1:3])
RULES = os.path.join(SOURCE, "deploy/prometheus/rules.yaml")
RULES_TEST = os.path.join(SOURCE, "tests/prometheus/rules_test.yaml")
DASHBOARDS = ("node", "fleet")
VARIABLES = {"$instance": ".*", "$__rate_interval": "5m", "$__range": "5m"}
# By the title of the panel: what shows only where something rare has happened, and the alert whose firing case has it.
RARE = {
    "Nodes whose policy differs": "PolicyDiffers",
    "Sysctls that are not as expected": "SysctlNotAsExpected",
}

# Sockets that overflow, in a network namespace of their own: an accept queue of 4, and a UDP socket that nobody reads,
# whose datagrams come in fragments.
LOSSES = """
import socket, sys, time
listener = socket.create_server(("127.0.0.1", 8080), backlog=1000)
reader = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
reader.bind(("127.0.0.1", 8081))
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
clients = []
print("listening", flush=True)
while True:
    for _ in range(20):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", 8080))
        clients.append(client)
        sender.sendto(bytes(4000), ("127.0.0.1", 8081))
    time.sleep(0.5)
    for client in clients:
        client.close()
    clients.clear()
    listener.setblocking(False)
    try:
        while True:
            listener.accept()[0].close()
    except BlockingIOError:
        pass
"""

POLICY = """apiVersion: bpftune-k8s.io/v1alpha1
kind: NodeTuningPolicy
metadata: {{name: prometheus}}
spec:
  mode: recommend
  expect: {{net.ipv4.tcp_sack: 1}}
  pods: [{{match: {{netns: {netns}}}}}, {{match: {{}}, mode: observe}}]
"""


def comes_true(condition):
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.2)
    return False


def run(*command, **options):
    ran = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    assert ran.returncode == 0, f"{' '.join(command)}: {ran.stdout}"
    return ran.stdout


@contextlib.contextmanager
def process(command, folder, name, **options):
    """Runs until the end of the block; yields the path of its output."""
    path = os.path.join(folder, name + ".log")
    with open(path, "w", encoding="utf-8") as log:
        started = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, **options)
    try:
        yield path
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def says(path, pattern):
    """The first match in a log that is still written."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return re.search(pattern, file.read())


@contextlib.contextmanager
def namespace():
    name = f"bpftune-prometheus-{os.getpid()}"
    run("ip", "netns", "add", name)
    try:
        run("ip", "-n", name, "link", "set", "lo", "up", "mtu", "1500")
        track = "add table ip t; add chain ip t c { type filter hook input priority 0; }; add rule ip t c ct state new accept"
        run("ip", "netns", "exec", name, "nft", track)
        run("ip", "netns", "exec", name, "sysctl", "-qw", "net.core.somaxconn=4")
        yield name
    finally:
        run("ip", "netns", "del", name)


@contextlib.contextmanager
def service(folder, netns):
    """Yields the address of a service that has seen losses."""
    policy = os.path.join(folder, "policy.yaml")
    with open(policy, "w", encoding="utf-8") as file:
        file.write(POLICY.format(netns=netns))
    command = [os.path.join(BUILD, "bpftune-k8s"), "run", "--policy", policy, "--state-dir", os.path.join(folder, "state")]
    command += ["--socket", os.path.join(folder, "api.sock"), "--listen", "127.0.0.1:0"]
    losses = ["ip", "netns", "exec", netns, sys.executable, "-c", LOSSES]
    with process(command, folder, "service") as log, process(losses, folder, "losses") as traffic:
        assert comes_true(lambda: says(log, " ready: mode ") and says(traffic, "listening")), open(log).read()
        address = "127.0.0.1:" + says(log, r"metrics on port (\d+)")[1]
        assert comes_true(lambda: re.search(r"bpftune_listener_overflows_total\{.* [1-9]", page(address))), "no losses"
        yield address


def page(address, path="/metrics"):
    with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
        return answer.read().decode()


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Prometheus:
    def __init__(self, address):
        self._address = address

    def ask(self, path, **parameters):
        answer = json.loads(page(self._address, f"/api/v1/{path}?" + urllib.parse.urlencode(parameters)))
        assert answer["status"] == "success", answer
        return answer["data"]

    def series(self, query, **when):
        return self.ask("query", query=query, **when)["result"]


@contextlib.contextmanager
def prometheus(folder, target=None):
    """Yields one that has scraped the target, if there is one, often enough for rates."""
    config = os.path.join(folder, "prometheus.json")  # which is YAML
    scrape = {"job_name": "bpftune-k8s", "honor_labels": True, "static_configs": [{"targets": [target]}]}
    intervals = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    with open(config, "w", encoding="utf-8") as file:
        json.dump({"global": intervals, "rule_files": [RULES], "scrape_configs": [scrape] if target else []}, file)
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/data"]
    command += [f"--web.listen-address={address}"]
    with process(command, folder, "prometheus") as log:
        server = Prometheus(address)

        def is_ready():
            with contextlib.suppress(OSError):
                counts = server.series('count_over_time(up{job="bpftune-k8s"}[5m])')
                return not target or (counts and float(counts[0]["value"][1]) >= SCRAPES)

        assert comes_true(is_ready), open(log).read()
        yield server


@contextlib.contextmanager
def scraped():
    if os.geteuid() != 0:
        skip("needs root")
    with tempfile.TemporaryDirectory() as folder, namespace() as netns, service(folder, netns) as address:
        with prometheus(folder, address) as server:
            yield address, server


def skip(why):
    print(why)
    sys.exit(1 if os.environ.get("CI") == "true" else SKIPPED)


def test_promtool_finds_nothing_to_say_of_what_the_service_exports():
    if os.geteuid() != 0:
        skip("needs root")
    with tempfile.TemporaryDirectory() as folder, namespace() as netns, service(folder, netns) as address:
        text = page(address)
    said = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True)
    assert (said.returncode, said.stdout + said.stderr) == (0, ""), said


def test_prometheus_scrapes_the_service_and_evaluates_every_alert():
    with scraped() as (address, server):
        (target,) = server.ask("targets")["activeTargets"]
        assert target["health"] == "up" and not target["lastError"], target
        assert server.series("sum(increase(bpftune_listener_overflows_total[1m])) > 0")
        exposed = len([line for line in page(address).splitlines() if not line.startswith("#")])
        (samples,) = server.series("scrape_samples_scraped")
        # Others come and go on this node meanwhile.
        assert abs(float(samples["value"][1]) - exposed) < 200, (samples, exposed)
        assert float(server.series("bpftune_metrics_series")[0]["value"][1]) <= 1000
        assert comes_true(lambda: all(rule["lastEvaluation"] > "0002" for rule in rules_of(server)))
        for rule in rules_of(server):
            assert rule["health"] == "ok", rule


def rules_of(server):
    return [rule for group in server.ask("rules")["groups"] for rule in group["rules"]]


def test_promtool_finds_the_alerts_right_and_their_cases_come_out_as_said():
    run("promtool", "check", "rules", "--lint=all", "--lint-fatal", RULES)
    run("promtool", "test", "rules", RULES_TEST)
    with open(RULES, encoding="utf-8") as file:
        alerts = re.findall(r"- alert: (\w+)", file.read())
    with open(RULES_TEST, encoding="utf-8") as file:
        cases = re.findall(r"alertname: (\w+)\n +exp_alerts:( \[\])?", file.read())
    assert alerts
    for alert in alerts:
        assert {quiet for name, quiet in cases if name == alert} == {"", " []"}, f"{alert}: a case is missing"


def text_of(dashboard):
    with open(os.path.join(SOURCE, f"deploy/grafana/{dashboard}.json"), encoding="utf-8") as file:
        return file.read()


def panels_of(dashboard):
    return json.loads(text_of(dashboard))["panels"]


def queries_of(dashboard):
    """(title of the panel, query with its variables replaced)."""
    for panel in panels_of(dashboard):
        for target in panel.get("targets", []):
            query = target["expr"]
            for variable, value in VARIABLES.items():
                query = query.replace(variable, value)
            assert "$" not in query, query
            yield panel["title"], query


def test_the_variables_of_the_dashboards_have_values_to_choose_from():
    with scraped() as (address, server):
        for dashboard in DASHBOARDS:
            variables = re.findall(r"label_values\((\w+), (\w+)\)", text_of(dashboard))
            assert variables, dashboard
            for metric, label in variables:
                values = server.ask(f"label/{label}/values", **{"match[]": metric})
                assert values == [address], f"{dashboard}: {label} of {metric} is {values}"


def test_every_query_of_the_dashboards_shows_something_of_a_service_that_has_seen_losses():
    with scraped() as (_, server):
        for dashboard in DASHBOARDS:
            for title, query in queries_of(dashboard):
                if title in RARE:
                    server.series(query)  # it is understood
                else:
                    assert comes_true(lambda: server.series(query)), f"{dashboard}, {title}: nothing from {query}"


def samples_of(values, start):
    """promtool's notation of one value a minute: "1 2x3 0+5x10"."""
    at = start
    for word in values.split():
        first, step, count = re.fullmatch(r"([0-9.]+)(?:\+([0-9.]+))?(?:x([0-9]+))?", word).groups()
        for i in range(int(count or 0) + 1):
            yield at, float(first) + i * float(step or 0)
            at += 60


def fixtures(start):
    """(alert, when to look, its series as lines of OpenMetrics) of each case that fires, each at another time."""
    with open(RULES_TEST, encoding="utf-8") as file:
        cases = file.read().split("  - interval: 1m\n")[1:]
    for case in cases:
        (alert,) = re.findall(r"alertname: (\w+)", case)
        if "exp_alerts: []" in case or alert not in RARE.values():
            continue
        (minutes,) = re.findall(r"eval_time: (\d+)m", case)
        lines = []
        for series, values in re.findall(r"\{series: '([^']*)', values: '([^']*)'\}", case):
            compact = series.replace(", ", ",")
            lines += [f"{compact} {value} {at}\n" for at, value in samples_of(values, start)]
        yield alert, start + 60 * int(minutes), lines
        start += 4 * 3600


def test_queries_that_show_what_is_rare_show_it():
    with tempfile.TemporaryDirectory() as folder:
        cases = list(fixtures(int(time.time()) // 3600 * 3600 - 48 * 3600))
        text = os.path.join(folder, "openmetrics")
        with open(text, "w", encoding="utf-8") as file:
            file.writelines(line for _, _, lines in cases for line in lines)
            file.write("# EOF\n")
        run("promtool", "tsdb", "create-blocks-from", "openmetrics", text, os.path.join(folder, "data"))
        when = {alert: at for alert, at, _ in cases}
        queries = [each for dashboard in DASHBOARDS for each in queries_of(dashboard) if each[0] in RARE]
        assert {title for title, _ in queries} == set(RARE)
        with prometheus(folder) as server:
            for title, query in queries:
                assert server.series(query, time=when[RARE[title]]), f"{title}: nothing from {query}"


def test_panels_of_the_dashboards_do_not_overlap():
    for dashboard in DASHBOARDS:
        taken = set()
        panels = panels_of(dashboard)
        assert len({panel["id"] for panel in panels}) == len(panels)
        for panel in panels:
            at = panel["gridPos"]
            for place in ((at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])):
                assert place not in taken and place[0] < 24, (dashboard, panel["title"])
                taken.add(place)


if __name__ == "__main__":
    if not shutil.which("prometheus") or not shutil.which("promtool"):
        skip("prometheus is not installed: scripts/deps prometheus")
    globals()["test_" + sys.argv[3]]()
