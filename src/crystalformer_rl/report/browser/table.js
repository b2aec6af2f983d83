"use strict";
// The table of all structures: filters, search, sorting, and only the rows in sight as elements.

const SYSTEMS = {
  triclinic: [1, 2], monoclinic: [3, 15], orthorhombic: [16, 74], tetragonal: [75, 142],
  trigonal: [143, 167], hexagonal: [168, 194], cubic: [195, 230],
};
const BEYOND = 12; // rows drawn above and below those in sight

// A test of the space group from what the reader typed: 225, 195-230, cubic or Fm-3m.
function groupTest(text, groups) {
  const word = text.trim().toLowerCase().replace("–", "-");
  if (!word) return null;
  const [low, high] = SYSTEMS[word] ?? (/^\d+(-\d+)?$/.test(word) ? word.split("-").map(Number) : []);
  if (low !== undefined) return (group) => group >= low && group <= (high ?? low);
  const plain = (symbol) => symbol.toLowerCase().replace(/[₀-₉]/g, (digit) => digit.charCodeAt(0) - 0x2080);
  const numbers = Object.keys(groups).filter((number) => plain(groups[number]).split(" ")[1] === word.replaceAll("_", ""));
  if (!numbers.length) throw new Error(`“${text.trim()}” is not a space group. Type a number (225), a range (195-230), a symbol (Fm-3m) or a crystal system.`);
  return (group) => numbers.includes(String(group));
}

// A test of the formula: all elements typed must be in it, those after a minus sign must not.
function elementTest(text) {
  const words = text.trim().split(/[\s,]+/).filter(Boolean);
  if (!words.length) return null;
  const bad = words.find((word) => !/^[-−]?[A-Z][a-z]?$/.test(word));
  if (bad) throw new Error(`“${bad}” is not an element. Type symbols such as Na Cl; -O leaves out oxygen.`);
  const wanted = words.filter((word) => /^[A-Z]/.test(word));
  const unwanted = words.filter((word) => !/^[A-Z]/.test(word)).map((word) => word.slice(1));
  const known = new Map();
  return (formula) => {
    if (!known.has(formula)) {
      const elements = new Set((formula ?? "").match(/[A-Z][a-z]?/g));
      known.set(formula, wanted.every((one) => elements.has(one)) && !unwanted.some((one) => elements.has(one)));
    }
    return known.get(formula);
  };
}

class StructureTable {
  constructor(data, dialog) {
    [this.data, this.dialog] = [data, dialog];
    this.columns = data.columns.filter((column) => column.listed);
    const letters = { name: "letters", kind: "letters", title: "SUN", meaning: "stable, unique, novel", values: data.passed };
    this.columns.splice(3, 0, letters);
    this.root = document.getElementById("structure-table");
    this.scroll = this.root.querySelector(".rows");
    this.body = this.root.querySelector("tbody");
    this.found = this.root.querySelector(".found");
    this.filters = this.root.querySelector("form");
    this.current = 0;
    this.sorted = { column: null, up: true };
    this.order = Array.from({ length: data.rows }, (_, row) => row);
    this.makeHead();
    this.makeFilters();
    this.scroll.addEventListener("scroll", () => requestAnimationFrame(() => this.draw()), { passive: true });
    this.scroll.addEventListener("keydown", (event) => this.pressed(event));
    addEventListener("beforeprint", () => this.draw(40));
    addEventListener("afterprint", () => this.draw());
    this.select();
  }

  makeHead() {
    const cells = this.columns.map((column) => {
      const button = make("button", { type: "button", title: column.meaning }, headingOf(column).replace("E_hull", "Eₕᵤₗₗ"));
      const head = make("th", { scope: "col", className: column.kind }, button);
      button.addEventListener("click", () => this.sortBy(column, head));
      return head;
    });
    this.root.querySelector("thead tr").replaceChildren(...cells);
  }

  makeFilters() {
    const policies = Object.keys(this.data.colours);
    this.filters.elements.policy.append(...policies.map((name) => make("option", {}, name)));
    this.filters.querySelector(".flags").append(...this.data.flags.map((flag) => {
      const box = make("input", { type: "checkbox", name: "flag", value: flag.name });
      return make("label", { title: flag.meaning }, box, flag.title);
    }));
    this.filters.addEventListener("input", () => this.select());
    this.filters.addEventListener("reset", () => setTimeout(() => this.select()));
    this.filters.addEventListener("submit", (event) => event.preventDefault());
    this.root.querySelector(".save").addEventListener("click", () => saved("structures.csv", this.csv()));
  }

  // The rows that pass the filters, in the order of the sorted column.
  select() {
    try {
      this.rows = this.passing();
    } catch (problem) {
      this.rows = [];
      this.finish(problem.message);
      return;
    }
    const [all, some] = [this.data.rows, this.rows.length].map((number) => number.toLocaleString("en"));
    this.finish(!this.data.rows ? "The run has no structures." : some === "0" ? `None of ${all} structures passes the filters.` : `${some} of ${all} structures`);
  }

  finish(message) {
    this.found.textContent = message;
    this.root.querySelector(".save").disabled = !this.rows.length;
    this.scroll.scrollTop = 0;
    this.current = 0;
    this.draw();
  }

