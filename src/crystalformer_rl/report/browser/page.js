"use strict";
// What happens when the page is opened, and when it is printed.

// Cards of the gallery open the same dialog.
function connectCards(data, dialog) {
  const places = new Map();
  for (let row = 0; row < data.rows; row++) places.set(`${valueOf(data.column.policy, row)}/${valueOf(data.column.id, row)}`, row);
  const buttons = [...document.querySelectorAll("button.turn")];
  const rows = buttons.map((button) => places.get(button.dataset.structure));
  buttons.forEach((button, place) => button.addEventListener("click", () => dialog.open(rows[place], rows)));
}

(async () => {
  const root = document.getElementById("structure-table");
  if (!root) return;
  if (!window.DecompressionStream) {
    root.querySelector(".found").textContent = "This browser is too old to unpack the table. It is in structures.parquet of the evaluation.";
    return;
  }
  const data = await structures();
  const dialog = new CrystalDialog(data);
  new StructureTable(data, dialog);
  connectCards(data, dialog);
  if (document.getElementById("hulls-data")) new HullFigure(JSON.parse(await unpacked("hulls-data")), data, dialog);
  root.dataset.ready = "true";
})();

// Buttons that copy a text of the page; where the browser refuses, the text is selected instead.
for (const button of document.querySelectorAll("button.copy")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copies);
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(source);
      button.textContent = "Selected: press Ctrl+C";
    }
  });
}

// Paper shows the warnings in full.
addEventListener("beforeprint", () => {
  for (const note of document.querySelectorAll("details.note")) note.open = true;
});
