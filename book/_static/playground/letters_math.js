"use strict";
// The mathematics of the third playground, without drawing: the Omniglot network with its gradient, Adam, minibatches, and how
// strokes become an image. tests/book/test_playground_letters.py compares it with metalib.
//
// Maps of features lie in memory as images · rows · columns · channels, so that a convolution is the product of a matrix of
// patches, one per row, with the filters. The biases of the convolutions are left out: batch normalization takes them away.
const fewShot = (() => {
  const SIZE = 28, LAYERS = 4, WINDOW = 9, EPS = 1e-3; // 3×3 windows; EPS of batch normalization
  const SIZES = Array.from({ length: LAYERS + 1 }, (_, l) => Math.ceil(SIZE / 2 ** l)); // 28, 14, 7, 4, 2
  const up = (value, multiple) => Math.ceil(value / multiple) * multiple;

  function transpose(from, rows, columns, to) {
    for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) to[c * rows + r] = from[r * columns + c];
  }

  // Calls visit(place of a pixel in the maps, place of it in the matrix of patches) for every pixel under every window.
  // Stride 2; 'same' padding as TensorFlow's: at even sizes only at the bottom and at the right.
  function eachPatch(images, size, channels, width, visit) {
    const out = Math.ceil(size / 2), first = size % 2 ? -1 : 0;
    for (let image = 0, row = 0; image < images; image++) {
      for (let y = 0; y < out; y++) {
        for (let x = 0; x < out; x++, row++) {
          for (let window = 0; window < WINDOW; window++) {
            const v = 2 * y + first + Math.floor(window / 3), u = 2 * x + first + (window % 3);
            if (v < 0 || u < 0 || v >= size || u >= size) continue;
            visit(((image * size + v) * size + u) * channels, row * width + window * channels);
          }
        }
      }
    }
  }

  // A network for up to `most` images at a time. `numbers` are all weights in the order of `shapes`; of the dense layer's
  // outputs only the first `ways` are kept. `roots` are square roots of Adam's second moments, or null at the beginning.
  function network(kernel, { shapes, numbers, roots, steps }, ways, most) {
    const weights = {}, moments = {};
    let from = 0, fromRoot = 0;
    for (const [name, shape] of Object.entries(shapes)) {
      const count = shape.reduce((product, side) => product * side, 1), still = name.startsWith("bias_");
      const values = numbers.subarray(from, (from += count));
      const found = roots && !still ? roots.subarray(fromRoot, (fromRoot += count)) : null;
      if (still) continue;
      const [rows, columns] = name.startsWith("conv") ? [shape[0], count / shape[0]] : [count / shape.at(-1), shape.at(-1)];
      const width = name.startsWith("conv") ? up(columns, 8) : name.startsWith("dense") ? ways : columns;
      weights[name] = kernel.array(rows * width);
      moments[name] = new Float64Array(rows * width);
      for (let r = 0; r < rows; r++) {
        for (let c = 0; c < Math.min(columns, width); c++) {
          weights[name][r * width + c] = values[r * columns + c];
          if (found) moments[name][r * width + c] = found[r * columns + c] ** 2;
        }
      }
    }
    const filters = shapes.conv_0[0];
    const layers = SIZES.slice(0, LAYERS).map((size, l) => {
      const channels = l ? filters : 1, out = SIZES[l + 1], width = up(WINDOW * channels, 8), rows = up(most * out * out, 4);
      return {
        size, channels, out, width, weight: weights[`conv_${l}`], gamma: weights[`gamma_${l}`], beta: weights[`beta_${l}`],
        patches: kernel.array(rows * width), flipped: kernel.array(filters * width), sums: kernel.array(rows * filters),
        normal: kernel.array(rows * filters), maps: kernel.array(rows * filters), scale: new Float64Array(filters),
        slopes: kernel.array(rows * filters), turned: kernel.array(rows * filters), back: kernel.array(l ? rows * width : 0),
        gradient: kernel.array(filters * width),
      };
    });
    return { kernel, ways, filters, features: SIZES[LAYERS] ** 2 * filters, weights, moments, layers, steps };
  }

  // Normalizes every channel over the images of this pass and all positions; scale and shift by γ and β; ReLU.
  function normalize(layer, filters, rows) {
    const { sums, normal, maps, gamma, beta, scale } = layer;
    const mean = new Float64Array(filters), variance = new Float64Array(filters);
    for (let r = 0, i = 0; r < rows; r++) for (let f = 0; f < filters; f++, i++) mean[f] += sums[i] / rows;
    for (let r = 0, i = 0; r < rows; r++) for (let f = 0; f < filters; f++, i++) variance[f] += (sums[i] - mean[f]) ** 2 / rows;
    for (let f = 0; f < filters; f++) scale[f] = 1 / Math.sqrt(variance[f] + EPS);
    for (let r = 0, i = 0; r < rows; r++) {
      for (let f = 0; f < filters; f++, i++) {
        normal[i] = (sums[i] - mean[f]) * scale[f];
        maps[i] = Math.max(0, gamma[f] * normal[i] + beta[f]);
      }
    }
  }

  // The logits of images, ways per image; every layer keeps what the way back needs.
  function forward(net, images) {
    const { kernel, filters, features, ways, weights } = net, count = images.length / SIZE ** 2;
    let maps = images;
    for (const layer of net.layers) {
      const { size, channels, out, width, patches, weight, flipped, sums } = layer, rows = count * out * out;
      patches.fill(0, 0, up(rows, 4) * width);
      const before = maps;
      eachPatch(count, size, channels, width, (pixel, place) => {
        for (let c = 0; c < channels; c++) patches[place + c] = before[pixel + c];
      });
      transpose(weight, filters, width, flipped);
      kernel.multiply(up(rows, 4), filters, width, patches, flipped, sums);
      normalize(layer, filters, rows);
      maps = layer.maps;
    }
    const logits = new Float64Array(count * ways);
    for (let i = 0; i < count; i++) {
      for (let w = 0; w < ways; w++) {
        let sum = weights.dense_bias[w];
        for (let f = 0; f < features; f++) sum += maps[i * features + f] * weights.dense[f * ways + w];
        logits[i * ways + w] = sum;
      }
    }
    return logits;
  }

  // softmax of the logits of every image.
  function probabilities(logits, ways) {
    const result = new Float64Array(logits.length);
    for (let from = 0; from < logits.length; from += ways) {
      const row = logits.subarray(from, from + ways), largest = Math.max(...row);
      const total = row.reduce((sum, logit) => sum + Math.exp(logit - largest), 0);
      row.forEach((logit, w) => { result[from + w] = Math.exp(logit - largest) / total; });
    }
    return result;
  }

  // The cross-entropy, summed over the images, and its gradient by name.
  function lossAndGradient(net, images, labels) {
    const { kernel, filters, features, ways, weights } = net, count = labels.length;
    const flow = probabilities(forward(net, images), ways), gradient = {};
    let loss = 0;
    labels.forEach((label, i) => {
      loss -= Math.log(flow[i * ways + label]);
      flow[i * ways + label] -= 1;
    });
    const last = net.layers[LAYERS - 1].maps;
    let slopes = new Float64Array(count * features);
    gradient.dense = new Float64Array(features * ways);
    gradient.dense_bias = new Float64Array(ways);
    for (let i = 0; i < count; i++) {
      for (let w = 0; w < ways; w++) gradient.dense_bias[w] += flow[i * ways + w];
      for (let f = 0; f < features; f++) {
        for (let w = 0; w < ways; w++) {
          gradient.dense[f * ways + w] += last[i * features + f] * flow[i * ways + w];
          slopes[i * features + f] += weights.dense[f * ways + w] * flow[i * ways + w];
        }
      }
    }
    for (let l = LAYERS - 1; l >= 0; l--) {
      const layer = net.layers[l], { size, channels, out, width, patches, weight, turned, back } = layer, rows = count * out * out;
      Object.assign(gradient, backThroughNormalization(layer, l, filters, rows, slopes));
      transpose(layer.slopes, rows, filters, turned);
      kernel.multiply(filters, width, rows, turned, patches, layer.gradient);
      gradient[`conv_${l}`] = layer.gradient;
      if (l === 0) break;
      layer.slopes.fill(0, rows * filters, up(rows, 4) * filters);
      kernel.multiply(up(rows, 4), width, filters, layer.slopes, weight, back);
      const before = new Float64Array(count * size * size * channels);
      eachPatch(count, size, channels, width, (pixel, place) => {
        for (let c = 0; c < channels; c++) before[pixel + c] += back[place + c];
      });
      slopes = before;
    }
    return { loss, gradient };
  }

  // From the gradient with respect to what ReLU gives, to that with respect to the sums (into layer.slopes), γ and β.
  function backThroughNormalization(layer, l, filters, rows, slopes) {
    const { normal, maps, gamma, scale } = layer, dGamma = new Float64Array(filters), dBeta = new Float64Array(filters);
    for (let r = 0, i = 0; r < rows; r++) {
      for (let f = 0; f < filters; f++, i++) {
        if (maps[i] <= 0) continue;
        dGamma[f] += slopes[i] * normal[i];
        dBeta[f] += slopes[i];
      }
    }
    for (let r = 0, i = 0; r < rows; r++) {
      for (let f = 0; f < filters; f++, i++) {
        const slope = maps[i] > 0 ? slopes[i] : 0;
        layer.slopes[i] = gamma[f] * scale[f] * (slope - (dBeta[f] + normal[i] * dGamma[f]) / rows);
      }
    }
    return { [`gamma_${l}`]: dGamma, [`beta_${l}`]: dBeta };
  }

  // One step of Adam with β1 = 0: φ ← φ − α g / (√v̂ + 1e−8). Returns the loss before the step.
  function step(net, images, labels, alpha, beta2 = 0.999) {
    const { loss, gradient } = lossAndGradient(net, images, labels);
    net.steps += 1;
    const correction = 1 - beta2 ** net.steps;
    for (const [name, slope] of Object.entries(gradient)) {
      const weight = net.weights[name], moment = net.moments[name];
      for (let i = 0; i < weight.length; i++) {
        moment[i] = beta2 * moment[i] + (1 - beta2) * slope[i] ** 2;
        weight[i] -= (alpha * slope[i]) / (Math.sqrt(moment[i] / correction) + 1e-8);
      }
    }
    return loss;
  }

  // Untrained weights as metalib draws them: Glorot-uniform, γ = 1, β and biases 0.
  function untrained(shapes, random) {
    const parts = Object.entries(shapes).map(([name, shape]) => {
      const count = shape.reduce((product, side) => product * side, 1);
      if (name !== "dense" && !name.startsWith("conv")) return new Float32Array(count).fill(name.startsWith("gamma") ? 1 : 0);
      const fans = name === "dense" ? shape[0] + shape[1] : WINDOW * (shape[0] + shape[3]), bound = Math.sqrt(6 / fans);
      return Float32Array.from({ length: count }, () => (2 * random() - 1) * bound);
    });
    const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
    parts.reduce((from, part) => (all.set(part, from), from + part.length), 0);
    return all;
  }

  // A generator of numbers in [0, 1) from a seed (mulberry32).
  function generator(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    };
  }

  // Minibatches: shuffle, go through, reshuffle; one may straddle two passes.
  function* cycling(count, batch, random) {
    const pass = [];
    for (;;) {
      const chosen = [];
      while (chosen.length < batch) {
        if (!pass.length) {
          for (let i = 0; i < count; i++) pass.splice(Math.floor(random() * (i + 1)), 0, i);
        }
        chosen.push(pass.pop());
      }
      yield chosen;
    }
  }

  // Numbers from float16 in base64: one bit sign, five bits exponent, ten bits fraction.
  function float16(base64) {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    return Float32Array.from(new Uint16Array(bytes.buffer), (bits) => {
      const exponent = (bits >> 10) & 31, fraction = bits & 1023, sign = bits >> 15 ? -1 : 1;
      return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : (2 ** -14 * fraction) / 1024);
    });
  }

  return {
    SIZE, cycling, eachPatch, float16, forward, generator, lossAndGradient, network, probabilities, step, untrained,
  };
})();
