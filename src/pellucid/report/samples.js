// The list of samples, and what is said about the chosen one.
const samples = DATA.samples;
const verdict = s => s.probability && finite(s.target) && finite(s.prediction) ? (s.prediction >= 0.5) === (s.target >= 0.5) : null;
const state = { at: -1, visible: [], sort: "index", down: false, camera: null, lit: -1, drawn: null };
const view = $("view3d");

function setUpSamples() {
  if (!samples.length) return;
  $("samples").hidden = false;
  $("bar").style.background = "linear-gradient(90deg," + DATA.colours.map.join(",") + ")";
  $("dot-true").style.background = DATA.colours.true;
  $("dot-false").style.background = DATA.colours.false;
  $("dot-false").style.boxShadow = "inset 0 0 0 1px #aab";
  $("wrong-label").hidden = !samples.some(s => verdict(s) === false);
  const major = samples.flatMap(s => (extents(s) || []).map(row => row[0] / lengthScale(s))).sort((a, b) => a - b);
  if (major.length) { // start where a middling ellipsoid is about as wide as a ball, and say so
    const wish = 0.55 / Math.max(major[Math.floor(major.length / 2)], 1e-6);
    const centre = Math.min(Math.max(Math.log10(wish), -2), 2);
    const nice = Math.abs(centre) < 0.35 ? 0 : Math.round(centre * 10) / 10;
    Object.assign($("k"), { min: nice - 1, max: nice + 0.7 });
    $("k").value = nice;
  }
  $("symbols-label").hidden = !LOOK.symbols.length;
  $("symbols-caption").textContent = LOOK.symbols_caption;
  $("symbols").replaceChildren(...LOOK.symbols.map(({ text }, at) => new Option(text, at)));
  $("switch-label").hidden = !LOOK.switch || !samples.some(s => LOOK.switches === "truth" ? s.important : s.bonds.length);
  $("switch-text").textContent = LOOK.switch;
  $("truth-name").textContent = LOOK.truth.caption;
  $("truth-yes").textContent = LOOK.truth.yes;
  $("truth-no").textContent = LOOK.truth.no;
  $("samples").classList.toggle("tall", LOOK.tall);
  $("ellipsoids").value = LOOK.extents;
  Object.assign(state, { sort: LOOK.sort, down: LOOK.sort === "importance" });
  $("near").textContent = LOOK.near;
  $("near").hidden = !LOOK.near || !samples.some(s => s.sticks);
  $("near").onclick = () => { state.camera = nearCamera(samples[state.at]); draw(); };
  const asked = new Set(samples.map(s => s.signed ? s.predicts : "importance"));
  $("shown").add(new Option(asked.size === 1 && samples.some(s => Object.keys(s.columns).some(id => DATA.columns[id].signed)) ? [...asked][0] : "importance", "importance"));
  for (const [id, { label }] of Object.entries(DATA.columns)) $("shown").add(new Option(id.startsWith("=") ? label : uncapital(label), id));
  $("shown-label").hidden = $("shown").options.length < 2;
  samples.forEach((s, at) => {
    const item = make("div", "item"), ok = verdict(s);
    item.id = "sample-" + at;
    item.setAttribute("role", "option");
    item.append(make("span", ok === null ? "quiet" : ok ? "right" : "wrong", ok === null ? "·" : ok ? "✓" : "✗"),
      make("span", "item-name", s.name), make("span", "item-p", finite(s.prediction) ? s.probability ? s.prediction.toFixed(3) : show(s.prediction, 4) : s.level === "point" ? "" : "–"),
      make("span", "item-sub", [...s.level === "point" ? [] : [s.quantity + (s.quantity_unit ? ` in ${s.quantity_unit}` : "")], ...finite(s.target) ? [`target ${show(s.target, s.probability ? 3 : 4)}`] : [],
        ...ok === false ? ["wrong"] : [], counted(s.labels.length)].join(", ")));
    item.title = `${s.name}: ${item.lastChild.textContent}`;
    item.onclick = () => select(at);
    $("list").append(item);
  });
  $("search").oninput = $("wrong").onchange = filter;
  document.addEventListener("keydown", key);
  for (const id of ["shown", "scale", "symbols", "ellipsoids", "switch"]) $(id).onchange = () => draw();
  $("k").oninput = () => { sizeLabel(); resized(); };
  $("reset").onclick = () => { state.camera = firstCamera(samples[state.at]); draw(); };
  sizeLabel();
  filter();
}

