"""What phones, cameras, browsers and chats make of photos passes the gate: kinds, sizes and small damage."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import pytest
from PIL import Image, PngImagePlugin

from bot.core.photos import PhotoRefusal
from bot.media.decoding import decode_photo
from tests.support.heif_files import DISPLAY_P3, P3_PATCHES, PATCHES, heif_file
from tests.support.photo_files import as_file, kept, near, picture, png_chunk, png_with, refusal

RED, BLUE = (220, 30, 30), (20, 40, 200)
END_OF_IMAGE = b"\xff\xd9"


def is_whole(data: bytes, size_px: tuple[int, int] = (320, 400)) -> bool:
    """Return whether the gate keeps a picture with its corners as they were drawn."""
    image = kept(decode_photo(data))
    width_px, height_px = image.size
    first, last = image.getpixel((9, 9)), image.getpixel((width_px - 9, height_px - 9))
    return image.size == size_px and near(first, RED) and near(last, BLUE)


# --- HEIC and AVIF ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [(1, 1), (5, 7)])
@pytest.mark.parametrize("primary", [0, 1, 2])
def test_a_heic_of_several_pictures_gives_the_main_one(grid: tuple[int, int], primary: int) -> None:
    image = kept(decode_photo(heif_file(P3_PATCHES, DISPLAY_P3, grid=grid, pictures=3, primary=primary)))
    assert image.size == ((384, 256) if grid == (1, 1) else (1536, 1434))
    assert near(image.getpixel((9, 9)), PATCHES[0])


@pytest.mark.parametrize("brand", [b"avis", b"msf1", b"iso8"])
def test_an_animated_avif_gives_its_first_frame(brand: bytes) -> None:
    others = [Image.new("RGB", (320, 400), "green")] * 2
    avif = as_file(picture(), "AVIF", save_all=True, append_images=others, quality=90)
    assert is_whole(avif[:8] + brand + avif[12:])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_an_avif_of_each_mode_is_taken(mode: str, subsampling: str) -> None:
    image = kept(decode_photo(as_file(picture().convert(mode), "AVIF", quality=90, subsampling=subsampling)))
    expected = picture().convert(mode).convert("RGB").getpixel((9, 9))
    assert image.size == (320, 400)
    assert near(image.getpixel((9, 9)), expected)


@pytest.mark.parametrize("brand", [b"mif1", b"msf1", b"miaf", b"mif2", b"MA1B"])
def test_an_avif_is_known_by_any_of_its_brands(brand: bytes) -> None:
    avif = as_file(picture(), "AVIF", quality=90)
    assert is_whole(avif[:8] + brand + avif[12:])


@pytest.mark.parametrize("brand", [b"heix", b"mif1", b"mif2", b"miaf", b"MiHB"])
def test_a_heic_is_known_by_any_of_its_brands(brand: bytes) -> None:
    heic = heif_file(P3_PATCHES, DISPLAY_P3)
    assert near(kept(decode_photo(heic[:8] + brand + heic[12:])).getpixel((9, 9)), PATCHES[0])


def test_an_avif_is_turned_by_its_container_alone() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # Pillow writes it as the container's turn
    image = kept(decode_photo(as_file(picture(400, 320), "AVIF", quality=90, exif=exif)))
    assert image.size == (320, 400)
    assert near(image.getpixel((310, 9)), RED)


def test_heif_of_a_codec_that_is_lacking_is_another_kind_of_picture() -> None:
    assert refusal(b"\0\0\0\x18ftypvvic\0\0\0\0mif1miaf" + bytes(900)) == PhotoRefusal.OTHER_FORMAT
    assert refusal(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(900)) == PhotoRefusal.NOT_A_PICTURE


# --- size ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width_px", "height_px"),
    [(8160, 6144), (8192, 6144), (9248, 6936), (12000, 9000), (16320, 12240), (16384, 12288)],
)
def test_the_largest_jpeg_of_each_phone_is_taken(width_px: int, height_px: int) -> None:
    assert kept(decode_photo(flat_jpeg(width_px, height_px))).size[0] == 1536


def test_a_jpeg_over_the_limit_is_refused_from_its_header() -> None:
    jpeg = as_file(picture())
    frame = jpeg.index(b"\xff\xc0") + 5
    for side_px in (15_000, 65_000):
        claimed = jpeg[:frame] + struct.pack(">HH", side_px, side_px) + jpeg[frame + 4 :]
        assert refusal(claimed) == PhotoRefusal.TOO_MANY_PIXELS


def test_a_jpeg_that_is_held_whole_has_a_limit_of_its_own() -> None:
    progressive = as_file(picture(), progressive=True)
    frame = progressive.index(b"\xff\xc2") + 5
    large = progressive[:frame] + struct.pack(">HH", 7200, 7200) + progressive[frame + 4 :]
    assert refusal(large) == PhotoRefusal.TOO_MANY_PIXELS_WHOLE
    # One scan for each component: the decoder collects them.
    jpeg = as_file(picture())
    scan = jpeg.index(b"\xff\xda")
    one_component = b"\xff\xda\0\x08\1" + jpeg[scan + 5 : scan + 7] + b"\0\x3f\0"
    frame = jpeg.index(b"\xff\xc0") + 5
    claimed = (
        jpeg[:frame]
        + struct.pack(">HH", 7200, 7200)
        + jpeg[frame + 4 : scan]
        + one_component
        + jpeg[scan + 14 :]
    )
    assert refusal(claimed) == PhotoRefusal.TOO_MANY_PIXELS_WHOLE


def test_a_heic_or_avif_over_its_limit_is_refused_by_its_own_sentence() -> None:
    heic = heif_file(P3_PATCHES, DISPLAY_P3, grid=(22, 24))
    assert refusal(heic) == PhotoRefusal.TOO_MANY_PIXELS_WHOLE
    avif = as_file(picture(), "AVIF")
    size = avif.index(b"ispe") + 8
    claimed = avif[:size] + struct.pack(">II", 6000, 6000) + avif[size + 8 :]
    assert refusal(claimed) == PhotoRefusal.TOO_MANY_PIXELS_WEB


def flat_jpeg(width_px: int, height_px: int) -> bytes:
    """Return a grey JPEG of any size: blocks without change, in JPEG's own tables."""
    jpeg = as_file(Image.new("L", (8, 8), 128), quality=50)
    frame, scan = jpeg.index(b"\xff\xc0") + 5, jpeg.index(b"\xff\xda") + 10
    block_count = (-(-width_px // 8)) * (-(-height_px // 8))
    # `00` is a constant share without change, `1010` the end of a block: six bits.
    data = (b"\x28\xa2\x8a" * (block_count // 4 + 1))[: block_count * 6 // 8 + 1]
    return (
        jpeg[:frame] + struct.pack(">HH", height_px, width_px) + jpeg[frame + 4 : scan] + data + END_OF_IMAGE
    )


# --- small damage ----------------------------------------------------------------------------------------


def words(kind: bytes) -> bytes:
    """Return a chunk of words that unpack to 50 MB."""
    packed = zlib.compress(bytes(50_000_000), 1)
    return png_chunk(kind, {b"zTXt": b"prompt\0\0", b"iTXt": b"XML:com.adobe.xmp\0\1\0\0\0"}[kind] + packed)


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_a_png_may_carry_any_words(kind: bytes) -> None:
    chunk = words(kind)
    assert is_whole(png_with(chunk * 3))
    png = as_file(picture(), "PNG")
    assert is_whole(png[:-12] + chunk * 3 + png[-12:])  # behind the picture


@pytest.mark.parametrize("kind", [b"tEXt", b"iCCP", b"eXIf", b"gAMA", b"cICP", b"prVt", b"tIME"])
def test_a_png_loses_what_has_a_wrong_checksum_and_keeps_its_picture(kind: bytes) -> None:
    assert is_whole(png_with(png_chunk(kind, b"\0" * 20, is_sound=False)))


@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"iCCP", b"p\0\0no zlib stream"),
        png_chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(50_000_000), 1)),
        png_chunk(b"tRNS", b""),
        png_chunk(b"acTL", b"\xff"),
        png_chunk(b"fcTL", bytes(26)),
        png_chunk(b"cICP", b"\x0c"),
        png_chunk(b"gAMA", b"\0"),
    ],
)
def test_a_png_whose_extras_make_no_sense_keeps_its_picture(chunk: bytes) -> None:
    assert is_whole(png_with(chunk))


