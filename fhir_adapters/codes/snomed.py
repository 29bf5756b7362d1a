"""SNOMED CT concepts, one by one: a Bundle carries no hierarchy, so each concept that counts is listed.

Source: SNOMED CT International Edition (concept identifiers are facts; the terms in comments are shortened). The list
holds the general concept of each disease, its common subtypes, and the closed and open fractures of each bone. Records
whose own subtypes are finer should also send the ICD-10 code, which is read by prefix.
"""

from fhir_adapters.codes.meanings import DiagnosisMeaning, diabetes, fracture, kind, smoking
from fhir_adapters.patient import ConditionKind as Kind
from fhir_adapters.patient import DiabetesType, SmokingStatus
from fhir_adapters.patient import FractureSiteGroup as Site


def _all(concepts: str, meaning: DiagnosisMeaning) -> dict[str, DiagnosisMeaning]:
    """The same meaning for several space-separated concepts."""
    return dict.fromkeys(concepts.split(), meaning)


_FRACTURES: dict[str, DiagnosisMeaning] = {
    # bone without a site; fracture of upper limb; pathological fracture; osteoporotic fracture of bone
    **_all("125605004 23406007", fracture(Site.OTHER)),
    **_all("268029009", fracture(Site.OTHER, pathological=True)),
    **_all("443165006", fracture(Site.OTHER, Kind.OSTEOPOROSIS, pathological=True)),
    # hip region; closed, open fracture of hip; neck of femur
    **_all("700097003 359817006 361118003 5913000", fracture(Site.HIP)),
    # femur; closed, open; osteoporotic
    **_all("71620000 25415003 28576007", fracture(Site.FEMUR)),
    **_all("704330001", fracture(Site.FEMUR, Kind.OSTEOPOROSIS, pathological=True)),
    # vertebral column with, without cord injury; compression; cervical, thoracic, lumbar closed and open
    **_all("1734006 15724005 42942008", fracture(Site.SPINE)),
    **_all("269062008 269070003 207938004 207949005 207957008 207965006", fracture(Site.SPINE)),
    # pelvis; closed, open; pubic rami; sacrum and coccyx closed, open
    **_all("77493009 91037003 15474008 13695006 207974008 207977001 766775007 767262002", fracture(Site.PELVIS)),
    # wrist: fracture subluxation; wrist region; distal end of radius
    **_all("263102004 1303397005 263199001", fracture(Site.WRIST)),
    # forearm; radius, ulna, both: general, closed, open; Monteggia, Galeazzi; elbow closed, open
    **_all("65966004 12676007 111640008 42945005 54556006 71555008 37449000 53627009 81966000", fracture(Site.FOREARM)),
    **_all("29045004 34578006 208322000 208341002", fracture(Site.FOREARM)),
    **_all("302222008 302232001", fracture(Site.OTHER)),
    # humerus: general, closed, open; supracondylar closed, open
    **_all("66308002 43295006 89294002 58580000 62356006", fracture(Site.HUMERUS)),
    # clavicle; closed, open. Scapula and sternum have no group of their own.
    **_all("58150001 33173003 111637008", fracture(Site.CLAVICLE)),
    **_all("29749002 47864008 66112004 87225004", fracture(Site.OTHER)),
    # rib; closed, open
    **_all("33737001 60667009 45910007", fracture(Site.RIB)),
    # hand; carpal, scaphoid, metacarpal, thumb, finger: closed, open
    **_all("20511007 9468002 29014003 208371005 208394006 1370007 208403005 208420009", fracture(Site.HAND)),
    **_all("704213001 704236005 24424003 21698002", fracture(Site.HAND)),
    # lower leg, open; tibia, its shaft, fibula, both, patella, bone of knee
    **_all("414292006 22640007 31978002 447139008 446979005 6990005 28012007", fracture(Site.LOWER_LEG)),
    **_all("75591007 447395005 447017008 413877007 414943006", fracture(Site.LOWER_LEG)),
    **_all("80756009 111643005 878852003 428151000 428019004", fracture(Site.LOWER_LEG)),
    # ankle; closed, open
    **_all("16114001 42188001 48187004", fracture(Site.ANKLE)),
    # foot; closed, open; calcaneus; toes; stress fracture
    **_all("15574005 342070009 367527001 64665009 24948002 81576005 74395007 704065008", fracture(Site.FOOT)),
    # skull, face, nose: closed, open
    **_all("371162008 371161001 430984009 111609001 81639003 40613008", fracture(Site.SKULL)),
}

