"""The ways in for strangers' bytes, and hostile variants of what is usually sent there.

An entrance takes bytes and answers ``accepted`` or ``refused`` (by our own errors, in words); anything else it raises
is a finding.
"""

import copy
import json
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import Any, Literal

from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from cds.demo_patient import demo_bundle
from cds.mapping import map_features
from cds.pacs.selection import read_instance
from cds.settings import Settings
from fhir_adapters.bundle import decode_bundle
from fhir_adapters.errors import FhirError
from fhir_adapters.reader import read_bundle
from imaging.dicom.deidentify import DeidentifyOptions, deidentify
from imaging.errors import ImagingError
from imaging.limits import ReadLimits
from imaging.reader import read_radiograph
from tests.support import dicom, hooks
from tests.support.cases import CREATED

Answer = Literal["accepted", "refused"]
LIMIT = 4 << 20
LIMITS = ReadLimits(max_file_bytes=LIMIT, max_pixels=4_000_000)
OPTIONS = DeidentifyOptions(key=b"a key of the tests' own.")
NASTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 1e308, -1e308, 2**63, 10**400, 0.1, "", " ", "\x00", "\ud800", "\u202e", "a" * 5000, [],
    {}, [[]], [{}], [None], {"": None}, "1066-10-14", "9999-12-31T23:59:60Z", "0000-00-00", "-1", "NaN", "Infinity",
    "<script>", "=1+1", "http://169.254.169.254/", "Patient/../x", "%00", {"resourceType": "Patient"},
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """One way in."""

    name: str
    seeds: Callable[[], tuple[bytes, ...]]
    enter: Callable[[bytes], Answer]
    is_json: bool


def variant(seed: bytes, chance: random.Random, *, is_json: bool) -> bytes:
    """A hostile variant of what is usually sent: bent in its structure, in its bytes, or in both."""
    data = seed
    if is_json and chance.random() < 0.8:
        data = _bent_json(seed, chance)
    if not is_json or chance.random() < 0.2:
        for _ in range(chance.randint(1, 6)):
            data = _bent_bytes(data, chance)
    return data[:LIMIT]


def _bent_json(seed: bytes, chance: random.Random) -> bytes:
    document = copy.deepcopy(json.loads(seed))
    for _ in range(chance.randint(1, 8)):
        place: Any = document
        for _ in range(chance.randint(0, 8)):
            below = list(place.values()) if isinstance(place, dict) else place if isinstance(place, list) else []
            inner = [one for one in below if isinstance(one, dict | list)]
            if not inner:
                break
            place = chance.choice(inner)
        value = copy.deepcopy(chance.choice(NASTY))
        if chance.random() < 0.1:
            for _ in range(chance.choice((3, 60, 2000))):
                value = [value]
        if isinstance(place, dict) and place:
            key = chance.choice(list(place))
            match chance.randrange(4):
                case 0:
                    del place[key]
                case 1:
                    place[chance.choice(("extra", "resourceType", "_" + key, "id"))] = value
                case 2 if isinstance(place[key], list):
                    place[key] = place[key] * chance.choice((0, 2, 20))
                case _:
                    place[key] = value
        elif isinstance(place, list):
            place.insert(chance.randint(0, len(place)), value)
    try:
        return json.dumps(document).encode("utf-8", errors="surrogatepass")
    except RecursionError:
        return seed[: len(seed) // 2]


def _bent_bytes(data: bytes, chance: random.Random) -> bytes:
    if not data:
        return chance.randbytes(20)
    # Structure lies at the beginning; a bent pixel is of no interest.
    at = chance.randrange(len(data) if chance.random() < 0.3 else min(len(data), 1500))
    match chance.randrange(7):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]
        case 2:
            return data[:at] + chance.randbytes(chance.randint(1, 8)) + data[at:]
        case 3:
            return data[:at] + data[at + chance.randint(1, 40) :]
        case 4:
            return (
                data[:at]
                + chance.choice((b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff"))
                + data[at + 4 :]
            )
        case 5:
            end = min(len(data), at + chance.randint(1, 200))
            return data[:end] + data[at:end] * chance.choice((1, 3, 50)) + data[end:]
        case _:
            return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]


@cache
def _dicom_seeds() -> tuple[bytes, ...]:
    packed = [dicom.compressed(one, bits)[0] for one, bits in ((JPEG2000Lossless, 12), (RLELossless, 12))]
    lossy = dicom.compressed(JPEGBaseline8Bit, 8)[0]
    return (dicom.file(), *packed, lossy)


def _dicom(data: bytes) -> Answer:
    read_instance(data, max_bytes=LIMIT)
    with suppress(ImagingError):
        deidentify(data, OPTIONS, limits=LIMITS)
    try:
        read_radiograph(data, limits=LIMITS)
    except ImagingError as error:
        assert error.code and error.remedy
        return "refused"
    return "accepted"


@cache
def _picture_seeds() -> tuple[bytes, ...]:
    from PIL import Image

    grey = Image.fromarray((dicom.limb_image(96, 80) / dicom.limb_image(96, 80).max() * 255).astype("uint8"))
    made = []
    for image, name in ((grey, "PNG"), (grey, "JPEG"), (grey.convert("RGBA"), "PNG"), (grey.convert("P"), "PNG")):
        stream = BytesIO()
        image.save(stream, name)
        made.append(stream.getvalue())
    return tuple(made)


def _picture(data: bytes) -> Answer:
    try:
        read_radiograph(data, limits=LIMITS)
    except ImagingError as error:
        assert error.code and error.remedy
        return "refused"
    return "accepted"


@cache
def _fhir_seeds() -> tuple[bytes, ...]:
    return (demo_bundle(CREATED),)


def _fhir(data: bytes) -> Answer:
    try:
        decode_bundle(data, max_bytes=LIMIT)
        map_features(read_bundle(data, as_of=CREATED))
    except FhirError as error:
        assert error.code and error.remedy
        return "refused"
    return "accepted"


@cache
def _hooks_seeds() -> tuple[bytes, ...]:
    known = hooks.prefetch(
        hooks.condition("c1", hooks.HIP_FRACTURE, days=20),
        hooks.drug("m1", hooks.WARFARIN),
        hooks.observation("o1", "33914-3", 27, "mL/min/{1.73_m2}"),
        patient=hooks.woman(75),
    )
    view = hooks.hook_call("patient-view", known)
    order = hooks.hook_call("order-select", known, orders=[hooks.draft("d1", hooks.IBUPROFEN)])
    return json.dumps(view).encode(), json.dumps(order).encode()


@cache
def _hooks_client() -> hooks.HooksClient:
    return hooks.hooks_client(Settings(hooks_auth="none", hooks_max_request_mib=4))


def _hooks(data: bytes) -> Answer:
    service = "fracture-order" if b"order-se" in data else "fracture-risk"
    answer = _hooks_client().http.post(f"/cds-services/{service}", content=data, headers=hooks.JSON_HEADERS)
    assert answer.status_code in {200, 400, 412, 413, 415, 422}, f"{answer.status_code}: {answer.text[:300]}"
    if answer.status_code != 200:
        assert answer.json()["code"]
        return "refused"
    assert isinstance(answer.json()["cards"], list)
    return "accepted"


ENTRANCES = (
    Entrance(name="DICOM", seeds=_dicom_seeds, enter=_dicom, is_json=False),
    Entrance(name="picture", seeds=_picture_seeds, enter=_picture, is_json=False),
    Entrance(name="FHIR", seeds=_fhir_seeds, enter=_fhir, is_json=True),
    Entrance(name="hooks", seeds=_hooks_seeds, enter=_hooks, is_json=True),
)
