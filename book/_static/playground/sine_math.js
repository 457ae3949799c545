"use strict";
// The mathematics of the second playground: a small network with tanh, its gradient, and gradient descent on a few points.
// tests/book/test_playground_sine.py compares it with metalib. Weights are float32, computed with in double precision.
const sineAdaptation = (() => {
  const INTERVAL = [-5, 5], GRID_POINTS = 50;
  const grid = Array.from({ length: GRID_POINTS }, (_, i) => INTERVAL[0] + ((INTERVAL[1] - INTERVAL[0]) * i) / (GRID_POINTS - 1));
  const wave = ({ amplitude, phase }, x) => amplitude * Math.sin(x + phase);

  // Weights as a list of layers { weight: inputs × outputs row by row, bias }, from one array of all numbers in order.
  function layersOf(numbers, shapes) {
    let from = 0;
    const take = (count) => Float64Array.from(numbers.subarray(from, (from += count)));
    return Object.keys(shapes).filter((name) => name.startsWith("weight")).map((name) => {
      const [inputs, outputs] = shapes[name];
      return { inputs, outputs, weight: take(inputs * outputs), bias: take(outputs) };
    });
  }

  // What every layer gets and what the last one gives, each points × units row by row: h ↦ tanh(h W + b), at last without tanh.
  function forward(layers, xs) {
    const hidden = [Float64Array.from(xs)];
    layers.forEach(({ inputs, outputs, weight, bias }, l) => {
      const before = hidden[l], after = new Float64Array(xs.length * outputs);
      for (let p = 0; p < xs.length; p++) {
        const row = after.subarray(p * outputs, (p + 1) * outputs);
        row.set(bias);
        for (let i = 0; i < inputs; i++) {
          const h = before[p * inputs + i], start = i * outputs;
          for (let o = 0; o < outputs; o++) row[o] += h * weight[start + o];
        }
        if (l + 1 < layers.length) for (let o = 0; o < outputs; o++) row[o] = Math.tanh(row[o]);
      }
      hidden.push(after);
    });
    return hidden;
  }

  const predict = (layers, xs) => Array.from(forward(layers, xs)[layers.length]);

  const meanSquaredError = (predictions, ys) => ys.reduce((sum, y, p) => sum + (predictions[p] - y) ** 2, 0) / ys.length;

  // The gradient of the mean squared error on points, in the form of the weights, by walking the layers back.
  function gradient(layers, xs, ys) {
    const hidden = forward(layers, xs), found = [];
    let flow = hidden[layers.length].map((prediction, p) => (2 * (prediction - ys[p])) / ys.length);
    for (let l = layers.length - 1; l >= 0; l--) {
      const { inputs, outputs, weight } = layers[l], before = hidden[l];
      const slope = { inputs, outputs, weight: new Float64Array(weight.length), bias: new Float64Array(outputs) };
      const back = new Float64Array(xs.length * inputs);
      for (let p = 0; p < xs.length; p++) {
        const row = flow.subarray(p * outputs, (p + 1) * outputs);
        for (let o = 0; o < outputs; o++) slope.bias[o] += row[o];
        for (let i = 0; i < inputs; i++) {
          const h = before[p * inputs + i], start = i * outputs;
          let sum = 0;
          for (let o = 0; o < outputs; o++) {
            slope.weight[start + o] += h * row[o];
            sum += weight[start + o] * row[o];
          }
          back[p * inputs + i] = sum * (1 - h * h); // the derivative of tanh; of no use for the inputs of the first layer
        }
      }
      found.unshift(slope);
      flow = back;
    }
    return found;
  }

  // The weights after 0 … steps steps of plain gradient descent on all points at once, as in Fig. 1.
  function adapt(layers, xs, ys, alpha, steps) {
    const path = [layers];
    for (let step = 0; step < steps; step++) {
      const now = path[step], slopes = gradient(now, xs, ys);
      const moved = (values, slope) => values.map((value, i) => value - alpha * slope[i]);
      path.push(now.map((layer, l) => ({
        ...layer, weight: moved(layer.weight, slopes[l].weight), bias: moved(layer.bias, slopes[l].bias),
      })));
    }
    return path;
  }

  return { INTERVAL, adapt, gradient, grid, layersOf, meanSquaredError, predict, wave };
})();
