// What every view does: it says that it is there, counts messages, notices that one is missing, and that no heartbeat
// comes any more. Nothing that comes from the kernel is ever read as HTML: text goes through textContent.

// Keys are not for the notebook, one of whose shortcuts cuts the cell away; with Ctrl and the like they are, but not in a
// field, where they undo and copy. A shortcut is looked for from the element on that has the focus, so that is marked.
const FIELDS = "input,textarea,select";
if (!window.atlasLabKeys) {
  window.atlasLabKeys = true; // once for all views of a page
  window.addEventListener("keydown", (event) => {
    const at = event.target;
    if (!(at instanceof Element) || !at.closest(".atlas-lab,.atlas-publish,.atlas-panel,.atlas-feed,.atlas-rate")) return;
    const withControl = event.ctrlKey || event.metaKey || event.altKey;
    const theirs = withControl && (event.key.toLowerCase() === "s" || !at.matches(FIELDS));
    at.toggleAttribute("data-lm-suppress-shortcuts", !theirs);
  }, true);
}

const NO_BEAT = 6000; // milliseconds without a sign of the kernel until it counts as gone

function make(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") node.className = value;
    else if (key === "text") node.textContent = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== false && value != null) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const counted = (number) => Number(number).toLocaleString("en-US");

// Floats of a binary buffer, wherever in the message it began.
function floats(view) {
  const bytes = view instanceof DataView ? view : new DataView(view.buffer ?? view);
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

// news(message, buffers) is called for every message, alive(bool) when the kernel goes or comes back.
function connect(model, root, { news, alive }) {
  const viewer = Math.random().toString(36).slice(2);
  let last = null;
  let sign = Date.now();
  let gone = false;
  root.setAttribute("data-jp-suppress-context-menu", "true");
  const say = (does, more = {}) => {
    try { model.send({ do: does, viewer, ...more }); } catch { /* the kernel is gone, which the missing heartbeat tells */ }
  };
  const mark = (isGone) => {
    if (gone === isGone) return;
    gone = isGone;
    root.classList.toggle("atlas-gone", gone);
    alive?.(!gone);
  };
  const hear = (message, buffers) => {
    if (!message || (message.kind !== "news" && message.kind !== "beat")) return;
    sign = Date.now();
    mark(false);
    if (message.kind === "beat") {
      if (last !== null && message.n !== last) say("again");
      return;
    }
    if (last !== null && message.n > last + 1 && !message.all) say("again");
    last = message.n;
    news(message, buffers);
  };
  model.on("msg:custom", hear);
  const watch = setInterval(() => mark(Date.now() - sign > NO_BEAT), 1000);
  say("shown");
  return {
    say,
    stop() {
      clearInterval(watch);
      model.off("msg:custom", hear);
      say("hidden");
    },
  };
}

const GONE = "No sign of the kernel. If it was restarted, run this cell again.";
