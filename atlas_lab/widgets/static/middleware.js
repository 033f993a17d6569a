const PARTS = ["passed", "transformed", "dropped", "raised"];

function render({ model, el }) {
  const list = make("ol", { class: "atlas-mw-list" });
  const none = make("p", { class: "atlas-empty", text: "None: every event passes. bus.add_middleware(iso_timestamp) adds one." });
  const more = make("p", { class: "atlas-empty" });
  const told = make("div", { class: "atlas-hidden", role: "status" });
  el.classList.add("atlas-panel", "atlas-mw");
  el.append(make("section", { "aria-label": "Middleware" }, make("h3", { text: "Middleware" }), list, none, more, told));
  const rows = new Map();
  const line = connect(model, el, { news });

  function button(text, label, act) {
    return make("button", { class: "atlas-tool", type: "button", text, title: label, "aria-label": label, onclick: act });
  }

  function newRow(name) {
    const knob = make("button", { class: "atlas-switch", type: "button", role: "switch", "aria-label": name });
    knob.append(make("i"));
    knob.addEventListener("click", () => {
      const on = knob.getAttribute("aria-checked") !== "true";
      knob.setAttribute("aria-checked", String(on));
      line.say("switch", { name, on });
      setText(told, `${name} is ${on ? "on" : "off"}`);
    });
    const up = button("↑", `Move ${name} up`, () => line.say("move", { name, by: -1 }));
    const down = button("↓", `Move ${name} down`, () => line.say("move", { name, by: 1 }));
    const out = button("✕", `Remove ${name}`, () => {
      if (out.classList.contains("sure")) line.say("remove", { name });
      else { out.classList.add("sure"); setText(out, "remove?"); out.setAttribute("aria-label", `Remove ${name}: press again`); }
    });
    out.addEventListener("blur", () => {
      out.classList.remove("sure"); setText(out, "✕"); out.setAttribute("aria-label", `Remove ${name}`);
    });
    const title = make("b", { text: name, title: name });
    const mean = make("span", { class: "atlas-dim atlas-num" });
    const bar = make("div", { class: "atlas-bar", "aria-hidden": "true" });
    const parts = PARTS.map((part) => bar.appendChild(make("i", { class: part })));
    const said = make("small");
    const tools = make("span", { class: "atlas-tools" }, up, down, out);
    const row = make("li", {}, knob, title, mean, bar, said, tools);
    return { row, knob, mean, bar, parts, said, up, down, out };
  }

  function news(message) {
    const known = new Set(message.rows.map((one) => one.name));
    for (const [name, one] of rows) if (!known.has(name)) { one.row.remove(); rows.delete(name); }
    message.rows.forEach((state, place) => {
      let one = rows.get(state.name);
      if (!one) rows.set(state.name, (one = newRow(state.name)));
      if (list.children[place] !== one.row) {
        const held = one.row.contains(document.activeElement) ? document.activeElement : null;
        list.insertBefore(one.row, list.children[place] ?? null);
        held?.focus();
      }
      one.knob.setAttribute("aria-checked", String(state.on));
      one.row.classList.toggle("off", !state.on);
      setText(one.mean, state.on ? state.mean : "off");
      setText(one.said, state.said);
      PARTS.forEach((part, n) => { one.parts[n].style.flexGrow = String(state.on ? state.counts[n] : 0); });
      // Not `disabled`, which would take the focus away from who moves an entry to the end.
      one.up.setAttribute("aria-disabled", String(place === 0));
      one.down.setAttribute("aria-disabled", String(place === message.rows.length - 1));
    });
    none.hidden = message.rows.length > 0;
    more.hidden = message.total <= message.rows.length;
    setText(more, `${counted(message.total - message.rows.length)} more are not shown.`);
    el.classList.toggle("atlas-closed", message.closed === true);
  }
  return () => line.stop();
}
export default { render };
