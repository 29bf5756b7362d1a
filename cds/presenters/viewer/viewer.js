// The X-ray viewer: window and level, zoom, boxes, heat, measurements, and drawing a box. No library, no request.
// makeViewer(root) builds it; show(view) fills it. Pixels of boxes are those of the radiograph as read.

function make(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === false || value === null || value === undefined) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  for (const child of children.flat()) if (child !== null && child !== undefined) node.append(child);
  return node;
}

// cividis (Nunez et al. 2018): rises evenly in lightness, alike for normal and red-green blind eyes.
const CIVIDIS = [[0, 34, 78], [66, 78, 108], [124, 123, 120], [185, 172, 112], [254, 232, 56]];
const COLOURS = { definite: "#f0e442", suspected: "#7cc7f5", own: "#ffffff", corrected: "#e69f00", missed: "#e69f00" };
const MAX_ZOOM = 12;

function makeViewer(root) {
  const state = { view: null, width: 1, level: 0.5, zoom: 1, x: 0, y: 0, boxes: true, heat: -1, measures: false,
    invert: false, tool: "move", selected: 0, extra: [], marks: {}, drawing: null };
  let pixels = null, top = 255, picture = null, ready = false, queued = false, labels = [];

  const canvas = make("canvas", { tabindex: "0", role: "application", "aria-roledescription": "X-ray viewer",
    "aria-describedby": "cds-viewer-keys", class: "cds-canvas" });
  const context = canvas.getContext("2d");
  const said = make("p", { role: "status", class: "cds-said", "aria-live": "polite" });
  const button = (label, keys, act, pressed) => make("button", { type: "button", class: "cds-tool",
    "aria-keyshortcuts": keys, title: label + " (" + keys + ")", "aria-pressed": pressed, onclick: act }, label);
  const tools = {
    move: button("Move", "M", () => choose("move"), "true"),
    window: button("Window", "W", () => choose("window"), "false"),
    boxes: button("Boxes", "B", () => toggle("boxes"), "true"),
    measures: button("Measures", "G", () => toggle("measures"), "false"),
    invert: button("Invert", "I", () => toggle("invert"), "false"),
    reset: button("Reset", "0", reset),
  };
  const heat = make("select", { "aria-label": "Heat map (H)", class: "cds-heat", onchange: () => setHeat(+heat.value) });
  const slider = (label, low, high, step, act) => {
    const input = make("input", { type: "range", "aria-label": label, min: low, max: high, step, oninput: () => act(+input.value) });
    const value = make("output", {});
    return { input, value, row: make("label", { class: "cds-slider" }, make("span", {}, label), input, value) };
  };
  const sliders = {
    width: slider("Window", 2, 100, 1, (v) => { state.width = v / 100; window_(); }),
    level: slider("Level", 0, 100, 1, (v) => { state.level = v / 100; window_(); }),
    zoom: slider("Zoom", 100, MAX_ZOOM * 100, 5, (v) => { zoomTo(v / 100); }),
  };
  const keys = make("details", { class: "cds-keys" }, make("summary", {}, "Keyboard and touch"),
    make("p", { id: "cds-viewer-keys" },
      "With the X-ray focused: arrows move it, plus and minus zoom, 0 resets. Shift with arrows changes the window "
      + "(left, right) and the level (up, down). B boxes, H heat map, G measurements, I invert, M move, W window by "
      + "dragging. N and P go through the places. While drawing: drag, or arrows move the box, Shift with arrows "
      + "changes its size, Enter takes it, Escape gives up. Touch: one finger moves, two fingers zoom."));
  const legend = make("p", { class: "cds-legend" });
  root.replaceChildren(
    make("div", { role: "toolbar", "aria-label": "X-ray tools", class: "cds-toolbar" },
      tools.move, tools.window, tools.boxes, tools.measures, tools.invert, heat, tools.reset),
    make("div", { class: "cds-stage" }, canvas),
    make("div", { class: "cds-sliders" }, sliders.width.row, sliders.level.row, sliders.zoom.row),
    legend, said, keys);

  function say(text) { said.textContent = text; }
  function paint() { if (!queued) { queued = true; requestAnimationFrame(() => { queued = false; draw(); }); } }

  // Pixels: 8 bits in grey, or 12 bits as red (high) and green (low), so that a narrow window still has steps.
  function decode(image) {
    const source = document.createElement("canvas");
    source.width = image.naturalWidth; source.height = image.naturalHeight;
    const reader = source.getContext("2d", { willReadFrequently: true });
    reader.drawImage(image, 0, 0);
    const data = reader.getImageData(0, 0, source.width, source.height).data;
    const deep = state.view.image.bits === 12;
    top = deep ? 4095 : 255;
    pixels = new Uint16Array(source.width * source.height);
    for (let i = 0, p = 0; i < pixels.length; i++, p += 4) pixels[i] = deep ? (data[p] << 4) | (data[p + 1] >> 4) : data[p];
    picture = source;
    ready = true;
    applyWindow();
  }
  function applyWindow() {
    if (!ready) return;
    const table = new Uint32Array(top + 1), low = state.level - state.width / 2;
    for (let v = 0; v <= top; v++) {
      let grey = Math.round(255 * Math.min(1, Math.max(0, (v / top - low) / state.width)));
      if (state.invert) grey = 255 - grey;
      table[v] = (255 << 24) | (grey << 16) | (grey << 8) | grey;
    }
    const writer = picture.getContext("2d"), out = writer.createImageData(picture.width, picture.height);
    const words = new Uint32Array(out.data.buffer);
    for (let i = 0; i < pixels.length; i++) words[i] = table[pixels[i]];
    writer.putImageData(out, 0, 0);
    paint();
  }
  function window_() { tell(); applyWindow(); }

  function fit() {
    const image = state.view.image;
    return Math.min(canvas.clientWidth / image.width, canvas.clientHeight / image.height) || 1;
  }
  function scale() { return fit() * state.zoom; }
  function toImage(x, y) {
    const s = scale();
    return [state.x + (x - canvas.clientWidth / 2) / s, state.y + (y - canvas.clientHeight / 2) / s];
  }
  function keepInside() {
    const image = state.view.image, s = scale();
    const limit = (centre, size, room) => size * s <= room ? size / 2
      : Math.min(size - room / 2 / s, Math.max(room / 2 / s, centre));
    state.x = limit(state.x, image.width, canvas.clientWidth);
    state.y = limit(state.y, image.height, canvas.clientHeight);
  }
  function zoomTo(zoom, x, y) {
    const at = x === undefined ? null : toImage(x, y);
    state.zoom = Math.min(MAX_ZOOM, Math.max(1, zoom));
    if (at) {
      const s = scale();
      state.x = at[0] - (x - canvas.clientWidth / 2) / s;
      state.y = at[1] - (y - canvas.clientHeight / 2) / s;
    }
    keepInside(); tell(); paint();
  }
  function reset() {
    Object.assign(state, { width: 1, level: 0.5, zoom: 1, invert: false });
    if (state.view) { state.x = state.view.image.width / 2; state.y = state.view.image.height / 2; }
    tell(); applyWindow(); say("View reset.");
  }
  function choose(tool) { state.tool = tool; tell(); say(tool === "move" ? "Dragging moves the X-ray." : "Dragging changes window and level."); }
  function toggle(name) { state[name] = !state[name]; tell(); if (name === "invert") applyWindow(); else paint(); say(tools[name].textContent + (state[name] ? " on." : " off.")); }
  function setHeat(place) { state.heat = place; heat.value = String(place); paint(); say(place < 0 ? "Heat map off." : state.view.heat[place].title); }
  function tell() {
    tools.move.setAttribute("aria-pressed", state.tool === "move");
    tools.window.setAttribute("aria-pressed", state.tool === "window");
    for (const name of ["boxes", "measures", "invert"]) tools[name].setAttribute("aria-pressed", state[name]);
    const set = (one, value, text) => { one.input.value = value; one.value.textContent = text; one.input.setAttribute("aria-valuetext", text); };
    set(sliders.width, Math.round(state.width * 100), Math.round(state.width * 100) + "%");
    set(sliders.level, Math.round(state.level * 100), Math.round(state.level * 100) + "%");
    set(sliders.zoom, Math.round(state.zoom * 100), Math.round(state.zoom * 100) + "%");
  }

  function draw() {
    if (!state.view) return;
    const ratio = window.devicePixelRatio || 1, wide = canvas.clientWidth, high = canvas.clientHeight;
    if (canvas.width !== Math.round(wide * ratio)) canvas.width = Math.round(wide * ratio);
    if (canvas.height !== Math.round(high * ratio)) canvas.height = Math.round(high * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = "#000"; context.fillRect(0, 0, wide, high);
    if (!ready) return;
    const s = scale(), image = state.view.image;
    const left = wide / 2 - state.x * s, upper = high / 2 - state.y * s;
    const at = (x, y) => [left + x * s, upper + y * s];
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, left, upper, image.width * s, image.height * s);
    if (state.heat >= 0 && state.view.heat[state.heat].canvas)
      context.drawImage(state.view.heat[state.heat].canvas, left, upper, image.width * s, image.height * s);
    const places = state.view.detections;
    labels = [];
    if (state.measures) for (const one of places) traced(one, at);
    if (state.boxes) places.forEach((one, place) => box(one.box, at, {
      kind: one.definite ? "definite" : "suspected", label: String(one.number) + (state.marks[place] || ""),
      strong: place === state.selected && places.length > 1, faint: state.marks[place] === "\u2717" }));
    for (const one of state.extra) box(one.box, at, one);
    if (state.drawing && state.drawing.box) box(state.drawing.box, at, { kind: "own", label: "new", strong: true });
  }
  function box(corners, at, { kind, label, strong, faint }) {
    const [x1, y1] = at(corners[0], corners[1]), [x2, y2] = at(corners[2], corners[3]);
    context.save();
    context.globalAlpha = faint ? 0.45 : 1;
    context.strokeStyle = "rgba(0,0,0,.6)"; context.lineWidth = strong ? 7 : 5;
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    context.strokeStyle = COLOURS[kind]; context.lineWidth = strong ? 3.4 : 2.4; context.lineCap = "round";
    context.setLineDash(kind === "definite" ? [] : kind === "suspected" ? [1, 6] : [12, 6]);
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    context.setLineDash([]);
    context.font = "600 14px system-ui, sans-serif";
    // The machine's labels stand above their box, a person's below it; the first place that no other label has.
    const room = context.measureText(label).width + 12, above = y1 - 24, below = y2 + 4;
    const inside = (x, y) => [Math.min(Math.max(2, x), canvas.clientWidth - room - 2), Math.min(Math.max(2, y), canvas.clientHeight - 22)];
    const machine = kind === "definite" || kind === "suspected";
    const places = (machine ? [[x1, above], [x1, below], [x2 - room, above], [x2 - room, below], [x2 + 6, y1]]
      : [[x1, below], [x2 - room, below], [x1, above], [x2 + 6, y1]]).map(([x, y]) => inside(x, y));
    const [start, top_] = places.find(([x, y]) => !labels.some(([a, b, w]) => x < a + w && a < x + room && y < b + 20 && b < y + 20)) || places[0];
    labels.push([start, top_, room]);
    context.fillStyle = COLOURS[kind]; context.fillRect(start, top_, room, 20);
    context.strokeStyle = "#000"; context.lineWidth = 1; context.strokeRect(start, top_, room, 20);
    context.fillStyle = "#000"; context.textBaseline = "middle"; context.fillText(label, start + 6, top_ + 10.5);
    context.restore();
  }
  function traced(one, at) {
    const path = (points) => { context.beginPath(); points.forEach((p, i) => { const [x, y] = at(p[0], p[1]); if (i) context.lineTo(x, y); else context.moveTo(x, y); }); context.stroke(); };
    context.save();
    context.lineWidth = 2;
    context.strokeStyle = "#56b4e9"; one.edges.forEach(path);
    context.strokeStyle = "#ffffff"; context.setLineDash([8, 5]); one.axes.forEach(path);
    context.strokeStyle = "#e69f00"; context.setLineDash([]); path(one.line);
    context.font = "600 13px system-ui, sans-serif"; context.textBaseline = "top";
    // Below the box, whole and inside the picture: what is too wide for one line stands on several.
    const wide = (text) => context.measureText(text).width + 10, room = canvas.clientWidth - 4;
    const lines = one.measures.slice(0, 3).flatMap((text) => wide(text) <= room ? [text] : text.split("; "));
    const [x, y] = at(one.box[0], one.box[3]);
    const start = Math.max(2, Math.min(x, room + 2 - Math.max(0, ...lines.map(wide))));
    const out = y < 0 || y > canvas.clientHeight, first = out ? y + 5 : Math.min(y + 5, canvas.clientHeight - 19 * lines.length - 2);
    lines.forEach((text, place) => {
      context.fillStyle = "rgba(0,0,0,.75)"; context.fillRect(start, first + place * 19, wide(text), 18);
      context.fillStyle = "#fff"; context.fillText(text, start + 5, first + 2 + place * 19);
    });
    context.restore();
  }

  // Pointer: one drags (or draws), two zoom.
  const fingers = new Map();
  let before = null;
  const place = (event) => { const area = canvas.getBoundingClientRect(); return [event.clientX - area.left, event.clientY - area.top]; };
  canvas.addEventListener("pointerdown", (event) => {
    if (!state.view) return;
    canvas.setPointerCapture(event.pointerId); canvas.focus({ preventScroll: true });
    fingers.set(event.pointerId, place(event));
    before = null;
    if (state.drawing && fingers.size === 1) state.drawing.from = toImage(...place(event));
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    const [ox, oy] = fingers.get(event.pointerId), [x, y] = place(event);
    fingers.set(event.pointerId, [x, y]);
    if (fingers.size >= 2) {
      const [a, b] = [...fingers.values()], gap = Math.hypot(a[0] - b[0], a[1] - b[1]);
      if (before) zoomTo(state.zoom * gap / before, (a[0] + b[0]) / 2, (a[1] + b[1]) / 2);
      before = gap;
    } else if (state.drawing) {
      if (state.drawing.from) { state.drawing.box = clipped([...state.drawing.from, ...toImage(x, y)]); paint(); }
    } else if (state.tool === "window" || event.buttons === 2) {
      shiftWindow((x - ox) / 300, (oy - y) / 300);
    } else {
      state.x -= (x - ox) / scale(); state.y -= (y - oy) / scale(); keepInside(); paint();
    }
  });
  const lift = (event) => {
    fingers.delete(event.pointerId); before = null;
    if (state.drawing && state.drawing.from) {
      state.drawing.from = null;
      const b = state.drawing.box;
      if (b && b[2] - b[0] >= 3 && b[3] - b[1] >= 3) { say("Box drawn" + sizeOf(b) + ". Draw again, or take it."); state.drawing.drawn(b); }
    }
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("wheel", (event) => {
    // Only a focused X-ray takes the wheel, so that scrolling past it stays possible.
    if (!state.view || (document.activeElement !== canvas && !event.ctrlKey)) return;
    event.preventDefault(); zoomTo(state.zoom * Math.exp(-event.deltaY / 500), ...place(event));
  }, { passive: false });
  function shiftWindow(width, level) {
    state.width = Math.min(1, Math.max(0.02, state.width + width));
    state.level = Math.min(1, Math.max(0, state.level + level));
    window_();
  }
  function clipped([x1, y1, x2, y2]) {
    const { width, height } = state.view.image, hold = (v, top_) => Math.round(Math.min(top_, Math.max(0, v)) * 10) / 10;
    return [hold(Math.min(x1, x2), width), hold(Math.min(y1, y2), height), hold(Math.max(x1, x2), width), hold(Math.max(y1, y2), height)];
  }
  function sizeOf(b) {
    const mm = state.view.spacing;
    return mm ? ", " + ((b[2] - b[0]) * mm.column_mm).toFixed(0) + " by " + ((b[3] - b[1]) * mm.row_mm).toFixed(0) + " mm " + mm.where : "";
  }

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    if (!state.view || event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = ARROWS[event.key], letter = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (arrow && state.drawing) byKeys(arrow, event.shiftKey);
    else if (arrow && event.shiftKey) { shiftWindow(arrow[0] * 0.04, -arrow[1] * 0.03); say("Window " + sliders.width.value.textContent + ", level " + sliders.level.value.textContent); }
    else if (arrow) { state.x += arrow[0] * 40 / scale(); state.y += arrow[1] * 40 / scale(); keepInside(); paint(); }
    else if (state.drawing && event.key === "Enter") { if (state.drawing.box) state.drawing.taken(state.drawing.box); }
    else if (state.drawing && event.key === "Escape") state.drawing.given();
    else if (letter === "+" || letter === "=") zoomTo(state.zoom * 1.25);
    else if (letter === "-") zoomTo(state.zoom / 1.25);
    else if (letter === "0") reset();
    else if (letter === "b" || letter === "g" || letter === "i") toggle({ b: "boxes", g: "measures", i: "invert" }[letter]);
    else if (letter === "m" || letter === "w") choose(letter === "m" ? "move" : "window");
    else if (letter === "h") setHeat(state.heat + 1 < state.view.heat.length ? state.heat + 1 : -1);
    else if (letter === "n" || letter === "p") step(letter === "n" ? 1 : -1);
    else return;
    event.preventDefault();
  });
  function byKeys([dx, dy], sizing) {
    const { width, height } = state.view.image, by = Math.max(2, Math.max(width, height) / 100), b = state.drawing.box;
    state.drawing.box = clipped(sizing ? [b[0], b[1], Math.max(b[0] + by, b[2] + dx * by), Math.max(b[1] + by, b[3] + dy * by)]
      : [b[0] + dx * by, b[1] + dy * by, b[2] + dx * by, b[3] + dy * by]);
    state.drawing.drawn(state.drawing.box); paint();
  }
  function step(by) {
    const count = state.view.detections.length;
    if (!count) { say("No place is marked."); return; }
    select((state.selected + by + count) % count); say(state.view.detections[state.selected].spoken);
  }
  function select(place_) {
    state.selected = place_;
    const b = state.view.detections[place_] && state.view.detections[place_].box;
    if (b && state.zoom > 1) { state.x = (b[0] + b[2]) / 2; state.y = (b[1] + b[3]) / 2; keepInside(); }
    paint();
  }

  function warm(one) {
    const image = new Image();
    image.onload = () => {
      const sheet = document.createElement("canvas");
      sheet.width = image.naturalWidth; sheet.height = image.naturalHeight;
      const pen = sheet.getContext("2d"); pen.drawImage(image, 0, 0);
      const data = pen.getImageData(0, 0, sheet.width, sheet.height);
      for (let p = 0; p < data.data.length; p += 4) {
        const heat_ = data.data[p] / 255, part = heat_ * (CIVIDIS.length - 1), low = Math.min(CIVIDIS.length - 2, Math.floor(part));
        for (let c = 0; c < 3; c++) data.data[p + c] = CIVIDIS[low][c] + (part - low) * (CIVIDIS[low + 1][c] - CIVIDIS[low][c]);
        data.data[p + 3] = heat_ < 0.15 ? 0 : 190 * Math.sqrt((heat_ - 0.15) / 0.85);
      }
      pen.putImageData(data, 0, 0); one.canvas = sheet; paint();
    };
    image.src = one.source;
  }

  new ResizeObserver(() => { if (state.view) { keepInside(); paint(); } }).observe(canvas);

  return {
    canvas, say,
    show(view) {
      state.view = view; ready = false; state.selected = 0; state.heat = -1; state.drawing = null; state.extra = []; state.marks = {};
      Object.assign(state, { width: 1, level: 0.5, zoom: 1, x: view.image.width / 2, y: view.image.height / 2, invert: false, boxes: true });
      canvas.setAttribute("aria-label", view.image.alt);
      const seen = view.detections.length > 0;
      tools.boxes.disabled = !seen;
      tools.measures.disabled = !view.detections.some((one) => one.measures.length || one.edges.length);
      heat.replaceChildren(make("option", { value: "-1" }, view.heat.length ? "Heat map off" : "No heat map"),
        ...view.heat.map((one, place_) => make("option", { value: place_ }, one.title)));
      heat.disabled = !view.heat.length; heat.value = "-1";
      view.heat.forEach(warm);
      legend.replaceChildren(...(seen ? [
        make("span", { class: "cds-line solid" }), "solid: definite", make("span", { class: "cds-line dotted" }), "dotted: suspected"] : []),
        view.image.synthetic ? make("strong", {}, "Synthetic phantom: carries no patient.") : "");
      const image = new Image();
      image.onload = () => { decode(image); root.dataset.ready = "true"; };
      delete root.dataset.ready;
      image.src = view.image.source;
      tell(); paint();
    },
    mark(marks, extra) { state.marks = marks; state.extra = extra; paint(); },
    select,
    // Draw one box: drawn(box) at every change, taken(box) on Enter, given() on Escape.
    startDrawing(box_, hooks) {
      const { width, height } = state.view.image;
      const start = box_ || clipped([state.x - width / 12, state.y - height / 16, state.x + width / 12, state.y + height / 16]);
      state.drawing = { box: start, from: null, ...hooks };
      canvas.classList.add("drawing"); canvas.focus({ preventScroll: true }); paint();
      say("Drawing: drag on the X-ray, or use the arrow keys; Shift with arrows changes the size; Enter takes it.");
    },
    stopDrawing() { state.drawing = null; canvas.classList.remove("drawing"); paint(); },
    drawnBox() { return state.drawing && state.drawing.box; },
  };
}
