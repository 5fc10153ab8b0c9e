"""The gate that photos pass: real pictures, real child processes."""

from __future__ import annotations

import asyncio
import io
import os
import resource
import signal
import struct
import sys
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image, ImageCms, ImageOps

from bot.core.errors import UserError
from bot.core.messages import Upload
from bot.core.photos import MAX_PHOTO_BYTES, PhotoRefusal
from bot.media import decoding
from bot.media.decoding import SandboxedPhotoDecoder, decode_photo
from bot.media.decoding._codec import decode_reply
from bot.processes.sandbox import SandboxLost
from bot.processes.sandboxed import REPLY_HEADER
from bot.texts.photo_sets import photo_refusal
from tests.acceptance.telegram_server import until
from tests.support.photo_files import as_file, kept, near, picture, png_chunk, refusal
from tests.support.sandbox_child import lying_pool

# Drawn shapes, encoded once with pillow-heif (pi-heif only decodes), with a canary in its EXIF block.
HEIC = Path(__file__).parents[2] / "data" / "drawn_face.heic"
ORIENTATION = 0x0112
CAMERA = 0x010F
CANARY = "CANARY-CAMERA"
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def png_that_claims(width_px: int, height_px: int) -> bytes:
    """A few bytes that say they are a huge picture."""
    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.fixture
async def gate() -> AsyncIterator[SandboxedPhotoDecoder]:
    gate = SandboxedPhotoDecoder(max_children=1)
    yield gate
    await gate.close()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_each_format_becomes_an_rgb_jpeg_of_its_size(kind: str) -> None:
    image = kept(decode_photo(as_file(picture(), kind)))
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (320, 400))
    assert near(image.getpixel((40, 40)), (220, 30, 30))


def test_a_heic_is_accepted_and_its_metadata_dropped() -> None:
    assert CANARY.encode() in HEIC.read_bytes()
    photo = decode_photo(HEIC.read_bytes())
    assert kept(photo).size == (320, 400)
    assert near(kept(photo).getpixel((160, 100)), (230, 190, 160))
    assert CANARY.encode() not in photo.data


def test_orientation_is_applied_and_metadata_dropped() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # the camera was held on its side: turn a quarter clockwise
    exif[CAMERA] = CANARY
    data = as_file(picture(400, 320), exif=exif)
    assert CANARY.encode() in data
    photo = decode_photo(data)
    image = kept(photo)
    assert image.size == (320, 400)
    assert near(image.getpixel((280, 40)), (220, 30, 30))  # upper left went to the upper right
    assert not image.getexif()
    assert CANARY.encode() not in photo.data


