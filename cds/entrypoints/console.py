"""What the commands share: reading inputs, explaining failures, naming the person at the keyboard."""

import getpass
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cds.errors import InputError, InputKind, InputTooLargeError, Problem, explain
from cds.localisation.language import Language

if TYPE_CHECKING:  # at run time it would load numpy, which --help need not wait for
    from cds.case import CaseResult


@contextmanager
def failures_explained() -> Iterator[None]:
    """Turn any exception of the block into three lines on standard error and the documented exit code."""
    try:
        yield
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except Exception as error:
        problem = explain(error)
        print(describe(problem), file=sys.stderr)
        raise typer.Exit(int(problem.exit_code)) from None


def describe(problem: Problem) -> str:
    """What, why and how to mend it, as lines of text."""
    return f"cds: {problem.what} [{problem.code}]\n  why:  {problem.why}\n  mend: {problem.remedy}"


def read_input(path: Path | None, kind: InputKind, *, limit_bytes: int) -> bytes | None:
    """Read an input file whole; None for no path.

    Args:
        path: the file.
        kind: which input it is, for the message.
        limit_bytes: a larger file is refused.

    Raises:
        InputTooLargeError: the file exceeds the limit.
        InputError: the file cannot be read.
    """
    if path is None:
        return None
    try:
        with path.open("rb") as stream:
            data = stream.read(limit_bytes + 1)
    except OSError as error:
        raise InputError(
            f"The {kind.value} cannot be opened: {error.strerror or type(error).__name__}.",
            remedy="Give a file that exists and that you may read.",
        ) from error
    if len(data) > limit_bytes:
        raise InputTooLargeError(kind, limit_bytes=limit_bytes)
    return data


def keyboard_actor() -> str:
    """``cli:<login>``, or the numeric user id where the system knows no name for it (containers)."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"cli:uid-{os.getuid()}"


def show_summary(result: "CaseResult", files: Sequence[Path], language: Language = Language.EN) -> None:
    """Print the summary of a case, and the files that were written, to standard output, in the reader's language."""
    from rich.console import Console

    from cds.presenters.summary import print_summary

    print_summary(result, Console(), files, language)
