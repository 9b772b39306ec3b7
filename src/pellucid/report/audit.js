// The page of an audit: histogram, map, samples with their neighbours.
const PALETTE = ["#a04bc4", "#ef7f45", "#0f9f92", "#4c7bd9", "#c79a2c", "#d94f86", "#6fae3d", "#8b6f5c", "#35a7d6", "#8a93a2"];
const INDEX = { id: 0, score: 1, rank: 2, label: 3, suggested: 4 };
const of = (i, what) => DATA.about[i][INDEX[what]];
const hasLabels = DATA.classes.length > 0, name = at => DATA.labels[at];
const colourOf = at => PALETTE[DATA.code[at]];
const shownAt = new Map(); // sample -> its card
const { low, high, counts } = DATA.histogram;

function svg(tag, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

function ticks(from, to, about) { // round numbers between two ends
  const rough = (to - from) / about, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(m => m * power).find(s => s >= rough), out = [];
  for (let at = Math.ceil(from / step - 1e-9); at * step <= to + step * 1e-9; at++) out.push(+(at * step).toPrecision(10));
  return out;
}

function histogram() {
  const box = $("histogram"), width = box.clientWidth, height = box.clientHeight, root = $("axis").value === "root";
  const left = 52, right = width - 8, top = 8, bottom = height - 40, bins = counts[0].length;
  const totals = counts[0].map((_, b) => counts.reduce((sum, row) => sum + row[b], 0)), most = Math.max(...totals, 1);
  const scale = v => root ? Math.sqrt(v) : v, y = v => bottom - (bottom - top) * scale(v) / scale(most);
  const x = s => left + (right - left) * (s - low) / (high - low);
  box.setAttribute("viewBox", `0 0 ${width} ${height}`);
  box.replaceChildren();
  const power = 10 ** Math.floor(Math.log10(most)), steps = [5, 2, 1, 0.5, 0.2, 0.1, 0.01, 0.001];
  const marks = (root ? [0, ...steps.map(m => m * power).filter(v => v <= most)] : ticks(0, most, 4)).filter(Number.isInteger);
  for (const v of marks.filter(m => !m || y(0) - y(m) > 16)) {
    box.append(svg("line", { x1: left, x2: right, y1: y(v), y2: y(v) }),
      svg("text", { x: left - 8, y: y(v) + 4, "text-anchor": "end" }, v.toLocaleString("en")));
  }
  for (const v of ticks(low, high, 6)) box.append(svg("text", { x: x(v), y: bottom + 17, "text-anchor": "middle" }, show(v)));
  box.append(svg("text", { x: (left + right) / 2, y: height - 5, "text-anchor": "middle" }, "score"));
  const wide = (right - left) / bins;
  for (let b = 0; b < bins; b++) {
    const bar = svg("g", {}), ends = [0, 1].map(e => show(low + (high - low) * (b + e) / bins));
    let below = 0;
    counts.forEach((row, c) => { // stacked; on a root axis the parts keep their share of the bar's length
      if (!row[b]) return;
      const from = y(totals[b]) + (bottom - y(totals[b])) * (1 - below / totals[b]);
      const size = (bottom - y(totals[b])) * row[b] / totals[b];
      bar.append(svg("rect", { x: left + b * wide + 0.5, width: Math.max(wide - 1, 1), y: from - size, height: size,
        fill: hasLabels ? PALETTE[c] : css("--ours") }));
      below += row[b];
    });
    const parts = counts.map((row, c) => [row[b], DATA.classes[c]]).filter(([n]) => n).sort((a, z) => z[0] - a[0]).slice(0, 5);
    bar.append(svg("title", {}, `${ends[0]} to ${ends[1]}: ${totals[b].toLocaleString("en")} samples` +
      (hasLabels ? "\n" + parts.map(([n, c]) => `${c}: ${n.toLocaleString("en")}`).join("\n") : "")));
    box.append(bar);
  }
}

const canvas = $("map").firstElementChild;
let lit = -1, spots = [];

function map() {
  const ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight, pad = 16;
  canvas.width = width * ratio; canvas.height = height * ratio;
  const draw = canvas.getContext("2d"), { samples, x, y } = DATA.map, ends = v => v.reduce(([a, b], c) => [Math.min(a, c), Math.max(b, c)], [Infinity, -Infinity]);
  const [x0, x1] = ends(x), [y0, y1] = ends(y), paint = $("paint").value;
  const unit = Math.min((width - 2 * pad) / (x1 - x0 || 1), (height - 2 * pad) / (y1 - y0 || 1)); // one unit for both axes
  const [dx, dy] = [(width - unit * (x1 - x0)) / 2, (height - unit * (y1 - y0)) / 2];
  spots = samples.map((s, at) => [s, dx + unit * (x[at] - x0), height - dy - unit * (y[at] - y0)]);
  draw.scale(ratio, ratio);
  draw.clearRect(0, 0, width, height);
  const size = samples.length > 2500 ? 2 : samples.length > 600 ? 2.7 : 3.6;
  const order = [...spots].sort((a, b) => of(b[0], "rank") - of(a[0], "rank")); // the first of the ranking on top
  draw.globalAlpha = 0.75;
  for (const [s, px, py] of order) {
    draw.fillStyle = paint === "score" ? colourAt((of(s, "score") - low) / (high - low)) : colourOf(of(s, paint));
    draw.beginPath(); draw.arc(px, py, size, 0, 7); draw.fill();
  }
  draw.globalAlpha = 1;
  if ($("rings").checked) for (const [s, px, py] of spots) if (shownAt.has(s)) {
    draw.strokeStyle = css("--ink"); draw.lineWidth = 1.2;
    draw.beginPath(); draw.arc(px, py, size + 2.4, 0, 7); draw.stroke();
  }
  const at = spots.find(([s]) => s === lit);
  if (at) {
    draw.strokeStyle = css("--ours"); draw.lineWidth = 2.5;
    draw.beginPath(); draw.arc(at[1], at[2], size + 5, 0, 7); draw.stroke();
  }
}

function light(sample) {
  if (sample === lit) return;
  shownAt.get(lit)?.classList.remove("lit");
  lit = sample;
  shownAt.get(lit)?.classList.add("lit");
  map();
}

function pointed(event) {
  const box = canvas.getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top;
  let best = -1, near = 12 ** 2;
  spots.forEach(([s, x, y]) => { // of those at hand the first of the ranking
    const d = (x - px) ** 2 + (y - py) ** 2;
    if (d < near - 4 || (d < near + 4 && best >= 0 && of(s, "rank") < of(best, "rank"))) { near = Math.min(d, near); best = s; }
  });
  return [best, px, py];
}

canvas.onmousemove = event => {
  const [s, px, py] = pointed(event), tip = $("tip");
  light(s);
  tip.hidden = s < 0;
  canvas.style.cursor = shownAt.has(s) ? "pointer" : "default";
  if (s < 0) return;
  tip.replaceChildren(make("b", "", of(s, "id")));
  const line = text => tip.append(make("div", "", text));
  if (of(s, "label") !== null) line(`label ${name(of(s, "label"))}`);
  if (of(s, "suggested") !== null) line(`suggested ${name(of(s, "suggested"))}`);
  line(`score ${show(of(s, "score"))}, rank ${of(s, "rank").toLocaleString("en")}`);
  if (DATA.kind === "image" && DATA.looks[s]) tip.append(look(s));
  if (DATA.kind === "text" && DATA.looks[s]) line(DATA.looks[s].slice(0, 160));
  if (shownAt.has(s)) tip.append(make("div", "quiet", "click to see it with its neighbours"));
  tip.style.left = Math.max(0, px + 14 + tip.offsetWidth > canvas.clientWidth ? px - 14 - tip.offsetWidth : px + 14) + "px";
  tip.style.top = Math.max(0, Math.min(py + 12, canvas.clientHeight - tip.offsetHeight)) + "px";
};
canvas.onmouseleave = () => { $("tip").hidden = true; light(-1); };
canvas.onclick = event => shownAt.get(pointed(event)[0])?.scrollIntoView({ block: "center", behavior: "smooth" });

function legend() {
  const box = $("legend"), paint = $("paint").value;
  box.replaceChildren();
  if (hasLabels) DATA.classes.forEach((c, at) => {
    const entry = make("span"), swatch = make("span", "swatch");
    swatch.style.background = PALETTE[at];
    entry.append(swatch, c);
    box.append(entry);
  });
  if (paint === "score") {
    const entry = make("span", "colour-bar"), bar = make("span", "gradient");
    bar.style.cssText = `background: linear-gradient(90deg, ${DATA.colours.map.join(",")}); width: 160px;`;
    entry.append("map: score " + show(low), bar, show(high));
    box.append(entry);
  }
}

function look(s) {
  if (!DATA.looks[s]) return make("div", "empty");
  const image = make("img");
  image.src = DATA.looks[s];
  image.alt = "sample " + of(s, "id");
  image.onload = () => image.classList.toggle("pixels", Math.max(image.naturalWidth, image.naturalHeight) <= 64);
  return image;
}

function tag(at, cls = "") {
  const node = make("span", "tag " + cls), swatch = make("span", "swatch");
  swatch.style.background = colourOf(at);
  node.append(swatch, name(at));
  return node;
}

const differs = (s, n) => of(s, "label") !== null && of(n, "label") !== of(s, "label");

function images(s) {
  const box = make("div", "seen"), near = make("div", "near");
  for (const n of DATA.neighbours[s]) {
    const figure = make("figure"), label = of(n, "label");
    const caption = make("figcaption", differs(s, n) ? "other" : "", label === null ? "" : name(label));
    figure.title = `${of(n, "id")}, score ${show(of(n, "score"))}`;
    figure.append(look(n), caption);
    near.append(figure);
  }
  box.append(look(s), near);
  return [box];
}

function texts(s) {
  const more = make("details"), near = DATA.neighbours[s];
  more.open = true;
  more.append(make("summary", "", `its ${near.length} nearest neighbours`));
  for (const n of near) {
    const line = make("p", "neighbour");
    line.append(of(n, "label") === null ? make("b", "", of(n, "id")) : tag(of(n, "label"), differs(s, n) ? "other" : ""), make("span", "", DATA.looks[n]));
    line.title = DATA.looks[n];
    more.append(line);
  }
  return [make("p", "words", DATA.looks[s]), more];
}

function numbers(s) {
  const table = make("table", DATA.typical ? "plain usual" : "plain"), head = make("tr"), scroll = make("div", "scroll");
  const typical = DATA.typical ? ["Its label"] : [];
  ["Feature", "This", "Neighbours", ...typical, "Difference"].forEach((title, at) => head.append(make("th", at ? "num" : "", title)));
  head.lastChild.title = `to the median of ${DATA.typical ? "all with its label" : "the neighbours"}, in standard deviations of the feature; the largest first`;
  table.append(make("thead"), make("tbody"));
  table.tHead.append(head);
  for (const [feature, ...values] of DATA.looks[s]) {
    const row = make("tr"), away = values.pop();
    row.append(make("td", "", feature), ...values.map(v => make("td", "num", show(v, 4))), make("td", Math.abs(away) >= 2 ? "num differs" : "num", finite(away) ? (away > 0 ? "+" : away < 0 ? "−" : "") + Math.abs(away).toFixed(1) + " σ" : "–"));
    table.tBodies[0].append(row);
  }
  scroll.append(table);
  const chips = make("div", "chips");
  for (const n of DATA.neighbours[s]) {
    const chip = of(n, "label") === null ? make("span", "tag", of(n, "id")) : tag(of(n, "label"), differs(s, n) ? "other" : "");
    chip.title = `${of(n, "id")}, score ${show(of(n, "score"))}`;
    chips.append(chip);
  }
  return [scroll, chips];
}

function card(s, place) {
  const box = make("article", "sample"), head = make("div", "sample-head"), opinion = make("div", "opinion");
  head.append(make("span", "place", place), make("span", "id", of(s, "id")), make("span", "score", "score " + show(of(s, "score"))));
  if (of(s, "label") !== null) opinion.append(make("span", "quiet", "label"), tag(of(s, "label")));
  if (of(s, "suggested") !== null && of(s, "suggested") !== of(s, "label")) opinion.append(make("span", "quiet", "suggested"), tag(of(s, "suggested")));
  box.append(head, ...opinion.childNodes.length ? [opinion] : [], ...{ image: images, text: texts, rows: numbers }[DATA.kind](s));
  box.onmouseenter = () => light(s);
  box.onmouseleave = () => light(-1);
  return box;
}

function galleries() {
  for (const [title, lead, samples] of DATA.galleries) {
    const section = make("section"), grid = make("div", "gallery " + DATA.kind), filter = make("select");
    const labels = [...new Set(samples.map(s => of(s, "label")))].sort((a, b) => a - b);
    if (hasLabels && labels.length > 1) {
      filter.setAttribute("aria-label", "Label");
      filter.add(new Option("all labels", ""));
      labels.forEach(at => filter.add(new Option("label " + name(at), at)));
      const box = make("label", "filter", "Show ");
      box.append(filter);
      section.append(box);
    }
    section.append(make("h2", "", title), make("p", "lead", lead), grid);
    const cards = samples.map((s, at) => [s, card(s, String(at + 1))]);
    for (const [s, node] of cards) {
      if (!shownAt.has(s)) shownAt.set(s, node);
      grid.append(node);
    }
    filter.onchange = () => cards.forEach(([s, node]) => { node.hidden = filter.value !== "" && of(s, "label") !== +filter.value; });
    $("galleries").append(section);
  }
}

function download() {
  const rows = DATA.ranking, all = rows.length === DATA.samples, quoted = v => /[",\n\r]/.test(v) ? `"${v.replaceAll('"', '""')}"` : v;
  const columns = ["id", "score", "rank", "label", "suggested"].filter(c => rows[0][INDEX[c]] !== null);
  $("save").textContent = all ? "Download as CSV" : `Download the first ${rows.length.toLocaleString("en")} as CSV`;
  $("save").onclick = () => {
    const value = (row, c) => { const v = row[INDEX[c]]; return c === "label" || c === "suggested" ? name(v) : v; };
    const text = [columns, ...rows.map(row => columns.map(c => quoted(String(value(row, c)))))].map(row => row.join(",")).join("\n") + "\n";
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = "ranking.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
}

for (const [value, text] of [["label", "by label"], ["suggested", "by suggested label"], ["score", "by score"]])
  if (value === "score" || DATA.ranking[0][INDEX[value]] !== null) $("paint").add(new Option(text, value));
const drawAll = () => { histogram(); map(); legend(); };
galleries();
download();
drawAll();
$("axis").onchange = histogram;
$("paint").onchange = () => { map(); legend(); };
$("rings").onchange = map;
addEventListener("resize", drawAll);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
