"use strict";
// The blocks of the page that are stored compressed, and small helpers to build elements.

async function unpacked(id) {
  const text = atob(document.getElementById(id).textContent);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

// The rows of the table of structures, column by column (report/block.py).
async function structures() {
  const data = JSON.parse(await unpacked("structures-data"));
  data.column = Object.fromEntries(data.columns.map((column) => [column.name, column]));
  data.bit = Object.fromEntries(data.flags.map((flag, place) => [flag.name, 1 << place]));
  return data;
}

function valueOf(column, row) {
  const value = column.values[row];
  return column.words && value !== null ? column.words[value] : value;
}

function headingOf(column) {
  return column.unit ? `${column.title} (${column.unit})` : column.title;
}

// The text of a value as the page shows it; an en dash where there is none.
function textOf(data, column, row) {
  const value = valueOf(column, row);
  if (value === null) return "–";
  if (column.kind === "group") return data.groups[value] ?? String(value);
  if (column.kind === "number") return value.toFixed(column.digits).replace("-", "−");
  return value;
}

// An element with properties and children; texts are never read as HTML.
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// A formula with its numbers as subscripts.
function formulaOf(text) {
  const parts = text.split(/([0-9.]+)/).filter(Boolean);
  return make("span", {}, ...parts.map((part) => (/^[0-9.]/.test(part) ? make("sub", {}, part) : part)));
}

function saved(name, text) {
  const link = make("a", { download: name, href: URL.createObjectURL(new Blob([text])) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
