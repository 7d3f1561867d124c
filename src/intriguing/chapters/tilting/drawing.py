"""Two drawings that the reader's own browser makes: a boundary that tilts, and three dimensions in which it turns.

Nothing of it is a picture. The output holds a few vectors, two digits and some hundred points, as numbers of two bytes,
and one script that draws whatever the sliders ask for: it projects points and cuts a cube with a plane in closed form,
and finds by bisection how far a digit has to go across the boundary inside the box. So the sliders have no steps to
speak of and the page stays light.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from intriguing.attack.perturbations import rms
from intriguing.book import two_classes
from intriguing.book.plots import PALETTE
from intriguing.chapters.tilting import geometry
from intriguing.chapters.tilting.study import Levels, Turning

POINTS = 400
"""How many training images are drawn as points."""

FURTHEST = 3
"""How far the bias may move the boundary to either side, as a Euclidean distance."""

COLOURS = {
    name: PALETTE[colour]
    for name, colour in {"first": "blue", "second": "orange", "edge": "vermilion", "test": "green"}.items()
}

_COMMON = """
const box = document.currentScript.previousElementSibling, data = JSON.parse(box.dataset.drawing);
const canvas = box.querySelector('canvas'), note = box.querySelector('p'), ctx = canvas.getContext('2d');
const inputs = [...box.querySelectorAll('input')], colour = data.colours;
const W = canvas.width / 2, H = canvas.height / 2;
// A page that is dark turns the canvas over; letters are 10 pixels high at least, however small the canvas is shown.
const dark = () => document.documentElement.dataset.theme === 'dark';
const unpack = (part) => Float64Array.from(
  new Int16Array(Uint8Array.from(atob(part.bytes), (c) => c.charCodeAt(0)).buffer), (v) => v * part.scale);
const rows = (part) => { const all = unpack(part), n = part.shape[1];
  return Array.from({length: part.shape[0]}, (_, i) => all.subarray(i * n, (i + 1) * n)); };
const dot = (a, b) => { let s = 0; for (let i = 0; i < a.length; i++) s += a[i] * b[i]; return s; };
const unit = (a) => { const s = Math.sqrt(dot(a, a)); return Array.from(a, (v) => v / s); };
const mix = (a, b, s) => Array.from(a, (v, i) => (1 - s) * v + s * b[i]);
const degrees = (c) => Math.acos(Math.max(-1, Math.min(1, c))) * 180 / Math.PI;
function line(x0, y0, x1, y1, style, width) {
  ctx.strokeStyle = style; ctx.lineWidth = width;
  ctx.beginPath(); ctx.moveTo(x0, y0); ctx.lineTo(x1, y1); ctx.stroke(); }
function arrow(x0, y0, x1, y1, style, width) {
  line(x0, y0, x1, y1, style, width);
  const a = Math.atan2(y1 - y0, x1 - x0);
  ctx.fillStyle = style; ctx.beginPath(); ctx.moveTo(x1, y1);
  for (const s of [-1, 1]) ctx.lineTo(x1 - 9 * Math.cos(a + s * 0.4), y1 - 9 * Math.sin(a + s * 0.4));
  ctx.fill(); }
function word(text, x, y, style, size, align) {
  ctx.font = `${Math.max(size || 13, 10 * W / (canvas.clientWidth || W))}px sans-serif`;
  ctx.textAlign = align || 'left';
  ctx.strokeStyle = 'white'; ctx.lineWidth = 3; ctx.strokeText(text, x, y);
  ctx.fillStyle = style || '#222'; ctx.fillText(text, x, y); }
const shade = (k) => data.second[k] === '1' ? colour.second : colour.first;
function point(x, y, style, radius) {
  ctx.fillStyle = style; ctx.beginPath(); ctx.arc(x, y, radius, 0, 7); ctx.fill(); }
function show() {
  ctx.setTransform(2, 0, 0, 2, 0, 0);
  ctx.fillStyle = 'white'; ctx.fillRect(0, 0, W, H);
  const state = draw(inputs.map((i) => Number(i.value)));
  inputs.forEach((input, i) => { input.setAttribute('aria-valuetext', state.words[i]);
    input.nextElementSibling.textContent = state.words[i]; });
  canvas.setAttribute('aria-label', state.description); note.textContent = state.caption;
  box.dataset.state = JSON.stringify(state.numbers); }
