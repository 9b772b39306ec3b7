// The list of samples, and what is said about the chosen one.
const samples = DATA.samples;
const asked = s => s.answers.find(answer => answer.name === $("target").value) || s.answers[0]; // the output that is looked at
const contributed = s => asked(s) !== s.answers[0] && s.columns["=of " + asked(s).name] ? "=of " + asked(s).name : "importance"; // what its drawings are coloured by
const known = a => finite(a.target) && finite(a.prediction);
const verdict = s => { const a = asked(s); return a.probability && known(a) ? (a.prediction >= 0.5) === (a.target >= 0.5) : null; };
function error(s) { // none within a bound: the true value may be anywhere beyond it
  const a = asked(s), gap = a.prediction - a.target;
  return !known(a) ? null : a.bound * gap > 0 ? 0 : gap;
}
const state = { at: -1, visible: [], sort: "index", down: false, camera: null, lit: -1, drawn: null };
const view = $("view3d");

function setUpSamples() {
  if (!samples.length) return;
  $("samples").hidden = false;
  $("bar").style.background = "linear-gradient(90deg," + DATA.colours.map.join(",") + ")";
  $("dot-true").style.background = DATA.colours.true;
  $("dot-false").style.background = DATA.colours.false;
  $("dot-false").style.boxShadow = "inset 0 0 0 1px #aab";
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
  setUpGrid();
  setUpDrawings();
  document.addEventListener("keydown", key);
  for (const id of ["shown", "symbols", "ellipsoids", "switch"]) $(id).onchange = () => draw();
  $("scale").onchange = () => { repaintTiles(); draw(); };
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
  chooseTile(at);
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
  $("warning").hidden = !s.facts.Warning;
  $("warning").textContent = "⚠ " + s.facts.Warning;
  depictions(s);
  besideOthers(s);
}

const counted = n => `${n} ${n === 1 ? DATA.words.point : DATA.words.points}`;
const unitIn = s => s.quantity_unit ? " " + s.quantity_unit : "";
const inUnit = a => a.unit ? " " + a.unit : "";
const knownAs = (a, digits = 4) => `${a.bound > 0 ? "≥ " : a.bound < 0 ? "≤ " : ""}${show(a.target, digits)}`;
function ofSample(s) { // what is predicted, what is known, and of a number how far they are apart
  const a = asked(s), badges = [make("span", "badge", a.probability ? `${a.name} ${finite(a.prediction) ? a.prediction.toFixed(4) : "–"}` : `predicted ${a.quantity} ${show(a.prediction, 4)}${inUnit(a)}`)];
  if (finite(a.target)) badges.push(make("span", "badge", `target ${knownAs(a)}${inUnit(a)}`));
  if (!a.probability && error(s) !== null) badges.push(make("span", "badge", `error ${plus(error(s))}${inUnit(a)}`));
  return badges;
}
function ofPoints(s) {
  const values = s.columns["=value"], truths = s.columns["=truth"] || [], known = values.map((v, i) => i).filter(i => finite(values[i]) && finite(truths[i]));
  const badges = [make("span", "badge", words(`predictions are of {points}: ${s.predicts}`))];
  if (known.length && s.probability) badges.push(make("span", "badge", `${known.filter(i => (values[i] >= 0.5) === (truths[i] >= 0.5)).length} of ${counted(known.length)} right at 0.5`));
  else if (known.length) badges.push(make("span", "badge", `mean |error| ${show(known.reduce((sum, i) => sum + Math.abs(values[i] - truths[i]), 0) / known.length)}${unitIn(s)} over ${counted(known.length)}`));
  return badges;
}
