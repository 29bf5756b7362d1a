"""What hostile input could do: bombs, slips, polyglots, forged addresses, markup, formulas, headers, leaked secrets."""

import csv
import gzip
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from pydantic import SecretStr
from pydicom.uid import DeflatedExplicitVRLittleEndian

import cds
from cds.audit_chain import open_chain
from cds.batch.outputs import _CsvSink
from cds.batch.rows import SCHEMA
from cds.entrypoints.guards import FORM_POLICY
from cds.entrypoints.web import create_app
from cds.errors import SettingsError
from cds.localisation.language import Language
from cds.presenters.html import render_html
from cds.presenters.patient_page.page import render_patient_page
from cds.presenters.pdf.document import render_pdf
from cds.security.addresses import AllowedServers, Reach, reach_of
from cds.security.cells import harmless
from cds.security.files import FileKind, download_headers, kind_of, served_type
from cds.security.secrets import tls_files
from cds.settings import MEBIBYTE, Settings
from cds.store.opening import Store, open_store
from fhir_adapters.bundle import decode_bundle
from fhir_adapters.errors import FhirInputError, ServerAddressError
from imaging.errors import ImagingError
from imaging.limits import ReadLimits
from imaging.reader import read_radiograph
from tests.support import dicom
from tests.support.cases import full_case
from tests.support.fakes import FakeParts

PUBLIC = "93.184.216.34"


# Decompression bombs


def test_gzip_bomb_in_a_record() -> None:
    bomb = gzip.compress(b" " * (40 * MEBIBYTE), compresslevel=1)
    assert len(bomb) < MEBIBYTE
    with pytest.raises(FhirInputError):
        decode_bundle(bomb, max_bytes=16 * MEBIBYTE)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_png_pixel_bomb_is_refused_by_its_header() -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    with pytest.raises(ImagingError) as caught:
        read_radiograph(bomb + _chunk(b"IEND", b""))
    assert caught.value.code == "imaging.content.too_large"


def test_png_text_bomb() -> None:
    text = _chunk(b"zTXt", b"k\0\0" + zlib.compress(b"a" * (70 * MEBIBYTE), 1))
    plain = io.BytesIO()
    Image.new("L", (200, 200), 7).save(plain, "PNG")
    data = plain.getvalue()
    with pytest.raises(ImagingError):
        read_radiograph(data[:33] + text + data[33:])


def test_jpeg_pixel_bomb_is_refused_by_its_header() -> None:
    plain = io.BytesIO()
    Image.new("L", (200, 200), 7).save(plain, "JPEG")
    data = bytearray(plain.getvalue())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 65_000, 65_000)
    with pytest.raises(ImagingError) as caught:
        read_radiograph(bytes(data))
    assert caught.value.code == "imaging.content.too_large"


def test_dicom_bombs() -> None:
    def huge(made: Any) -> None:
        made.Rows = made.Columns = 65_000

    def frames(made: Any) -> None:
        made.NumberOfFrames = 2_000_000_000

    for bend in (huge, frames):
        with pytest.raises(ImagingError):
            read_radiograph(dicom.file(bend), frame=2)
    made = dicom.dataset()
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    stream = io.BytesIO()
    made.save_as(stream, enforce_file_format=True)
    start = stream.getvalue()
    head = start[: start.index(DeflatedExplicitVRLittleEndian.encode()) + len(DeflatedExplicitVRLittleEndian)]
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = head + b"\0" * (len(head) % 2) + packer.compress(b"\0" * (40 * MEBIBYTE)) + packer.flush()
    assert len(bomb) < MEBIBYTE
    with pytest.raises(ImagingError):
        read_radiograph(bomb, limits=ReadLimits(max_file_bytes=8 * MEBIBYTE))


# Archives