const soon = task => { // at most once a frame
  let waiting = false;
  return () => { if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; task(); }); } };
};
const resized = soon(() => draw(true));
const halo = soon(() => {
  const p = state.lit >= 0 ? state.drawn.s.pos[state.lit] : [null, null, null];
  Plotly.restyle(view, { x: [[p[0]]], y: [[p[1]]], z: [[p[2]]] }, state.drawn.halos).catch(() => undefined);
});

function filter() {
  const words = $("search").value.trim().toLowerCase(), wrong = $("wrong").checked;
  state.visible = [];
  samples.forEach((s, at) => {
    const text = (s.name + " " + Object.values(s.facts).join(" ")).toLowerCase();
    const keep = (!words || text.includes(words)) && (!wrong || verdict(s) === false);
    $("sample-" + at).hidden = !keep;
    if (keep) state.visible.push(at);
  });
  const judged = samples.filter(s => verdict(s) !== null), right = judged.filter(s => verdict(s));
  $("count").textContent = `${state.visible.length} of ${samples.length} shown`
    + (judged.length ? `; ${right.length} of ${judged.length} right at 0.5` : "") + ". Keys ↑ ↓ move.";
  if (state.visible.length && !state.visible.includes(state.at)) select(state.visible[0]);
}

function key(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  const inList = event.target === $("list");
  const box = $("samples").getBoundingClientRect(); // elsewhere on the page the arrows scroll, as ever
  if (!inList && !(view.contains(event.target) || event.target.closest?.(".detail") && box.top < 0.6 * innerHeight)) return;
  const at = state.visible.indexOf(state.at), last = state.visible.length - 1;
  const to = { ArrowDown: Math.min(at + 1, last), ArrowUp: Math.max(at - 1, 0), Home: 0, End: last }[event.key];
  if (to === undefined || last < 0) return;
  event.preventDefault();
  select(state.visible[to]);
}

function select(at) {
  if (state.at >= 0) $("sample-" + state.at).setAttribute("aria-selected", "false");
  state.at = at;
  const item = $("sample-" + at), list = $("list"), s = samples[at];
  item.setAttribute("aria-selected", "true");
  list.setAttribute("aria-activedescendant", item.id);
  if (item.offsetTop - list.offsetTop < list.scrollTop) list.scrollTop = item.offsetTop - list.offsetTop; // not the page
  const under = item.offsetTop - list.offsetTop + item.offsetHeight - list.clientHeight;
  if (under > list.scrollTop) list.scrollTop = under;
  Object.assign(state, { lit: -1, unfolded: false });
  state.camera = firstCamera(s);
  describe(s);
  draw();
}

function describe(s) {
  $("name").textContent = s.name;
  const ok = verdict(s), badges = $("badges");
  badges.replaceChildren(...s.level === "point" ? ofPoints(s) : ofSample(s));
  if (ok !== null) badges.append(make("span", "badge " + (ok ? "right" : "wrong"), ok ? "✓ right" : "✗ wrong"));
  const score = s.important ? auc(strength(s), s.important) : null;
  if (score !== null) badges.append(make("span", "badge", `${s.signed ? "|importance|" : "importance"} against truth: ROC AUC ${score.toFixed(3)}`));
  document.querySelectorAll(".needs-ellipsoids").forEach(node => { node.hidden = !extents(s); });
  $("ellipsoids-caption").textContent = s.radius ? "Spheres" : "Ellipsoids";
  $("facts").replaceChildren(...Object.entries(s.facts).flatMap(([k, v]) => [make("dt", "", k), make("dd", "", v)]));
  const figures = [[s.svg, LOOK.drawing], [s.svg_truth, LOOK.truth.caption], ...Object.entries(s.views).map(([text, svg]) => [svg, text])].filter(([svg]) => svg).map(([svg, text]) => {
    const figure = make("figure"), node = clean(svg);
    if (!node) return null;
    figure.append(node, make("figcaption", "", text + (node.dataset.colours === "fixed" || svg === s.svg_truth ? "" : ", same colours as in 3D")
      + (node.querySelector("[data-kept]") ? "; outlined: the subgraph" : "")));
    return figure;
  }).filter(Boolean);
  $("depictions").replaceChildren(...figures);
  document.querySelector(".below").classList.toggle("no-depictions", !figures.length);
}