def test_a_png_whose_picture_has_a_wrong_checksum_in_its_header_is_damaged() -> None:
    png = as_file(picture(), "PNG")
    assert refusal(png[:32] + bytes([png[32] ^ 1]) + png[33:]) == PhotoRefusal.DAMAGED


def test_a_png_of_a_hundred_thousand_chunks_is_damaged() -> None:
    assert refusal(png_with(png_chunk(b"prVt", b"") * 100_000)) == PhotoRefusal.DAMAGED


def test_a_jpeg_of_ten_thousand_segments_is_damaged() -> None:
    jpeg = as_file(picture())
    assert refusal(jpeg[:2] + b"\xff\xfe\0\2" * 10_000 + jpeg[2:]) == PhotoRefusal.DAMAGED


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "restart_marker_rows": 1}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_without_its_end_marker_is_whole(mode: str, options: dict[str, int]) -> None:
    jpeg = as_file(picture().convert(mode), "JPEG", **options)
    cut = kept(decode_photo(jpeg[:-2]))
    assert cut.tobytes() == kept(decode_photo(jpeg)).tobytes()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize(("share", "is_taken"), [(0.99, True), (0.96, True), (0.9, False), (0.5, False)])
def test_a_picture_that_lacks_a_few_rows_is_taken_and_one_that_lacks_more_is_damaged(
    kind: str, share: float, is_taken: bool
) -> None:
    data = as_file(Image.effect_noise((400, 400), 60), kind)
    cut = data[: int(len(data) * share)]
    if is_taken:
        assert kept(decode_photo(cut)).size == (400, 400)
    else:
        assert refusal(cut) == PhotoRefusal.DAMAGED


