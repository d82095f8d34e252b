// Everything is in the page already: without this script all of it is shown.
"use strict";
(() => {
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];

  for (const controls of all(".controls")) controls.hidden = false;

  const opacity = document.getElementById("opacity");
  if (opacity) {
    const output = document.querySelector("output[for=opacity]");
    opacity.addEventListener("input", () => {
      output.value = `${opacity.value} %`;
      opacity.setAttribute("aria-valuetext", output.value);
      for (const layer of all(".evidence")) layer.style.opacity = opacity.value / 100;
    });
    const lines = document.getElementById("lines");
    lines.addEventListener("change", () => document.body.classList.toggle("without-lines", !lines.checked));
  }

  for (const stack of all(".stack")) {
    const slider = stack.querySelector("input[type=range]");
    const output = stack.querySelector("output");
    const isAll = stack.querySelector("input.all");
    const slices = all(".one", stack);
    const show = () => {
      slices.forEach((slice, place) => {
        slice.classList.toggle("left-out", !isAll.checked && place !== Number(slider.value));
      });
      output.value = slices[Number(slider.value)].dataset.name;
      slider.setAttribute("aria-valuetext", output.value);
      slider.disabled = isAll.checked;
    };
    slider.addEventListener("input", show);
    isAll.addEventListener("change", show);
    show();
  }

  for (const filter of all("[data-filter]")) {
    const tables = all(`table[data-region="${filter.dataset.filter}"]`);
    const rows = tables.flatMap((table) => all("tbody > tr", table));
    const outcomesOf = (row) => (row.dataset.outcomes || "").split(" ");
    const output = filter.querySelector("output");
    const boxes = all("input", filter);
    for (const box of boxes) {
      const count = rows.filter((row) => outcomesOf(row).includes(box.value)).length;
      box.disabled = count === 0;
      box.parentElement.append(` ${count}`);
    }
    const apply = () => {
      const wanted = boxes.filter((box) => box.checked).map((box) => box.value);
      for (const row of rows) {
        row.classList.toggle("left-out", !outcomesOf(row).some((outcome) => wanted.includes(outcome)));
      }
      for (const table of tables) {
        const isEmpty = all("tbody > tr:not(.left-out)", table).length === 0;
        table.parentElement.classList.toggle("left-out", isEmpty);
        document.getElementById(table.dataset.heading)?.classList.toggle("left-out", isEmpty);
      }
      const shown = rows.filter((row) => !row.classList.contains("left-out")).length;
      output.value = `${shown} of ${rows.length} rows shown`;
    };
    filter.addEventListener("change", apply);
    apply();
  }

  // a link to a row that the filter hides shows every row again
  addEventListener("hashchange", () => {
    const row = document.getElementById(location.hash.slice(1));
    if (!row?.classList.contains("left-out")) return;
    const region = row.closest("table").dataset.region;
    const filter = document.querySelector(`[data-filter="${region}"]`);
    for (const box of all("input", filter)) box.checked = true;
    filter.dispatchEvent(new Event("change"));
    row.scrollIntoView();
  });
})();
