// Sort and filter the rows of the tables, which are there without scripts too. All values are read once, from the cells.
"use strict";

(() => {
  const form = document.getElementById("filters");
  const tables = [...document.querySelectorAll("table.board")].map(read);
  if (!form || !tables.length) return;
  const order = new Intl.Collator("en", { numeric: true });

  function read(table) {
    const heads = [...table.querySelectorAll("th[data-key]")];
    const rows = [...table.tBodies[0].rows].map((row) => {
      const found = { row, slug: row.dataset.slug, machine: row.dataset.machine, values: {} };
      heads.forEach((head, index) => {
        const text = row.cells[index].dataset.value;
        found.values[head.dataset.key] = text === "" ? null : head.dataset.kind === "number" ? Number(text) : text;
      });
      return found;
    });
    return { body: table.tBodies[0], heads, rows, first: rows.slice() };
  }

  function compare(a, b, key, sign) {
    const x = a.values[key], y = b.values[key];
    if (x === null || y === null) return (x === null) - (y === null); // what is not known stands last either way
    return sign * (typeof x === "number" ? x - y : order.compare(x, y));
  }

  function sort(table, key, sign) {
    const rows = key ? table.first.slice().sort((a, b) => compare(a, b, key, sign)) : table.first;
    if (rows.some((one, index) => one !== table.rows[index])) {
      table.body.replaceChildren(...rows.map((one) => one.row));
      table.rows = rows;
    }
    for (const head of table.heads) {
      if (head.dataset.key === key) head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    }
  }

  function fits(one) {
    const date = one.values.date, from = view.get("from"), to = view.get("to");
    return (one.values.by ?? "").includes(view.get("by").trim().toLowerCase())
      && (!from || (date !== null && date >= from))
      && (!to || (date !== null && date <= to))
      && (!view.get("evidence") || one.values.evidence === view.get("evidence"))
      && (!view.get("machine") || one.machine === view.get("machine"));
  }

  function show() {
    const text = view.get("sort"), sign = text.startsWith("-") ? -1 : 1;
    const key = tables[0].heads.some((head) => head.dataset.key === text.replace("-", "")) ? text.replace("-", "") : "";
    let shown = 0, all = 0;
    for (const table of tables) {
      sort(table, key, sign);
      for (const one of table.rows) {
        one.row.hidden = !fits(one);
        shown += !one.row.hidden;
        all += 1;
      }
    }
    for (const field of form.querySelectorAll("[name]")) {
      if (field !== document.activeElement || field.tagName === "SELECT") field.value = view.get(field.name);
    }
    document.getElementById("count").value = shown === all ? `all ${all} rows` : `${shown} of ${all} rows`;
  }

  for (const table of tables) {
    for (const head of table.heads) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => {
        const key = head.dataset.key, now = view.get("sort");
        view.set({ sort: now === key ? `-${key}` : now === `-${key}` ? "" : key });
      });
      head.append(button);
    }
  }
  form.hidden = false;
  form.addEventListener("input", (event) => view.set({ [event.target.name]: event.target.value }));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    document.activeElement.blur();
    view.set({ sort: "", by: "", from: "", to: "", evidence: "", machine: "" });
  });
  view.watch(show);
})();
