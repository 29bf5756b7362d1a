"""Drug classes by RxNorm concept: ingredients, and the products met in records that carry no ingredient code.

Source: RxNorm (US National Library of Medicine, public domain). RxNorm has no hierarchy in its codes and some 20,000
products, of which a Bundle shows only the number; the ingredients below are complete for common drugs, the products are
not. A current drug whose RxNorm concept is in neither table raises a warning, so that nobody takes silence for absence.
"""

from fhir_adapters.patient import DrugClass as Drug

IBANDRONATE = "115264"
"""Given by mouth or by vein: only the route tells."""

_INGREDIENTS: dict[Drug, str] = {
    # prednisone, prednisolone, methylprednisolone, cortisone, deflazacort, vamorolone, meprednisone
    Drug.SYSTEMIC_GLUCOCORTICOID: "8640 8638 6902 2878 22396 2669799 29523",
    # ibuprofen, naproxen, diclofenac, indomethacin, ketorolac, meloxicam, piroxicam, etodolac, nabumetone, sulindac,
    # oxaprozin, flurbiprofen, ketoprofen
    Drug.NSAID: "5640 7258 3355 5781 35827 41493 8356 24605 31448 10237 32613 4502 6142",
    # celecoxib, rofecoxib
    Drug.COX2_INHIBITOR: "140587 232158",
    # morphine, oxycodone, hydrocodone, codeine, tramadol, fentanyl, hydromorphone, methadone, tapentadol,
    # buprenorphine, pethidine, oxymorphone
    Drug.OPIOID: "7052 7804 5489 2670 10689 4337 3423 6813 787390 1819 6754 7814",
    # hydrochlorothiazide, chlortalidone, indapamide, metolazone, chlorothiazide
    Drug.THIAZIDE: "5487 2409 5764 6916 2396",
    Drug.DIGOXIN: "3407",
    Drug.LEVOTHYROXINE: "10582",
    # alendronate, risedronate
    Drug.ORAL_BISPHOSPHONATE: "46041 73056",
    # zoledronic acid, pamidronate
    Drug.INTRAVENOUS_BISPHOSPHONATE: "77655 11473",
    Drug.DENOSUMAB: "993449",
    # doxycycline, tetracycline, minocycline
    Drug.TETRACYCLINE: "3640 10395 6980",
    # ciprofloxacin, levofloxacin, moxifloxacin, ofloxacin, norfloxacin
    Drug.QUINOLONE: "2551 82122 139462 7623 7517",
    # ferrous sulfate, iron
    Drug.IRON: "24947 90176",
    Drug.ZINC: "11416",
    Drug.ORLISTAT: "37925",
    Drug.CHOLESTYRAMINE: "2447",
    # calcium carbonate
    Drug.CALCIUM_SUPPLEMENT: "1897",
    # colecalciferol, ergocalciferol, vitamin D
    Drug.VITAMIN_D_SUPPLEMENT: "2418 4018 11253",
    # carbamazepine, phenytoin, valproic acid, valproate, divalproex, phenobarbital, primidone, lamotrigine,
    # levetiracetam, topiramate, oxcarbazepine, clonazepam
    Drug.ANTICONVULSANT: "2002 8183 11118 40254 266856 8134 8691 28439 114477 38404 32624 2598",
    # amitriptyline, bupropion, citalopram, duloxetine, escitalopram, fluoxetine, mirtazapine, nortriptyline,
    # paroxetine, sertraline, trazodone, venlafaxine
    Drug.ANTIDEPRESSANT: "704 42347 2556 72625 321988 4493 15996 7531 32937 36437 10737 39786",
    # warfarin, apixaban, rivaroxaban, dabigatran, edoxaban, enoxaparin, heparin, dalteparin, fondaparinux,
    # acenocoumarol, phenprocoumon
    Drug.ANTICOAGULANT: "11289 1364430 1114195 1037042 1599538 67108 5224 67109 321208 154 8150",
    # omeprazole, esomeprazole, lansoprazole, pantoprazole, rabeprazole, dexlansoprazole
    Drug.PROTON_PUMP_INHIBITOR: "7646 283742 17128 40790 114979 816346",
    # anastrozole, letrozole, exemestane
    Drug.AROMATASE_INHIBITOR: "84857 72965 258494",
    # leuprorelin, goserelin, triptorelin, degarelix, bicalutamide, enzalutamide, abiraterone
    Drug.ANDROGEN_DEPRIVATION: "42375 50610 38782 475230 83008 1307298 1100072",
    # estradiol, conjugated oestrogens
    Drug.HORMONE_REPLACEMENT: "4083 4099",
    # lisinopril, enalapril, ramipril, benazepril, captopril, perindopril, quinapril, fosinopril, trandolapril;
    # losartan, valsartan, candesartan, irbesartan, olmesartan, telmisartan
    Drug.ACE_INHIBITOR_OR_ARB: (
        "29046 3827 35296 18867 1998 54552 35208 50166 38454 52175 69749 214354 83818 321064 73494"
    ),
    # furosemide, bumetanide, torasemide, spironolactone
    Drug.DIURETIC: "4603 1808 38413 9997",
    # acetylsalicylic acid, clopidogrel, prasugrel, ticagrelor
    Drug.ANTIPLATELET: "1191 32968 613391 1116632",
}

