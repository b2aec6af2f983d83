"use strict";
// One crystal: a dialog with its picture in three dimensions, beside it the nearest known crystal,
// its numbers and its CIF.

const BOND = 1.15; // longest bond over the sum of the covalent radii, as in the still pictures
const SPHERE = 0.42; // drawn radius over covalent radius
const STILL = matchMedia("(prefers-reduced-motion: reduce)");

// Rows a, b, c (Å): c upwards on the screen (y), a to the right.
function cellVectors([a, b, c, alpha, beta, gamma]) {
  const [ca, cb, cg] = [alpha, beta, gamma].map((angle) => Math.cos((angle * Math.PI) / 180));
  const sb = Math.sin((beta * Math.PI) / 180);
  const along = (cg - ca * cb) / sb;
  const depth = Math.sqrt(Math.max(0, 1 - ca * ca - along * along));
  return [[a * sb, a * cb, 0], [b * along, b * ca, -b * depth], [0, c, 0]];
}

function pointAt(vectors, [x, y, z]) {
  return [0, 1, 2].map((i) => x * vectors[0][i] + y * vectors[1][i] + z * vectors[2][i]);
}

// The atoms of the conventional cell; those on its border are repeated on the opposite one.
function atomsOf(crystal, steps) {
  const atoms = [];
  for (let i = 0; i < crystal.atoms.length; i += 4) {
    const [number, ...place] = crystal.atoms.slice(i, i + 4);
    const ends = place.map((p) => {
      const f = p / steps;
      if (f < 1e-3) return [f, f + 1];
      return f > 1 - 1e-3 ? [f - 1, f] : [f];
    });
    for (const x of ends[0]) for (const y of ends[1]) for (const z of ends[2]) atoms.push({ number, at: [x, y, z] });
  }
  return atoms;
}

// The atoms as 3Dmol.js wants them, with the bonds of the still pictures: none between metals.
function modelOf(crystal, data) {
  const vectors = cellVectors(crystal.cell);
  const atoms = atomsOf(crystal, data.steps).map(({ number, at }, index) => {
    const [x, y, z] = pointAt(vectors, at);
    return { elem: data.elements[number].symbol, number, x, y, z, serial: index, index, bonds: [], bondOrder: [] };
  });
  for (let i = 0; i < atoms.length; i++) {
    for (let j = i + 1; j < atoms.length; j++) {
      const [p, q] = [atoms[i], atoms[j]], [one, two] = [data.elements[p.number], data.elements[q.number]];
      const gap = Math.hypot(p.x - q.x, p.y - q.y, p.z - q.z);
      if ((one.metal && two.metal) || gap < 0.4 || gap > BOND * (one.radius + two.radius)) continue;
      for (const [from, to] of [[p, j], [q, i]]) {
        from.bonds.push(to);
        from.bondOrder.push(1);
      }
    }
  }
  return atoms;
}

function drawn(viewer, crystal, data) {
  viewer.removeAllModels();
  viewer.removeAllShapes();
  viewer.removeAllLabels();
  viewer.addModel().addAtoms(modelOf(crystal, data));
  for (const { symbol, colour, radius } of Object.values(data.elements)) {
    const shape = { sphere: { radius: SPHERE * radius, color: colour }, stick: { radius: 0.1, color: colour } };
    viewer.setStyle({ elem: symbol }, shape);
  }
  const vectors = cellVectors(crystal.cell);
  const point = (...at) => Object.fromEntries(["x", "y", "z"].map((name, i) => [name, pointAt(vectors, at)[i]]));
  const tone = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();
  const ink = tone("--soft");
  viewer.setBackgroundColor(tone("--page"));
  for (const i of [0, 1]) for (const j of [0, 1]) for (const [a, b] of [
    [[0, i, j], [1, i, j]], [[i, 0, j], [i, 1, j]], [[i, j, 0], [i, j, 1]],
  ]) viewer.addCylinder({ start: point(...a), end: point(...b), radius: 0.03, color: ink });
  [["a", 1.1, 0, 0], ["b", 0, 1.1, 0], ["c", 0, 0, 1.1]].forEach(([name, ...at]) =>
    viewer.addLabel(name, { position: point(...at), fontColor: ink, fontSize: 32, backgroundOpacity: 0, inFront: true }));
  facing(viewer, "start");
}

// Turn the crystal to face the reader: from a little above and aside, or along an axis.
function facing(viewer, axis) {
  viewer.setView([0, 0, 0, 0, 0, 0, 0, 1]);
  viewer.zoomTo();
  if (axis === "start") viewer.rotate(-18, "y").rotate(13, "x");
  if (axis === "a") viewer.rotate(-90, "y");
  if (axis === "c") viewer.rotate(90, "x");
  const { clientWidth, clientHeight } = viewer.getCanvas();
  viewer.zoom(0.88 * Math.min(1, clientWidth / clientHeight)); // zoomTo fits the height only
  viewer.render();
}

