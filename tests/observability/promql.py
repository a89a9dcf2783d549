"""As much of PromQL as it takes to take queries apart. Prometheus itself says whether they are well-formed."""

import re

CLAUSE = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)")
SELECTOR = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{([^}]*)\})?(?!\s*\(|[a-zA-Z0-9_:])")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
KEYWORDS = {"and", "or", "unless", "bool", "by", "without", "on", "ignoring", "group_left", "group_right"}
SPLIT = re.compile(r"(?:\b(?:and|or|unless)\b|[=!]=|[<>]=?)(?:\s+bool\b)?")


def plain(query):
    """Without ranges and numbers, which look like names."""
    return re.sub(r'("[^"]*")|\[[^\]]*\]|\b\d[\w.]*', r"\1 ", query)


def selectors(query):
    """(name, matchers) of each."""
    for name, braces in SELECTOR.findall(CLAUSE.sub(" ", plain(query))):
        if name not in KEYWORDS:
            yield name, MATCHER.findall(braces)


def labels(query):
    """Every label that is named."""
    clauses = (name.strip() for _, names in CLAUSE.findall(query) for name in names.split(","))
    return {name for name in clauses if name} | {label for _, matchers in selectors(query) for label, _, _ in matchers}


def alternatives(name, matchers):
    """A selector for each value that an alternation names: of `5..|reset` both have to exist. An empty one is no label, which
    need not be."""
    written = [""]
    for label, operator, value in matchers:
        values = [each for each in value.split("|") if each] if operator == "=~" else [value]
        written = [f'{before}{label}{operator}"{each}",' for before in written for each in values]
    return [f"{name}{{{braces}}}" for braces in written]


def operands(condition):
    """What an alert compares and joins, each by itself: that has data also when nothing is wrong."""
    condition = condition.strip()
    if condition.startswith("absent("):
        condition = condition.removeprefix("absent")
    parts = outermost(condition)
    if len(parts) > 1:
        return [each for part in parts for each in operands(part)]
    if condition.startswith("(") and closes_at(condition) == len(condition) - 1:
        return operands(condition[1:-1])
    return [condition] if any(selectors(condition)) else []


def outermost(condition):
    depth, start, at, parts = 0, 0, 0, []
    while at < len(condition):
        depth += (condition[at] in "({[") - (condition[at] in ")}]")
        found = SPLIT.match(condition, at) if depth == 0 else None
        word = found and found[0][0].isalpha() and at and (condition[at - 1].isalnum() or condition[at - 1] in "_:")
        if found and not word:
            parts.append(condition[start:at])
            rest = re.compile(r"(\s*\b(?:on|ignoring|group_left|group_right)\s*\([^()]*\))*").match(condition, found.end())
            start = at = rest.end()
        else:
            at += 1
    return [*parts, condition[start:]]


def closes_at(text):
    depth = 0
    for at, character in enumerate(text):
        depth += (character in "({[") - (character in ")}]")
        if depth == 0:
            return at
    return -1
