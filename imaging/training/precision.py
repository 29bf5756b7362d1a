"""In which number format a training computes: bfloat16 where the machine has it, float32 where it would be emulated."""

import torch

from imaging.training.errors import TrainingDataError

AUTO = "auto"
PRECISIONS = (AUTO, "32-true", "bf16-mixed", "16-mixed")
"""What a configuration may say: ``auto``, and those of Lightning's words that the batches here can be computed in."""


def resolve(precision: str) -> str:
    """Lightning's word for a precision; ``auto`` becomes ``bf16-mixed`` or ``32-true``, whichever suits the machine.

    On a processor without AVX512-BF16 or AMX bfloat16 is emulated: a step of the detector took 17 times as long there
    as in float32.

    Raises:
        TrainingDataError: there is no such precision.
    """
    if precision not in PRECISIONS:
        raise TrainingDataError(f"there is no precision {precision!r}", f"choose one of {', '.join(PRECISIONS)}")
    if precision != AUTO:
        return precision
    return "bf16-mixed" if _has_bfloat16() else "32-true"


def _has_bfloat16() -> bool:
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    probes = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(probe() for probe in probes if probe is not None)
