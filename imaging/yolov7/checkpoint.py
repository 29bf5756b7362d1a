"""Weights in and out: safetensors of ours, published state dicts, and pickled `.pt` files without running a pickle.

CheckpointError(ValueError)    a file or state dict is not what the network needs; says what and how to mend it
"""

import hashlib
import io
import math
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from imaging.yolov7.network import Yolov7

StateDict = dict[str, Tensor]

_PREFIXES = re.compile(r"^(?:module\.)*(?:model\.)*(?=\d+\.)")
_SHOWN_KEYS = 5
_MAX_DEPTH = 64


class CheckpointError(ValueError):
    """Weights that cannot be used."""


def load_upstream(network: Yolov7, state_dict: Mapping[str, Tensor], *, include_head: bool = True) -> None:
    """Put published weights into a network, in place; half precision becomes float32.

    Args:
        network: an unfused network of the same graph and number of classes.
        state_dict: keys with or without the prefixes `model.` and `module.` (of data-parallel training).
        include_head: False leaves the head as it is, to start from weights with other classes.

    Raises:
        CheckpointError: keys or shapes differ; lists which.
    """
    given = {_PREFIXES.sub("model.", key): _single_precision(value) for key, value in state_dict.items()}
    wanted = network.state_dict()
    if not include_head:
        head = f"model.{len(network.model) - 1}."
        given = {key: value for key, value in given.items() if not key.startswith(head)}
        wanted = {key: value for key, value in wanted.items() if not key.startswith(head)}
    _compare(given, wanted)
    network.load_state_dict(given, strict=include_head)


