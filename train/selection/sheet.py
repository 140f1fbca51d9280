"""A contact sheet of chosen frames: one page, with what was found in each and why it was taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from urllib.parse import quote

from engine.text.printing import html_text
from train.selection.shortlist import Pick

_STYLE = """
body{font:15px/1.5 system-ui,"Segoe UI",Helvetica,Arial,sans-serif;color:#1d2733;background:#f5f6f8;margin:0}
main{max-width:1500px;margin:0 auto;padding:24px 20px 60px}h1{font-size:24px;margin:0 0 4px}
.warning{border:1px solid #d55e00;background:#fff4ec;border-radius:8px;padding:10px 14px}
.frames{display:grid;grid-template-columns:repeat(auto-fill,minmax(230px,1fr));gap:14px;padding:0;list-style:none}
.frames>li{background:#fff;border:1px solid #dde2e8;border-radius:8px;overflow:hidden}
.frames a{display:block;position:relative}.frames img{width:100%;height:auto;display:block}
svg{position:absolute;inset:0;width:100%;height:100%}rect{fill:none;stroke:#ffd400;stroke-width:2;
vector-effect:non-scaling-stroke}.frames div{padding:8px 10px;font-size:13px}b{overflow-wrap:anywhere}
ul{margin:4px 0 0;padding-left:18px}
"""


def sheet_of(picks: Sequence[Pick], files: Sequence[str], sizes_wh: Sequence[tuple[int, int]]) -> str:
    """The page.

    Args:
        picks: that were taken.
        files: of their pictures, within the folder of the page.
        sizes_wh: width and height of each in pixels.
    """
    main = Counter(pick.reasons[0] for pick in picks if pick.reasons)
    told = "".join(f"<li>{html_text(reason.text)}: {count}</li>" for reason, count in main.most_common())
    cells = "".join(map(_cell, picks, files, sizes_wh))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Frames to label</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main><h1>{len(picks)} frames to label</h1>"
        '<p class="warning"><strong>This page shows pictures of patients.</strong> Boxes are what the detector showed, '
        "not labels: look at every frame, also at those without a box.</p>"
        f'<p>By their strongest reason:</p><ul>{told}</ul><ol class="frames">{cells}</ol></main></body></html>\n'
    )


def _cell(pick: Pick, file: str, size_wh: tuple[int, int]) -> str:
    boxes = "".join(
        f'<rect x="{x1:g}" y="{y1:g}" width="{x2 - x1:g}" height="{y2 - y1:g}"/>'
        for x1, y1, x2, y2 in (label.box_xyxy for label in pick.picture.labels)
    )
    reasons = "".join(f"<li>{html_text(reason.text)} ({pick.signals[reason]:.2f})</li>" for reason in pick.reasons)
    name, address = html_text(f"{pick.picture.name}, {pick.time_s:.1f} s"), html_text(quote(file))
    return (
        f'<li><a href="{address}"><img src="{address}" alt="{name}" loading="lazy" width="{size_wh[0]}" '
        f'height="{size_wh[1]}"><svg viewBox="0 0 {size_wh[0]} {size_wh[1]}" preserveAspectRatio="none" '
        f'aria-hidden="true">{boxes}</svg></a><div><b>{name}</b><ul>{reasons}</ul></div></li>'
    )
