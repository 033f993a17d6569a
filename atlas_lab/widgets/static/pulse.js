function render({ model, el }) {
  const dot = make("span", { class: "atlas-dot", "aria-hidden": "true" });
  const word = make("span", { text: "live" });
  el.classList.add("atlas-pulse");
  el.setAttribute("role", "status");
  el.append(dot, word);
  let closed = false;
  let here = true;
  const show = () => {
    const panel = el.closest(".atlas-panel") ?? el;
    panel.classList.toggle("atlas-gone", !here);
    panel.classList.toggle("atlas-closed", closed);
    dot.classList.toggle("off", !here || closed);
    setText(word, !here ? GONE : closed ? "bus closed" : "live");
  };
  const line = connect(model, el, {
    news(message) { closed = message.closed === true; show(); },
    alive(now) { here = now; show(); },
  });
  return () => line.stop();
}
export default { render };