// The crystal as CIF with all atoms of the conventional cell, in P 1.
function cifOf(crystal, data, name) {
  const names = ["length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"];
  const cell = names.map((word, i) => `_cell_${word} ${crystal.cell[i]}`);
  const atoms = [];
  for (let i = 0; i < crystal.atoms.length; i += 4) {
    const symbol = data.elements[crystal.atoms[i]].symbol;
    const place = crystal.atoms.slice(i + 1, i + 4).map((p) => (p / data.steps).toFixed(5));
    atoms.push(`${symbol}${i / 4 + 1} ${symbol} ${place.join(" ")}`);
  }
  const found = crystal.group === null ? "" : `# space group ${data.groups[crystal.group]}; all atoms of its conventional cell are listed\n`;
  const columns = ["label", "type_symbol", "fract_x", "fract_y", "fract_z"].map((word) => `_atom_site_${word}`);
  return `${found}data_${name.replace(/[^\w.-]/g, "_")}\n${cell.join("\n")}\n_space_group_name_H-M_alt 'P 1'\n_space_group_IT_number 1\nloop_\n_space_group_symop_operation_xyz\n'x, y, z'\nloop_\n${columns.join("\n")}\n${atoms.join("\n")}\n`;
}

function wyckoffTable(crystal, data) {
  const head = make("tr", {}, ...["site", "element", "x", "y", "z"].map((word) => make("th", { scope: "col" }, word)));
  const rows = crystal.sites.map(([site, number, ...xyz]) => {
    const { symbol, colour } = data.elements[number];
    const dot = make("i", { className: "dot" });
    dot.style.background = colour;
    const cells = xyz.map((f) => make("td", {}, f.toFixed(4)));
    return make("tr", {}, make("th", { scope: "row" }, site), make("td", {}, dot, symbol), ...cells);
  });
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows));
}

// Terms and values of a row, without those that the row has not.
function factsOf(data, row) {
  const list = make("dl");
  const skipped = new Set(["id", "formula", "band_gap_std", "dielectric_std", "potential", "judge_potential"]);
  const by = { energy_final: "potential", judge_energy: "judge_potential" };
  for (const column of data.columns) {
    if (skipped.has(column.name) || valueOf(column, row) === null) continue;
    const spread = data.column[`${column.name}_std`], whose = data.column[by[column.name]];
    let text = textOf(data, column, row);
    if (spread && valueOf(spread, row) !== null) text += ` ± ${textOf(data, spread, row)}`;
    if (column.unit) text += ` ${column.unit}`;
    const title = whose ? `energy by ${textOf(data, whose, row)}` : column.title.replace("E_hull", "energy above hull");
    list.append(make("dt", { title: column.meaning }, title), make("dd", {}, text));
  }
  return list;
}

// The known crystal that a row matches, else the one that is nearest to it; null if there is none.
function neighbourOf(data, row) {
  const known = data.known[data.beside[row]];
  if (!known) return null;
  const value = (name) => (data.column[name] ? valueOf(data.column[name], row) : null);
  const matched = value("matched_id") === known.id;
  return { ...known, matched, distance: value("nearest_known_id") === known.id ? value("nearest_known") : null };
}

// Terms and values of a known crystal.
function knownFacts(data, known) {
  const facts = [["id", known.id], ["formula", formulaOf(known.formula)]];
  if (known.group !== null) facts.push(["space group", data.groups[known.group]]);
  if (known.distance !== null) facts.push(["AMD distance", `${known.distance.toFixed(3)} Å`]);
  known.labels.forEach((value, place) => {
    const [title, unit, digits] = data.labels[place];
    if (value !== null) facts.push([title, `${value.toFixed(digits).replace("-", "−")} ${unit}`]);
  });
  return make("dl", {}, ...facts.flatMap(([term, value]) => [make("dt", {}, term), make("dd", {}, value)]));
}

// Turn pictures together; each keeps its own centre and zoom.
function linked(...viewers) {
  let turning = false;
  for (const one of viewers) one.setViewChangeCallback((view) => {
    if (turning) return;
    turning = true;
    for (const other of viewers) if (other !== one) other.setView([...other.getView().slice(0, 4), ...view.slice(4, 8)]);
    turning = false;
  });
}

