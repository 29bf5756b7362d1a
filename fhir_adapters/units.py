"""The one place where units are converted: UCUM in, the engine's units out.

Sources of the factors: 25-hydroxyvitamin D 400.64 g/mol and calcium 40.078 g/mol; HbA1c by the IFCC-NGSP master
equation NGSP % = 0.09148 x IFCC mmol/mol + 2.152 (Hoelzel et al., Clin Chem 2004;50:166); pound and inch by definition;
one UK unit of alcohol is 8 g of ethanol, one drink 14 g (US National Institute on Alcohol Abuse and Alcoholism).

A quantity without unit is refused, but for numbers that have none (T-score, falls): 30 may be ng/mL or nmol/L. One unit
is completed from the definition of the test: ``mL/min`` on an eGFR code, whose LOINC definition is per 1.73 square
metres.
"""

import math
import re
from dataclasses import dataclass
from enum import StrEnum

from fhir_adapters.shapes import JsonObject, as_text

UCUM = "http://unitsofmeasure.org"


class Measure(StrEnum):
    """A measured quantity; the value is the engine's UCUM unit."""

    WEIGHT = "kg"
    HEIGHT = "cm"
    BMI = "kg/m2"
    VITAMIN_D = "nmol/L"
    CALCIUM = "mmol/L"
    EGFR = "mL/min/{1.73_m2}"
    HBA1C = "%"
    T_SCORE = "{T-score}"
    FALLS = "{falls}"
    ALCOHOL = "{UK units}/wk"


class UnitNote(StrEnum):
    """What had to be supposed about a unit."""

    COMPLETED = "completed"
    """The definition of the test supplied what the unit left out."""
    DRINKS = "drinks"
    """A drink was taken as 14 g of ethanol."""


@dataclass(frozen=True, slots=True)
class Linear:
    """``engine value = scale * recorded value + offset``."""

    scale: float = 1.0
    offset: float = 0.0
    note: UnitNote | None = None

    def __call__(self, value: float) -> float:
        """Convert one value."""
        return self.scale * value + self.offset


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """A value in the engine's unit."""

    value: float
    note: UnitNote | None = None


_NG_PER_ML_TO_NMOL_PER_L = 2.496
_MG_PER_DL_TO_MMOL_PER_L = 0.2495
_GRAMS_PER_UNIT = 8.0
_GRAMS_PER_DRINK = 14.0
_SAME = Linear()
_DRINK_PER_DAY = Linear(7 * _GRAMS_PER_DRINK / _GRAMS_PER_UNIT, note=UnitNote.DRINKS)

CONVERSIONS: dict[Measure, dict[str, Linear]] = {
    Measure.WEIGHT: {
        "kg": _SAME,
        "g": Linear(0.001),
        "[lb_av]": Linear(0.45359237),
        "[oz_av]": Linear(0.028349523125),
        "[stone_av]": Linear(6.35029318),
    },
    Measure.HEIGHT: {
        "cm": _SAME,
        "m": Linear(100.0),
        "mm": Linear(0.1),
        "[in_i]": Linear(2.54),
        "[ft_i]": Linear(30.48),
    },
    Measure.BMI: {"kg/m2": _SAME},
    Measure.VITAMIN_D: {
        "nmol/L": _SAME,
        "ng/mL": Linear(_NG_PER_ML_TO_NMOL_PER_L),
        "ug/L": Linear(_NG_PER_ML_TO_NMOL_PER_L),
        "ng/dL": Linear(_NG_PER_ML_TO_NMOL_PER_L / 100),
    },
    Measure.CALCIUM: {
        "mmol/L": _SAME,
        "mg/dL": Linear(_MG_PER_DL_TO_MMOL_PER_L),
        "mg/L": Linear(_MG_PER_DL_TO_MMOL_PER_L / 10),
        "meq/L": Linear(0.5),
    },
    Measure.EGFR: {
        "mL/min/{1.73_m2}": _SAME,
        "mL/min/1.73.m2": _SAME,
        "mL/s/{1.73_m2}": Linear(60.0),
        "mL/min": Linear(note=UnitNote.COMPLETED),
    },
    Measure.HBA1C: {"%": _SAME, "mmol/mol": Linear(0.09148, 2.152)},
    Measure.T_SCORE: {"{T-score}": _SAME, "1": _SAME, "": _SAME},
    Measure.FALLS: {"{falls}": _SAME, "1": _SAME, "": _SAME},
    Measure.ALCOHOL: {
        "{UK units}/wk": _SAME,
        "g/d": Linear(7 / _GRAMS_PER_UNIT),
        "g/wk": Linear(1 / _GRAMS_PER_UNIT),
        "{drinks}/d": _DRINK_PER_DAY,
        "/d": _DRINK_PER_DAY,
    },
}
"""Per quantity, UCUM unit to the function that yields the engine's unit; ``""`` is: no unit."""

PLAUSIBLE: dict[Measure, tuple[float, float]] = {
    # smallest surviving newborn 0.21 kg (Tiny Babies Registry); heaviest man 635 kg (Guinness World Records)
    Measure.WEIGHT: (0.2, 650.0),
    # newborns of 22 weeks; tallest man 272 cm (Guinness World Records)
    Measure.HEIGHT: (20.0, 280.0),
    # preterm newborns; the heaviest man
    Measure.BMI: (4.0, 210.0),
    # below every assay's limit of detection; intoxication up to 1161 ng/mL = 2900 nmol/L (Kaur, Clin Endocrinol 2015)
    Measure.VITAMIN_D: (1.0, 3000.0),
    # total calcium: tetany and coma bound what is survived (some 1.0 and 5.5 mmol/L), with a margin
    Measure.CALCIUM: (0.5, 6.0),
    # the equations give 2 at a creatinine of 30 mg/dL, and some 200 in children
    Measure.EGFR: (1.0, 250.0),
    # below 3 % only with haemolysis or a variant; 25 % is a mean glucose of 37 mmol/L
    Measure.HBA1C: (2.0, 25.0),
    # the lowest in osteogenesis imperfecta are near -8; +8 in osteopetrosis
    Measure.T_SCORE: (-10.0, 10.0),
    # three falls a day for a year
    Measure.FALLS: (0.0, 1000.0),
    # 80 units, 640 g of ethanol, a day: above what even tolerant drinkers report
    Measure.ALCOHOL: (0.0, 560.0),
}
"""Bounds beyond which no living person was ever measured, in the engine's units: a typing or unit error."""

