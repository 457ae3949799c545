"use strict";
// How a drawing becomes an image like Omniglot's, and sample characters for readers who do not want to draw. A drawing is a list
// of strokes, a stroke a list of places [x, y] on a sheet of 105×105, Omniglot's size. No drawing happens here.
const strokes = (() => {
  const SHEET = 105, PEN = 2.5, SIZE = 28; // a pen of 2.5 pixels' radius leaves lines as broad as Omniglot's
  const LARGEST = (18 / SIZE) * SHEET; // the median of the longer side of Omniglot's characters: 18 of 28 pixels
  const MOST = 4; // a dot is not blown up

  // Moves a drawing to the middle of the sheet and scales it, so that its longer side is as long as is usual in Omniglot.
  function centered(drawing) {
    const all = drawing.flat(), side = (axis) => all.map((place) => place[axis]);
    const low = [0, 1].map((axis) => Math.min(...side(axis))), high = [0, 1].map((axis) => Math.max(...side(axis)));
    const factor = Math.min(MOST, LARGEST / Math.max(high[0] - low[0], high[1] - low[1], 1e-9));
    const move = (value, axis) => SHEET / 2 + factor * (value - (low[axis] + high[axis]) / 2);
    return drawing.map((stroke) => stroke.map(([x, y]) => [move(x, 0), move(y, 1)]));
  }

  // Pixels of the sheet that the pen touches: their centers lie within its radius of a stroke.
  function ink(drawing) {
    const pixels = new Uint8Array(SHEET * SHEET);
    for (const stroke of drawing) {
      stroke.forEach(([x, y], i) => {
        const [u, v] = stroke[Math.max(0, i - 1)], dx = x - u, dy = y - v, squared = dx * dx + dy * dy;
        const from = (a, b) => Math.max(0, Math.floor(Math.min(a, b) - PEN)), to = (a, b) => Math.min(SHEET - 1, Math.ceil(Math.max(a, b) + PEN));
        for (let row = from(y, v); row <= to(y, v); row++) {
          for (let column = from(x, u); column <= to(x, u); column++) {
            const px = column + 0.5, py = row + 0.5;
            const t = squared ? Math.min(1, Math.max(0, ((px - u) * dx + (py - v) * dy) / squared)) : 0;
            if ((px - u - t * dx) ** 2 + (py - v - t * dy) ** 2 <= PEN * PEN) pixels[row * SHEET + column] = 1;
          }
        }
      });
    }
    return pixels;
  }

  // Reduces a sheet to 28×28 by nearest neighbor, as metalib.data.omniglot.reduce does.
  function reduced(pixels) {
    const nearest = Array.from({ length: SIZE }, (_, i) => Math.floor(((i + 0.5) * SHEET) / SIZE));
    return Uint8Array.from({ length: SIZE * SIZE }, (_, i) => pixels[nearest[Math.floor(i / SIZE)] * SHEET + nearest[i % SIZE]]);
  }

  // What the network sees: ink 0, paper 1.
  const image = (drawing) => Float32Array.from(reduced(ink(centered(drawing))), (pixel) => 1 - pixel);

  // Sample characters, invented for this page, by their corners on a unit square.
  const SAMPLES = [
    [[[0.1, 0.9], [0.3, 0.1], [0.6, 0.9], [0.9, 0.1]], [[0.1, 0.4], [0.9, 0.6]]],
    [[[0.8, 0.2], [0.5, 0], [0.1, 0.3], [0.2, 0.8], [0.6, 1], [0.9, 0.7], [0.6, 0.5], [0.4, 0.6]]],
    [[[0.5, 0], [0.5, 1]], [[0.1, 0.3], [0.5, 0.5], [0.9, 0.2]], [[0.2, 0.9], [0.8, 0.9]]],
    [[[0.1, 0.1], [0.9, 0.1], [0.2, 0.9], [0.9, 0.9]], [[0.3, 0.5], [0.7, 0.5]]],
    [[[0.2, 0], [0.2, 1], [0.7, 0.9], [0.8, 0.6], [0.3, 0.5]], [[0.8, 0.1], [0.9, 0.3]]],
  ];

  // Corners are rounded by cutting them off twice (Chaikin).
  function rounded(stroke) {
    const cut = (places) => [places[0], ...places.slice(1).flatMap((place, i) => {
      const mix = (t) => [0, 1].map((axis) => (1 - t) * places[i][axis] + t * place[axis]);
      return [mix(0.25), mix(0.75)];
    }), places.at(-1)];
    return cut(cut(stroke));
  }

  // A sample character as another hand might draw it: turned, stretched, its corners moved.
  function sample(number, random) {
    const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    const angle = 0.12 * normal(), [wide, high] = [1 + 0.12 * normal(), 1 + 0.12 * normal()];
    const place = ([x, y]) => {
      const u = (x - 0.5 + 0.05 * normal()) * wide * 60, v = (y - 0.5 + 0.05 * normal()) * high * 60;
      return [SHEET / 2 + Math.cos(angle) * u - Math.sin(angle) * v, SHEET / 2 + Math.sin(angle) * u + Math.cos(angle) * v];
    };
    return SAMPLES[number].map((stroke) => rounded(stroke.map(place)));
  }

  return { SHEET, SIZE, centered, image, ink, reduced, sample };
})();
