"use strict";
// What the playgrounds share: finding and making elements, handles for mouse, touch and keyboard, arrays from base64.
const playground = (() => {
  const NAMESPACE = "http://www.w3.org/2000/svg";
  const element = (id) => document.getElementById(id);
  const still = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;

  function set(node, attributes) {
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  }

  function draw(parent, tag, attributes = {}, text = "") {
    const node = set(document.createElementNS(NAMESPACE, tag), attributes);
    node.textContent = text;
    parent.append(node);
    return node;
  }

  // The place of a pointer in the coordinates of an SVG picture.
  function placeIn(svg, event) {
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    return [x, y];
  }

  // Lets a focusable handle be dragged, and moved with the arrow keys: small steps, ten times as far with Shift.
  // `moveTo` gets a place in the picture, `moveBy` a number of steps to the right and up.
  function movable(svg, handle, { moveTo, moveBy, remove }) {
    handle.addEventListener("pointerdown", (event) => {
      if (event.button > 0) return;
      event.preventDefault();
      event.stopPropagation();
      handle.setPointerCapture(event.pointerId);
      handle.focus({ focusVisible: false });
    });
    handle.addEventListener("pointermove", (event) => {
      if (handle.hasPointerCapture(event.pointerId)) moveTo(...placeIn(svg, event));
    });
    handle.addEventListener("click", (event) => event.stopPropagation());
    handle.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      const far = event.shiftKey ? 10 : 1;
      if (by) moveBy(by[0] * far, by[1] * far);
      else if (remove && (event.key === "Delete" || event.key === "Backspace")) remove();
      else return;
      event.preventDefault();
    });
  }

  // Calls `step` and then `show` once per frame until `step` returns false, at last `finished`; for readers who want no
  // motion, all steps at once. Returns how to stop it.
  function animate(step, show, finished) {
    let frame = 0;
    function tick() {
      let more = step();
      while (more && still()) more = step();
      show();
      if (more) frame = requestAnimationFrame(tick);
      else finished();
    }
    frame = requestAnimationFrame(tick);
    return () => cancelAnimationFrame(frame);
  }

  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

  // A polyline through points as the attribute `d` of a path; picture coordinates need no more than a tenth.
  const line = (points) => (points.length ? "M" + points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L") : "");

  // Little-endian float32 numbers from base64.
  function float32(text) {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    return new Float32Array(bytes.buffer);
  }

  const ready = (start) => (document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", start) : start());

  return { animate, clamp, draw, element, float32, line, movable, placeIn, ready, set };
})();
