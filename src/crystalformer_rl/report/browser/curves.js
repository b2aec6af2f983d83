"use strict";
// Figures with curves (report/curves.py): pointing reads the values, dragging zooms in.
// The picture is the SVG of the file; zooming moves its lines and draws other ticks.

const inSvg = (tag, attributes) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};

const minus = (text) => text.replaceAll("-", "−");
const shown = (value, percent) => minus(percent ? `${+(100 * value).toPrecision(4)}\u202f%` : `${+value.toPrecision(5)}`);

// Round numbers between two limits, about five, with their texts; `least` is the smallest step.
function ticksBetween([low, high], { least = 0, percent = false } = {}) {
  const raw = (high - low) / 5, power = 10 ** Math.floor(Math.log10(raw));
  const step = Math.max(least, power * [1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999));
  const digits = Math.max(0, Math.ceil(-Math.log10(step * (percent ? 100 : 1)) - 1e-9));
  const long = digits > 5 || step >= 1e5;
  const write = (value) => (long && value ? (+value.toPrecision(3)).toExponential().replace("+", "") : value.toFixed(long ? 0 : digits));
  const ticks = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++)
    ticks.push([i * step, minus(percent ? `${write(100 * i * step)}\u202f%` : write(i * step))]);
  return ticks;
}

// One panel: places in points of the SVG, limits in its own units.
class Panel {
  constructor(svg, about, steps) {
    Object.assign(this, about);
    this.curves = about.curves.map((curve) => ({ ...curve, x: steps[curve.x] }));
    this.steps = [...new Set(this.curves.flatMap((curve) => curve.x))].sort((a, b) => a - b);
    this.whole = this.steps.every(Number.isInteger);
    this.full = { x: about.x, y: about.y };
    this.group = svg.getElementById(about.id);
    const parts = [...this.group.children];
    this.axes = parts.filter((part) => part.id.includes("matplotlib.axis"));
    this.grids = this.axes.map((axis) => axis.querySelector("[clip-path]") !== null);
    this.moving = parts.filter((part) => !this.axes.includes(part) && part.querySelector("[clip-path]")).map(movable);
    this.ticks = inSvg("g", { class: "ticks" });
    this.axes.at(-1).after(this.ticks);
  }

  get zoomed() {
    return this.x !== this.full.x;
  }

  along(value) {
    const [left, , right] = this.box;
    return left + ((value - this.x[0]) / (this.x[1] - this.x[0])) * (right - left);
  }

  up(value) {
    const [, top, , bottom] = this.box;
    return bottom - ((value - this.y[0]) / (this.y[1] - this.y[0])) * (bottom - top);
  }

  valueAt(place) {
    const [left, , right] = this.box;
    return this.x[0] + ((place - left) / (right - left)) * (this.x[1] - this.x[0]);
  }

  contains({ x, y }) {
    const [left, top, right, bottom] = this.box;
    return x >= left - 4 && x <= right + 4 && y >= top - 4 && y <= bottom + 4;
  }

  inside(limits = this.x) {
    return this.steps.filter((step) => step >= limits[0] && step <= limits[1]);
  }

  // The value of each curve at a step; a held curve keeps the value of the step before.
  read(step) {
    return this.curves.flatMap((curve) => {
      const place = curve.held ? curve.x.findLastIndex((x) => x <= step) : curve.x.indexOf(step);
      return place < 0 ? [] : [{ curve, value: curve.y[place] }];
    });
  }

  // Show the steps between two limits, with their values from bottom to top; without: all.
  show(limits) {
    if (!limits) [this.x, this.y] = [this.full.x, this.full.y];
    else if (this.inside(limits).length > 1) {
      this.x = limits;
      const within = (curve) => curve.y.filter((_, place) => curve.x[place] >= limits[0] && curve.x[place] <= limits[1]);
      const values = [...this.read(limits[0]).map(({ value }) => value), ...this.curves.flatMap(within)];
      const [low, high] = [Math.min(...values), Math.max(...values)];
      const room = 0.06 * (high - low) || 0.05 * Math.abs(high) || 1;
      this.y = [low - room, high + room];
    }
    const [left, top] = this.box, { x, y } = this.full;
    const wide = (x[1] - x[0]) / (this.x[1] - this.x[0]), tall = (y[1] - y[0]) / (this.y[1] - this.y[0]);
    const moved = { wide, tall, right: this.along(x[0]) - wide * left, down: this.up(y[1]) - tall * top };
    for (const part of this.moving) part(this.zoomed ? moved : { wide: 1, tall: 1, right: 0, down: 0 });
    this.drawTicks();
  }

