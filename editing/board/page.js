"use strict";
(() => {
  const { board, accuracy, kinds } = JSON.parse(document.getElementById("data").textContent);
  const rows = [...board.rows, ...board.dirty].map((row, i) => ({ ...row, number: i }));
  const ranked = rows.slice(0, board.rows.length);
  const apart = rows.slice(board.rows.length);
  const judges = ranked.length || apart.length ? Object.keys(rows[0].judges) : [];
  const state = { judge: board.judge, view: "Overview", score: {}, sort: "headline", down: true, filter: "", open: new Set() };
  const methods = [...new Set(rows.map((row) => row.method))].sort();
  const colour = (method) => `var(--c${methods.indexOf(method) % 8})`;
  const byId = (id) => document.getElementById(id);

  /** An element with attributes and children; strings become text nodes, so no text is ever read as markup. */
  function el(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child !== null));
    return node;
  }
  function svg(tag, attributes = {}, ...children) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  }

  const percent = (value) => (100 * value).toFixed(1);
  const words = (name) => name.replaceAll("_", " ");
  function quantity(value, digits = 3) {
    if (value === null || value === undefined) return "\u2013";
    if (value === 0) return "0";
    return value >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(digits)));
  }
  const seconds = (value) => (value === null || value === undefined ? "\u2013" : value.toFixed(value < 0.1 ? 3 : 2));
  function bytes(value) {
    if (value === null || value === undefined) return "\u2013";
    if (value < 1024) return `${value} B`;
    return value < 1048576 ? `${(value / 1024).toFixed(1)} KiB` : `${(value / 1048576).toFixed(1)} MiB`;
  }

  /* Sample answers are read when the first row is opened; each text stands once, rows name it by its position. */
  let stored = null;
  function samplesOf(row) {
    stored ??= JSON.parse(byId("samples").textContent);
    const found = stored.rows[row.number] ?? {};
    return (name) => (found[name] ?? []).map((places) => Object.fromEntries(stored.fields.map((field, i) => [field, stored.texts[places[i]]])));
  }

  /* Columns: title, the value to sort by, and the cell. */
  const own = (row) => row.judges[state.judge];
  const estimate = (id, title, of, options = {}) => ({
    id, title, ...options,
    value: (row) => of(row)?.value ?? null,
    cell: (row) => estimateCell(of(row), options.main),
  });
  const number = (id, title, of, show = quantity, options = {}) => ({
    id, title, ...options, value: (row) => of(row) ?? null, cell: (row) => el("td", {}, show(of(row))),
  });
  const headline = estimate("headline", "Headline", (row) => own(row).headline, { main: true });
  const plain = (value) => quantity(value, 3);
  const extras = board.extras.map(({ id, title, about, percent: inPercent }) => ({
    id, title, about, lower: true, value: (row) => row.extras[id]?.value ?? null,
    cell: (row) => estimateCell(row.extras[id], false, inPercent ? percent : plain),
  }));
  const turns = [...new Set(rows.flatMap((row) => (row.multiturn ?? []).map((point) => point.turns)))].sort((a, b) => a - b);
  /* What can be shown of the answers after other turns: name -> the estimate in one row's entry for a number of turns. */
  const checks = rows.flatMap((row) => row.multiturn ?? []).flatMap((point) => Object.entries(point.checks)).flatMap(([checker, found]) =>
    Object.entries(found).map(([name, one]) => [`${words(name)} (checked by ${checker})`,
      { of: (point) => point.checks[checker]?.[name], lower: !one.higher_is_better }]));
  const turnScores = !turns.length ? {} : {
    ...Object.fromEntries(["recall", "specificity", "headline"].map((name) => [name, { of: (point) => point.judges[state.judge]?.[name] }])),
    ...Object.fromEntries(checks),
    "not asked, prompt too long": { of: (point) => point.overflow_rate, lower: true, counted: true },
  };
  const afterTurns = (row, k, score) => {
    const point = row.multiturn?.find((one) => one.turns === k);
    return point && turnScores[score].of(point);
  };
  const turnColumns = (score) => turns.map((k) => {
    const { lower, counted } = turnScores[score];
    const column = estimate(`turns${k}`, `${k} turns`, (row) => afterTurns(row, k, score), { lower, about: score });
    return counted ? { ...column, cell: (row) => countCell(afterTurns(row, k, score)) } : column;
  });
  const drift = (name, show) => ["overall", ...kinds.slice(4)].map((kind) => {
    const of = (row) => (kind === "overall" ? row.controls?.[name]?.overall : row.controls?.[name]?.by_kind?.[kind]);
    return { ...estimate(`${name}_${kind}`, words(kind), of, { lower: true }), cell: (row) => estimateCell(of(row), false, show) };
  });
  const byKind = (names) => names.map((kind) => estimate(kind, words(kind), (row) => own(row).by_kind[kind]));
  const views = {
    Overview: [
      headline,
      estimate("recall", "Recall", (row) => own(row).recall),
      estimate("specificity", "Specificity", (row) => own(row).specificity),
      estimate("facts", "Facts", (row) => row.fact_accuracy),
      estimate("degenerate", "Degenerate", (row) => row.degenerate_rate, { lower: true }),
      number("seconds", "s/edit", (row) => row.cost.seconds_per_edit, seconds, { lower: true }),
      number("n", "n", (row) => own(row).headline.n),
    ],
    Questions: [headline, estimate("recall", "Recall", (row) => own(row).recall), ...byKind(kinds.slice(0, 4))],
    Controls: {
      "specificity": [estimate("specificity", "Specificity", (row) => own(row).specificity), ...byKind(kinds.slice(4))],
      ...(rows.some((row) => row.controls) ? {
        "answers that differ from the unedited model's": drift("flip_rate", percent),
        "KL to the unedited model, nats": drift("kl", plain),
      } : {}),
    },
    Difficulty: [headline, ...["easy", "medium", "hard"].map((level) => estimate(level, level, (row) => own(row).by_difficulty[level]))],
    "Side effects": [
      headline,
      estimate("facts", "Facts", (row) => row.fact_accuracy),
      estimate("degenerate", "Degenerate", (row) => row.degenerate_rate, { lower: true }),
      ...extras,
    ],
    ...(turns.length ? { Turns: Object.fromEntries(Object.keys(turnScores).map((score) => [score, turnColumns(score)])) } : {}),
    Cost: [
      headline,
      number("seconds", "seconds per edit", (row) => row.cost.seconds_per_edit, seconds, { lower: true }),
      number("bytes", "stored per user", (row) => row.cost.bytes_per_user, bytes, { lower: true }),
      number("tokens", "prompt tokens added", (row) => row.cost.extra_prompt_tokens, quantity, { lower: true }),
      number("memory", "peak memory, MiB", (row) => row.cost.peak_memory_mb, quantity, { lower: true }),
      number("unscored", "unscored", (row) => own(row).headline.n_unscored, quantity, { lower: true }),
    ],
  };

  /** The columns of the view that is shown; some views have a set for each of several scores. */
  function viewColumns() {
    const view = views[state.view];
    return Array.isArray(view) ? view : [headline, ...view[chosen(state.view)]];
  }
  const chosen = (view) => state.score[view] ?? Object.keys(views[view])[0];

  function countCell(found) {
    return el("td", {}, found ? `${Math.round(found.value * found.n)} of ${found.n}` : "\u2013");
  }
  function estimateCell(found, main = false, show = percent) {
    if (!found || found.value === null) return el("td", { class: main ? "main" : null }, "\u2013");
    const cell = el("td", { class: main ? "main" : null }, show(found.value),
      el("span", { class: "ci" }, `${show(found.low)}\u2013${show(found.high)}`));
    cell.title = `n = ${found.n}` + (found.n_unscored ? `, ${found.n_unscored} unscored` : "");
    if (main) {
      const band = el("i"), dot = el("b");
      band.style.left = `${100 * found.low}%`;
      band.style.width = `${100 * (found.high - found.low)}%`;
      dot.style.left = `${100 * found.value}%`;
      cell.append(el("span", { class: "track", "aria-hidden": "true" }, band, dot));
    }
    return cell;
  }

  const nameColumns = [
    { id: "method", title: "Method", name: true, value: (row) => row.method },
  ];
  const columns = () => [...nameColumns, ...viewColumns()];

  function sorted(list) {
    const column = columns().find((c) => c.id === state.sort) ?? headline;
    const sign = state.down ? -1 : 1;
    return [...list].sort((a, b) => {
      const [x, y] = [column.value(a), column.value(b)];
      if (x === null || y === null) return (x === null) - (y === null) || a.key.localeCompare(b.key);
      const order = typeof x === "string" ? x.localeCompare(y) : x - y;
      return sign * order || a.key.localeCompare(b.key);
    });
  }
  const visible = () => {
    const wanted = state.filter.toLowerCase().split(/\s+/).filter(Boolean);
    return ranked.filter((row) => wanted.every((word) => row.key.toLowerCase().includes(word)));
  };

  function heading(column) {
    const active = column.id === state.sort;
    const button = el("button", { type: "button", "data-sort": column.id, onclick: () => {
      state.down = active ? !state.down : !(column.lower || column.name);
      state.sort = column.id;
      draw();
      document.querySelector(`#table [data-sort="${column.id}"]`).focus();
    }, title: column.about ?? null }, column.title, column.lower ? el("span", { class: "mark", title: "lower is better" }, "\u2193") : null,
      el("span", { class: "dir", "aria-hidden": "true" }, active ? (state.down ? "\u25BE" : "\u25B4") : ""));
    return el("th", {
      scope: "col", class: column.name ? "name" : column.main ? "main" : null,
      "aria-sort": active ? (state.down ? "descending" : "ascending") : "none",
    }, button);
  }

  function draw() {
    const table = byId("table");
    table.tHead.replaceChildren(el("tr", {}, el("th", { class: "rank", scope: "col" }, el("span", { class: "hidden" }, "rank")), ...columns().map(heading)));
    for (const body of [...table.tBodies]) body.remove();
    const shown = sorted(visible());
    const places = new Map([...ranked].sort((a, b) => (own(b).headline.value ?? -1) - (own(a).headline.value ?? -1)).map((row, i) => [row, i + 1]));
    fill(shown.map((row) => [row, places.get(row)]));
    byId("count").textContent = ranked.length === 0 ? "No run from committed code yet; see below."
      : shown.length === ranked.length ? `${ranked.length} ${ranked.length === 1 ? "run" : "runs"}` : `${shown.length} of ${ranked.length} runs`;
    drawCharts(new Set(shown));
  }

  /* A long table is drawn a screen at a time, so that the page can be used before its last row is there. */
  const AT_ONCE = 40;
  let waiting = [], timer = 0;
  function fill(pairs, all = false) {
    clearTimeout(timer);
    const fragment = document.createDocumentFragment();
    waiting = all ? [] : pairs.slice(AT_ONCE);
    for (const [row, place] of all ? pairs : pairs.slice(0, AT_ONCE)) fragment.append(bodyOf(row, place));
    byId("table").append(fragment);
    if (waiting.length) timer = setTimeout(() => fill(waiting), 0);
  }
  /** Open a row's answers, clear the filter if it hides the row, and bring the row into view. */
  function show(row) {
    state.open.add(row.key);
    if (!visible().includes(row) && ranked.includes(row)) { state.filter = ""; byId("filter").value = ""; }
    draw();
    redrawApart();
    fill(waiting, true);
    document.querySelector(`tr[data-key="${CSS.escape(row.key)}"]`)?.scrollIntoView({ block: "center" });
  }

  function bodyOf(row, place) {
    const body = el("tbody");
    const isOpen = state.open.has(row.key);
    const button = el("button", { type: "button", class: "open", "aria-expanded": String(isOpen), onclick: () => toggle(row, body, button) }, row.method);
    const cells = viewColumns().map((column) => column.cell(row));
    body.append(el("tr", { class: "run", "data-key": row.key }, el("td", { class: "rank" }, String(place)),
      el("td", { class: "name" }, button, el("span", { class: "model" }, row.scenario ? `${row.model} \u00B7 ${row.scenario}` : row.model)), ...cells));
    if (isOpen) body.append(detail(row));
    return body;
  }
  function toggle(row, body, button) {
    const opening = !state.open.has(row.key);
    button.setAttribute("aria-expanded", String(opening));
    if (opening) { state.open.add(row.key); body.append(detail(row)); history.replaceState(null, "", `#${encodeURIComponent(row.key)}`); }
    else { state.open.delete(row.key); body.querySelector(".detail").remove(); }
  }

  function detail(row) {
    const against = board.comparisons.find((c) => c.key === row.key);
    const about = el("p", { class: "about" });
    const fact = (label, value) => { if (value) about.append(el("span", {}, `${label} `, el("b", {}, value))); };
    if (against) {
      const verdict = against.p_holm < board.significance ? "a significant difference" : "not significant";
      fact(`headline below ${against.best} by`, `${percent(against.difference)} (${percent(against.low)} to ${percent(against.high)}), ${against.users} users, p = ${quantity(against.p_holm, 2)}, ${verdict}`);
    }
    fact("preferences", String(row.counts.preferences ?? ""));
    fact("stored per user", bytes(row.cost.bytes_per_user));
    fact("prompt tokens added", quantity(row.cost.extra_prompt_tokens));
    fact("precision", row.dtype);
    fact("code", row.commit ? row.commit.slice(0, 10) : "");
    fact("machine", row.machine);
    const group = (title, name, list, empty) => el("div", { class: name }, el("h3", {}, title),
      ...(list.length ? list.map(answer) : [el("p", { class: "none" }, empty)]));
    const found = samplesOf(row);
    const sorted = `Answers${against ? " and comparison" : ""} by judge ${board.judge}`
      + (state.judge === board.judge ? "." : `, which orders the leaderboard; the row above is by ${state.judge}.`);
    return el("tr", { class: "detail" }, el("td", { colspan: String(columns().length + 1) }, el("div", { class: "inner" }, about,
      row.crossing ? crossingTable(row.crossing.matrix) : null, el("p", { class: "note by" }, sorted),
      el("div", { class: "samples" },
        group("Uses the fact", "right", found("right"), "None."),
        group("Misses the fact", "wrong", found("wrong"), "None."),
        group("Brings it up where it must not", "shows", found("shows up"), "None.")))));
  }
  /** Whose preference is given back, where users share a model. */
  function crossingTable(matrix) {
    const ages = ["first fifth", "second", "third", "fourth", "last fifth"];
    const shade = (share) => (share === null ? null : `background: color-mix(in srgb, var(--accent) ${Math.round(60 * share)}%, transparent)`);
    return el("table", { class: "crossing" },
      el("caption", {}, "Of the explicit answers to users told first to last (rows), the share in percent that gives a preference of users told first to last (columns) back, by judge exact."),
      el("thead", {}, el("tr", {}, el("th", { class: "name", scope: "col" }, "told"), ...ages.map((age) => el("th", { scope: "col" }, age)))),
      el("tbody", {}, ...matrix.map((shares, i) => el("tr", {}, el("th", { class: "name", scope: "row" }, ages[i]),
        ...shares.map((share) => el("td", { style: shade(share) }, share === null ? "\u2013" : percent(share)))))));
  }
  function answer(one) {
    return el("div", { class: "qa" },
      el("div", { class: "meta" }, `${words(one.kind)} \u00B7 ${one.reason}`),
      el("div", { class: "told" }, `Told: ${one.statement}`),
      el("div", { class: "asked" }, `Asked: ${one.question}`),
      el("span", { class: "said" }, one.answer || "(empty answer)"));
  }

  /* Charts */
  const W = 540, H = 400, L = 40, B = 36, T = 26, R = 26;
  function frame(label, xLabel, yLabel) {
    const root = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": label });
    for (const y of [0, 20, 40, 60, 80, 100]) {
      root.append(svg("line", { class: "grid", x1: L, x2: W - R, y1: yAt(y), y2: yAt(y) }), text(L - 8, yAt(y) + 4, String(y), "end"));
    }
    root.append(svg("line", { class: "axis", x1: L, x2: W - R, y1: yAt(0), y2: yAt(0) }), text(W - R, H - 4, xLabel, "end"));
    root.append(text(8, T - 14, yLabel));
    root.points = [];
    return root;
  }
  const yAt = (value) => T + (H - B - T) * (1 - value / 100);
  function text(x, y, content, anchor = "start") {
    return svg("text", { x, y, "text-anchor": anchor }, content);
  }
  /** A clickable point. */
  function point(chart, row, x, y, label, faded, named) {
    const group = svg("g", { class: faded ? "point dim" : "point" });
    group.append(svg("title", {}, label), svg("circle", { cx: x, cy: y, r: 5, style: `fill:${colour(row.method)}` }));
    group.addEventListener("click", () => show(row));
    chart.points.push({ x, y, name: named && !faded ? row.method : null, group, colour: colour(row.method) });
    return group;
  }
  /** Write names beside their points, each at the nearest place where it covers no point and no other name. */
  function writeNames(chart) {
    const taken = chart.points.map(({ x, y }) => [x - 5, y - 5, x + 5, y + 5]);
    const free = (box) => box[0] > L && box[2] < W - 4 && box[1] > T - 12 && box[3] < H - B
      && taken.every((other) => box[0] > other[2] || other[0] > box[2] || box[1] > other[3] || other[1] > box[3]);
    for (const { x, y, name, group, colour: ink } of chart.points.filter((one) => one.name)) {
      const width = 7 * name.length;
      const place = AROUND.map(([dx, dy, far]) => ({ left: x + dx - (dx < -0.1 ? width : 0), dx, dy, far }))
        .find(({ left, dy }) => free([left, y + dy - 6, left + width, y + dy + 6]));
      if (!place) continue;
      taken.push([place.left, y + place.dy - 6, place.left + width, y + place.dy + 6]);
      if (place.far) group.append(svg("line", { class: "leader", x1: x, y1: y, x2: x + place.dx, y2: y + place.dy }));
      const label = text(place.left, y + place.dy + 4, name);
      label.style.fill = ink;
      group.append(label);
    }
  }
  const AROUND = [10, 20, 30, 40, 50, 60, 70, 80].flatMap((radius) => Array.from({ length: 16 }, (_, i) =>
    [radius * Math.cos(i * Math.PI / 8), radius * Math.sin(i * Math.PI / 8), radius > 10]));
  function drawCharts(shown) {
    byId("charts").hidden = rows.length === 0;
    const list = ranked.length ? ranked : apart;
    const all = ranked.length ? shown : new Set(apart);
    const named = all.size <= 40;
    const xAt = (value) => L + (W - R - L) * value / 100;
    const scatter = frame("Recall against specificity", "specificity, %", "recall, %");
    for (const x of [0, 20, 40, 60, 80, 100]) scatter.append(text(xAt(x), H - B + 16, String(x), "middle"));
    for (const h of [20, 40, 60, 80]) {
      const path = [];
      for (let s = h / 2 + 0.5; s <= 100; s += 0.25) {
        const r = h * s / (2 * s - h);
        if (r <= 100) path.push(`${path.length ? "L" : "M"}${xAt(s).toFixed(1)} ${yAt(r).toFixed(1)}`);
      }
      scatter.append(svg("path", { class: "iso", d: path.join("") }), text(xAt(100) + 5, yAt(h * 100 / (200 - h)) + 4, String(h)));
    }
    for (const row of list) {
      const { recall, specificity, headline: found } = own(row);
      if (recall.value === null || specificity.value === null) continue;
      const [x, y, faded] = [xAt(100 * specificity.value), yAt(100 * recall.value), !all.has(row)];
      if (!faded && all.size <= 40) {
        const style = `stroke:${colour(row.method)}`;
        scatter.append(
          svg("line", { class: "whisker", style, x1: xAt(100 * specificity.low), x2: xAt(100 * specificity.high), y1: y, y2: y }),
          svg("line", { class: "whisker", style, x1: x, x2: x, y1: yAt(100 * recall.low), y2: yAt(100 * recall.high) }));
      }
      const label = `${row.key}: recall ${percent(recall.value)}, specificity ${percent(specificity.value)}` + (found.value === null ? "" : `, headline ${percent(found.value)}`);
      scatter.append(point(scatter, row, x, y, label, faded, named));
    }
    writeNames(scatter);
    byId("scatter").replaceChildren(scatter);
    byId("cost").replaceChildren(costChart(list, all, named));
    byId("turns-figure").hidden = turns.length === 0;
    if (turns.length) byId("turns").replaceChildren(turnsChart(list, all, all.size <= 12));
  }
  function turnsChart(list, all, named) {
    const score = chosen("Turns");
    byId("turns-score").textContent = score;
    const chart = frame(`${score} after other turns`, "distractor turns", "%");
    const xAt = (k) => L + 14 + (W - R - L - 28) * k / Math.max(1, ...turns);
    for (const k of turns) chart.append(text(xAt(k), H - B + 16, String(k), "middle"));
    for (const row of list) {
      const points = turns.map((k) => [k, afterTurns(row, k, score)]).filter(([, found]) => found && found.value !== null);
      if (!points.length) continue;
      const faded = !all.has(row);
      const d = points.map(([k, found], i) => `${i ? "L" : "M"}${xAt(k).toFixed(1)} ${yAt(100 * found.value).toFixed(1)}`).join("");
      chart.append(svg("path", { class: faded ? "curve dim" : "curve", d, style: `stroke:${colour(row.method)}` }));
      points.forEach(([k, found], i) => chart.append(point(chart, row, xAt(k), yAt(100 * found.value),
        `${row.key}: ${score} ${percent(found.value)} after ${k} turns`, faded, named && i === points.length - 1)));
    }
    writeNames(chart);
    return chart;
  }
  function costChart(list, all, named) {
    const chart = frame("Headline against seconds per edit", "seconds per edit", "headline, %");
    const atLeast = (row) => Math.max(row.cost.seconds_per_edit ?? 0, 0.001);
    const logs = list.map((row) => Math.log10(atLeast(row)));
    const low = Math.floor(Math.min(...logs, -1)), high = Math.ceil(Math.max(...logs, 1));
    const xAt = (log) => L + 14 + (W - R - L - 28) * (log - low) / (high - low);
    for (let p = low; p <= high; p += 1) chart.append(text(xAt(p), H - B + 16, p < 0 ? (10 ** p).toFixed(-p) : String(10 ** p), "middle"));
    for (const row of list) {
      const found = own(row).headline;
      if (found.value === null || row.cost.seconds_per_edit === null || row.cost.seconds_per_edit === undefined) continue;
      const label = `${row.key}: headline ${percent(found.value)}, ${quantity(row.cost.seconds_per_edit)} s per edit`;
      chart.append(point(chart, row, xAt(Math.log10(atLeast(row))), yAt(100 * found.value), label, !all.has(row), named));
    }
    writeNames(chart);
    return chart;
  }

  /* Smaller tables */
  const PARTS = [["targets", "questions that need the fact"], ["controls", "controls"]];
  const FIGURES = ["accuracy", "false accept", "false reject"];
  function drawAccuracy() {
    const names = Object.keys(accuracy);
    if (!names.length) { byId("accuracy").replaceWith(el("p", { class: "none" }, "Not measured; run python -m benchmarks.judges --fresh.")); byId("classes").remove(); return; }
    accuracyHead(byId("accuracy"), names);
    accuracyHead(byId("accuracy-classes"), names);
    for (const [part, title] of PARTS) {
      byId("accuracy").append(el("tbody", {}, accuracyRow(names, title, (name) => accuracy[name][part]?.overall, "total"), ...accuracyRows(names, part, "by_kind")));
      byId("accuracy-classes").append(el("tbody", {}, el("tr", {}, el("th", { class: "name", scope: "rowgroup", colspan: String(2 + 3 * names.length) }, title)), ...accuracyRows(names, part, "by_class")));
    }
  }
  function accuracyHead(table, names) {
    const said = (name) => (accuracy[name].stale ? "measured with another version of this judge" : accuracy[name].targets ? null : "not measured");
    const note = (name) => (said(name) ? el("span", { class: "model" }, said(name)) : null);
    table.append(el("thead", {},
      el("tr", {}, el("td", {}), ...names.map((name) => el("th", { class: "judge", scope: "colgroup", colspan: "3" }, name, note(name))), el("td", {})),
      el("tr", {}, el("th", { class: "name", scope: "col" }, "Replies"), ...names.flatMap(() => FIGURES.map((figure) => el("th", { scope: "col" }, figure))), el("th", { scope: "col" }, "n"))));
  }
  function accuracyRows(names, part, group) {
    const found = new Set(names.flatMap((name) => Object.keys(accuracy[name][part]?.[group] ?? {})));
    return [...found].map((one) => accuracyRow(names, words(one), (name) => accuracy[name][part]?.[group][one]));
  }
  function accuracyRow(names, title, of, look = "") {
    const n = names.map((name) => of(name)?.accuracy?.n).find(Boolean);
    return el("tr", { class: `run ${look}` }, el("td", { class: "name" }, title),
      ...names.flatMap((name) => FIGURES.map((figure) => estimateCell(of(name)?.[figure]))), el("td", {}, String(n ?? "\u2013")));
  }
  function drawApart() {
    if (!apart.length && !board.failed.length) return;
    byId("apart").hidden = false;
    const table = byId("apart-table");
    const head = views.Overview.map((column) => el("th", { scope: "col", class: column.main ? "main" : null }, column.title));
    table.append(el("thead", {}, el("tr", {}, el("th", { class: "rank" }), el("th", { class: "name", scope: "col" }, "Method"), ...head)));
    const view = state.view;
    state.view = "Overview";
    for (const row of apart) table.append(bodyOf(row, "\u2013"));
    state.view = view;
    for (const row of board.failed) {
      table.append(el("tbody", {}, el("tr", { class: "run" }, el("td", { class: "rank" }, "\u2013"), el("td", { class: "name" }, row.method, el("span", { class: "model" }, row.model)),
        el("td", { class: "name wrap", colspan: String(views.Overview.length) }, `failed: ${row.error}`))));
    }
  }
  function redrawApart() { byId("apart-table").replaceChildren(); drawApart(); }

  /* Controls */
  for (const name of judges) byId("judge").append(el("option", { value: name, selected: name === state.judge }, name));
  byId("judge").addEventListener("change", (event) => { state.judge = event.target.value; draw(); redrawApart(); });
  byId("filter").addEventListener("input", (event) => { state.filter = event.target.value; draw(); });
  /** Draw other columns; a table sorted by one that is gone is sorted by headline. */
  function redraw() {
    if (!columns().some((column) => column.id === state.sort)) { state.sort = "headline"; state.down = true; }
    draw();
  }
  for (const name of Object.keys(views)) {
    byId("views").append(el("button", { type: "button", "aria-pressed": String(name === state.view), onclick: (event) => {
      state.view = name;
      for (const other of byId("views").children) other.setAttribute("aria-pressed", String(other === event.currentTarget));
      const scores = Array.isArray(views[name]) ? [] : Object.keys(views[name]);
      byId("score-field").hidden = scores.length < 2;
      byId("score").replaceChildren(...scores.map((score) => el("option", { value: score, selected: score === chosen(name) }, score)));
      redraw();
    } }, name));
  }
  byId("score").addEventListener("change", (event) => { state.score[state.view] = event.target.value; redraw(); });
  function theme(name) {
    document.documentElement.dataset.theme = name;
    byId("theme").textContent = name === "dark" ? "Light" : "Dark";
  }
  const asked = new URLSearchParams(location.search).get("theme");
  theme(["light", "dark"].includes(asked) ? asked : matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  byId("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  const facts = [["runs", rows.length], ["models", new Set(rows.map((row) => row.model)).size], ["methods", methods.length], ["data set", (board.dataset_sha256 ?? "").slice(0, 10)], ["protocol", board.protocol ?? ""]];
  for (const [label, value] of facts) byId("facts").append(el("li", {}, `${label} `, el("b", {}, String(value))));
  draw();
  drawAccuracy();
  drawApart();
  const linked = rows.find((row) => row.key === decodeURIComponent(location.hash.slice(1)));
  if (linked) show(linked);
})();
