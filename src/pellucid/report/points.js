// The table of points, and the mark that follows the mouse through all views.
const rankOrder = values => values.map((v, i) => i).filter(i => finite(values[i])).sort((a, b) => values[b] - values[a]);
function rankLabels(values) {
  const order = rankOrder(values), out = values.map(() => "–"); // 1 = most important; equal values share a rank
  order.forEach((i, at) => { out[i] = at && values[i] === values[order[at - 1]] ? out[order[at - 1]] : at + 1; });
  return out;
}

function table(s, colours, rank) {
  const more = Object.keys(s.columns).filter(id => id !== "spread"), spread = s.columns.spread, shown = quantity(s).id;
  const swatched = shown === "spread" ? "importance" : shown; // the spread stands behind the importance
  const unit = unitOf(s), columns = [...(LOOK.index ? [["index", "#", "num"]] : []), ...Object.keys(s.texts).map(id => ["text " + id, id, ""]),
    ...(LOOK.index && nameless(s) ? [] : [["label", LOOK.label, ""]]), ["importance", s.importance_unit ? `Importance (${s.importance_unit})` : "Importance", "num"], ["rank", "Rank", "num"]];
  for (const id of more) {
    const { label, kinds, signed, of, unit: own } = DATA.columns[id]; // a contribution to an output must not look like the output
    columns.push(["column " + id, id.startsWith("=by ") ? `importance:${id.slice(4)}${own ? ` (${own})` : ""}` : signed ? `Contribution to ${of}${own ? ` (${own})` : ""}` : label, kinds.length ? "" : signed ? "num wrap" : "num"]);
  }
  const truth = s.important ? [["truth", LOOK.truth.column, ""]] : [];
  if (LOOK.truth.first) columns.push(...truth);
  if (s.std) columns.push(["std0", `σ₁ (${unit})`, "num"], ["std1", "σ₂", "num"], ["std2", "σ₃", "num"]);
  if (s.radius) columns.push(["radius", `σ (${unit})`, "num"]);
  if (!LOOK.truth.first) columns.push(...truth);
  if (!columns.some(([id]) => id === state.sort)) { state.sort = "index"; state.down = false; }
  const value = (i, id) => id.startsWith("column ") ? s.columns[id.slice(7)][i] : id.startsWith("text ") ? s.texts[id.slice(5)][i] : ({ index: i, label: s.labels[i], importance: s.importance[i], rank: rank[i], truth: s.important?.[i],
    radius: s.radius?.[i], std0: s.std?.[i][0], std1: s.std?.[i][1], std2: s.std?.[i][2] })[id];
  const head = make("tr");
  for (const [id, title, cls] of columns) {
    const cell = make("th", cls), button = make("button", "", title + (id === state.sort ? (state.down ? " ▾" : " ▴") : ""));
    button.type = "button";
    button.title = id === "radius" ? "standard deviation, alike in all directions; click to sort" : id === "rank" && s.signed ? "by absolute value; click to sort" : id.startsWith("std") ? "standard deviation along this principal axis, largest first; click to sort" : DATA.columns[id.slice(7)]?.about && id.startsWith("column ") ? `${DATA.columns[id.slice(7)].about} Click to sort` : "click to sort";
    cell.setAttribute("aria-sort", id === state.sort ? (state.down ? "descending" : "ascending") : "none");
    button.onclick = () => {
      state.down = id === state.sort ? !state.down : ["importance", "truth"].includes(id) || id.startsWith("column ");
      state.sort = id;
      table(s, colours, rank);
    };
    cell.append(button);
    head.append(cell);
  }
  const missing = v => v === null || v === undefined || v === "–";
  const order = s.pos.map((p, i) => i).sort((a, b) => {
    const x = value(a, state.sort), y = value(b, state.sort);
    if (missing(x) || missing(y)) return missing(x) - missing(y) || a - b; // what is missing comes last, either way
    const way = state.sort.startsWith("text ") ? x.localeCompare(y, "en", { numeric: true }) : x < y ? -1 : x > y ? 1 : 0;
    return way * (state.down ? -1 : 1) || a - b;
  });
  const fixed = {}; // as many decimals as give the column's largest number four digits, so that points line up
  for (const [id] of columns) {
    const most = Math.max(...s.pos.map((p, i) => Math.abs(value(i, id))).filter(finite), 0);
    const whole = id.startsWith("column ") && s.pos.every((p, i) => !finite(value(i, id)) || Number.isInteger(value(i, id)));
    fixed[id] = whole && most < 1e5 ? 0 : most >= 1e-3 && most < 1e5 ? Math.min(Math.max(3 - Math.floor(Math.log10(most)), 0), 5) : null;
  }
  const hasSign = id => id === "importance" ? s.signed : id.startsWith("column ") && DATA.columns[id.slice(7)].signed;
  const write = (v, id) => (finite(v) && v > 0 && hasSign(id) ? "+" : "") + (!finite(v) || fixed[id] === null ? show(v, 4) : v.toFixed(fixed[id]).replace("-", "−"));
  const body = document.createDocumentFragment();
  const folded = LOOK.fold && !state.unfolded ? order.slice(0, LOOK.fold) : order;
  $("unfold").hidden = folded.length === order.length;
  $("unfold").textContent = `Show all ${counted(order.length)}`;
  $("unfold").onclick = () => { state.unfolded = true; table(s, colours, rank); };
  for (const i of folded) {
    const row = make("tr");
    row.dataset.point = i;
    for (const [id, , cls] of columns) {
      const v = value(i, id);
      const kinds = id.startsWith("column ") ? DATA.columns[id.slice(7)].kinds : [];
      const cell = make("td", cls, kinds.length ? kinds[v] ?? "–" : id === "truth" ? (v ? "● " + LOOK.truth.yes : "–") : id === "label" || id === "index" || id === "rank" || id.startsWith("text ") ? String(v) : write(v, id));
      if (kinds.length && !v) cell.classList.add("quiet");
      if (id === "truth" && v) cell.classList.add("yes");
      if (id === "importance" && spread) cell.append(make("span", "quiet", " ± " + write(spread[i], id).replace("+", "")));
      if (id === swatched || id === "column " + swatched) {
        const swatch = make("span", "swatch");
        swatch.style.background = colours[i];
        cell.prepend(swatch);
      }
      row.append(cell);
    }
    row.onmouseenter = () => light(i);
    row.onmouseleave = () => light(-1);
    body.append(row);
  }
  $("points").tHead.replaceChildren(head);
  $("points").tBodies[0].replaceChildren(body);
}

function light(at, fromScene = false) { // marks one point in the table, the drawings and (from there) the 3D scenes
  if (at === state.lit) return;
  state.lit = at;
  document.querySelectorAll("#points tr.lit, #depictions .lit").forEach(node => node.classList.remove("lit"));
  if (at >= 0) {
    document.querySelector(`#points tr[data-point="${at}"]`)?.classList.add("lit");
    document.querySelectorAll(`#depictions ellipse[data-point="${at}"]`).forEach(node => node.classList.add("lit"));
  }
  if (!fromScene) halo();
}
