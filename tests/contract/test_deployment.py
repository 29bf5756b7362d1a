"""What a machine without containers can check of Dockerfile, compose file and Kubernetes example: names, files, rights.

No image is built here. What is written in the three files is held against the program: settings, commands, routes,
paths and users that they name exist, and secrets come as files.
"""

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from fastapi.routing import APIRoute

from cds.entrypoints.api.health import health_router
from cds.entrypoints.cli import app
from cds.entrypoints.service import Service
from cds.pacs.callers import parse_callers
from cds.pacs.destinations import parse_peer
from cds.settings import Settings
from tests.support.fakes import FakeParts, RememberingAuditTrail

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "FRACTURE_CDS_"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
OWN = [name for name, one in COMPOSE["services"].items() if one.get("image") == "fracture-cds"]
KUBERNETES: list[dict[str, Any]] = list(yaml.safe_load_all((ROOT / "kubernetes.example.yaml").read_text()))
DOCKERFILE = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text()).splitlines()
SERVICE_KEYS = {
    "build", "image", "restart", "read_only", "tmpfs", "security_opt", "cap_drop", "secrets", "volumes", "depends_on",
    "environment", "ports", "command", "healthcheck", "stop_grace_period",
}  # fmt: skip
"""Of the Compose Specification, those that are used."""


def instructions(name: str) -> list[str]:
    return [line.split(maxsplit=1)[1] for line in DOCKERFILE if line.startswith(f"{name} ")]


def plain_name(name: str) -> str:
    """As package indexes compare names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def usable(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings that an environment makes; every name must be one."""
    own = {name: value for name, value in environment.items() if name.startswith(PREFIX)}
    assert own
    unknown = [name for name in own if name.removeprefix(PREFIX).lower() not in Settings.model_fields]
    assert unknown == []
    secrets = [name for name in own if re.search("TOKEN|PASSWORD|SECRET|KEY", name) and not name.endswith("_FILE")]
    assert secrets == [], "a secret stands in the environment"
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    return Settings()


def understood(words: list[str]) -> None:
    """The command line is one that ``cds`` has, with every option."""
    assert words[0] == "cds"
    command: Any = typer.main.get_command(app)
    context = command.make_context("cds", words[1:], resilient_parsing=False)
    while hasattr(command, "commands"):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)
    assert context.args == []


# --- Dockerfile


