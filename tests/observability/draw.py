"""The main panels of a run, as Grafana would draw them: draw.py PANELS.json PICTURE"""

import json
import re
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, MaxNLocator

VERDICT = "Whose fault is it?"
PANELS = [
    ["Calls, by whose failure they are", "Where the time goes", "Why requests fail"],
    ["Why calls fail", "How long calls take that work", "How long OCI takes"],
    ["Retries by what had failed", "What is left to pay retries from", "Places taken"],
]
# Grafana's, so that names mean the same.
COLORS = {"green": "#73BF69", "yellow": "#F2CC0C", "orange": "#FF9830", "red": "#F2495C", "purple": "#B877D9", "blue": "#5794F2"}
REST = ["#5794F2", "#FF9830", "#73BF69", "#F2495C", "#B877D9", "#F2CC0C", "#8AB8FF", "#FFB357", "#96D98D", "#FF7383"]
INK, FAINT = "#3d3d45", "#e4e5e9"


def seconds(value, _=None):
    return f"{value:g} s" if value >= 1 or value == 0 else f"{value * 1000:g} ms"


UNITS = {
    "s": seconds,
    "reqps": lambda value, _: f"{value:g}/s",
    "percentunit": lambda value, _: f"{value * 100:g} %",
    "short": lambda value, _: f"{value:g}",
}


def drawn(panel, began):
    """(legend, times, values) of each series, gaps as they are."""
    for target, result in zip(panel["targets"], panel["results"], strict=True):
        for series in result:
            legend = re.sub(r"\{\{(\w+)\}\}", lambda found: series["metric"].get(found[1], ""), target["legendFormat"])
            times = [at - began for at, _ in series["values"]]
            yield legend, times, [float(value) for _, value in series["values"]]


def verdict(axes, panel, began):
    texts = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    ((_, times, values),) = drawn(panel, began)
    said = {}
    for at, value in zip(times, values, strict=True):
        text, color = texts[str(int(value))]["text"], COLORS[texts[str(int(value))]["color"]]
        axes.axvspan(at, at + 1, color=color, linewidth=0)
        said[text] = color
    for text, color in said.items():
        axes.bar(0, 0, color=color, label=text)
    axes.set_yticks([])
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.28), ncol=4, frameon=False)


def curves(axes, panel, began):
    defaults = panel["fieldConfig"]["defaults"]
    fixed = {
        override["matcher"]["options"]: COLORS[override["properties"][0]["value"]["fixedColor"]]
        for override in panel["fieldConfig"]["overrides"]
    }
    rest = iter(color for color in REST if color not in fixed.values())
    series = [(name, *points, fixed.get(name) or next(rest)) for name, *points in drawn(panel, began)]
    if defaults["custom"].get("stacking"):
        every = sorted({at for _, times, _, _ in series for at in times})
        rows = []
        for _, times, values, _ in series:
            known = dict(zip(times, values, strict=True))
            rows.append([0 if known.get(at, 0) != known.get(at, 0) else known.get(at, 0) for at in every])
        axes.stackplot(every, rows, labels=[name for name, *_ in series], colors=[s[3] for s in series], alpha=0.85)
    else:
        for name, times, values, color in series:
            axes.plot(times, values, label=name, color=color, linewidth=1.4)
    axes.set_ylim(bottom=0)
    if defaults.get("max"):
        axes.set_ylim(top=defaults["max"] * 1.03)
    axes.yaxis.set_major_formatter(FuncFormatter(UNITS[defaults["unit"]]))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    # As many beside each other as there is room for.
    columns = 3 if sum(len(name) for name, *_ in series) < 60 else 2
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.13), ncol=columns, frameon=False, columnspacing=1, handlelength=1.2
    )


def main(source, picture):
    with open(source, encoding="utf-8") as file:
        kept = json.load(file)
    plt.rcParams.update({
        "font.size": 8, "axes.titlesize": 9, "axes.titleweight": "bold", "text.color": INK, "axes.labelcolor": INK,
        "axes.edgecolor": FAINT, "xtick.color": INK, "ytick.color": INK, "axes.titlecolor": INK,
    })  # fmt: skip
    figure = plt.figure(figsize=(13, 10.4))
    grid = figure.add_gridspec(4, 3, height_ratios=[0.22, 1, 1, 1], hspace=0.62, wspace=0.2, left=0.045, right=0.985, top=0.965, bottom=0.075)
    places = [(VERDICT, grid[0, :])]
    places += [(title, grid[1 + y, x]) for y, line in enumerate(PANELS) for x, title in enumerate(line)]
    for title, place in places:
        axes = figure.add_subplot(place)
        axes.set_title(title, loc="left")
        panel = kept["panels"][title]
        (verdict if title == VERDICT else curves)(axes, panel, kept["began"])
        axes.set_xlim(5, kept["seconds"])
        axes.xaxis.set_major_formatter(FuncFormatter(seconds))
    figure.savefig(picture, dpi=100)


if __name__ == "__main__":
    main(*sys.argv[1:])
