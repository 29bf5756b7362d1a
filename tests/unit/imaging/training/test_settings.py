"""Settings of trainings from YAML: what cannot be meant is named, with its value and what is allowed."""

import dataclasses
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from imaging.training.attributes import AttributeConfig
from imaging.training.errors import TrainingDataError
from imaging.training.image_classifier import ClassifierConfig
from imaging.training.settings import Count, Positive, Share, read_settings
from imaging.training.train import TrainingConfig

CONFIGS = Path(__file__).resolve().parents[4] / "imaging" / "training" / "configs"


@dataclass(frozen=True, kw_only=True)
class Inner:
    """A part of `Outer`."""

    share: Share = 0.5
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Outer:
    """Settings with a part of their own."""

    count: Count = 1
    rate: Positive = 1.0
    flag: bool = False
    word: str | None = "one"
    inner: Inner = field(default_factory=Inner)


def read(tmp_path: Path, text: str, kind: Any = Outer) -> Any:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return read_settings(path, kind)


def test_what_fits_is_taken(tmp_path: Path) -> None:
    assert read(tmp_path, "") == read(tmp_path, "# nothing yet\n") == Outer()
    given = "count: 3\nrate: 1e-3\nflag: true\nword: null\nshare: 1\nnames: [a, b]\n"
    assert read(tmp_path, given) == Outer(
        count=3, rate=1e-3, flag=True, word=None, inner=Inner(share=1.0, names=("a", "b"))
    )


@pytest.mark.parametrize(
    ("text", "what", "remedy"),
    [
        ("count: abc", "count cannot be 'abc'", "Give count a whole number of at least 1."),
        ("count: 0", "count cannot be 0", "at least 1"),
        ("count: 2.0", "count cannot be 2.0", "whole number"),
        ("count: true", "count cannot be True", "whole number"),
        ("rate: 0", "rate cannot be 0", "a number above 0"),
        ("rate: .nan", "rate cannot be nan", "a number above 0"),
        ("rate: fast", "rate cannot be 'fast'", "a number above 0"),
        ("flag: 1", "flag cannot be 1", "true or false"),
        ("word: 7", "word cannot be 7", "in quotes"),
        ("share: 1.5", "share cannot be 1.5", "from 0 to 1"),
        ("names: a", "names cannot be 'a'", "a list"),
        ("names: [1]", "names cannot be [1]", "a list"),
        ("inner: {}", "unknown settings: inner", "count, flag"),
        ("cuont: 1", "unknown settings: cuont", "Perhaps count for cuont; known: count, flag"),
        ("1: 1", "unknown settings: 1", "count, flag"),
        ("- count", "holds no settings", "name: value"),
        ("count: 1\nrate: [", "no YAML in line 2, column 8", "name: value"),
        ("count: 1: 2", "no YAML in line 1, column 9", "name: value"),
        ("when: 2024-13-45", "cannot be read as YAML", "UTF-8"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, text: str, what: str, remedy: str) -> None:
    with pytest.raises(TrainingDataError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith("config.yaml") and what in str(caught.value)
    assert remedy in caught.value.remedy


def test_all_that_is_wrong_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"count cannot be 0; rate cannot be -1\.") as caught:
        read(tmp_path, "count: 0\nrate: -1\n")
    assert caught.value.remedy == "Give count a whole number of at least 1; rate a number above 0."


def test_a_choice_that_there_is_none_of(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("loss: focal")
    with pytest.raises(TrainingDataError, match="there is no loss 'focal'"):
        TrainingConfig.read(tmp_path / "config.yaml")


def test_no_text_at_all(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(b"\xff\xfe\x00\x9f")
    with pytest.raises(TrainingDataError, match="cannot be read"):
        read_settings(tmp_path / "config.yaml", Outer)


@pytest.mark.parametrize(
    ("kind", "text", "remedy"),
    [
        (TrainingConfig, "epochs: abc", "a whole number"),
        (TrainingConfig, "loss: focal", "one of ota, plain"),
        (TrainingConfig, "sampling: smote", "one of balanced, natural"),
        (TrainingConfig, "graph: yolov9", "yolov7-tiny-lite0"),
        (TrainingConfig, "on_bad_data: ignore", "one of report, stop"),
        (TrainingConfig, "precision: '8'", "one of auto, 32-true"),
        (TrainingConfig, "image_size: 500", "32 divides"),
        (TrainingConfig, "development_fold: 10", "from 0 to 9"),
        (TrainingConfig, "samples_per_epoch: 8", "whole batch"),
        (TrainingConfig, "extra_data: hip", "a list"),
        (ClassifierConfig, "weight: -0.5", "at least 0"),
        (ClassifierConfig, "batch_size: 2000", "whole batch"),
        (AttributeConfig, "pattern_network: resnet", "one of shipped, imagenet, none"),
        (AttributeConfig, "folds: 1", "at least 2"),
        (AttributeConfig, "split: [train]", "a text"),
    ],
)
def test_trainings_refuse_values_that_they_cannot_use(tmp_path: Path, kind: Any, text: str, remedy: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(TrainingDataError) as caught:
        kind.read(path)
    assert remedy in caught.value.remedy
    path.write_text("a: b: c")
    with pytest.raises(TrainingDataError, match="no YAML in line 1"):
        kind.read(path)


@pytest.mark.parametrize("kind", [TrainingConfig, ClassifierConfig, AttributeConfig])
def test_defaults_keep_their_own_rules(tmp_path: Path, kind: Any) -> None:
    default = dataclasses.asdict(kind())
    default |= default.pop("heads", {})
    path = tmp_path / "config.yaml"
    path.write_text(
        yaml.safe_dump({name: list(one) if isinstance(one, tuple) else one for name, one in default.items()})
    )
    assert kind.read(path) == kind()


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: str(path.relative_to(CONFIGS)))
def test_the_configurations_of_the_package_are_sound(path: Path) -> None:
    kinds: dict[str, Any] = {"image_classifier": ClassifierConfig, "fracture_type": AttributeConfig}
    kind = next((kind for beginning, kind in kinds.items() if path.name.startswith(beginning)), TrainingConfig)
    assert kind.read(path)


def test_the_example_for_fracture_types_names_every_setting_at_its_default() -> None:
    path = CONFIGS / "fracture_type.yaml"
    default = AttributeConfig()
    named = {one.name for one in dataclasses.fields(default)} | {one.name for one in dataclasses.fields(default.heads)}
    assert set(yaml.safe_load(path.read_text(encoding="utf-8"))) == named - {"heads"}
    assert AttributeConfig.read(path) == replace(default)
