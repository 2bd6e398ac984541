// Draw the history of a track and the curves of chosen records. Everything here is also in a table or on a page as text,
// so a chart counts as one picture with a name.
"use strict";

(() => {
  const COLOURS = ["#4c8dd6", "#d9480f", "#2fa084", "#c2559d", "#b8860b", "#7a6fd0", "#6b8e23", "#5f7f9f"];
  const MOST = COLOURS.length;
  const number = (value) => value.toLocaleString("en", { maximumFractionDigits: 4 });

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  // Call `draw` with the width, now and whenever the width changes.
  function onWidth(place, draw) {
    let last = 0;
    const again = () => {
      const width = Math.round(place.clientWidth);
      if (width && width !== last) draw((last = width));
    };
    new ResizeObserver(again).observe(place);
    again();
    return () => draw(last || 600);
  }

  function picture(name, chart) {
    chart.setAttribute("aria-hidden", "true"); // its parts have names that nobody could make sense of
    const box = element("div", { className: "chart-box" }, chart);
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", name);
    return box;
  }

  // Round values for the ticks of a log axis: 1, 2 and 5 of each power of ten, more or fewer where these do not fit.
  function ticksOf([low, high], most = 8) {
    const inside = (steps) => d3.range(-4, 8).flatMap((power) => steps.map((step) => step * 10 ** power)).filter((tick) => tick >= low && tick <= high);
    const found = [[1, 1.5, 2, 3, 4, 5, 6, 7, 8], [1, 2, 5], [1]].map(inside);
    const fitting = found.find((ticks) => ticks.length <= most) ?? found[2];
    return fitting.length < 3 ? d3.ticks(low, high, Math.min(most, 5)) : fitting;
  }

  // Plot would leave out the names of some ticks of a log axis; given as text they all stay.
  const bottomAxis = (ticks, label) => [Plot.gridX(ticks), Plot.axisX(ticks, { text: number, label })];
  const leftAxis = (ticks, label) => [Plot.gridY(ticks), Plot.axisY(ticks, { text: number, label })];

  const style = { background: "none", color: "inherit", overflow: "visible", fontSize: "12px" };

  // ---------------------------------------------------------------------------------------------------- history

  function history(figure, data) {
    const points = data.records
      .filter((one) => one.date && one.value !== null && !one.withdrawn)
      .map((one) => ({ ...one, day: new Date(one.date) }))
      .sort((a, b) => a.day - b.day || b.value - a.value);
    if (new Set(points.map((one) => one.date)).size < 2) return;
    let best = Infinity;
    const line = points.map((one) => ({ day: one.day, value: (best = Math.min(best, one.value)) }));
    const words = (one) => [
      `#${one.number} ${one.title}`,
      `${number(one.value)} ${data.unit}` + (data.unit === "s" ? ` (${number(one.value / 60)} min)` : ""),
      `${one.date}, ${one.evidence}`,
    ].join("\n");
    const [low, high] = d3.extent(points, (one) => one.value), room = (high / low) ** 0.05;
    const domain = [low / room, high * room];
    onWidth(figure, (width) => {
      const chart = Plot.plot({
        width, height: 320, style, className: "chart", marginLeft: 52, marginRight: 14,
        x: { type: "utc", label: null, ticks: Math.max(2, Math.floor(width / 110)) },
        y: { type: "log", domain },
        marks: [
          ...leftAxis(ticksOf(domain), `${data.unit === "s" ? "seconds" : "steps"}, log scale`),
          Plot.line(line, { x: "day", y: "value", curve: "step-after", stroke: COLOURS[1], strokeWidth: 1.6 }),
          Plot.dot(points, { x: "day", y: "value", r: 3, fill: "currentColor", fillOpacity: 0.55 }),
          Plot.dot(points.filter((one) => one.current), { x: "day", y: "value", r: 6, fill: COLOURS[1] }),
          Plot.tip(points, Plot.pointer({ x: "day", y: "value", title: words, lineWidth: 24, fontSize: 13 })),
        ],
      });
      chart.addEventListener("click", () => {
        if (chart.value) location.href = `../records/${data.track}/${encodeURIComponent(chart.value.slug)}.html`;
      });
      figure.replaceChildren(
        picture(`${data.track}: each record against its date; the table has the figures`, chart),
        element("figcaption", { textContent: "Point at a record to read it; click to open its page." }),
      );
    });
  }

  // ---------------------------------------------------------------------------------------------------- curves

  const loading = new Map();

  function load(top, track, slug) {
    if (!loading.has(slug)) {
      loading.set(slug, new Promise((done, failed) => {
        const script = element("script", { src: `${top}data/${track}/${encodeURIComponent(slug)}.js` });
        script.addEventListener("load", done);
        script.addEventListener("error", failed);
        document.head.append(script);
      }));
    }
    return loading.get(slug);
  }

  // Spread over the time from the first to the newest that has a curve.
  function fewOf(known) {
    const last = known.length - 1, count = Math.min(known.length, 5);
    return [...new Set(d3.range(count).map((index) => known[Math.round((index * last) / (count - 1 || 1))].slug))];
  }

  function overlay(figure, data) {
    const known = data.records.filter((one) => one.curve);
    known.sort((a, b) => parseFloat(a.number) - parseFloat(b.number));
    if (!known.length) return;
    const bySlug = new Map(known.map((one) => [one.slug, one]));
    const top = figure.dataset.top;
    const fixed = figure.dataset.shown?.split(" ").filter((slug) => bySlug.has(slug));
    const byTimeFirst = data.unit === "s";
    const standing = known.filter((one) => !one.withdrawn), timed = standing.filter((one) => one.timed);
    const usual = fixed ?? fewOf(byTimeFirst && timed.length ? timed : standing);

    const chosen = () => {
      const asked = view.get("curves").split(",").filter((slug) => bySlug.has(slug));
      return view.get("curves") === "none" ? [] : asked.length ? asked.slice(0, MOST) : usual;
    };
    const choose = (slugs) => {
      const same = slugs.length === usual.length && slugs.every((slug) => usual.includes(slug));
      view.set({ curves: same ? "" : slugs.length ? slugs.slice(-MOST).join(",") : "none" });
    };
    const toggle = (slug) => {
      const now = chosen();
      choose(now.includes(slug) ? now.filter((one) => one !== slug) : [...now, slug]);
    };

    // ---- what is chosen, and how it is drawn
    const axis = element("select", { name: "x" },
      element("option", { value: "time", textContent: "training time" }), element("option", { value: "step", textContent: "step" }));
    const logX = element("input", { type: "checkbox", name: "logx" });
    const logY = element("input", { type: "checkbox", name: "logy" });
    const from = element("input", { type: "number", name: "x0", step: "any", min: "0" });
    const to = element("input", { type: "number", name: "x1", step: "any", min: "0" });
    const whole = element("button", { type: "button", textContent: "Whole range" });
    const more = element("select", {});
    const named = (text, field) => element("label", {}, `${text} `, field);
    const marked = (text, field) => element("label", {}, field, ` ${text}`);
    const controls = element("form", { className: "controls" },
      named("Against", axis), marked("log x", logX), marked("log loss", logY), 
      element("span", { className: "range" }, named("From", from), named("to", to), whole));
    controls.setAttribute("aria-label", "Axes of the curves");
    const place = element("div", {});
    const legend = element("ul", { className: "legend" });
    const note = element("p", { className: "note" });
    note.setAttribute("role", "status");
    figure.replaceChildren(controls, place, legend, named("Add a curve", more), note);

    controls.addEventListener("submit", (event) => event.preventDefault());
    axis.addEventListener("input", () => view.set({ x: axis.value, x0: "", x1: "" }));
    for (const box of [logX, logY]) box.addEventListener("input", () => view.set({ [box.name]: box.checked ? "1" : "0" }));
    for (const field of [from, to]) field.addEventListener("change", () => view.set({ [field.name]: field.value }));
    whole.addEventListener("click", () => view.set({ x0: "", x1: "" }));
    more.addEventListener("change", () => { if (more.value) toggle(more.value); });

    // ---- in the table, a box for every record that has a curve
    for (const row of document.querySelectorAll("tr[data-curve]")) {
      const box = element("input", { type: "checkbox", value: row.dataset.slug });
      row.querySelector("td.links").prepend(element("label", { className: "pick" }, box, " curve "));
      box.setAttribute("aria-label", `show the curve of #${row.dataset.curve}`);
      box.addEventListener("input", () => toggle(row.dataset.slug));
    }

    function limits() {
      const [low, high] = ["x0", "x1"].map((name) => parseFloat(view.get(name)));
      return { low: low >= 0 ? low : null, high: high > 0 && !(high <= low) ? high : null };
    }

    function lines(slugs, byTime) {
      return slugs.map((slug, index) => {
        const points = (speedrun.curves.get(slug) ?? [])
          .map(([step, loss, time]) => ({ x: byTime ? time : step, loss, step, time }))
          .filter((point) => point.x !== null && !(logX.checked && point.x <= 0) && !(logY.checked && point.loss <= 0));
        return { slug, points, record: bySlug.get(slug), colour: COLOURS[index % MOST] };
      });
    }

    function draw(width) {
      const slugs = chosen(), byTime = axis.value !== "step", { low, high } = limits();
      const drawn = lines(slugs, byTime).filter((line) => line.points.length);
      const inside = (point) => (low === null || point.x >= low) && (high === null || point.x <= high);
      const points = drawn.flatMap((line) => line.points.map((point) => ({ ...point, slug: line.slug, number: line.record.number })));
      const seen = points.filter(inside);
      if (!seen.length) {
        place.replaceChildren(element("p", { textContent: slugs.length ? "There is no point in this range." : "Choose a record." }));
        return;
      }
      const xs = d3.extent(points, (point) => point.x), ys = d3.extent(seen, (point) => point.loss);
      // Unless a part was chosen, the first steps, far above all that differs, are cut off.
      const ceiling = low === null && high === null && !logY.checked ? Math.min(ys[1], data.target + 1.8) : ys[1];
      const floor = Math.min(ys[0], data.target), room = logY.checked ? 0 : (ceiling - floor) * 0.04 || 0.01;
      const visible = seen.filter((point) => point.loss <= ceiling);
      const start = logX.checked ? d3.min(visible, (point) => point.x) : 0;
      const domain = [low ?? start, high ?? xs[1]];
      const colour = new Map(drawn.map((line) => [line.slug, line.colour]));
      const unit = byTime ? "training time, s" : "step";
      const chart = Plot.plot({
        width, height: 340, style: { ...style, overflow: "hidden" }, className: "chart", marginLeft: 46, marginRight: 42, clip: true,
        x: { type: logX.checked ? "log" : "linear", domain },
        y: { type: logY.checked ? "log" : "linear", domain: [floor - room, ceiling + room] },
        marks: [
          ...bottomAxis(logX.checked ? ticksOf(domain, width / 60) : d3.ticks(...domain, Math.max(2, Math.floor(width / 110))), unit),
          ...leftAxis(logY.checked ? ticksOf([floor, ceiling]) : d3.ticks(floor - room, ceiling + room, 6), data.loss),
          Plot.ruleY([data.target], { stroke: "currentColor", strokeDasharray: "5 4" }),
          Plot.text([data.target], { y: (value) => value, text: (value) => `target ${value}`, frameAnchor: "left", dx: 4, dy: -7, textAnchor: "start", clip: false }),
          Plot.line(points, { x: "x", y: "loss", z: "slug", stroke: (point) => colour.get(point.slug), strokeWidth: 1.8 }),
          Plot.tip(seen, Plot.pointer({ x: "x", y: "loss", fontSize: 13, clip: false, title: (point) =>
            `#${point.number}\nloss ${number(point.loss)}\nstep ${number(point.step)}` + (point.time === null ? "" : `\n${number(point.time)} s`) })),
        ],
      });
      label(chart, drawn, inside, width);
      brush(chart, width);
      place.replaceChildren(picture(`${data.track}: ${data.loss} against ${unit}, of ${drawn.map((line) => `#${line.record.number}`).join(", ")}`, chart));
    }

    // Write each number at the end of its curve, pushed apart where ends are close.
    function label(chart, drawn, inside, width) {
      const x = chart.scale("x"), y = chart.scale("y"), [bottom, roof] = y.range;
      const ends = drawn.map((line) => ({ line, end: line.points.filter(inside).at(-1) })).filter((one) => one.end)
        .map(({ line, end }) => ({ line, left: Math.min(x.apply(end.x) + 4, width - 40), high: Math.max(roof, Math.min(bottom, y.apply(end.loss))) }))
        .sort((a, b) => b.high - a.high);
      ends.forEach((one, index) => {
        const near = ends.slice(0, index).filter((other) => Math.abs(other.left - one.left) < 36);
        one.high = Math.min(one.high, ...near.map((other) => other.high - 13));
      });
      const texts = d3.select(chart).append("g").attr("font-weight", "bold").selectAll("text").data(ends).join("text");
      texts.attr("x", (one) => one.left).attr("y", (one) => one.high + 4).attr("class", "end")
        .attr("fill", (one) => one.line.colour).text((one) => `#${one.line.record.number}`);
    }

    // Drag over a part of the chart to enlarge it; with the keyboard the two fields do the same.
    function brush(chart, width) {
      const x = chart.scale("x"), [bottom, roof] = chart.scale("y").range;
      const dragged = d3.brushX().extent([[x.range[0], roof], [x.range[1], bottom]]).touchable(false).on("end", (event) => {
        if (!event.selection) return;
        const [low, high] = event.selection.map((at) => x.invert(at));
        view.set({ x0: String(Number(low.toPrecision(4))), x1: String(Number(high.toPrecision(4))) });
      });
      d3.select(chart).insert("g", ":first-child").call(dragged);
    }

    function list(slugs) {
      legend.replaceChildren(...slugs.map((slug, index) => {
        const record = bySlug.get(slug), swatch = element("span", { className: "swatch" });
        swatch.style.backgroundColor = COLOURS[index % MOST];
        const button = element("button", { type: "button", textContent: "×" });
        button.setAttribute("aria-label", `take away the curve of #${record.number}`);
        button.addEventListener("click", () => { toggle(slug); (legend.querySelector("button") ?? more).focus(); });
        const link = element("a", { href: `${top}records/${data.track}/${encodeURIComponent(slug)}.html`, textContent: `#${record.number} ${record.title}` });
        return element("li", {}, swatch, link, button);
      }));
      more.replaceChildren(element("option", { value: "", textContent: "…" }), ...known.filter((one) => !slugs.includes(one.slug))
        .map((one) => element("option", { value: one.slug, textContent: `#${one.number} ${one.title}` })));
      more.disabled = slugs.length >= MOST;
      more.parentElement.hidden = known.length <= slugs.length;
      for (const box of document.querySelectorAll("label.pick input")) {
        box.checked = slugs.includes(box.value);
        box.disabled = !box.checked && slugs.length >= MOST;
      }
    }

    const redraw = onWidth(place, draw);
    view.watch(["curves", "x", "logx", "logy", "x0", "x1"], () => {
      const slugs = chosen();
      axis.value = ["time", "step"].includes(view.get("x")) ? view.get("x") : byTimeFirst ? "time" : "step";
      logX.checked = view.get("logx") === "" ? axis.value === "time" && !fixed : view.get("logx") === "1";
      logY.checked = view.get("logy") === "1";
      for (const field of [from, to]) field.value = Number.isFinite(parseFloat(view.get(field.name))) ? parseFloat(view.get(field.name)) : "";
      list(slugs);
      Promise.allSettled(slugs.map((slug) => load(top, data.track, slug))).then((ends) => {
        const missing = slugs.filter((slug) => !speedrun.curves.has(slug));
        const untimed = axis.value === "step" ? [] : slugs.filter((slug) => speedrun.curves.get(slug)?.every((point) => point[2] === null));
        note.textContent = [
          ...missing.map((slug) => `The curve of #${bySlug.get(slug).number} cannot be loaded.`),
          ...untimed.map((slug) => `No times are known of #${bySlug.get(slug).number}.`),
        ].join(" ");
        redraw();
        figure.dataset.drawn = slugs.join(" ");
      });
    });
  }

  addEventListener("DOMContentLoaded", () => {
    for (const [id, draw] of [["history", history], ["curves", overlay]]) {
      const figure = document.getElementById(id), data = figure && speedrun.tracks[figure.dataset.track];
      if (data) draw(figure, data);
    }
  });
})();
