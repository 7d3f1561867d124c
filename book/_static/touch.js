// Figures that a reader touches: all that one can show stands in the page as a list of states. A slider chooses one by
// its place, a button by its number; a button with data-hover also when it is pointed at or reached by the keyboard.
for (const figure of document.querySelectorAll(".touch")) {
  const states = JSON.parse(figure.querySelector("script").textContent);
  const columns = 16; // tiles in a row of the sheet
  const say = figure.querySelector(".touch-say");
  const tiles = [...figure.querySelectorAll(".touch-tile")];
  const slider = figure.querySelector("input");

  const show = (number) => {
    const state = states[number];
    if (say.textContent !== state.say) say.textContent = state.say; // said again, it would be announced again
    [...say.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).forEach(inOnePiece); // see layout.js
    tiles.forEach((tile, i) => {
      tile.style.setProperty("--column", state.tiles[i] % columns);
      tile.style.setProperty("--row", Math.floor(state.tiles[i] / columns));
      tile.setAttribute("aria-label", state.captions[i]);
      tile.nextElementSibling.textContent = state.captions[i];
    });
    for (const line of figure.querySelectorAll(".touch-line")) line.style.setProperty("--place", state.place);
    for (const button of figure.querySelectorAll("[data-state]")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.state) === number));
    }
    slider?.setAttribute("aria-valuetext", state.say);
  };

  // Asked of the figure and not of each button: a table that is shown in parts has copies of its buttons.
  const chosen = (event) => {
    const button = event.target.closest("[data-state]");
    if (button && (event.type === "click" || "hover" in button.dataset)) show(Number(button.dataset.state));
  };
  for (const event of ["click", "focusin", "pointerover"]) figure.addEventListener(event, chosen);
  slider?.addEventListener("input", () => show(Number(slider.value)));
  show(slider ? Number(slider.value) : states.findIndex((state) => state.say === say.textContent));
  figure.classList.add("touch-ready");
}
