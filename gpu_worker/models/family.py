"""Which kinds of base model there are."""

from __future__ import annotations

from typing import Literal

#: Which default settings suit a base model: SD 1.5 and its kin, or one of the two that are shipped.
ModelFamily = Literal["sd15", "drawn", "tiny"]
