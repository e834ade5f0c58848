"""The picture of a run: CPU time per request of every server, one panel for each model, and the targets."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, cast

from matplotlib.figure import Figure

TITLES: Final = {
    "tiny": "half_plus_two, 3 floats, gRPC",
    "image": "602 KB tensor, gRPC",
    "resnet50": "ResNet50 v1.5 fp32, gRPC",
    "json": "150k floats as JSON, one list, REST",
    "json-image": "150k floats as JSON, an image, REST",
}
OURS, THEIRS, FLOOR = "#0b6e4f", "#b0b7bf", "#e0a030"
WIDE: Final = 5  # times; beyond, bars are drawn on a logarithmic scale
UNITS: Final = ((1e3, 1e-3, "ms"), (0, 1, "µs"))


def plot(written: dict[str, object], path: Path) -> None:
    """Draw what `results.document` returns."""
    cells = cast("list[dict[str, Any]]", written["measurements"])
    models = [name for name in TITLES if any(cell["model"] == name for cell in cells)]
    aims = [aim for aim in cast("list[dict[str, Any]]", written["targets"]) if aim["value"] is not None]
    rows = [[cell for cell in cells if cell["model"] == name] for name in models]
    heights = [max(2, len(row)) for row in rows] + [max(2, len(aims))]
    figure = Figure(figsize=(11, 1.2 * len(heights) + 0.32 * sum(heights)))
    panels = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)
    for panel, name, row in zip(panels[:, 0], models, rows, strict=False):
        _bars(panel, TITLES[name], row)
    _targets(panels[-1, 0], aims)
    machine = cast("dict[str, Any]", written["machine"])
    figure.suptitle(
        f"CPU time per request, the server's processes only, least of several runs\n{machine['processor']}, "
        f"{machine['cores']} cores, {machine['at'][:10]}, {written['commit']}",
        fontsize=11,
    )
    figure.tight_layout(rect=(0, 0, 1, 0.99))
    figure.savefig(path, dpi=110)


def _bars(panel: Any, title: str, row: list[dict[str, Any]]) -> None:  # noqa: ANN401  # matplotlib has no types
    row = sorted(row, key=lambda cell: -cell["cpu_us"])
    values = [cell["cpu_us"] for cell in row]
    colours = [
        OURS if cell["server"].startswith("strongroom") else FLOOR if _is_floor(cell) else THEIRS for cell in row
    ]
    labels = [" · ".join(filter(None, (cell["server"], cell["transport"]))) for cell in row]
    panel.barh(range(len(row)), values, color=colours)
    panel.set_yticks(range(len(row)), labels, fontsize=8)
    wide = max(values) > WIDE * min(values)
    panel.set_xscale("log" if wide else "linear")
    panel.set_xlim(min(values) / 2 if wide else 0, max(values) * (3 if wide else 1.2))
    for index, value in enumerate(values):
        panel.text(value, index, f" {_duration(value)}", va="center", fontsize=8)
    panel.set_title(title, fontsize=10, loc="left")
    panel.set_xlabel(f"µs of CPU per request{' (logarithmic)' if wide else ''}", fontsize=8)
    panel.tick_params(axis="x", labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)


def _is_floor(cell: dict[str, Any]) -> bool:
    return not cell["transport"] or "discarded" in cell["server"]


def _duration(value_us: float) -> str:
    factor, unit = next((factor, unit) for least, factor, unit in UNITS if value_us >= least)
    return f"{value_us * factor:.3g} {unit}"


def _targets(panel: Any, aims: list[dict[str, Any]]) -> None:  # noqa: ANN401  # matplotlib has no types
    """Draw how far each target is reached: 1 is the target; a size is turned round, so that more is better."""
    reached = []
    for aim in aims:
        sign, _, wanted = aim["target"].partition(" ")
        ratio = aim["value"] / float(wanted)
        reached.append(ratio if sign == ">=" else 1 / max(ratio, 1e-9))
    panel.barh(range(len(aims)), reached, color=[OURS if aim["holds"] else "#b3261e" for aim in aims])
    panel.axvline(1, color="black", linewidth=1)
    panel.set_yticks(range(len(aims)), [aim["measure"] for aim in aims], fontsize=8)
    for index, (aim, value) in enumerate(zip(aims, reached, strict=True)):
        text = f" {aim['value']:g} {aim['unit']} (wanted {aim['target']})"
        panel.text(value, index, text, va="center", fontsize=8)
    panel.set_xlim(0, max([*reached, 1]) * 1.5)
    panel.invert_yaxis()
    panel.set_title("Targets: the line is what was wanted", fontsize=10, loc="left")
    panel.tick_params(axis="x", labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)