_BONE: dict[str, DiagnosisMeaning] = {
    # osteoporosis; vertebral
    **_all("64859006 203438009", kind(Kind.OSTEOPOROSIS)),
    **_all("312894000", kind(Kind.OSTEOPENIA)),
    **_all("78314001", kind(Kind.OSTEOGENESIS_IMPERFECTA)),
    **_all("34713006", kind(Kind.VITAMIN_D_DEFICIENCY)),
}

_DIABETES: dict[str, DiagnosisMeaning] = {
    **_all("46635009", diabetes(DiabetesType.TYPE_1)),
    # type 2, and due to it: retinopathy, microalbuminuria, proteinuria, macular oedema, nonproliferative and
    # proliferative retinopathy, blindness
    **_all("44054006 422034002 90781000119102 157141000119108", diabetes(DiabetesType.TYPE_2)),
    # neuropathy due to type 2
    **_all("368581000119106", diabetes(DiabetesType.TYPE_2, Kind.DIABETIC_NEUROPATHY)),
    # neuropathy due to diabetes, polyneuropathy due to diabetes, type not said
    **_all("230572002 49455004", diabetes(DiabetesType.UNSPECIFIED, Kind.DIABETIC_NEUROPATHY)),
    **_all("97331000119101 1551000119108 1501000119109 60951000119105", diabetes(DiabetesType.TYPE_2)),
    # diabetes mellitus; diabetic renal disease, type not said
    **_all("73211009 127013003", diabetes(DiabetesType.UNSPECIFIED)),
}

_DISEASES: dict[str, DiagnosisMeaning] = {
    # rheumatoid arthritis; of foot, of hand joint
    **_all("69896004 429192004 287007001", kind(Kind.RHEUMATOID_ARTHRITIS)),
    **_all("66931009", kind(Kind.HYPERCALCAEMIA)),
    **_all("5291005", kind(Kind.HYPOCALCAEMIA)),
    **_all("95570007", kind(Kind.KIDNEY_STONES)),
    **_all("31541009", kind(Kind.SARCOIDOSIS)),
    **_all("36348003", kind(Kind.PRIMARY_HYPERPARATHYROIDISM)),
    **_all("34486009", kind(Kind.HYPERTHYROIDISM)),
    # chronic kidney disease; stages 1 to 5; end-stage renal disease
    **_all("709044004 431855005 431856006 433144002 431857002 433146000 46177005", kind(Kind.CHRONIC_KIDNEY_DISEASE)),
    # chronic liver disease; cirrhosis; chronic hepatitis C
    **_all("328383001 19943007 128302006", kind(Kind.CHRONIC_LIVER_DISEASE)),
    # malabsorption syndrome; coeliac disease; Crohn's disease; ulcerative colitis
    **_all("32230006 396331005 34000006 64766004", kind(Kind.MALABSORPTION)),
    # alcoholism; alcohol dependence; alcohol abuse
    **_all("7200002 66590003 15167005", kind(Kind.ALCOHOL_USE_DISORDER)),
    # dementia; Alzheimer's disease; vascular dementia
    **_all("52448006 26929004 429998004", kind(Kind.DEMENTIA)),
    **_all("49049000", kind(Kind.PARKINSON)),
    **_all("84757009", kind(Kind.EPILEPSY)),
    # cerebrovascular accident; ischaemic stroke; cerebral, subarachnoid haemorrhage
    **_all("230690007 422504002 274100004 21454007", kind(Kind.STROKE)),
    # malignant neoplastic disease; breast, prostate, colon (malignant tumour, primary, metastatic), lung, myeloma
    **_all("363346000 254837009 399068003 363406005 93761005 94260004 109838007", kind(Kind.CANCER)),
    **_all("254637007 254632001 424132000 109989006 91861009", kind(Kind.CANCER)),
    # normal pregnancy; pregnant
    **_all("72892002 77386006", kind(Kind.PREGNANCY)),
    # hypogonadism; premature menopause
    **_all("48130008 373717006", kind(Kind.HYPOGONADISM)),
    **_all("56882008", kind(Kind.ANOREXIA_NERVOSA)),
    **_all("279992002", kind(Kind.REPEATED_FALLS)),
    # peripheral arterial occlusive disease; peripheral vascular disease
    **_all("399957001 400047006", kind(Kind.PERIPHERAL_ARTERY_DISEASE)),
    # heart failure; congestive; chronic; chronic congestive
    **_all("84114007 42343007 48447003 88805009", kind(Kind.HEART_FAILURE)),
    # ischaemic, coronary heart disease; infarction, acute and old, and its history; angina
    **_all("414545008 53741008 22298006 57054005 1755008 399211009 194828000", kind(Kind.ISCHAEMIC_HEART_DISEASE)),
    # COPD; chronic bronchitis, chronic obstructive bronchitis, emphysema; asthma, childhood asthma
    **_all("13645005 63480004 185086009 87433001 195967001 233678006", kind(Kind.ASTHMA_OR_COPD)),
    # peptic, gastric, duodenal ulcer
    **_all("13200003 397825006 51868009", kind(Kind.PEPTIC_ULCER)),
    # reflux disease; oesophagitis; stricture; achalasia; Barrett's oesophagus
    **_all("235595009 16761005 63305008 45564002 302914006", kind(Kind.OESOPHAGEAL_DISEASE)),
}

