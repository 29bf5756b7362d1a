"""Weights in and out, and pickles that must not run."""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from imaging.yolov7 import (
    CheckpointError,
    Yolov7,
    build,
    load_upstream,
    load_weights,
    read_upstream_checkpoint,
    save_weights,
    sha256_of,
)


@pytest.fixture
def network() -> Yolov7:
    torch.manual_seed(0)
    return build("yolov7-tiny", 2, width=0.125)


def other(num_classes: int = 2) -> Yolov7:
    torch.manual_seed(1)
    return build("yolov7-tiny", num_classes, width=0.125)


def same(network: nn.Module, state_dict: dict[str, Tensor], tolerance: float = 0.0) -> bool:
    return all(
        torch.allclose(v, state_dict[k], rtol=tolerance, atol=tolerance * 1e-4) for k, v in network.state_dict().items()
    )


PREFIXES: list[Callable[[str], str]] = [
    lambda key: key,
    lambda key: f"module.{key}",
    lambda key: key.removeprefix("model."),
    lambda key: f"model.{key}",
]


@pytest.mark.parametrize("rename", PREFIXES)
def test_load_upstream_takes_half_precision_and_prefixes(network: Yolov7, rename: Callable[[str], str]) -> None:
    state = {rename(k): v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    target = other()
    load_upstream(target, state)
    assert all(v.dtype in (torch.float32, torch.int64) for v in target.state_dict().values())
    assert same(network, target.state_dict(), tolerance=2e-3)


def test_load_upstream_says_what_does_not_fit(network: Yolov7) -> None:
    state = network.state_dict()
    del state["model.0.conv.weight"]
    state["model.99.bias"] = torch.zeros(1)
    with pytest.raises(CheckpointError) as caught:
        load_upstream(other(3), state)
    message = str(caught.value)
    assert "1 missing: model.0.conv.weight" in message
    assert "1 unexpected: model.99.bias" in message
    assert "9 of another shape: model.77.m.0.weight [21, 16, 1, 1] instead of [24, 16, 1, 1]" in message
    assert "and 4 more" in message and "number of classes" in message


def test_load_upstream_may_leave_the_head(network: Yolov7) -> None:
    target = other(3)
    head = {k: v.clone() for k, v in target.head.state_dict().items()}
    load_upstream(target, network.state_dict(), include_head=False)
    assert same(target.head, head)
    assert torch.equal(target.model[76].get_parameter("conv.weight"), network.model[76].get_parameter("conv.weight"))


def test_weights_survive_a_round_trip_in_half_precision(network: Yolov7, tmp_path: Path) -> None:
    network.head.anchor_grid += 0.3
    path = tmp_path / "w.safetensors"
    digest = save_weights(path, network.state_dict(), {"graph": "yolov7-tiny"})
    assert digest == sha256_of(path) and len(digest) == 64
    state, metadata = load_weights(path, sha256=digest)
    assert metadata == {"graph": "yolov7-tiny"}
    assert torch.equal(state["model.77.anchor_grid"], network.head.anchor_grid)
    target = other()
    load_upstream(target, state)
    assert same(network, target.state_dict(), tolerance=2e-3)
    assert [file.name for file in tmp_path.iterdir()] == ["w.safetensors"]


def test_weights_that_cannot_be_used_are_refused(network: Yolov7, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    with pytest.raises(CheckpointError, match="x holds values that are not finite"):
        save_weights(path, {"x": torch.tensor([1e6])}, {})
    save_weights(path, network.state_dict(), {})
    with pytest.raises(CheckpointError, match="expected 00"):
        load_weights(path, sha256="00")
    path.write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_weights(path)


class LocalModel(nn.Module):
    """A model whose class only exists here, as the published ones' classes only exist in their source tree."""

    def __init__(self, network: Yolov7) -> None:
        super().__init__()
        self.model = nn.Sequential(*network.model)
        self.names = ["a", "b"]
        self.register_buffer("scratch", torch.ones(2), persistent=False)


@pytest.mark.parametrize("key", ["model", "ema", None])
def test_published_checkpoints_are_read_without_their_classes(network: Yolov7, tmp_path: Path, key: str | None) -> None:
    path = tmp_path / "theirs.pt"
    model = LocalModel(network).half()
    content = {"epoch": 3, "best_fitness": [0.5], "model": None, "optimizer": None, "wandb_id": None, key: model}
    _save_foreign(content if key else model, path)
    state = read_upstream_checkpoint(path)
    assert "scratch" not in state
    assert {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in network.state_dict().items()}
    target = other()
    load_upstream(target, state)
    assert same(target, {k: v.float() if v.is_floating_point() else v for k, v in model.state_dict().items()})


def _save_foreign(content: object, path: Path) -> None:
    """Save, then rename the class inside so that no module of this name exists to be imported."""
    torch.save(content, path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    here = LocalModel.__module__.encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            foreign = data.replace(b"c" + here + b"\n", b"cmodels.of_someone_else\n")
            if name.endswith("data.pkl"):
                assert foreign != data
            archive.writestr(name, foreign if name.endswith("data.pkl") else data)


def test_plain_state_dicts_are_read_too(network: Yolov7, tmp_path: Path) -> None:
    torch.save({"state_dict": network.state_dict()}, tmp_path / "a.pt")
    torch.save(network.state_dict(), tmp_path / "b.pt")
    for name in ("a.pt", "b.pt"):
        assert same(network, read_upstream_checkpoint(tmp_path / name))


class Payload:
    """What an attacker's pickle does: run a command when it is read."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def test_malicious_pickles_run_nothing(network: Yolov7, tmp_path: Path) -> None:
    witness, path = tmp_path / "witness", tmp_path / "bad.pt"
    for payload in (
        Payload(os.system, f"touch {witness}"),
        Payload(eval, f"open({str(witness)!r}, 'w')"),
        Payload(exec, f"open({str(witness)!r}, 'w')"),
        Payload(os.mkdir, str(witness)),
    ):
        torch.save({"extra": payload, "model": network.state_dict()}, path)
        assert same(network, read_upstream_checkpoint(path))
        assert not witness.exists()
    torch.load(path, weights_only=False)
    assert witness.exists(), "the payload itself must be a working one"


def archive_with(path: Path, pickled: bytes, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for name, data in members.items():
            archive.writestr(f"archive/{name.replace('__', '/')}", data)
    return path


def pickled_tensor(size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0, length: int = 4) -> bytes:
    """{"x": tensor} as torch writes it, with any layout one likes."""

    def plain(value: object) -> bytes:
        return pickle.dumps(value, 2)[2:-1]  # without the header and the final stop

    storage = b"".join(
        (b"(", plain("storage"), b"ctorch\nFloatStorage\n", plain("0"), plain("cpu"), plain(length), b"tQ")
    )
    layout = b"".join(plain(value) for value in (offset, size, stride, False, None))
    return b"".join((b"\x80\x02}", plain("x"), b"ctorch._utils\n_rebuild_tensor_v2\n(", storage, layout, b"tRs."))


def test_hand_written_layouts_are_read_within_their_storage(tmp_path: Path) -> None:
    storage = torch.arange(4.0).numpy().tobytes()
    good = archive_with(tmp_path / "good.pt", pickled_tensor((2, 2), (1, 2)), data__0=storage)
    assert read_upstream_checkpoint(good)["x"].tolist() == [[0, 2], [1, 3]]
    empty = archive_with(tmp_path / "empty.pt", pickled_tensor((0, 2), (2, 1)), data__0=storage)
    assert read_upstream_checkpoint(empty)["x"].shape == (0, 2)


@pytest.mark.parametrize(
    ("pickled", "message"),
    [
        (pickled_tensor((2, 3), (3, 1)), "beyond its storage"),
        (pickled_tensor((2, 2), (2, 1), offset=1), "beyond its storage"),
        (pickled_tensor((10**9,), (0,)), "beyond its storage"),
        (pickled_tensor((2,), (-1,)), "impossible layout"),
        (pickled_tensor((2, 2), (2, 1), length=5), "shorter than stated"),
        (b"\x80\x02", "damaged or refused"),
        (b"nonsense", "damaged or refused"),
        (pickle.dumps({"epoch": 1}), "holds no model"),
        (pickle.dumps([1, 2]), "holds no model"),
    ],
)
def test_damaged_checkpoints_are_refused(tmp_path: Path, pickled: bytes, message: str) -> None:
    path = archive_with(tmp_path / "x.pt", pickled, data__0=bytes(16))
    with pytest.raises(CheckpointError, match=message):
        read_upstream_checkpoint(path)


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(pickle.dumps({}))
    with pytest.raises(CheckpointError, match=r"x\.pt is not a zip checkpoint"):
        read_upstream_checkpoint(path)
    path = archive_with(tmp_path / "big.pt", pickle.dumps({}), byteorder=b"big")
    with pytest.raises(CheckpointError, match="big-endian"):
        read_upstream_checkpoint(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CheckpointError, match="found 0"):
        read_upstream_checkpoint(path)


def test_a_checkpoint_does_not_grow_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", bytes(1 << 20))
    with pytest.raises(CheckpointError, match="more than it holds"):
        read_upstream_checkpoint(path)
