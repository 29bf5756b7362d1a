"""Numbers as wide as the machine computes them fast."""

import pytest
import torch

from imaging.training.precision import resolve


def test_what_is_asked_for_is_taken() -> None:
    assert [resolve(one) for one in ("32-true", "bf16-mixed", "16-mixed")] == ["32-true", "bf16-mixed", "16-mixed"]


@pytest.mark.parametrize(("has", "wanted"), [(True, "bf16-mixed"), (False, "32-true")])
def test_auto_asks_the_processor(has: bool, wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: has, raising=False)
    assert resolve("auto") == wanted


def test_auto_does_without_the_probes_of_another_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert resolve("auto") == "32-true"