@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_orientation_comes_out_as_pillow_turns_it(orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = as_file(picture(), "PNG", exif=exif)
    with Image.open(io.BytesIO(data)) as original:
        expected = ImageOps.exif_transpose(original)
    image = kept(decode_photo(data))
    assert image.size == expected.size
    assert near(image.getpixel((30, 30)), expected.getpixel((30, 30)))
    assert near(image.getpixel((image.width - 30, 30)), expected.getpixel((expected.width - 30, 30)))


def test_a_photo_with_broken_metadata_is_still_a_photo() -> None:
    assert kept(decode_photo(as_file(picture(), exif=b"Exif\0\0II*\0\xff\xff\xff\xff"))).size == (320, 400)


def test_transparency_becomes_white() -> None:
    image = picture().convert("RGBA")
    image.putalpha(0)
    assert near(kept(decode_photo(as_file(image, "PNG"))).getpixel((40, 40)), (255, 255, 255))
    palette = picture().quantize(4)
    index = palette.getpixel((0, 0))
    assert near(
        kept(decode_photo(as_file(palette, "PNG", transparency=index))).getpixel((40, 40)), (255, 255, 255)
    )


def test_sixteen_bit_grey_keeps_its_shades() -> None:
    grey = Image.new("I;16", (300, 300), 128 * 256)
    assert near(kept(decode_photo(as_file(grey, "PNG"))).getpixel((150, 150)), (128, 128, 128))


@pytest.mark.parametrize(("mode", "kind"), [("L", "PNG"), ("LA", "PNG"), ("1", "PNG"), ("CMYK", "JPEG")])
def test_other_modes_become_rgb(mode: str, kind: str) -> None:
    image = kept(decode_photo(as_file(picture().convert(mode), kind)))
    assert (image.mode, image.size) == ("RGB", (320, 400))


def test_an_animation_gives_its_first_frame() -> None:
    others = [Image.new("RGB", (320, 400), "green")] * 2
    for kind in ("WEBP", "PNG"):
        data = as_file(picture(), kind, save_all=True, append_images=others)
        assert near(kept(decode_photo(data)).getpixel((40, 40)), (220, 30, 30))


def test_a_colour_profile_is_applied_before_it_is_dropped() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert near(kept(decode_photo(as_file(picture(), icc_profile=profile))).getpixel((40, 40)), (220, 30, 30))
    photo = decode_photo(as_file(picture(), icc_profile=_linear_profile()))
    assert "icc_profile" not in kept(photo).info
    red, _, _ = kept(photo).getpixel((300, 380))  # type: ignore[misc]  # an RGB picture gives three
    assert red > 60, "20 in linear light is far brighter in sRGB"


def _linear_profile() -> bytes:
    """An sRGB profile whose tone curves are straight lines."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (tags,) = struct.unpack(">I", data[128:132])
    for index in range(tags):
        at = 132 + 12 * index
        name, offset, _ = struct.unpack(">4sII", data[at : at + 12])
        if name in (b"rTRC", b"gTRC", b"bTRC"):
            data[offset : offset + 12] = b"curv" + bytes(8)  # no points: the identity
    return bytes(data)


def test_a_large_photo_is_made_smaller_in_its_proportions() -> None:
    assert kept(decode_photo(as_file(picture(3000, 2000)))).size == (1536, 1024)


def test_the_same_pixels_in_another_wrapping_are_the_same_photo() -> None:
    exif = Image.Exif()
    exif[CAMERA] = CANARY
    plain, wrapped = (
        decode_photo(as_file(picture(), "PNG")),
        decode_photo(as_file(picture(), "PNG", exif=exif)),
    )
    other = decode_photo(as_file(picture().transpose(Image.Transpose.ROTATE_180), "PNG"))
    assert plain.pixel_sha256 == wrapped.pixel_sha256
    assert plain.pixel_sha256 != other.pixel_sha256


def test_a_stored_photo_passes_the_decoder_again() -> None:
    assert kept(decode_photo(decode_photo(as_file(picture())).data)).size == (320, 400)


def test_a_text_file_called_jpg_is_not_a_picture() -> None:
    assert refusal(b"Dear diary, today I am a photo.\n" * 40) == PhotoRefusal.NOT_A_PICTURE
    assert refusal(b"") == PhotoRefusal.NOT_A_PICTURE


def test_other_kinds_of_picture_are_named_as_such() -> None:
    for kind in ("GIF", "BMP", "TIFF"):
        assert refusal(as_file(picture(), kind)) == PhotoRefusal.OTHER_FORMAT
    assert (
        refusal(b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>')
        == PhotoRefusal.OTHER_FORMAT
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_truncated_picture_is_damaged(kind: str, share: float) -> None:
    data = as_file(Image.effect_noise((400, 400), 60), kind)
    assert refusal(data[: int(len(data) * share)]) == PhotoRefusal.DAMAGED


def test_a_truncated_heic_is_damaged() -> None:
    assert refusal(HEIC.read_bytes()[:2000]) == PhotoRefusal.DAMAGED


def test_a_png_of_40000_by_40000_is_refused_from_its_header() -> None:
    for side_px in (40_000, 9_500, 5_100):
        assert refusal(png_that_claims(side_px, side_px)) == PhotoRefusal.TOO_MANY_PIXELS_WEB


def test_a_jpeg_that_asks_for_thousands_of_passes_is_refused_before_it_is_decoded() -> None:
    jpeg = as_file(picture(4000, 4000), progressive=True)
    assert kept(decode_photo(jpeg)).size == (1536, 1536)
    last = jpeg.rindex(b"\xff\xda")
    assert refusal(jpeg[:last] + jpeg[last:-2] * 100 + jpeg[-2:]) == PhotoRefusal.DAMAGED


def test_scans_are_not_counted_where_there_is_no_picture() -> None:
    # A thumbnail, words, and the film behind a phone's photo may hold any bytes.
    jpeg = as_file(picture(4000, 4000), comment=b"\xff\xda" * 1000)
    assert kept(decode_photo(jpeg + b"\xff\xda" * 1000)).size == (1536, 1536)


def test_a_small_or_narrow_picture_is_refused() -> None:
    assert refusal(as_file(picture(255, 600))) == PhotoRefusal.TOO_SMALL
    assert refusal(as_file(picture(6000, 300))) == PhotoRefusal.TOO_SMALL
    assert kept(decode_photo(as_file(picture(256, 256)))).size == (256, 256)


async def test_a_file_over_twenty_megabytes_is_refused_before_it_is_opened(
    gate: SandboxedPhotoDecoder,
) -> None:
    for data in (b"\0" * (MAX_PHOTO_BYTES + 1), None):
        with pytest.raises(UserError, match="too big"):
            await gate.decode(Upload("big.png", data))


async def test_the_gate_gives_photos_and_sentences_from_its_child(gate: SandboxedPhotoDecoder) -> None:
    data = as_file(picture())
    assert await gate.decode(Upload("me.jpg", data)) == decode_photo(data)
    with pytest.raises(UserError) as caught:
        await gate.decode(Upload("me.jpg", b"text"))
    assert caught.value.message == photo_refusal(PhotoRefusal.NOT_A_PICTURE)


async def test_a_picture_that_crashes_its_decoder_gets_a_sentence_and_the_next_one_passes(
    gate: SandboxedPhotoDecoder,
) -> None:
    data = bytearray(HEIC.read_bytes())
    data[179] = 128  # an EXIF block of impossible length: pi-heif 1.4 dies of it, a signal and not an error
    with pytest.raises(UserError) as caught:
        await gate.decode(Upload("evil.heic", bytes(data)))
    assert caught.value.message == photo_refusal(PhotoRefusal.DAMAGED)
    assert kept(await gate.decode(Upload("me.heic", HEIC.read_bytes()))).size == (320, 400)


@linux
async def test_a_decode_that_never_ends_is_ended_and_the_next_one_passes() -> None:
    gate = SandboxedPhotoDecoder(max_children=1, timeout_s=2.0)
    data = as_file(picture())
    await gate.decode(Upload("me.jpg", data))
    (child,) = children_of(os.getpid())
    os.kill(child, signal.SIGSTOP)
    with pytest.raises(UserError) as caught:
        await gate.decode(Upload("slow.jpg", data))
    assert caught.value.message == photo_refusal(PhotoRefusal.TIMEOUT)
    assert kept(await gate.decode(Upload("me.jpg", data))).size == (320, 400)
    await gate.close()


@linux
async def test_a_cancelled_check_leaves_no_work_in_the_way(gate: SandboxedPhotoDecoder) -> None:
    data = as_file(picture())
    await gate.decode(Upload("me.jpg", data))
    (child,) = children_of(os.getpid())
    os.kill(child, signal.SIGSTOP)
    task = asyncio.create_task(gate.decode(Upload("slow.jpg", data)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert kept(await gate.decode(Upload("me.jpg", data))).size == (320, 400)


@linux
async def test_a_child_has_bounded_memory(gate: SandboxedPhotoDecoder) -> None:
    await gate.decode(Upload("me.jpg", as_file(picture())))
    (child,) = children_of(os.getpid())
    assert resource.prlimit(child, resource.RLIMIT_AS) == (decoding.MEMORY_BYTES, decoding.MEMORY_BYTES)


@linux
async def test_a_child_can_leave_nothing_on_the_disk_and_knows_no_token(
    gate: SandboxedPhotoDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "1:canary")
    await gate.decode(Upload("me.jpg", as_file(picture())))
    (child,) = children_of(os.getpid())
    assert resource.prlimit(child, resource.RLIMIT_FSIZE) == (0, 0)
    assert resource.prlimit(child, resource.RLIMIT_CORE) == (0, 0)
    assert b"canary" not in Path(f"/proc/{child}/environ").read_bytes()


@pytest.mark.parametrize(
    "answer",
    [
        (1, bytes(32) + b"GIF8 is not what a child gives"),
        (1, b""),
        (2, bytes([len(PhotoRefusal)])),
        (2, b"Your account is locked, call this number."),
        (3, b"an unknown kind"),
    ],
)
async def test_the_answer_of_a_compromised_child_is_not_trusted(answer: tuple[int, bytes]) -> None:
    pool = lying_pool(REPLY_HEADER.pack(answer[0], len(answer[1])) + answer[1], decode_reply)
    with pytest.raises(SandboxLost):
        await pool.request(b"a picture")
    await pool.close()


@linux
async def test_children_do_not_outlive_a_parent_that_was_killed(tmp_path: Path) -> None:
    program = tmp_path / "parent.py"
    program.write_text(
        "import asyncio, sys\n"
        "from bot.media.decoding import SandboxedPhotoDecoder\n"
        "from bot.core.messages import Upload\n"
        "async def main():\n"
        "    decoder = SandboxedPhotoDecoder(max_children=1)\n"
        "    await decoder.decode(Upload('me.heic', open(sys.argv[1], 'rb').read()))\n"
        "    print('ready', flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "if __name__ == '__main__':\n"
        "    asyncio.run(main())\n"
    )
    command = [sys.executable, str(program), str(HEIC)]
    parent = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    assert await parent.stdout.readline() == b"ready\n"
    (child,) = children_of(parent.pid)
    watch = os.pidfd_open(child)
    parent.kill()
    await parent.wait()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(watch, ended.set)
    await asyncio.wait_for(ended.wait(), 20)
    asyncio.get_running_loop().remove_reader(watch)
    os.close(watch)


def children_of(pid: int) -> list[int]:
    """The decoding children of a process."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            command = (stat.parent / "cmdline").read_bytes()
        except OSError:  # it ended while we looked
            continue
        if fields[1] == str(pid) and fields[0] != "Z" and b"bot.media.decoding._child" in command:
            found.append(int(stat.parent.name))
    return found


@linux
async def test_a_photo_gets_a_sentence_where_no_child_starts_and_the_next_one_passes(
    gate: SandboxedPhotoDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as crowded:
        crowded.setenv("PATH", "x" * 2**18)  # more than a program may be started with
        gate.warm_up()
        with pytest.raises(UserError) as caught:
            await gate.decode(Upload("me.jpg", as_file(picture())))
    assert caught.value.message == photo_refusal(PhotoRefusal.TIMEOUT)
    assert kept(await gate.decode(Upload("me.jpg", as_file(picture())))).size == (320, 400)


async def test_a_warm_gate_has_its_child_before_the_first_photo(gate: SandboxedPhotoDecoder) -> None:
    gate.warm_up()
    born = await until(lambda: children_of(os.getpid()))
    await gate.decode(Upload("1.jpg", as_file(picture())))
    assert children_of(os.getpid()) == born


@linux
async def test_a_gate_that_closes_while_it_warms_up_leaves_no_child() -> None:
    gate = SandboxedPhotoDecoder(max_children=2)
    gate.warm_up()
    await until(lambda: len(children_of(os.getpid())) == 2)
    await gate.close()
    assert not children_of(os.getpid())