def archive(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return stream.getvalue()


def test_archives_are_accepted_nowhere() -> None:
    slip = archive(**{"../../etc/passwd": b"x", "a": b"\0" * 1_000_000})
    with pytest.raises(ImagingError):
        read_radiograph(slip)
    with pytest.raises(FhirInputError):
        decode_bundle(slip, max_bytes=MEBIBYTE)


def test_no_code_unpacks_an_archive() -> None:
    root = Path(cds.__file__).parents[1]
    unpacking = re.compile(r"extractall|\.extract\(|unpack_archive|tarfile|ZipFile\((?![^)]*[\"']w[\"'])")
    found = {
        path.relative_to(root).as_posix()
        for package in ("cds", "fhir_adapters", "fusion", "imaging", "tabular")
        for path in (root / package).rglob("*.py")
        if unpacking.search(path.read_text(encoding="utf-8"))
    }
    # Both read members by name, in memory, and write no file: the first from a model file whose digest it has checked;
    # the second, which no entrance reaches, from a checkpoint that a developer names, and that may not be compressed.
    assert found == {"imaging/export/edge_reader.py", "imaging/yolov7/checkpoint.py"}


# Polyglots


def polyglot() -> bytes:
    stream = io.BytesIO()
    Image.new("L", (200, 200), 7).save(stream, "PNG")
    return stream.getvalue() + b"<html><script>alert(1)</script></html>PK\x03\x04"


def test_kinds_and_served_types() -> None:
    assert kind_of(polyglot()) is FileKind.PNG
    assert kind_of(dicom.file()) is FileKind.DICOM
    assert [kind_of(one) for one in (b"\xff\xd8\xff\xe0", b"\x1f\x8b\x08", b' \n{"a":1}', b"<html>", b"")] == [
        FileKind.JPEG, FileKind.GZIP, FileKind.JSON, FileKind.OTHER, FileKind.OTHER,
    ]  # fmt: skip
    for claimed in ("text/html", "image/svg+xml", "application/xhtml+xml", "text/xml", "x", "", "IMAGE/SVG+XML; a=b"):
        assert served_type(claimed) == "application/octet-stream"
    assert served_type("Image/PNG; charset=x") == "image/png"
    headers = download_headers('..\\..\\x";\r\nSet-Cookie: a=b.html', "text/html")
    assert headers["Content-Disposition"].startswith('attachment; filename="x')
    assert not any(one in headers["Content-Disposition"][22:-1] for one in '"\r\n;/\\')


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[TestClient, Store, Settings]]:
    settings = Settings(data_dir=tmp_path, audit_log=None)
    store = open_store(settings)
    with TestClient(create_app(settings, FakeParts().engines(), store=store), base_url="http://127.0.0.1") as client:
        yield client, store, settings
    store.close()


def test_stored_polyglot_is_only_ever_a_download(served: tuple[TestClient, Store, Settings]) -> None:
    client, store, settings = served
    made = client.post("/api/assess", files={"image": ("x.html", polyglot(), "text/html")})
    assert made.status_code == 200, made.text
    (case,) = client.get("/api/cases").json()["cases"]
    got = client.get(f"/api/cases/{case['id']}/files/image")
    assert got.content == polyglot()
    assert got.headers["content-disposition"].startswith("attachment")
    assert got.headers["x-content-type-options"] == "nosniff"
    assert "html" not in got.headers["content-type"] and "xml" not in got.headers["content-type"]
    assert "sandbox" in got.headers["content-security-policy"]
    # ... and every look at the case is in the audit chain.
    client.get("/api/cases/00000000-0000-0000-0000-000000000000")
    chain = open_chain(settings, store.database, store.privacy)
    events = [one.decode() for one in chain.events()]
    subtypes = [next(k for k in ("create", "search", "read") if f'"code":"{k}"' in one) for one in events]
    assert subtypes == ["create", "search", "read", "read"]
    assert '"outcome":"4"' in events[-1]
    assert chain.verify() == (4, ())


def test_security_headers(served: tuple[TestClient, Store, Settings]) -> None:
    for path in ("/", "/api/cases", "/healthz", "/login", "/nothing"):
        headers = served[0].get(path).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "no-referrer", path
        assert "frame-ancestors" in headers["content-security-policy"], path
        assert headers["cache-control"] == "no-store", path
    assert "http:" not in FORM_POLICY and "*" not in FORM_POLICY


# Forged addresses


def names(**known: str) -> Any:
    def resolver(host: str) -> tuple[str, ...]:
        if host not in known:
            raise OSError("unknown")
        return tuple(known[host].split())

    return resolver


def test_servers_are_allowed_as_a_whole() -> None:
    allowed = AllowedServers(["https://ehr.example/fhir"], resolver=names(**{"ehr.example": PUBLIC}))
    assert str(allowed.check("https://ehr.example/fhir/Patient/1?a=b"))
    for address in (
        "http://ehr.example/fhir",
        "https://ehr.example:8443/fhir",
        "https://ehr.example/other",
        "https://ehr.example/fhirx",
        "https://ehr.example/fhir/../admin",
        "https://ehr.example/fhir/%2e%2e/admin",
        "https://ehr.example/fhir/%252e%252e/admin",
        "https://ehr.example/fhir/..\\admin",
        "https://ehr.example.evil.example/fhir",
        "https://user@ehr.example/fhir",
        "https://evil.example#@ehr.example/fhir",
        "https://ehr.example@evil.example/fhir",
        "file:///etc/passwd",
        "gopher://ehr.example/fhir",
        "http://169.254.169.254/latest/meta-data",
        "//ehr.example/fhir",
        "",
        "https://[",
    ):
        with pytest.raises(ServerAddressError):
            allowed.check(address)
            pytest.fail(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.9.9", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "64:ff9b::10.0.0.1", "::10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe",
        "::1", "fe80::1", "fd00::1", "::ffff:127.0.0.1", "2002:7f00:1::", "::", f"{PUBLIC} 10.0.0.1",
    ],
)  # fmt: skip
def test_names_that_lead_into_the_network(address: str) -> None:
    resolver = names(**{"ehr.example": address})
    with pytest.raises(ServerAddressError):
        AllowedServers(["https://ehr.example/fhir"], resolver=resolver).check("https://ehr.example/fhir/Patient")
    listed = AllowedServers(["https://ehr.example/fhir"], private_ok=["ehr.example"], resolver=resolver)
    if reach_of(address.split()[-1]) is Reach.PRIVATE:
        assert listed.check("https://ehr.example/fhir/Patient")
    else:  # this machine and its link are nobody's server
        with pytest.raises(ServerAddressError):
            listed.check("https://ehr.example/fhir/Patient")


