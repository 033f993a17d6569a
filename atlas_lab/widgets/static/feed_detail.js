// One event: all of it, its causes, and what became of it.

function duration(nanoseconds) {
  const n = Number(nanoseconds);
  for (const [size, unit] of [[1e9, "s"], [1e6, "ms"], [1e3, "µs"]]) {
    if (n >= size) return `${(n / size).toLocaleString("en-US", { maximumSignificantDigits: 3 })} ${unit}`;
  }
  return `${n} ns`;
}

function pairs(list, bad = () => false) {
  const names = list.length === 1 && list[0][0] === "" ? null : list;
  if (!names) return make("pre", { text: list[0][1] });
  return make("div", { class: "kv" }, ...list.flatMap(([key, value]) => [
    make("span", { text: key, class: "key" }),
    make("span", { text: value, class: bad(key) ? "value bad" : "value" }),
  ]));
}

function part(title, ...children) {
  const [what, name] = [title].flat();
  return make("section", {}, make("h3", {}, what, name ? make("span", { class: "name", text: ` ${name}` }) : null), ...children);
}

function causes(detail, type, jump) {
  const list = make("ol", { class: "chain" });
  detail.causes.forEach(([seq, name, source, later], depth) => {
    const button = make("button", {
      type: "button", text: name, "aria-label": `cause: ${name}, event ${seq}`, onclick: () => jump(seq),
    });
    list.append(make("li", { style: `--depth:${Math.min(depth, 8)}` }, depth ? "└ " : null, button,
      make("span", { class: "dim", text: ` ${[source, later].filter(Boolean).join(" · ")}` })));
  });
  list.append(make("li", { style: `--depth:${Math.min(detail.causes.length, 8)}` },
    detail.causes.length ? "└ " : null, make("b", { text: type })));
  return list;
}

function calls(detail) {
  const longest = Math.max(1, ...detail.calls.map((call) => call[2]));
  return detail.calls.flatMap(([name, outcome, ns, error]) => [
    make("div", { class: `call ${outcome}`, title: name },
      make("span", { text: name }),
      make("span", { class: "w", style: `width:${Math.max(3, (ns / longest) * 100)}%`, "aria-hidden": "true" }),
      make("span", { class: "num", text: outcome === "ok" ? duration(ns) : outcome === "error" ? "raised" : "skipped" })),
    error ? make("div", { class: "why", text: `${error} · after ${duration(ns)}` }) : null,
  ].filter(Boolean));
}

const ACTIONS = { passed: "=", transformed: "→", dropped: "×", raised: "!" };

function steps(detail) {
  return detail.steps.map(([name, action, ns, changed]) => make("div", { class: `call ${action === "raised" ? "error" : ""}` },
    make("span", { text: `${ACTIONS[action] ?? ""} ${name}`, title: name }),
    make("span", { class: "dim", text: action === "transformed" ? "changed" : action, title: changed }),
    make("span", { class: "num", text: duration(ns) })));
}

function showDetail(box, detail, jump) {
  if (!detail) {
    box.replaceChildren(make("h3", { text: "Event" }),
      make("p", { class: "dim", text: "Choose an event to see its payload, what caused it and which handlers it reached. "
        + "In the list, arrow keys move; Home follows the newest." }));
    return;
  }
  const field = Object.fromEntries(detail.fields);
  const off = detail.recording
    ? "Nothing was recorded of this event: it came before recording was on, or made room for later ones."
    : "Switch recording on to see handlers with durations, and middleware steps, of the events to come.";
  const parts = [
    make("section", {}, make("h3", { text: `Event ${counted(detail.seq)}` }),
      pairs(detail.fields, (key) => key === "error")),
    detail.payload.length ? part(["Payload", detail.kind], pairs(detail.payload)) : null,
    part("Caused by",
      detail.causes.length || detail.why ? causes(detail, field.type, jump) : make("p", { class: "dim", text: "Nothing: published at top level." }),
      detail.why ? make("p", { class: "dim", text: detail.why }) : null),
    detail.traceback ? part("Traceback", make("pre", { text: detail.traceback.trimEnd(), tabindex: "0", "aria-label": "traceback" })) : null,
    part("Handled by", ...(detail.calls.length ? calls(detail) : [make("p", { class: "dim",
      text: detail.recorded && detail.steps.length ? "No handler." : off })])),
    detail.steps.length ? part("Middleware", ...steps(detail)) : null,
    detail.metadata.length ? part("Metadata", pairs(detail.metadata)) : null,
  ];
  const at = box.seq === detail.seq ? box.scrollTop : 0; // another event is read from its top
  box.seq = detail.seq;
  box.replaceChildren(...parts.filter(Boolean));
  box.scrollTop = at;
}
