"""``cds train`` and ``cds evaluate`` given what they cannot use, and the help of every command."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from cds.entrypoints.cli import app
from imaging.training.datasets import read_collection
from imaging.training.splits import plan_splits, shares_of, write_list
from tests.support.radiographs import write_fracatlas, write_weights


def cds(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def atlas(tmp_path: Path) -> Path:
    return write_fracatlas(tmp_path / "fa", fractured=6, healthy=6)


@pytest.fixture
def folds(atlas: Path, tmp_path: Path) -> Path:
    samples = read_collection(atlas).samples
    return write_list(tmp_path / "folds.csv", samples, plan_splits(samples, shares_of("kfold", 3), seed=0))


def commands() -> Iterator[tuple[str, ...]]:
    """The words of every command and group."""

    def below(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield words
        for name, one in getattr(command, "commands", {}).items():
            yield from below(one, (*words, name))

    return below(get_command(app), ())


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_help_is_plain(words: tuple[str, ...]) -> None:
    """No escaped markup, no boxes: what is printed can be read and searched as it stands."""
    done = cds(*words, "--help")
    assert done.exit_code == 0 and done.output.startswith("Usage:")
    assert "\\[" not in done.output and "\u2502" not in done.output


def test_help_states_what_is_required_and_the_defaults() -> None:
    text = " ".join(cds("train", "detector", "--help").output.split())
    assert "manifest and metrics. [required]" in text and "overrides the settings. [x>=1]" in text
    assert "[default: (all)]" in " ".join(cds("evaluate", "detector", "--help").output.split())


@pytest.mark.parametrize(
    ("command", "text", "wrong"),
    [
        (("detector",), "epochs: abc", "epochs cannot be 'abc'"),
        (("detector",), "sampling: smote", "there is no sampling 'smote'"),
        (("detector",), "a: [", "config.yaml is no YAML in line"),
        (("fracture-type",), "folds: many", "folds cannot be 'many'"),
        (("image-classifier", "--model", "model"), "epochs: 0", "epochs cannot be 0"),
        (("bone-age",), "epochs: abc", "gives epochs a value that it cannot have"),
    ],
)
def test_settings_that_cannot_be_used(
    command: tuple[str, ...], text: str, wrong: str, atlas: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_weights(tmp_path / "model")
    (tmp_path / "config.yaml").write_text(text)
    done = cds("train", *command, "--data", atlas, "--out", "out", "--config", "config.yaml")
    assert done.exit_code == 2 and wrong in done.stderr and "mend:" in done.stderr
    assert "internal" not in done.stderr and not (tmp_path / "out").exists()


def test_devices_that_are_none(atlas: Path, tmp_path: Path) -> None:
    done = cds("train", "detector", "--data", atlas, "--out", tmp_path / "out", "--devices", "abc")
    assert done.exit_code == 2 and "--devices cannot be 'abc'" in done.stderr and not (tmp_path / "out").exists()


def test_a_fold_needs_a_list_that_has_it(atlas: Path, folds: Path, tmp_path: Path) -> None:
    train = ("train", "detector", "--data", atlas, "--out", tmp_path / "out")
    done = cds(*train, "--fold", 1)
    assert done.exit_code == 2 and "--split-list" in done.stderr and "kfold" in done.stderr
    done = cds(*train, "--fold", 9, "--split-list", folds)
    assert done.exit_code == 2 and "no split 'fold9'" in done.stderr and "fold0, fold1, fold2" in done.stderr


def test_a_split_list_is_measured_by_one_of_its_splits(atlas: Path, folds: Path) -> None:
    done = cds("evaluate", "detector", "--data", atlas, "--split-list", folds)
    assert done.exit_code == 2 and "--split-list needs --split" in done.stderr
    assert "fold0, fold1, fold2" in done.stderr
