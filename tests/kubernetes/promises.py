"""What every rendering of chart and kustomization keeps, beyond what Kubernetes asks: promises.py RENDERED.yaml…

Each function is a promise. It takes the objects of one file and tells what breaks it.
"""

import re
import sys
from urllib.parse import urlsplit

import yaml

# Where a sidecar asks its control plane: its namespace, and ports.
CONTROL_PLANES = {"istio": ("istio-system", {15012}), "linkerd": ("linkerd", {8080, 8086, 8090})}
# The metadata service of an instance.
METADATA = ("169.254.169.254/32", "fd00:c1::a9fe:a9fe/128")
# What a connection with TLS takes, and a call in flight: 61 MiB are 1,000 of these.
MIB = 1024 * 1024
OF_A_CONNECTION = 36 * 1024
OF_A_CALL = 61 * MIB // 1000
CALLS_BY_DEFAULT = 1024


class Rendered:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.objects = [each for each in yaml.safe_load_all(file) if each]
        (self.deployment,) = self.of("Deployment")
        self.pod = self.deployment["spec"]["template"]
        (self.gateway,) = self.pod["spec"]["containers"]
        self.ports = {each["name"]: each["containerPort"] for each in self.gateway["ports"]}
        self.variables = {each["name"]: each.get("value") for each in self.gateway["env"]}
        self.policies = [policy["spec"] for policy in self.of("NetworkPolicy")]

    def of(self, kind):
        return [each for each in self.objects if each["kind"] == kind]

    def entered_by(self, port):
        """Who may come in at a port of that name."""
        rules = (rule for policy in self.policies for rule in policy["ingress"])
        return [peer for rule in rules if port in numbers(rule) for peer in rule["from"]]

    def left_by(self, port):
        """Where to something may leave by a port."""
        rules = (rule for policy in self.policies for rule in policy["egress"])
        return [peer for rule in rules if port in numbers(rule) for peer in rule.get("to", [{}])]


def numbers(rule):
    return {each["port"] for each in rule["ports"]}


def labels_of(peer):
    return peer.get("podSelector", {}).get("matchLabels", {})


def probes_ask_where_no_caller_takes_their_connections(it):
    health = it.ports.get("health")
    if not it.variables.get("GATEWAY_HEALTH_LISTEN", "").endswith(f":{health}"):
        yield f"the gateway serves no health at {health}"
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        if it.gateway[name]["grpc"]["port"] != health:
            yield f"{name} asks another port than {health}"
    for peer in it.entered_by("health"):
        if not labels_of(peer).get("app.kubernetes.io/name", "").endswith("-test"):
            yield f"the health listener is open to {peer}"


def helms_test_is_let_in_where_it_asks(it):
    services = {each["metadata"]["name"].upper().replace("-", "_"): each for each in it.of("Service")}
    for test in (each for each in it.of("Pod") if it.policies):
        # $(NAME_PORT_50051_TCP)
        variable = test["spec"]["containers"][0]["args"][1].strip("$()")
        service, _, port = variable.removesuffix("_TCP").rpartition("_PORT_")
        (target,) = [each["targetPort"] for each in services[service]["spec"]["ports"] if each["port"] == int(port)]
        own = test["metadata"]["labels"].items()
        own_namespace = [peer for peer in it.entered_by(target) if "ipBlock" not in peer and not peer.get("namespaceSelector")]
        if not any(labels_of(peer).items() <= own for peer in own_namespace):
            yield f"the test's pod may not come in at {target}"


def what_the_gateway_is_told_to_call_may_be_called(it):
    for name in ("OCI_CLI_ENDPOINT", "GATEWAY_PROXY"):
        if it.policies and it.variables.get(name):
            url = urlsplit(it.variables[name])
            port = url.port or {"http": 80, "https": 443}[url.scheme]
            if not it.left_by(port):
                yield f"{name} is {url.geturl()}, and nothing leaves by port {port}"


def an_instance_is_asked_by_whichever_family_it_has(it):
    if it.policies and it.variables.get("OCI_CLI_AUTH") == "instance_principal":
        peers = [peer.get("ipBlock", {}).get("cidr") for peer in it.left_by(80)]
        yield from (f"{peer} is not reached" for peer in METADATA if peer not in peers)


