// What is wrong with the layout of a page as it stands: run in the browser by test_site.py.
const wrong = [];
const width = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth > width) wrong.push(`the page is ${document.documentElement.scrollWidth} wide`);
const shown = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
const words = (element) => [...element.childNodes].filter((node) => node.nodeType === 3 && node.data.trim());
const article = document.querySelector("article");
for (const wide of article.querySelectorAll("table, img")) {
  if (shown(wide) && wide.getBoundingClientRect().right > article.getBoundingClientRect().right + 1) {
    wrong.push(`${wide.tagName} is cut: ${(wide.alt || wide.textContent).trim().slice(0, 60)}`);
  }
}
// Relative luminance and contrast as in WCAG 2.
const luminance = (colour) => {
  const [r, g, b] = colour.map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const parsed = (text) => {
  const numbers = text.match(/[\d.]+/g).map(Number);
  return [numbers.slice(0, 3), numbers.length > 3 ? numbers[3] : 1];
};
const over = (top, opacity, below) => top.map((value, i) => opacity * value + (1 - opacity) * below[i]);
// A link among other words is told from them by more than a slight difference of colour.
const differs = (link, around) => {
  const [a, b] = [link, around].map((element) => getComputedStyle(element));
  const lined = a.textDecorationLine.includes("underline") || parseFloat(a.borderBottomWidth) > 0;
  if (lined || a.backgroundColor !== "rgba(0, 0, 0, 0)") return true;
  if (["fontWeight", "fontStyle", "fontFamily", "fontSize"].some((name) => a[name] !== b[name])) return true;
  const [one, other] = [a, b].map((style) => luminance(parsed(style.color)[0]));
  return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05) >= 3;
};
for (const link of article.querySelectorAll("a[href]")) {
  let around = link.parentElement;
  while (!words(around).length && getComputedStyle(around).display === "inline") around = around.parentElement;
  if (!link.textContent.trim() || !words(around).length || !shown(link)) continue;
  if (![link, ...link.querySelectorAll("*")].some((part) => differs(part, around))) {
    wrong.push(`a link that looks like text: ${link.textContent.trim().slice(0, 40)}`);
  }
}
const grounds = new Map([[null, [255, 255, 255]]]); // what lies behind an element is asked for by all that it holds
const ground = (element) => {
  if (!grounds.has(element)) {
    const [colour, opacity] = parsed(getComputedStyle(element).backgroundColor);
    grounds.set(element, over(colour, opacity, ground(element.parentElement)));
  }
  return grounds.get(element);
};
for (const element of article.querySelectorAll("*")) {
  if (!words(element).length || !shown(element) || element.closest("mjx-container, svg, .twins-row")) continue;
  const style = getComputedStyle(element);
  const size = parseFloat(style.fontSize);
  const text = words(element)[0].data.trim().slice(0, 40);
  if (size < 9) wrong.push(`letters of ${size} px: ${text}`);
  const below = ground(element);
  const [colour, opacity] = parsed(style.color);
  const [light, dark] = [luminance(over(colour, opacity, below)), luminance(below)].sort((a, b) => b - a);
  const contrast = (light + 0.05) / (dark + 0.05);
  const large = size >= 24 || (size >= 18.66 && parseInt(style.fontWeight) >= 700);
  if (contrast < (large ? 3 : 4.5)) wrong.push(`contrast ${contrast.toFixed(1)}: ${text}`);
}
return wrong;
