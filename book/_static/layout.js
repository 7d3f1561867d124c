// On a narrow screen the lettering of a figure is small: touched, a figure opens at the size it was drawn for.
document.addEventListener("DOMContentLoaded", () => {
  const INCH = 96; // figures are drawn with 200 pixels to the inch, letters 8 points high
  const dialog = document.createElement("dialog");
  dialog.className = "larger";
  dialog.setAttribute("aria-label", "Enlarged figure");
  const close = document.createElement("button");
  close.textContent = "Close";
  close.addEventListener("click", () => dialog.close());
  const shown = document.createElement("img");
  dialog.append(close, shown);
  document.body.append(dialog);

  for (const picture of document.querySelectorAll("article figure img:not(.twins img)")) {
    const button = document.createElement("button");
    button.className = "larger";
    button.type = "button";
    button.setAttribute("aria-label", `Enlarge: ${picture.alt}`);
    picture.replaceWith(button);
    button.append(picture);
    const hint = document.createElement("p");
    hint.className = "larger-hint";
    hint.textContent = "Touch the figure to enlarge it.";
    button.after(hint);
    button.addEventListener("click", () => {
      shown.src = picture.src;
      shown.alt = picture.alt;
      shown.style.width = `${Math.max((picture.naturalWidth / 200) * INCH * 1.1, window.innerWidth)}px`;
      dialog.showModal();
    });
  }
});

// A table that is wider than the page has room for gets smaller letters, step by step, never below 9 pixels.
const fit = () => {
  for (const table of document.querySelectorAll("article table")) {
    table.classList.remove("tight", "tighter", "tightest");
    const room = () => table.parentElement.closest(":not(table *)").getBoundingClientRect().width + 1;
    for (const step of ["tight", "tighter", "tightest"]) {
      if (!table.checkVisibility() || table.getBoundingClientRect().width <= room()) break;
      table.classList.add(step);
    }
  }
};
for (const event of ["load", "resize"]) window.addEventListener(event, fit);
document.addEventListener("toggle", fit, true);
document.addEventListener("click", () => setTimeout(fit, 50)); // what a button has unfolded