def a_sidecar_reaches_its_control_plane_and_outlives_the_drain(it):
    metadata, spec = it.pod["metadata"], it.pod["spec"]
    notes = metadata.get("annotations", {})
    injected = {
        "istio": metadata["labels"].get("sidecar.istio.io/inject") == "true",
        "linkerd": notes.get("linkerd.io/inject") == "enabled",
    }
    for mesh, (namespace, ports) in CONTROL_PLANES.items():
        for port in ports if injected[mesh] and it.policies else ():
            names = [peer.get("namespaceSelector", {}).get("matchLabels", {}) for peer in it.left_by(port)]
            if {"kubernetes.io/metadata.name": namespace} not in names:
                yield f"{namespace} is not reached by port {port}"
    if injected["istio"]:
        config = yaml.safe_load(notes.get("proxy.istio.io/config", "{}"))
        if config.get("proxyMetadata", {}).get("EXIT_ON_ZERO_ACTIVE_CONNECTIONS") != "true":
            yield "Istio's sidecar ends before the gateway"
        if not config.get("holdApplicationUntilProxyStarts"):
            yield "the gateway starts before Istio's sidecar"
    if injected["linkerd"]:
        waits = int(notes.get("config.alpha.linkerd.io/proxy-wait-before-exit-seconds", 0))
        ends = it.gateway["lifecycle"]["preStop"]["sleep"]["seconds"] + int(it.variables["GATEWAY_DRAIN_TIMEOUT"].rstrip("s"))
        if not ends <= waits < spec["terminationGracePeriodSeconds"]:
            yield f"Linkerd's sidecar ends after {waits} s, and the gateway after {ends} s"


def a_collector_is_told_which_replica_speaks(it):
    said = dict(pair.split("=", 1) for pair in (it.variables.get("OTEL_RESOURCE_ATTRIBUTES") or "").split(",") if pair)
    fields = {each["name"]: each["valueFrom"]["fieldRef"]["fieldPath"] for each in it.gateway["env"] if "fieldRef" in each.get("valueFrom", {})}
    for attribute, field in {
        "k8s.pod.name": "metadata.name",
        "k8s.namespace.name": "metadata.namespace",
        "k8s.node.name": "spec.nodeName",
    }.items():
        variable = said.get(attribute, "").strip("$()")
        if fields.get(variable) != field:
            yield f"{attribute} is {said.get(attribute)}"


def what_a_variable_puts_in_stands_before_it(it):
    before = set()
    for each in it.gateway["env"]:
        for name in re.findall(r"\$\((\w+)\)", each.get("value") or ""):
            if name not in before:
                yield f"{each['name']} comes before {name}, which stays $({name})"
        before.add(each["name"])


def no_variable_is_there_twice(it):
    names = [each["name"] for each in it.gateway["env"]]
    yield from (f"{name} is there twice" for name in set(names) if names.count(name) > 1)


def a_container_that_ended_says_why_in_the_pods_status(it):
    if it.gateway.get("terminationMessagePolicy") != "FallbackToLogsOnError":
        yield "its last lines are lost to the status"


def a_gateways_route_reaches_the_pods(it):
    told = {
        target["name"]
        for policy in it.of("BackendTLSPolicy")
        for target in policy["spec"]["targetRefs"]
        if target["kind"] == "Service" and target.get("sectionName", "grpc") == "grpc"
    }
    for route in it.of("GRPCRoute"):
        for name in {backend["name"] for rule in route["spec"]["rules"] for backend in rule["backendRefs"]}:
            if it.variables.get("GATEWAY_TLS_CERT") and name not in told:
                yield f"the Gateway speaks plaintext to {name}, which has TLS"
        for namespace in {parent["namespace"] for parent in route["spec"]["parentRefs"] if it.policies and "namespace" in parent}:
            names = [peer["namespaceSelector"].get("matchLabels") for peer in it.entered_by("grpc") if "namespaceSelector" in peer]
            if None not in names and {"kubernetes.io/metadata.name": namespace} not in names:
                yield f"the Gateway in {namespace} may not come in"


def connections_and_calls_take_half_of_the_memory_at_most(it):
    if not it.variables.get("GATEWAY_MAX_CONNECTIONS"):
        yield "there is no limit of connections but that of file descriptors"
        return
    limit = int(it.gateway["resources"]["limits"]["memory"].removesuffix("Mi")) * MIB
    taken = int(it.variables["GATEWAY_MAX_CONNECTIONS"]) * OF_A_CONNECTION
    taken += int(it.variables.get("GATEWAY_MAX_IN_FLIGHT", CALLS_BY_DEFAULT)) * OF_A_CALL
    if taken * 2 > limit:
        yield f"connections and calls take {taken // MIB} MiB of {limit // MIB} MiB"


PROMISES = (
    a_gateways_route_reaches_the_pods,
    probes_ask_where_no_caller_takes_their_connections,
    helms_test_is_let_in_where_it_asks,
    what_the_gateway_is_told_to_call_may_be_called,
    an_instance_is_asked_by_whichever_family_it_has,
    a_sidecar_reaches_its_control_plane_and_outlives_the_drain,
    a_collector_is_told_which_replica_speaks,
    what_a_variable_puts_in_stands_before_it,
    no_variable_is_there_twice,
    a_container_that_ended_says_why_in_the_pods_status,
    connections_and_calls_take_half_of_the_memory_at_most,
)


def main(paths):
    broken = 0
    for path in paths:
        rendered = Rendered(path)
        for promise in PROMISES:
            for what in promise(rendered):
                broken += 1
                print(f"{path}: {promise.__name__}: {what}", file=sys.stderr)
    return 1 if broken or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
