"use strict";
// The third playground: drawing, teaching two networks and asking them; the mathematics is in letters_math.js.
playground.ready(() => {
  const { animate, clamp, draw, element, float32, line, placeIn, set } = playground;
  const { SIZE, cycling, float16, forward, generator, network, probabilities, step, untrained } = fewShot;
  const { SHEET, image, sample } = strokes;

  const CHARACTERS = ["A", "B", "C", "D", "E"], EXAMPLES = 5, FEWEST = 3, STEPS = 50, BATCH = 5, ROOM = 1e7, FRESH = 20;
  const KINDS = ["trained", "random"], NEW = "new";
  const { alpha, shapes, steps } = lettersWeights;
  const weights = float32(lettersWeights.weights), roots = float16(lettersWeights.roots);

  const pad = element("pad");
  const drawings = new Map(); // by place such as "1-0", the second character's first example, or NEW
  const random = generator(7);
  let selected = "0-0", sampled = new Set(), taught = null, pen = { place: [SHEET / 2, SHEET / 2], down: false }, stop = null;

  const say = (text) => { element("letters-status").textContent = text; };
  const nameOf = (place) => (place === NEW ? "the new drawing" : `character ${CHARACTERS[place[0]]}, example ${Number(place[2]) + 1}`);
  const examplesOf = (character) => [...Array(EXAMPLES).keys()].map((i) => `${character}-${i}`).filter((place) => drawings.has(place));
  const used = () => CHARACTERS.map((_, character) => character).filter((character) => examplesOf(character).length);

  function show(canvas, pixels) {
    const context = canvas.getContext("2d"), data = context.createImageData(SIZE, SIZE);
    for (let i = 0; i < SIZE * SIZE; i++) {
      const gray = pixels ? 255 * pixels[i] : 255;
      data.data.set([gray, gray, gray, 255], 4 * i);
    }
    context.putImageData(data, 0, 0);
  }

  function makeButtons() {
    CHARACTERS.forEach((name, character) => {
      const row = document.createElement("div");
      set(row, { class: "tiles", role: "group", "aria-label": `Character ${name}` });
      row.append(Object.assign(document.createElement("span"), { textContent: name, className: "name" }));
      for (let i = 0; i < EXAMPLES; i++) row.append(button(`${character}-${i}`));
      element("examples").append(row);
    });
    element("new-place").append(button(NEW));
  }

  function button(place) {
    const node = set(document.createElement("button"), { type: "button", id: `place-${place}`, class: "tile" });
    node.append(set(document.createElement("canvas"), { width: SIZE, height: SIZE, "aria-hidden": "true" }));
    node.addEventListener("click", () => select(place));
    return node;
  }

  function refresh(place) {
    const node = element(`place-${place}`), drawing = drawings.get(place);
    show(node.firstChild, drawing && image(drawing));
    set(node, { "aria-label": `${nameOf(place)}, ${drawing ? "drawn" : "empty"}`, "aria-pressed": place === selected });
    node.classList.toggle("drawn", Boolean(drawing));
  }

  function select(place) {
    lift();
    const before = selected;
    selected = place;
    refresh(before);
    refresh(place);
    element("pad-title").textContent = `Draw ${nameOf(place)}`;
    pen = { place: [SHEET / 2, SHEET / 2], down: false };
    drawPad();
  }

  // A pen that is still down has drawn something, too.
  function lift() {
    if (!pen.down) return;
    pen.down = false;
    changed();
  }

  function drawPad() {
    const group = element("strokes");
    group.replaceChildren();
    for (const stroke of drawings.get(selected) ?? []) {
      const dot = stroke.length === 1 ? [stroke[0], [stroke[0][0] + 0.1, stroke[0][1]]] : stroke;
      draw(group, "path", { d: line(dot) });
    }
    set(element("pen"), { cx: pen.place[0], cy: pen.place[1], class: pen.down ? "down" : "" });
  }

  // The drawing has changed: examples make what was taught out of date, and a new drawing is asked about.
  function changed() {
    drawPad();
    refresh(selected);
    if (selected === NEW) ask();
    else {
      sampled.delete(selected);
      forget();
    }
  }

  function beginStroke(place) {
    if (!drawings.has(selected)) drawings.set(selected, []);
    drawings.get(selected).push([place]);
    drawPad();
  }

  function extendStroke(place) {
    const stroke = drawings.get(selected)?.at(-1);
    if (!stroke) return beginStroke(place);  // what was drawn has been erased meanwhile
    const [x, y] = stroke.at(-1);
    if (Math.hypot(place[0] - x, place[1] - y) < 1) return;
    stroke.push(place);
    drawPad();
  }

  function erase() {
    drawings.delete(selected);
    changed();
    say(`${nameOf(selected)} is empty.`);
  }

  const inside = ([x, y]) => [clamp(x, 0, SHEET), clamp(y, 0, SHEET)];
  pad.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    event.preventDefault();
    pad.setPointerCapture(event.pointerId);
    pad.focus({ focusVisible: false, preventScroll: true });
    beginStroke(inside(placeIn(pad, event)));
  });
  pad.addEventListener("pointermove", (event) => {
    if (pad.hasPointerCapture(event.pointerId)) extendStroke(inside(placeIn(pad, event)));
  });
  pad.addEventListener("pointerup", (event) => {
    if (pad.hasPointerCapture(event.pointerId)) changed();
  });
  pad.addEventListener("pointercancel", changed);
  pad.addEventListener("blur", lift);
  pad.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (by) {
      const far = event.shiftKey ? 10 : 4;
      pen.place = inside([pen.place[0] + far * by[0], pen.place[1] + far * by[1]]);
      if (pen.down) extendStroke(pen.place);
      drawPad();
    } else if (event.key === " " || event.key === "Enter") {
      pen.down = !pen.down;
      if (pen.down) beginStroke(pen.place);
      else changed();
      say(pen.down ? "The pen is down." : "The pen is up.");
      drawPad();
    } else if (event.key === "Delete" || event.key === "Backspace") erase();
    else return;
    event.preventDefault();
  });

  // One array for several images, one after the other.
  function together(images) {
    const all = new Float32Array(images.length * SIZE * SIZE);
    images.forEach((one, i) => all.set(one, i * SIZE * SIZE));
    return all;
  }

  function forget() {
    if (stop) stop();
    stop = null;
    taught = null;
    element("fresh").disabled = true;
    element("teach").disabled = used().length < FEWEST;
    element("progress").value = 0;
    for (const kind of KINDS) {
      for (const name of ["loss", "seen", "fresh"]) element(`${name}-${kind}`).textContent = "–";
    }
    showAnswer(null);
  }

  function start(classes) {
    const kernel = matmul.best(ROOM);
    const beginnings = {
      trained: { shapes, numbers: weights, roots, steps },
      random: { shapes, numbers: untrained(shapes, generator(1)), roots: null, steps: 0 },
    };
    const nets = KINDS.map((kind) => network(kernel, beginnings[kind], classes.length, CHARACTERS.length * EXAMPLES + 1));
    const places = classes.flatMap((character) => examplesOf(character));
    return {
      classes, nets, images: places.map((place) => image(drawings.get(place))),
      labels: places.map((place) => classes.indexOf(Number(place[0]))), time: 0,
    };
  }

  // Fifty steps of both networks, one per frame; the first of them are slow, because the browser is still compiling.
  function teach() {
    forget();
    const lesson = start(used()), { images, labels, nets } = lesson;
    const minibatches = cycling(images.length, Math.min(BATCH, images.length), generator(2));
    const times = [];
    let taken = 0, losses;
    say("Teaching …");
    stop = animate(() => {
      const { value: batch } = minibatches.next(), before = performance.now();
      const chosen = together(batch.map((i) => images[i])), answers = batch.map((i) => labels[i]);
      losses = nets.map((net) => step(net, chosen, answers, alpha) / batch.length);
      times.push((performance.now() - before) / nets.length);
      return ++taken < STEPS;
    }, () => {
      element("progress").value = taken;
      KINDS.forEach((kind, n) => { element(`loss-${kind}`).textContent = losses[n].toFixed(3); });
    }, () => {
      stop = null;
      taught = lesson;
      lesson.time = times.sort((a, b) => a - b)[STEPS / 2];
      finish();
    });
  }

  function finish() {
    const { images, labels, nets, classes, time } = taught;
    nets.forEach((net, n) => {
      const right = labels.filter((label, i) => best(answersOf(net, together(images)), i, classes.length) === label).length;
      element(`seen-${KINDS[n]}`).textContent = `${right} of ${labels.length}`;
    });
    element("fresh").disabled = !classes.every((character) => examplesOf(character).every((place) => sampled.has(place)));
    say(`Taught ${STEPS} steps, ${time.toFixed(0)} ms each. Now draw one of the characters again, as the new drawing.`);
    ask();
    if (selected !== NEW) select(NEW);
  }

  const answersOf = (net, images) => probabilities(forward(net, images), net.ways);
  function best(answers, i, ways) {
    const row = Array.from(answers.subarray(i * ways, (i + 1) * ways));
    return row.indexOf(Math.max(...row));
  }

  // A drawing is classified beside the examples, whose statistics batch normalization needs: metalib calls it inductive.
  function classify(net, one) {
    const all = together([...taught.images, one]);
    return answersOf(net, all).slice(-net.ways);
  }

  function ask() {
    if (!taught || !drawings.has(NEW)) return showAnswer(null);
    return showAnswer(taught.nets.map((net) => classify(net, image(drawings.get(NEW)))));
  }

  function showAnswer(answers) {
    CHARACTERS.forEach((name, character) => {
      const row = element(`answer-${name}`), place = taught ? taught.classes.indexOf(character) : -1;
      row.hidden = taught !== null && place < 0;
      KINDS.forEach((_, n) => {
        const share = answers && place >= 0 ? answers[n][place] : 0;
        row.cells[n + 1].textContent = answers ? `${Math.round(100 * share)} %` : "–";
        row.cells[n + 1].style.setProperty("--share", `${100 * share}%`);
        row.cells[n + 1].classList.toggle("most", Boolean(answers) && share === Math.max(...answers[n]));
      });
    });
    if (!answers) return;
    const said = answers.map((answer) => CHARACTERS[taught.classes[best(answer, 0, answer.length)]]);
    say(`The trained initialization says ${said[0]}, random weights say ${said[1]}.`);
  }

  // How many new samples of the sample characters are recognized.
  function tryFresh() {
    const { classes, nets } = taught, right = [0, 0];
    for (let i = 0; i < FRESH; i++) {
      const label = i % classes.length, one = image(sample(classes[label], random));
      nets.forEach((net, n) => { right[n] += best(classify(net, one), 0, classes.length) === label; });
    }
    KINDS.forEach((kind, n) => { element(`fresh-${kind}`).textContent = `${right[n]} of ${FRESH}`; });
    say(`Of ${FRESH} fresh samples the trained initialization recognizes ${right[0]}, random weights ${right[1]}.`);
  }

  function fill() {
    const examples = Number(element("letters-form").elements.examples.value);
    CHARACTERS.forEach((_, character) => {
      for (let i = 0; i < EXAMPLES; i++) {
        const place = `${character}-${i}`;
        if (drawings.has(place) && !sampled.has(place)) continue;
        drawings.delete(place);
        if (i < examples && (!examplesOf(character).length || sampled.has(examplesOf(character)[0]))) {
          drawings.set(place, sample(character, random));
          sampled.add(place);
        }
        refresh(place);
      }
    });
    drawings.set(NEW, sample(0, random));
    refresh(NEW);
    drawPad();
    forget();
    say("Filled with samples; the new drawing is a fresh A. Press Teach.");
  }

  function clearAll() {
    drawings.clear();
    sampled = new Set();
    for (const node of document.querySelectorAll(".playground .tile")) refresh(node.id.replace("place-", ""));
    forget();
    select("0-0");
    say("");
  }

  element("letters-form").addEventListener("submit", (event) => event.preventDefault());
  element("erase").addEventListener("click", erase);
  element("fill").addEventListener("click", fill);
  element("clear").addEventListener("click", clearAll);
  element("teach").addEventListener("click", teach);
  element("fresh").addEventListener("click", tryFresh);
  makeButtons();
  clearAll();
});