"""

_TILTING = """
const B = rows(data.basis), A = rows(data.weights), P = rows(data.points), digits = rows(data.digits);
const Q = rows(data.places), R = data.reach, S = 380, left = 40, side = Math.round(Math.sqrt(B[0].length));
const px = (u) => left + S * (u + R) / (2 * R), py = (v) => 8 + S * (R - v) / (2 * R);
const small = document.createElement('canvas'); small.width = small.height = side;
// The digits stand beside the plane, or below it where there is no room.
const narrow = H > W, x0 = narrow ? left + 5 : left + S + 24, y0 = narrow ? S + 56 : 0, base = narrow ? y0 + 414 : S;
function image(value, x, y, size) {
  const c = small.getContext('2d'), made = c.createImageData(side, side);
  for (let i = 0; i < side * side; i++) made.data.set([...value(i), 255], 4 * i);
  c.putImageData(made, 0, 0); ctx.imageSmoothingEnabled = false; ctx.drawImage(small, x, y, size, size);
  ctx.strokeStyle = '#bbb'; ctx.lineWidth = 1; ctx.strokeRect(x, y, size, size); }
const grey = (x) => (i) => { const v = 255 * (dark() ? 1 - x[i] : x[i]); return [v, v, v]; };
const warm = [213, 94, 0], cold = [0, 114, 178];
const added = (r) => (i) => { const v = Math.max(-1, Math.min(1, r[i] / data.strongest));
  return (v > 0 ? warm : cold).map((c) => 255 + Math.abs(v) * (c - 255)); };
function cross(x, w, distance) {  // the nearest point beyond the boundary with every pixel in [0, 1]
  const s = distance > 0 ? -1 : 1, at = (y) => x.map((v, i) => Math.max(0, Math.min(1, v + s * y * w[i])));
  const gained = (y) => s * (dot(at(y), w) - dot(x, w));
  let low = 0, high = 1;
  while (gained(high) < Math.abs(distance) && high < 1e6) high *= 2;
  for (let n = 0; n < 60; n++) { const y = (low + high) / 2;
    if (gained(y) < Math.abs(distance)) low = y; else high = y; }
  return at(high); }