def test_private_addresses_are_allowed_where_they_are_listed_themselves() -> None:
    allowed = AllowedServers(["http://10.0.0.5:8080/fhir"], resolver=names())
    assert allowed.check("http://10.0.0.5:8080/fhir/Patient")
    for other in ("http://10.0.0.6:8080/fhir", "http://167772165:8080/fhir", "http://0x0a000005:8080/fhir"):
        with pytest.raises(ServerAddressError):
            allowed.check(other)
    with pytest.raises(ServerAddressError):
        AllowedServers(["https://gone.example/fhir"], resolver=names()).check("https://gone.example/fhir")
    with pytest.raises(SettingsError):
        AllowedServers(["ftp://x"])


# Markup and formulas

MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'[x](javascript:alert(3)){{ 7*7 }}"


TEXTS = frozenset({"code", "resource", "patient_id"})
"""Fields of a snapshot that hold what the record says, as it says it."""


def poisoned(value: Any) -> Any:
    """The same record with markup behind everything that is taken from it as it stands."""
    if is_dataclass(value) and not isinstance(value, type):
        held = {one.name: getattr(value, one.name) for one in fields(value)}
        changed = {
            name: one + MARKUP if name in TEXTS and type(one) is str else poisoned(one) for name, one in held.items()
        }
        return replace(value, **changed)
    return tuple(map(poisoned, value)) if type(value) is tuple else value


def test_markup_from_the_record_stays_text() -> None:
    case = full_case()
    hostile = replace(case, patient=poisoned(case.patient))
    assert repr(hostile.patient).count("alert(2)") > 5
    for page in (render_html(hostile), render_patient_page(hostile, Language.EN)):
        assert "<script>alert" not in page and "<img src=x" not in page
        assert 'href="javascript' not in page and "49" not in page.partition("alert(3)")[2][:20]
    assert render_pdf(hostile).startswith(b"%PDF")
    pdf = render_pdf(hostile)
    assert b"/JavaScript" not in pdf and b"/Launch" not in pdf and b"javascript:" not in pdf


FORMULAS = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1+1", "\uff1d1", "-", "=HYPERLINK(1)"]


@pytest.mark.parametrize("cell", FORMULAS)
def test_formulas_become_text(cell: str) -> None:
    assert harmless(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["-1.5", "+3", "-1e-9", "a=b", "", "patient-1", -3, 2.5, None, True])
def test_numbers_and_plain_text_stay(cell: object) -> None:
    assert harmless(cell) is cell


def test_screening_list_runs_no_formula(tmp_path: Path) -> None:
    path = tmp_path / "risk.csv"
    row = dict.fromkeys(SCHEMA.names, None) | {SCHEMA.names[1]: FORMULAS[0], SCHEMA.names[2]: -4}
    with _CsvSink(path, SCHEMA) as sink:
        sink.write([row])
    (cells,) = list(csv.reader(path.open()))[1:]
    assert cells[1] == "'" + FORMULAS[0] and cells[2] == "-4"


# Secrets


def test_secrets_are_masked_everywhere() -> None:
    secret = "Zx9-planted-secret"
    settings = Settings(
        access_token=SecretStr(secret),
        fhir_token=SecretStr(secret),
        dicomweb_token=SecretStr(secret),
        database_url=SecretStr(f"postgresql://cds:{secret}@db.example/cds"),
    )
    assert secret not in repr(settings) + str(settings) + settings.model_dump_json()


def test_no_option_takes_a_secret() -> None:
    """Secrets on a command line are seen by every user of the machine."""
    from typer.main import get_command

    from cds.entrypoints.cli import app

    def options(command: Any) -> Iterator[str]:
        for one in command.params:
            yield from one.opts
        for child in getattr(command, "commands", {}).values():
            yield from options(child)

    named = {one for one in options(get_command(app)) if any(word in one for word in ("token", "secret", "password"))}
    assert all(one.endswith("-file") for one in named), named


def test_certificates(tmp_path: Path) -> None:
    def check(**given: Path) -> Any:
        return tls_files(Settings(data_dir=tmp_path, audit_log=None, **given))

    assert check() == (None, None)
    broken = tmp_path / "x.pem"
    broken.write_text("nothing")
    for given in (
        {"tls_cert_file": broken},
        {"tls_key_file": broken},
        {"tls_cert_file": broken, "tls_key_file": broken},
    ):
        with pytest.raises(SettingsError):
            check(**given)
