// The letters of formulas are asked for at once, so that they are there when the formulas are set: with others in their
// place lines would be longer, and break anew. In a folder nothing has to be waited for, and asking is an error.
{
  const program = document.querySelector("script[src*='/mathjax/']");
  for (const letters of program && location.protocol !== "file:" ? ["Zero", "Main-Regular", "Math-Italic"] : []) {
    const link = document.createElement("link");
    Object.assign(link, { rel: "preload", as: "font", type: "font/woff", crossOrigin: "anonymous" });
    link.href = new URL(`output/chtml/fonts/woff-v2/MathJax_${letters}.woff`, program.src).href;
    document.head.append(link);
  }

  // Tables that hold formulas wait until these are set, and are shown as they will stay.
  const done = () => document.documentElement.classList.remove("setting");
  if (program) document.documentElement.classList.add("setting");
  program?.addEventListener("error", done);
  program?.addEventListener("load", async () => {
    await window.MathJax.startup.promise.catch(() => {});
    await document.fonts.ready;
    keepMarks();
    fit(`${TABLES}:has(.math)`);
    done();
  });
}

// A figure that was drawn for a wide screen has small lettering on a narrow one: touched, it opens at its own size.
document.addEventListener("DOMContentLoaded", () => {
  const INCH = 96; // figures are drawn with 200 pixels to the inch, letters 8 points high
  const dialog = document.createElement("dialog");
  dialog.className = "larger";
  dialog.setAttribute("aria-label", "Enlarged figure");
  const close = document.createElement("button");
  close.textContent = "Close";
  close.addEventListener("click", () => dialog.close());
  const shown = document.createElement("img");
  dialog.append(close);
  document.body.append(dialog);

  for (const picture of document.querySelectorAll("article figure img:not(.twins img)")) {
    const button = document.createElement("button");
    button.className = "larger";
    button.type = "button";
    button.setAttribute("aria-label", `Enlarge: ${picture.alt}`);
    const both = picture.closest("picture"); // with the one for narrow screens, where there is one
    const whole = picture.closest(".photo") ?? both ?? picture;
    whole.replaceWith(button);
    button.append(whole);
    if (!both) {
      const hint = document.createElement("p");
      hint.className = "larger-hint";
      hint.textContent = "Touch the figure to enlarge it.";
      button.after(hint);
    }
    button.addEventListener("click", () => {
      shown.src = picture.src;
      shown.alt = picture.alt;
      // Its own width: a narrow screen was shown another picture.
      const width = Number(picture.getAttribute("width")) || picture.naturalWidth;
      shown.style.width = `${Math.max((width / 200) * INCH * 1.1, window.innerWidth)}px`;
      dialog.append(shown); // only now: an image without a source would count as broken
      dialog.showModal();
    });
  }
});

// A table that is wider than the page has room for gets smaller letters, step by step, never below 9 pixels. Where that
// is not enough, it is shown in parts, one below the other, each with the names of the rows.
const STEPS = ["tight", "tighter", "tightest"];
const span = (cell) => cell.colSpan || 1;

const part = (table, from, to, columns) => {
  const copy = table.cloneNode(true);
  copy.classList.remove("parted");
  for (const named of [copy, ...copy.querySelectorAll("[id]")]) named.removeAttribute("id");
  for (const row of copy.rows) {
    let place = columns; // counted from the right: names of rows may span several rows
    for (const cell of [...row.cells].reverse()) {
      place -= span(cell);
      if (place >= 0 && (place < from || place >= to)) cell.remove();
    }
  }
  return copy;
};

const inParts = (table, room) => {
  const last = table.tBodies[0]?.rows[0];
  if (!last) return;
  const columns = last.querySelectorAll("td").length;
  const names = [...last.querySelectorAll("th")].reduce((sum, cell) => sum + cell.getBoundingClientRect().width, 0);
  const each = (table.getBoundingClientRect().width - names) / columns;
  const most = Math.max(1, Math.floor((room - names) / each));
  // Columns below one head stay together.
  const heads = [...(table.tHead?.rows[0]?.cells ?? [])].reverse();
  const starts = [];
  let place = columns;
  for (const head of heads) if ((place -= span(head)) >= 0) starts.unshift(place);
  for (let number = Math.ceil(columns / most); number <= columns; number += 1) {
    const fitting = Math.ceil(columns / number); // parts of about the same width
    const edges = [0];
    for (const [i, start] of starts.entries()) {
      const end = starts[i + 1] ?? columns;
      if (end - edges.at(-1) > fitting && start > edges.at(-1)) edges.push(start);
    }
    if (edges.length < 2) continue;
    const all = document.createElement("div");
    all.className = "parts";
    edges.forEach((from, i) => all.append(part(table, from, edges[i + 1] ?? columns, columns)));
    table.classList.add("parted");
    table.after(all);
    const parts = [...all.children];
    const fits = () => parts.every((one) => one.getBoundingClientRect().width <= room);
    if (!fits() && number < columns) {
      all.remove(); // some columns are wider than others: more parts
      table.classList.remove("parted");
      continue;
    }
    // A part has more room than the whole: its letters are only as small as they have to be.
    for (const step of [...STEPS].reverse()) {
      for (const one of parts) one.classList.remove(step);
      if (fits()) continue;
      for (const one of parts) one.classList.add(step);
      break;
    }
    return;
  }
};

