// The result: the viewer beside the report, judgements, own read first, exports, signature. Everything that happens is
// told to the server as one event, act; what the server answers comes back through answer().

const PARTS = [
  ["report", "Report", null],
  ["image", "X-ray", ["radiograph-title", "places-title", "broken_now-title", "bone-age-title"]],
  ["risk", "Risk", ["risk-title", "fragility-title", "weak_bone-title"]],
  ["plan", "Plan", ["follow-up-title", "safety-title", "healing-title"]],
  ["sources", "Sources", ["sources-title", "method-title", "limits-title", "Data given"]],
];
const JUDGEMENT = { agree: "\u2713", correct: "\u270e", reject: "\u2717" };
const SAID = { agree: "agreed", correct: "corrected", reject: "rejected: no fracture" };

function makeWorkspace(root, act) {
  let data = null, viewer = null, began = 0, part = "report", drawn = null, waiting = false;

  function onlyPart(html, names) {
    // The viewer stands beside the report: its own picture of the same radiograph is left out.
    const beside = data.view ? ".image-side{display:none}main>.pair:first-of-type{display:block}" : "";
    const hide = beside + (names === null ? "" : "body>header,body>footer,body>.notice{display:none}"
      + "main>section:not(" + names.map((one) => "[aria-labelledby='" + one + "'],[aria-label='" + one + "']").join(",") + "){display:none!important}"
      + "main{padding-top:8px}");
    return html.replace("</head>", "<style>" + hide + "</style></head>");
  }
  function tabs() {
    const frame = make("iframe", { title: "Report", sandbox: "allow-popups allow-popups-to-escape-sandbox", class: "cds-report" });
    const buttons = PARTS.map(([name, label]) => make("button", { type: "button", role: "tab", id: "cds-tab-" + name,
      "aria-controls": "cds-part", onclick: () => open(name) }, label));
    const list = make("div", { role: "tablist", "aria-label": "Parts of the result", class: "cds-tabs", onkeydown: (event) => {
      const at = PARTS.findIndex(([name]) => name === part), count = PARTS.length;
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1 + count, Home: 0, End: count - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault(); open(PARTS[to % count][0]); buttons[to % count].focus();
    } }, buttons);
    const panel = make("div", { role: "tabpanel", id: "cds-part", "aria-labelledby": "cds-tab-report" }, frame);
    function open(name) {
      part = name;
      PARTS.forEach(([one, label], place) => {
        buttons[place].setAttribute("aria-selected", one === name);
        buttons[place].tabIndex = one === name ? 0 : -1;
        if (one === name) {
          frame.title = label; frame.srcdoc = onlyPart(data.report, PARTS[place][2]);
          panel.setAttribute("aria-labelledby", "cds-tab-" + name);
        }
      });
    }
    open(part);
    return make("div", { class: "cds-right" }, list, panel);
  }

  const say = (text, bad) => {
    const line = root.querySelector(".cds-answer");
    if (line) { line.textContent = text; line.classList.toggle("bad", Boolean(bad)); }
  };
  const send = (what) => { if (waiting) return; waiting = true; root.setAttribute("aria-busy", "true"); act({ case_id: data.case.id, ...what }); };
  const reasoned = (label, reason, click, more) => make("button", { type: "button", class: "cds-button" + (more || ""),
    disabled: Boolean(reason), title: reason || null, "aria-description": reason || null, onclick: click }, label);

  // What was said about one thing by this reader, and still stands.
  const mine = (test) => data.feedback.filter((one) => one.mine && test(one)).pop();
  const judged = (place) => mine((one) => one.finding === place && one.kind in JUDGEMENT);
  const supersedes = (before) => before ? { supersedes: before.id } : {};

  function head() {
    const c = data.case;
    const facts = ["Case " + c.id.slice(0, 8), c.created, c.patient].filter(Boolean).join(" \u00b7 ");
    const status = c.signed_by ? "Signed by " + c.signed_by + ", " + c.signed : c.stored ? "Kept, not signed yet" : "Not kept on this server";
    const language = make("select", { "aria-label": "Language of the patient page", class: "cds-language" },
      make("option", { value: "en" }, "English"), make("option", { value: "de" }, "Deutsch"));
    const patient = data.exports.find((one) => one.format === "patient");
    return make("header", { class: "cds-head" },
      make("div", { class: "cds-title" }, make("h2", { tabindex: "-1" }, c.title),
        make("p", { class: "cds-facts" }, facts + " \u00b7 ", make("strong", { class: "cds-status" }, status))),
      make("div", { class: "cds-actions", role: "group", "aria-label": "Export, sign, send" },
        data.exports.filter((one) => one.format !== "patient").map((one) => reasoned(one.label, one.reason, () => send({ action: "export", format: one.format }))),
        patient ? make("span", { class: "cds-join" }, reasoned(patient.label, patient.reason, () => send({ action: "export", format: "patient", language: language.value })), language) : null,
        reasoned("Send to EHR", data.send.ehr, () => send({ action: "send_ehr" })),
        reasoned("Send to PACS", data.send.pacs, () => send({ action: "send_pacs" })),
        reasoned(c.signed_by ? "Signed" : "Sign the report", data.sign, () => send({ action: "sign" }), " strong")),
      greyed());
  }

  // A finger sees no tooltip: the reasons stand in words, too.
  function greyed() {
    const named = [...data.exports.map((one) => [one.label, one.reason]), ["Send to EHR", data.send.ehr], ["Send to PACS", data.send.pacs]];
    const told = new Map();
    for (const [label, reason] of named) if (reason) told.set(reason, [...(told.get(reason) || []), label]);
    return told.size ? make("p", { class: "cds-facts cds-greyed" }, [...told].map(([reason, labels]) => labels.join(", ") + ": " + reason).join(" ")) : null;
  }

  function typeSelect(value) {
    return make("select", { "aria-label": "Fracture type", class: "cds-type" }, make("option", { value: "" }, "Type not stated"),
      data.types.map((one) => make("option", { value: one.value, selected: one.value === value }, one.label)));
  }
  // The bar under the viewer while a box is drawn.
  function drawing(title, start, type, take) {
    const bar = root.querySelector(".cds-drawing"), choice = typeSelect(type);
    const end = () => { drawn = null; viewer.stopDrawing(); bar.replaceChildren(); bar.hidden = true; };
    const keep = () => { const box = viewer.drawnBox(); end(); take(box, choice.value || null); };
    bar.replaceChildren(make("strong", {}, title), choice,
      make("button", { type: "button", class: "cds-button strong cds-keep", onclick: keep }, "Save"),
      make("button", { type: "button", class: "cds-button", onclick: end }, "Cancel"));
    bar.hidden = false;
    viewer.startDrawing(start, { drawn: (box) => { drawn = box; }, taken: keep, given: end });
  }

  function findings() {
    const places = data.view.detections, off = data.judging;
    const rows = places.map((one, place) => {
      const before = judged(place);
      const press = (kind, label, click) => make("button", { type: "button", class: "cds-button cds-" + kind, disabled: Boolean(off), title: off || null,
        "aria-pressed": Boolean(before && before.kind === kind), "aria-label": label + ", place " + one.number, onclick: click }, JUDGEMENT[kind] + " " + label);
      const tell = (kind) => send({ action: "judge", kind, finding: place, ...supersedes(before) });
      return make("li", { class: "cds-finding" },
        make("div", { class: "cds-what" },
          make("button", { type: "button", class: "cds-place", onclick: () => { viewer.select(place); viewer.say(one.spoken); } },
            make("span", { class: "cds-line " + (one.definite ? "solid" : "dotted") }), "Place " + one.number + ": " + one.call),
          make("span", { class: "cds-facts" }, one.facts),
          one.measures.length ? make("details", {}, make("summary", {}, "Measures"), make("ul", {}, one.measures.map((text) => make("li", {}, text)))) : null),
        make("div", { class: "cds-judge", role: "group", "aria-label": "Your judgement of place " + one.number },
          press("agree", "Agree", () => tell("agree")),
          press("correct", "Correct", () => drawing("Redraw place " + one.number, (before && before.boxes[0]) || one.box, before && before.type,
            (box, type) => send({ action: "judge", kind: "correct", finding: place, boxes: [box], type, ...supersedes(before) }))),
          press("reject", "Reject", () => tell("reject"))),
        before ? make("p", { class: "cds-stored" }, "Stored: " + SAID[before.kind] + (before.type ? ", " + before.type : "") + ", " + before.at) : null);
    });
    const missed = data.feedback.filter((one) => one.kind === "missed");
    const others = data.feedback.filter((one) => !one.mine && one.kind in JUDGEMENT);
    return make("section", { class: "cds-panel", "aria-labelledby": "cds-judge-title" },
      make("h3", { id: "cds-judge-title" }, "Your judgement"),
      off ? make("p", { class: "cds-reason" }, off) : null,
      places.length ? make("ol", { class: "cds-findings" }, rows) : make("p", {}, "The machine marked no place. ", data.clear ? whole() : null),
      data.feedback.filter((one) => one.kind === "adjudication").map((one) => make("p", { class: "cds-stored" }, "Settled: " + (one.fracture ? "fracture" : "no fracture") + (one.type ? ", " + one.type : "") + ", " + one.at + ", by " + one.author)),
      missed.map((one, place) => make("p", { class: "cds-stored" }, "Stored: missed fracture M" + (place + 1) + (one.type ? ", " + one.type : "") + ", " + one.at + (one.mine ? " " : ", by " + one.author),
        one.mine ? make("button", { type: "button", class: "cds-button small", onclick: () => drawing("Redraw M" + (place + 1), one.boxes[0], one.type,
          (box, type) => send({ action: "judge", kind: "missed", boxes: [box], type, supersedes: one.id })) }, "Redraw") : null)),
      others.map((one) => make("p", { class: "cds-facts" }, one.author + ": " + (one.finding === null ? "the radiograph" : "place " + (one.finding + 1)) + " " + SAID[one.kind] + ", " + one.at)),
      reasoned("Mark a missed fracture", off, () => drawing("Missed fracture", null, null,
        (box, type) => send({ action: "judge", kind: "missed", boxes: [box], type })), " cds-missed"));
  }

  // Nothing marked, and rightly so: without this only fractures would ever be confirmed.
  function whole() {
    const before = mine((one) => one.finding === null && one.kind in JUDGEMENT), agreed = Boolean(before && before.kind === "agree");
    return make("button", { type: "button", class: "cds-button cds-agree", disabled: Boolean(data.judging), title: data.judging || null, "aria-pressed": agreed,
      "aria-label": "Agree, no fracture", onclick: () => send({ action: "judge", kind: "agree", ...supersedes(before) }) }, JUDGEMENT.agree + " Agree: no fracture");
  }

  // Every look is kept: one that found the bone not united and a later one that found it united tell more than either.
  function outcome() {
    const kept = data.feedback.filter((one) => one.kind === "outcome").sort((one, other) => one.weeks - other.weeks);
    let replaced = null;
    const weeks = make("input", { type: "number", min: 0, max: 520, step: 0.5, id: "cds-weeks" });
    const united = (value, label) => make("label", {}, make("input", { type: "radio", name: "cds-united", value }), label);
    const keep = () => {
      const chosen = root.querySelector("input[name=cds-united]:checked");
      if (!weeks.value || !chosen) { say("Give the weeks after the injury and whether the fracture had united.", true); return; }
      send({ action: "outcome", weeks: Number(weeks.value), united: chosen.value === "yes", ...supersedes(replaced) });
    };
    const save = reasoned("Save", data.judging, keep, " cds-keep-outcome");
    const correct = (one) => {
      replaced = one;
      weeks.value = one.weeks;
      root.querySelector("input[name=cds-united][value=" + (one.united ? "yes" : "no") + "]").checked = true;
      save.textContent = "Save the correction";
      weeks.focus();
    };
    const stored = kept.map((one) => make("p", { class: "cds-stored" }, "Stored: " + (one.united ? "united" : "not united") + " at " + one.weeks + " weeks, " + one.at + (one.mine ? " " : ", by " + one.author),
      one.mine ? make("button", { type: "button", class: "cds-button small", "aria-label": "Correct the follow-up at " + one.weeks + " weeks", onclick: () => correct(one) }, "Correct") : null));
    return make("details", { class: "cds-panel cds-outcome", open: kept.length > 0 }, make("summary", {}, "At follow-up: what became of it"),
      make("div", { class: "cds-row" }, make("label", { for: "cds-weeks" }, "Weeks after the injury"), weeks,
        make("span", { role: "radiogroup", "aria-label": "Had it united?", class: "cds-row" }, united("yes", "United"), united("no", "Not united")), save),
      stored);
  }

  // Own read first: nothing of the machine's is in this page until it is recorded.
  function ownRead() {
    const boxes = [];
    const choices = [["yes", "Fracture"], ["no", "No fracture"], ["unsure", "Unsure"]].map(([value, label]) =>
      make("label", { class: "cds-choice" }, make("input", { type: "radio", name: "cds-own", value }), label));
    const list = make("p", { class: "cds-facts" }, "No box drawn (optional).");
    const draw = make("button", { type: "button", class: "cds-button cds-own-draw", onclick: () => drawing("Your box", null, null, (box) => {
      boxes.push(box); list.textContent = boxes.length + (boxes.length === 1 ? " box drawn." : " boxes drawn.");
      clear.hidden = false; viewer.mark({}, boxes.map((one, place) => ({ box: one, kind: "own", label: "You " + (place + 1) })));
    }) }, "Draw where");
    const clear = make("button", { type: "button", class: "cds-button small", hidden: true, onclick: () => {
      boxes.length = 0; clear.hidden = true; list.textContent = "No box drawn (optional)."; viewer.mark({}, []); } }, "Remove boxes");
    const keep = () => {
      const chosen = root.querySelector("input[name=cds-own]:checked");
      if (!chosen) { say("Choose fracture, no fracture or unsure.", true); return; }
      if (boxes.length && chosen.value === "no") { say("You drew a box but say no fracture: remove the box, or change the answer.", true); return; }
      send({ action: "own_read", read: chosen.value, boxes: [...boxes], seconds: (performance.now() - began) / 1000 });
    };
    return make("section", { class: "cds-panel cds-own", "aria-labelledby": "cds-own-title" },
      make("h3", { id: "cds-own-title" }, "Your read first"),
      make("p", {}, "Read the X-ray yourself. The machine's read is shown once yours is recorded; it cannot be changed after that."),
      make("div", { role: "radiogroup", "aria-label": "Your read", class: "cds-row" }, choices),
      make("div", { class: "cds-row" }, draw, clear, list),
      data.judging ? make("p", { class: "cds-reason" }, data.judging + " Your read counts for this page only.") : null,
      make("button", { type: "button", class: "cds-button strong cds-own-keep", onclick: keep }, "Record my read and show the result"));
  }

  function agreement() {
    return data.agreement ? make("section", { class: "cds-panel cds-agreement " + data.agreement.kind, "aria-label": "Your read and the machine's" },
      make("strong", {}, data.agreement.title), " ", data.agreement.text) : null;
  }
  function remark() {
    if (!viewer || !data.view) return;
    const marks = {}, extra = [];
    data.view.detections.forEach((_one, place) => {
      const before = judged(place);
      if (before) { marks[place] = " " + JUDGEMENT[before.kind]; if (before.kind === "reject") marks[place] = JUDGEMENT.reject;
        for (const box of before.boxes) extra.push({ box, kind: "corrected", label: "C" + (place + 1) }); }
    });
    data.feedback.filter((one) => one.kind === "missed").forEach((one, place) => one.boxes.forEach((box) => extra.push({ box, kind: "missed", label: "M" + (place + 1) })));
    data.feedback.filter((one) => one.kind === "own_read" && one.mine).forEach((one) => one.boxes.forEach((box, place) => extra.push({ box, kind: "own", label: "You " + (place + 1) })));
    viewer.mark(marks, extra);
  }
  function side() {
    const panels = root.querySelector(".cds-panels");
    const where = document.activeElement && panels.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") || document.activeElement.textContent : null;
    panels.replaceChildren(...[agreement(), ...(data.blind ? [ownRead()] : [data.view ? findings() : null, outcome()])].filter(Boolean));
    remark();
    // The button that was pressed was made anew: keep the keyboard where it was.
    if (where) { const again = [...panels.querySelectorAll("button")].find((one) => (one.getAttribute("aria-label") || one.textContent) === where); if (again) again.focus({ preventScroll: true }); }
  }

  function show(text) {
    waiting = false; root.removeAttribute("aria-busy");
    data = text ? JSON.parse(text) : null;
    if (!data) {
      root.className = "cds-work";
      root.replaceChildren(make("p", { class: "cds-empty" }, "No result yet: give an X-ray, a patient record, or both, on the tab \u201cCase\u201d, then press Assess; or open a case from the history."));
      return;
    }
    part = "report"; drawn = null;
    const screen = make("div", {});
    const bar = make("div", { class: "cds-drawing", hidden: true, role: "group", "aria-label": "Drawing" }), panels = make("div", { class: "cds-panels" });
    viewer = data.view ? makeViewer(screen) : null;
    root.className = "cds-work " + (data.blind ? "blind" : "shown") + (data.view ? "" : " no-image");
    root.replaceChildren(data.blind ? make("header", { class: "cds-head" }, make("div", { class: "cds-title" }, make("h2", { tabindex: "-1" }, "Read the X-ray first"))) : head(),
      make("p", { role: "status", "aria-live": "polite", class: "cds-answer" }),
      make("div", { class: "cds-pair" },
        make("div", { class: "cds-left" }, data.view ? make("section", { class: "cds-viewer", "aria-label": "X-ray" }, screen) : null, bar,
          data.blind ? null : panels),
        data.blind ? make("div", { class: "cds-right" }, panels) : tabs()));
    if (viewer) viewer.show(data.view);
    began = performance.now();
    side();
    root.querySelector("h2").focus({ preventScroll: true });
    if (root.getBoundingClientRect().top < 0) root.scrollIntoView({ block: "start" });
  }

  function answer(text) {
    waiting = false; root.removeAttribute("aria-busy");
    if (!text || !data) return;
    const told = JSON.parse(text);
    if (told.bad) { say(told.said, true); return; }
    if (told.case_id !== data.case.id) return;
    if (told.feedback) { data.feedback = told.feedback; side(); }
    if (told.case) { Object.assign(data, { case: told.case, sign: told.sign, exports: told.exports, send: told.send }); root.querySelector(".cds-head").replaceWith(head()); }
    if (told.file) {
      const bytes = Uint8Array.from(atob(told.file.content), (c) => c.charCodeAt(0));
      const address = URL.createObjectURL(new Blob([bytes], { type: told.file.media_type }));
      const link = make("a", { href: address, download: told.file.name });
      document.body.append(link); link.click(); link.remove();
      setTimeout(() => URL.revokeObjectURL(address), 60000);
    }
    say(told.said || "");
  }
  return { show, answer };
}
