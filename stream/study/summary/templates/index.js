"use strict";
// Sorts and filters the table of procedures. The page is complete without it.
(() => {
  const table = document.getElementById("procedures");
  if (!table) return;
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const filter = document.getElementById("filter");
  const place = "polypstream-study" + location.pathname;
  const kept = (() => { try { return JSON.parse(sessionStorage.getItem(place)) || {}; } catch { return {}; } })();
  const keep = () => { try { sessionStorage.setItem(place, JSON.stringify(kept)); } catch { /* a browser without store */ } };
  const value = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
  const words = (one, other) => one.localeCompare(other, undefined, { numeric: true, sensitivity: "base" });
  const numbers = (one, other) => Number(one) - Number(other);
  const sort = (column, down) => {
    const by = heads[column].classList.contains("number") ? numbers : words;
    const rows = [...body.rows];
    const empty = (row) => value(row, column) === "";
    rows.sort((one, other) => {
      if (empty(one) || empty(other)) return empty(one) - empty(other);  // what is not known stays below
      return (down ? -1 : 1) * by(value(one, column), value(other, column));
    });
    body.append(...rows);
    heads.forEach((head, number) => {
      if (number === column) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  };
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    kept.down = kept.column === column ? !kept.down : head.classList.contains("number");
    kept.column = column;
    sort(column, kept.down);
    keep();
  }));
  const select = () => {
    const wanted = filter.value.trim().toLowerCase();
    for (const row of body.rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
    kept.filter = filter.value;
    keep();
  };
  filter.hidden = false;
  filter.addEventListener("input", select);
  if (kept.column !== undefined && heads[kept.column]) sort(kept.column, kept.down);
  if (kept.filter) { filter.value = kept.filter; select(); }
})();
