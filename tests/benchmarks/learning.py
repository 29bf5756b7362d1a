"""The proofs of the learning loop, one after the other, as one page.

    python -m tests.benchmarks.learning --data ../shared/data --out out/learning [--budget small|full]
        [--only retraining,federated,federated_detector,drift,selection] [--keep]

Each proof is a module ``learning_<name>`` with ``prove(data, out, *, budget)``; one that fails is shown as failed and
stops no other. ``index.html`` needs no other file; ``learning.json`` holds the same figures. The exit code is 1 where a
proof failed. With ``--keep`` a proof that an earlier command finished in the same folder is shown and not run again;
retraining, which takes an hour, always goes on from what it finds in its folder.
"""

import argparse
import base64
import importlib
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any, Final

from cds.presenters import wording
from cds.version import engine_version
from tests.benchmarks.learning_report import Section, Table

PROOFS: Final = ("retraining", "federated", "federated_detector", "drift", "selection")
KEPT_NAME: Final = "proven.json"
"""In the folder of a proof: what it found, for ``--keep``."""
JSON_SCHEMA: Final = "fracture-cds.learning-proofs/1"
Prove = Callable[..., Sequence[Section]]
_STYLE: Final = """
:root { --ink: #17222d; --muted: #4a5866; --line: #cdd5dd; --soft: #f3f6f9; --danger: #8c1d18; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 0 1.25rem 2rem; max-width: 74rem; color: var(--ink);
  font: 0.9375rem/1.5 system-ui, "Segoe UI", Roboto, Arial, sans-serif; }
.notice { margin: 0 -1.25rem; padding: 0.4rem 1.25rem; background: #fff3cf; border-bottom: 2px solid #b38600; }
h1 { margin: 0.8rem 0 0.2rem; } h2 { border-top: 2px solid var(--line); padding-top: 0.8rem; margin-top: 1.6rem; }
h3 { margin: 1.2rem 0 0.3rem; } p { max-width: 52rem; margin: 0.4rem 0; }
.meta, caption, figcaption { color: var(--muted); font-size: 0.8125rem; }
.failed { border-left: 0.4rem solid var(--danger); background: #fdf0ef; padding: 0.5rem 0.9rem; }
.failed pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.8125rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; margin: 0.6rem 0; }
caption { text-align: left; } th, td { text-align: left; vertical-align: top; padding: 0.28rem 0.9rem 0.28rem 0;
  border-bottom: 1px solid var(--line); font-weight: 400; } thead th { color: var(--muted); font-size: 0.8125rem; }
img { max-width: 100%; height: auto; border: 1px solid var(--line); margin: 0.4rem 0; }
nav ul { columns: 2; padding-left: 1.2rem; } a { color: #0b4f7d; }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """What came of one proof."""

    name: str
    seconds: float
    sections: tuple[Section, ...] = ()
    failure: str | None = None
    """The end of the traceback, without folders of this machine; None where it succeeded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The whole page."""

    budget: str
    began: datetime
    machine: str
    proofs: tuple[Proven, ...] = field(default_factory=tuple)


def run(
    names: Sequence[str],
    data: Path,
    out: Path,
    *,
    budget: str,
    keep: bool = False,
    load: Callable[[str], Prove] | None = None,
) -> Report:
    """Run proofs in turn; each begins when the one before has ended, however.

    Args:
        names: which.
        data: folder with the data sets.
        out: folder for the page; each proof gets a folder of its own in it.
        budget: ``small``, ``full`` or ``tiny``.
        keep: whether a proof that an earlier run finished with this budget is taken as it is.
        load: gives the proof of a name; the modules beside this one by default.
    """
    began = datetime.now(UTC)
    proofs = tuple(
        (_kept(name, out / name, budget) if keep else None) or _proven(name, data, out / name, budget, load or _load)
        for name in names
    )
    return Report(budget=budget, began=began, machine=_machine(), proofs=proofs)


def _proven(name: str, data: Path, folder: Path, budget: str, load: Callable[[str], Prove]) -> Proven:
    print(f"{name} ...", file=sys.stderr, flush=True)
    started = time.monotonic()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sections = tuple(load(name)(data, folder, budget=budget))
    except Exception as error:  # shown on the page: the other proofs still stand
        last = traceback.extract_tb(error.__traceback__)[-1]
        words = f"{type(error).__name__}: {error}\nin {last.name}, line {last.lineno} of {Path(last.filename).name}"
        print(f"{name}: failed, {words}", file=sys.stderr, flush=True)
        return Proven(name=name, seconds=time.monotonic() - started, failure=words)
    print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    proven = Proven(name=name, seconds=time.monotonic() - started, sections=sections)
    keep_for_later(proven, folder, budget)
    return proven


def keep_for_later(proven: Proven, folder: Path, budget: str) -> None:
    """Write down what a proof found; pictures stay where they are, in the proof's folder."""
    kept = {"budget": budget, "seconds": proven.seconds, "sections": [asdict(one) for one in proven.sections]}
    for section in kept["sections"]:  # type: ignore[attr-defined]
        section["figures"] = [path.name for path in section["figures"]]
    (folder / KEPT_NAME).write_text(json.dumps(kept, default=str), encoding="utf-8")


