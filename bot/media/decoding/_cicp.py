"""ICC profiles of colours that a picture only names by number (CICP, ITU-T H.273), or by chromaticities.

HDR cameras write no profile that could be applied. One is made here, so that all colours go the same way. Its
curves roll off the light above SDR's white.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

Vector: TypeAlias = tuple[float, float, float]
Matrix: TypeAlias = tuple[Vector, Vector, Vector]
#: x and y of red, green, blue and white.
Chromaticities: TypeAlias = tuple[float, float, float, float, float, float, float, float]

_D65 = (0.3127, 0.3290)
_BT709_PRIMARIES = 1
_CHROMATICITIES: dict[int, Chromaticities] = {
    _BT709_PRIMARIES: (0.640, 0.330, 0.300, 0.600, 0.150, 0.060, *_D65),
    4: (0.670, 0.330, 0.210, 0.710, 0.140, 0.080, 0.310, 0.316),  # BT.470 System M
    5: (0.640, 0.330, 0.290, 0.600, 0.150, 0.060, *_D65),  # BT.470 System B, G
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),  # SMPTE 170M
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),  # SMPTE 240M
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65),  # BT.2020
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),  # DCI-P3
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65),  # Display P3
    22: (0.630, 0.340, 0.295, 0.605, 0.155, 0.077, *_D65),  # EBU 3213
}
_PQ, _HLG = 16, 18
_SRGB_TRANSFER = 13
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0, 17: 2.6}
#: BT.709's camera curve and its kin: browsers and phones show them by sRGB's curve.
_SRGB_CURVES = (1, 2, 6, 7, 11, 12, 13, 14, 15)

#: ITU-R BT.2408: where HDR pictures put the white of SDR.
_WHITE_NITS = 203.0
_HLG_PEAK_NITS, _HLG_SYSTEM_GAMMA = 1000.0, 1.2
#: Up to here light stays as it is; what is brighter shares the rest. So faces keep their colours.
_SHOULDER_START = 0.9

_CURVE_POINTS = 256  # one for each value of a channel
_D50: Vector = (0.9642, 1.0, 0.8249)
_BRADFORD: Matrix = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
_BRADFORD_INVERSE: Matrix = (
    (0.9869929, -0.1470543, 0.1599627),
    (0.4323053, 0.5183603, 0.0492912),
    (-0.0085287, 0.0400428, 0.9684867),
)


@dataclass(frozen=True, slots=True)
class Cicp:
    """A colour space by number; `is_full_range` is False where black is 16 and white 235."""

    primaries: int
    transfer: int
    is_full_range: bool = True

    @property
    def is_hdr(self) -> bool:
        """Return whether its values go far beyond SDR's white."""
        return self.transfer in (_PQ, _HLG)

    def without_hdr(self) -> Cicp:
        """Return the same primaries with the curve of sRGB."""
        return Cicp(self.primaries, _SRGB_TRANSFER)


@lru_cache(maxsize=4)
def tone_map_table(cicp: Cicp) -> list[int]:
    """Return the 8-bit value, by the curve of sRGB, of each 16-bit value of an HDR colour space."""
    to_light = _transfer_function(cicp.transfer) or _srgb_to_light
    # Neighbours of 16 bits differ by less than 8 bits can tell: each sixteenth is computed.
    values = [round(255 * _light_to_srgb(to_light(number / 4095))) for number in range(4096)]
    return [value for value in values for _ in range(16)]


@lru_cache(maxsize=16)
def cicp_profile(cicp: Cicp) -> bytes | None:
    """Return the ICC profile of a colour space; None where that is sRGB or unknown."""
    chromaticities = _CHROMATICITIES.get(cicp.primaries, _CHROMATICITIES[_BT709_PRIMARIES])
    is_srgb = chromaticities == _CHROMATICITIES[_BT709_PRIMARIES] and cicp.transfer in _SRGB_CURVES
    to_light = _transfer_function(cicp.transfer)
    if to_light is None or (is_srgb and cicp.is_full_range):
        return None
    if cicp.is_full_range:
        return rgb_profile(chromaticities, to_light)
    return rgb_profile(chromaticities, lambda value: to_light(min(1.0, max(0.0, (255 * value - 16) / 219))))


def gamma_profile(chromaticities: Chromaticities, gamma: float) -> bytes:
    """Return the ICC profile of primaries with a gamma. Raise ArithmeticError when these are no colours."""
    return rgb_profile(chromaticities, lambda value: value**gamma)


