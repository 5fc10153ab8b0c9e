"""Whatever tells a picture's colours, the gate keeps them as they look."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable

import pytest
from PIL import Image, ImageCms

from bot.media.decoding import decode_photo
from bot.media.decoding._cicp import gamma_profile
from tests.support.heif_files import BT2020_PQ, DISPLAY_P3, P3_PATCHES, PATCHES, PQ_PATCHES, heif_file
from tests.support.photo_files import as_file, kept, near, png_chunk, png_with

Color = tuple[float, float, float]
Matrix = tuple[Color, Color, Color]

#: Linear sRGB in linear Display P3 and BT.2020: ITU-R BT.2087, CSS Color 4.
SRGB_IN_P3: Matrix = (
    (0.8224621, 0.1775380, 0.0),
    (0.0331941, 0.9668058, 0.0),
    (0.0170827, 0.0723974, 0.9105199),
)
SRGB_IN_BT2020: Matrix = (
    (0.6274039, 0.3292830, 0.0433131),
    (0.0690973, 0.9195404, 0.0113623),
    (0.0163914, 0.0880133, 0.8955953),
)
SAME: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
SRGB, BT709_CURVE, GAMMA_22, LINEAR, PQ, HLG = 13, 1, 4, 8, 16, 18


def to_light(value: float) -> float:
    value /= 255
    return value / 12.92 if value <= 0.04045 else math.pow((value + 0.055) / 1.055, 2.4)


def srgb_curve(light: float) -> float:
    return 12.92 * light if light <= 0.0031308 else 1.055 * math.pow(light, 1 / 2.4) - 0.055


def pq_curve(light: float) -> float:
    power = (203 * light / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg_curve(light: float) -> float:
    scene = math.pow(0.203 * light, 1 / 1.2)
    return (
        math.sqrt(3 * scene)
        if scene <= 1 / 12
        else 0.17883277 * math.log(12 * scene - 0.28466892) + 0.55991073
    )


def patches(matrix: Matrix = SAME, curve: Callable[[float], float] = srgb_curve) -> Image.Image:
    """Draw the patches as they are in another colour space."""
    image = Image.new("RGB", (384, 256))
    for index, patch in enumerate(PATCHES):
        light = [to_light(value) for value in patch]
        mixed = [sum(share * each for share, each in zip(row, light, strict=True)) for row in matrix]
        left, top = 128 * (index % 3), 128 * (index // 3)
        image.paste(tuple(round(255 * curve(each)) for each in mixed), (left, top, left + 128, top + 128))
    return image


def kept_patches(data: bytes) -> list[object]:
    image = kept(decode_photo(data))
    return [image.getpixel((64 + 128 * (index % 3), 64 + 128 * (index // 3))) for index in range(6)]


def are_right(data: bytes, tolerance: int = 4) -> bool:
    return all(
        near(color, patch, tolerance) for color, patch in zip(kept_patches(data), PATCHES, strict=True)
    )


def test_a_heic_in_display_p3_keeps_its_colours() -> None:
    assert are_right(heif_file(P3_PATCHES, DISPLAY_P3))
    assert not are_right(heif_file(P3_PATCHES, None)), "then nothing tells what they are"


def test_a_heic_may_tell_its_colours_on_its_tiles_or_on_its_grid_alone() -> None:
    heic = heif_file(P3_PATCHES, DISPLAY_P3)
    on_tile, on_grid = b"\0\1\3\x81\2\5", b"\0\2\3\3\4\5"  # item, number of properties, properties
    for links in (on_tile, on_grid):
        assert links in heic
        assert are_right(heic.replace(links, links[:-1] + links[-2:-1]))


def test_a_heic_for_hdr_looks_as_it_does_without() -> None:
    assert are_right(heif_file(PQ_PATCHES, BT2020_PQ))
    grey = kept_patches(heif_file(PQ_PATCHES, BT2020_PQ))[4]
    assert near(grey, PATCHES[4], 3)


def test_a_large_heic_for_hdr_is_made_smaller_in_its_colours() -> None:
    image = kept(decode_photo(heif_file(PQ_PATCHES, BT2020_PQ, grid=(9, 9))))
    assert image.size == (1536, 1024)
    left = image.getpixel((1536 // 54, 1024 // 36))
    assert near(left, PATCHES[0], 4)


@pytest.mark.parametrize(
    ("cicp", "matrix", "curve"),
    [
        ((12, SRGB), SRGB_IN_P3, srgb_curve),
        ((9, SRGB), SRGB_IN_BT2020, srgb_curve),
        ((9, BT709_CURVE), SRGB_IN_BT2020, srgb_curve),  # shown by sRGB's curve, as browsers do
        ((1, SRGB), SAME, srgb_curve),
        ((2, 2), SAME, srgb_curve),
        ((12, GAMMA_22), SRGB_IN_P3, lambda light: light ** (1 / 2.2)),
        ((1, GAMMA_22), SAME, lambda light: light ** (1 / 2.2)),
        ((1, 99), SAME, srgb_curve),
        ((99, SRGB), SAME, srgb_curve),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "AVIF"])
def test_colours_that_are_named_by_number_are_applied(
    kind: str, cicp: tuple[int, int], matrix: Matrix, curve: Callable[[float], float]
) -> None:
    assert are_right(with_cicp(kind, cicp, patches(matrix, curve)))


@pytest.mark.parametrize(("transfer", "curve"), [(PQ, pq_curve), (HLG, hlg_curve)])
def test_light_of_hdr_up_to_white_looks_as_it_does_without(
    transfer: int, curve: Callable[[float], float]
) -> None:
    assert are_right(with_cicp("PNG", (9, transfer), patches(SRGB_IN_BT2020, curve)), tolerance=7)


@pytest.mark.parametrize(("transfer", "curve"), [(PQ, pq_curve), (HLG, hlg_curve)])
def test_light_above_white_is_told_apart_and_brighter(transfer: int, curve: Callable[[float], float]) -> None:
    levels = []
    for light in (0.5, 0.9, 1.0, 2.0, 4.0):
        image = Image.new("RGB", (300, 300), (round(255 * curve(light)),) * 3)
        levels.append(kept(decode_photo(with_cicp("PNG", (9, transfer), image))).getpixel((9, 9))[0])  # type: ignore[index]
    assert levels == sorted(set(levels))
    assert abs(levels[0] - 255 * srgb_curve(0.5)) <= 3
    assert levels[2] >= 240
    assert levels[-1] <= 255


def test_a_color_number_outranks_the_profile_in_a_png_alone() -> None:
    swapped = gamma_profile((0.30, 0.60, 0.64, 0.33, 0.15, 0.06, 0.3127, 0.3290), 2.2)
    png = as_file(patches(SRGB_IN_P3), "PNG", icc_profile=swapped)
    assert are_right(png[:33] + cicp_chunk((12, SRGB)) + png[33:])
    p3 = gamma_profile((0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290), 2.2)
    image = patches(SRGB_IN_P3, lambda light: light ** (1 / 2.2))
    assert are_right(as_file(image, "AVIF", quality=95, subsampling="4:4:4", icc_profile=p3))


def test_a_png_of_a_narrow_range_is_stretched() -> None:
    narrow = patches().point([round(16 + value * 219 / 255) for value in range(256)] * 3)
    assert are_right(png_with(png_chunk(b"cICP", bytes((1, SRGB, 0, 0))), narrow))


def test_a_png_is_shown_by_its_chromaticities_and_gamma_together() -> None:
    # Red and green change places.
    red, green, blue = patches().split()
    image = Image.merge("RGB", (green, red, blue))
    chromaticities = struct.pack(">8I", 31270, 32900, 30000, 60000, 64000, 33000, 15000, 6000)
    both = png_chunk(b"gAMA", struct.pack(">I", 45455)) + png_chunk(b"cHRM", chromaticities)
    assert are_right(png_with(both, image), tolerance=5)  # the patches are in sRGB's curve
    assert are_right(png_with(png_chunk(b"cHRM", chromaticities), patches()))
    assert are_right(png_with(both + png_chunk(b"sRGB", b"\0"), patches()))


@pytest.mark.parametrize("chromaticities", [[0] * 8, [1] * 8, [31270, 32900] * 4, [0xFFFFFFFF] * 8])
def test_chromaticities_of_no_colour_change_nothing(chromaticities: list[int]) -> None:
    chunks = png_chunk(b"gAMA", struct.pack(">I", 45455)) + png_chunk(
        b"cHRM", struct.pack(">8I", *chromaticities)
    )
    assert are_right(png_with(chunks, patches()))


def test_a_grey_picture_with_a_profile_for_colours_keeps_its_greys() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    grey = patches().convert("L")
    expected = kept_patches(as_file(grey, "PNG"))
    assert kept_patches(as_file(grey, "PNG", icc_profile=profile)) == expected
    linear = gamma_profile((0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290), 1.0)
    assert near(kept_patches(as_file(grey, "PNG", icc_profile=linear))[4], (188, 188, 188))


def test_a_png_with_a_large_profile_keeps_its_colours() -> None:
    profile = gamma_profile((0.30, 0.60, 0.64, 0.33, 0.15, 0.06, 0.3127, 0.3290), 2.2) + bytes(3_000_000)
    red, green, blue = patches().split()
    swapped = Image.merge("RGB", (green, red, blue))
    assert are_right(png_with(png_chunk(b"iCCP", b"p\0\0" + zlib.compress(profile)), swapped), tolerance=5)


def cicp_chunk(cicp: tuple[int, int]) -> bytes:
    return png_chunk(b"cICP", bytes((*cicp, 0, 1)))


def with_cicp(kind: str, cicp: tuple[int, int], image: Image.Image) -> bytes:
    if kind == "PNG":
        return png_with(cicp_chunk(cicp), image)
    avif = as_file(image, "AVIF", quality=100, subsampling="4:4:4")
    numbers = avif.index(b"colrnclx") + 8
    return avif[:numbers] + struct.pack(">HH", *cicp) + avif[numbers + 4 :]
