/* A pad to draw on with mouse, finger or keyboard, and how a drawing becomes an image of 28 by 28 pixels. */
(() => {
  "use strict";

  const SIDE = 28, FINE = 4, WIDE = SIDE * FINE;  // the pad holds 4 by 4 points for each pixel
  const PEN = 4.6, RUBBER = 9;                    // radii in points; MNIST's strokes are two to three pixels wide
  const BOX = 20, SMALLEST = 12;                  // MNIST's digits fill a box of 20 pixels; a dot is not blown up
  const {clip} = laboratory;
  const inEightBits = (value) => Math.fround(Math.round(255 * clip(value)) / 255);

  class Pad {
    /* changed(finished) is called while a line is drawn, and with true when it ends. */
    constructor(canvas, changed, said) {
      Object.assign(this, {canvas, changed, said, rubber: false, fit: true});
      this.ink = new Float32Array(WIDE * WIDE);
      this.given = null;  // the image that was laid on the pad, while nothing is drawn over it
      this.fresh = true;  // whether the drawing began on an empty pad
      this.pen = {x: WIDE / 2, y: WIDE / 2, down: false, shown: false};
      canvas.width = canvas.height = WIDE;
      canvas.addEventListener("pointerdown", (event) => this.#press(event));
      canvas.addEventListener("pointermove", (event) => this.#drag(event));
      for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => this.#lift());
      canvas.addEventListener("keydown", (event) => this.#key(event));
      canvas.addEventListener("focus", () => this.#cross(canvas.matches(":focus-visible")));
      canvas.addEventListener("blur", () => { this.#lift(); this.#cross(false); });
    }

    clear() {
      this.ink.fill(0);
      this.given = null;
      this.fresh = true;
      this.#paint();
      this.changed(true);
    }

    /* Lays an image on the pad, to be looked at or drawn over. */
    lay(image) {
      for (let y = 0; y < WIDE; y++) {
        for (let x = 0; x < WIDE; x++) {
          this.ink[y * WIDE + x] = image[Math.floor(y / FINE) * SIDE + Math.floor(x / FINE)];
        }
      }
      this.given = image;
      this.fresh = false;
      this.#paint();
    }

    get empty() { return this.ink.every((value) => value === 0); }

    /* The image: what was laid on the pad as it is, and a drawing with 8 bits for each pixel. */
    image() {
      if (this.given !== null) return this.given;
      return this.fit && this.fresh && !this.empty ? this.#fitted() : this.#averaged();
    }

    #averaged() {
      const image = new Float64Array(SIDE * SIDE);
      this.ink.forEach((value, i) => {
        const x = Math.floor((i % WIDE) / FINE), y = Math.floor(i / WIDE / FINE);
        image[y * SIDE + x] += value / FINE ** 2;
      });
      return image.map(inEightBits);
    }

    /* As MNIST was made: scaled into a box of 20 pixels, its centre of mass in the middle. */
    #fitted() {
      let left = WIDE, right = 0, top = WIDE, bottom = 0, mass = 0, sumX = 0, sumY = 0;
      this.ink.forEach((value, i) => {
        if (value === 0) return;
        const x = i % WIDE, y = Math.floor(i / WIDE);
        [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x + 1), Math.min(top, y), Math.max(bottom, y + 1)];
        mass += value;
        sumX += value * (x + 0.5);
        sumY += value * (y + 0.5);
      });
      const points = Math.max(right - left, bottom - top, SMALLEST) / BOX;  // of the pad to a pixel
      const many = Math.ceil(2 * points), image = new Float64Array(SIDE * SIDE);
      for (let i = 0; i < image.length; i++) {
        for (let j = 0; j < many * many; j++) {
          const x = (i % SIDE) + ((j % many) + 0.5) / many - SIDE / 2;
          const y = Math.floor(i / SIDE) + (Math.floor(j / many) + 0.5) / many - SIDE / 2;
          image[i] += this.#at(sumX / mass + x * points, sumY / mass + y * points) / many ** 2;
        }
      }
      return image.map(inEightBits);
    }

    #at(x, y) {
      const column = Math.floor(x), row = Math.floor(y);
      return column >= 0 && column < WIDE && row >= 0 && row < WIDE ? this.ink[row * WIDE + column] : 0;
    }

    /* A line with round ends and soft edges. */
    #line(x0, y0, x1, y1) {
      const radius = this.rubber ? RUBBER : PEN, reach = radius + 1;
      const length = Math.hypot(x1 - x0, y1 - y0) ** 2 || 1;
      const rows = [Math.max(0, Math.floor(Math.min(y0, y1) - reach)), Math.min(WIDE - 1, Math.ceil(Math.max(y0, y1) + reach))];
      const columns = [Math.max(0, Math.floor(Math.min(x0, x1) - reach)), Math.min(WIDE - 1, Math.ceil(Math.max(x0, x1) + reach))];
      for (let y = rows[0]; y <= rows[1]; y++) {
        for (let x = columns[0]; x <= columns[1]; x++) {
          const along = clip(((x + 0.5 - x0) * (x1 - x0) + (y + 0.5 - y0) * (y1 - y0)) / length);
          const off = Math.hypot(x + 0.5 - x0 - along * (x1 - x0), y + 0.5 - y0 - along * (y1 - y0));
          const cover = clip(radius + 0.5 - off), i = y * WIDE + x;
          this.ink[i] = this.rubber ? Math.min(this.ink[i], 1 - cover) : Math.max(this.ink[i], cover);
        }
      }
      this.given = null;
    }

    #place(event) {
      const frame = this.canvas.getBoundingClientRect();
      return [(event.clientX - frame.left) / frame.width * WIDE, (event.clientY - frame.top) / frame.height * WIDE];
    }

    #press(event) {
      if (event.button !== 0) return;
      event.preventDefault();
      this.canvas.focus({preventScroll: true});
      this.canvas.setPointerCapture(event.pointerId);
      [this.pen.x, this.pen.y] = this.#place(event);
      Object.assign(this.pen, {down: true, shown: false, held: event.pointerId});
      this.#to(this.pen.x, this.pen.y);
      this.changed(false);
    }

    #drag(event) {
      if (this.pen.held !== event.pointerId) return;
      this.#to(...this.#place(event));
      this.changed(false);
    }

    #to(x, y) {
      if (this.pen.down) this.#line(this.pen.x, this.pen.y, x, y);
      Object.assign(this.pen, {x, y});
      this.#paint();
    }

    #lift() {
      if (!this.pen.down) return;
      Object.assign(this.pen, {down: false, held: undefined});
      this.changed(true);
    }

    #key(event) {
      const way = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
      const bounded = (value) => Math.min(Math.max(value, 0), WIDE);
      if (way) {
        this.pen.shown = true;
        const step = event.shiftKey ? 1 : FINE;
        this.#to(bounded(this.pen.x + step * way[0]), bounded(this.pen.y + step * way[1]));
        if (this.pen.down) this.changed(false);
        this.said(`${this.pen.down ? "Drawing" : "Pen"} at column ${Math.floor(this.pen.x / FINE)}, row ${Math.floor(this.pen.y / FINE)}.`);
      } else if (event.key === " ") {
        this.pen.shown = true;
        if (this.pen.down) {
          this.#lift();
          this.said("Pen up.");
        } else {
          this.pen.down = true;
          this.#to(this.pen.x, this.pen.y);
          this.said("Pen down: arrow keys draw.");
          this.changed(false);
        }
      } else if (event.key === "Escape") {
        this.#lift();
      } else if (event.key === "Delete" || event.key === "Backspace") {
        this.clear();
        this.said("The pad is empty.");
      } else {
        return;
      }
      event.preventDefault();
    }

    #cross(shown) {
      this.pen.shown = shown;
      this.#paint();
    }

    #paint() {
      const context = this.canvas.getContext("2d"), picture = context.createImageData(WIDE, WIDE);
      const colours = new Uint32Array(picture.data.buffer);
      for (let i = 0; i < colours.length; i++) colours[i] = 0xff000000 + Math.round(255 * this.ink[i]) * 0x010101;
      context.putImageData(picture, 0, 0);
      if (!this.pen.shown) return;
      context.strokeStyle = this.pen.down ? "#ff9d4d" : "#56b4e9";
      context.lineWidth = 1.5;
      context.beginPath();
      context.arc(this.pen.x, this.pen.y, PEN + 1, 0, 2 * Math.PI);
      context.moveTo(this.pen.x - 9, this.pen.y);
      context.lineTo(this.pen.x + 9, this.pen.y);
      context.moveTo(this.pen.x, this.pen.y - 9);
      context.lineTo(this.pen.x, this.pen.y + 9);
      context.stroke();
    }
  }

  laboratory.Pad = Pad;
})();