def rgb_profile(chromaticities: Chromaticities, to_light: Callable[[float], float]) -> bytes:
    """Return a matrix and curve profile (ICC version 2)."""
    columns = _primaries_under_d50(chromaticities)
    points = [round(65535 * to_light(number / (_CURVE_POINTS - 1))) for number in range(_CURVE_POINTS)]
    curve = b"curv\0\0\0\0" + struct.pack(f">I{_CURVE_POINTS}H", _CURVE_POINTS, *points)
    tags = [(b"wtpt", _xyz_tag(_D50))]
    tags += [
        (name, _xyz_tag(column)) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)
    ]
    tags += [(name, curve) for name in (b"rTRC", b"gTRC", b"bTRC")]
    offset = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags:
        table += struct.pack(">4sII", name, offset + len(body), len(data))
        body += data
    header = struct.pack(
        ">I4xI4s4s4s12x4s", offset + len(body), 0x02100000, b"mntr", b"RGB ", b"XYZ ", b"acsp"
    )
    return header.ljust(68, b"\0") + _xyz_tag(_D50)[8:].ljust(60, b"\0") + table + body


def _xyz_tag(color: Vector) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(65536 * value) for value in color))


def _transfer_function(transfer: int) -> Callable[[float], float] | None:
    """Return what turns a value into light, both from 0 to 1."""
    if transfer in _SRGB_CURVES:
        return _srgb_to_light
    if transfer == _PQ:
        return lambda value: _roll_off(_pq_to_nits(value) / _WHITE_NITS)
    if transfer == _HLG:
        return lambda value: _roll_off(_hlg_to_nits(value) / _WHITE_NITS)
    gamma = _GAMMAS.get(transfer)
    return None if gamma is None else lambda value: value**gamma


def _srgb_to_light(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else math.pow((value + 0.055) / 1.055, 2.4)


def _light_to_srgb(light: float) -> float:
    return 12.92 * light if light <= 0.0031308 else 1.055 * math.pow(light, 1 / 2.4) - 0.055


def _pq_to_nits(value: float) -> float:
    # ITU-R BT.2100, the inverse of the perceptual quantizer.
    root = math.pow(value, 1 / 78.84375)
    return 10000.0 * math.pow(max(0.0, root - 0.8359375) / (18.8515625 - 18.6875 * root), 1 / 0.1593017578125)


def _hlg_to_nits(value: float) -> float:
    # ITU-R BT.2100; its system gamma is meant for the luminance, which one channel does not know.
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = value**2 / 3 if value <= 0.5 else (math.exp((value - c) / a) + b) / 12
    return _HLG_PEAK_NITS * math.pow(scene, _HLG_SYSTEM_GAMMA)


def _roll_off(light: float) -> float:
    """Return light from 0 on, where 1 is SDR's white, in the range of SDR."""
    if light <= _SHOULDER_START:
        return light
    rest = 1.0 - _SHOULDER_START
    excess = (light - _SHOULDER_START) / rest
    return _SHOULDER_START + rest * excess / (1.0 + excess)


def _primaries_under_d50(chromaticities: Chromaticities) -> tuple[Vector, ...]:
    """Return the XYZ of red, green and blue as ICC wants them: under D50, which their sum is."""
    red, green, blue, white = (_to_xyz(*chromaticities[start : start + 2]) for start in range(0, 8, 2))
    # How much of each makes white, by Cramer's rule.
    volume = _dot(red, _cross(green, blue))
    shares = (
        _dot(white, _cross(green, blue)) / volume,
        _dot(red, _cross(white, blue)) / volume,
        _dot(red, _cross(green, white)) / volume,
    )
    gains = [new / old for new, old in zip(_apply(_BRADFORD, _D50), _apply(_BRADFORD, white), strict=True)]
    columns = []
    for color, share in zip((red, green, blue), shares, strict=True):
        x, y, z = (share * gain * value for gain, value in zip(gains, _apply(_BRADFORD, color), strict=True))
        columns.append(_apply(_BRADFORD_INVERSE, (x, y, z)))
    return tuple(columns)


def _to_xyz(x: float, y: float) -> Vector:
    return x / y, 1.0, (1.0 - x - y) / y


def _apply(matrix: Matrix, vector: Vector) -> Vector:
    return _dot(matrix[0], vector), _dot(matrix[1], vector), _dot(matrix[2], vector)


def _dot(one: Vector, other: Vector) -> float:
    return one[0] * other[0] + one[1] * other[1] + one[2] * other[2]


def _cross(one: Vector, other: Vector) -> Vector:
    return (
        one[1] * other[2] - one[2] * other[1],
        one[2] * other[0] - one[0] * other[2],
        one[0] * other[1] - one[1] * other[0],
    )
