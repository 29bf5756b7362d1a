"""``cds learn suggest``: which unlabelled studies to give a radiologist's next hour to."""

import csv as tables
import io
import json as documents
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cds.entrypoints.console import failures_explained

if TYPE_CHECKING:  # at run time it would load torch, which --help need not wait for
    from cds.learning.selection import Hour, Suggestion

JSON_SCHEMA: Final = "fracture-cds.suggestions/1"


def suggest(
    n: Annotated[int, typer.Option("--n", min=1, max=10_000, help="So many studies at most.")] = 20,
    minutes: Annotated[float, typer.Option(min=1, max=1440, help="The radiologist's time, in minutes.")] = 60.0,
    from_store: Annotated[
        bool, typer.Option("--from-store", help="Choose among the cases that are kept; so it is without --images.")
    ] = False,
    images: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Choose among the radiographs of this folder.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """List the unlabelled studies whose labels would teach most: unsure, and unlike each other."""
    if from_store and images is not None:
        raise typer.BadParameter("give --from-store or --images, not both")
    if json and csv:
        raise typer.BadParameter("give --json or --csv, not both")
    with failures_explained():
        from cds.bootstrap import load_settings
        from cds.learning.models import with_current_models
        from cds.learning.selection import hour
        from cds.learning.selection import suggest as choose
        from cds.learning.unlabelled import RememberingEngine, from_folder
        from cds.learning.unlabelled import from_store as stored
        from cds.store.opening import open_store

        settings = with_current_models(load_settings())
        engine = RememberingEngine.load(settings.detector_dir, runtime=settings.runtime.value, threads=settings.threads)
        if images is not None:
            pool = from_folder(images, engine)
        else:
            store = open_store(settings)
            try:
                pool = stored(store, engine)
            finally:
                store.close()
        time = hour(count=n, minutes=minutes, timed_seconds=pool.timed_seconds)
        manifest = engine.manifest
        points = manifest.high_sensitivity.threshold, manifest.high_specificity.threshold
        chosen = choose(pool.candidates, points=points, count=time.studies, judged=pool.judged)
        if json:
            typer.echo(_json(chosen, time, minutes=minutes, looked_at=len(pool.candidates), left_out=pool.left_out))
        elif csv:
            typer.echo(_csv(chosen), nl=False)
        else:
            _print(chosen, time, looked_at=len(pool.candidates), left_out=pool.left_out)


def _json(chosen: "tuple[Suggestion, ...]", time: "Hour", *, minutes: float, looked_at: int, left_out: int) -> str:
    document = {
        "schema": JSON_SCHEMA,
        "minutes": minutes,
        "seconds_per_study": time.seconds_per_study,
        "seconds_measured": time.measured,
        "candidates": looked_at,
        "left_out": left_out,
        "studies": [
            {
                "id": one.id,
                "worth": round(one.worth, 4),
                "uncertainty": round(one.uncertainty, 4),
                "distance": round(one.distance, 4),
                "reasons": list(one.reasons),
            }
            for one in chosen
        ],
    }
    return documents.dumps(document, indent=2, ensure_ascii=False)


def _csv(chosen: "tuple[Suggestion, ...]") -> str:
    text = io.StringIO()
    writer = tables.writer(text, lineterminator="\n")
    writer.writerow(("id", "worth", "uncertainty", "distance", "reasons"))
    for one in chosen:
        figures = (f"{value:.4f}" for value in (one.worth, one.uncertainty, one.distance))
        writer.writerow((one.id, *figures, "; ".join(one.reasons)))
    return text.getvalue()


def _print(chosen: "tuple[Suggestion, ...]", time: "Hour", *, looked_at: int, left_out: int) -> None:
    source = "the median of own reads here" if time.measured else "an assumption: too few own reads were timed here"
    typer.echo(
        f"{len(chosen)} of {looked_at} unlabelled studies ({left_out} refused or unreadable);"
        f" {time.seconds_per_study:.0f} s per study, {source}"
    )
    for one in chosen:  # in a table the identifiers would be cut
        typer.echo(f"{one.id}  uncertainty {one.uncertainty:.2f}, distance {one.distance:.2f}")
        typer.echo(f"    {'; '.join(one.reasons)}")
