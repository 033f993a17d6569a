// Counts, a sign of life, and the last minute: events a second, and how long handlers took.

function micros(value) {
  if (value == null) return "–";
  for (const [size, unit] of [[1e6, "s"], [1e3, "ms"]]) {
    if (value >= size) return `${(value / size).toLocaleString("en-US", { maximumSignificantDigits: 3 })} ${unit}`;
  }
  return `${value.toLocaleString("en-US", { maximumSignificantDigits: 3 })} µs`;
}

function curve(canvas, el, lines) {
  const box = canvas.getBoundingClientRect();
  const scale = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(box.width * scale), Math.round(box.height * scale)];
  if (!w || !h) return;
  if (canvas.width !== w) canvas.width = w;
  if (canvas.height !== h) canvas.height = h;
  const pen = canvas.getContext("2d");
  const look = getComputedStyle(el);
  pen.clearRect(0, 0, w, h);
  let top = 0;
  for (const { values } of lines) for (const value of values) if (value > top) top = value;
  const y = (value) => h - 2 * scale - (top ? (value / top) * (h - 4 * scale) : 0);
  for (const { values, color, dash, fill } of lines) {
    const ink = look.getPropertyValue(color).trim() || "#888";
    const step = w / Math.max(1, values.length - 1);
    pen.beginPath();
    let before = false;
    values.forEach((value, index) => {
      if (Number.isNaN(value)) { before = false; return; }
      if (before === false) { pen.moveTo(index * step, y(value)); pen.lineTo(index * step + scale, y(value)); }
      else pen.lineTo(index * step, y(value));
      before = true;
    });
    pen.strokeStyle = ink;
    pen.lineWidth = 1.5 * scale;
    pen.lineJoin = "round";
    pen.setLineDash(dash ? [4 * scale, 2 * scale] : []);
    pen.stroke();
    if (fill) {
      pen.lineTo(w, h); pen.lineTo(0, h); pen.closePath();
      pen.globalAlpha = 0.14; pen.fillStyle = ink; pen.fill(); pen.globalAlpha = 1;
    }
  }
}

function render({ model, el }) {
  const state = {};
  let curves = [];
  let here = true;
  el.classList.add("atlas-rate");
  el.setAttribute("role", "group");
  const dot = make("span", { class: "atlas-dot", "aria-hidden": "true" });
  const word = make("span", { text: "live" });
  const count = (label, look = "") => {
    const number = make("b");
    const unit = make("span", { text: ` ${label}` });
    return { number, unit, node: make("span", { class: `pill ${look}` }, number, unit) };
  };
  const name = make("span", { class: "name" });
  const events = count("events");
  const subscriptions = count("subscriptions");
  const errors = count("errors", "bad");
  const dropped = count("pushed out");
  const rates = make("canvas", { role: "img", "aria-label": "events per second over the last minute" });
  const rate = make("b", { class: "rate" });
  const times = make("canvas", { role: "img", "aria-label": "how long handlers took over the last minute" });
  const p50 = make("b");
  const p99 = make("b");
  const calls = make("span", { class: "pill curve", hidden: true }, times,
    make("i", { class: "key", "aria-hidden": "true" }), "p50", p50, make("i", { class: "key high", "aria-hidden": "true" }), "p99", p99);
  el.append(name, make("span", { class: "pill state", role: "status" }, dot, word), events.node, subscriptions.node, errors.node,
    dropped.node,
    make("span", { class: "curves" }, make("span", { class: "pill curve" }, rates, rate, "events/s"), calls));

  const put = (one, value, single) => {
    setText(one.number, counted(value));
    setText(one.unit, value === 1 ? ` ${single}` : ` ${single}s`);
  };
  const paint = () => {
    curve(rates, el, [{ values: curves[0] ?? [], color: "--a-accent", fill: true }]);
    if (!calls.hidden) {
      curve(times, el, [{ values: curves[2] ?? [], color: "--a-warn", dash: true }, { values: curves[1] ?? [], color: "--a-accent" }]);
    }
  };
  const show = () => {
    setText(name, state.name ?? "");
    el.setAttribute("aria-label", `bus ${state.name ?? ""}`);
    setText(word, !here ? GONE : state.closed ? "closed" : "live");
    dot.classList.toggle("off", !here || Boolean(state.closed));
    put(events, state.events ?? 0, "event");
    put(subscriptions, state.subscriptions ?? 0, "subscription");
    put(errors, state.errors ?? 0, "error");
    errors.node.hidden = !state.errors;
    setText(dropped.number, counted(state.dropped ?? 0));
    dropped.node.hidden = !state.dropped;
    setText(rate, Math.round(state.rate ?? 0).toLocaleString("en-US"));
    calls.hidden = !state.recording || state.p50 == null; // nothing was timed yet
    setText(p50, micros(state.p50));
    setText(p99, micros(state.p99));
    paint();
  };
  const line = connect(model, el, {
    news(message, buffers) {
      Object.assign(state, message.state ?? {});
      if (buffers?.length) curves = buffers.map(floats);
      show();
    },
    alive(now) { here = now; show(); },
  });
  const resized = new ResizeObserver(paint);
  resized.observe(rates);
  const themed = new MutationObserver(() => { paint(); setTimeout(paint, 300); }); // styles may come later
  themed.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-name", "data-jp-theme-light", "class"] });
  return () => { line.stop(); resized.disconnect(); themed.disconnect(); };
}
export default { render };
