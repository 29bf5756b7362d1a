"""PNG and JPEG: planted identifiers are gone, grey values stay, text at the border is painted over."""

import io
import json
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from imaging.deidentify_picture import deidentify_picture, picture_residue
from imaging.dicom.burned_in import find_text
from imaging.dicom.deidentify import DeidentifyOptions
from imaging.dicom.deidentify_folder import deidentify_folder
from imaging.errors import ImagingError, ResidueError, UnsupportedEncodingError
from imaging.raster import PNG_SYNTHETIC, read_png
from imaging.reader import read_radiograph
from tests.support import dicom

OPTIONS = DeidentifyOptions(key=b"a key of the tests' own.")
PLANTED = ("Plantedname", "PLANT-4711", "1961-04-12", "Plantedstreet")


def limb(dtype: type = np.uint8) -> NDArray[Any]:
    values = dicom.limb_image(320, 240)
    top = np.iinfo(dtype).max
    return np.rint((values - values.min()) / np.ptp(values) * top).astype(dtype)


def with_text(grey: NDArray[Any]) -> NDArray[Any]:
    drawn = grey.copy()
    cv2.rectangle(drawn, (0, 0), (239, 24), 0, -1)
    cv2.putText(drawn, "DOE JOHN 12345", (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.55, int(np.iinfo(grey.dtype).max), 1)
    return drawn


def png(grey: NDArray[Any]) -> bytes:
    text, stream = PngInfo(), io.BytesIO()
    text.add_text("Author", PLANTED[0])
    text.add_text("Comment", f"{PLANTED[1]} {PLANTED[2]}", zip=True)
    text.add_itxt("XML:com.adobe.xmp", f"<x:xmpmeta>{PLANTED[3]}</x:xmpmeta>", zip=True)
    exif = Image.Exif()
    exif[0x010E], exif[0x013B], exif[0x9C9D] = PLANTED[0], PLANTED[1], PLANTED[3].encode("utf-16-le")
    Image.fromarray(grey).save(stream, "PNG", pnginfo=text, exif=exif, icc_profile=PLANTED[0].encode() * 20)
    return stream.getvalue() + PLANTED[1].encode()


def jpeg(grey: NDArray[Any], *, orientation: int = 1) -> bytes:
    exif, stream = Image.Exif(), io.BytesIO()
    exif[0x010E], exif[0x0112], exif[0x9C9D] = PLANTED[0], orientation, PLANTED[3].encode("utf-16-le")
    Image.fromarray(grey).save(stream, "JPEG", quality=95, exif=exif, comment=PLANTED[1].encode())
    return stream.getvalue() + PLANTED[2].encode()


def planted_in(data: bytes) -> bool:
    return any(one.encode(code) in data for one in PLANTED for code in ("utf-8", "utf-16-le"))


@pytest.mark.parametrize("source", [png(limb()), png(limb(np.uint16)), jpeg(limb())], ids=["png", "png16", "jpeg"])
def test_what_was_said_beside_the_pixels_is_gone(source: bytes) -> None:
    assert planted_in(source) or planted_in(zlib.decompress(zlib.compress(source)))
    done = deidentify_picture(source, OPTIONS)
    assert not planted_in(done.data)
    assert picture_residue(source, done.data) == done.residue == 0
    with Image.open(io.BytesIO(done.data)) as made:
        made.load()
        assert (made.format, dict(made.info), dict(made.getexif())) == ("PNG", {}, {})
    assert np.array_equal(read_radiograph(done.data).pixels, read_radiograph(source).pixels)


def test_sixteen_bits_stay_as_they_were() -> None:
    grey = limb(np.uint16)
    with Image.open(io.BytesIO(deidentify_picture(png(grey), OPTIONS).data)) as made:
        assert np.array_equal(np.asarray(made), grey)


def test_a_phantom_stays_marked_as_one() -> None:
    text, stream = PngInfo(), io.BytesIO()
    text.add_text(*(one.decode() for one in PNG_SYNTHETIC))
    text.add_text("Author", PLANTED[0])
    Image.fromarray(limb()).save(stream, "PNG", pnginfo=text)
    done = deidentify_picture(stream.getvalue(), OPTIONS)
    assert read_png(done.data).synthetic
    assert not planted_in(done.data)


def test_a_picture_is_written_upright() -> None:
    done = deidentify_picture(jpeg(limb(), orientation=6), OPTIONS)
    with Image.open(io.BytesIO(done.data)) as made:
        assert made.size == (320, 240)


@pytest.mark.parametrize("file", [png, jpeg])
def test_text_at_the_border_is_painted_over(file: Any) -> None:
    done = deidentify_picture(file(with_text(limb())), OPTIONS)
    assert done.masked
    with Image.open(io.BytesIO(done.data)) as made:
        assert find_text(np.asarray(made).astype(np.float64)) == ()
    kept = deidentify_picture(file(with_text(limb())), DeidentifyOptions(key=OPTIONS.key, mask_text=False))
    assert kept.masked == ()


def test_the_search_finds_what_is_planted_in_a_result() -> None:
    source = png(limb())
    written = deidentify_picture(source, OPTIONS).data
    assert picture_residue(source, written + PLANTED[1].encode()) > 0
    text, stream = PngInfo(), io.BytesIO()
    text.add_text("Author", "somebody")
    with Image.open(io.BytesIO(written)) as made:
        made.save(stream, "PNG", pnginfo=text)
    assert picture_residue(source, stream.getvalue()) > 0


def test_residue_withholds_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imaging.deidentify_picture._png", lambda *_, **__: png(limb()))
    with pytest.raises(ResidueError):
        deidentify_picture(png(limb()), OPTIONS)


def test_colour_damage_and_a_short_key_are_refused() -> None:
    stream = io.BytesIO()
    Image.merge("RGB", [Image.fromarray(one) for one in (limb(), limb() // 2, limb())]).save(stream, "PNG")
    with pytest.raises(UnsupportedEncodingError):
        deidentify_picture(stream.getvalue(), OPTIONS)
    for broken in (png(limb())[:200], jpeg(limb())[:300]):
        with pytest.raises(ImagingError):
            deidentify_picture(broken, OPTIONS)
    with pytest.raises(ValueError, match="16"):
        deidentify_picture(png(limb()), DeidentifyOptions(key=b"short"))


def test_a_folder_of_both_kinds(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    (source / "Plantedname-1.png").write_bytes(png(limb()))
    (source / "Plantedname-2.jpg").write_bytes(jpeg(limb(), orientation=3))
    (source / "Plantedname-3.dcm").write_bytes(dicom.file())
    (source / "Plantedname-4.txt").write_text("no picture")
    done = deidentify_folder(source, out, OPTIONS)
    assert (done.written, done.pictures, done.patients, len(done.refused)) == (3, 2, 3, 1)
    assert sorted(path.suffix for path in out.iterdir()) == [".dcm", ".json", ".png", ".png"]
    assert not any(planted_in(path.read_bytes()) or "Planted" in path.name for path in out.iterdir())
    assert json.loads((out / "deidentified.json").read_text())["pictures"] == 2
    again = deidentify_folder(source, tmp_path / "again", OPTIONS)
    assert again.patients == 3
    assert {path.name for path in out.iterdir()} == {path.name for path in (tmp_path / "again").iterdir()}
