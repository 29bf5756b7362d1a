"""Golden files: outputs that a person has read once and that must not change unseen."""

import os
from pathlib import Path

GOLDEN_DIR = Path(__file__).resolve().parents[1] / "golden"


def assert_golden(name: str, text: str) -> None:
    """Compares a text with ``tests/golden/<name>``; ``UPDATE_GOLDEN=1`` writes the file instead, to be reviewed."""
    path = GOLDEN_DIR / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.is_file(), f"no golden file {name}: run with UPDATE_GOLDEN=1 and review it"
    assert text == path.read_text(encoding="utf-8"), (
        f"{name} changed: run with UPDATE_GOLDEN=1 and review the difference"
    )
