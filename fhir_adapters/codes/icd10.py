"""ICD-10 (WHO) and ICD-10-CM diagnoses, by prefix without the dot; the longest prefix wins.

Sources: WHO ICD-10 version 2019; CDC/NCHS ICD-10-CM fiscal year 2026 tabular list. Malabsorption is taken as in
Hippisley-Cox and Coupland (BMJ 2012;344:e3427): coeliac disease, Crohn's disease, ulcerative colitis and blind loop
belong to it. "Wrist" means the distal radius or ulna; the carpal bones count as hand.
"""

from collections.abc import Mapping

from fhir_adapters.codes.meanings import NOTHING, DiagnosisMeaning, diabetes, fracture, kind, smoking, takes
from fhir_adapters.patient import ConditionKind as Kind
from fhir_adapters.patient import DiabetesType, DrugClass, SmokingStatus
from fhir_adapters.patient import FractureSiteGroup as Site


def _all(prefixes: str, meaning: DiagnosisMeaning) -> dict[str, DiagnosisMeaning]:
    """The same meaning for several space-separated prefixes."""
    return dict.fromkeys(prefixes.split(), meaning)


def _sites(
    stems: str, sites: Mapping[str, Site], *kinds: Kind, neoplastic: bool = False
) -> dict[str, DiagnosisMeaning]:
    """Pathological fractures whose fifth character is the site; the bare stem gets none."""
    table: dict[str, DiagnosisMeaning] = {}
    for stem in stems.split():
        for suffix, site in {"": Site.OTHER, **sites}.items():
            table[stem + suffix] = fracture(site, *kinds, pathological=True, neoplastic=neoplastic)
    return table


_INJURIES: dict[str, DiagnosisMeaning] = {
    **_all("S02", fracture(Site.SKULL)),
    **_all("S025", NOTHING),  # a broken tooth
    **_all("S22 S32 S42", fracture(Site.OTHER)),
    **_all("S12 S220 S221 S320 T08", fracture(Site.SPINE)),
    **_all("S128", NOTHING),  # hyoid, larynx, trachea
    **_all("S223 S224 S225", fracture(Site.RIB)),
    **_all("S321 S322 S323 S324 S325 S326 S327 S328 S329", fracture(Site.PELVIS)),
    **_all("S420", fracture(Site.CLAVICLE)),
    **_all("S422 S423 S424 S490 S491", fracture(Site.HUMERUS)),
    **_all("S52 S591", fracture(Site.FOREARM)),
    **_all("S525 S526 S590 S592", fracture(Site.WRIST)),
    **_all("S62", fracture(Site.HAND)),
    **_all("S720 S721 S722 S790", fracture(Site.HIP)),
    **_all("S72 S791", fracture(Site.FEMUR)),
    **_all("S82 S890 S891 S892 S893", fracture(Site.LOWER_LEG)),
    # S82.8 is the ankle, but for the fibula codes that ICD-10-CM keeps under it.
    **_all("S825 S826 S828", fracture(Site.ANKLE)),
    **_all("S8281 S8283", fracture(Site.LOWER_LEG)),
    **_all("S92 S990 S991 S992", fracture(Site.FOOT)),
    **_all("T02 T10 T12 T142", fracture(Site.OTHER)),
    **_all("T902", fracture(Site.SKULL, past=True)),
    **_all("T911", fracture(Site.SPINE, past=True)),
    **_all("T912 T921 T932", fracture(Site.OTHER, past=True)),
    **_all("T922", fracture(Site.HAND, past=True)),
    **_all("T931", fracture(Site.FEMUR, past=True)),
}

_BONE: dict[str, DiagnosisMeaning] = {
    **_all("M81", kind(Kind.OSTEOPOROSIS)),
    **_all("M843", fracture(Site.OTHER)),
    **_all("M484", fracture(Site.SPINE)),
    # A vertebra that collapsed without trauma.
    **_all("M485", fracture(Site.SPINE, pathological=True)),
    **_all("Q780", kind(Kind.OSTEOGENESIS_IMPERFECTA)),
    **_all("E55", kind(Kind.VITAMIN_D_DEFICIENCY)),
}