  passing() {
    const { data, filters: { elements: fields } } = this;
    const column = data.column;
    const words = fields.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const ofElements = column.formula ? elementTest(fields.chemistry.value) : null;
    const ofGroup = groupTest(fields.group.value, data.groups);
    const policy = fields.policy.value;
    const chosen = [...this.filters.querySelectorAll("[name=flag]:checked")].map((box) => data.bit[box.value]);
    const needed = chosen.reduce((bits, bit) => bits | bit, 0);
    if (words.length) this.texts ??= Array.from({ length: data.rows }, (_, row) => this.textOfRow(row));
    const rows = [];
    for (const row of this.order) {
      if ((data.passed[row] & needed) !== needed) continue;
      if (policy && valueOf(column.policy, row) !== policy) continue;
      if (ofGroup && !ofGroup(column.space_group.values[row])) continue;
      if (ofElements && !ofElements(valueOf(column.formula, row))) continue;
      if (words.length && !words.every((word) => this.texts[row].includes(word))) continue;
      rows.push(row);
    }
    return rows;
  }

  textOfRow(row) {
    const names = ["id", "policy", "formula", "space_group", "matched_id", "failure"];
    const texts = names.filter((name) => this.data.column[name]).map((name) => textOf(this.data, this.data.column[name], row));
    return texts.join(" ").toLowerCase();
  }

  sortBy(column, head) {
    const up = this.sorted.column === column ? !this.sorted.up : true;
    this.sorted = { column, up };
    for (const other of this.root.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    this.order = this.orderBy(column, up);
    this.select();
  }

  // All rows by the values of a column; those without a value come last.
  orderBy(column, up) {
    const values = column.words ? column.values.map((place) => column.words[place]) : column.values;
    const sign = up ? 1 : -1;
    return this.order.slice().sort((one, two) => {
      const [a, b] = [values[one], values[two]];
      if (a === null || b === null) return (a === null) - (b === null);
      return a < b ? -sign : a > b ? sign : 0;
    });
  }

  // Draw the rows in sight, or the first `count`, between two spacers as high as the others.
  draw(count = null) {
    const height = this.height ?? 30;
    const first = count === null ? Math.max(0, Math.floor(this.scroll.scrollTop / height) - BEYOND) : 0;
    const seen = count ?? Math.ceil(this.scroll.clientHeight / height) + 2 * BEYOND;
    const last = Math.min(this.rows.length, first + seen);
    const focused = this.body.contains(document.activeElement);
    const spacer = (rows) => {
      const row = make("tr", { ariaHidden: "true", className: "spacer" });
      row.style.height = `${rows * height}px`;
      return row;
    };
    const rows = this.rows.slice(first, last).map((row, place) => this.rowOf(row, first + place));
    const below = count === null ? this.rows.length - last : 0;
    this.body.replaceChildren(spacer(first), ...rows, spacer(below));
    this.root.querySelector("table").setAttribute("aria-rowcount", this.rows.length);
    if (this.height === undefined && rows.length) {
      this.height = rows[0].getBoundingClientRect().height || undefined;
      if (this.height && this.height !== height) this.draw(count);
    }
    if (focused) this.body.querySelector("[tabindex='0']")?.focus({ preventScroll: true });
  }

  rowOf(row, place) {
    const { data } = this;
    const cells = this.columns.map((column, index) => {
      const cell = make(index ? "td" : "th", { className: column.kind });
      const value = valueOf(column, row);
      if (index === 0) {
        cell.scope = "row";
        const button = make("button", { type: "button", tabIndex: place === this.current ? 0 : -1 }, textOf(data, column, row));
        cell.append(button);
      } else if (column.kind === "letters") {
        cell.append(...["stable", "unique", "novel"].map((name) => (data.passed[row] & data.bit[name] ? name[0].toUpperCase() : "·")));
      } else if (column.name === "formula" && value) {
        cell.append(formulaOf(value));
      } else if (column.name === "policy") {
        const dot = make("i", { className: "dot" });
        dot.style.background = data.colours[value];
        cell.append(dot, value);
      } else {
        cell.append(textOf(data, column, row));
      }
      return cell;
    });
    const element = make("tr", { className: data.passed[row] & data.bit.sun ? "sun" : "" }, ...cells);
    element.setAttribute("aria-rowindex", place + 1);
    element.addEventListener("click", () => {
      this.current = place;
      this.dialog.open(row, this.rows);
    });
    return element;
  }

  // Arrow keys, Home and End move through all rows, not only through those in sight.
  pressed(event) {
    const end = this.rows.length - 1;
    const page = Math.floor(this.scroll.clientHeight / (this.height ?? 30)) - 1;
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    const move = moves[event.key];
    if (move === undefined || !this.rows.length) return;
    event.preventDefault();
    this.current = Math.min(end, Math.max(0, this.current + move));
    const top = this.current * this.height, bottom = top + this.height;
    const space = this.scroll.clientHeight - this.root.querySelector("thead").offsetHeight;
    if (top < this.scroll.scrollTop) this.scroll.scrollTop = top;
    if (bottom > this.scroll.scrollTop + space) this.scroll.scrollTop = bottom - space;
    this.draw();
    this.body.querySelector("[tabindex='0']")?.focus({ preventScroll: true });
  }

  csv() {
    const quoted = (value) => (value === null ? "" : /[",\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value);
    const head = [...this.data.columns, ...this.data.flags].map((one) => one.name).join(",");
    const lines = this.rows.map((row) => [
      ...this.data.columns.map((column) => quoted(valueOf(column, row))),
      ...this.data.flags.map((flag) => (this.data.passed[row] & this.data.bit[flag.name] ? "True" : "False")),
    ].join(","));
    return `${head}\n${lines.join("\n")}\n`;
  }
}