// The name of a network stays in one piece, and so do a date, a short name of a row and a number with a power of ten.
const NAME = /^([A-Z]\w*([-(]\w+)+\)?[’']?|\d{4}-\d\d-\d\d)$/;
const SHORT = 8; // letters
const LONG = 19; // letters
const POWER = /[-+−]?[\d.]+e-\d+/g;

// A formula that is wider than the page has room for gets smaller letters, down to three quarters.
const fitFormulas = () => {
  for (const formula of document.querySelectorAll("article mjx-container[display='true']")) {
    formula.style.setProperty("--fitting", 1);
    if (!formula.checkVisibility() || formula.scrollWidth <= formula.clientWidth) continue;
    formula.style.setProperty("--fitting", Math.max(0.75, (0.98 * formula.clientWidth) / formula.scrollWidth));
  }
};

// A mark that follows a formula does not begin the next line.
const keepMarks = () => {
  for (const formula of document.querySelectorAll("article span.math:has(mjx-container)")) {
    const after = formula.nextSibling;
    const mark = after instanceof Text && /^[.,;:!?)’”]+/.exec(after.data)?.[0];
    if (!mark) continue;
    after.data = after.data.slice(mark.length);
    const whole = document.createElement("span");
    whole.className = "name";
    formula.before(whole);
    whole.append(formula, mark);
  }
};

// Code that scrolls can be reached by the keyboard. The theme decides it once, before all letters are there.
const reachCode = () => {
  for (const code of document.querySelectorAll("article pre"))
    if (code.scrollWidth > code.clientWidth || code.scrollHeight > code.clientHeight) code.tabIndex = 0;
};

const TABLES = "article table:not(.parts table)";
const fit = (tables) => {
  reachCode();
  fitFormulas();
  for (const table of document.querySelectorAll(tables)) {
    if (table.matches(".parted")) table.nextElementSibling.remove(); // its parts
    table.classList.remove("parted", ...STEPS);
    const room = table.parentElement.getBoundingClientRect().width + 1;
    const wide = () => table.checkVisibility() && table.getBoundingClientRect().width > room;
    for (const step of STEPS) if (wide()) table.classList.add(step);
    if (wide()) inParts(table, room);
  }
};
// Where a name of the code has to be broken, it is behind a dot, an underscore or a bracket rather than within a word;
// never within a number, nor behind the dot or the underscore that a name begins with.
const JOINT = /(?<=\S)\.(?=[A-Za-z_]|$)|(?<=\w)_(?=\w)|\((?![\d)'"])/g;
// Nor is the name of a network broken behind a hyphen in a sentence, or a power of ten, or a date.
const WHOLE = /(\b[A-Z]{2,}\d*(?:-\d+)+\b['’]?|\bFC10\([\d.]+e-\d+\)|\b\d+(?:-\d+){2}\b|\b[\d.]+e[-−]\d+)/;
const inOnePiece = (text) => {
  const parts = text.data.split(WHOLE); // what is kept whole has the odd places
  if (parts.length === 1) return;
  text.replaceWith(...parts.map((part, i) => {
    if (i % 2 === 0) return part;
    const whole = document.createElement("span");
    whole.className = "name";
    whole.textContent = part;
    return whole;
  }));
};
document.addEventListener("DOMContentLoaded", () => {
  for (const name of document.querySelectorAll("article :is(.pre, dl em), .indextable a, .bd-sidebar-secondary .pre")) {
    const short = name.textContent.length <= LONG;
    if (short && name.closest(".sig :is(.property, .default_value)")) name.classList.add("name"); // a value
    else if (!name.childElementCount && !name.closest(".sig-name, .sig-param")) name.innerHTML = name.innerHTML.replace(JOINT, "$&<wbr>");
  }
  for (const line of document.querySelectorAll("article :is(p, li, dd, figcaption, summary)")) {
    if (line.closest(".lab, .touch, .drawn, table")) continue;
    const texts = document.createTreeWalker(line, NodeFilter.SHOW_TEXT);
    const found = [];
    while (texts.nextNode()) found.push(texts.currentNode);
    for (const text of found) if (!text.parentElement.closest(".name, .math, pre, script, a[href^='http']")) inOnePiece(text);
  }
  for (const cell of document.querySelectorAll("article table :is(td, th)")) {
    if (!cell.childElementCount && cell.textContent.includes("e-"))
      cell.innerHTML = cell.innerHTML.replace(POWER, "<span class='name'>$&</span>");
  }
  for (const cell of document.querySelectorAll("article tbody :is(td, th)")) {
    const name = cell.textContent.trim();
    const short = cell.matches("th") && name.length <= SHORT;
    if ((short || NAME.test(name)) && !cell.closest(".lab, .touch")) cell.classList.add("name");
    // Nor is short code broken, or a name in a longer piece.
    const words = [];
    for (const code of cell.querySelectorAll("code")) {
      const text = code.textContent;
      words.push(...(text.length <= LONG ? [text] : text.split(/\s|(?<=\()/)));
    }
    if (words.length) cell.style.setProperty("--letters", Math.min(LONG, Math.max(...words.map((word) => word.length))));
  }
  // Cells whose ground says how large their number is: by night they are turned over as a plot is.
  for (const style of document.querySelectorAll("article .text_html > style")) {
    for (const rule of style.sheet?.cssRules ?? []) {
      if (!rule.style?.backgroundColor) continue;
      for (const cell of style.parentElement.querySelectorAll(rule.selectorText)) cell.classList.add("shaded");
    }
  }
});
const fitAll = () => fit(TABLES);
window.addEventListener("resize", fitAll);
window.addEventListener("load", () => {
  const waiting = document.documentElement.classList.contains("setting");
  fit(waiting ? `${TABLES}:not(:has(.math))` : TABLES);
});
document.addEventListener("toggle", fitAll, true);
document.addEventListener("click", (event) => {
  if (event.target.closest("button, summary, .toggle-hidden, .admonition-title")) setTimeout(fitAll, 50); // unfolded
});