const counted = n => `${n} ${n === 1 ? DATA.words.point : DATA.words.points}`;
const unitIn = s => s.quantity_unit ? " " + s.quantity_unit : "";
function ofSample(s) { // what is predicted, what is known, and of a number how far they are apart
  const badges = [make("span", "badge", s.probability ? `${s.predicts} ${finite(s.prediction) ? s.prediction.toFixed(4) : "–"}` : `predicted ${s.quantity} ${show(s.prediction, 4)}${unitIn(s)}`)];
  if (finite(s.target)) badges.push(make("span", "badge", `target ${show(s.target, 4)}${unitIn(s)}`));
  if (!s.probability && finite(s.target) && finite(s.prediction)) badges.push(make("span", "badge", `error ${plus(s.prediction - s.target)}${unitIn(s)}`));
  return badges;
}
function ofPoints(s) {
  const values = s.columns["=value"], truths = s.columns["=truth"] || [], known = values.map((v, i) => i).filter(i => finite(values[i]) && finite(truths[i]));
  const badges = [make("span", "badge", words(`predictions are of {points}: ${s.predicts}`))];
  if (known.length && s.probability) badges.push(make("span", "badge", `${known.filter(i => (values[i] >= 0.5) === (truths[i] >= 0.5)).length} of ${counted(known.length)} right at 0.5`));
  else if (known.length) badges.push(make("span", "badge", `mean |error| ${show(known.reduce((sum, i) => sum + Math.abs(values[i] - truths[i]), 0) / known.length)}${unitIn(s)} over ${counted(known.length)}`));
  return badges;
}

// A drawing may only draw: everything else in it is dropped.
const DRAWING = new Set(["svg", "g", "title", "desc", "path", "ellipse", "circle", "rect", "line", "polyline", "polygon", "text", "tspan"]);
function clean(text) {
  const root = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  if (root.localName !== "svg") return null;
  for (const node of [root, ...root.querySelectorAll("*")]) {
    if (!DRAWING.has(node.localName)) { node.remove(); continue; }
    for (const { name, value } of [...node.attributes])
      if (/^on|href$/i.test(name) || /url\s*\(|@import|javascript:/i.test(value)) node.removeAttribute(name);
  }
  for (const node of root.querySelectorAll("[class]")) { // a class of one word and a number marks what belongs to a point
    const mark = /^[a-z]+-(\d+)$/.exec(node.getAttribute("class").trim());
    if (mark) node.dataset.point = mark[1];
  }
  root.removeAttribute("width");
  root.removeAttribute("height");
  return document.importNode(root, true);
}

function recolour(colours, dark) { // the 2D drawing follows the colour scale of the 3D scene
  const drawings = [...$("depictions").querySelectorAll("svg[data-colours=importance]")];
  if (LOOK.switched) document.querySelectorAll("#depictions ." + LOOK.switched).forEach(part => { part.style.display = $("switch").checked ? "" : "none"; });
  document.querySelectorAll("#depictions ellipse[data-point]").forEach(disc => {
    const at = +disc.dataset.point;
    disc.onmouseenter = () => light(at);
    disc.onmouseleave = () => light(-1);
  });
  for (const svg of drawings) colours.forEach((colour, at) => svg.querySelectorAll(`[data-point="${at}"]`).forEach(node => {
    if (node.localName === "ellipse") { node.style.fill = colour; if (!node.dataset.kept && !node.dataset.outlined) node.style.stroke = colour; }
    else if (node.getAttribute("fill") || node.style.fill) node.style.fill = dark[at] ? "#fff" : "#000";
  }));
}
