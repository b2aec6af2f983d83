"use strict";
// The convex hull of a chemical system that the reader chooses, with the finds (report/hulls.py).

const SIDE = Math.sqrt(3) / 2; // height of a triangle whose sides are 1
const LETTER = 6.3, LINE = 14; // room of a letter and of a line of a label, pixels
const STAR = Array.from({ length: 10 }, (_, i) => {
  const [radius, angle] = [i % 2 ? 3.6 : 8.5, (i * Math.PI) / 5];
  return `${(radius * Math.sin(angle)).toFixed(2)},${(-radius * Math.cos(angle)).toFixed(2)}`;
}).join(" ");

// An element of SVG; its tooltip is a child.
function mark(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const signed = (value, digits) => value.toFixed(digits).replace("-", "−");
const fractionsOf = (amounts) => amounts.map((amount) => amount / amounts.reduce((sum, one) => sum + one, 0));

// The frame of a binary system, energy against composition, and where a phase is in it.
function binaryFrame({ elements, phases, finds }, width) {
  const height = 330, [left, right, top, bottom] = [58, 24, 22, 44];
  const energies = [...phases.map((one) => one[3]), ...finds.map((one) => one[2])];
  const [low, high] = [Math.min(...energies), Math.max(...energies)];
  const room = 0.06 * Math.max(10, high - low), [floor, ceiling] = [low - room, high + room];
  const x = (f) => left + f * (width - left - right), y = (e) => top + ((ceiling - e) / (ceiling - floor)) * (height - top - bottom);
  const step = [10, 20, 50, 100, 200, 500, 1000, 2000].find((one) => (ceiling - floor) / one <= 6) ?? 5000;
  const parts = [];
  for (let e = Math.ceil(floor / step) * step; e <= ceiling; e += step) parts.push(
    mark("path", { d: `M${left} ${y(e)}H${width - right}`, stroke: "var(--grid)" }),
    mark("text", { x: left - 8, y: y(e) + 4, "text-anchor": "end" }, signed(e / 1000, step < 100 ? 2 : 1)));
  for (const f of [0, 0.25, 0.5, 0.75, 1])
    parts.push(mark("text", { x: x(f), y: height - bottom + 18, "text-anchor": "middle" }, String(f)));
  parts.push(
    mark("text", { x: (left + width - right) / 2, y: height - 8, "text-anchor": "middle" }, `fraction of ${elements[1]}`),
    mark("text", { x: left, y: 12 }, "formation energy (eV/atom)"));
  return { height, parts, at: (amounts, energy) => [x(fractionsOf(amounts)[1]), y(energy)] };
}

// The frame of a ternary system: a triangle.
function ternaryFrame(width) {
  const side = Math.min(width - 90, 540), left = (width - side) / 2, top = 26;
  const at = (amounts) => {
    const [, b, c] = fractionsOf(amounts);
    return [left + side * (b + c / 2), top + side * SIDE * (1 - c)];
  };
  return { height: side * SIDE + 2 * top, parts: [], at };
}

// Texts next to points, where there is room; the others are in the tooltips only.
function labels(words, width) {
  const taken = words.map(({ x, y }) => [x - 5, y - 5, x + 5, y + 5]);
  return words.flatMap(({ x, y, text }) => {
    const length = LETTER * text.length;
    for (const [dx, dy] of [[9, 0], [-9 - length, 0], [-length / 2, -15], [-length / 2, 15]]) {
      const box = [x + dx, y + dy - LINE / 2, x + dx + length, y + dy + LINE / 2];
      const free = box[0] >= 0 && box[2] <= width && !taken.some((one) => box[0] < one[2] && one[0] < box[2] && box[1] < one[3] && one[1] < box[3]);
      if (!free) continue;
      taken.push(box);
      return [mark("text", { x: x + dx, y: y + dy + 4 }, ...subscripted(text))];
    }
    return [];
  });
}

// A formula, perhaps with an energy after a space, with the numbers of the formula lowered.
function subscripted(text) {
  const [formula, ...rest] = text.split(" ");
  const parts = formula.split(/([0-9.]+)/).filter(Boolean);
  let lowered = false;
  const spans = [...parts, ...(rest.length ? [` ${rest.join(" ")}`] : [])].map((part) => {
    const low = /^[0-9.]/.test(part);
    const span = mark("tspan", { dy: low === lowered ? 0 : low ? 3 : -3, "font-size": low ? "0.8em" : "1em" }, part);
    lowered = low;
    return span;
  });
  return spans;
}

class HullFigure {
  constructor(systems, data, dialog) {
    [this.systems, this.data, this.dialog] = [systems, data, dialog];
    this.root = document.getElementById("hull-of-system");
    this.figure = this.root.querySelector("figure");
    this.choice = this.root.querySelector("select");
    this.choice.append(...systems.map((one, place) =>
      make("option", { value: place }, `${one.elements.join("–")} (${one.finds.length} ${one.finds.length === 1 ? "find" : "finds"})`)));
    this.choice.addEventListener("change", () => this.show(systems[this.choice.value]));
    this.root.querySelector(".choice").hidden = this.root.querySelector(".scroll").hidden = false;
    // Texts keep their size when the window is another.
    addEventListener("resize", () => this.show(this.system));
    this.choice.value = 0;
    this.show(systems[0]);
  }

  show(system) {
    this.system = system;
    this.figure.querySelector("svg").replaceWith(this.drawing(system));
    this.root.querySelector("tbody").replaceChildren(...system.finds.map((find) => this.line(system, find)));
  }

  open(system, row) {
    this.dialog.open(row, system.finds.map((find) => find[0]));
  }

  valueOf(name, row) {
    const column = this.data.column[name];
    return column ? valueOf(column, row) : null;
  }

  drawing(system) {
    const width = Math.max(300, Math.min(720, this.figure.clientWidth)), { elements, phases, lines, finds } = system;
    const { height, parts, at } = elements.length === 3 ? ternaryFrame(width) : binaryFrame(system, width);
    const words = [];
    const places = phases.map(([, amounts, , energy]) => at(amounts, energy));
    for (const [i, j] of lines) parts.push(mark("path", { d: `M${places[i]}L${places[j]}`, stroke: "currentColor", "stroke-width": 1 }));
    phases.forEach(([formula, , id, energy, above], place) => {
      const [x, y] = places[place], stable = above === 0;
      const where = stable ? "on the hull" : `${signed(above / 1000, 3)} eV/atom above the hull`;
      const about = mark("title", {}, `${formula}${id ? ` (${id})` : ""}: ${where}, formation energy ${signed(energy / 1000, 3)} eV/atom`);
      const look = stable ? { r: 4.5, fill: "currentColor" } : { r: 3.5, fill: "var(--page)", stroke: "var(--faint)" };
      parts.push(mark("circle", { cx: x, cy: y, ...look }, about));
      if (stable) words.push({ x, y, text: formula });
    });
    for (const [row, amounts, energy] of [...finds].reverse()) {
      const [x, y] = at(amounts, energy), sun = this.isSun(row), colour = this.data.colours[this.valueOf("policy", row)];
      const about = mark("title", {}, `${this.valueOf("formula", row)} of ${this.valueOf("policy", row)}: ${signed(this.valueOf("e_above_hull", row), 3)} eV/atom above the hull`);
      const look = sun ? mark("polygon", { points: STAR, fill: colour, stroke: "currentColor", "stroke-width": 0.6 })
        : mark("circle", { r: 6, fill: "#0000", stroke: colour, "stroke-width": 2 });
      const find = mark("g", { class: "find", transform: `translate(${x} ${y})` }, about, look);
      find.addEventListener("click", () => this.open(system, row));
      parts.push(find);
    }
    for (const [row, amounts, energy] of finds) {
      const [x, y] = at(amounts, energy), above = 1000 * this.valueOf("e_above_hull", row);
      words.push({ x, y, text: `${this.valueOf("formula", row)} ${above < 0 ? "" : "+"}${signed(above, 0)} meV` });
    }
    const about = `Convex hull of ${elements.join("–")} with ${finds.length} finds, which the table below lists`;
    return mark("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": about }, ...parts, ...labels(words, width));
  }

  isSun(row) {
    return Boolean(this.data.passed[row] & (this.data.bit.sun ?? 0));
  }

  line(system, [row, , , rivals]) {
    const open = make("button", { type: "button" }, formulaOf(this.valueOf("formula", row)));
    open.addEventListener("click", () => this.open(system, row));
    const policy = this.valueOf("policy", row), dot = make("i", { className: "dot" });
    dot.style.background = this.data.colours[policy];
    const others = rivals.flatMap((place, i) => [i ? " + " : "", formulaOf(system.phases[place][0])]);
    const above = signed(this.valueOf("e_above_hull", row), 3);
    return make("tr", {}, make("th", { scope: "row" }, open), make("td", {}, dot, policy),
      make("td", {}, this.isSun(row) ? "S.U.N." : "stable"), make("td", {}, above), make("td", {}, ...others));
  }
}