  drawTicks() {
    for (const axis of this.axes)
      for (const part of axis.children)
        if (/-(xtick|ytick|offset)/.test(part.id)) part.style.display = this.zoomed ? "none" : "";
    this.ticks.replaceChildren();
    if (!this.zoomed) return;
    const [left, top, right, bottom] = this.box;
    for (const [value, text] of ticksBetween(this.x, { least: this.whole ? 1 : 0 }))
      this.drawTick(this.along(value), bottom, 0, 3.5, text, this.grids[0] && ["V", top]);
    for (const [value, text] of ticksBetween(this.y, { percent: this.percent }))
      this.drawTick(left, this.up(value), -3.5, 0, text, this.grids[1] && ["H", right]);
  }

  drawTick(x, y, right, down, text, grid) {
    if (grid) this.ticks.append(inSvg("path", { d: `M${x} ${y}${grid.join("")}`, class: "grid" }));
    this.ticks.append(inSvg("path", { d: `M${x} ${y}l${right} ${down}` }));
    const place = down ? { x, y: y + 13, "text-anchor": "middle" } : { x: x - 7, y: y + 3, "text-anchor": "end" };
    this.ticks.append(Object.assign(inSvg("text", place), { textContent: text }));
  }
}

// What moves a part of a picture: the points of a path, the places of its marks, or a whole area.
function movable(part) {
  const clipped = [...part.querySelectorAll("[clip-path]")];
  part.setAttribute("clip-path", clipped[0].getAttribute("clip-path")); // it must not move with the part
  for (const one of clipped) one.removeAttribute("clip-path");
  const uses = [...part.querySelectorAll("use")];
  if (part.id.includes("Collection"))
    return ({ wide, tall, right, down }) =>
      uses.forEach((use) => use.setAttribute("transform", `matrix(${wide} 0 0 ${tall} ${right} ${down})`));
  const paths = [...part.querySelectorAll("path")].filter((path) => !path.closest("defs")).map((path) => [path, path.getAttribute("d")]);
  const marks = uses.map((use) => [use, Number(use.getAttribute("x")), Number(use.getAttribute("y"))]);
  return ({ wide, tall, right, down }) => {
    for (const [path, points] of paths)
      path.setAttribute("d", points.replace(/(-?[\d.]+) (-?[\d.]+)/g, (_, x, y) => `${wide * x + right} ${tall * y + down}`));
    for (const [use, x, y] of marks) {
      use.setAttribute("x", wide * x + right);
      use.setAttribute("y", tall * y + down);
    }
  };
}

// A figure: what the pointer and the keys do, and the box with the values.
class CurveFigure {
  constructor(figure) {
    const data = JSON.parse(figure.querySelector("script.curves").textContent);
    this.figure = figure;
    this.svg = figure.querySelector("svg");
    this.panels = data.panels.map((about) => new Panel(this.svg, about, data.x));
    this.tip = make("div", { className: "tip", role: "status", hidden: true });
    this.reset = make("button", { type: "button", className: "reset", textContent: "Show all", hidden: true });
    this.marks = inSvg("g", { class: "marks" });
    this.svg.append(this.marks);
    this.svg.after(this.tip, this.reset);
    figure.classList.add("pointed");
    this.svg.setAttribute("tabindex", "0");
    this.svg.setAttribute("role", "application");
    this.svg.ariaLabel += ". Left and right read the values, up and down change the panel, plus and minus zoom, Escape shows all.";
    const on = (name, act) => this.svg.addEventListener(name, act);
    on("pointermove", (event) => this.moved(event));
    on("pointerdown", (event) => this.pressed(event));
    on("pointerup", (event) => this.released(event));
    on("pointercancel", () => this.cancel());
    on("pointerleave", (event) => event.pointerType === "mouse" && this.leave());
    on("blur", () => this.leave());
    on("dblclick", () => this.zoom(null));
    on("keydown", (event) => this.key(event));
    this.reset.addEventListener("click", () => this.zoom(null));
    addEventListener("beforeprint", () => this.zoom(null));
  }

  placeOf(event) {
    return new DOMPoint(event.clientX, event.clientY).matrixTransform(this.svg.getScreenCTM().inverse());
  }