def test_what_is_copied_is_there_and_not_ignored() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    copied = [word for one in instructions("COPY") if "--from=" not in one for word in one.split()[:-1]]
    assert {"pyproject.toml", "README.md", "LICENSE", "requirements.txt"} <= set(copied)
    assert all((ROOT / name).exists() for name in copied)
    # Everything stays out but what is copied: no data, secrets or history, whatever lies in the folder.
    assert (lines[0], lines[-1]) == ("*", "**/__pycache__")
    assert sorted(lines[1:-1]) == sorted(f"!{name}" for name in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {one.rstrip("*") for one in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages <= set(copied)
    assert {project["project"]["readme"], *project["project"]["license-files"]} <= set(copied)


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {
        plain_name(re.split(r"[=\[; ]", line)[0])
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if "==" in line and not line.startswith("#")
    }
    wanted = {plain_name(re.split(r"[<>=\[; ]", one)[0]) for one in project["dependencies"]}
    assert wanted - pinned == set()


def test_the_image_runs_as_somebody_who_owns_nothing_and_starts_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    froms = [number for number, line in enumerate(DOCKERFILE) if line.startswith("FROM ")]
    users = [number for number, line in enumerate(DOCKERFILE) if line.startswith("USER ")]
    assert users and users[-1] > froms[-1]
    uid, gid = instructions("USER")[-1].split(":")
    assert int(uid) >= 1000 and int(gid) >= 1000  # as numbers: Kubernetes cannot tell of a name whether it is root
    understood(json.loads(instructions("CMD")[-1]))
    environment = dict(part.split("=", 1) for one in instructions("ENV") for part in shlex.split(one) if "=" in part)
    settings = usable(environment, monkeypatch)
    assert "127.0.0.1" in settings.allowed_hosts
    (check,) = instructions("HEALTHCHECK")
    (path,) = re.findall(r"http://127\.0\.0\.1:8000(/\w+)", check)
    assert path in routes()
    assert instructions("EXPOSE") == ["8000"]


def routes() -> set[str]:
    """What may be asked for without a credential."""
    settings = Settings(audit_log=None, store="off")
    service = Service(settings=settings, engines=FakeParts().engines(), audit=RememberingAuditTrail(), store=None)
    return {one.path for one in health_router(service).routes if isinstance(one, APIRoute)}


# --- compose.yaml


def test_compose_is_made_of_what_it_defines() -> None:
    assert set(COMPOSE) <= {"name", "services", "secrets", "volumes", "x-cds"}
    for name, one in COMPOSE["services"].items():
        assert set(one) <= SERVICE_KEYS, name
        assert one.get("image"), name
        for other, how in one.get("depends_on", {}).items():
            assert how["condition"] == "service_healthy"
            assert COMPOSE["services"][other]["healthcheck"]["test"]
        assert set(one.get("secrets", [])) <= set(COMPOSE["secrets"])
        for volume in one.get("volumes", []):
            source, target = volume.split(":")[:2]
            assert source in COMPOSE["volumes"]
            assert target.startswith("/")
        for port in one.get("ports", []):
            assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), "more than this machine can reach it"
        files = [value for key, value in one.get("environment", {}).items() if key.endswith("_FILE")]
        assert {Path(value).name for value in files} <= set(one.get("secrets", []))
        assert all(value.startswith("/run/secrets/") for value in files)
    assert all(set(one) == {"file"} for one in COMPOSE["secrets"].values())


@pytest.mark.parametrize("name", OWN)
def test_compose_runs_the_program_as_it_is(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = COMPOSE["services"][name]
    assert one["read_only"] is True
    assert one["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in one["security_opt"]
    assert "/tmp" in one["tmpfs"]
    settings = usable(one["environment"], monkeypatch)
    assert int(one["stop_grace_period"].removesuffix("s")) > settings.shutdown_seconds
    assert settings.database_url is not None and ":@" not in settings.database_url.get_secret_value()
    address = settings.database_url.get_secret_value()
    assert re.fullmatch(r"postgresql://cds@database:5432/cds", address), "the password comes from its file"
    home = f"{one['volumes'][0].split(':')[1]}/"
    assert home == "/home/cds/.local/"  # where data and audit trail lie by default
    if "command" in one:
        understood(one["command"])


def test_both_sides_of_the_pacs_know_each_other() -> None:
    command, orthanc = COMPOSE["services"]["pacs"]["command"], COMPOSE["services"]["orthanc"]["environment"]
    given = dict(zip(command[3::2], command[4::2], strict=True))
    peer = parse_peer(given["--send-to"], Settings())
    assert (peer.host, peer.port, peer.called_aet) == ("orthanc", 4242, orthanc["ORTHANC__DICOM_AET"])
    assert parse_callers([given["--allow"]])[0].admits(orthanc["ORTHANC__DICOM_AET"], "172.18.0.3")
    (modality,) = json.loads(orthanc["ORTHANC__DICOM_MODALITIES"]).values()
    assert modality == [given["--aet"], "pacs", int(given["--port"])]


# --- kubernetes.example.yaml


def test_kubernetes_names_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    by_kind = {one["kind"]: one for one in KUBERNETES}
    assert set(by_kind) == {"Deployment", "PersistentVolumeClaim", "Service"}
    deployment = by_kind["Deployment"]["spec"]
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    assert deployment["selector"]["matchLabels"] == deployment["template"]["metadata"]["labels"]
    assert by_kind["Service"]["spec"]["selector"] == deployment["template"]["metadata"]["labels"]
    settings = usable({one["name"]: one["value"] for one in container["env"]}, monkeypatch)
    ports = [one["containerPort"] for one in container["ports"]]
    assert by_kind["Service"]["spec"]["ports"][0]["targetPort"] in ports == [8000]
    for probe in ("readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["path"] in routes() and asked["port"] in ports
        assert asked["httpHeaders"][0]["value"] in settings.allowed_hosts
    assert pod["terminationGracePeriodSeconds"] > settings.shutdown_seconds


def test_kubernetes_gives_no_more_rights_than_needed() -> None:
    (deployment,) = [one for one in KUBERNETES if one["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    user = re.search(r"--uid (\d+)", (ROOT / "Dockerfile").read_text())
    assert user is not None
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == int(user[1])
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    assert set(mounts) == {one["name"] for one in pod["volumes"]}
    assert mounts["data"] == "/home/cds/.local" and mounts["scratch"] == "/tmp"
    files = [one["value"] for one in container["env"] if one["name"].endswith("_FILE")]
    assert all(value.startswith(f"{mounts['secrets']}/") for value in files)
    claims = {one["metadata"]["name"] for one in KUBERNETES if one["kind"] == "PersistentVolumeClaim"}
    wanted = [one["persistentVolumeClaim"] for one in pod["volumes"] if "persistentVolumeClaim" in one]
    assert {one["claimName"] for one in wanted} == claims
