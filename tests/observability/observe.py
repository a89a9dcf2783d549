"""The run, and what has to be true of it: observe.py BINARY WORK [--keep FILE]"""

import argparse
import json
import math
import re
import subprocess
import sys
import time
import urllib.parse

import promql
from stage import Callers, Stage, fetch, free_port, wait

DASHBOARD = "deploy/grafana/oci-backup-gateway.json"
RULES = "deploy/prometheus/rules.yaml"
RULES_TEST = "deploy/prometheus/rules_test.yaml"
RUNBOOKS = "deploy/runbooks.md"
JOB = "oci-backup-gateway"
# What Grafana puts in.
VARIABLES = {"$__rate_interval": "5s", "$namespace": ".*", "$job": JOB, "$pod": ".*", "$method": ".*"}
# No name leaves the machine to be looked up in vain.
NOT_MADE = {'error_type="dns"', 'error_type=~"dns"'}

problems = []


def wrong(text):
    problems.append(text)
    print(f"WRONG  {text}")


class Prometheus:
    def __init__(self, stage):
        self.url = f"http://127.0.0.1:{free_port()}"
        self.began = time.time()
        targets = "".join(
            f"      - {{targets: ['{address}'], labels: {{namespace: backups, pod: {name}}}}}\n"
            for name, address in stage.admin.items()
        )
        config = f"{stage.work}/prometheus.yaml"
        with open(config, "w", encoding="utf-8") as file:
            with open(RULES, encoding="utf-8") as rules, open(f"{stage.work}/rules.yaml", "w", encoding="utf-8") as copy:
                copy.write(rules.read())
            file.write(
                "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
                f"rule_files: ['{stage.work}/rules.yaml']\n"
                f"scrape_configs:\n  - job_name: {JOB}\n    static_configs:\n{targets}"
            )
        subprocess.run(["promtool", "check", "config", config], check=True)
        self.log = stage.start(
            "prometheus", "prometheus", f"--config.file={config}", f"--storage.tsdb.path={stage.work}/tsdb",
            f"--web.listen-address={self.url.removeprefix('http://')}",
        )  # fmt: skip
        wait(lambda: fetch(f"{self.url}/-/ready"), "Prometheus")

    def ask(self, path, **parameters):
        answer = json.loads(fetch(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"))
        return answer["data"]

    def series(self, query, step=1):
        """What a panel would draw of the run."""
        return self.ask("query_range", query=query, start=self.began, end=time.time(), step=step)["result"]

    def has_data(self, query):
        return any(math.isfinite(float(value)) for each in self.series(query) for _, value in each["values"])

    def has_series(self, selector):
        return bool(self.ask("series", **{"match[]": selector}))


def filled_in(query):
    for variable, value in VARIABLES.items():
        query = query.replace(variable, value)
    return query


def the_pages_are_in_order(stage):
    for name in stage.admin:
        linted = subprocess.run(["promtool", "check", "metrics"], input=stage.page(name), text=True, capture_output=True)
        if linted.returncode:
            wrong(f"promtool on the page of {name}: {linted.stdout}{linted.stderr}")


def the_rules_work(prometheus):
    """Every rule, as Prometheus loaded it."""
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    for rule in rules:
        name, query = rule["name"], rule["query"]
        if rule["health"] != "ok":
            wrong(f"rule {name}: {rule['health']}: {rule.get('lastError')}")
        for part in promql.operands(query) if rule["type"] == "alerting" else [query]:
            if not prometheus.has_data(part):
                wrong(f"rule {name}: no data of {part}")
        every_selector_finds_something(prometheus, f"rule {name}", query)
        for alert in rule.get("alerts", ()):
            if "error expanding" in str(alert["annotations"]):
                wrong(f"alert {name}: {alert['annotations']}")
    return rules


def every_alert_is_complete(rules):
    with open(RUNBOOKS, encoding="utf-8") as file:
        sections = set(re.findall(r"^#+ (\w+)$", file.read(), re.MULTILINE))
    with open(RULES_TEST, encoding="utf-8") as file:
        tested = file.read()
    alerts = [rule for rule in rules if rule["type"] == "alerting"]
    for alert in alerts:
        name, labels, annotations = alert["name"], alert["labels"], alert["annotations"]
        if labels.get("severity") not in {"page", "ticket"} or labels.get("whose") not in {"us", "oracle", "either"}:
            wrong(f"alert {name}: labels {labels}")
        if not annotations.get("summary") or "$" not in annotations.get("description", "") + "$" * name.endswith("Absent"):
            wrong(f"alert {name}: annotations {annotations}")
        if not annotations.get("runbook_url", "").endswith(f"/{RUNBOOKS}#{name.lower()}") or name not in sections:
            wrong(f"alert {name}: no section of {RUNBOOKS}")
        if f'alertname="{name}"' not in tested:
            wrong(f"alert {name}: no case of {RULES_TEST} in which it fires")
    for section in sections - {alert["name"] for alert in alerts}:
        if section.startswith("OciBackup"):
            wrong(f"{RUNBOOKS} has a section of an alert that is none: {section}")


def the_dashboard_works(prometheus, dashboard):
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    ids = [panel["id"] for panel in dashboard["panels"]]
    if ids != sorted(set(ids)):
        wrong(f"the panels' ids are not unique and in order: {ids}")
    taken = {}
    for panel in panels:
        what = f"panel {panel['id']}, {panel['title']}"
        if not panel.get("description") or "unit" not in panel["fieldConfig"]["defaults"]:
            wrong(f"{what}: no description or no unit")
        place = panel["gridPos"]
        for cell in ((place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])):
            if taken.setdefault(cell, panel["id"]) != panel["id"] or cell[0] > 23:
                wrong(f"{what}: lies over another, or beside the page")
                break
        for target in panel["targets"]:
            for name, matchers in promql.selectors(target["expr"]):
                if not {"$namespace", "$job"} <= {value.rstrip("|") for _, _, value in matchers}:
                    wrong(f"{what}: {name} is not that of the namespace and the job that are chosen")
            query = filled_in(target["expr"])
            if "$" in query:
                wrong(f"{what}: a variable that is not there: {query}")
            result = prometheus.series(query)
            if not any(math.isfinite(float(value)) for each in result for _, value in each["values"]):
                wrong(f"{what}: no data of {query}")
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                if not any(each["metric"].get(label) for each in result):
                    wrong(f"{what}: no series has the label {label} of its legend")
            every_selector_finds_something(prometheus, what, query)
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", filled_in(variable["query"]["query"]))
            if not any(each.get(found[2]) for each in prometheus.ask("series", **{"match[]": found[1]})):
                wrong(f"variable {variable['name']}: nothing to choose from")
    return len(panels)


def every_selector_finds_something(prometheus, what, query):
    for name, matchers in promql.selectors(query):
        for selector in promql.alternatives(name, matchers):
            if not any(each in selector for each in NOT_MADE) and not prometheus.has_series(selector):
                wrong(f"{what}: no series {selector}")
    if unknown := promql.labels(query) - set(prometheus.ask("labels")):
        wrong(f"{what}: no label {unknown}")


def every_metric_is_looked_at(stage, rules, dashboard):
    """What nobody looks at need not be measured; and texts name what exists."""
    families = {name for page in map(stage.page, stage.admin) for name in re.findall(r"^# TYPE (\S+)", page, re.MULTILINE)}
    queries = [rule["query"] for rule in rules]
    queries += [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    used = {name for query in queries for name, _ in promql.selectors(query)}
    for family in families:
        if not used & {family, f"{family}_bucket", f"{family}_count", f"{family}_sum"}:
            wrong(f"{family}: on no panel, in no rule")
    with open(RUNBOOKS, encoding="utf-8") as file:
        named = set(re.findall(r"\b(?:gateway|rpc_server|http_client)_\w+", file.read()))
    for name in named - families:
        if re.sub(r"_(bucket|count|sum)$", "", name) not in families | {"gateway_operation"}:
            wrong(f"{RUNBOOKS}: no metric {name}")


def every_reason_is_somebodys(stage, rules, dashboard):
    """Rules and panels mean the same by us and by Oracle, and whose each reason is has been decided in a case of the rules."""
    asked = {whose: set() for whose in ("us", "oracle", "nobody")}
    for rule in rules:
        if rule["type"] == "recording" and "whose" in rule.get("labels", ()):
            asked[rule["labels"]["whose"]] |= reasons_asked_for(rule["query"])
    if len(asked["us"]) != 1 or len(asked["oracle"]) != 1 or asked["nobody"]:
        wrong(f"rules: not the same reasons in each window: {asked}")
        return
    (us,), (oracle,) = asked["us"], asked["oracle"]
    if us & oracle:
        wrong(f"rules: both ours and Oracle's: {us & oracle}")
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            for other in reasons_asked_for(target["expr"]) - {us, oracle, us | oracle}:
                wrong(f"panel {panel['id']}: other reasons than in the rules: {sorted(other)}")
    with open(RULES_TEST, encoding="utf-8") as file:
        tested = set(re.findall(r'reason="(\w+)"', file.read()))
    counted = set(re.findall(r'^gateway_calls_failed_total\{.*reason="(\w+)"', stage.page("one"), re.MULTILINE))
    if tested != counted:
        wrong(f"reasons with no case in {RULES_TEST}, or of none that is counted: {sorted(tested ^ counted)}")


def reasons_asked_for(query):
    return {
        frozenset(value.split("|"))
        for name, matchers in promql.selectors(query)
        for label, _, value in matchers
        if (name, label) == ("gateway_calls_failed_total", "reason")
    }


def what_was_staged_has_happened(stage):
    """A counter that is there from the start has data also when nobody counts."""
    pages = "".join(map(stage.page, stage.admin))
    for name in ("gateway_calls_total", "gateway_calls_shed_total", "gateway_connections_refused_total"):
        if not re.search(rf"^{name} [1-9]", pages, re.MULTILINE):
            wrong(f"{name}: the run has none")


def the_runbooks_programs_read_the_log(stage):
    """The log as it is, which has lines that are no JSON: what `sandbox` prints, and what a process says last."""
    with open(RUNBOOKS, encoding="utf-8") as file:
        text = file.read()
    programs = re.findall(r"\| jq (-\S+(?: -\S+)*) '([^']+)'", text)
    if len(programs) != text.count("jq ") or not programs:
        wrong(f"{RUNBOOKS}: a use of jq that is not `| jq OPTIONS 'PROGRAM'`")
    with open(stage.log, encoding="utf-8") as file:
        lines = f"{file.read()}error: the last words\n"
    for options, program in programs:
        run = subprocess.run(["jq", *options.split(), program], input=lines, text=True, capture_output=True)
        if run.returncode or "UNAVAILABLE" not in run.stdout:
            wrong(f"{RUNBOOKS}: jq {options} '{program}': {run.returncode}, {run.stderr or 'no failed call'}")


def play(stage, callers):
    """Half a minute in which everything happens that a query asks for."""
    callers.mishaps.set()
    for _ in range(7):
        time.sleep(3)
        callers.crowd()
        stage.knock()
    time.sleep(6)


def play_a_story(stage, callers):
    """All is well; OCI fails and is slow; all is well; there are too many callers; all is well."""
    time.sleep(25)
    stage.inject({"answer": {"status": 503}}, times="forever", chance={"percent": 55, "seed": 1})
    stage.inject({"stall": {"at": "before_commit", "ms": 350}}, times="forever")
    time.sleep(25)
    stage.mend()
    time.sleep(35)
    for _ in range(40):
        callers.crowd()
        time.sleep(0.5)
    time.sleep(20)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("work")
    parser.add_argument("--keep")
    arguments = parser.parse_args()
    with open(DASHBOARD, encoding="utf-8") as file:
        dashboard = json.load(file)
    with Stage(arguments.binary, arguments.work) as stage:
        stage.set()
        prometheus = Prometheus(stage)
        with Callers(stage) as callers:
            if arguments.keep:
                play_a_story(stage, callers)
                keep(prometheus, dashboard, arguments.keep)
                return
            play(stage, callers)
            the_pages_are_in_order(stage)
            what_was_staged_has_happened(stage)
            the_runbooks_programs_read_the_log(stage)
            rules = the_rules_work(prometheus)
            every_alert_is_complete(rules)
            panels = the_dashboard_works(prometheus, dashboard)
            every_metric_is_looked_at(stage, rules, dashboard)
            every_reason_is_somebodys(stage, rules, dashboard)
        seconds = time.time() - prometheus.began
    if problems:
        sys.exit(f"{len(problems)} wrong")
    print(f"ok     {len(rules)} rules and {panels} panels have data of a run of {seconds:.0f} s")


def keep(prometheus, dashboard, path):
    """What the panels draw of the gateway that meets all that, for draw.py."""
    VARIABLES["$pod"] = "one"
    panels = {
        panel["title"]: {**panel, "results": [prometheus.series(filled_in(t["expr"])) for t in panel["targets"]]}
        for panel in dashboard["panels"]
        if panel["type"] != "row"
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"began": prometheus.began, "seconds": time.time() - prometheus.began, "panels": panels}, file)


if __name__ == "__main__":
    main()
