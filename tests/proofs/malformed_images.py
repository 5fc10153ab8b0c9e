"""Pictures that are wrong: drawn ones of every kind we take, headers that lie, and seeded damage."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image, ImageCms, ImageDraw

from tests.support.heif_files import BT2020_PQ, DISPLAY_P3, P3_PATCHES, PQ_PATCHES, heif_file

HEIC = Path(__file__).parents[1] / "data" / "drawn_face.heic"
PNG_HEAD = b"\x89PNG\r\n\x1a\n"
#: Lengths, sizes and counts at the edges of what a reader may have thought of.
EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

Named = tuple[str, bytes]


def drawn(width_px: int = 300, height_px: int = 280, mode: str = "RGB") -> Image.Image:
    """A picture with edges and shades."""
    image = Image.linear_gradient("L").resize((width_px, height_px)).convert("RGB")
    pencil = ImageDraw.Draw(image)
    pencil.ellipse((width_px // 5, height_px // 5, width_px * 4 // 5, height_px * 4 // 5), fill="brown")
    pencil.line((0, 0, width_px, height_px), fill="blue", width=9)
    return image if mode == "RGB" else image.convert(mode)


def as_file(image: Image.Image, kind: str, **options: object) -> bytes:
    """Encode a picture."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def seeds() -> list[Named]:
    """Small sound pictures of every kind and option we take, to be damaged."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    frames = {"save_all": True, "append_images": [drawn(mode="RGB")] * 2}
    told = [
        ("jpeg", drawn(), "JPEG", {"exif": exif, "icc_profile": profile}),
        ("jpeg progressive", drawn(), "JPEG", {"progressive": True, "quality": 60}),
        ("jpeg restarts", drawn(), "JPEG", {"restart_marker_blocks": 4, "subsampling": 0}),
        ("jpeg cmyk", drawn(mode="CMYK"), "JPEG", {}),
        ("jpeg grey", drawn(mode="L"), "JPEG", {"comment": b"words"}),
        ("mpo", drawn(), "MPO", frames),
        ("png", drawn(), "PNG", {"exif": exif, "icc_profile": profile}),
        ("png palette", drawn().quantize(16), "PNG", {"transparency": 3}),
        ("png alpha", drawn(mode="RGBA"), "PNG", {}),
        ("png 16 bit", drawn(mode="L").convert("I;16"), "PNG", {}),
        ("png one bit", drawn(mode="1"), "PNG", {}),
        ("apng", drawn(), "PNG", frames),
        ("webp", drawn(), "WEBP", {"exif": exif, "icc_profile": profile}),
        ("webp lossless", drawn(mode="RGBA"), "WEBP", {"lossless": True}),
        ("webp animated", drawn(), "WEBP", frames),
        ("avif", drawn(), "AVIF", {"exif": exif, "icc_profile": profile}),
        ("avif alpha", drawn(mode="RGBA"), "AVIF", {"subsampling": "4:4:4"}),
        ("avif animated", drawn(), "AVIF", frames),
    ]
    files = [(name, as_file(image, kind, **options)) for name, image, kind, options in told]
    files += [
        ("heic", HEIC.read_bytes()),
        ("heic of two pictures", heif_file(P3_PATCHES, DISPLAY_P3, grid=(2, 2), pictures=2)),
        ("heic for hdr", heif_file(PQ_PATCHES, BT2020_PQ)),
        ("png of a colour by number", png_with(chunk(b"cICP", bytes((9, 16, 0, 1))))),
        (
            "png of chromaticities",
            png_with(chunk(b"gAMA", b"\0\0\xb1\x8f") + chunk(b"cHRM", bytes(range(32)))),
        ),
    ]
    return files


# --- made to be wrong ------------------------------------------------------------------------------------


def chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG chunk with its right checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(width_px: int, height_px: int, depth: int, colour: int, *, interlace: int = 0) -> bytes:
    """A PNG of nothing but zeros, whole, however large: a bomb of a few kilobytes, in the slowest filter."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = b"\4" + b"\0" * ((width_px * channels * depth + 7) // 8)
    press = zlib.compressobj(9)
    pixels = b"".join(press.compress(row * 64) for _ in range(height_px // 64 + 1)) + press.flush()
    header = struct.pack(">IIBBBBB", width_px, height_px, depth, colour, 0, 0, interlace)
    palette = chunk(b"PLTE", bytes(range(48))) if colour == 3 else b""
    return PNG_HEAD + chunk(b"IHDR", header) + palette + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def made_wrong() -> Iterator[Named]:
    """Files that are wrong in ways that chance seldom finds."""
    yield "nothing", b""
    yield "one byte", b"\xff"
    yield "zeros", bytes(100_000)
    yield "text", b"Dear diary, " * 1000
    yield "a page", b"<!doctype html><html><body><img src=x onerror=alert(1)></body></html>"
    yield "svg bomb", b'<svg xmlns="http://www.w3.org/2000/svg"><!DOCTYPE l [<!ENTITY a "aaaaaaaa">]></svg>'
    yield "zip", b"PK\x03\x04" + bytes(64)
    yield "elf", b"\x7fELF" + bytes(200)
    yield "pickle", b"\x80\x04\x95\x1a\0\0\0\0\0\0\0\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R."
    for kind in ("GIF", "BMP", "TIFF", "ICO", "PPM", "TGA", "PCX", "DDS", "SGI", "PDF", "JPEG2000"):
        yield f"another kind: {kind}", as_file(drawn(), kind)
    yield "eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 300 300\n(/bin/true) system\n"
    yield from _lying_headers()
    yield from _lying_metadata()
    yield from _polyglots()


def _lying_headers() -> Iterator[Named]:
    for width_px in EDGES:
        for height_px in (1, 300, 0x7FFFFFFF, 0xFFFFFFFF):
            header = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
            body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
            yield f"png that claims {width_px}x{height_px}", PNG_HEAD + body
    jpeg = as_file(drawn(), "JPEG")
    frame = jpeg.index(b"\xff\xc0")
    for side_px in (0, 1, 0x7FFF, 0xFFFF):
        claimed = jpeg[: frame + 5] + struct.pack(">HH", side_px, side_px) + jpeg[frame + 9 :]
        yield f"jpeg that claims {side_px}x{side_px}", claimed
    for depth, colour in ((16, 2), (3, 0), (16, 3), (8, 7), (255, 255)):
        header = struct.pack(">IIBBBBB", 300, 300, depth, colour, 0, 0, 0)
        yield f"png of depth {depth}, colour {colour}", PNG_HEAD + chunk(b"IHDR", header) + bytes(99)


def png_with(chunks: bytes, *, is_behind: bool = False) -> bytes:
    """Put chunks before the data of a PNG, or behind it."""
    png = as_file(drawn(), "PNG")
    at = len(png) - 12 if is_behind else png.index(b"IDAT") - 4
    return png[:at] + chunks + png[at:]


def _lying_metadata() -> Iterator[Named]:
    bomb = zlib.compress(bytes(50_000_000), 9)
    for kind, body in (
        (b"zTXt", b"k\0\0" + bomb),
        (b"iTXt", b"k\0\1\0\0\0" + bomb),
        (b"iCCP", b"p\0\0" + bomb),
        (b"tRNS", bytes(100_000)),
        (b"PLTE", bytes(7)),
        (b"acTL", struct.pack(">II", 0xFFFFFFFF, 0)),
        (b"eXIf", b"MM\0*\xff\xff\xff\xff"),
        (b"gAMA", b""),
        (b"cICP", b"\xff" * 4),
        (b"cHRM", b"\xff" * 32),
    ):
        for is_behind in (False, True):
            place = "behind its data" if is_behind else "before its data"
            yield (
                f"png with a false {kind.decode()} {place}",
                png_with(chunk(kind, body) * 3, is_behind=is_behind),
            )
    yield "png with a thousand bombs", png_with(chunk(b"zTXt", b"k\0\0" + bomb[:19_000]) * 1000)
    yield "png of a million chunks", png_with(chunk(b"prVt", b"") * 1_000_000)
    yield "jpeg of five million segments", b"\xff\xd8" + b"\xff\xfe\0\2" * 5_000_000
    for name, data in (("jpeg", as_file(drawn(), "JPEG")), ("png", as_file(drawn(), "PNG"))):
        for share in (0.1, 0.5, 0.9, 0.97, 0.999):
            yield f"{name} of which {share} is there", data[: int(share * len(data))]
    # A directory of EXIF that is its own successor, and one that lies behind the end.
    for next_at in (8, 0xFFFFFFF0):
        loop = b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x0112, 3, 1, 6, next_at)
        for kind in ("JPEG", "PNG", "WEBP"):
            yield f"{kind} with exif that leads to {next_at}", as_file(drawn(), kind, exif=b"Exif\0\0" + loop)
    for profile in (b"", b"x" * 127, b"\xff" * 5000, bytes(128) + b"\xff\xff\xff\xff" * 9):
        yield f"a profile of {len(profile)} bytes", as_file(drawn(), "JPEG", icc_profile=profile)


def _polyglots() -> Iterator[Named]:
    jpeg, png, webp, heic = as_file(drawn(), "JPEG"), as_file(drawn(), "PNG"), as_file(drawn(), "WEBP"), None
    heic = HEIC.read_bytes()
    yield "a jpeg with a zip behind it", jpeg + b"PK\x03\x04" + bytes(64)
    yield "a jpeg inside a png's end", png + jpeg
    yield "a png's head on a jpeg", png[:33] + jpeg
    yield "a webp's head on a heic", webp[:30] + heic
    yield "a heic's head on a webp", heic[:40] + webp
    yield "a thousand jpegs", jpeg[:600] * 1000
    yield "a jpeg of comments", jpeg[:2] + (b"\xff\xfe\xff\xff" + bytes(0xFFFD)) * 200 + jpeg[2:]
    yield "a jpeg of scans", many_scans(2000, 200)


def many_scans(side_px: int, count: int) -> bytes:
    """A progressive JPEG that repeats its last scan: each costs a pass over the whole picture."""
    jpeg = as_file(drawn(side_px, side_px), "JPEG", progressive=True)
    last = jpeg.rindex(b"\xff\xda")
    return jpeg[:last] + jpeg[last:-2] * count + jpeg[-2:]


def large() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The largest of each kind that the gate lets through, which cost the most; made one at a time."""
    for name, depth, colour in (
        ("rgb", 8, 2),
        ("rgba", 8, 6),
        ("grey", 8, 0),
        ("grey 16 bit", 16, 0),
        ("rgb 16 bit", 16, 2),
        ("rgba 16 bit", 16, 6),
        ("palette", 8, 3),
        ("one bit", 1, 0),
    ):
        yield f"png of 25 million pixels, {name}", lambda d=depth, c=colour: png_of(8192, 3072, d, c)
    yield "png of 25 million pixels, interlaced", lambda: png_of(8192, 3072, 8, 6, interlace=1)
    yield "jpeg of 200 million pixels", lambda: as_file(drawn(16384, 12288), "JPEG", quality=30)
    for mode in ("RGB", "CMYK"):
        options = {"quality": 30, "progressive": True}
        yield (
            f"jpeg, progressive, of 50 million pixels, {mode}",
            lambda o=options, m=mode: as_file(drawn(8192, 6144, m), "JPEG", **o),
        )
    yield "webp of 25 million pixels", lambda: as_file(drawn(8192, 3072), "WEBP", quality=10, method=0)
    yield (
        "webp of 25 million pixels, lossless",
        lambda: as_file(drawn(8192, 3072, "RGBA"), "WEBP", lossless=True, quality=0, method=0),
    )
    yield "heic of 50 million pixels", lambda: heif_file(P3_PATCHES, DISPLAY_P3, grid=(21, 24))
    yield (
        "heic of 50 million pixels, hdr",
        lambda: heif_file(PQ_PATCHES, BT2020_PQ, grid=(21, 24), pictures=2),
    )
    for mode, subsampling in (("RGB", "4:2:0"), ("RGBA", "4:4:4")):
        yield (
            f"avif of 25 million pixels, {mode}",
            lambda m=mode, s=subsampling: as_file(
                drawn(8192, 3072, m), "AVIF", quality=30, speed=10, subsampling=s
            ),
        )
    yield "jpeg of 50 million pixels, a hundred scans", lambda: many_scans(7070, 100)
    yield "jpeg of 50 million pixels, as many scans as may be", lambda: many_scans(7070, 9)


# --- damage ----------------------------------------------------------------------------------------------


def damaged(data: bytes, others: list[Named], chance: random.Random) -> bytes:
    """A file with one to four kinds of damage."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        data = chance.choice(_DAMAGES)(data, others, chance)
    return _with_right_checksums(data) if chance.random() < 0.5 else data


def _flip(data: bytes, _others: list[Named], chance: random.Random) -> bytes:
    hurt = bytearray(data)
    for _ in range(min(len(hurt), chance.choice((1, 1, 2, 8, 64)))):
        # Half of it near the front, where the headers are.
        at = chance.randrange(min(len(hurt), 600) if chance.random() < 0.5 else len(hurt))
        hurt[at] = chance.choice((0, 0xFF, 0x80, hurt[at] ^ 1 << chance.randrange(8), chance.randrange(256)))
    return bytes(hurt)


def _edge(data: bytes, _others: list[Named], chance: random.Random) -> bytes:
    value = chance.choice(EDGES)
    number = value.to_bytes(4, chance.choice(("big", "little")))[: chance.choice((2, 4))]
    at = chance.randrange(max(1, min(len(data), 2000)))
    return data[:at] + number + data[at + len(number) :]


def _cut(data: bytes, _others: list[Named], chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _without(data: bytes, _others: list[Named], chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + data[at + chance.randrange(1, 200) :]


def _again(data: bytes, _others: list[Named], chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    piece = data[at : at + chance.randrange(1, 2000)]
    return data[:at] + piece * chance.choice((2, 3, 50)) + data[at:]


def _spliced(data: bytes, others: list[Named], chance: random.Random) -> bytes:
    _, other = chance.choice(others)
    return data[: chance.randrange(len(data) + 1)] + other[chance.randrange(len(other)) :]


_DAMAGES = (_flip, _flip, _flip, _edge, _edge, _cut, _without, _again, _spliced)


def _with_right_checksums(data: bytes) -> bytes:
    """Put right what a PNG says of itself, so that the damage comes further than the first check."""
    if not data.startswith(PNG_HEAD):
        return data
    chunks, at = [PNG_HEAD], len(PNG_HEAD)
    while at + 12 <= len(data):
        length = min(int.from_bytes(data[at : at + 4], "big"), len(data) - at - 12)
        chunks.append(chunk(data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return b"".join(chunks)
