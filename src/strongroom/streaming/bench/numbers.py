"""What a run came to: the last line of the original's script, and the numbers that it leaves out. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from strongroom.client.bench_report import percentile
from strongroom.streaming.bench.senders import Share

PERCENTILES: Final = (50, 90, 95, 99)


def numbers(shares: Sequence[Share], *, images: int) -> dict[str, Any]:
    """Return the numbers as a machine reads them: seconds, milliseconds, images per second, CPU of the senders."""
    latencies = sorted(1000 * each for share in shares for each in share.latencies_s)
    errors: Counter[str] = sum((share.errors for share in shares), Counter())
    began, ended = min(share.began_s for share in shares), max(share.ended_s for share in shares)
    sent_s = max(share.sent_s for share in shares) - began
    elapsed = max(ended - began, 1e-9)
    return {
        "images": images,
        "served": len(latencies),
        "invalid": errors.total(),
        "errors": dict(sorted(errors.items())),
        "seconds": round(elapsed, 4),
        "images_per_s": round(len(latencies) / elapsed, 2),
        "enqueue_seconds": round(sent_s, 4),
        "enqueue_per_s": round(images / max(sent_s, 1e-9), 2),
        "client_cpu_s": round(sum(share.cpu_s for share in shares), 4),
        **{f"p{each}_ms": _rounded(percentile(latencies, each)) for each in PERCENTILES},
    }


def _rounded(value: float) -> float | None:
    return None if value != value else round(value, 3)  # noqa: PLR0124  # NaN where nothing was served


def served_line(found: dict[str, Any]) -> str:
    """Return the line that the guide looks for."""
    return (
        f"Served {found['served']} images in {found['seconds']} sec, e2e throughput is {found['images_per_s']} "
        f"images/sec, excluded {found['invalid']} invalid results"
    )


def latency_line(found: dict[str, Any]) -> str:
    """Return our line after it: percentiles, and errors by code."""
    parts = [f"p{each} {found[f'p{each}_ms']} ms" for each in PERCENTILES]
    errors = "".join(f", {code} {count}" for code, count in found["errors"].items())
    return f"Latency {', '.join(parts)}; invalid {found['invalid']}{errors}; client CPU {found['client_cpu_s']} s"


def over_time(shares: Sequence[Share], *, points: int = 40) -> list[tuple[float, float]]:
    """Return results per second over the run: (seconds since its beginning, rate)."""
    began = min(share.began_s for share in shares)
    finished = sorted(each - began for share in shares for each in share.finished_s)
    if not finished:
        return []
    step = max(finished[-1] / points, 1e-6)
    counts = Counter(min(int(each / step), points - 1) for each in finished)
    return [((place + 0.5) * step, counts[place] / step) for place in range(points)]


def by_share(shares: Sequence[Share]) -> list[tuple[float, float]]:
    """Return the latency in milliseconds that each share of the records stayed below: (percent, ms)."""
    latencies = sorted(1000 * each for share in shares for each in share.latencies_s)
    return [(float(each), percentile(latencies, each)) for each in range(1, 101)] if latencies else []
