const COLUMNS = [["handler", ""], ["listens to", ""], ["defined at", "where"], ["calls", "n"], ["failed", "n"], ["", "act"]];

function render({ model, el }) {
  const count = make("span", { class: "atlas-dim" });
  const search = make("input", { type: "search", placeholder: "handler, type, file…", "aria-label": "Search subscriptions" });
  search.addEventListener("input", () => line.say("search", { text: search.value }));
  const body = make("tbody");
  const head = make("tr", {}, ...COLUMNS.map(([text, look]) =>
    make("th", { text, class: look, scope: "col", "aria-label": text || "pause and end" })));
  const table = make("table", { "aria-label": "Subscriptions" }, make("thead", {}, head), body);
  const none = make("p", { class: "atlas-empty" });
  const note = make("p", { class: "atlas-empty" });
  const title = make("div", { class: "atlas-title" }, make("h3", { text: "Subscriptions" }), count, search);
  const scroll = make("div", { class: "atlas-scroll" }, table);
  el.classList.add("atlas-panel", "atlas-subs");
  el.append(make("section", { "aria-label": "Subscriptions" }, title, scroll, none, note));
  const rows = new Map();
  const line = connect(model, el, { news });

  function newRow(state) {
    const key = state.key;
    const handler = make("b", { text: state.handler, title: state.handler });
    const restricted = make("small", { text: state.restricted });
    const problem = make("div", { class: "atlas-problem" });
    const pause = make("button", { class: "atlas-tool", type: "button" });
    pause.addEventListener("click", () => line.say(pause.dataset.does, { key }));
    const end = make("button", { class: "atlas-tool", type: "button", text: "✕", title: `Unsubscribe ${state.handler}`,
      "aria-label": `Unsubscribe ${state.handler}` });
    end.addEventListener("click", () => {
      if (end.classList.contains("sure")) line.say("unsubscribe", { key });
      else { end.classList.add("sure"); setText(end, "end?"); end.setAttribute("aria-label", `Unsubscribe ${state.handler}: press again`); }
    });
    end.addEventListener("blur", () => {
      end.classList.remove("sure"); setText(end, "✕"); end.setAttribute("aria-label", `Unsubscribe ${state.handler}`);
    });
    const calls = make("td", { class: "n" });
    const failed = make("td", { class: "n" });
    const row = make("tr", {},
      make("td", {}, handler, restricted, problem),
      make("td", { text: state.types, title: state.types }),
      make("td", { class: "where", text: state.where, title: state.where }),
      calls, failed, make("td", { class: "act" }, pause, end));
    return { row, handler, calls, failed, problem, pause, name: state.handler };
  }

  function news(message) {
    const known = new Set(message.rows.map((one) => one.key));
    for (const [key, one] of rows) if (!known.has(key)) { one.row.remove(); rows.delete(key); }
    message.rows.forEach((state, place) => {
      let one = rows.get(state.key);
      if (!one) rows.set(state.key, (one = newRow(state)));
      if (body.children[place] !== one.row) body.insertBefore(one.row, body.children[place] ?? null);
      setText(one.calls, counted(state.calls));
      setText(one.failed, state.errors ? counted(state.errors) : "0");
      one.failed.classList.toggle("bad", state.errors > 0);
      setText(one.problem, state.problem);
      one.problem.title = state.problem;
      one.row.classList.toggle("off", state.paused);
      setText(one.pause, state.paused ? "Resume" : "Pause");
      one.pause.dataset.does = state.paused ? "resume" : "pause";
      one.pause.setAttribute("aria-label", `${state.paused ? "Resume" : "Pause"} ${one.name}`);
    });
    setText(count, message.rows.length < message.total ? `${counted(message.rows.length)} of ${counted(message.total)}` : counted(message.total));
    search.hidden = message.total < 6 && !search.value;
    table.hidden = message.rows.length === 0;
    none.hidden = message.rows.length > 0;
    setText(none, message.total ? "None holds this text." : message.closed ? "The bus is closed, which ended them all." : "Nobody listens: bus.on(EventType.STREAM_CHUNK) subscribes a handler.");
    note.hidden = !message.note;
    setText(note, message.note);
    el.classList.toggle("atlas-closed", message.closed === true);
  }
  return () => line.stop();
}
export default { render };
