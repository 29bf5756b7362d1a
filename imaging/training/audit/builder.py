"""Collects the findings of one data set; what both layouts have in common."""

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from imaging.training.audit.files import ContentCheck, image_fault
from imaging.training.audit.findings import AuditReport, Effect, Finding
from imaging.training.boxes import Box, BoxFault, judge_box
from imaging.training.datasets import LabelledRadiograph
from imaging.training.splits import near_duplicates

SAME_BOX = 1e-6
"""Two boxes are one when no edge differs by more than this share of a side."""

Track = Callable[[Sequence[Path]], Iterable[Path]]


class Audit:
    """Collects findings of one folder."""

    def __init__(self, root: Path, track: Track) -> None:
        self.root = root
        self.track = track
        self.findings: list[Finding] = []
        self.contents = ContentCheck()
        self.listed: set[str] = set()
        self.groups: dict[str, str] = {}
        """Group of each image; of an image that is not here, its own name."""
        self.images = self.fractured = self.boxes = 0

    def add(
        self,
        code: str,
        file: Path | str,
        reason: str,
        remedy: str,
        effect: Effect,
        *,
        row: int | None = None,
        image: str = "",
        box: Box | None = None,
    ) -> None:
        short = file if isinstance(file, str) else file.relative_to(self.root).as_posix()
        self.findings.append(
            Finding(
                code=f"data.{code}",
                file=short,
                row=row,
                image=image,
                reason=reason,
                remedy=remedy,
                effect=effect,
                box=box,
            )
        )

    def check_images(self, paths: Sequence[Path], fractured: dict[str, bool]) -> None:
        """Decode every file; name those that are damaged, empty of content, one file twice, or look-alikes."""
        copies: set[str] = set()
        for path in self.track(paths):
            fault = image_fault(path)
            if fault is not None:
                effect = Effect.IMAGE_OUT if fault.fatal else Effect.NOTE
                self.add(fault.code, path, fault.reason, fault.remedy, effect, image=path.name)
                continue
            twin = self.contents.twin_of(path)
            if twin is None:
                continue
            copies.add(path.name)
            contradicts = fractured.get(path.name) != fractured.get(twin.name)
            self.add(
                "image.contradiction" if contradicts else "image.duplicate",
                path,
                f"the same file as {twin.name}" + (", with the opposite label" if contradicts else ""),
                "Look which label is right, and take the other away." if contradicts else "Take one of them away.",
                Effect.IMAGE_OUT if contradicts else Effect.NOTE,
                image=path.name,
            )

        self._check_look_alikes([path for path in paths if path.name not in copies], fractured)

    def _check_look_alikes(self, paths: Sequence[Path], fractured: dict[str, bool]) -> None:
        """Name pairs that look like one picture, where that matters: in two groups, or with opposite labels."""
        path_of = {path.name: path for path in paths}
        pictures = [
            LabelledRadiograph(image_id=name, path=path, boxes=(), fractured=fractured[name])
            for name, path in path_of.items()
        ]
        for pair in near_duplicates(pictures):
            contradicts = fractured[pair.first] != fractured[pair.second]
            groups = {self.groups.get(name, name) for name in (pair.first, pair.second)}
            if not contradicts and len(groups) == 1:
                continue
            alike = f"looks like {pair.first}{', mirrored' if pair.mirrored else ''}"
            self.add(
                "image.near_contradiction" if contradicts else "image.near_duplicate",
                path_of[pair.second],
                f"{alike}, with the opposite label" if contradicts else f"{alike}, which is in another group",
                "Look at both: which label is right?" if contradicts else "Look at both; cds data split joins them.",
                Effect.NOTE,
                image=pair.second,
            )

    def check_box(self, box: Box, seen: list[Box], file: Path, row: int, image: str) -> None:
        """One labelled box of an image, as fractions; `seen` holds the earlier boxes of the same image."""
        usable, fault = judge_box(box)
        if fault is not None:
            cut = fault is BoxFault.BEYOND
            code = {BoxFault.NO_AREA: "box.no_area", BoxFault.NOT_FINITE: "box.not_numbers"}.get(fault, "box.outside")
            self.add(
                code,
                file,
                f"the box {fault.value}",
                "Draw the box again." if not cut else "Draw the box within the image.",
                Effect.CHANGED if cut else Effect.ROW_OUT,
                row=row,
                image=image,
            )
        if usable is None:
            return
        if any(same_box(usable, other) for other in seen):
            self.add(
                "box.duplicate",
                file,
                "the same box as an earlier row",
                "Take the row away.",
                Effect.ROW_OUT,
                row=row,
                image=image,
                box=usable,
            )
            return
        seen.append(usable)
        self.boxes += 1

    def foreign(self, path: Path) -> None:
        """An image in a format that the training does not open."""
        self.add(
            "image.format",
            path,
            "neither JPEG nor PNG",
            "Convert it to PNG or JPEG.",
            Effect.IMAGE_OUT,
            image=path.name,
        )

    def report(self) -> AuditReport:
        """All that was found so far."""
        return AuditReport(
            findings=tuple(self.findings), images=self.images, fractured=self.fractured, boxes=self.boxes
        )

    def check_classes(self, unboxed: int) -> None:
        """Both classes must be there, and boxes for some of the fractured; `unboxed` of those have none."""
        healthy = self.images - self.fractured
        for count, name in ((self.fractured, "with"), (healthy, "without")):
            if count == 0:
                self.add(
                    "class.empty",
                    "",
                    f"no radiograph {name} a fracture: one class only",
                    "Add such radiographs; a detector needs both kinds.",
                    Effect.STOP,
                )
        if self.fractured and unboxed == self.fractured:
            self.add(
                "class.no_boxes",
                "",
                "no fractured radiograph has a usable fracture box",
                "Label the fractures with boxes; without them only image-level metrics can be given.",
                Effect.STOP,
            )


def same_box(first: Box, second: Box) -> bool:
    """Whether two boxes agree within rounding."""
    return all(abs(one - other) <= SAME_BOX for one, other in zip(first, second, strict=True))


def read_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """(line, row) of a table; cells that a short row lacks are empty."""
    with path.open(encoding="utf-8", newline="") as handle:
        reader = csv.DictReader(handle, restval="")
        return [(reader.line_num, row) for row in reader]