def _compare(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    mismatched = [
        f"{key} {list(given[key].shape)} instead of {list(value.shape)}"
        for key, value in wanted.items()
        if key in given and given[key].shape != value.shape
    ]
    problems = {
        "missing": [key for key in wanted if key not in given],
        "unexpected": [key for key in given if key not in wanted],
        "of another shape": mismatched,
    }
    found = [f"{len(keys)} {kind}: {_shortened(keys)}" for kind, keys in problems.items() if keys]
    if found:
        raise CheckpointError(
            f"the weights do not fit the network ({'; '.join(found)}); "
            "check the graph's name, the number of classes and that the weights are not fused ones"
        )


def _shortened(keys: list[str]) -> str:
    more = len(keys) - _SHOWN_KEYS
    return ", ".join(keys[:_SHOWN_KEYS]) + (f" and {more} more" if more > 0 else "")


def _single_precision(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value


def save_weights(path: str | Path, state_dict: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Write weights as safetensors in half precision (anchors stay float32) and return the file's sha256.

    Raises:
        CheckpointError: a value is not finite in half precision.
    """
    tensors = {}
    for key, value in state_dict.items():
        tensor = value.detach().cpu()
        if tensor.is_floating_point():
            # Anchors are pixel coordinates: half precision would move them by up to a quarter of a pixel.
            tensor = tensor.float() if "anchor" in key else tensor.half()
            if not torch.isfinite(tensor).all():
                raise CheckpointError(f"{key} holds values that are not finite in half precision")
        tensors[key] = tensor.clone(memory_format=torch.contiguous_format)
    target = Path(path)
    partial = target.with_name(target.name + ".partial")
    save_file(tensors, partial, metadata=dict(metadata))
    # The library writes for the owner's eyes only; weights are meant to be read by whoever runs the service.
    partial.chmod(0o644)
    partial.replace(target)
    return sha256_of(target)


def load_weights(path: str | Path, *, sha256: str | None = None) -> tuple[StateDict, dict[str, str]]:
    """Weights as float32, and the metadata, of a file written by `save_weights`.

    Args:
        path: a safetensors file.
        sha256: hexadecimal digest that the file must have.

    Raises:
        CheckpointError: the file has another digest, or is no safetensors file.
    """
    if sha256 is not None and (found := sha256_of(path)) != sha256.lower():
        raise CheckpointError(f"{Path(path).name} has sha256 {found}, expected {sha256}; fetch the file again")
    try:
        with safe_open(path, framework="pt") as file:
            return {key: _single_precision(file.get_tensor(key)) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise CheckpointError(f"{Path(path).name} is not a safetensors file: {error}") from error


def sha256_of(path: str | Path) -> str:
    """Hexadecimal sha256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_upstream_checkpoint(path: str | Path) -> StateDict:
    """State dict of a published `.pt` file, float32, read without running or importing anything it names.

    Such files pickle the model object, so an ordinary load imports and runs the source tree of whoever wrote them. Here
    every class the pickle names becomes an inert placeholder; tensors are rebuilt by this module from the raw storages,
    and collected by walking the placeholders as torch modules. Of several models, the averaged one (`ema`) is taken.

    Raises:
        CheckpointError: not a zip checkpoint of torch >= 1.6, larger when read than as a file, or no model inside.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # torch stores members as they are, so nothing can grow when it is read.
            if sum(member.file_size for member in archive.infolist()) > Path(path).stat().st_size:
                raise CheckpointError(
                    f"{Path(path).name} states more than it holds; torch does not compress checkpoints"
                )
            content = _read_archive(archive)
    except (zipfile.BadZipFile, OSError) as error:
        raise CheckpointError(
            f"{Path(path).name} is not a zip checkpoint ({error}); "
            "save an older one again with torch >= 1.6, in a place where its code may run"
        ) from error
    state_dict = {key: _single_precision(value) for key, value in _find_model(content)}
    if not state_dict:
        raise CheckpointError(f"{Path(path).name} holds no model under 'ema', 'model' or 'state_dict'")
    return state_dict


def _read_archive(archive: zipfile.ZipFile) -> object:
    names = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
    if len(names) != 1:
        raise CheckpointError(f"expected one data.pkl in the checkpoint, found {len(names)}")
    root = names[0].removesuffix("data.pkl")
    if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
        raise CheckpointError("the checkpoint was written on a big-endian machine; save it again on another")
    try:
        return _InertUnpickler(io.BytesIO(archive.read(names[0])), archive, root).load()
    except CheckpointError:
        raise
    except (pickle.UnpicklingError, ArithmeticError, AttributeError, EOFError, ImportError) as error:
        raise CheckpointError(f"the checkpoint's pickle is damaged or refused: {error}") from error
    except (LookupError, MemoryError, RecursionError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"the checkpoint's pickle is damaged or refused: {error}") from error


class _Inert:
    """Stand-in for any class or function a pickle names: takes everything, does nothing, keeps the state."""

    state: Mapping[str, object]

    def __new__(cls, *_args: object, **_kwargs: object) -> Self:
        instance = super().__new__(cls)
        instance.state = {}
        return instance

    def __init__(self, *_args: object, **_kwargs: object) -> None: ...

    def __setstate__(self, state: object) -> None:
        self.state = state if isinstance(state, dict) else {}

    def __setitem__(self, key: object, value: object) -> None: ...

    def append(self, value: object) -> None: ...

    def extend(self, values: object) -> None: ...

    def add(self, value: object) -> None: ...


_STORAGES = {
    "BFloat16Storage": torch.bfloat16,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "ShortStorage": torch.int16,
}


class _Held:
    """A tensor out of the pickle's reach, which could otherwise call the tensor's own `__setstate__`."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def _rebuild_tensor(held: _Held, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> _Held:
    """A tensor over a flat storage; refuses to look outside of it, or to blow it up."""
    storage = held.tensor
    if offset < 0 or len(size) != len(stride) or min((*size, *stride), default=0) < 0:
        raise CheckpointError("a tensor of the checkpoint has an impossible layout")
    if 0 in size:
        return _Held(storage.new_empty(size))
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if last >= storage.numel() or math.prod(size) > storage.numel():
        raise CheckpointError("a tensor of the checkpoint reaches beyond its storage")
    return _Held(storage.as_strided(size, stride, offset).clone())


def _rebuild_parameter(held: _Held, *_: object) -> _Held:
    return held


# All that a checkpoint may call. Each of these only builds plain data.
_ALLOWED: dict[str, Callable[..., object]] = {
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch.Size": tuple,
    "collections.OrderedDict": OrderedDict,
    "builtins.set": set,
    "__builtin__.set": set,
}


class _InertUnpickler(pickle.Unpickler):
    """Unpickler that never imports: a name resolves to the short list above, or to a placeholder."""

    def __init__(self, file: io.BytesIO, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(file)
        self._archive = archive
        self._root = root
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:  # Any: the signature of the standard library
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        return _ALLOWED.get(f"{module}.{name}") or type(name, (_Inert,), {"__module__": module})

    def persistent_load(self, pid: object) -> _Held:
        """The flat tensor over a storage; torch writes them as ("storage", type, key, device, length)."""
        match pid:
            case ("storage", torch.dtype() as dtype, str(key), _, int(length)):
                if key not in self._storages:
                    self._storages[key] = self._read_storage(key, dtype)
                storage = self._storages[key]
                if storage.dtype != dtype or storage.numel() < length:
                    raise CheckpointError(f"storage {key} of the checkpoint is shorter than stated or of another type")
                return _Held(storage)
        raise CheckpointError("the checkpoint refers to an unknown kind of storage")

    def _read_storage(self, key: str, dtype: torch.dtype) -> Tensor:
        content = bytearray(self._archive.read(f"{self._root}data/{key}"))
        return torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)


def _find_model(content: object) -> Iterator[tuple[str, Tensor]]:
    """Named tensors of the first model found in an unpickled checkpoint."""
    if isinstance(content, _Inert):
        yield from _walk(content, "", 0)
        return
    if not isinstance(content, dict):
        return
    tensors = {name: value.tensor for name, value in _items(content) if isinstance(value, _Held)}
    if tensors:
        yield from tensors.items()
        return
    for name in ("ema", "model", "state_dict"):
        if isinstance(content.get(name), _Inert | dict):
            yield from _find_model(content[name])
            return


def _walk(module: _Inert, prefix: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    """Named parameters and persistent buffers of a placeholder that stands for a torch module."""
    if depth > _MAX_DEPTH:
        raise CheckpointError("the checkpoint's modules are nested too deep")
    hidden = module.state.get("_non_persistent_buffers_set", ())
    for group in ("_parameters", "_buffers"):
        for name, value in _items(module.state.get(group)):
            if isinstance(value, _Held) and not (isinstance(hidden, set) and name in hidden):
                yield prefix + name, value.tensor
    for name, child in _items(module.state.get("_modules")):
        if isinstance(child, _Inert):
            yield from _walk(child, f"{prefix}{name}.", depth + 1)


def _items(group: object) -> Iterator[tuple[str, object]]:
    if isinstance(group, dict):
        yield from ((str(name), value) for name, value in group.items())
