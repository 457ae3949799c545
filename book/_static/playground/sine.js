"use strict";
// The second playground: what is drawn and how it answers; the mathematics is in sine_math.js.
playground.ready(() => {
  const { animate, clamp, draw, element, float32, line, movable, placeIn, set } = playground;
  const { INTERVAL, adapt, grid, layersOf, meanSquaredError, predict, wave } = sineAdaptation;

  const NAMES = { reptile: "Reptile", maml: "MAML", joint: "joint training", random: "random weights" };
  const METHODS = Object.keys(NAMES), MOST_POINTS = 20, STEPS = 32, HEIGHT = 6;
  const CHART_STEPS = [0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 17, 20, 23, 26, 29, 32], CHART = { least: 0.01, most: 30 };
  const HOME = { amplitude: 3, phase: 1.2, points: [-4.2, -2.9, -1.1, 0.8, 2.2] }, LEFT = [-4.7, -3.8, -2.7, -1.6, -0.5];
  const WIDE = 600, TALL = 380;

  const plane = element("sheet"), chart = element("chart");
  const start = Object.fromEntries(METHODS.map((method) => [method, layersOf(float32(sineWeights.weights[method]), sineWeights.shapes)]));
  const curveX = Array.from({ length: 121 }, (_, i) => INTERVAL[0] + ((INTERVAL[1] - INTERVAL[0]) * i) / 120);
  let points, paths, asked = 0, stop = null;

  const across = ([x, y]) => [((x - INTERVAL[0]) / (INTERVAL[1] - INTERVAL[0])) * WIDE, ((HEIGHT - y) / (2 * HEIGHT)) * TALL];
  const back = (u, v) => [clamp((u / WIDE) * 10 - 5, ...INTERVAL), clamp(HEIGHT - (v / TALL) * 2 * HEIGHT, -HEIGHT, HEIGHT)];
  const form = element("sine-form");
  const target = () => ({ amplitude: Number(form.elements.amplitude.value), phase: Number(form.elements.phase.value) });
  const onWave = () => form.elements.snap.checked;
  const xs = () => points.map(([x]) => x);
  const ys = () => points.map(([x, y]) => (onWave() ? wave(target(), x) : y));
  const step = () => Number(form.elements.step.value);
  const say = (text) => { element("sine-status").textContent = text; };

  function adaptAll() {
    const alpha = Number(form.elements.alpha.value);
    const adapted = (method) => (points.length ? adapt(start[method], xs(), ys(), alpha, STEPS) : Array(STEPS + 1).fill(start[method]));
    paths = Object.fromEntries(METHODS.map((method) => [method, adapted(method)]));
  }

  const number = (value) => (Number.isFinite(value) && value < 1000 ? value.toFixed(value < 10 ? 3 : 1) : "very large");
  const truth = () => grid.map((x) => wave(target(), x));
  const waveError = (layers) => meanSquaredError(predict(layers, grid), truth());

  function drawCurves() {
    const now = step();
    set(element("wave"), { d: line(curveX.map((x) => across([x, wave(target(), x)]))) });
    for (const method of METHODS) {
      const layers = paths[method][now], shown = form.elements[`show-${method}`].checked;
      const ends = predict(layers, curveX).map((y, i) => across([curveX[i], clamp(y, -99, 99) || 0]));
      set(element(`curve-${method}`), { d: shown ? line(ends) : "" });
      const cells = element(`error-${method}`).cells;
      cells[1].textContent = points.length ? number(meanSquaredError(predict(layers, xs()), ys())) : "–";
      cells[2].textContent = onWave() ? number(waveError(layers)) : "–";
    }
    element("step-value").value = now;
    element("step-table").textContent = now === 1 ? "1 step" : `${now} steps`;
  }

  // Errors against steps; the vertical axis is logarithmic.
  function drawChart() {
    const height = (error) => 150 - 140 * (Math.log(clamp(error, CHART.least, CHART.most) / CHART.least) / Math.log(CHART.most / CHART.least));
    const place = (at, error) => [46 + (at / STEPS) * 540, height(Number.isFinite(error) ? error : CHART.most)];
    for (const method of METHODS) {
      const shown = form.elements[`show-${method}`].checked && points.length > 0;
      const error = (layers) => (onWave() ? waveError(layers) : meanSquaredError(predict(layers, xs()), ys()));
      set(element(`line-${method}`), { d: shown ? line(CHART_STEPS.map((at) => place(at, error(paths[method][at])))) : "" });
    }
    element("chart-title").textContent = onWave() ? "mean squared error on the wave" : "mean squared error at the points";
    markStep();
  }

  function markStep() {
    const x = 46 + (step() / STEPS) * 540;
    set(element("now"), { d: `M${x} 6V150` });
  }

  function drawPoints() {
    const group = element("points"), values = ys();
    while (group.children.length > points.length) group.lastChild.remove();
    while (group.children.length < points.length) addHandle(group, group.children.length);
    points.forEach(([x], i) => {
      const [u, v] = across([x, values[i]]);
      set(group.children[i], {
        transform: `translate(${u.toFixed(1)} ${v.toFixed(1)})`, "aria-valuenow": x.toFixed(2),
        "aria-valuetext": `x ${x.toFixed(2)}, y ${values[i].toFixed(2)}`,
      });
    });
  }

  function addHandle(group, i) {
    const handle = draw(group, "g", {
      class: "handle point", tabindex: 0, role: "slider", "aria-label": `Point ${i + 1}; arrow keys move it, Delete removes it`,
      "aria-valuemin": INTERVAL[0], "aria-valuemax": INTERVAL[1], "aria-valuenow": 0,
    });
    for (const [name, r] of [["hit", 22], ["ring", 13], ["mark", 7]]) draw(handle, "circle", { class: name, r });
    movable(plane, handle, {
      moveTo: (u, v) => movePoint(i, back(u, v)),
      moveBy: (right, up) => movePoint(i, [clamp(points[i][0] + 0.1 * right, ...INTERVAL), clamp(points[i][1] + 0.1 * up, -HEIGHT, HEIGHT)]),
      remove: () => {
        points = points.filter((_, n) => n !== i);
        refresh();
        group.children[Math.min(i, points.length - 1)]?.focus();
      },
    });
  }

  // Everything anew, at most once per frame.
  function refresh() {
    if (asked) return;
    asked = requestAnimationFrame(() => {
      asked = 0;
      drawPoints();
      adaptAll();
      drawCurves();
      drawChart();
    });
  }

  function movePoint(i, place) {
    points = points.map((point, n) => (n === i ? place : point));
    refresh();
  }

  function addPoint(place) {
    if (points.length === MOST_POINTS) return say(`${MOST_POINTS} points are the most; remove one with the Delete key.`);
    points = [...points, place];
    say(`Point ${points.length} added.`);
    return refresh();
  }

  function choose(places) {
    points = places.map((x) => [x, wave(target(), x)]);
    say(places.length ? `${places.length} points.` : "No points; click into the picture to add one.");
    refresh();
  }

  function goTo(at) {
    form.elements.step.value = at;
    drawCurves();
    markStep();
  }

  function halt() {
    if (stop) stop();
    stop = null;
    element("play").textContent = "Play the steps";
  }

  function play() {
    if (stop) return halt();
    let at = 0, frame = 0;
    element("play").textContent = "Stop";
    stop = animate(() => {
      at = Math.floor(frame++ / 6);
      return at < STEPS;
    }, () => goTo(at), () => {
      halt();
      say(`After ${STEPS} steps: ${METHODS.map((method) => `${NAMES[method]} ${element(`error-${method}`).cells[1].textContent}`).join(", ")} at the points.`);
    });
    return undefined;
  }

  function beginAgain() {
    halt();
    form.reset();
    choose(HOME.points);
    say("");
  }

  const random = (low, high) => low + (high - low) * Math.random();
  plane.addEventListener("click", (event) => addPoint(back(...placeIn(plane, event))));
  chart.addEventListener("click", (event) => {
    halt();
    goTo(Math.round(clamp(((placeIn(chart, event)[0] - 46) / 540) * STEPS, 0, STEPS)));
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => {
    const { name } = event.target;
    if (name === "snap" && !onWave()) points = points.map(([x]) => [x, wave(target(), x)]);
    for (const label of ["amplitude", "phase", "alpha"]) element(`${label}-value`).value = Number(form.elements[label].value).toFixed(label === "alpha" ? 3 : 1);
    if (name === "step") halt();
    if (name === "step") goTo(step());
    else refresh();
  });
  form.addEventListener("reset", () => setTimeout(() => form.dispatchEvent(new Event("input")), 0));
  element("play").addEventListener("click", play);
  element("add").addEventListener("click", () => addPoint([random(...INTERVAL), random(-3, 3)]));
  element("ten").addEventListener("click", () => choose(Array.from({ length: 10 }, () => random(...INTERVAL))));
  element("left").addEventListener("click", () => choose(LEFT));
  element("none").addEventListener("click", () => choose([]));
  element("new-wave").addEventListener("click", () => {
    form.elements.amplitude.value = random(0.5, 5);
    form.elements.phase.value = random(0, 2 * Math.PI);
    form.dispatchEvent(new Event("input"));
  });
  element("again").addEventListener("click", beginAgain);
  beginAgain();
});