_DISEASES: dict[str, DiagnosisMeaning] = {
    **_all("E10 O240", diabetes(DiabetesType.TYPE_1)),
    **_all("E11 O241", diabetes(DiabetesType.TYPE_2)),
    **_all("E12 E13 E14 O243", diabetes(DiabetesType.UNSPECIFIED)),
    # neurological complications; neuropathic (Charcot) arthropathy
    **_all("E104 E10610", diabetes(DiabetesType.TYPE_1, Kind.DIABETIC_NEUROPATHY)),
    **_all("E114 E11610", diabetes(DiabetesType.TYPE_2, Kind.DIABETIC_NEUROPATHY)),
    **_all("E134 E144 E13610", diabetes(DiabetesType.UNSPECIFIED, Kind.DIABETIC_NEUROPATHY)),
    **_all("G632", kind(Kind.DIABETIC_NEUROPATHY)),  # diabetic polyneuropathy
    **_all("E105", diabetes(DiabetesType.TYPE_1, Kind.PERIPHERAL_ARTERY_DISEASE)),
    **_all("E115", diabetes(DiabetesType.TYPE_2, Kind.PERIPHERAL_ARTERY_DISEASE)),
    **_all("E135 E145", diabetes(DiabetesType.UNSPECIFIED, Kind.PERIPHERAL_ARTERY_DISEASE)),
    **_all("M05 M06", kind(Kind.RHEUMATOID_ARTHRITIS)),
    **_all("M061 M064", NOTHING),  # adult-onset Still's disease; unspecified inflammatory polyarthropathy
    **_all("N20", kind(Kind.KIDNEY_STONES)),
    **_all("D86", kind(Kind.SARCOIDOSIS)),
    **_all("E210", kind(Kind.PRIMARY_HYPERPARATHYROIDISM)),
    **_all("E05", kind(Kind.HYPERTHYROIDISM)),
    **_all("N18", kind(Kind.CHRONIC_KIDNEY_DISEASE)),
    **_all("K702 K703 K704 K721 K73 K74 K754 B18", kind(Kind.CHRONIC_LIVER_DISEASE)),
    **_all("K50 K51 K90 K912", kind(Kind.MALABSORPTION)),
    **_all("F101 F102 F103 F104 F105 F106 F107", kind(Kind.ALCOHOL_USE_DISORDER)),
    **_all("F00 F01 F02 F03 G30 G310 G3183 F051", kind(Kind.DEMENTIA)),
    **_all("G20", kind(Kind.PARKINSON)),
    **_all("G40 G41", kind(Kind.EPILEPSY)),
    **_all("I60 I61 I63 I64 I69", kind(Kind.STROKE)),
    **_all("C", kind(Kind.CANCER)),
    **_all("C44", NOTHING),  # non-melanoma skin cancer
    **_all("Z85", kind(Kind.CANCER, past=True)),
    **_all("Z85828", NOTHING),
    **_all("Z321 Z33 Z34 Z35 Z3A", kind(Kind.PREGNANCY)),
    **_all("O09 O10 O11 O12 O13 O14 O16 O20 O21 O22 O23 O25 O26 O28 O29", kind(Kind.PREGNANCY)),
    **_all("O244", kind(Kind.PREGNANCY)),
    **_all("O30 O31 O32 O33 O34 O35 O36 O40 O41 O42 O43 O44 O45 O46 O47 O48", kind(Kind.PREGNANCY)),
    # ovarian failure and premature menopause, testicular hypofunction, after procedures; hypopituitarism; Turner's and
    # Klinefelter's syndromes
    **_all("E283 E291 E894 E895 E230 Q96 Q980 Q981 Q982 Q984", kind(Kind.HYPOGONADISM)),
    **_all("E40 E41 E42 E43 E440 E640", kind(Kind.MALNUTRITION)),
    **_all("F500", kind(Kind.ANOREXIA_NERVOSA)),
    **_all("R296", kind(Kind.REPEATED_FALLS)),
    **_all("I702 I739", kind(Kind.PERIPHERAL_ARTERY_DISEASE)),
    **_all("I50 I110 I130 I132", kind(Kind.HEART_FAILURE)),
    **_all("I20 I21 I22 I23 I24 I25", kind(Kind.ISCHAEMIC_HEART_DISEASE)),
    **_all("J41 J42 J43 J44 J45 J46", kind(Kind.ASTHMA_OR_COPD)),
    **_all("K25 K26 K27 K28", kind(Kind.PEPTIC_ULCER)),
    **_all("K20 K21 K22", kind(Kind.OESOPHAGEAL_DISEASE)),
}

