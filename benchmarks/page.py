"""docs/results/speed.md and its chart, from what was measured."""

import statistics
from collections import defaultdict
from typing import Any

from benchmarks.rendering import render

FLOOR = "frozen UNet"

Entry = dict[str, Any]


def speed_pages(content: dict[str, dict[str, Entry]]) -> dict[str, str]:
    """Return the page and the chart, by file name."""
    flops = content.get("flops", {})
    steps = [_step_row(entry, flops) for entry in content.get("steps", {}).values()]
    context = {
        "steps": steps,
        "flops": {size: _counted_rows(counts) for size, counts in flops.items()},
        "settings": list(dict.fromkeys(row["setting"] for row in steps)),
        "layers": _layer_rows(content.get("layers", {})),
        "loops": [_loop_row(name, entry) for name, entry in content.get("loops", {}).items()],
        "banks": [_bank_row(entry) for entry in content.get("banks", {}).values()],
        "preparation": content.get("preparation", {}),
        "training": [_training_row(name, entry) for name, entry in content.get("training", {}).items()],
        "unmix": [_unmix_row(entry) for entry in content.get("unmix", {}).values()],
        "environments": sorted(
            {
                f"{entry['machine']}, {entry['threads']} thread(s), torch {entry['torch']}, Python {entry['python']}"
                for name in ("steps", "layers", "loops", "banks", "preparation", "training", "unmix")
                for entry in content.get(name, {}).values()
            }
        ),
    }
    bars = sorted((row for row in steps if row["is_charted"]), key=lambda row: row["ratio"])
    return {"speed.md": render("speed.md.j2", **context), "speed.svg": render("speed.svg.j2", bars=bars)}


def _step_row(entry: Entry, flops: dict[str, Entry]) -> Entry:
    step, floor = (statistics.median(entry[key]["processor_seconds"]) for key in ("step", "floor"))
    ratios = _ratios(entry, "step", "floor")
    architecture, sides = entry.get("architecture", "sd15"), f"{entry['latent']}x{entry['latent']}"
    counted = flops.get(sides if architecture == "sd15" else f"{architecture}, {sides}", {})
    switches = {"compiled": "compiled", "checkpointed": "activations computed again"}
    chosen = [words for key, words in switches.items() if entry.get(key)]
    setting = ", ".join([architecture, f"{sides} latents", entry["dtype"], *chosen, entry["machine"]])
    return {
        "name": entry["name"],
        "setting": setting,
        "is_charted": architecture == "sd15" and entry["latent"] == 32 and entry.get("device", "cpu") == "cpu",
        "rounds": len(ratios),
        "seconds": step,
        "floor": floor,
        "ratio": step / floor,
        "spread": _spread(ratios),
        "limit": counted[entry["name"]] / counted[FLOOR] if entry["name"] in counted else None,
        "peak": (entry["step"]["memory"] - entry["floor"]["memory"]) / entry["base_memory"],
        "kept": entry["kept_memory"] / entry["base_memory"],
        "base": entry["base_memory"],
        "command": entry["command"],
    }


def _counted_rows(counts: Entry) -> list[Entry]:
    return [{"name": name, "flops": count, "ratio": count / counts[FLOOR]} for name, count in counts.items()]


def _layer_rows(entries: dict[str, Entry]) -> list[Entry]:
    """Add the shapes of a kind up, each as often as it occurs."""
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for entry in entries.values():
        for kind in (_kind(entry), "all linear and convolution layers"):
            for name in ("frozen", "svdiff", "rebuilt"):
                if name in entry:
                    sums[kind][name] += entry["count"] * entry[name]
                    sums[kind][f"{name} flops"] += entry["count"] * entry["flops"][name]
            sums[kind]["count"] += entry["count"]
    command = next(iter(entries.values()))["command"] if entries else ""
    rows = [{"kind": kind, "command": command, **values} for kind, values in sums.items()]
    return sorted(rows, key=lambda row: (row["kind"].startswith("all"), -row["frozen"]))


def _kind(entry: Entry) -> str:
    out, inner = entry["weight"][:2]
    if entry["kind"] == "3x3 convolution":
        return entry["kind"]
    ratio = max(out, inner) / min(out, inner)
    return f"{entry['kind']}, {'nearly square' if ratio <= 1.5 else 'oblong'}"


def _bank_row(entry: Entry) -> Entry:
    together, alone = (statistics.median(entry[key]["processor_seconds"]) for key in ("together", "one_by_one"))
    return {
        **entry,
        "rounds": len(entry["together"]["seconds"]),
        "together": entry["size"] / together,
        "alone": entry["size"] / alone,
        "gain": alone / together,
    }


def _loop_row(name: str, entry: Entry) -> Entry:
    ours, theirs = (statistics.median(entry[key]["processor_seconds"]) for key in ("ours", "as_scripts_do"))
    memory = [entry[key]["memory"] / 1e9 for key in ("ours", "as_scripts_do")]
    return {**entry, "name": f"{name}, {entry['machine']}", "ours": ours, "theirs": theirs, "memory": memory}


def _training_row(name: str, entry: Entry) -> Entry:
    return {
        **entry,
        "name": name,
        "rounds": len(entry["seconds"]),
        "median": statistics.median(entry["seconds"]),
        "processor": statistics.median(entry["processor_seconds"]),
    }


def _unmix_row(entry: Entry) -> Entry:
    without, with_loss = (statistics.median(entry[key]["processor_seconds"]) for key in ("without", "with"))
    ratios = _ratios(entry, "with", "without")
    return {
        **entry,
        "rounds": len(ratios),
        "seconds": without,
        "ratio": with_loss / without,
        "spread": _spread(ratios),
    }


def _ratios(entry: Entry, one: str, other: str) -> list[float]:
    """Return the ratio of two contenders in every round."""
    pairs = zip(entry[one]["processor_seconds"], entry[other]["processor_seconds"], strict=True)
    return [a / b for a, b in pairs]


def _spread(ratios: list[float]) -> str:
    return f"{min(ratios):.2f} to {max(ratios):.2f}"
