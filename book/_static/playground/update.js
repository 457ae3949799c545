"use strict";
// The first playground: what is drawn and how it answers; the mathematics is in update_math.js.
playground.ready(() => {
  const { animate, clamp, draw, element, line, movable, placeIn, set } = playground;
  const { add, coefficients, draws, innerLoop, lossAfter, lossBefore, lossesOf, proximal, update, wholeLoss } = metaUpdate;

  const PHASE = 2.8, AMPLITUDE = 4, UNIT = 100; // the picture shows phases −2.8 … 2.8 and amplitudes 0 … 4
  const HOME = { start: [1.2, -0.8], tasks: [[2.2, -1.3], [2.8, 0.1], [2.2, 1.3]] };
  const NAMES = { joint: "joint training", fomaml: "FOMAML", maml: "MAML", reptile: "Reptile", imaml: "implicit MAML" };
  const RULES = {
    joint: "only g₁, the gradient at the start",
    fomaml: "only gₖ, the gradient of the last inner step",
    maml: "the gradient of the last loss through all inner steps",
    reptile: "the sum g₁ + … + gₖ, and so towards the end of the inner steps",
    imaml: "the gradient through the solution of a problem that stays near φ",
  };
  const UPDATES = 300, PER_FRAME = 3, CELLS = [57, 41], LEVELS = [0.02, 0.1, 0.3, 0.7, 1.5, 3, 5, 8];
  const LONGEST_RUNS = 8;

  const plane = element("plane");
  let phi, tasks, trail, losses, stop = null;

  const across = ([a, b]) => [(b + PHASE) * UNIT, (AMPLITUDE - a) * UNIT];
  const back = (x, y) => [clamp(AMPLITUDE - y / UNIT, 0, AMPLITUDE), clamp(x / UNIT - PHASE, -PHASE, PHASE)];
  const chosen = (name) => element("update-form").elements[name].value;
  const settings = () => ({
    k: Number(chosen("k")), alpha: Number(chosen("alpha")), epsilon: Number(chosen("epsilon")), lambda: Number(chosen("lambda")),
  });

  // Contours by walking through the triangles of a grid; every crossing becomes a short line.
  function contours(f) {
    const [columns, rows] = CELLS, pieces = LEVELS.map(() => []);
    const at = (i, j) => [AMPLITUDE * (1 - j / (rows - 1)), PHASE * ((2 * i) / (columns - 1) - 1)];
    const corners = Array.from({ length: columns * rows }, (_, n) => {
      const place = at(n % columns, Math.floor(n / columns));
      return { place: across(place), value: f(place) };
    });
    const between = (p, q, level) => {
      const t = (level - p.value) / (q.value - p.value);
      return `${(p.place[0] + t * (q.place[0] - p.place[0])).toFixed(1)} ${(p.place[1] + t * (q.place[1] - p.place[1])).toFixed(1)}`;
    };
    for (let j = 0; j + 1 < rows; j++) {
      for (let i = 0; i + 1 < columns; i++) {
        const [p, q, r, s] = [0, 1, columns, columns + 1].map((n) => corners[j * columns + i + n]);
        for (const triangle of [[p, q, r], [q, s, r]]) {
          LEVELS.forEach((level, n) => {
            const crossed = triangle.map((from, e) => [from, triangle[(e + 1) % 3]])
              .filter(([from, to]) => from.value < level !== to.value < level);
            if (crossed.length) pieces[n].push("M" + crossed.map(([from, to]) => between(from, to, level)).join("L"));
          });
        }
      }
    }
    return pieces.map((piece) => piece.join(""));
  }

  function drawLandscape() {
    const group = element("contours"), shown = chosen("landscape"), s = settings();
    group.replaceChildren();
    if (shown === "none") return;
    const f = shown === "before" ? (at) => lossBefore(losses, at) : (at) => lossAfter(losses, at, s);
    contours(f).forEach((d, i) => draw(group, "path", { d, "stroke-width": i < 3 ? 1.8 : 1 }));
  }

  function drawPaths(s) {
    const group = element("inner");
    group.replaceChildren();
    const implicit = chosen("method") === "imaml";
    tasks.forEach((task, i) => {
      const paths = implicit
        ? lossesOf(task).map((loss) => [phi, proximal(loss, phi, s.lambda)])
        : draws(lossesOf(task), s.k).map((draw) => innerLoop(draw, phi, s.alpha).phi);
      const shown = paths.map((path) => path.map(across));
      draw(group, "path", { d: shown.map(line).join(""), class: `inner task-${i}`, opacity: shown.length > 32 ? 0.25 : 0.45 });
      draw(group, "path", { d: shown.map((path) => `${line([path.at(-1)])}h0`).join(""), class: `end task-${i}` });
    });
    element("paths-key").textContent = implicit
      ? "from φ to the solution of the inner problem on each minibatch" : "inner paths, one for every draw of minibatches";
  }

  function arrow(id, from, by, factor) {
    const [x, y] = across(from), [u, v] = across(add(from, by, factor));
    const length = Math.hypot(u - x, v - y), node = element(id);
    if (length < 1) return set(node, { d: "" });
    const [dx, dy] = [(u - x) / length, (v - y) / length], head = Math.min(14, length / 2);
    const wing = (side) => [u - head * dx + side * head * 0.5 * dy, v - head * dy - side * head * 0.5 * dx];
    return set(node, { d: line([[x, y], [u, v]]) + line([wing(1), [u, v], wing(-1)]) });
  }

  // Arrows are drawn larger than they are, by a factor that makes them legible: 1, 2, 5, 10, …
  function enlargement(vectors) {
    const longest = Math.max(...vectors.map((v) => Math.hypot(...v)), 1e-9);
    return [1, 2, 5, 10, 20, 50, 100].findLast((factor) => factor * longest <= 1.6) ?? 1;
  }

  function signed(number) {
    const digits = Math.abs(number).toFixed(3);
    return (Number(digits) === 0 ? "" : number < 0 ? "−" : "+") + digits;
  }
  function row(name, vector) {
    element(name).cells[1].textContent = signed(vector[1]);
    element(name).cells[2].textContent = signed(vector[0]);
  }

  function drawUpdate(s) {
    const method = chosen("method"), parts = update(method, tasks, phi, s), shown = element("parts").checked;
    const sum = add(parts.avgGrad, parts.avgGradInner);
    const vectors = [parts.avgGrad, sum, parts.whole], factor = enlargement(vectors);
    set(element("arrows"), { class: method });
    arrow("whole", phi, parts.whole, factor);
    arrow("avg-grad", phi, shown ? parts.avgGrad : [0, 0], factor);
    arrow("avg-grad-inner", add(phi, parts.avgGrad, factor), shown ? parts.avgGradInner : [0, 0], factor);
    row("row-whole", parts.whole);
    row("row-avg-grad", parts.avgGrad);
    row("row-avg-grad-inner", parts.avgGradInner);
    row("row-rest", add(parts.whole, sum, -1));
    const [c, cInner] = coefficients(method, s);
    element("rule").textContent = `${NAMES[method][0].toUpperCase()}${NAMES[method].slice(1)} moves against ${RULES[method]}.`;
    element("formula").textContent =
      `To leading order: ${c}·AvgGrad ${cInner < 0 ? "−" : "+"} ${Math.abs(cInner).toFixed(2)}·AvgGradInner.`;
    element("factor").textContent = factor === 1 ? "Arrows have their true length." : `Arrows are drawn ${factor} times as long as they are.`;
  }

  function drawAll(landscapeToo = true) {
    const s = settings();
    if (landscapeToo) drawLandscape();
    drawPaths(s);
    set(element("trail"), { d: line(trail.map(across)), class: chosen("method") });
    drawUpdate(s);
    [["start", phi], ...tasks.map((task, i) => [`task-${i}`, task])].forEach(([id, place]) => {
      const [x, y] = across(place);
      set(element(id), {
        transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`, "aria-valuenow": place[0].toFixed(2),
        "aria-valuetext": `amplitude ${place[0].toFixed(2)}, phase ${place[1].toFixed(2)}`,
      });
    });
    for (const name of ["k", "alpha", "epsilon", "lambda"]) {
      element(`${name}-value`).value = name === "k" || name === "lambda" ? chosen(name) : Number(chosen(name)).toFixed(2);
    }
    element("lambda-row").hidden = chosen("method") !== "imaml";
    element("before").textContent = lossBefore(losses, phi).toFixed(3);
    element("after").textContent = lossAfter(losses, phi, s).toFixed(3);
    element("updates").textContent = trail.length - 1;
  }

  const say = (text) => { element("update-status").textContent = text; };

  function restart(from) {
    halt();
    phi = from;
    trail = [phi];
  }

  function step() {
    const { whole } = update(chosen("method"), tasks, phi, settings());
    phi = add(phi, whole);
    trail.push(phi);
    return Math.hypot(...whole);
  }

  function halt() {
    if (!stop) return;
    stop();
    stop = null;
    element("run").textContent = `Run ${UPDATES} updates`;
  }

  function record() {
    const s = settings(), method = chosen("method"), body = element("runs").tBodies[0], cells = body.insertRow(0);
    const k = method === "imaml" ? `λ = ${s.lambda}` : s.k;
    const numbers = [NAMES[method], k, s.alpha.toFixed(2), trail.length - 1,
      lossBefore(losses, phi).toFixed(3), lossAfter(losses, phi, s).toFixed(3), phi[0].toFixed(2)];
    for (const number of numbers) cells.insertCell().textContent = number;
    while (body.rows.length > LONGEST_RUNS) body.deleteRow(-1);
    element("runs-region").hidden = false;
    say(`${NAMES[method]}: after ${trail.length - 1} updates the loss is ${numbers[4]} before and ${numbers[5]} after ${s.k} inner steps.`);
  }

  function run() {
    if (stop) {
      halt();
      record();
      return;
    }
    let left = UPDATES;
    element("run").textContent = "Stop";
    stop = animate(() => {
      let length = 1;
      for (let i = 0; i < PER_FRAME && left > 0 && length > 1e-6; i++, left--) length = step();
      return left > 0 && length > 1e-6;
    }, () => drawAll(false), () => {
      halt();
      record();
    });
  }

  function moveStart(place) {
    restart(place);
    say("");
    drawAll(false);
  }

  function moveTask(i, place) {
    tasks = tasks.map((task, n) => (n === i ? place : task));
    losses = tasks.map(wholeLoss);
    restart(trail[0]);
    drawAll();
  }

  function beginAgain() {
    tasks = HOME.tasks;
    losses = tasks.map(wholeLoss);
    restart(HOME.start);
    say("");
    drawAll();
  }

  const STEP = 0.02;
  const within = (a, b) => [clamp(a, 0, AMPLITUDE), clamp(b, -PHASE, PHASE)];
  movable(plane, element("start"), {
    moveTo: (x, y) => moveStart(back(x, y)),
    moveBy: (right, up) => moveStart(within(phi[0] + STEP * up, phi[1] + STEP * right)),
  });
  [0, 1, 2].forEach((i) => movable(plane, element(`task-${i}`), {
    moveTo: (x, y) => moveTask(i, back(x, y)),
    moveBy: (right, up) => moveTask(i, within(tasks[i][0] + STEP * up, tasks[i][1] + STEP * right)),
  }));
  plane.addEventListener("click", (event) => moveStart(back(...placeIn(plane, event))));
  element("update-form").addEventListener("submit", (event) => event.preventDefault());
  element("update-form").addEventListener("input", (event) => {
    if (event.target.name === "method") restart(trail[0]);
    else halt();
    say("");
    drawAll();
  });
  element("once").addEventListener("click", () => { halt(); step(); drawAll(false); });
  element("run").addEventListener("click", run);
  element("back").addEventListener("click", () => { moveStart(trail[0]); });
  element("reset-all").addEventListener("click", () => { element("update-form").reset(); beginAgain(); });
  beginAgain();
});
