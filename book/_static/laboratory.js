/* The page of the laboratory: what is chosen, what is computed from it, and how it is shown. */
(() => {
  "use strict";

  const {
    PIXELS, CLASSES, Network, Pad, bytes, rms, rounded, clip, lead, largest, projections, priced, search, certified,
  } = laboratory;
  const {about, networks: entries, digits} = laboratoryWeights;
  const SIDE = 28, NOISES = 200, SLICE = 12;  // milliseconds of computing before the page may breathe
  const PRICES = 41, EDGE = 24, PER_DECADE = 16;  // positions of the price slider, the one of the edge, their density
  const RADII = 100, STRETCHED = 0.1, SHOWN = 5;

  const at = (id) => document.getElementById(`lab-${id}`);
  const networks = entries.map((entry) => new Network(entry));
  const pixels = bytes(digits.pixels, Uint8Array);
  const shelf = digits.labels.map((label, i) => ({
    label, row: digits.rows[i], image: Float64Array.from(pixels.subarray(PIXELS * i, PIXELS * (i + 1)), (p) => Math.fround(p / 255)),
  }));
  const state = {network: networks[2], target: 3, image: shelf[0].image, digit: 0, seed: 1, found: null};

  // ------------------------------------------------------------------------------------------ small tools

  function make(tag, properties = {}, ...children) {
    const {data = {}, ...rest} = properties, element = Object.assign(document.createElement(tag), rest);
    for (const [name, value] of Object.entries(data)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  /* A name in the head of a narrow column is broken before its bracket; nothing within one is. */
  const broken = (name) => name.split(/(?=\()/).flatMap((part, i) => (i ? [make("wbr"), make("span", {className: "lab-whole", textContent: part})] : [part]));

  const number = (value, places = 4) => value.toFixed(places).replace("-", "\u2212");
  const percent = (share) => `${Math.round(100 * share)}\u00a0%`;
  const few = (count) => ["none", "one", "two", "three"][count];

  /* Numbers that look like chance and are the same for the same seed. */
  function chance(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    };
  }

  function gaussian(seed) {
    const draw = chance(seed);
    return Float64Array.from({length: PIXELS}, () =>
      Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw()));
  }

  /* The image in the box, along a direction, that has moved by a size; or by as much as the box allows. */
  function along(clean, direction, size) {
    const moved = (t) => clean.map((value, i) => clip(value + t * direction[i]));
    const length = rms(direction, new Float64Array(PIXELS));
    if (length === 0 || size === 0) return clean;
    let low = size / length, high = low;
    for (let i = 0; i < 12 && rms(moved(high), clean) < size; i++) high *= 2;
    for (let i = 0; i < 40; i++) {
      const middle = (low + high) / 2;
      if (rms(moved(middle), clean) < size) low = middle; else high = middle;
    }
    return rounded(moved(high));
  }

  const difference = (a, b) => a.map((value, i) => value - b[i]);

  /* Long work in slices: a new piece of work on the same place drops the old one. */
  function worker(idle) {
    let current = 0;
    return (steps) => {
      const mine = ++current;
      idle(false);
      (function slice() {
        if (mine !== current) return;
        const until = performance.now() + SLICE;
        do {
          if (steps.next().done) {
            idle(true);
            return;
          }
        } while (performance.now() < until);
        setTimeout(slice, 0);
      })();
    };
  }

  // ------------------------------------------------------------------------------------------ pictures

  function colour(name) {
    const hex = getComputedStyle(at("bench")).getPropertyValue(`--lab-${name}`).trim();
    return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  }

  /* Draws one colour for each pixel, given as three numbers from 0 to 255. */
  function dots(canvas, colours) {
    canvas.width = canvas.height = SIDE;
    const context = canvas.getContext("2d"), picture = context.createImageData(SIDE, SIDE);
    for (let i = 0; i < PIXELS; i++) picture.data.set([...colours(i), 255], 4 * i);
    context.putImageData(picture, 0, 0);
  }

  const draw = (canvas, image) => dots(canvas, (i) => Array(3).fill(255 * image[i]));

  /* A perturbation as strong as colours can show it. Returns how much it is magnified. */
  function drawSigned(canvas, step) {
    const most = step.reduce((size, value) => Math.max(size, Math.abs(value)), 0);
    const [zero, plus, minus] = [colour("zero"), colour("after"), colour("before")];
    dots(canvas, (i) => {
      const part = most ? step[i] / most : 0;
      return zero.map((value, j) => value + Math.abs(part) * ((part > 0 ? plus : minus)[j] - value));
    });
    return most ? 1 / most : 1;
  }

  /* The states of the pixels of a solution in the box. */
  const STATES = [
    ["held at black", [16, 16, 16]],
    ["held at white", [255, 255, 255]],
    ["free, black before", [230, 159, 0]],
    ["free, grey or white before", [86, 180, 233]],
  ];
  const stateOf = (clean, image, i) => (image[i] === 0 ? 0 : image[i] === 1 ? 1 : clean[i] === 0 ? 2 : 3);

  // ------------------------------------------------------------------------------------------ the answer

  const work = worker((idle) => { at("bench").dataset.busy = String(!idle); });
  let path = null, edge = null, noise = null;

  function choose(change, finished = true) {
    Object.assign(state, change);
    const {network, image} = state, logits = network.logits(image), own = largest(logits);
    if (!("target" in change) && state.target === own) {
      state.target = largest(logits.map((value, k) => (k === own ? -Infinity : value)));
      at("targets").querySelectorAll("input")[state.target].checked = true;
    }
    const started = performance.now();
    const found = projections(network, image, state.target);
    found.milliseconds = performance.now() - started;
    state.found = found;
    state.own = own;
    noise = along(image, gaussian(state.seed), found.distortion || 0);
    path = Array(PRICES).fill(null);
    edge = null;
    showAnswer(finished);
    showTargets(null);
    showRuler();
    work(finished ? behind() : [].values());  // what was under way belongs to another image
  }

  const title = (digit) => (digit === null ? "your drawing" : `the digit ${shelf[digit].label}`);

  function showAnswer(finished) {
    const {network, image, target, found, own} = state;
    const before = network.logits(image), after = network.logits(found.image), noisy = network.reads(noise);
    draw(at("image"), image);
    draw(at("found"), found.image);
    draw(at("noise"), noise);
    const gain = drawSigned(at("step"), difference(found.image, image));
    const where = state.digit === null ? "" : `, number ${shelf[state.digit].row} of the ${digits.set}`;
    words("image", "The image", `${state.digit === null ? "Your drawing" : `A ${shelf[state.digit].label}`}${where}, read as ${own}.`);
    words("step", `The perturbation, ×\u00a0${gain < 10 ? gain.toFixed(1) : Math.round(gain)}`, "Vermilion is added, blue taken away.");
    words("found", "The closest picture", `Read as ${largest(after)}. Distortion ${number(found.distortion)}.`);
    words("noise", "Noise, just as long", `Read as ${noisy}.`);
    showBars(before, after);
    const fooled = showReadings();
    if (!finished) return;
    at("answer").textContent = found.there
      ? `${network.name} reads ${title(state.digit)} as ${target} already: nothing has to be changed. Choose another target.`
      : !found.reached
        ? `No picture in the box was found that ${network.name} reads as ${target}. The closest attempt is shown.`
        : `${network.name} reads ${title(state.digit)} as ${own}. The closest picture that it reads as ${target} has distortion `
          + `${number(found.distortion)}, found in ${Math.max(1, Math.round(found.milliseconds))} ms by ${found.steps} projections. `
          + `Noise just as long is read as ${noisy}${noisy === own ? " still" : ""}. `
          + `Of the three other networks, ${few(fooled)} ${fooled > 1 ? "read" : "reads"} the new picture differently from the image.`;
  }

  function words(name, heading, text) {
    at(`${name}-words`).replaceChildren(make("b", {textContent: heading}), text);
    at(name).setAttribute("aria-label", `${heading}. ${text}`);
  }

  function showBars(before, after) {
    const most = Math.max(0, ...before, ...after), least = Math.min(0, ...before, ...after), range = most - least || 1;
    const bar = (value) => make("i", {style: `top:${100 * (most - Math.max(value, 0)) / range}%;height:${100 * Math.abs(value) / range}%`});
    at("bars").replaceChildren(
      ...Array.from(before, (value, k) =>
        make("div", {className: k === state.target ? "lab-wanted" : "", title: `${k}: ${number(value, 2)} before, ${number(after[k], 2)} after`}, bar(value), bar(after[k]))),
      make("hr", {style: `top:${100 * most / range}%`}),
    );
    at("bars").setAttribute("aria-label", `Logits of the ten classes. Before, ${largest(before)} leads with `
      + `${number(Math.max(...before), 2)}; after, ${largest(after)} with ${number(Math.max(...after), 2)}.`);
    at("logits").replaceChildren(...Array.from(before, (value, k) => make("tr", {},
      make("th", {scope: "row", textContent: k}), make("td", {textContent: number(value, 3)}), make("td", {textContent: number(after[k], 3)}))));
  }

  /* What every network reads. Returns how many of the others change their answer. */
  function showReadings() {
    let fooled = 0;
    at("readings").replaceChildren(...networks.map((other) => {
      const read = [state.image, state.found.image, noise].map((image) => other.reads(image));
      const own = other === state.network;
      if (!own && read[1] !== read[0]) fooled++;
      return make("tr", {className: own ? "lab-own" : ""}, make("th", {scope: "row", textContent: other.name}),
        ...read.map((k) => make("td", {className: k === read[0] ? "" : "lab-fooled", textContent: k})));
    }));
    return fooled;
  }

  function showTargets(distances) {
    at("targets").querySelectorAll("small").forEach((small, k) => {
      small.textContent = k === state.own ? "now" : k === state.target ? number(state.found.distortion, 3)
        : distances?.[k] === undefined ? "\u00a0" : number(distances[k], 3);
    });
  }

  /* What may come a little later: the other targets, many noises, and the path in c. */
  function* behind() {
    const {network, image, target, found} = state, distances = {};
    for (let k = 0; k < CLASSES; k++) {
      if (k === target || k === state.own) continue;
      distances[k] = projections(network, image, k).distortion;
      showTargets(distances);
      yield;
    }
    let changed = 0;
    for (let i = 0; i < NOISES; i++) {
      if (network.reads(along(image, gaussian(1000 + i), found.distortion || 0)) !== state.own) changed++;
      yield;
    }
    words("noise", "Noise, just as long", `Read as ${network.reads(noise)}. Of ${NOISES} such noises, `
      + `${changed === 0 ? "none changes" : changed === 1 ? "one changes" : `${changed} change`} the answer.`);
    if (!found.there && found.reached) yield* course();
  }

  // ------------------------------------------------------------------------------------------ the price c

  const priceAt = (place) => edge.c * 10 ** ((place - EDGE) / PER_DECADE);

  function* course() {
    let best = null;
    for (best of search(state.network, state.image, state.target)) yield;
    edge = best;  // only now: before, it is the best so far and not the edge
    if (edge === null) return;
    showPrice();
    const outwards = [...Array(PRICES).keys()].sort((i, j) => Math.abs(i - EDGE) - Math.abs(j - EDGE));
    for (const place of outwards) {
      minimiser(place);
      showCurves();
      yield;
    }
  }

  function minimiser(place) {
    path[place] ??= priced(state.network, state.image, state.target, priceAt(place));
    return path[place];
  }

  function showPrice() {
    const place = Number(at("price").value);
    if (edge === null) {
      if (state.found.there || !state.found.reached) return;
      for (edge of search(state.network, state.image, state.target));
      if (edge === null) return;
    }
    const {c, image, distortion, lead: ahead} = minimiser(place), {image: clean} = state;
    draw(at("priced"), image);
    const gain = drawSigned(at("priced-step"), difference(image, clean));
    dots(at("states"), (i) => STATES[stateOf(clean, image, i)][1]);
    const counts = [0, 0, 0, 0];
    let whole = 0, black = 0;  // |r|^2, and the part of it that pixels carry which were black
    for (let i = 0; i < PIXELS; i++) {
      counts[stateOf(clean, image, i)]++;
      whole += (image[i] - clean[i]) ** 2;
      if (clean[i] === 0) black += image[i] ** 2;
    }
    const read = state.network.reads(image);
    words("priced", "The minimiser", `Read as ${read}: the target ${ahead > 0 ? "leads" : "is behind"} by ${number(Math.abs(ahead), 2)}.`);
    words("priced-step", `Its perturbation, ×\u00a0${gain < 10 ? gain.toFixed(1) : Math.round(gain)}`, `Distortion ${number(distortion)}.`);
    words("states", "The box", `Pixels that were black carry ${percent(whole ? black / whole : 0)} of |r|².`);
    at("states-key").replaceChildren(...STATES.map(([name, shade], kind) => make("span",
      {style: `--swatch: rgb(${shade})`, textContent: `${name}: ${percent(counts[kind] / PIXELS)}`})));
    const text = `c = ${c.toPrecision(3)}: distortion ${number(distortion)}, read as ${read}.`
      + (place === EDGE ? " This is the edge, the largest c whose minimiser is read as the target." : place < EDGE
        ? " Distortion is cheap: the minimiser goes further than it has to." : " Distortion is dear: the minimiser stays this side of the boundary.");
    at("price").setAttribute("aria-valuetext", `c = ${c.toPrecision(3)}, distortion ${number(distortion)}, read as ${read}`);
    at("price-words").textContent = text;
    showCurves();
  }

  function showCurves() {
    const here = Number(at("price").value), x = (place) => 100 * place / (PRICES - 1);
    const known = path.flatMap((point, place) => (point === null ? [] : [{place, ...point}]));
    if (known.length === 0) return;
    const reference = state.found.distortion;
    for (const [name, value, least, format] of [
      ["distortion", (point) => point.distortion, 0, (v) => number(v)],
      ["lead", (point) => point.lead, Math.min(0, ...known.map((point) => point.lead)), (v) => number(v, 2)],
    ]) {
      const most = Math.max(...known.map(value), name === "distortion" ? reference : 0), range = most - least || 1;
      const y = (v) => 100 * (most - v) / range, level = name === "distortion" ? reference : 0;
      const points = known.map((point) => `${x(point.place)},${y(value(point))}`).join(" ");
      at(`curve-${name}`).querySelector("svg").innerHTML = `<line class="lab-nought" x1="0" x2="100" y1="${y(level)}" y2="${y(level)}"/>`
        + `<line class="lab-edge" x1="${x(EDGE)}" x2="${x(EDGE)}" y1="0" y2="100"/><polyline class="lab-course" points="${points}"/>`
        + `<line class="lab-here" x1="${x(here)}" x2="${x(here)}" y1="0" y2="100"/>`;
      at(`curve-${name}`).querySelector("b").textContent = path[here] === null ? "" : format(value(path[here]));
    }
  }

  // ------------------------------------------------------------------------------------------ radii

  function showRuler() {
    const {network, image, target, found} = state, furthest = 2 * found.distortion || 1;
    const proved = Math.min(certified(network, image, target), found.distortion || 0);
    const parts = {proved: proved / furthest, open: (found.distortion - proved) / furthest};
    at("ruler").querySelector(".lab-proved").style.width = `${100 * parts.proved}%`;
    at("ruler").querySelector(".lab-open").style.width = `${100 * (parts.open || 0)}%`;
    at("ruler").querySelector(".lab-known").style.width = found.there ? "100%" : "50%";
    at("radius").disabled = found.there || !found.reached;
    if (at("radius").disabled) {
      draw(at("along"), image);
      at("ruler-key").textContent = at("radius-words").textContent = "";
      words("along", "The image", `Read as ${state.own}.`);
      return;
    }
    at("ruler-key").replaceChildren(...[
      [`proved, up to ${number(proved)}`, "var(--lab-safe)"],
      ["neither excluded by this bound nor known", "var(--lab-quiet)"],
      [`a picture is known, from ${number(found.distortion)}`, "var(--lab-after)"],
    ].map(([text, swatch]) => make("span", {style: `--swatch: ${swatch}`, textContent: text})));
    const radius = found.distortion * (Number(at("radius").value) / (RADII / 2));  // in the middle, exactly what was found
    const moved = along(image, difference(found.image, image), radius), read = network.reads(moved);
    draw(at("along"), moved);
    words("along", `At ${number(radius)}`, `Along the perturbation: read as ${read}.`);
    const verdict = radius <= proved ? `it is proved that no picture is read as ${target}`
      : radius < found.distortion ? `no picture is known that is read as ${target}, and this bound excludes none`
        : `a picture is known that is read as ${target}`;
    at("radius-words").textContent = `Within distortion ${number(radius)} ${verdict}. What is proved reaches `
      + `${percent(proved / found.distortion)} of the way to the picture that was found.`;
    at("radius").setAttribute("aria-valuetext", `distortion ${number(radius)}, read as ${read}`);
  }

  // ------------------------------------------------------------------------------------------ thirty digits

  const workOfMap = worker((idle) => { at("map").dataset.busy = String(!idle); });
  let sets = null;  // for each network, its thirty closest pictures

  function* thirty() {
    const made = [];
    for (const network of networks) {
      const pictures = [];
      for (const [i, {image, label}] of shelf.entries()) {
        const target = (label + 1 + (i % (CLASSES - 1))) % CLASSES;
        pictures.push({target, image: projections(network, image, target).image});
        at("map-words").textContent = `${network.name}: ${i + 1} of ${shelf.length} digits.`;
        yield;
      }
      made.push(pictures);
    }
    sets = made;
    showMap();
  }

  const shown = ({image}, i) => (at("stretch").checked
    ? along(shelf[i].image, difference(image, shelf[i].image), STRETCHED) : image);

  function showMap() {
    const rows = [["the digits themselves", shelf], ...networks.map(({name}, i) => [name, sets?.[i].map((picture, j) => ({...picture, image: shown(picture, j)}))])];
    at("map-rows").replaceChildren(...rows.map(([name, pictures]) => make("tr", {}, make("th", {scope: "row", textContent: name}),
      ...networks.map((reader) => make("td", {}, sets === null ? make("button", {type: "button", disabled: true, textContent: "\u2013"}) : cell(name, reader, pictures))))));
    at("five").replaceChildren(...Array.from({length: SHOWN}, () => make("figure", {}, make("canvas", {data: {"aria-hidden": "true"}}))));
    if (sets !== null) at("map-words").textContent = "Each cell says how many of a row's thirty pictures the column's network misreads. Choose a cell to see five of them.";
  }

  function cell(name, reader, pictures) {
    const read = pictures.map(({image}) => reader.reads(image)), wrong = read.map((k, j) => k !== shelf[j].label);
    const share = wrong.filter(Boolean).length / wrong.length;
    const button = make("button", {type: "button", textContent: percent(share), style: `--share: ${share}`,
      data: {"aria-pressed": "false", "aria-label": `${name}, read by ${reader.name}: ${percent(share)} misread. Show five.`}});
    button.addEventListener("click", () => showFive(button, name, reader, pictures, read, wrong));
    return button;
  }

  function showFive(button, name, reader, pictures, read, wrong) {
    at("map-rows").querySelectorAll("button").forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
    const misread = [...wrong.keys()].filter((i) => wrong[i]), others = [...wrong.keys()].filter((i) => !wrong[i]);
    // Spread over the classes where there are more than five; filled up with others where there are fewer.
    const chosen = misread.length > SHOWN ? Array.from({length: SHOWN}, (_, n) => misread[Math.floor(n * misread.length / SHOWN)])
      : [...misread, ...others].slice(0, SHOWN);
    at("five").replaceChildren(...chosen.map((i) => {
      const text = `A ${shelf[i].label}${"target" in pictures[i] ? `, made for ${pictures[i].target}` : ""}: read as ${read[i]}.`;
      const canvas = make("canvas", {data: {role: "img", "aria-label": text}});
      draw(canvas, pictures[i].image);
      return make("figure", {}, canvas, make("figcaption", {textContent: text}));
    }));
    at("map-words").textContent = `Row ${name}, read by ${reader.name}: ${wrong.filter(Boolean).length} of ${wrong.length} are misread. Five of them are shown.`;
  }

  // ------------------------------------------------------------------------------------------ what is chosen

  function radio(group, i, name, checked, ...children) {
    const input = make("input", {type: "radio", className: "lab-away", name: `lab-${group}`, value: i, checked, data: {"aria-label": name, autocomplete: "off"}});
    return [input, make("label", {}, input, ...children)];
  }

  function fill() {
    for (const [i, {label, image}] of shelf.entries()) {
      const canvas = make("canvas", {data: {"aria-hidden": "true"}});
      draw(canvas, image);
      const [input, whole] = radio("digit", i, `a ${label}, ${(i % 3) + 1} of 3`, i === 0, canvas);
      input.addEventListener("change", () => { pad.lay(image); choose({image, digit: i}); });
      at("shelf").append(whole);
    }
    for (const [i, network] of networks.entries()) {
      const words = make("span", {}, make("b", {textContent: network.name}), make("small", {},
        ...network.description.split(/(?<=, )/).map((part) => make("span", {className: part.includes("=") ? "lab-whole" : "", textContent: part}))));
      const [input, whole] = radio("network", i, `${network.name}: ${network.description}`, network === state.network, words);
      input.addEventListener("change", () => choose({network}));
      at("networks").append(whole);
    }
    for (let target = 0; target < CLASSES; target++) {
      const words = make("span", {}, make("b", {textContent: target}), make("small", {textContent: "\u00a0"}));
      const [input, whole] = radio("target", target, `the target ${target}`, target === state.target, words);
      input.addEventListener("change", () => choose({target}));
      at("targets").append(whole);
      at("classes").append(make("span", {textContent: target}));
    }
  }

  let last = 0;
  function drawn(finished) {
    // While a line is drawn the answer follows, as often as the computer manages.
    const now = performance.now();
    if (!finished && now - last < 4 * (state.found?.milliseconds ?? 0) + 40) return;
    document.querySelectorAll('input[name="lab-digit"]:checked').forEach((input) => { input.checked = false; });
    choose({image: pad.image(), digit: null}, finished);
    if (finished && pad.empty) at("answer").textContent = `The pad is empty, and ${state.network.name} reads even that: as ${state.own}. Draw a digit.`;
    last = performance.now();
  }

  fill();
  projections(state.network, state.image, state.target);  // once unseen, so that what is timed has been compiled
  const pad = new Pad(at("pad"), drawn, (text) => { at("said").textContent = text; });
  pad.lay(state.image);
  at("clear").addEventListener("click", () => pad.clear());
  at("rubber").addEventListener("click", () => {
    pad.rubber = !pad.rubber;
    at("rubber").setAttribute("aria-pressed", String(pad.rubber));
  });
  at("fit").addEventListener("change", () => { pad.fit = at("fit").checked; if (state.digit === null) drawn(true); });
  at("again").addEventListener("click", () => choose({seed: state.seed + 1, target: state.target}));

  document.addEventListener("DOMContentLoaded", () => {
    for (const reader of networks) at("map-head").append(make("th", {scope: "col"}, ...broken(reader.name)));
    at("price").addEventListener("input", () => showPrice());
    at("radius").addEventListener("input", showRuler);
    at("run").addEventListener("click", () => workOfMap(thirty()));
    at("stretch").addEventListener("change", showMap);
    for (const name of ["distortion", "lead"]) {
      const curve = at(`curve-${name}`), move = (event) => {
        if (event.buttons === 0) return;
        const frame = curve.getBoundingClientRect();
        at("price").value = Math.round((PRICES - 1) * clip((event.clientX - frame.left) / frame.width));
        showPrice();
      };
      curve.addEventListener("pointerdown", move);
      curve.addEventListener("pointermove", move);
    }
    at("facts").replaceChildren(...networks.map(({name, errors}) => make("tr", {}, make("th", {scope: "row", textContent: name}),
      make("td", {textContent: `${(100 * errors.trained).toFixed(2)}\u00a0%`}), make("td", {textContent: `${(100 * errors.page).toFixed(2)}\u00a0%`}))));
    at("about").textContent = `Written on ${about.created.slice(0, 10)} from the networks of profile ${about.profile}, seed ${about.seed}, `
      + `trained and tested on ${about.data} digits. Licence of the digits: ${about.licence}.`;
    showMap();
    choose({});
  });
  // Perturbations are drawn on the colour of the theme.
  new MutationObserver(() => {
    if (state.found) drawSigned(at("step"), difference(state.found.image, state.image));
    if (edge) drawSigned(at("priced-step"), difference(minimiser(Number(at("price").value)).image, state.image));
  }).observe(document.documentElement, {attributeFilter: ["data-theme"]});

  laboratory.networks = networks;
  laboratory.shelf = shelf;
  laboratory.state = state;
})();