function draw([t, shift]) {
  const i = Math.min(Math.floor(t), A.length - 2), s = t - i, one = (list) => (1 - s) * list[i] + s * list[i + 1];
  const a = unit(mix(A[i], A[i + 1], s)), c = one(data.offsets) - shift, angle = degrees(a[0]);
  const misread = P.filter((p, k) => (dot(p, a) + c > 0) !== (data.second[k] === '1')).length;
  const level = 10 ** one(data.levels), rest = Math.sqrt(Math.max(0, 1 - a[0] * a[0]));
  const n = a.map((v, k) => k ? v / (rest || 1) : 0), w = new Float64Array(side * side);
  B.forEach((b, k) => { for (let p = 0; p < w.length; p++) w[p] += a[k] * b[p]; });
  const flat = (p) => [p[0], dot(p, n)];
  // The two sides, the points, the boundary: u a0 + v rest + c = 0.
  ctx.save(); ctx.beginPath(); ctx.rect(left, 8, S, S); ctx.clip();
  ctx.fillStyle = '#eaf2f8'; ctx.fillRect(left, 8, S, S);
  const foot = [-c * a[0], -c * rest], far = 4 * R;
  const to = (along, out) => [px(foot[0] - along * rest + out * a[0]), py(foot[1] + along * a[0] + out * rest)];
  ctx.fillStyle = '#fdf3e0'; ctx.beginPath();
  [[-far, 0], [far, 0], [far, far], [-far, far]].forEach((q) => ctx.lineTo(...to(...q))); ctx.fill();
  P.forEach((p, k) => { const [u, v] = flat(p); point(px(u), py(v), shade(k), 2); });
  line(...to(-far, 0), ...to(far, 0), colour.edge, 2.5);
  arrow(px(-data.half), py(0), px(data.half), py(0), '#000', 1.2);
  arrow(...to(0, 0), ...to(0, 0.5 * R), colour.edge, 2);
  const moved = digits.map((x, k) => cross(x, w, dot(Q[k], a) + c));
  const lengths = moved.map((m, k) => Math.sqrt(m.reduce((e, v, p) => e + (v - digits[k][p]) ** 2, 0) / m.length));
  moved.forEach((m, k) => { const step = m.map((v, p) => v - digits[k][p]);
    const start = flat(Q[k]), end = flat(B.map((b, j) => Q[k][j] + dot(b, step)));
    arrow(px(start[0]), py(start[1]), px(end[0]), py(end[1]), '#000', 1.6);
    point(px(start[0]), py(start[1]), '#000', 4); point(px(start[0]), py(start[1]), '#fff', 2.6); });
  ctx.restore();
  ctx.strokeStyle = '#bbb'; ctx.lineWidth = 1; ctx.strokeRect(left, 8, S, S);
  // In corners, where no points are: w points up and to the right, so that each class has its own.
  word(data.names[0], left + 8, S, colour.first, 17); word(data.names[1], left + S - 8, 28, colour.second, 17, 'right');
  word(`w, ${angle.toFixed(0)}°`, left + S - 8, S, colour.edge, 14, 'right');
  word('along z, from mean to mean', left + S / 2, S + 28, '#222', 13, 'center');
  ctx.save(); ctx.translate(24, 8 + S / 2); ctx.rotate(-Math.PI / 2);
  word('along n', 0, 0, '#222', 13, 'center'); ctx.restore();
  // The digits.
  const size = 88;
  ['digit', 'perturbation', 'twin'].forEach((text, k) => word(text, x0 + k * 96 + 44, y0 + 20, '#222', 13, 'center'));
  digits.forEach((x, k) => { const y = y0 + 28 + 100 * k, r = moved[k].map((v, p) => v - x[p]);
    image(grey(x), x0, y, size); image(added(r), x0 + 96, y, size); image(grey(moved[k]), x0 + 192, y, size); });
  // Errors against the angle.
  const gx = (v) => x0 + 30 + 250 * v / 90, top = Math.max(...data.training, ...data.testing) * 1.08;
  const gy = (v) => base - 14 - 130 * v / top;
  line(gx(0), gy(0), gx(90), gy(0), '#888', 1); line(gx(0), gy(0), gx(0), gy(top), '#888', 1);
  [0, 30, 60, 90].forEach((v) => word(`${v}`, gx(v), base + 4, '#444', 11, 'center'));
  word('tilting angle (degrees)', gx(45), base + 22, '#222', 12, 'center');
  [[data.training, '#777', 'training'], [data.testing, colour.test, 'test']].forEach(([list, style, name], k) => {
    ctx.strokeStyle = style; ctx.lineWidth = 1.6; ctx.beginPath();
    list.forEach((v, p) => ctx.lineTo(gx(data.angles[p]), gy(v))); ctx.stroke();
    if (!shift) point(gx(angle), gy(one(list)), style, 4.5);  // the curves are those of the biases that were learned
    const now = shift ? '' : ` ${(100 * one(list)).toFixed(1)} %`;
    word(`${name} error${now}`, gx(90), gy(top) + 12 + 16 * k, style, 12, 'right'); });
  const words = [level >= 0.01 ? level.toPrecision(2) * 1 + '' : level.toExponential(1),
    shift ? `${Math.abs(shift)} towards ${data.names[shift > 0 ? 1 : 0]}` : '0'];
  return {words, numbers: {angle, lengths, level, misread},
    caption: `λ = ${words[0]} · tilted by ${angle.toFixed(1)}° · moved by ${words[1]} · distortion of this `
      + `${data.names[0]}: ${lengths[0].toFixed(4)}, of this ${data.names[1]}: ${lengths[1].toFixed(4)} · `
      + `${misread} of these ${P.length} points misread`,
    description: `Two classes of digits in the tilting plane, a boundary that leans by ${angle.toFixed(0)} degrees; `
      + 'beside it a digit of each, the perturbation that takes it across the boundary, and the sum; below, the '
      + 'errors against the angle.'}; }
