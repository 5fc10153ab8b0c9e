"""A conversation on Telegram as a page of HTML, drawn from what the emulator was sent."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass, field

_STYLE = """
* { box-sizing: border-box; margin: 0 }
body { width: 440px; font: 14.5px/1.4 "Noto Sans", "DejaVu Sans", sans-serif; color: #10202c;
    background: #c9dbe6 }
header { display: flex; gap: 10px; align-items: center; padding: 9px 14px; background: #fff; }
header b { font-size: 15px } header span { display: block; font-size: 12px; color: #7b8a96 }
header i { width: 36px; height: 36px; border-radius: 50%; background: #3d7fc4; color: #fff;
    font: 600 16px/36px "Noto Sans", "DejaVu Sans", sans-serif; text-align: center }
main { padding: 12px; display: flex; flex-direction: column; gap: 9px }
.bot, .you { max-width: 352px; display: flex; flex-direction: column; gap: 4px }
.you { align-self: flex-end }
.bubble { background: #fff; border-radius: 13px; overflow: hidden; box-shadow: 0 1px 1px #0002 }
.you .bubble { background: #e2f7cd }
.words { padding: 7px 11px; white-space: pre-wrap; overflow-wrap: anywhere }
.photos { display: flex; flex-wrap: wrap; gap: 2px }
.photos img { flex: 1 1 30%; min-width: 0; object-fit: cover; height: 116px }
.photos img:only-child { height: auto; width: 100%; flex-basis: 100% }
.row { display: flex; gap: 4px }
.row span { flex: 1; padding: 7px 4px; text-align: center; font-size: 13px; font-weight: 500; color: #fff;
    background: #4f7d9abf; border-radius: 9px; white-space: nowrap; overflow: hidden;
    text-overflow: ellipsis }
"""


@dataclass(frozen=True, slots=True)
class Bubble:
    """One message: who wrote it, its words, its pictures and the rows of its buttons."""

    is_bot: bool
    text: str = ""
    photos: Sequence[bytes] = ()
    rows: Sequence[Sequence[str]] = field(default=())


def render_page(bubbles: Sequence[Bubble]) -> str:
    """Return the page of a conversation."""
    header = "<header><i>L</i><div><b>LoraCode</b><span>bot</span></div></header>"
    body = "".join(_render_bubble(bubble) for bubble in bubbles)
    return f"<!doctype html><meta charset=utf-8><style>{_STYLE}</style>{header}<main>{body}</main>"


def _render_bubble(bubble: Bubble) -> str:
    photos = "".join(f'<img src="data:image/png;base64,{_encode_base64(photo)}">' for photo in bubble.photos)
    parts = [
        f'<div class="photos">{photos}</div>' if photos else "",
        f'<div class="words">{html.escape(bubble.text)}</div>' if bubble.text else "",
    ]
    rows = "".join(f'<div class="row">{_render_buttons(row)}</div>' for row in bubble.rows)
    css_class = "bot" if bubble.is_bot else "you"
    return f'<div class="{css_class}"><div class="bubble">{"".join(parts)}</div>{rows}</div>'


def _render_buttons(labels: Sequence[str]) -> str:
    return "".join(f"<span>{html.escape(label)}</span>" for label in labels)


def _encode_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