@pytest.mark.parametrize(
    ("spoil", "is_taken"),
    [
        (lambda packed: packed[:-4] + bytes(4), True),
        (lambda packed: packed[:-4], True),
        (lambda packed: packed + bytes(100), True),
        (lambda packed: packed[: len(packed) // 2] + b"\xff" * (len(packed) // 2), False),
    ],
    ids=["wrong checksum", "no checksum", "more behind", "half of it"],
)
def test_a_png_whose_data_ends_wrongly_keeps_its_rows(
    spoil: Callable[[bytes], bytes], is_taken: bool
) -> None:
    image = Image.linear_gradient("L").resize((300, 300))
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 300, 300, 8, 0, 0, 0, 0))
    rows = b"".join(b"\0" + image.crop((0, row, 300, row + 1)).tobytes() for row in range(300))
    data = png_chunk(b"IDAT", spoil(zlib.compress(rows)))
    png = b"\x89PNG\r\n\x1a\n" + header + data + png_chunk(b"IEND", b"")
    if is_taken:
        assert near(kept(decode_photo(png)).getpixel((290, 290)), (image.getpixel((290, 290)),) * 3)
    else:
        assert refusal(png) == PhotoRefusal.DAMAGED


@pytest.mark.parametrize("is_lossless", [False, True])
def test_a_webp_that_lacks_its_last_bytes_is_taken_and_one_that_lacks_more_is_damaged(
    is_lossless: bool,
) -> None:
    webp = as_file(Image.effect_noise((400, 400), 60).convert("RGB"), "WEBP", lossless=is_lossless)
    assert kept(decode_photo(webp[: -len(webp) // 100])).size == (400, 400)
    assert refusal(webp[: -len(webp) // 20]) == PhotoRefusal.DAMAGED


def test_a_progressive_jpeg_is_taken_from_its_last_scan_on() -> None:
    jpeg = as_file(Image.effect_noise((400, 400), 60).convert("RGB"), progressive=True)
    last_scan = jpeg.rindex(b"\xff\xda")
    assert kept(decode_photo(jpeg[: last_scan + 2_000])).size == (400, 400)
    assert refusal(jpeg[: last_scan - 100]) == PhotoRefusal.DAMAGED


def test_an_interlaced_png_that_breaks_off_is_damaged() -> None:
    png = bytearray(as_file(Image.effect_noise((300, 300), 60), "PNG"))
    png[28] = 1  # its rows would lack everywhere
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    assert refusal(bytes(png[: int(len(png) * 0.98)])) == PhotoRefusal.DAMAGED


def test_a_picture_that_is_black_to_its_edge_and_whole_is_no_broken_one() -> None:
    image = picture()
    image.paste((0, 0, 0), (0, 300, 320, 400))
    assert kept(decode_photo(as_file(image, "PNG"))).getpixel((9, 390)) == (0, 0, 0)
    image.paste((128, 128, 128), (0, 300, 320, 400))
    assert near(kept(decode_photo(as_file(image))).getpixel((9, 390)), (128, 128, 128))


# --- where up is -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_a_turn_in_xmp_alone_is_not_applied(kind: str) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    options: dict[str, object] = {"xmp": xmp, "quality": 90}
    if kind == "PNG":
        options = {"pnginfo": PngImagePlugin.PngInfo()}
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp)  # type: ignore[attr-defined]
    data = as_file(picture(), kind, **options)
    with Image.open(io.BytesIO(data)) as opened:
        opened.load()
        assert "tiff:Orientation" in str(opened.info)
    assert is_whole(data)