_CM_SITES: dict[str, Site] = {
    "1": Site.HUMERUS,  # "shoulder": proximal humerus in practice, and one group with it in fracture risk scores
    "2": Site.HUMERUS,
    "3": Site.FOREARM,
    "4": Site.HAND,
    "5": Site.FEMUR,
    "6": Site.LOWER_LEG,
    "7": Site.FOOT,
}

ICD_10_CM: dict[str, DiagnosisMeaning] = {
    **_INJURIES,
    **_BONE,
    **_DISEASES,
    **_all("M80", fracture(Site.OTHER, Kind.OSTEOPOROSIS, pathological=True)),
    **_sites("M800 M808", _CM_SITES | {"8": Site.SPINE, "B": Site.PELVIS}, Kind.OSTEOPOROSIS),
    **_sites("M844 M846", _CM_SITES),
    **_sites("M845", _CM_SITES, neoplastic=True),
    **_all("M84454 M84650", fracture(Site.PELVIS, pathological=True)),
    **_all("M84459 M84659", fracture(Site.HIP, pathological=True)),
    **_all("M84550", fracture(Site.PELVIS, pathological=True, neoplastic=True)),
    **_all("M84559", fracture(Site.HIP, pathological=True, neoplastic=True)),
    **_all("M970", fracture(Site.FEMUR)),  # around a prosthetic hip joint
    **_all("M8475", fracture(Site.FEMUR, pathological=True)),
    **_all("M858", kind(Kind.OSTEOPENIA)),  # where the index of ICD-10-CM sends "osteopenia"
    **_all("Z87310 Z87311", fracture(Site.OTHER, pathological=True, past=True)),
    **_all("Z87312 Z8781", fracture(Site.OTHER, past=True)),
    **_all("Z87442", kind(Kind.KIDNEY_STONES, past=True)),
    **_all("E8351", kind(Kind.HYPOCALCAEMIA)),
    **_all("E8352", kind(Kind.HYPERCALCAEMIA)),
    **_all("R82994", kind(Kind.HYPERCALCIURIA)),
    **_all("K7581", kind(Kind.CHRONIC_LIVER_DISEASE)),
    **_all("Z9884", kind(Kind.MALABSORPTION)),
    **_all("F1011 F1021", kind(Kind.ALCOHOL_USE_DISORDER, past=True)),
    **_all("Z3201", kind(Kind.PREGNANCY)),
    **_all("Z9181", kind(Kind.REPEATED_FALLS)),
    **_all("Z332", NOTHING),  # elective termination
    **_all("I7092", kind(Kind.PERIPHERAL_ARTERY_DISEASE)),
    **_all("F1720 F1721 Z720", smoking(SmokingStatus.CURRENT)),
    **_all("F17201 F17211 Z87891", smoking(SmokingStatus.FORMER)),
    # long-term (current) use; inhaled steroids (Z79.51) are not systemic, bisphosphonates (Z79.83) have no class alone
    **_all("Z7952", takes(DrugClass.SYSTEMIC_GLUCOCORTICOID)),
    **_all("Z7901", takes(DrugClass.ANTICOAGULANT)),
    **_all("Z791", takes(DrugClass.NSAID)),
    **_all("Z79811", takes(DrugClass.AROMATASE_INHIBITOR)),
    **_all("Z79890", takes(DrugClass.HORMONE_REPLACEMENT)),
    **_all("Z79891", takes(DrugClass.OPIOID)),
}
"""ICD-10-CM, prefixes without dot."""

_WHO_SITES: dict[str, Site] = {
    "2": Site.HUMERUS,
    "3": Site.FOREARM,
    "4": Site.HAND,
    "6": Site.LOWER_LEG,
    "7": Site.FOOT,
}

ICD_10: dict[str, DiagnosisMeaning] = {
    **_INJURIES,
    **_BONE,
    **_DISEASES,
    **_sites("M80", {}, Kind.OSTEOPOROSIS),
    **_sites("M800 M801 M802 M803 M804 M805 M808 M809", _WHO_SITES, Kind.OSTEOPOROSIS),
    **_all("M82", kind(Kind.OSTEOPOROSIS)),
    **_sites("M844", _WHO_SITES),
    **_sites("M907", _WHO_SITES, neoplastic=True),
    **_all("F172", smoking(SmokingStatus.CURRENT)),
}
"""ICD-10 of the World Health Organization, prefixes without dot."""
