"""Secure aggregation: pairwise masks that cancel in the sum (Bonawitz et al., CCS 2017, without its recovery stage).

Flower's own SecAgg+ is a workflow of its SuperLink and mod of its ClientApp; the channel used here (`transport`) has
neither. So each round every two hospitals agree on a secret (X25519 keys made for that round, signed with the
hospitals' long-lived keys) and expand it to a mask as long as the update; one adds it, the other subtracts it, modulo
2^32. The server adds all masked updates and learns only the sum. It has no say in the weights: each hospital signs its
count together with its key of the round, checks the others' and computes its own weight. Masks are bound to these
counts, the settings and the common model, so that they cancel only among hospitals that were told the same.

A hospital that drops out leaves masks that nobody can remove: the round is then lost and repeated with new keys by
those who are there. That is on purpose. A server that could remove masks could also pretend that a hospital dropped
out; and a hospital never masks one update twice. Comparing rounds with different members still tells something about
who was missing; add noise (`privacy`) where that matters.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cds.learning.federated.aggregation import flatten, unflatten
from cds.learning.federated.errors import UpdateRefusedError, WireError
from cds.learning.federated.wire import Tensors

SCALE = 2.0**20
"""Fixed point: steps of about 1e-6."""
LARGEST = 2047.0
"""Largest absolute value of an update's entry before it is weighted. Shares sum to 1, so the sum of any number of
members stays below 2^31 / `SCALE` = 2048; what is left over holds their rounding."""

Words = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class RoundKey:
    """A hospital's key of one round."""

    private: X25519PrivateKey
    public: bytes
    """32 bytes."""


def make_round_key() -> RoundKey:
    """A fresh key; never used for two rounds."""
    key = X25519PrivateKey.generate()
    return RoundKey(key, key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def mask(
    update: Tensors, *, share: float, key: RoundKey, others: Mapping[bytes, bytes], own: bytes, info: bytes
) -> Tensors:
    """A weighted update under masks.

    Args:
        update: finite float tensors.
        share: weight of this hospital, 0..1; those of all members sum to at most 1.
        key: this hospital's key of the round.
        others: the other members: long-lived public key to public key of the round.
        own: this hospital's long-lived public key; its order among the others decides who adds and who subtracts.
        info: binds the masks to the round and to all that the server told its members (`orders.mask_statement`).

    Returns:
        uint32 tensors of the same names and shapes.

    Raises:
        UpdateRefusedError: a value is too large for the fixed point (``too-large``) or not finite (``not-finite``).
        WireError: a key is none.
    """
    vector = flatten(update)
    if not np.isfinite(vector).all():
        raise UpdateRefusedError("an update holds values that are not finite", reason="not-finite")
    if vector.size and np.abs(vector).max() > LARGEST:
        raise UpdateRefusedError("an update is too large to be masked", reason="too-large")
    words: Words = np.round(vector * share * SCALE).astype(np.int64).astype(np.uint32)
    for other, public in others.items():
        stream = _stream(key, public, info + min(own, other) + max(own, other), words.size)
        words = words + stream if own < other else words - stream
    return unflatten_words(words, update)


def unmask_sum(masked: list[Tensors], like: Tensors) -> Tensors:
    """The sum of all members' weighted updates, where every member's is there.

    Args:
        masked: one set of uint32 tensors a member.
        like: names, shapes and dtypes of the model.

    Raises:
        UpdateRefusedError: the shapes differ (``shape``).
    """
    shapes = {name: array.shape for name, array in like.items()}
    total: Words = np.zeros(sum(array.size for array in like.values()), dtype=np.uint32)
    for one in masked:
        if {n: a.shape for n, a in one.items()} != shapes or any(a.dtype != np.uint32 for a in one.values()):
            raise UpdateRefusedError("a masked update does not have the shape of the model", reason="shape")
        for_all = np.concatenate([array.ravel() for array in one.values()])
        total = total + for_all
    return unflatten(total.view(np.int32).astype(np.float64) / SCALE, like)


def unflatten_words(words: Words, like: Tensors) -> Tensors:
    """A vector of uint32 as tensors of the names and shapes of `like`."""
    result: Tensors = {}
    start = 0
    for name, array in like.items():
        result[name] = words[start : start + array.size].reshape(array.shape)
        start += array.size
    return result


def _stream(key: RoundKey, public: bytes, info: bytes, length: int) -> Words:
    """The mask of a pair: AES-256 in counter mode under a key that only the two can derive."""
    try:
        shared = key.private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:
        raise WireError("a key of the round is not a key", remedy="Run the same version everywhere.") from error
    secret = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"fracture-cds.mask/1" + info).derive(shared)
    # A zero counter block is safe: the key serves one pair in one round.
    encryptor = Cipher(algorithms.AES(secret), modes.CTR(bytes(16))).encryptor()
    return np.frombuffer(encryptor.update(bytes(4 * length)), dtype="<u4").astype(np.uint32)