def _kept(name: str, folder: Path, budget: str) -> Proven | None:
    """What an earlier run found; None without one of this budget."""
    path = folder / KEPT_NAME
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if kept.get("budget") != budget:
        return None
    sections = tuple(
        Section(
            heading=one["heading"],
            paragraphs=tuple(one["paragraphs"]),
            tables=tuple(
                Table(columns=tuple(part["columns"]), rows=tuple(map(tuple, part["rows"])), caption=part["caption"])
                for part in one["tables"]
            ),
            figures=tuple(folder / figure for figure in one["figures"]),
            data=one["data"],
        )
        for one in kept["sections"]
    )
    return Proven(name=name, seconds=kept["seconds"], sections=sections)


def _load(name: str) -> Prove:
    prove: Prove = importlib.import_module(f"tests.benchmarks.learning_{name}").prove
    return prove


def _machine() -> str:
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"


# --- the page


def render(report: Report) -> str:
    """The page, with its pictures in it."""
    contents = "".join(
        f'<li><a href="#{_anchor(one.name)}">{escape(_title(one.name))}</a></li>' for one in report.proofs
    )
    body = "".join(_proof(one) for one in report.proofs)
    meta = (
        f"Engine {engine_version()} · budget {report.budget} · {report.began:%d %B %Y, %H:%M} UTC · {report.machine} ·"
        f" {sum(one.seconds for one in report.proofs):.0f} s"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en-GB"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline';"
        ' img-src data:">'
        f"<title>The learning loop: proofs</title><style>{_STYLE}</style></head><body>"
        f'<p class="notice" role="note"><strong>{escape(wording.NOTICE)}</strong></p>'
        f"<h1>The learning loop: proofs</h1><p class=meta>{escape(meta)}</p>"
        "<p>Every figure was computed by the command that wrote this page, from public data, on the budget named above."
        " Each part says how many cases stand behind it and what it does not show.</p>"
        f"<nav aria-label=Contents><ul>{contents}</ul></nav><main>{body}</main></body></html>\n"
    )


def _proof(one: Proven) -> str:
    head = f'<section id="{_anchor(one.name)}"><h2>{escape(_title(one.name))}</h2>'
    if one.failure is not None:
        words = f"<strong>Failed.</strong><pre>{escape(one.failure)}</pre>"
        return f"{head}<div class=failed role=alert>{words}</div></section>"
    parts = "".join(_section(section) for section in one.sections)
    return f"{head}<p class=meta>{one.seconds:.0f} s</p>{parts}</section>"


def _section(section: Section) -> str:
    paragraphs = "".join(f"<p>{escape(text)}</p>" for text in section.paragraphs)
    tables = "".join(_table(table) for table in section.tables)
    figures = "".join(_figure(path, section.heading) for path in section.figures)
    return f"<h3>{escape(section.heading)}</h3>{paragraphs}{tables}{figures}"


def _table(table: Table) -> str:
    heads = "".join(f"<th scope=col>{escape(name)}</th>" for name in table.columns)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
    return f"<div class=scroll><table>{caption}<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"


def _figure(path: Path, heading: str) -> str:
    picture = base64.b64encode(path.read_bytes()).decode()
    words = f"{heading}: {path.stem.replace('-', ' ').replace('_', ' ')}"
    return f'<img alt="{escape(words)}" src="data:image/png;base64,{picture}">'


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _anchor(name: str) -> str:
    return f"proof-{name}"


def document(report: Report) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "schema": JSON_SCHEMA,
        "engine_version": engine_version(),
        "budget": report.budget,
        "began": report.began.isoformat(),
        "machine": report.machine,
        "proofs": [
            {
                "name": one.name,
                "seconds": round(one.seconds, 1),
                "failure": one.failure,
                "sections": [
                    {
                        "heading": section.heading,
                        "paragraphs": list(section.paragraphs),
                        "tables": [
                            {"caption": table.caption, "columns": list(table.columns), "rows": [*map(list, table.rows)]}
                            for table in section.tables
                        ],
                        "data": section.data,
                    }
                    for section in one.sections
                ],
            }
            for one in report.proofs
        ],
    }


def write(report: Report, out: Path) -> None:
    """``index.html`` and ``learning.json``."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "index.html").write_text(render(report), encoding="utf-8")
    (out / "learning.json").write_text(json.dumps(document(report), indent=1, default=str) + "\n", encoding="utf-8")


def main(words: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.learning", description="Prove the learning loop.")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds fracatlas and the other data sets")
    parser.add_argument("--out", type=Path, required=True, help="folder for the page")
    parser.add_argument("--budget", choices=("small", "full", "tiny"), default="small")
    parser.add_argument("--only", default=",".join(PROOFS), help="proofs to run, with commas")
    parser.add_argument("--keep", action="store_true", help="do not run again what an earlier command finished")
    asked = parser.parse_args(words)
    names = [name.strip() for name in asked.only.split(",") if name.strip()]
    if unknown := set(names) - set(PROOFS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(PROOFS)}")
    report = run(names, asked.data, asked.out, budget=asked.budget, keep=asked.keep)
    write(report, asked.out)
    print(asked.out / "index.html")
    return 1 if any(one.failure for one in report.proofs) else 0


if __name__ == "__main__":
    sys.exit(main())