  moved(event) {
    const place = this.placeOf(event);
    if (this.start) return this.select(place);
    const panel = this.panels.find((one) => one.contains(place));
    if (!panel) return this.leave();
    const wanted = panel.valueAt(place.x);
    this.point(panel, panel.inside().reduce((best, step) => (Math.abs(step - wanted) < Math.abs(best - wanted) ? step : best)));
  }

  pressed(event) {
    this.moved(event);
    if (event.button !== 0 || !this.panel) return;
    this.start = this.placeOf(event);
    this.svg.setPointerCapture(event.pointerId);
  }

  // While the button is down: the steps that will be shown.
  select(place) {
    const { box } = this.panel, [from, to] = [this.start.x, place.x].map((x) => Math.min(Math.max(x, box[0]), box[2])).sort((a, b) => a - b);
    this.selected = to - from > 6 ? [from, to] : null;
    this.marks.replaceChildren(inSvg("rect", { x: from, y: box[1], width: to - from, height: box[3] - box[1] }));
  }

  released(event) {
    const limits = this.selected?.map((x) => this.panel.valueAt(x));
    this.start = this.selected = null;
    if (limits) this.zoom(limits);
    this.moved(event);
  }

  // The browser took the pointer, to scroll.
  cancel() {
    this.start = this.selected = null;
    this.leave();
  }

  key(event) {
    const act = {
      ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1),
      ArrowUp: () => this.change(-1), ArrowDown: () => this.change(1),
      "+": () => this.scale(0.5), "=": () => this.scale(0.5), "-": () => this.scale(2),
      Escape: () => this.zoom(null),
    }[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  }

  step(by) {
    const panel = this.panel ?? this.panels[0], steps = panel.inside();
    const next = this.panel ? steps.indexOf(this.at) + by : 0;
    this.point(panel, steps[Math.min(Math.max(next, 0), steps.length - 1)]);
  }

  change(by) {
    const panel = this.panels[this.panels.indexOf(this.panel) + by];
    if (panel) this.point(panel, panel.inside().includes(this.at) ? this.at : panel.inside()[0]);
  }

  scale(by) {
    if (!this.panel) this.step(0);
    const { panel, at } = this, [low, high] = panel.x, [first, last] = panel.full.x;
    const limits = [Math.max(at - (at - low) * by, first), Math.min(at + (high - at) * by, last)];
    this.zoom(limits[1] - limits[0] < 0.999 * (last - first) ? limits : null);
    this.point(panel, at);
  }

  // Panels along the same steps zoom together.
  zoom(limits) {
    const { panel } = this;
    const same = (one) => one.label === panel.label && String(one.full.x) === String(panel.full.x);
    for (const one of limits ? this.panels.filter(same) : this.panels) one.show(limits);
    this.reset.hidden = !this.panels.some((one) => one.zoomed);
    this.leave();
  }

  point(panel, at) {
    [this.panel, this.at] = [panel, at];
    const [, top, , bottom] = panel.box, x = panel.along(at), found = panel.read(at);
    this.marks.replaceChildren(inSvg("path", { d: `M${x} ${top}V${bottom}` }));
    for (const { curve, value } of found) this.marks.append(inSvg("circle", { cx: x, cy: panel.up(value), r: 2.6, fill: curve.colour }));
    this.tip.replaceChildren(
      make("b", {}, [panel.title, `${panel.label} ${shown(at)}`].filter(Boolean).join(", ")),
      ...found.map(({ curve, value }) => {
        const dot = make("i", { className: "dot" });
        dot.style.background = curve.colour;
        return make("span", {}, dot, `${curve.name} `, make("b", {}, shown(value, panel.percent)));
      }),
      ...(panel.zoomed ? [] : [make("small", {}, "drag to zoom")]));
    this.tip.hidden = false;
    const size = this.svg.getBoundingClientRect(), scale = size.width / this.svg.viewBox.baseVal.width;
    const room = size.width - this.tip.offsetWidth, place = x * scale;
    const side = place + 12 <= room ? place + 12 : place - 12 - this.tip.offsetWidth;
    this.tip.style.left = `${Math.min(Math.max(side, 0), room)}px`;
    this.tip.style.top = `${size.width < 480 ? size.height : top * scale}px`; // a finger hides what is under it
  }

  leave() {
    if (this.start) return;
    this.panel = null;
    this.marks.replaceChildren();
    this.tip.hidden = true;
  }
}

for (const numbers of document.querySelectorAll("script.curves")) new CurveFigure(numbers.closest("figure"));
