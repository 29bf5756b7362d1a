"""Everything that leaves a hospital, listed by kind with its bytes.

A hospital sends four kinds of message, each one protobuf message of Flower (`flwr.proto.transport_pb2.ClientMessage`):
``hello`` (who is there), ``keys`` (only with secure aggregation), ``update`` (once a round) and ``final`` (a receipt).
Each consists of the items below and of an envelope that protobuf adds (tags, lengths, map keys, status). gRPC puts 5
bytes before each message, HTTP/2 9 bytes before each frame of at most 16 KiB, and TLS its records; the channel also
carries HTTP/2's own frames (settings, window updates, pings) and once the header of the call, which names the gRPC
library and its version. Nothing else is sent.

=============  ======================================================================================================
kind           what it is
=============  ======================================================================================================
``header``     JSON: name, shape and dtype of each tensor that follows
``weights``    one tensor of a model update (difference to the weights received), float32
``masked``     the same under masks that cancel in the sum over hospitals, uint32
``trees``      one array of new trees: sizes, features, public thresholds, children, leaf values
``count``      examples that were learnt from, an integer
``metric``     mean loss of the received model on the hospital's own data; not sent under differential privacy
``key``        a public key of the hospital (Ed25519), or of the round (X25519)
``signature``  Ed25519 signature
``status``     why there is no update, one dotted word
=============  ======================================================================================================

No image, row or identifier of a patient is an item. The client writes the list to ``sent.jsonl`` before it sends.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cds.learning.federated.errors import WireError

Tensors = dict[str, npt.NDArray[Any]]
"""Named arrays, in the order in which they travel."""

TENSOR_TYPE = "fracture-cds.tensors/1"
MOST_TENSORS = 4096
MOST_BYTES = 512 * 2**20
_DTYPES = frozenset({"float32", "float64", "int16", "int32", "uint8", "uint32"})
_NAME = re.compile(r"[A-Za-z0-9_.]{1,128}")


class Kind(StrEnum):
    """What an item is; see the module."""

    HEADER = "header"
    WEIGHTS = "weights"
    MASKED = "masked"
    TREES = "trees"
    COUNT = "count"
    METRIC = "metric"
    KEY = "key"
    SIGNATURE = "signature"
    STATUS = "status"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing in a message."""

    kind: Kind
    name: str
    bytes: int
    """Length of its content on the wire."""
    sha256: str = ""
    """Of its content; empty for numbers."""
    shape: tuple[int, ...] = ()
    dtype: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentMessage:
    """One message as it left: its items and the envelope around them."""

    round: int
    message: str
    """hello, keys, update, final or goodbye."""
    items: tuple[Item, ...]
    message_bytes: int
    """The whole protobuf message."""

    @property
    def envelope_bytes(self) -> int:
        """What protobuf adds: tags, lengths, map keys, status."""
        return self.message_bytes - sum(item.bytes for item in self.items)

    def to_json(self) -> dict[str, Any]:
        """One line of ``sent.jsonl``."""
        return {
            "round": self.round,
            "message": self.message,
            "message_bytes": self.message_bytes,
            "envelope_bytes": self.envelope_bytes,
            "items": [asdict(item) for item in self.items],
        }


class SentLog:
    """Appends to ``sent.jsonl``; what cannot be written down is not sent."""

    def __init__(self, path: Path) -> None:
        """Name the file.

        Args:
            path: it is made on the first message, and only ever grows.
        """
        self.path = path

    def write(self, message: SentMessage) -> None:
        """Add one message.

        Raises:
            WireError: the file cannot be written; the message must not be sent then.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(message.to_json(), separators=(",", ":")) + "\n")
        except OSError as error:
            raise WireError(
                "the list of what leaves this hospital cannot be written", remedy="Free space, or choose another --out."
            ) from error


def read_sent(path: Path) -> list[SentMessage]:
    """The messages of a ``sent.jsonl``, in order."""
    messages = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        items = tuple(
            Item(**(item | {"kind": Kind(item["kind"]), "shape": tuple(item["shape"])})) for item in row["items"]
        )
        messages.append(
            SentMessage(round=row["round"], message=row["message"], items=items, message_bytes=row["message_bytes"])
        )
    return messages


def pack(tensors: Tensors) -> list[bytes]:
    """Tensors as a JSON header and one block of little-endian bytes each; no pickle.

    Raises:
        WireError: a dtype or a name that the format does not know.
    """
    header, blocks = [], []
    for name, array in tensors.items():
        dtype = array.dtype.name
        if dtype not in _DTYPES or not _NAME.fullmatch(name):
            raise WireError(f"tensor of dtype {dtype} cannot travel", remedy="Send float32, int16, int32 or uint8.")
        header.append({"name": name, "shape": list(array.shape), "dtype": dtype})
        blocks.append(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes())
    return [json.dumps(header, separators=(",", ":")).encode(), *blocks]


def unpack(blocks: Sequence[bytes]) -> Tensors:
    """Inverse of `pack`, distrustful of every length.

    Raises:
        WireError: the blocks do not fit the header, or are too many or too large.
    """
    if not blocks or len(blocks) > MOST_TENSORS or sum(map(len, blocks)) > MOST_BYTES:
        raise _misfit("no tensors, or too many or too large ones")
    try:
        header = json.loads(blocks[0])
        named = [(str(row["name"]), tuple(int(n) for n in row["shape"]), str(row["dtype"])) for row in header]
    except (ValueError, KeyError, TypeError) as error:
        raise _misfit("the header of the tensors cannot be read") from error
    if len(named) != len(blocks) - 1 or len({name for name, _, _ in named}) != len(named):
        raise _misfit("the header names other tensors than there are")
    tensors: Tensors = {}
    for (name, shape, dtype), block in zip(named, blocks[1:], strict=True):
        if dtype not in _DTYPES or not _NAME.fullmatch(name) or any(side < 0 for side in shape):
            raise _misfit("a tensor of an unknown kind")
        kind = np.dtype(dtype)
        if prod(shape) * kind.itemsize != len(block):
            raise _misfit("a tensor's bytes do not fit its shape")
        tensors[name] = np.frombuffer(block, dtype=kind.newbyteorder("<")).astype(kind).reshape(shape)
    return tensors


def items_of(tensors: Tensors, blocks: Sequence[bytes], kind: Kind) -> list[Item]:
    """The items that `pack` makes of tensors."""
    items = [Item(kind=Kind.HEADER, name="tensors", bytes=len(blocks[0]), sha256=digest(blocks[0]))]
    for (name, array), block in zip(tensors.items(), blocks[1:], strict=True):
        items.append(
            Item(
                kind=kind,
                name=name,
                bytes=len(block),
                sha256=digest(block),
                shape=array.shape,
                dtype=array.dtype.name,
            )
        )
    return items


def totals(messages: Sequence[SentMessage]) -> Mapping[str, int]:
    """Bytes by kind of item, and of the envelopes (key ``envelope``)."""
    sums: dict[str, int] = {}
    for message in messages:
        for item in message.items:
            sums[item.kind.value] = sums.get(item.kind.value, 0) + item.bytes
        sums["envelope"] = sums.get("envelope", 0) + message.envelope_bytes
    return dict(sorted(sums.items()))


def digest(block: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(block).hexdigest()


def _misfit(message: str) -> WireError:
    return WireError(message, remedy="Run the same version of the program everywhere.")