SMOKING: dict[str, SmokingStatus] = {
    "449868002": SmokingStatus.CURRENT,  # every day
    "428041000124106": SmokingStatus.CURRENT,  # some days
    "77176002": SmokingStatus.CURRENT,
    "65568007": SmokingStatus.CURRENT,  # cigarette smoker
    "59978006": SmokingStatus.CURRENT,  # cigar smoker
    "82302008": SmokingStatus.CURRENT,  # pipe smoker
    "160603005": SmokingStatus.CURRENT,  # light, 1 to 9 cigarettes a day
    "160604004": SmokingStatus.CURRENT,  # moderate, 10 to 19
    "160605003": SmokingStatus.CURRENT,  # heavy, 20 to 39
    "160606002": SmokingStatus.CURRENT,  # very heavy, 40 and more
    "428071000124103": SmokingStatus.CURRENT,  # heavy
    "428061000124105": SmokingStatus.CURRENT,  # light
    "8517006": SmokingStatus.FORMER,
    "281018007": SmokingStatus.FORMER,  # ex-cigarette smoker
    "266919005": SmokingStatus.NEVER,
    "266927001": SmokingStatus.UNKNOWN,
}
"""Answers to the smoking question; also met as conditions."""

PARENT_BROKE_HIP = frozenset({"391096007", "416072008", "445121000124105", "445501000124107"})
"""Family history of hip fracture: of the mother, the mother before 75, the father, a parent.

Source: eCQM value set 2.16.840.1.113883.3.464.1003.113.12.1040 (National Committee for Quality Assurance).
"""

PARENTS = frozenset({"72705000", "66839005", "65656005", "9947008"})
"""Relationship of a family member: mother, father, natural mother, natural father."""

DIAGNOSES: dict[str, DiagnosisMeaning] = {
    **_FRACTURES,
    **_BONE,
    **_DIABETES,
    **_DISEASES,
    **dict.fromkeys(PARENT_BROKE_HIP, DiagnosisMeaning(parent_broke_hip=True)),
    **{concept: smoking(status) for concept, status in SMOKING.items() if status is not SmokingStatus.UNKNOWN},
}
"""Concepts of clinical findings and what they mean here."""

FEMORAL_NECK = "29627003"
HIP_STRUCTURES = frozenset({"29836001", "24136001"})
"""Hip region, hip joint."""
SPINE_STRUCTURES = frozenset({"421060004", "122496007"})
"""Vertebral column, lumbar vertebral column."""

BODY_STRUCTURES: dict[str, Site] = {
    **dict.fromkeys({FEMORAL_NECK} | HIP_STRUCTURES, Site.HIP),
    **dict.fromkeys(SPINE_STRUCTURES, Site.SPINE),
    "71341001": Site.FEMUR,
    "85050009": Site.HUMERUS,
    "14975008": Site.FOREARM,
    "62413002": Site.FOREARM,  # radius
    "23416004": Site.FOREARM,  # ulna
    "8205005": Site.WRIST,
    "85562004": Site.HAND,
    "51299004": Site.CLAVICLE,
    "113197003": Site.RIB,
    "12921003": Site.PELVIS,
    "12611008": Site.LOWER_LEG,  # tibia
    "87342007": Site.LOWER_LEG,  # fibula
    "344001": Site.ANKLE,
    "56459004": Site.FOOT,
}
"""Body structures that make the site of a fracture precise when its own code does not."""