class CrystalDialog {
  constructor(data) {
    this.data = data;
    this.dialog = document.getElementById("crystal");
    this.part = (name) => this.dialog.querySelector(`.${name}`);
    this.part("close").addEventListener("click", () => this.dialog.close());
    this.part("cif").addEventListener("click", () => this.save());
    this.part("before").addEventListener("click", () => this.step(-1));
    this.part("after").addEventListener("click", () => this.step(1));
    this.part("spin").addEventListener("click", () => this.spin(!this.spinning));
    for (const button of this.dialog.querySelectorAll("[data-facing]"))
      button.addEventListener("click", () => this.viewer && this.face(button.dataset.facing));
    this.dialog.addEventListener("keydown", (event) => this.pressed(event));
    this.dialog.addEventListener("close", () => this.spin(false));
  }

  // Show a row; `rows` are those that the buttons step through.
  async open(row, rows) {
    [this.row, this.rows] = [row, rows];
    if (!this.dialog.open) this.dialog.showModal();
    this.fill();
    await this.draw();
  }

  fill() {
    const { data, row } = this, crystal = data.crystals[row];
    const formula = data.column.formula && valueOf(data.column.formula, row);
    this.name = valueOf(data.column.id, row);
    this.part("title").replaceChildren(formula ? formulaOf(formula) : "not decoded", make("small", {}, this.name));
    const passed = data.flags.filter((flag) => data.passed[row] & data.bit[flag.name]);
    this.part("flags").replaceChildren(...passed.map((flag) => make("span", { title: flag.meaning }, flag.title)));
    this.part("facts").replaceChildren(factsOf(data, row));
    this.known = neighbourOf(data, row);
    this.part("known").hidden = !this.known;
    if (this.known) {
      const kind = this.known.matched ? "Matched known crystal" : "Nearest known crystal";
      this.part("facts").append(make("h4", {}, kind), knownFacts(data, this.known));
      this.part("known figcaption").replaceChildren(`${this.known.matched ? "matches" : "nearest known:"} ${this.known.id}, `, formulaOf(this.known.formula));
    }
    this.part("sites").replaceChildren(
      ...(crystal?.sites.length ? [make("h4", {}, `Wyckoff positions, ${data.groups[crystal.group]}`), wyckoffTable(crystal, data)] : []));
    this.part("cif").disabled = !crystal;
    const place = this.rows.indexOf(row);
    this.part("before").disabled = place <= 0;
    this.part("after").disabled = place < 0 || place >= this.rows.length - 1;
  }

  async draw() {
    const crystal = this.data.crystals[this.row];
    const listed = this.row < this.data.crystals.length;
    this.say(crystal ? "" : listed ? "There is no crystal to draw: the tokens could not be decoded."
      : `The page holds the atoms of the first ${this.data.crystals.length} structures. Those of this one are in structures.parquet of the evaluation.`);
    if (crystal) await this.start();
    if (!this.viewer || !crystal) return;
    for (const [viewer, shown] of [[this.viewer, crystal], [this.beside, this.known]]) {
      if (!shown) continue;
      viewer.resize();
      drawn(viewer, shown, this.data);
    }
  }

  face(axis) {
    facing(this.viewer, axis);
    if (this.known) facing(this.beside, axis);
  }

  // Load 3Dmol.js and make the viewer, once.
  async start() {
    if (this.viewer) return;
    if (!window.$3Dmol) document.head.append(make("script", { textContent: await unpacked("viewer") }));
    try {
      [this.viewer, this.beside] = ["view", "known .view"].map((name) =>
        $3Dmol.createViewer(this.part(name), { antialias: true, disableFog: true }));
      if (this.viewer) linked(this.viewer, this.beside);
    } catch (error) {
      this.say(`This browser cannot draw in three dimensions (${error.message}). The CIF can be saved.`);
    }
    if (this.viewer === null) this.say("This browser has no WebGL, which the picture needs. The CIF can be saved.");
  }

  say(text) {
    this.part("remark").textContent = text;
    this.part("views").hidden = Boolean(text);
  }

  spin(on) {
    this.spinning = on && !STILL.matches;
    this.viewer?.spin(this.spinning ? "y" : false);
    this.part("spin").setAttribute("aria-pressed", this.spinning);
  }

  step(by) {
    const next = this.rows[this.rows.indexOf(this.row) + by];
    if (next !== undefined) this.open(next, this.rows);
  }

  save() {
    saved(`${this.name}.cif`, cifOf(this.data.crystals[this.row], this.data, this.name));
  }

  // Arrow keys turn the picture when it has the focus; page keys step through the rows.
  pressed(event) {
    const turns = { ArrowLeft: [-10, "y"], ArrowRight: [10, "y"], ArrowUp: [-10, "x"], ArrowDown: [10, "x"] };
    const steps = { PageUp: -1, PageDown: 1 };
    if (turns[event.key] && event.target === this.part("view") && this.viewer) {
      this.viewer.rotate(...turns[event.key]);
      event.preventDefault();
    } else if (steps[event.key]) {
      this.step(steps[event.key]);
      event.preventDefault();
    }
  }
}
