// A table over everything that is kept, of which only the rows in sight are here. It scrolls by a box as tall as all
// rows together, or, where that would be taller than browsers can, by a box whose height stands for them.

const ROW = 24;
const TALLEST = 8_000_000;
const MARGIN = 6;
let feeds = 0;

function render({ model, el }) {
  const name = `atlas-feed-${++feeds}`;
  const state = { count: 0, first: 0, rows: [], types: [], sources: [], scopes: [], filter: { types: [] } };
  let line;

  // Filters
  const typing = (action) => {
    let timer;
    return (event) => { clearTimeout(timer); timer = setTimeout(() => line.say(action, { value: event.target.value }), 150); };
  };
  const choosing = (action) => (event) => line.say(action, { value: event.target.value });
  const type = make("select", { "aria-label": "type", onchange: choosing("type") });
  const scope = make("select", { "aria-label": "scope", onchange: choosing("scope") });
  const sources = make("datalist", { id: `${name}-sources` });
  const source = make("input", { type: "search", placeholder: "source: any", "aria-label": "source", list: sources.id,
    autocomplete: "off", oninput: typing("source") });
  const text = make("input", { type: "search", class: "text", placeholder: "contains…", "aria-label": "contains", autocomplete: "off",
    spellcheck: "false", oninput: typing("text") });
  const pause = make("button", { type: "button", text: "Pause", "aria-pressed": "false",
    onclick: () => line.say("pause", { value: !state.paused }) });
  const note = make("div", { class: "note", role: "status", hidden: true });

  // The table
  const rows = make("div", { class: "rows", role: "rowgroup" });
  const tall = make("div", { class: "tall", role: "presentation" }, make("div", { class: "sheet", role: "presentation" }, rows));
  const empty = make("div", { class: "empty", hidden: true });
  const titles = make("div", { class: "line head", role: "row" },
    ...[["seq", "num"], ["+s", "num"], ["type", ""], ["source", ""], ["scope", "scope"], ["data", ""]]
      .map(([title, look]) => make("span", { text: title, class: look, role: "columnheader",
        title: title === "+s" ? "seconds since the first event" : null })));
  const scroll = make("div", { class: "scroll", tabindex: "0", role: "presentation", "aria-label": "events, newest first" }, tall, empty);
  const list = make("div", { class: "list", role: "grid", "aria-label": "events, newest first", "aria-readonly": "true" }, titles, scroll);
  scroll.setAttribute("role", "group");

  // Detail and scrubber
  const detail = make("div", { class: "detail", role: "region", "aria-label": "event in detail", tabindex: "0" });
  const record = make("input", { type: "checkbox", role: "switch", onchange: () => line.say("record", { value: record.checked }) });
  const canvas = make("canvas", { "aria-hidden": "true" });
  const slider = make("input", { type: "range", min: 0, max: 0, value: 0, "aria-label": "history: show the feed as it was at event" });
  const where = make("span", { class: "where" });
  const live = make("button", { type: "button", text: "Go live", onclick: () => { scroll.scrollTop = 0; line.say("live"); } });

  el.classList.add("atlas-feed");
  el.append(
    make("div", { class: "bar" }, type, source, scope, text, pause), note, sources,
    make("div", { class: "body" }, list, detail),
    make("div", { class: "foot" }, make("span", { text: "history" }), make("div", { class: "scrub" }, canvas, slider),
      where, make("label", { class: "switch" }, record, "record"), live));

  // Where in all rows the box stands
  const seen = () => Math.max(1, Math.ceil(scroll.clientHeight / ROW));
  const height = () => Math.min(state.count * ROW, TALLEST);
  const room = () => Math.max(1, height() - scroll.clientHeight);
  const scaled = () => state.count * ROW > TALLEST;
  const place = () => {
    if (!scaled()) return scroll.scrollTop / ROW;
    return (scroll.scrollTop / room()) * Math.max(0, state.count - scroll.clientHeight / ROW);
  };
  const placeOf = (row) => (scaled() ? (row / Math.max(1, state.count - scroll.clientHeight / ROW)) * room() : row * ROW);

  let asked = "";
  const ask = () => {
    const first = Math.floor(place());
    const from = first === 0 ? 0 : Math.max(0, first - MARGIN);
    const value = [first === 0 ? 0 : Math.max(1, from), seen() + 2 * MARGIN];
    if (String(value) === asked) return;
    asked = String(value);
    line.say("see", { value });
  };

  const nodes = [];
  const cellsOf = () => {
    const cells = ["num", "num plus", "t", "s", "scope", "d"].map((look) => make("span", { class: look, role: "gridcell" },
      look === "scope" ? make("bdi", { dir: "ltr" }) : null));
    const node = make("div", { class: "line row", role: "row" }, ...cells);
    // While the feed follows the newest, another event may stand here before the button is let go.
    let pressed = null;
    node.addEventListener("pointerdown", () => { pressed = node.seq; });
    node.addEventListener("click", () => {
      const value = pressed ?? node.seq;
      pressed = null;
      if (value) { line.say("select", { value }); scroll.focus({ preventScroll: true }); }
    });
    return { node, cells };
  };
  const draw = () => {
    const start = Math.floor(place());
    const wanted = Math.min(seen() + 1, Math.max(0, state.count - start));
    while (nodes.length < wanted) { const made = cellsOf(); nodes.push(made); rows.append(made.node); }
    let active = "";
    nodes.forEach(({ node, cells }, index) => {
      const row = index < wanted ? state.rows[start + index - state.first] : null;
      node.style.display = index < wanted ? "" : "none";
      node.seq = row?.[0];
      node.id = `${name}-${index}`;
      node.className = `line row ${row ? (row[6] < 0 ? "ke" : `k${row[6]}`) : ""}`;
      node.setAttribute("aria-rowindex", start + index + 2);
      const chosen = row != null && row[0] === state.selected;
      node.setAttribute("aria-selected", chosen ? "true" : "false");
      if (chosen) active = node.id;
      cells.forEach((cell, place) => { setText(cell.firstElementChild ?? cell, row ? String(row[place]) : place === 5 ? "…" : ""); });
      for (const place of [2, 3, 4, 5]) cells[place].title = row?.[place] ?? "";
    });
    rows.style.transform = `translateY(${scaled() ? 0 : -(scroll.scrollTop % ROW)}px)`;
    if (active) scroll.setAttribute("aria-activedescendant", active);
    else scroll.removeAttribute("aria-activedescendant");
  };
  let drawing = 0;
  scroll.addEventListener("scroll", () => { ask(); cancelAnimationFrame(drawing); drawing = requestAnimationFrame(draw); });

  // Keys move the choice; the kernel says which event that is, and where.
  let reveal = false;
  const steps = { ArrowDown: () => 1, ArrowUp: () => -1, PageDown: () => seen() - 1, PageUp: () => 1 - seen() };
  scroll.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (steps[event.key]) {
      reveal = true;
      line.say("step", { value: Math.max(-200, Math.min(200, steps[event.key]())) });
    } else if (event.key === "Home") { scroll.scrollTop = 0; line.say("live"); }
    else if (event.key === "End") scroll.scrollTop = room();
    else if (event.key === "Escape") line.say("select", { value: null });
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  const jump = (seq) => { reveal = true; line.say("select", { value: seq }); };

  // The scrubber
  let bins = [new Float32Array(0), new Float32Array(0)];
  const paint = () => {
    const box = canvas.getBoundingClientRect();
    const scale = window.devicePixelRatio || 1;
    const [w, h] = [Math.round(box.width * scale), Math.round(box.height * scale)];
    if (!w || !h) return;
    if (canvas.width !== w) canvas.width = w;
    if (canvas.height !== h) canvas.height = h;
    const look = getComputedStyle(el);
    const color = (variable) => look.getPropertyValue(variable).trim() || "#888";
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, w, h);
    const [rates, errors] = bins;
    const top = Math.sqrt(Math.max(0, ...rates)) || 1;
    const step = w / Math.max(1, rates.length);
    rates.forEach((rate, index) => {
      const tallness = Math.max(2 * scale, (Math.sqrt(rate) / top) * (h - 3 * scale));
      pen.fillStyle = color("--a-accent");
      pen.globalAlpha = 0.7;
      pen.fillRect(index * step, h - tallness, Math.max(1, step - (step > 2.5 * scale ? scale : 0)), tallness);
    });
    pen.globalAlpha = 1;
    errors.forEach((number, index) => { // a mark of another shape, not only of another colour
      if (!number) return;
      const x = (index + 0.5) * step;
      pen.fillStyle = color("--a-err");
      pen.fillRect(x - scale, 0, 2 * scale, h);
      pen.beginPath();
      pen.moveTo(x - 4 * scale, 0); pen.lineTo(x + 4 * scale, 0); pen.lineTo(x, 6 * scale);
      pen.fill();
    });
    const span = Math.max(1, state.newest - state.oldest + 1);
    if (state.newest) {
      const at = ((Math.min(state.last, state.newest) - state.oldest + 1) / span) * w;
      const x = Math.max(scale, Math.min(w - scale, at));
      pen.fillStyle = color("--a-bg");
      pen.globalAlpha = 0.6;
      pen.fillRect(x, 0, w - x, h);
      pen.globalAlpha = 1;
      pen.fillStyle = color("--a-ink");
      pen.fillRect(x - scale, 0, 2 * scale, h);
    }
  };
  let dragging = false;
  slider.addEventListener("pointerdown", () => { dragging = true; });
  window.addEventListener("pointerup", stopDragging);
  function stopDragging() { dragging = false; }
  slider.addEventListener("input", () => {
    const seq = Number(slider.value);
    scroll.scrollTop = 0;
    line.say("head", { value: seq >= state.newest ? null : seq });
  });
  const resized = new ResizeObserver(() => { ask(); draw(); paint(); });

  const options = (select, any, known, chosen) => {
    const values = known.includes(chosen) || !chosen ? known : [chosen, ...known];
    const key = JSON.stringify([any, values, chosen]);
    if (select.key === key) return;
    select.key = key;
    select.replaceChildren(make("option", { value: "", text: any }), ...values.map((value) => make("option", { value, text: value })));
    select.value = chosen;
    select.classList.toggle("set", chosen !== "");
  };
  const put = (input, value) => {
    if (document.activeElement !== input && input.value !== value) input.value = value;
    input.classList.toggle("set", value !== "");
  };

  const showControls = () => {
    const { filter } = state;
    const several = filter.types.length > 1;
    options(type, several ? `type: ${filter.types.length} types` : "type: any", state.types, several ? "" : filter.types[0] ?? "");
    type.classList.toggle("set", filter.types.length > 0);
    options(scope, "scope: any", state.scopes, filter.scope ?? "");
    put(source, filter.source ?? "");
    put(text, filter.text ?? "");
    const key = JSON.stringify(state.sources);
    if (sources.key !== key) {
      sources.key = key;
      sources.replaceChildren(...state.sources.map((value) => make("option", { value })));
    }
    list.classList.toggle("scoped", state.scopes.length > 1);
    pause.setAttribute("aria-pressed", String(Boolean(state.paused)));
    setText(pause, state.paused ? "Paused" : "Pause");
    record.checked = Boolean(state.recording);
  };

  const showPlace = () => {
    const newer = state.accepted - Math.max(state.last, 0);
    const held = state.head !== null || state.paused;
    const parts = [`seq ${counted(Math.min(state.last, state.newest))} of ${counted(state.accepted)}`];
    if (state.dropped) parts.push(`${counted(state.dropped)} pushed out`);
    setText(where, parts.join(" · "));
    live.disabled = !held;
    live.style.visibility = held ? "" : "hidden";
    const { filter } = state;
    const filtered = filter.types.length || filter.source || filter.scope || filter.text;
    const notes = [];
    if (state.closed) notes.push("The bus is closed.");
    if (state.paused) notes.push(`Paused at event ${counted(state.newest)}.`);
    else if (state.head !== null) notes.push(`The feed as it was at event ${counted(state.head)}.`);
    if (held && newer > 0) notes.push(`${counted(newer)} newer ${newer === 1 ? "event" : "events"}.`);
    if (filtered) notes.push(`${counted(state.count)} of ${counted(Math.max(0, state.newest - state.oldest + 1))} kept events match.`);
    if (state.behind) notes.push(`${counted(state.behind)} still to be compared.`);
    const kept = Math.max(0, state.newest - state.oldest + 1);
    // The line is always there, so that nothing moves when there is something to say.
    if (!notes.length) notes.push(`Following the newest: ${counted(kept)} ${kept === 1 ? "event" : "events"}.`);
    note.hidden = false;
    note.setAttribute("aria-live", held || filtered || state.closed ? "polite" : "off"); // else it would be read out all the time
    note.classList.remove("warn");
    note.classList.toggle("dim", !held && !filtered && !state.closed);
    setText(note, notes.join(" "));
    slider.min = state.oldest;
    slider.max = Math.max(state.newest, state.oldest);
    if (!dragging) slider.value = Math.min(state.last, state.newest);
    slider.setAttribute("aria-valuetext", `event ${counted(state.last)} of ${counted(state.accepted)}`);
    const nothing = state.accepted === 0 ? "No event yet. Publish one, and it appears here."
      : filtered ? "No kept event matches the filters."
      : state.newest - state.oldest + 1 <= 0 ? "The history keeps no event." : "All events up to here were pushed out.";
    empty.hidden = state.count > 0;
    setText(empty, nothing);
  };

  line = connect(model, el, {
    news(message, buffers) {
      const changed = message.state ?? {};
      const before = state.count;
      Object.assign(state, changed);
      if (buffers?.length === 2) bins = buffers.map(floats);
      tall.style.height = `${height()}px`;
      list.setAttribute("aria-rowcount", state.count + 1);
      if (("filter" in changed || "head" in changed) && state.first === 0 && place() >= 1) { // another list: from its top
        scroll.scrollTop = 0;
        asked = "";
      }
      if ("count" in changed && before && state.count < before) ask();
      showControls();
      showPlace();
      if (reveal && ("row" in changed || "selected" in changed)) {
        reveal = false;
        if (state.row !== null) {
          const top = place();
          const last = top + scroll.clientHeight / ROW - 1;
          if (state.row < top) scroll.scrollTop = placeOf(state.row);
          else if (state.row > last) scroll.scrollTop = placeOf(state.row - scroll.clientHeight / ROW + 1) + 1;
        }
      }
      draw();
      if ("detail" in changed || message.all) showDetail(detail, state.detail, jump);
      paint();
    },
    alive(here) {
      if (here) { showPlace(); return; }
      note.hidden = false;
      note.setAttribute("aria-live", "polite");
      note.classList.remove("dim");
      note.classList.add("warn");
      setText(note, GONE);
    },
  });
  resized.observe(scroll);
  resized.observe(canvas);
  const themed = new MutationObserver(() => { paint(); setTimeout(paint, 300); }); // styles may come later
  themed.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-name", "data-jp-theme-light", "class"] });
  return () => {
    line.stop();
    resized.disconnect();
    themed.disconnect();
    window.removeEventListener("pointerup", stopDragging);
  };
}
export default { render };
