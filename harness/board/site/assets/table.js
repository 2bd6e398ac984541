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

  // What is asked of a field; a value that it cannot have, in an address that somebody wrote, counts as none.
  function asked(name) {
    const field = form.elements[name], text = view.get(name);
    if (field.tagName === "SELECT") return [...field.options].some((one) => one.value === text) ? text : "";
    return field.type === "date" && !/^\d{4}-\d\d-\d\d$/.test(text) ? "" : text;
  }

  function test() {
    const [by, from, to, evidence, machine] = ["by", "from", "to", "evidence", "machine"].map(asked);
    const name = by.trim().toLowerCase();
    return ({ values, machine: own }) => (values.by ?? "").includes(name)
      && (!from || (values.date !== null && values.date >= from))
      && (!to || (values.date !== null && values.date <= to))
      && (!evidence || values.evidence === evidence)
      && (!machine || own === machine);
  }

  function show() {
    const text = asked("sort"), sign = text.startsWith("-") ? -1 : 1, key = text.replace("-", "");
    const fits = test();
    let shown = 0, all = 0;
    for (const table of tables) {
      sort(table, key, sign);
      for (const one of table.rows) {
        const fit = fits(one);
        if (one.row.hidden === fit) one.row.hidden = !fit;
        shown += fit;
        all += 1;
      }
    }
    for (const field of form.querySelectorAll("[name]")) {
      if (field !== document.activeElement || field.tagName === "SELECT") field.value = asked(field.name);
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
  view.watch(["sort", "by", "from", "to", "evidence", "machine"], show);
})();
