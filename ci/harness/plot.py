# SPDX-License-Identifier: GPL-2.0
"""Plots as inline SVG: a value per step and series; results of a case per step."""

import html
import math
from collections.abc import Mapping, Sequence

# A colour and a dash for each line, so that they differ in print, too.
_LINES = (("#1b6ca8", ""), ("#b3400d", "6 3"), ("#2d7d32", "2 3"), ("#6a3d9a", "8 3 2 3"), ("#555555", "1 4"),
          ("#8a6d00", "10 4"))
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 900, 240, 70, 30

Lines = Mapping[str, Mapping[int, float]]


def lines(title: str, unit: str, found: Lines, zero: bool = True) -> str:
    """A plot of {name: {step: value}}; "" where there is no value. unit: of the values; zero: whether the
    axis begins at 0. A gap in the steps is a gap in the line."""
    found = {name: dict(sorted(values.items())) for name, values in found.items() if values}
    if not found:
        return ""
    steps = sorted({step for values in found.values() for step in values})
    values = [value for line in found.values() for value in line.values()]
    low, high = (0.0 if zero else min(values)), max(values)
    high = high if high > low else low + 1
    span = max(steps[-1] - steps[0], 1)

    def x(step: int) -> float:
        return _LEFT + (step - steps[0]) / span * (_WIDTH - _LEFT - 10)

    def y(value: float) -> float:
        return 10 + (high - value) / (high - low) * (_HEIGHT - 10 - _BOTTOM)

    out = [f'<figure><svg role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}" aria-label="{html.escape(title)}">'
           f"<title>{html.escape(title)}</title>"]
    for value in _ticks(low, high):
        out.append(f'<path class="grid" d="M{_LEFT} {y(value):.1f}H{_WIDTH - 10}"/>'
                   f'<text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:,.0f}</text>')
    for step in sorted({round(value) for value in _ticks(steps[0], steps[-1])} | {steps[0], steps[-1]}):
        out.append(f'<text x="{x(step):.1f}" y="{_HEIGHT - 10}" text-anchor="middle">{step}</text>')
    for number, (name, line) in enumerate(found.items()):
        colour, dash = _LINES[number % len(_LINES)]
        path, before = "", None
        for step, value in line.items():
            path += f"{'L' if before == step - 1 else 'M'}{x(step):.1f} {y(value):.1f}"
            path += "h.1" if before != step - 1 else ""
            before = step
        out.append(f'<path class="line" stroke="{colour}" stroke-dasharray="{dash}" d="{path}">'
                   f"<title>{html.escape(name)}</title></path>")
    out.append("</svg><figcaption>" + html.escape(f"{title}, in {unit}, by step: ") + ", ".join(
        f'<span style="color:{_LINES[n % len(_LINES)][0]}">'
        f'<svg class="key" viewBox="0 0 30 8"><path class="line" stroke="{_LINES[n % len(_LINES)][0]}" '
        f'stroke-dasharray="{_LINES[n % len(_LINES)][1]}" d="M0 4H30"/></svg> {html.escape(name)}</span>'
        for n, name in enumerate(found)) + "</figcaption></figure>")
    return "".join(out)


def bars(title: str, found: Mapping[str, tuple[float, str]]) -> str:
    """Bars of ratios with a line at 1. found: {name: (ratio, the class that colours it)}; "" for none."""
    if not found:
        return ""
    most = max(1.25, *(ratio for ratio, _ in found.values()))
    scale, left, height = (_WIDTH - 420) / most, 330, 16 * len(found) + 20
    out = [f'<figure><svg role="img" viewBox="0 0 {_WIDTH} {height}" aria-label="{html.escape(title)}">'
           f"<title>{html.escape(title)}</title>"]
    for number, (name, (ratio, kind)) in enumerate(found.items()):
        y = 16 * number + 4
        out.append(f'<text x="{left - 6}" y="{y + 10}" text-anchor="end">{html.escape(name)}</text>'
                   f'<rect class="{kind}" x="{left}" y="{y}" width="{ratio * scale:.1f}" height="12"/>'
                   f'<text x="{left + ratio * scale + 4:.1f}" y="{y + 10}">{ratio:.4g}</text>')
    out.append(f'<path class="line" stroke="#222" d="M{left + scale:.1f} 0V{height - 14}"/>'
               f'<text x="{left + scale:.1f}" y="{height - 3}" text-anchor="middle">1</text></svg>')
    return "".join(out) + f"<figcaption>{html.escape(title)}</figcaption></figure>"


def strip(words: Mapping[int, str], steps: Sequence[int]) -> str:
    """A bar with a field for each step, red where a case fails and green where it passes."""
    place = {step: number for number, step in enumerate(steps)}
    fields = "".join(f'<rect class="{html.escape(word)}" x="{place[step] * 4}" y="0" width="4" height="12">'
                     f"<title>step {step}: {html.escape(word)}</title></rect>"
                     for step, word in sorted(words.items()) if step in place)
    return f'<svg class="strip" viewBox="0 0 {max(len(steps), 1) * 4} 12" ' \
           f'style="width:{max(len(steps), 1) * 4}px" aria-hidden="true">{fields}</svg>'


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers between two."""
    if high <= low:
        return [low]
    width = 10 ** math.floor(math.log10((high - low) / 4))
    width = next(width * factor for factor in (1, 2, 5, 10) if (high - low) / (width * factor) <= 6)
    return [width * n for n in range(math.ceil(low / width), math.floor(high / width) + 1)]