ADULT_PLAUSIBLE: dict[Measure, tuple[float, float]] = {
    # lightest adult 14.5 kg and shortest 54.6 cm (C. B. Dangi, Guinness World Records)
    Measure.WEIGHT: (14.0, 650.0),
    Measure.HEIGHT: (54.0, 280.0),
    # lowest survived in anorexia nervosa some 7 kg/m2
    Measure.BMI: (6.5, 210.0),
}
"""Narrower bounds from 18 years of age on: they tell centimetres from metres or inches, and a swap of two fields."""

# How units are written by people and by systems that do not use UCUM; all letters small, without spaces.
_SPELLINGS: dict[str, str] = {
    "kgs": "kg",
    "lb": "[lb_av]",
    "lbs": "[lb_av]",
    "pounds": "[lb_av]",
    "oz": "[oz_av]",
    "in": "[in_i]",
    "inch": "[in_i]",
    "inches": "[in_i]",
    "ft": "[ft_i]",
    "kg/m^2": "kg/m2",
    "mcg/l": "ug/L",
    "ml/min/1.73m2": "mL/min/{1.73_m2}",
    "ml/min/1.73m^2": "mL/min/{1.73_m2}",
    "ml/min/1.73_m2": "mL/min/{1.73_m2}",
    "ml/min/{1.73m2}": "mL/min/{1.73_m2}",
    "ml/min/1.73sqm": "mL/min/{1.73_m2}",
    "%{hba1c}": "%",
    "%{hb}": "%",
    "{score}": "{T-score}",
    "{sd}": "{T-score}",
    "sd": "{T-score}",
    "{#}": "{falls}",
    "{count}": "{falls}",
    "{falls}/a": "{falls}",
    "/a": "{falls}",
    "{drink}/d": "{drinks}/d",
    "{standarddrinks}/d": "{drinks}/d",
    "{wineglasses}/d": "{drinks}/d",
    "{glasses}/d": "{drinks}/d",
    "{beers}/d": "{drinks}/d",
    "1/d": "/d",
    "{units}/wk": "{UK units}/wk",
    "{unit}/wk": "{UK units}/wk",
    "units/week": "{UK units}/wk",
    "[arb'u]/wk": "{UK units}/wk",
}
_SPELLINGS.update({unit.lower().replace(" ", ""): unit for units in CONVERSIONS.values() for unit in units})
_FOLD = str.maketrans({"µ": "u", "μ": "u", "²": "2", " ": None, "\u00a0": None})


_TEXT_QUANTITY = re.compile(
    r"(?P<comparator>[<>]=?)?\s*(?P<value>[-+\u2212]?\d{1,6}(?:\.\d{1,6})?)"
    r"\s*(?P<unit>(?!e[-+]?\d)/?[A-Za-z%\[{\u00b5\u03bc][^\s,;]{0,28})?"
)


def unit_texts(quantity: JsonObject) -> list[str]:
    """The unit of a FHIR Quantity, best first: the UCUM code, then the printed unit. Empty when there is none."""
    code, unit, system = as_text(quantity.get("code")), as_text(quantity.get("unit")), as_text(quantity.get("system"))
    texts = []
    if code is not None and (system is None or system.rstrip("/") == UCUM):
        texts.append(code)
    if unit is not None:
        texts.append(unit)
    return texts


def convert(value: float, unit: str, measure: Measure) -> Converted | None:
    """A value in the engine's unit.

    Args:
        value: As recorded.
        unit: UCUM code, or a usual spelling of one; empty for none.
        measure: What was measured.

    Returns:
        None when the unit does not fit the quantity.
    """
    units = CONVERSIONS[measure]
    function = units.get(unit)
    if function is None:
        # Single letters differ by case in UCUM (m metre, M mega), so only longer spellings are folded.
        folded = _SPELLINGS.get(unit.translate(_FOLD).lower()) if len(unit) > 1 else None
        function = units.get(folded) if folded is not None else None
    return Converted(value=function(value), note=function.note) if function is not None else None


def is_plausible(value: float, measure: Measure, *, adult: bool = False) -> bool:
    """Whether a value in the engine's unit is physiologically possible, in an adult or at any age."""
    bounds = ADULT_PLAUSIBLE if adult and measure in ADULT_PLAUSIBLE else PLAUSIBLE
    low, high = bounds[measure]
    return math.isfinite(value) and low <= value <= high


def parse_quantity(text: str) -> JsonObject | None:
    """A quantity written as text: one number with a decimal point, a bound before it, a unit behind it, no more.

    Returns:
        The elements of a FHIR Quantity; None for anything else (two numbers, a decimal comma, words).
    """
    match = _TEXT_QUANTITY.fullmatch(text.strip())
    if match is None:
        return None
    parts = {"comparator": match["comparator"], "unit": match["unit"]}
    quantity: JsonObject = {"value": float(match["value"].replace("\u2212", "-"))}
    return quantity | {name: part for name, part in parts.items() if part}
