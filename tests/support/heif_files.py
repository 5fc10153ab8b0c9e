"""Small HEIC files: boxes around drawn patches, which were encoded once (pi-heif only decodes)."""

from __future__ import annotations

import struct
from base64 import b64decode
from dataclasses import dataclass

Cicp = tuple[int, int, int, int]  # primaries, transfer, matrix, whether its range is full

#: What the patches of a tile are in sRGB, from left to right and from top to bottom.
PATCHES = ((230, 60, 50), (60, 190, 80), (50, 80, 210), (235, 190, 160), (128, 128, 128), (250, 220, 60))
TILE_SIZE = (384, 256)
DISPLAY_P3, BT2020_PQ = (12, 13, 6, 1), (9, 16, 9, 1)


@dataclass(frozen=True, slots=True)
class HevcTile:
    """A coded picture of the patches: the body of its `hvcC` box, and its data."""

    configuration: bytes
    data: bytes


def heif_file(
    tile: HevcTile, cicp: Cicp | None, *, grid: tuple[int, int] = (1, 1), pictures: int = 1, primary: int = 0
) -> bytes:
    """Return a HEIC of so many pictures, each a grid of so many columns and rows of the tile."""
    columns, rows = grid
    size = struct.pack(">II", columns * TILE_SIZE[0], rows * TILE_SIZE[1])
    # Each tile is an item of its own, but all are the same bytes.
    tile_numbers = range(1, columns * rows + 1)
    grid_numbers = range(len(tile_numbers) + 1, len(tile_numbers) + pictures + 1)
    properties = [_box(b"hvcC", tile.configuration), _box(b"ispe", bytes(4) + struct.pack(">II", *TILE_SIZE))]
    properties += [_box(b"ispe", bytes(4) + size), _box(b"pixi", bytes(4) + b"\3\x08\x08\x08")]
    tile_links, grid_links = b"\2\x81\2", b"\2\3\4"
    if cicp is not None:
        primaries, transfer, matrix, full = cicp
        properties.append(
            _box(b"colr", b"nclx" + struct.pack(">HHHB", primaries, transfer, matrix, full << 7))
        )
        tile_links, grid_links = b"\3\x81\2\5", b"\3\3\4\5"
    links = b"".join(struct.pack(">H", number) + tile_links for number in tile_numbers)
    links += b"".join(struct.pack(">H", number) + grid_links for number in grid_numbers)
    count = len(tile_numbers) + pictures
    items = b"".join(_item(number, b"hvc1", is_hidden=True) for number in tile_numbers)
    items += b"".join(_item(number, b"grid") for number in grid_numbers)
    references = b"".join(
        _box(b"dimg", struct.pack(f">HH{len(tile_numbers)}H", number, len(tile_numbers), *tile_numbers))
        for number in grid_numbers
    )
    layout = bytes((0, 1, rows - 1, columns - 1)) + size

    def meta(data_offset: int) -> bytes:
        grid_offset = data_offset + len(tile.data)
        places = [(number, data_offset, len(tile.data)) for number in tile_numbers]
        places += [(number, grid_offset, len(layout)) for number in grid_numbers]
        extents = b"".join(struct.pack(">HHHII", number, 0, 1, start, size) for number, start, size in places)
        body = _box(b"hdlr", bytes(8) + b"pict" + bytes(13))
        body += _box(b"pitm", bytes(4) + struct.pack(">H", grid_numbers[primary]))
        body += _box(b"iloc", bytes(4) + b"\x44\0" + struct.pack(">H", count) + extents)
        body += _box(b"iinf", bytes(4) + struct.pack(">H", count) + items)
        body += _box(b"iref", bytes(4) + references)
        linked = _box(b"ipma", bytes(4) + struct.pack(">I", count) + links)
        return _box(b"meta", bytes(4) + body + _box(b"iprp", _box(b"ipco", b"".join(properties)) + linked))

    head = _box(b"ftyp", b"heic\0\0\0\0mif1heic")
    data_offset = len(head) + len(meta(0)) + 8
    return head + meta(data_offset) + _box(b"mdat", tile.data + layout)


def _item(number: int, kind: bytes, *, is_hidden: bool = False) -> bytes:
    return _box(b"infe", bytes((2, 0, 0, is_hidden)) + struct.pack(">HH", number, 0) + kind + b"\0")


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body) + 8) + kind + body


