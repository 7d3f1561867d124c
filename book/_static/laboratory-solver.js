/* D(x, l) for one image in plain script: the same sequence of projections as the package's, without its last step.

   laboratory.projections   attack/refinement.py: the closest image that a network reads as the target
   laboratory.project       attack/polyhedron.py: the closest point of the box that satisfies linear inequalities
   laboratory.minimise      attack/lbfgsb.py: box-constrained L-BFGS
   laboratory.search        attack/penalty.py: the price c of the paper's method

   Images are Float64Arrays of 784 numbers from 0 to 1 that a Float32Array could hold. Nothing here knows the page. */
globalThis.laboratory = (() => {
  "use strict";

  const PIXELS = 784, CLASSES = 10, EPSILON = Number.EPSILON;
  const MARGIN = 5e-5;  // what a target must lead by, as a fraction of the spread of the clean image's logits

  // ------------------------------------------------------------------------------------------ vectors

  const zeros = (n) => new Float64Array(n);
  const clip = (value) => (value < 0 ? 0 : value > 1 ? 1 : value);
  const rounded = (x) => new Float64Array(new Float32Array(x));

  /* Four sums at a time: each addition alone would wait for the one before. */
  function dot(a, b) {
    const n = a.length, whole = n - (n % 4);
    let first = 0, second = 0, third = 0, fourth = 0;
    for (let i = 0; i < whole; i += 4) {
      first += a[i] * b[i];
      second += a[i + 1] * b[i + 1];
      third += a[i + 2] * b[i + 2];
      fourth += a[i + 3] * b[i + 3];
    }
    for (let i = whole; i < n; i++) first += a[i] * b[i];
    return first + second + third + fourth;
  }

  /* The rows of a matrix added up with one factor for each, four rows at a time. */
  function combined(rows, factors, n) {
    const sum = zeros(n), whole = rows.length - (rows.length % 4);
    for (let j = 0; j < whole; j += 4) {
      const a = rows[j], b = rows[j + 1], c = rows[j + 2], d = rows[j + 3];
      const p = factors[j], q = factors[j + 1], r = factors[j + 2], s = factors[j + 3];
      for (let i = 0; i < n; i++) sum[i] += p * a[i] + q * b[i] + r * c[i] + s * d[i];
    }
    for (let j = whole; j < rows.length; j++) {
      const row = rows[j], factor = factors[j];
      for (let i = 0; i < n; i++) sum[i] += factor * row[i];
    }
    return sum;
  }

  function distance(a, b) {
    let sum = 0;
    for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return Math.sqrt(sum);
  }

  const rms = (a, b) => distance(a, b) / Math.sqrt(a.length);
  const largest = (values) => values.reduce((best, value, i) => (value > values[best] ? i : best), 0);

  function bytes(base64, Kind) {
    const text = atob(base64), held = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) held[i] = text.charCodeAt(i);
    return new Kind(held.buffer);
  }

  // ------------------------------------------------------------------------------------------ networks

  /* Linear layers with a sigmoid after each but the last, in the form in which the file of weights has them. */
  class Network {
    constructor(entry) {
      this.name = entry.name;
      this.description = entry.description;
      this.bound = entry.bound;  // how much all layers before the last can stretch a distance
      this.errors = entry.errors;
      this.layers = entry.layers.map(({units, inputs, weight, scale, bias}) => {
        const whole = bytes(weight, Int8Array), sizes = bytes(scale, Float32Array);
        const rows = Array.from({length: units}, (_, i) =>
          Float64Array.from(whole.subarray(i * inputs, (i + 1) * inputs), (q) => q * sizes[i]));
        return {rows, inputs, bias: Float64Array.from(bytes(bias, Float32Array))};
      });
    }

    /* What each layer gives, the logits last. */
    outputs(x) {
      const found = [];
      let input = x;
      this.layers.forEach(({rows, bias}, depth) => {
        const output = zeros(rows.length), last = depth === this.layers.length - 1;
        for (let i = 0; i < rows.length; i++) {
          const z = dot(rows[i], input) + bias[i];
          output[i] = last ? z : 1 / (1 + Math.exp(-z));
        }
        found.push(output);
        input = output;
      });
      return found;
    }

    logits(x) { return this.outputs(x).at(-1); }
    reads(x) { return largest(this.logits(x)); }

    /* Gradients of several combinations of logits with respect to the image. */
    gradients(outputs, combinations) {
      let above = combinations;
      for (let depth = this.layers.length - 1; depth >= 0; depth--) {
        const {rows, inputs} = this.layers[depth];
        const below = above.map((factors) => combined(rows, factors, inputs));
        if (depth > 0) {
          const units = outputs[depth - 1];
          below.forEach((slopes) => units.forEach((s, i) => { slopes[i] *= s * (1 - s); }));
        }
        above = below;
      }
      return above;
    }
  }

  const lead = (logits, target) => logits.reduce((least, value, k) =>
    (k === target ? least : Math.min(least, logits[target] - value)), Infinity);
  const spread = (logits) => Math.max(...logits) - Math.min(...logits);

  // ------------------------------------------------------------------------------------------ projection

  /* Minimise |z - x|^2 / 2 subject to a z >= b and 0 <= z <= 1: a projected Newton method on the dual.
     a: rows; b and multipliers: one number for each. Returns z and its multipliers. */
  function project(x, a, b, multipliers, tolerance) {
    const count = a.length;
    const sizes = a.map((row) => Math.max(Math.sqrt(dot(row, row)), Number.MIN_VALUE));
    const unit = sizes.map((size) => 1 / size), scaled = b.map((value, j) => value / sizes[j]);

    function dual(y) {
      const raw = combined(a, y.map((price, j) => price * unit[j]), x.length);
      for (let i = 0; i < raw.length; i++) raw[i] += x[i];
      const z = raw.map(clip);
      const slack = a.map((row, j) => dot(row, z) * unit[j] - scaled[j]);
      const energy = 0.5 * distance(z, x) ** 2;
      return {y, raw, z, slack, energy, value: dot(y, slack) - energy};
    }
    const residual = ({y, slack}) => Math.max(...y.map((price, j) => Math.abs(Math.min(price, slack[j]))));

    let point = dual(multipliers.map((price, j) => Math.max(price * sizes[j], 0)));
    for (let step = 0; step < 50 && residual(point) > tolerance; step++) {
      const next = newtonStep(point);
      if (next === null) break;
      point = next;
    }
    return {z: point.z, multipliers: point.y.map((price, j) => price / sizes[j])};

    function newtonStep({y, raw, slack, energy, value}) {
      const held = y.map((price, j) => price <= 0 && slack[j] > 0);
      const hessian = a.map(() => Array(count).fill(0));
      for (let j = 0; j < count; j++) {
        for (let k = 0; k <= j; k++) {
          if (held[j] || held[k]) continue;
          let sum = 0;
          const left = a[j], right = a[k];
          for (let i = 0; i < raw.length; i++) if (raw[i] >= 0 && raw[i] <= 1) sum += left[i] * right[i];
          hessian[j][k] = hessian[k][j] = sum * unit[j] * unit[k];
        }
      }
      const ridge = 1e-8 * Math.max(...hessian.map((row, j) => row[j])) + 1e-8;
      for (let j = 0; j < count; j++) hessian[j][j] += ridge + (held[j] ? 1 : 0);
      const step = solve(hessian, slack.map((s, j) => (held[j] ? 0 : -s)));
      const rounding = 32 * EPSILON * (energy
        + y.reduce((sum, price, j) => sum + price * (Math.abs(slack[j]) + 2 * Math.abs(scaled[j])), 0));
      for (let length = 1, tries = 0; tries < 12; tries++, length *= 0.4) {
        const trial = y.map((price, j) => Math.max(price + length * step[j], 0));
        const better = dual(trial);
        const promised = 1e-4 * slack.reduce((sum, s, j) => sum + s * (trial[j] - y[j]), 0);
        if (better.value <= value + promised + rounding) return better;
      }
      return null;
    }
  }

  /* A symmetric positive definite system of a few numbers, by Cholesky. */
  function solve(matrix, right) {
    const n = right.length, lower = matrix.map((row) => row.slice()), x = right.slice();
    for (let j = 0; j < n; j++) {
      for (let k = 0; k < j; k++) lower[j][j] -= lower[j][k] ** 2;
      lower[j][j] = Math.sqrt(lower[j][j]);
      for (let i = j + 1; i < n; i++) {
        for (let k = 0; k < j; k++) lower[i][j] -= lower[i][k] * lower[j][k];
        lower[i][j] /= lower[j][j];
      }
    }
    for (let i = 0; i < n; i++) {
      for (let k = 0; k < i; k++) x[i] -= lower[i][k] * x[k];
      x[i] /= lower[i][i];
    }
    for (let i = n - 1; i >= 0; i--) {
      for (let k = i + 1; k < n; k++) x[i] -= lower[k][i] * x[k];
      x[i] /= lower[i][i];
    }
    return x;
  }

  // ------------------------------------------------------------------------------------------ the closest image

  const STEPS = 30, RIVALS = 6, PATIENCE = 4, SETTLED = 5e-3, STAGE = 0.5, NEAR = 0.02, HEAVIEST = 0.95;

  /* What a target lacks at an image: the lead over its strongest rivals, the gradients of these leads, and who they
     are. */
  function linearised(network, x, target, most) {
    const outputs = network.outputs(x), logits = outputs.at(-1);
    const rivals = [...logits.keys()].filter((k) => k !== target).sort((j, k) => logits[k] - logits[j]).slice(0, most);
    const combinations = rivals.map((rival) => {
      const signs = zeros(CLASSES);
      signs[target] = 1;
      signs[rival] = -1;
      return signs;
    });
    return {
      leads: rivals.map((rival) => logits[target] - logits[rival]),
      slopes: network.gradients(outputs, combinations),
      rivals,
    };
  }

  /* The lead that counts as reaching the target, and whether the image is read as it already. */
  function aim(network, clean, target) {
    const outputs = network.outputs(clean), logits = outputs.at(-1), signs = zeros(CLASSES);
    const rival = largest(logits.map((value, k) => (k === target ? -Infinity : value)));
    signs[target] = 1;
    signs[rival] = -1;
    const [slope] = network.gradients(outputs, [signs]);
    // A black pixel cannot get darker, nor a white one lighter.
    const square = slope.reduce((sum, g, i) =>
      (clip(clean[i] + g) === clean[i] ? sum : sum + g * g), 0) || Number.MIN_VALUE;
    const gap = lead(logits, target);
    return {gap, square, there: gap > 0, wanted: MARGIN * Math.max(spread(logits), 1e-3 * Math.sqrt(square))};
  }

  /* The sequence of projections. start: an image to begin at, or null to begin at the clean one; most: how many rivals
     are written. */
  function descend(network, clean, target, margin, start, most = RIVALS) {
    let x = start === null ? Float64Array.from(clean) : Float64Array.from(start);
    let best = null, shortest = Infinity, steps = 0;
    let pull = 0, stage = start === null ? STAGE : 1, before = -Infinity, goal = -Infinity;
    let moved = Infinity, movedBefore = Infinity;
    let multipliers = zeros(CLASSES), asked = [];
    const near = NEAR * spread(network.logits(clean));
    const least = 4 * Math.sqrt(PIXELS) * EPSILON;
    while (steps < STEPS) {
      steps++;
      x = rounded(x);
      const {leads, slopes, rivals} = linearised(network, x, target, most);
      const low = Math.min(...leads), length = distance(x, clean);
      if (low >= margin && length < shortest) {
        best = x;
        shortest = length;
      }
      if (steps > PATIENCE && most < CLASSES - 1 && low < margin && !asked.includes(rivals[0])) {
        // Left out, and overtaking: more rivals than these may meet at the minimum, and take turns.
        const again = descend(network, clean, target, margin, x, 2 * most);
        const shorter = again.image !== null && distance(again.image, clean) < shortest;
        return {image: shorter ? again.image : best, steps: steps + again.steps};
      }
      asked = rivals;
      // The pull, and the lead to aim for, from how the last linearisation fared.
      const close = low > -near;
      const missed = low < 0 && low < before + 0.5 * (goal - before);
      const slow = close && moved > 0.7 * movedBefore;
      pull = Math.min(Math.max(1 - (1 - pull) * (missed ? 0.5 : slow ? 0.6 : 1.3), 0), HEAVIEST);
      const more = close && low < margin && stage >= 1 ? Math.max(goal - low, 0) : 0;
      const wanted = 2 * margin + more;
      goal = low < 0 ? low + stage * (wanted - low) : wanted;
      stage = Math.min(1.5 * stage, 1);
      // The projection onto leads + slopes (z - x) >= goal of a point between the clean and the current image.
      const freedom = 1 - pull, current = x;
      const from = clean.map((value, i) => current[i] + freedom * (value - current[i]));
      const bounds = slopes.map((slope, j) => goal - leads[j] + dot(slope, current));
      const tolerance = Math.max(1e-3 * Math.min(moved, 1), least);
      const found = project(from, slopes, bounds, rivals.map((k) => multipliers[k] * freedom), tolerance);
      const step = distance(found.z, x);
      multipliers = zeros(CLASSES);
      rivals.forEach((k, j) => { multipliers[k] = found.multipliers[j] / freedom; });
      before = low;
      movedBefore = moved;
      moved = step;
      const going = step > SETTLED * freedom * length || low < margin;
      x = found.z;
      if (!going) break;
    }
    return {image: best, steps};
  }

  /* The closest image in the box that a network reads as the target.
     Returns image, distortion (root mean square per pixel), reached, there (no step was needed) and steps. */
  function projections(network, clean, target) {
    const {wanted, there} = aim(network, clean, target);
    if (there) return {image: clean, distortion: 0, reached: true, there, steps: 0};
    let {image, steps} = descend(network, clean, target, 1.1 * wanted, null);
    if (image === null) {  // no projection arrived: the edge of the penalty method is a place to start from
      let edge = null;
      for (edge of search(network, clean, target)) steps++;
      const start = edge === undefined || edge === null ? null : edge.image;
      if (start !== null) image = descend(network, clean, target, 1.1 * wanted, start).image ?? start;
    }
    if (image === null) return {image: clean, distortion: NaN, reached: false, there, steps};
    const reached = lead(network.logits(image), target) >= wanted;
    return {image, distortion: rms(image, clean), reached, there, steps};
  }

  // ------------------------------------------------------------------------------------------ the price c

  /* c |r|^2 + cross-entropy towards the target, and its gradient. */
  function penalised(network, clean, target, c) {
    return (x) => {
      const outputs = network.outputs(x), logits = outputs.at(-1), top = Math.max(...logits);
      const shares = logits.map((value) => Math.exp(value - top));
      const total = shares.reduce((sum, share) => sum + share, 0);
      const slopes = shares.map((share, k) => share / total - (k === target ? 1 : 0));
      const [gradient] = network.gradients(outputs, [slopes]);
      let square = 0;
      for (let i = 0; i < x.length; i++) {
        const r = x[i] - clean[i];
        square += r * r;
        gradient[i] += 2 * c * r;
      }
      return {value: Math.log(total) + top - logits[target] + c * square, gradient};
    };
  }

  function residual(x, gradient) {
    let most = 0;
    for (let i = 0; i < x.length; i++) most = Math.max(most, Math.abs(clip(x[i] - gradient[i]) - x[i]));
    return most;
  }

  /* L-BFGS in the box [0, 1]: curvature on the free coordinates, steps along the projected path. */
  function minimise(objective, start, {tolerance, inverseCurvature, iterations = 200, history = 5}) {
    let x = Float64Array.from(start), {value, gradient} = objective(x), pairs = [];
    for (let done = 0; done < iterations && residual(x, gradient) > tolerance; done++) {
      const next = lineSearch(direction());
      if (next === null) {
        if (pairs.length === 0) break;
        pairs = [];  // the metric is suspect: start again from the gradient
        continue;
      }
      pairs = [{s: next.s, y: next.gradient.map((g, i) => g - gradient[i])}, ...pairs].slice(0, history);
      const small = value - next.value <= 1e-9 * Math.max(Math.abs(value), 1);
      ({x, value, gradient} = next);
      if (small) break;
    }
    return x;

    function direction() {
      const close = Math.min(residual(x, gradient), 1e-4);
      const free = x.map((value, i) =>
        ((value <= close && gradient[i] > 0) || (value >= 1 - close && gradient[i] < 0) ? 0 : 1));
      const inner = (u, v) => {
        let sum = 0;
        for (let i = 0; i < u.length; i++) sum += free[i] * u[i] * v[i];
        return sum;
      };
      const usable = pairs.map(({s, y}) => ({s, y, sy: inner(s, y), ss: inner(s, s), yy: inner(y, y)}))
        .filter(({sy, ss, yy}) => sy > 0 && sy > 1e-10 * Math.sqrt(ss * yy));
      const scale = usable.length ? usable[0].sy / usable[0].yy : inverseCurvature;
      const q = gradient.map((g, i) => free[i] * g);
      const alphas = usable.map(({s, y, sy}) => {
        const alpha = inner(s, q) / sy;
        for (let i = 0; i < q.length; i++) q[i] -= alpha * y[i];
        return alpha;
      });
      for (let i = 0; i < q.length; i++) q[i] *= scale;
      usable.map((pair, age) => ({...pair, alpha: alphas[age]})).reverse().forEach(({s, y, sy, alpha}) => {
        const beta = inner(y, q) / sy;
        for (let i = 0; i < q.length; i++) q[i] += (alpha - beta) * s[i];
      });
      const steep = inner(gradient, gradient);
      const descent = inner(gradient, q) > 1e-12 * scale * steep;
      return gradient.map((g, i) => (free[i] && descent ? -q[i] : -scale * g));
    }

    function lineSearch(d) {
      for (let length = 1, tries = 0; tries < 30; tries++) {
        const trial = x.map((value, i) => clip(value + length * d[i]));
        const s = trial.map((value, i) => value - x[i]), slope = dot(gradient, s);
        const found = objective(trial), change = found.value - value;
        if (slope <= 0 && change <= 1e-4 * slope + 8 * EPSILON * Math.abs(value)) return {x: trial, s, ...found};
        length *= Math.min(Math.max(-slope / (2 * (change - slope)) || 0.1, 0.1), 0.5);
      }
      return null;
    }
  }

  /* The minimiser for one price, from the clean image. */
  function priced(network, clean, target, c, tolerance = 1e-3) {
    const objective = penalised(network, clean, target, c);
    const steepness = penalised(network, clean, target, 0)(clean).gradient.reduce((most, g) => Math.max(most, Math.abs(g)), 0);
    const unit = Math.max(steepness, 1);
    const scaled = (x) => {
      const {value, gradient} = objective(x);
      return {value: value / unit, gradient: gradient.map((g) => g / unit)};
    };
    const image = rounded(minimise(scaled, clean, {
      tolerance: tolerance * steepness / unit, inverseCurvature: unit / (2 * c),
    }));
    return {c, image, distortion: rms(image, clean), lead: lead(network.logits(image), target)};
  }

  /* The largest price whose minimiser is still read as the target. Yields after each minimisation the best so far, or
     null while there is none. */
  function* search(network, clean, target) {
    const {gap, square, wanted} = aim(network, clean, target);
    const missing = Math.max(wanted - gap, Number.MIN_VALUE);
    let price = Math.log(square / (4 * missing)), best = null;
    let low = -Infinity, high = Infinity, lowGap = 0, highGap = 0, side = 0;
    const least = price - 50;
    for (let step = 0; step < 30; step++) {
      const found = priced(network, clean, target, Math.exp(price));
      const over = found.lead - wanted, works = over >= 0;
      if (works && (best === null || found.distortion < best.distortion)) best = found;
      yield best;
      // Illinois: halve the remembered gap of an end that has stayed twice, so that both ends move.
      if (works) {
        if (side === 1) highGap *= 0.5;
        [low, lowGap, side] = [price, over, 1];
      } else {
        if (side === -1) lowGap *= 0.5;
        [high, highGap, side] = [price, over, -1];
      }
      if ((works && over <= 1e-3 * missing) || high - low < 1e-3 || (!works && price < least)) return;
      const leap = 0.7 * 1.3 ** step;
      if (low > -Infinity && high < Infinity) {
        const part = lowGap / (lowGap - highGap);
        price = low + (high - low) * Math.min(Math.max(Number.isFinite(part) ? part : 0.5, 0.02), 0.98);
      } else {
        price = low > -Infinity ? low + leap : high - leap;
      }
    }
  }

  /* The length within which no image at all, in the box or out of it, can be read as the target: lead over stretch. */
  function certified(network, clean, target) {
    const logits = network.logits(clean), own = largest(logits), {rows} = network.layers.at(-1);
    if (own === target) return 0;
    return (logits[own] - logits[target]) / (network.bound * distance(rows[own], rows[target])) / Math.sqrt(PIXELS);
  }

  return {PIXELS, CLASSES, Network, bytes, rms, rounded, clip, lead, largest, projections, project, minimise, priced, search, certified};
})();