"""

_TURNING = """
const P = rows(data.points), R = data.reach, tilt = 22 * Math.PI / 180, scale = 0.29 * H / R;
function draw([percent, azimuth]) {
  const a = azimuth * Math.PI / 180, s = percent / 100;
  const eye = [Math.cos(a) * Math.cos(tilt), Math.sin(a) * Math.cos(tilt), Math.sin(tilt)];
  const right = [-Math.sin(a), Math.cos(a), 0];
  const up = [-Math.cos(a) * Math.sin(tilt), -Math.sin(a) * Math.sin(tilt), Math.cos(tilt)];
  const at = (p) => [W / 2 + scale * dot(p, right), H / 2 - scale * dot(p, up)];
  // Equal steps are equal angles between the two weight vectors.
  const [u, v] = data.ends, whole = Math.acos(dot(u, v));
  const w = unit(u.map((e, k) => Math.sin((1 - s) * whole) * e + Math.sin(s * whole) * v[k]));
  const c = (1 - s) * data.offsets[0] + s * data.offsets[1], angle = degrees(w[0]);
  const draws = (front) => P.forEach((p, k) => { if ((dot(p, w) + c > 0) === (dot(w, eye) > 0) === front)
    point(...at(p), shade(k), 2); });
  const corners = [...Array(8).keys()].map((k) => [k & 1, k >> 1 & 1, k >> 2].map((b) => (2 * b - 1) * R));
  const met = [];
  corners.forEach((p, i) => corners.forEach((q, j) => { const m = i ^ j, e = dot(p, w) + c, f = dot(q, w) + c;
    if (i < j && (m & (m - 1)) === 0 && e * f < 0) met.push(mix(p, q, e / (e - f))); }));
  corners.forEach((p, i) => corners.forEach((q, j) => { const m = i ^ j;
    if (i < j && (m & (m - 1)) === 0) line(...at(p), ...at(q), '#ddd', 1); }));
  draws(false);
  if (met.length > 2) {
    const flat = met.map(at), mid = [0, 1].map((k) => flat.reduce((e, p) => e + p[k], 0) / flat.length);
    flat.sort((p, q) => Math.atan2(p[1] - mid[1], p[0] - mid[0]) - Math.atan2(q[1] - mid[1], q[0] - mid[0]));
    ctx.beginPath(); flat.forEach((p) => ctx.lineTo(...p)); ctx.closePath();
    ctx.globalAlpha = 0.28; ctx.fillStyle = colour.edge; ctx.fill(); ctx.globalAlpha = 1;
    ctx.strokeStyle = colour.edge; ctx.lineWidth = 1.5; ctx.stroke(); }
  draws(true);
  [['z', [1, 0, 0]], ['n of strong λ', [0, 1, 0]], ['the rest of n of weak λ', [0, 0, 1]]].forEach(([name, e]) => {
    const end = e.map((b) => b * R), start = end.map((b) => -b);
    line(...at(start), ...at(end), '#888', 1);
    const q = at(end.map((b) => 1.08 * b)); word(name, ...q, '#555', 12, 'center'); });
  const vector = (e, style, name, size) => { const q = at(e.map((b) => 0.75 * R * b));
    arrow(...at([0, 0, 0]), ...q, style, size); word(name, q[0] + 6, q[1] - 6, style, 13); };
  vector(u, '#666', 'w, strong λ', 1.5); vector(v, '#666', 'w, weak λ', 1.5);
  vector(w, colour.edge, `w, ${angle.toFixed(0)}°`, 2.4);
  return {words: [`${percent} %`, `${azimuth}°`], numbers: {angle, corners: met.length},
    caption: `turned by ${percent} % · tilted by ${angle.toFixed(1)}°`,
    description: `A sheet between two clouds of points, tilted by ${angle.toFixed(0)} degrees, seen from `
      + `${azimuth} degrees, with the weight vectors of the strongest level, of the weakest one and of the sheet.`}; }
