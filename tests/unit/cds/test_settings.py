"""Settings: from the environment, frozen, secrets masked, every variable documented."""

import inspect
from pathlib import Path

import pytest
from pydantic import ValidationError

from cds.bootstrap import load_settings
from cds.errors import SettingsError
from cds.options import Runtime
from cds.settings import Settings, default_audit_log


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"FRACTURE_CDS_{name.upper()}", raising=False)


def test_environment_wins_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRACTURE_CDS_PORT", "9000")
    monkeypatch.setenv("FRACTURE_CDS_RUNTIME", "torch")
    monkeypatch.setenv("FRACTURE_CDS_ALLOWED_HOSTS", '["cds.example"]')
    monkeypatch.setenv("FRACTURE_CDS_HOST", "")
    settings = load_settings()
    assert (settings.port, settings.runtime, settings.allowed_hosts) == (9000, Runtime.TORCH, ("cds.example",))
    assert settings.host == "127.0.0.1"


def test_command_line_wins_over_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRACTURE_CDS_PORT", "9000")
    assert load_settings(port=9001).port == 9001


def test_frozen() -> None:
    with pytest.raises(ValidationError):
        load_settings().port = 1


def test_secret_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRACTURE_CDS_ACCESS_TOKEN", "open-sesame")
    settings = load_settings()
    assert "open-sesame" not in repr(settings) + str(settings) + settings.model_dump_json()


@pytest.mark.parametrize(("name", "value"), [("PORT", "0"), ("RUNTIME", "abacus"), ("THREADS", "none-at-all")])
def test_invalid_value_names_the_variable_only(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"FRACTURE_CDS_{name}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert f"FRACTURE_CDS_{name}" in str(caught.value)
    assert f"'{value}'" not in str(caught.value)


def test_audit_log_is_on_by_default_and_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert load_settings().audit_log == default_audit_log() == Path("/state/fracture-cds/audit.jsonl")
    monkeypatch.setenv("FRACTURE_CDS_AUDIT_LOG", "off")
    assert load_settings().audit_log is None


def test_every_field_is_documented() -> None:
    source = inspect.getsource(Settings)
    for name in Settings.model_fields:
        after = source.split(f"    {name}: ", 1)[1]
        assert after.splitlines()[1].strip().startswith('"""'), name
