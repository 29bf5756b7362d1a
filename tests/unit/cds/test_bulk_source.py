from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from cds import bulk_source
from cds.bulk_source import ExportChoice, ExportedPopulation, export_population
from cds.errors import InputError, ScreeningInputError, explain
from cds.settings import Settings
from fhir_adapters.errors import ExportFolderError, ForbiddenError, NotOnServerError, TokenRefusedError
from tests.support.bulk_double import BulkServer, accepted, lines, manifest, ndjson, offered
from tests.support.fhir_double import BASE, client, resource, searchset

Kick = dict[tuple[str, str], httpx.Response | Exception]
"""What a kick-off of a level (``system``, ``Patient``, ``Group``) with a scope (``narrow``, ``wide``) gives."""


def export(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    kick: Kick,
    *,
    choice: ExportChoice | None = None,
    **settings: Any,
) -> tuple[ExportedPopulation, list[tuple[str, str]]]:
    asked: list[tuple[str, str]] = []

    def build(settings: Settings, *, types: Sequence[str]) -> Any:
        scope = "wide" if types == ("*",) else "narrow"

        def answer(request: httpx.Request) -> httpx.Response:
            if not request.url.path.endswith("$export"):
                return searchset() if request.method == "POST" else server(request)
            parts = request.url.path.split("/")
            level = "system" if parts[-2] == "fhir" else "Group" if "Group" in parts else "Patient"
            asked.append((level, scope))
            told = kick.get((level, scope), httpx.Response(404))
            if isinstance(told, Exception):
                raise told
            return told

        return client(answer)

    server = BulkServer(
        status=manifest([offered("Patient", "p", 1)]), p=ndjson(lines("Patient", 1)), metadata=resource({}, 404)
    )
    monkeypatch.setattr(bulk_source, "build_fhir_client", build)
    given = Settings(fhir_server=BASE, **settings)
    return export_population(given, choice or ExportChoice(), folder), asked


def test_everybody_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    population, asked = export(monkeypatch, tmp_path, {("system", "narrow"): accepted()})
    assert asked == [("system", "narrow")]
    assert population.medications is None
    assert "fhir.export.type_absent:Medication" in population.warnings


@pytest.mark.parametrize("status", [400, 404, 405, 501])
def test_a_server_without_an_export_of_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int) -> None:
    kick: Kick = {("system", "narrow"): httpx.Response(status), ("Patient", "narrow"): accepted()}
    population, asked = export(monkeypatch, tmp_path, kick)
    assert set(asked) == {("system", "narrow"), ("Patient", "narrow")}
    assert population.medications is not None and population.result.report["level"] == "patient"
    assert "fhir.export.type_absent:Medication" not in population.warnings
    # The next call goes on with what was begun.
    again, asked = export(monkeypatch, tmp_path, {})
    assert asked == [] and again.result.resumed


def test_scopes_are_widened_only_where_the_server_forbids(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    earned: dict[str, Any] = {"fhir_client_id": "me", "fhir_key_file": tmp_path / "key"}
    kick: Kick = {("system", "narrow"): httpx.Response(403), ("system", "wide"): accepted()}
    _, asked = export(monkeypatch, tmp_path / "a", kick, **earned)
    assert asked == [("system", "narrow"), ("system", "wide")]
    kick = {("Group", "narrow"): httpx.Response(403), ("Group", "wide"): TokenRefusedError("no")}
    with pytest.raises(ForbiddenError):
        export(monkeypatch, tmp_path / "b", kick, choice=ExportChoice(group_id="g"), **earned)
    with pytest.raises(ForbiddenError):  # a token cannot be widened
        export(
            monkeypatch, tmp_path / "c", {("Group", "narrow"): httpx.Response(403)}, choice=ExportChoice(group_id="g")
        )
    with pytest.raises(TokenRefusedError):  # one attempt with a wrong key, not four
        export(monkeypatch, tmp_path / "d", {("system", "narrow"): TokenRefusedError("no")}, **earned)


def test_a_server_without_exports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(NotOnServerError) as caught:
        export(monkeypatch, tmp_path, {})
    assert "--group" in explain(caught.value).remedy and explain(caught.value).exit_code == 8


def test_another_group_in_the_same_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kick: Kick = {("Group", "narrow"): accepted(), ("system", "narrow"): accepted()}
    export(monkeypatch, tmp_path, kick, choice=ExportChoice(group_id="a"))
    for other in (ExportChoice(group_id="b"), ExportChoice()):
        with pytest.raises(ExportFolderError) as caught:
            export(monkeypatch, tmp_path, kick, choice=other)
        assert explain(caught.value).exit_code == 2


def test_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server = BulkServer(status=manifest([]))
    monkeypatch.setattr(bulk_source, "build_fhir_client", lambda settings, types: client(server))
    with pytest.raises(ScreeningInputError):
        export_population(Settings(fhir_server=BASE), ExportChoice(), tmp_path)


def test_limits_and_a_server_that_is_not_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        export_population(Settings(fhir_server=None), ExportChoice(), tmp_path)
    limits = bulk_source._limits(Settings(fhir_export_hours=2, fhir_export_max_gib=0.5))
    assert (limits.deadline_s, limits.max_bytes) == (7200, 2**29)