"""


_START = """
inputs.forEach((input) => input.addEventListener('input', show)); addEventListener('load', show);
new MutationObserver(show).observe(document.documentElement, {attributeFilter: ['data-theme']}); show();
"""
_NARROW = "if (matchMedia('(max-width: 600px)').matches) Object.assign(canvas, {width: 2 * %d, height: 2 * %d});"


class Drawing:
    """A drawing with sliders, as a notebook shows it.

    Attributes:
        html: the output: sliders, an empty canvas, and the script that fills it.
    """

    def __init__(self, html: str) -> None:
        self.html = html

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return "Drawing"


def tilting(path: Levels, *, reach: float = 6.5, loss: float = 2e-3) -> Drawing:
    """The tilting plane over all levels of regularisation, with two digits and their twins.

    Between two trained levels the weight vector is turned from one to the other and what belongs to it interpolated.

    Args:
        path: the machines.
        reach: half the width of the drawn part of the plane.
        loss: the most that a unit weight vector may lose when all are written in a few common directions.

    Returns:
        A ``Drawing``, its first slider from the weakest level on the left to the strongest on the right. The second
        changes the bias alone: it moves the boundary along its weight vector, by a Euclidean distance.

    Source:
        Tanay 2018, Figure 6.
    """
    task, plane = path.task, geometry.tilting_plane(path.machines[0], path.task.points, path.task.second)
    order = np.argsort(path.levels)
    lines = [path.machines[place] for place in order]
    units = torch.stack([line.weight / line.weight.norm() for line in lines])
    basis = common(units, plane.z, loss)
    weights = units @ basis.T
    strongest = float((path.twins - path.pair).abs().max())

    def listed(values: Any) -> list[float]:
        return [round(float(values[place]), 6) for place in order]

    offsets = [float(geometry.signed_distance(plane.origin[None], line)[0]) for line in lines]
    few = task.points[:POINTS] - plane.origin
    content = {
        "names": list(task.names),
        "basis": packed(basis),
        "weights": packed(weights / weights.norm(dim=1, keepdim=True)),
        "offsets": [round(value, 6) for value in offsets],
        "points": packed(few @ basis.T),
        "second": "".join("1" if second else "0" for second in task.second[:POINTS].tolist()),
        "digits": packed(path.pair),
        "places": packed((path.pair - plane.origin) @ basis.T),
        "half": two_classes.half_distance(task.points, task.second),
        "reach": reach,
        "strongest": strongest,
        "levels": listed(np.log10(path.levels)),
        "angles": listed(path.angles),
        "training": listed(path.training),
        "testing": listed(path.testing),
    }
    choices = {"L2 regularisation λ": (0, len(lines) - 1, 0.1, 5), "bias, moved by": (-FURTHEST, FURTHEST, 0.1, 0)}
    return _drawing(_TILTING, content, choices, (740, 430), narrow=(430, 900))


def turning(space: Turning, *, reach: float = 5.5) -> Drawing:
    """The boundary between its two extremes, in three dimensions that stand still, from any side.

    Args:
        space: the three dimensions.
        reach: half the width of the drawn cube.

    Source:
        Tanay 2018, Figure 7.
    """
    ends = [end.weight @ space.basis for end in space.ends]
    content = {
        "points": packed(space.cloud[:POINTS]),
        "second": "".join("1" if second else "0" for second in space.second[:POINTS].tolist()),
        "ends": [(end / end.norm()).tolist() for end in ends],
        "offsets": list(space.offsets),
        "reach": reach,
    }
    choices = {"turned towards weak λ (%)": (0, 100, 1, 0), "seen from (degrees)": (0, 359, 1, 315)}
    return _drawing(_TURNING, content, choices, (520, 460))


def common(units: Tensor, z: Tensor, loss: float) -> Tensor:
    """A few directions, z first, in which all weight vectors can be written.

    Args:
        units: (L, n), unit vectors.
        z: (n,), unit vector.
        loss: the most that one of them may lose.

    Returns:
        (K, n), orthonormal, with the least K that will do.
    """
    aside = units - (units @ z)[:, None] * z
    _, _, directions = torch.linalg.svd(aside, full_matrices=False)
    for count in range(1, len(directions) + 1):
        kept = directions[:count]
        if float((aside - aside @ kept.T @ kept).norm(dim=1).max()) <= loss:
            break
    return torch.cat([z[None], kept])


def packed(values: Tensor) -> dict[str, Any]:
    """A matrix as whole numbers of two bytes, little endian, in base 64, with the scale that they are multiples of."""
    scale = float(values.abs().max()) / 32767 or 1.0
    whole = (values.double() / scale).round().numpy().astype("<i2")
    return {"shape": list(values.shape), "scale": scale, "bytes": base64.b64encode(whole.tobytes()).decode()}


def distortions(path: Levels) -> Tensor:
    """The distortion of the two digits shown at each level, (L, 2), for comparison with what the browser finds."""
    return torch.stack([rms(twins, path.pair) for twins in path.twins])


def _drawing(
    script: str,
    content: Mapping[str, Any],
    choices: Mapping[str, tuple[float, float, float, float]],
    size: tuple[int, int],
    narrow: tuple[int, int] | None = None,
) -> Drawing:
    """Sliders with (least, largest, step, start), a canvas, and the script, all in one piece.

    Args:
        size: width and height of the canvas.
        narrow: those on a phone, where they differ.
    """
    inputs = "".join(
        f'<label class="drawn-slider"><span>{html.escape(label)}</span><input type="range" min="{low:g}" '
        f'max="{high:g}" step="{step:g}" value="{start:g}" autocomplete="off"><b aria-hidden="true"></b></label>'
        for label, (low, high, step, start) in choices.items()
    )
    text = html.escape(json.dumps({"colours": COLOURS, **content}, ensure_ascii=False), quote=True)
    width, height = size
    common = _COMMON.replace("const W =", f"{_NARROW % narrow}\nconst W =") if narrow else _COMMON
    return Drawing(
        f'<div class="drawn" data-drawing="{text}">{inputs}<canvas role="img" aria-label="drawn by a script" '
        f'width="{2 * width}" height="{2 * height}" style="width: 100%; max-width: {width}px"></canvas>'
        '<p aria-live="polite"></p><noscript>This drawing is made by a script of the page.</noscript></div>'
        f"<script>(() => {{{common}{script}{_START}}})();</script>"
    )
