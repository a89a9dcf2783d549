"""Compares what two tools make of one deployment: equal.py CHART.yaml KUSTOMIZE.yaml

What only Helm says of itself (its labels, its tests and who admits them) does not count, nor does the order of variables.
"""

import difflib
import sys

import yaml

HELM_LABELS = ("helm.sh/chart", "app.kubernetes.io/managed-by")


def objects(path):
    with open(path, encoding="utf-8") as file:
        found = [each for each in yaml.safe_load_all(file) if each]
    return {
        (each["kind"], each["metadata"]["name"]): normal(each)
        for each in found
        if "helm.sh/hook" not in each["metadata"].get("annotations", {})
    }


def normal(value):
    if isinstance(value, dict):
        kept = {key: normal(each) for key, each in value.items() if key not in HELM_LABELS}
        kept.get("metadata", {}).pop("namespace", None)
        return kept
    if isinstance(value, list):
        items = [normal(each) for each in value if not admits_helms_test(each)]
        named = all(isinstance(each, dict) and "name" in each for each in items)
        return sorted(items, key=lambda each: each["name"]) if named else items
    return value


def admits_helms_test(rule):
    peers = rule.get("from", []) if isinstance(rule, dict) else []
    labels = [peer.get("podSelector", {}).get("matchLabels", {}) for peer in peers]
    return bool(labels) and all(each.get("app.kubernetes.io/name", "").endswith("-test") for each in labels)


def main(chart, kustomize):
    left, right = objects(chart), objects(kustomize)
    equal = True
    for key in sorted(left.keys() | right.keys()):
        texts = [yaml.safe_dump(side.get(key), sort_keys=True).splitlines() for side in (left, right)]
        for line in difflib.unified_diff(*texts, f"chart: {key}", f"kustomize: {key}", lineterm=""):
            equal = False
            print(line)
    return 0 if equal and left else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