P3_PATCHES = HevcTile(
    b64decode(
        "AQNwAAAAkAAAAAAAPPAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAPLoCQGEAAQAsQgEBA3AAAAMAkAAAAwAA"
        "AwA8oAwIBAWW6kkprm4YGgwIAAADAMgAAAMACEBiAAEAB0QBwXKwYkA="
    ),
    b64decode(
        "AAADhigBrwnIJIjGt8AhOXVf//Zy///xMjyH6Vsx0HMPLuNNZ4fx4bj+O73+4//+5UYVnW//M4CoQLx24Wf//kCogP4Wnu/K"
        "iAf8//IABSAAEFCi9zMXdhHpRnp+UPKtPvCFKADfQ8gZWPEsrOfm9i26LfgYhZBFpkfmrxrCtfvk3wH2YvF1SEOSWBI5oNZM"
        "8OdGAa1T0npBEih2jb6H5Y6s7x4REAhPFf5K54hH2WfTT82aKpCDsAhOIN7lvrCAcMCkyoHX94dJb/N1huAD0QiZR+mYyfD8"
        "Z/2gRcr/kT+NZhsNgZyYFmvy/L7cgNVtsUGQ+0EfBmxrfC9c/7tJdzy2n4uWgdOeROi9iLlR7ZxdDf/+e4HQAMqAhACWk+V0"
        "T+E7dE87fP/lyWE5cCaGi5tfM8ro7YE7MQ3WDrDiU/xGibIN6FyADzniYCq4/FuXj8UE4HKIaEZDBFoKdf/SJpGhHVIvZiYT"
        "1E87UImPWsaXZ39dILUlvdiJpDMeGanZTE5Kd8tfcZ29/o7kvnr1+zySbxe8uBtTENHgwj3tr48fr61lYb2JOZudIhZJuJsK"
        "sr0vE1/TfRf0p4OK9sGwlgN0Bg1E/PK/QuTx7cqmO16ldtbJq2GG82Z2vYFUZy8yXZHOYBixk3++MD/bGwFfpuGZ7SPTDHXI"
        "xFnPSyUKvS8TX9N9F/Sh2nDcnse6Z1gIovUz4h1qvS8TX9N9F/SnPjRw3q8jTojXsPHD6l0Qlimp65eb2XXmbAnwH2+XQ3dR"
        "zfSZVSh39t0j7Kwq4/irwkRWJjj///9uM/Hz1j9/Rriz//el8gv/a9/Yndfc1PzJ+BaZRaNZ0j+WCzv/JpWn+rRgjin2PGXI"
        "8xaTABnfZ/U3V7OARFtzq8xjp138xx4QCkaosQILn+LzXAm8L5G/qPGn9bNmGtl5xs6spM0yFxLJnVL8MF+5ivabTFTMV7+M"
        "DfaBNSfZTLm+gEKNakteEW7Yjsq7U/U5+59qenbqF3Mu+4LaloPCW/vn252vMt8rnpZ726yFdf//vYDbHRkIE4ix/ezcaJm8"
        "ZhAERjGGaewFtWg08Xe9h8ejbbhgso6b8y1JlAMNxzgmbs8oAY7/r296j2geSD+ho5Tf67UCuDpvuHsoZI+QwroUxNyr68kQ"
        "04ocG9r1PFF9r88I2R5sQBvorJtzuwJlemPCpnVYF/8Lgsjxz7UvewFb"
    ),
)
PQ_PATCHES = HevcTile(
    b64decode(
        "AQQIAAAAnbgAAAAAPPAA/P36+gAADwNgAAEAF0ABDAH//wQIAAADAJ24AAADAAA8ugJAYQABACpCAQEECAAAAwCduAAAAwAA"
        "PKAMCAQE2W6kkprm4SIBIIAAAAyAAAADAIRiAAEAB0QBwXKwYkA="
    ),
    b64decode(
        "AAABLSgBrwYyHh3nMFr8/TfzyH///SPPofo14qvEJj7vJ1avNuQdkr9OLT/Vz//g6m6xoceGDd6nYLTXpzP+GON4+0UyttmW"
        "bsxfMtPEAAGxGW4FnOtqB+6vZQ6jQ2R8RznmHSAAP2BpXffxM8JSgNoQLxtu0N9gGoVxGYDkZwUz5+6hxPra0Wlm72PDBtDk"
        "QzPAUEfOhmigIfEc7NizrH+gB3FPTSh4ME+6jMAAQ0AE3mUb/Kt7vvRiP/59lWODGRcDy4/7q+yrp432+/4NXNOXz9XnpEog"
        "Vj+EXxwWf/bC5Yvj4xNLd5qQAAAOOV1QH5vqpCiXBctwRPSRiZddG+60Vkk9/yFoVlblBprPvhc4HPFBO45+AW0bKf3N5oLO"
        "yYYPtzERgIAgDmN9QLYAB8w="
    ),
)