_PRODUCTS: dict[Drug, str] = {
    # all oral ones of the eCQM value set 2.16.840.1.113883.3.464.1003.196.12.1266 (National Committee for Quality
    # Assurance, 2020), but for fludrocortisone, which is given as a mineralocorticoid
    Drug.SYSTEMIC_GLUCOCORTICOID: (
        "1005830 1013114 1085728 1303125 1303132 1303135 197577 197579 197580 197581 197582 197583 197783 197787 197969"
        " 197971 197973 198142 198144 198145 198146 198148 199343 199771 199967 205301 249066 259966 283077 309684"
        " 309686 312614 312615 312617 315187 328161 343033 429199 643123 643127 702306 759481 759697 762675 763179"
        " 763181 763183 763185 793099 794979 828248 846192"
    ),
    # denosumab 60 mg prefilled syringe
    Drug.DENOSUMAB: "993452",
    # zoledronic acid 4 mg infusion
    Drug.INTRAVENOUS_BISPHOSPHONATE: "1114085",
    # naproxen 220, 500 mg; ibuprofen 100, 200, 400, 600, 800 mg tablets
    Drug.NSAID: "849574 198014 198405 310965 197805 197806 197807",
    # oxycodone 5, hydrocodone 7.5 and 5 with paracetamol, pethidine 50 mg tablets
    Drug.OPIOID: "1049221 857005 1310197 861467",
    # hydrochlorothiazide 25, 6.25 mg components, 25 mg tablet
    Drug.THIAZIDE: "316049 316052 310798",
    # digoxin 0.125 mg tablet
    Drug.DIGOXIN: "197604",
    # alendronic acid 10 mg tablet, and as Fosamax; 70 mg
    Drug.ORAL_BISPHOSPHONATE: "904419 904420 904431",
    # ferrous sulfate 325 mg tablet
    Drug.IRON: "310325",
    # carbamazepine as Tegretol, clonazepam as Klonopin; clonazepam 0.5, 1, 2 mg tablets and 0.125 to 2 mg for the
    # mouth; phenobarbital 100, 16, 16.2, 60, 97.2, 32.4, 64.8, 15, 30 mg tablets
    Drug.ANTICONVULSANT: (
        "308971 1153378 197527 197528 197529 349194 349195 349196 349197 349198"
        " 198083 198085 198086 198089 199164 199167 199168 312357 312362"
    ),
    # warfarin 5 mg tablet
    Drug.ANTICOAGULANT: "855332",
    # acetylsalicylic acid 81 mg, clopidogrel 75 mg tablets
    Drug.ANTIPLATELET: "243670 309362",
}

CLASSES: dict[str, tuple[Drug, ...]] = {
    code: (drug_class,)
    for table in (_INGREDIENTS, _PRODUCTS)
    for drug_class, codes in table.items()
    for code in codes.split()
}
"""RxNorm concept to the classes of the drug."""

ROUTE_DECIDES: frozenset[str] = frozenset({"3264", "5492", "1514", "10759"})
"""Dexamethasone, hydrocortisone, betamethasone, triamcinolone: systemic or local, as the route says."""

_REVIEWED_INGREDIENTS = """
    161 17767 20352 20610 25480 28889 36567 42463 435 519
    6809 6918 723 77492 83367 88249 1202 301542 274783
"""
_REVIEWED = """
    316672 312961 860975 106892 866414 897718 197361 315971 1719286 834357 705129 1804799
    313782 282464 1043400 562251 834102 834061 308182 308192 309097 311989 311995 997488
    665078 1049630 1014676 197378 477045 1094107
    389221 757594 1000126 1000156 748962 751905 978950 807283 831533 748856 1534809 748879 749762 1367439 1605257
    895994 896209 745679 106258 1870230 1660014 1190795
    197319 105586 835900 1803932 1736776 2001499 310436 996740 1091392 563026
"""
NO_CLASS: frozenset[str] = frozenset(_REVIEWED.split()) | frozenset(_REVIEWED_INGREDIENTS.split())
"""Drugs that were looked at and belong to none of the classes, so they raise no warning.

Ingredients: paracetamol, amlodipine, carvedilol, cetirizine, gabapentin, loratadine, simvastatin,
pravastatin, salbutamol, allopurinol, metformin, metoprolol, amoxicillin, tamsulosin, atorvastatin,
montelukast, atenolol, rosuvastatin, insulin glargine. Products, in this order: heart and
metabolism; pain, infection and allergy; contraceptives (hormones, but no replacement); inhalers, skin and emergency
drugs; others.
"""
