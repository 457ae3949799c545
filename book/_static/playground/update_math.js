"use strict";
// The mathematics of the first playground: five meta-gradients on a landscape of two weights, without drawing.
// tests/book/test_playground_update.py compares all of it with metalib, in float64.
//
// The model is a·sin(x + b); its weights are φ = [a, b]. A task τ is a wave of the same form, given as [a_τ, b_τ], and
// its loss on a minibatch of points is the mean squared error. Every task has the same minibatches; each inner step draws
// one of them, with replacement, so that an expectation over draws is a plain mean over all of them.
const metaUpdate = (() => {
  const MINIBATCHES = [
    [-4.4, -3.1, -0.9, 0.6, 2.2],
    [-2.4, -1.6, 1.3, 3.2, 4.5],
  ];
  const METHODS = ["joint", "fomaml", "maml", "reptile", "imaml"];
  const PATIENCE = 5000; // steps of the proximal problem

  const add = (u, v, factor = 1) => [u[0] + factor * v[0], u[1] + factor * v[1]];
  const times = (matrix, v) => [matrix[0] * v[0] + matrix[1] * v[1], matrix[1] * v[0] + matrix[2] * v[1]];
  const mean = (vectors) => vectors.reduce((sum, v) => add(sum, v, 1 / vectors.length), [0, 0]);

  // a·sin(x + b) = p·sin x + q·cos x with p = a cos b, q = a sin b. In (p, q) a loss is dᵀ S d, where d is the distance
  // from the task's own (p, q), and S the mean of (sin x, cos x)(sin x, cos x)ᵀ over the points.
  function moments(points) {
    const average = (f) => points.reduce((sum, x) => sum + f(x), 0) / points.length;
    return [
      average((x) => Math.sin(x) ** 2),
      average((x) => Math.sin(x) * Math.cos(x)),
      average((x) => Math.cos(x) ** 2),
    ];
  }

  const polar = ([a, b]) => [a * Math.cos(b), a * Math.sin(b)];

  // The loss on minibatch points, as { value, gradient, hessian } of φ. Symmetric matrices are [h_aa, h_ab, h_bb].
  function lossOf(task, points) {
    const s = moments(points), home = polar(task);
    const slope = (phi) => times(s, add(polar(phi), home, -1)).map((g) => 2 * g);
    return {
      value(phi) {
        const d = add(polar(phi), home, -1), sd = times(s, d);
        return d[0] * sd[0] + d[1] * sd[1];
      },
      gradient(phi) {
        const [a, b] = phi, g = slope(phi), cos = Math.cos(b), sin = Math.sin(b);
        return [cos * g[0] + sin * g[1], a * (cos * g[1] - sin * g[0])];
      },
      hessian(phi) {
        const [a, b] = phi, g = slope(phi), cos = Math.cos(b), sin = Math.sin(b);
        const u = [cos, sin], v = [-a * sin, a * cos]; // ∂(p, q)/∂a and ∂(p, q)/∂b
        const su = times(s, u), sv = times(s, v);
        return [
          2 * (u[0] * su[0] + u[1] * su[1]),
          2 * (v[0] * su[0] + v[1] * su[1]) + (cos * g[1] - sin * g[0]),
          2 * (v[0] * sv[0] + v[1] * sv[1]) - a * (cos * g[0] + sin * g[1]),
        ];
      },
    };
  }

  const lossesOf = (task) => MINIBATCHES.map((points) => lossOf(task, points));

  // The loss of a task on all of its points.
  const wholeLoss = (task) => lossOf(task, MINIBATCHES.flat());

  // φ_1 … φ_{k+1} and g_1 … g_k on the given losses, one step each (Eqs. 9, 10).
  function innerLoop(losses, start, alpha) {
    const phi = [start], g = [];
    losses.forEach((loss, i) => {
      g.push(loss.gradient(phi[i]));
      phi.push(add(phi[i], g[i], -alpha));
    });
    return { losses, phi, g, alpha };
  }

  // Meta-gradients as functions of a trajectory: ḡ_1; g_k (Eq. 38); Σ g_i (Eq. 40); Eqs. 17–21.
  const estimators = {
    joint: ({ g }) => g[0],
    fomaml: ({ g }) => g[g.length - 1],
    reptile: ({ g }) => g.reduce((sum, one) => add(sum, one)),
    maml({ losses, phi, g, alpha }) {
      let v = g[g.length - 1];
      for (let j = g.length - 2; j >= 0; j--) v = add(v, times(losses[j].hessian(phi[j]), v), -alpha);
      return v;
    },
  };

  // All N^k ordered draws of k of the losses.
  function draws(losses, k) {
    let all = [[]];
    for (let i = 0; i < k; i++) all = all.flatMap((draw) => losses.map((loss) => [...draw, loss]));
    return all;
  }

  // argmin over φ' of L(φ') + λ/2 ‖φ' − φ‖², reached from φ by gradient descent that never goes uphill.
  function proximal(loss, phi, lambda) {
    const objective = (at) => loss.value(at) + (lambda / 2) * ((at[0] - phi[0]) ** 2 + (at[1] - phi[1]) ** 2);
    let at = phi, length = 1 / (lambda + 4);
    for (let i = 0; i < PATIENCE; i++) {
      const g = add(loss.gradient(at), add(at, phi, -1), lambda), size = Math.hypot(...g);
      if (size < 1e-13) break;
      const next = add(at, g, -length);
      if (objective(next) > objective(at) && size > 1e-6) length /= 2;
      else at = next;
    }
    return at;
  }

  // (I + L''(φ*)/λ)⁻¹ L_o'(φ*) (Rajeswaran et al. 2019). At a minimum φ* the matrix is positive definite.
  function implicitGradient(loss, heldOut, phi, lambda) {
    const at = proximal(loss, phi, lambda), h = loss.hessian(at), g = heldOut.gradient(at);
    const [aa, ab, bb] = [1 + h[0] / lambda, h[1] / lambda, 1 + h[2] / lambda];
    const determinant = aa * bb - ab * ab;
    return [(bb * g[0] - ab * g[1]) / determinant, (aa * g[1] - ab * g[0]) / determinant];
  }

  // E[g] of a method over all tasks and draws.
  function expected(method, tasks, phi, { k, alpha, lambda }) {
    return mean(tasks.flatMap((task) => {
      const losses = lossesOf(task);
      if (method === "imaml") return draws(losses, 2).map(([one, two]) => implicitGradient(one, two, phi, lambda));
      return draws(losses, k).map((draw) => estimators[method](innerLoop(draw, phi, alpha)));
    }));
  }

  // AvgGrad = E[ḡ_1] (Eq. 28) and AvgGradInner = E[H̄_2 ḡ_1] (Eq. 29).
  function terms(tasks, phi) {
    const pairs = tasks.flatMap((task) => draws(lossesOf(task), 2));
    return {
      avgGrad: mean(pairs.map(([one]) => one.gradient(phi))),
      avgGradInner: mean(pairs.map(([one, two]) => times(two.hessian(phi), one.gradient(phi)))),
    };
  }

  // How much of AvgGrad and of AvgGradInner is in E[g], to leading order (Eqs. 33–35, 37, 39, 41).
  function coefficients(method, { k, alpha, lambda }) {
    return {
      joint: [1, 0],
      fomaml: [1, -(k - 1) * alpha],
      maml: [1, -2 * (k - 1) * alpha],
      reptile: [k, (-k * (k - 1) * alpha) / 2],
      imaml: [1, -2 / lambda],
    }[method];
  }

  // One outer step, φ ← φ − ε α E[g], and its parts.
  function update(method, tasks, phi, settings) {
    const { epsilon, alpha } = settings, g = expected(method, tasks, phi, settings);
    const { avgGrad, avgGradInner } = terms(tasks, phi), [c, cInner] = coefficients(method, settings);
    const scale = (v, factor) => [-epsilon * alpha * factor * v[0], -epsilon * alpha * factor * v[1]];
    return { whole: scale(g, 1), avgGrad: scale(avgGrad, c), avgGradInner: scale(avgGradInner, cInner) };
  }

  // The mean loss before and after k inner steps on all points of a task; losses are `wholeLoss` of each task.
  const lossBefore = (losses, phi) => losses.reduce((sum, loss) => sum + loss.value(phi), 0) / losses.length;

  function lossAfter(losses, phi, { k, alpha }) {
    return losses.reduce((sum, loss) => {
      let at = phi;
      for (let i = 0; i < k; i++) at = add(at, loss.gradient(at), -alpha);
      return sum + loss.value(at) / losses.length;
    }, 0);
  }

  return {
    METHODS, MINIBATCHES, add, coefficients, draws, expected, innerLoop, lossAfter, lossBefore, lossesOf, proximal, terms,
    update, wholeLoss,
  };
})();
