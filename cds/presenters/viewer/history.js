// The list of kept cases: a table whose rows open a case.
function makeHistory(root, act) {
  function show(text) {
    const data = text ? JSON.parse(text) : { rows: [], note: "" };
    const cell = (value) => make("td", {}, value || "\u2013");
    const rows = data.rows.map((one) => make("tr", {},
      cell(one.created), make("th", { scope: "row" }, one.title), cell(one.urgency), cell(one.region), cell(one.patient), cell(one.signed),
      make("td", {}, make("button", { type: "button", class: "cds-button cds-open", "aria-label": "Open the case of " + one.created, onclick: () => act({ action: "open", case_id: one.id }) }, "Open"))));
    root.replaceChildren(
      make("p", { role: "status", class: "cds-facts" }, data.note),
      data.rows.length ? make("div", { class: "cds-scroll", tabindex: "0", role: "region", "aria-label": "Cases" }, make("table", { class: "cds-table" },
        make("thead", {}, make("tr", {}, ["Assessed", "Result", "Urgency", "Region", "Patient id", "Signed", ""].map((one) => make("th", { scope: "col" }, one)))),
        make("tbody", {}, rows))) : "",
      data.cursor ? make("button", { type: "button", class: "cds-button", onclick: () => act({ action: "more", cursor: data.cursor }) }, "Older cases") : "");
  }
  return { show };
}
