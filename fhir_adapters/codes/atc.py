"""Drug classes by prefix of the Anatomical Therapeutic Chemical classification; the longest prefix wins.

Source: WHO Collaborating Centre for Drug Statistics Methodology, ATC index 2025. The classification is a hierarchy, so
a prefix covers every product below it. An empty tuple is an exception inside a wider prefix. Topical products have
other ATC codes (D07, M02A, S01), which are not listed.
"""

from fhir_adapters.patient import DrugClass as Drug

_ORAL, _INTRAVENOUS = Drug.ORAL_BISPHOSPHONATE, Drug.INTRAVENOUS_BISPHOSPHONATE
_CALCIUM, _VITAMIN_D = Drug.CALCIUM_SUPPLEMENT, Drug.VITAMIN_D_SUPPLEMENT

IBANDRONATE = "M05BA06"
"""Given by mouth or by vein: only the route tells."""

CLASSES: dict[str, tuple[Drug, ...]] = {
    "H02AB": (Drug.SYSTEMIC_GLUCOCORTICOID,),
    "H02BX": (Drug.SYSTEMIC_GLUCOCORTICOID,),
    "M01A": (Drug.NSAID,),
    "M01AH": (Drug.COX2_INHIBITOR,),
    # glucosamine, polysulfate, orgotein, diacerein, oxaceprol, chondroitin, avocado-soya: no NSAIDs
    **dict.fromkeys(("M01AX05", "M01AX12", "M01AX14", "M01AX21", "M01AX24", "M01AX25", "M01AX26"), ()),
    "M01AE52": (Drug.NSAID, Drug.PROTON_PUMP_INHIBITOR),  # naproxen with esomeprazole
    "M01B": (Drug.NSAID,),
    "N02A": (Drug.OPIOID,),
    **dict.fromkeys(("N07BC01", "N07BC02", "N07BC03", "N07BC05", "N07BC06", "N07BC51"), (Drug.OPIOID,)),
    # thiazides and thiazide-like drugs, alone and in fixed combinations
    **dict.fromkeys(("C03A", "C03BA", "C03EA", "C07B", "C07C", "C07D", "C09XA52", "C09XA54"), (Drug.THIAZIDE,)),
    **dict.fromkeys(("C09A", "C09B", "C09C", "C09D"), (Drug.ACE_INHIBITOR_OR_ARB,)),
    **dict.fromkeys(("C09BA", "C09DA", "C09BX01", "C09DX01", "C09DX03"), (Drug.ACE_INHIBITOR_OR_ARB, Drug.THIAZIDE)),
    **dict.fromkeys(("C03C", "C03D", "C03EB"), (Drug.DIURETIC,)),
    "C01AA": (Drug.DIGOXIN,),  # digitalis glycosides share the danger of hypercalcaemia
    "H03AA01": (Drug.LEVOTHYROXINE,),
    "H03AA03": (Drug.LEVOTHYROXINE,),
    "M05BA01": (_ORAL,),
    "M05BA02": (_ORAL,),
    "M05BA03": (_INTRAVENOUS,),
    "M05BA04": (_ORAL,),
    "M05BA05": (_ORAL,),
    "M05BA07": (_ORAL,),
    "M05BA08": (_INTRAVENOUS,),
    "M05BB01": (_ORAL, _CALCIUM),
    "M05BB02": (_ORAL, _CALCIUM),
    "M05BB03": (_ORAL, _VITAMIN_D),
    "M05BB04": (_ORAL, _CALCIUM, _VITAMIN_D),
    "M05BB05": (_ORAL, _CALCIUM, _VITAMIN_D),
    "M05BB06": (_ORAL, _VITAMIN_D),
    "M05BB07": (_ORAL, _VITAMIN_D),
    "M05BB08": (_INTRAVENOUS, _CALCIUM, _VITAMIN_D),
    "M05BX03": (Drug.STRONTIUM,),
    "M05BX53": (Drug.STRONTIUM, _VITAMIN_D),
    "M05BX04": (Drug.DENOSUMAB,),
    **dict.fromkeys(("M05BX06", "H05AA02", "H05AA03", "H05AA04"), (Drug.ANABOLIC_BONE_DRUG,)),
    "J01AA": (Drug.TETRACYCLINE,),
    "J01M": (Drug.QUINOLONE,),
    "B03A": (Drug.IRON,),
    "A12CB": (Drug.ZINC,),
    "A08AB01": (Drug.ORLISTAT,),
    "C10AC01": (Drug.CHOLESTYRAMINE,),
    "A12A": (_CALCIUM,),
    "A12AX": (_CALCIUM, _VITAMIN_D),
    "A11CC": (_VITAMIN_D,),
    "A11CB": (_VITAMIN_D,),
    "N03A": (Drug.ANTICONVULSANT,),
    "N06A": (Drug.ANTIDEPRESSANT,),
    "B01AC": (Drug.ANTIPLATELET,),
    # B01AD (fibrinolytics) is antithrombotic but no anticoagulant
    **dict.fromkeys(("B01AA", "B01AB", "B01AE", "B01AF", "B01AX05"), (Drug.ANTICOAGULANT,)),
    "A02BC": (Drug.PROTON_PUMP_INHIBITOR,),
    "A02BD": (Drug.PROTON_PUMP_INHIBITOR,),
    "L02BG": (Drug.AROMATASE_INHIBITOR,),
    **dict.fromkeys(("L02AE", "L02BB", "L02BX02", "L02BX03", "L02BX04"), (Drug.ANDROGEN_DEPRIVATION,)),
    "G03C": (Drug.HORMONE_REPLACEMENT,),
    "G03F": (Drug.HORMONE_REPLACEMENT,),
}
"""ATC prefix to the classes of the drug."""
