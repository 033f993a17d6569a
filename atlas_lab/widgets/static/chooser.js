// A combobox with a list that can be searched, after the pattern of the ARIA Authoring Practices Guide.
function render({ model, el }) {
  const id = "atlas-" + Math.random().toString(36).slice(2);
  const label = make("label", { for: id, text: model.get("description") });
  const input = make("input", {
    id, type: "text", role: "combobox", autocomplete: "off", spellcheck: "false", placeholder: "type to search",
    "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": `${id}-list`,
  });
  const list = make("ul", { id: `${id}-list`, role: "listbox", "aria-label": model.get("description") });
  const arrow = make("span", { class: "atlas-arrow", text: "▾", "aria-hidden": "true" });
  let shown = [];
  let active = -1;
  let searching = false;
  list.hidden = true;
  el.classList.add("atlas-chooser");
  el.append(label, make("div", { class: "atlas-chooser-field" }, input, arrow, list));

  function fill() {
    const words = searching ? input.value.toLowerCase().split(/\s+/) : [];
    shown = model.get("options").filter((name) => words.every((word) => name.toLowerCase().includes(word)));
    list.replaceChildren(...shown.slice(0, 300).map((name, place) => make("li", {
      id: `${id}-${place}`, role: "option", text: name, "aria-selected": "false",
      onmousedown: (event) => { event.preventDefault(); choose(name); },
    })));
    if (!shown.length) list.append(make("li", { class: "atlas-dim", text: "no such type" }));
    activate(shown.indexOf(model.get("value")));
  }
  function activate(place) {
    list.children[active]?.setAttribute("aria-selected", "false");
    active = place;
    const row = active >= 0 ? list.children[active] : null;
    row?.setAttribute("aria-selected", "true");
    row?.scrollIntoView({ block: "nearest" });
    if (row) input.setAttribute("aria-activedescendant", row.id);
    else input.removeAttribute("aria-activedescendant");
  }
  function open(on) {
    if (on === !list.hidden) return;
    list.hidden = !on;
    input.setAttribute("aria-expanded", String(on));
    if (on) fill();
  }
  function choose(name) {
    searching = false;
    input.value = name;
    open(false);
    if (name !== model.get("value")) { model.set("value", name); model.save_changes(); }
  }
  input.addEventListener("focus", () => input.select());
  input.addEventListener("click", () => open(true));
  arrow.addEventListener("mousedown", (event) => { event.preventDefault(); input.focus(); open(list.hidden); });
  input.addEventListener("input", () => {
    searching = true;
    open(true);
    fill();
    if (shown.length && input.value) activate(0);
  });
  input.addEventListener("blur", () => { if (searching) choose(exact(input.value)); open(false); });
  const exact = (text) => model.get("options").find((name) => name.toLowerCase() === text.trim().toLowerCase()) ?? text.trim();
  input.addEventListener("keydown", (event) => {
    const last = Math.min(shown.length, 300) - 1;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (list.hidden) open(true);
      else activate(event.key === "ArrowDown" ? Math.min(active + 1, last) : Math.max(active - 1, 0));
    } else if (event.key === "Enter") {
      choose(!list.hidden && active >= 0 && active <= last ? shown[active] : exact(input.value));
    } else if (event.key === "Escape" && !list.hidden) {
      searching = false;
      input.value = model.get("value");
      open(false);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  const show = () => { if (!searching) input.value = model.get("value"); };
  const mark = () => {
    input.classList.toggle("bad", model.get("bad"));
    input.setAttribute("aria-invalid", String(model.get("bad")));
  };
  const refill = () => { if (!list.hidden) fill(); };
  model.on("change:value", show);
  model.on("change:bad", mark);
  model.on("change:options", refill);
  show();
  mark();
  return () => { model.off("change:value", show); model.off("change:bad", mark); model.off("change:options", refill); };
}
export default { render };
