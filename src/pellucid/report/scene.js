// The 3D scenes.
const extents = s => s.std || s.radius && s.radius.map(r => [r, r, r]); // standard deviations of the noise along its axes
const EVEN = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
function lengthScale(s) { // the unit of drawing: 1 for bonds of length 1.4, so that any unit of length looks right
  if (s.scale) return s.scale;
  let lengths = s.bonds.map(([a, b]) => Mesh.length(Mesh.sub(s.pos[a], s.pos[b])));
  if (!lengths.length) lengths = s.pos.slice(0, 200).map((p, a) => Math.min(...s.pos.filter((q, b) => b !== a)
    .map(q => Mesh.length(Mesh.sub(p, q))).filter(d => d > 0)));
  lengths = lengths.filter(d => finite(d) && d > 0).sort((a, b) => a - b);
  return s.scale = lengths.length ? lengths[Math.floor(lengths.length / 2)] / 1.4 : 1;
}

const besideColour = label => LOOK.colours[label] || "#3b4352"; // of what stands beside the points

const REACH = 4; // the axes go this much farther out than the points, so that no ellipsoid is cut off
function frame(s) {
  const { centre: mean, axes } = Mesh.principal(s.pos), scale = lengthScale(s);
  let centre = [0, 0, 0]; // the middle of the box along the principal axes, so that the picture is centred
  for (const axis of axes) {
    const places = s.pos.map(p => Mesh.dot(Mesh.sub(p, mean), axis)), middle = (Math.min(...places) + Math.max(...places)) / 2;
    centre = centre.map((c, at) => c + middle * axis[at]);
  }
  centre = centre.map((c, at) => c + mean[at]);
  const radius = Math.max(...s.pos.map(p => Mesh.length(Mesh.sub(p, centre)))) + 0.7 * scale;
  return { centre, axes, radius };
}

function facing(axes, way) { // the axes turned so that the last one points along `way`, as far as it has a length
  const length = Mesh.length(way);
  if (length < 1e-6) return axes;
  const z = way.map(c => c / length), across = a => Mesh.sub(a, z.map(c => c * Mesh.dot(a, z)));
  const wide = across(axes[0]), x = Mesh.length(wide) > 0.3 ? wide : across(axes[1]), size = Mesh.length(x);
  return [x.map(c => c / size), Mesh.cross(z, x).map(c => c / size), z];
}

// How far away one must be to see a point at `p` (from the middle), `pad` around it, with Plotly's 45 degrees: a sample may
// be deep, and what is near takes more room.
const fitting = (p, [x, y, z], aspect, pad) => Mesh.dot(p, z) + (Math.max(Math.abs(Mesh.dot(p, x)) / aspect, Math.abs(Mesh.dot(p, y))) + pad) / Math.tan(Math.PI / 8);

function firstCamera(s) {
  const { axes: principal, centre, radius } = frame(s);
  const axes = s.sticks ? facing(principal, Mesh.sub(Mesh.middle(s.sticks.pos), centre)) : principal; // what stands beside is in front
  const wide = Math.max(...s.pos.map(p => Math.abs(Mesh.dot(Mesh.sub(p, centre), axes[0]))));
  const high = Math.max(...s.pos.map(p => Math.abs(Mesh.dot(Mesh.sub(p, centre), axes[1]))));
  const box = view.getBoundingClientRect(), pair = !!s.important && !s.sticks, stacked = pair && narrow();
  const aspect = (box.width / (pair && !stacked ? 2 : 1)) / ((box.height || 470) / (stacked ? 2 : 1)) || 1;
  const middling = extents(s) ? extents(s).map(row => row[0]).sort((a, b) => a - b)[Math.floor(s.pos.length / 2)] * kValue() : 0;
  const pad = 0.9 * lengthScale(s) + Math.min(middling, 1.2 * lengthScale(s));
  const fill = Math.max((wide + pad) / Math.max(aspect, 0.3), high + pad) / radius; // half-height wanted, in radii
  const narrowest = axes[2], tilt = axes[1];
  const away = [0, 1, 2].map(c => 0.96 * narrowest[c] + 0.2 * tilt[c] + 0.18 * axes[0][c]);
  const seen = facing(axes, away);
  const far = s.sticks ? Math.max(...s.pos.map(p => fitting(Mesh.sub(p, centre), seen, aspect, pad))) / (2 * radius)
    : Math.max(1.02 * fill + 0.16, 0.35);
  const eye = away.map(c => far * c);
  const [x, y, z] = axes[1];
  return { eye: { x: eye[0], y: eye[1], z: eye[2] }, up: { x, y, z }, center: { x: 0, y: 0, z: 0 } };
}

function nearCamera(s) { // from where the first view looks, but near what stands beside and around it
  const { centre, radius } = frame(s), middle = Mesh.middle(s.sticks.pos), { eye, up } = firstCamera(s);
  const around = Math.max(...s.sticks.pos.map(p => Mesh.length(Mesh.sub(p, middle)))) + 6;
  const [x, y, z] = Mesh.sub(middle, centre).map(c => c / (2 * radius)), far = (1.05 * around / radius) / Math.hypot(eye.x, eye.y, eye.z);
  return { eye: { x: x + far * eye.x, y: y + far * eye.y, z: z + far * eye.z }, up, center: { x, y, z } };
}

const narrow = () => view.clientWidth < 560;
const kValue = () => Math.pow(10, +$("k").value);
function sizeLabel() {
  const k = kValue(), z = k / Math.SQRT2, poly = 1 / (1 + 0.3275911 * z); // share of a 3D normal within k deviations
  const erf = 1 - poly * (0.254829592 + poly * (-0.284496736 + poly * (1.421413741 + poly * (-1.453152027 + poly * 1.061405429)))) * Math.exp(-z * z);
  const inside = Math.max(erf - Math.sqrt(2 / Math.PI) * k * Math.exp(-k * k / 2), 0);
  $("k-out").textContent = `${show(k, 2)} std`;
  $("k-out").title = `${(100 * inside).toFixed(0)} % of the noise lies inside ${samples[state.at]?.radius ? "a sphere" : "an ellipsoid"}`;
  return inside;
}

function draw(onlySizes = false) {
  const s = samples[state.at], { colours, dark, kinds, low, high, note, signed } = painted(s, $("scale").value), n = s.pos.length;
  const scale = lengthScale(s), { centre, radius } = frame(s), unit = unitOf(s);
  const rank = rankLabels(strength(s)), { label: title, about } = quantity(s);
  const level = n > 1200 ? 0 : n > 250 ? 1 : n > 90 ? 2 : 3;
  const chosen = chooseEllipsoids(s), shrink = chosen.length ? 0.85 : 1; // leave room for small ellipsoids
  const ball = s.labels.map(label => LOOK.radii ? shrink * scale * (0.15 + 0.23 * (LOOK.radii[label] || 0.76)) : 0.2 * scale);
  const unitAxes = EVEN;
  const told = Object.entries(s.texts).map(([name, texts]) => [name.toLowerCase(), texts]);
  const heading = i => told.length ? `<b>${escape(s.labels[i])}</b>` + told.map(([name, texts]) => `, ${escape(name)} ${escape(texts[i] || "–")}`).join("")
    : nameless(s) ? `<b>${escape(DATA.words.point)} ${i}</b>` : `<b>${escape(s.labels[i])} ${i}</b>`;
  const text = s.pos.map((p, i) => `${heading(i)}<br>importance ${s.signed ? plus(s.importance[i], 4) : show(s.importance[i], 4)}${s.importance_unit ? " " + escape(s.importance_unit) : ""}${s.columns.spread ? ` ± ${show(s.columns.spread[i], 2)}` : ""}, rank ${rank[i]} of ${n}`
    + Object.keys(s.columns).filter(id => id !== "spread").map(id => `<br>${escape(id.startsWith("=of ") ? "contribution to " + DATA.columns[id].of : id.startsWith("=") ? DATA.columns[id].label : uncapital(DATA.columns[id].label))} `
      + escape(DATA.columns[id].kinds.length ? DATA.columns[id].kinds[s.columns[id][i]] ?? "–" : DATA.columns[id].signed ? plus(s.columns[id][i]) + (DATA.columns[id].unit ? " " + DATA.columns[id].unit : "") : show(s.columns[id][i], 3))).join("")
    + (s.std ? `<br>std along its axes ${s.std[i].map(x => show(x)).join(" / ")} ${escape(unit)}` : "")
    + (s.radius ? `<br>std ${show(s.radius[i])} ${escape(unit)}, alike in all directions` : "")
    + (s.important ? `<br>${escape(LOOK.truth.told[s.important[i]])}` : ""));
  const eye = state.camera.eye, up = state.camera.up;
  const eyeLength = Math.hypot(eye.x, eye.y, eye.z), lamp = c => 5e4 * (eye[c] / eyeLength + 0.8 * up[c]); // Plotly's limit is 1e5
  const light3 = { x: lamp("x"), y: lamp("y"), z: lamp("z") };
  const mesh = (name, m, sceneName, more) => ({ type: "mesh3d", name, scene: sceneName, x: m.x, y: m.y, z: m.z, i: m.i, j: m.j, k: m.k,
    vertexcolor: m.colour, flatshading: false, lightposition: light3, showscale: false,
    lighting: { ambient: 0.72, diffuse: 0.5, specular: 0.12, roughness: 0.5, fresnel: 0.05, facenormalsepsilon: 0, vertexnormalsepsilon: 0 }, ...more });
  const joined = new Set(LOOK.tubes && n > 3000 ? s.bonds.flatMap(([a, b]) => [a, b]) : []); // a long tube is drawn without balls on it
  const balls = s.pos.map((p, i) => i).filter(i => !joined.has(i));
  const dots = (tone, sceneName) => {
    const m = Mesh.ellipsoids(balls.map(i => s.pos[i]), balls.map(() => unitAxes), balls.map(i => [ball[i], ball[i], ball[i]]), balls.map(i => tone[i]), balls, level);
    return mesh("points", m, sceneName, owned(m, text));
  };
  const stickMesh = LOOK.tubes ? Mesh.bonds(s.pos, s.bonds, 1.3 * scale, a => colours[a], true) : Mesh.bonds(s.pos, s.bonds, scale, (a, b) => s.columns.subgraph?.[a] && s.columns.subgraph[b] ? DATA.colours.mark
    : LOOK.true_bonds && s.important?.[a] && s.important[b] ? DATA.colours.true : "#9aa1ac");
  const owned = (m, texts) => ({ text: m.owner.map(i => texts[i]), customdata: m.owner, hovertemplate: "%{text}<extra></extra>" });
  const sticks = sceneName => mesh("bonds", stickMesh, sceneName, LOOK.tubes ? owned(stickMesh, text) : { hoverinfo: "skip" });
  const ring = sceneName => ({ type: "scatter3d", mode: "markers", name: "halo", scene: sceneName, x: [null], y: [null], z: [null],
    hoverinfo: "skip", marker: { symbol: "circle-open", size: 26, color: "#1a2230", line: { width: 3, color: "#1a2230" } } });
  const traces = [dots(colours, "scene"), ring("scene")];
  const tied = s.bonds.length && (!LOOK.switch || LOOK.switches !== "bonds" || $("switch").checked);
  if (tied) traces.push(sticks("scene"));
  if (chosen.length) {
    const k = kValue(), at = chosen.map(i => s.pos[i]), axes = chosen.map(i => s.axes ? s.axes[i] : EVEN);
    const std = extents(s), radii = chosen.map(i => std[i].map(x => Math.max(k * x, 0.004 * scale)));
    const tone = chosen.map(i => colours[i]);
    const m = Mesh.ellipsoids(at, axes, radii, tone, chosen, n > 250 ? 1 : 3);
    traces.push(mesh(s.radius ? "spheres" : "ellipsoids", m, "scene", { opacity: 0.2, ...owned(m, text) }));
    if (chosen.length <= 150 && s.axes) {
      const r = Mesh.rings(at, axes, radii, tone);
      traces.push({ type: "scatter3d", mode: "lines", name: "rings", scene: "scene", x: r.x, y: r.y, z: r.z,
        line: { color: r.colour, width: 2.2 }, opacity: 0.75, hoverinfo: "skip", connectgaps: false });
    }
  }
  if (s.sticks) traces.push(...besides(s, mesh, level));
  const pair = !!s.important && !s.sticks;
  if (pair) {
    traces.push(dots(s.important.map(x => x ? DATA.colours.true : DATA.colours.false), "scene2"), ring("scene2"));
    if (tied) traces.push(sticks("scene2"));
  }
  const wanted = LOOK.symbols[$("symbols").value] || { top: 0 };
  const order = wanted.top === undefined ? s.pos.map((p, i) => i) : rankOrder(strength(s));
  const written = order.filter(i => (!wanted.where || s.columns[wanted.where]?.[i]) && !wanted.without?.includes(s.labels[i])).slice(0, wanted.top ?? n);
  const called = i => LOOK.name.replace(/<(.+?)>/g, (whole, key) => key === "label" ? s.labels[i] : s.texts[key]?.[i] ?? "");
  const named = LOOK.name ? written.map(i => ({ x: s.pos[i][0], y: s.pos[i][1], z: s.pos[i][2], showarrow: false, captureevents: false, bgcolor: "rgba(255,255,255,0.72)", borderpad: 1, yshift: 12,
      text: `<b>${escape(called(i))}</b>`, font: { size: 11.5, color: "#10151f" } })) : [];
  const symbols = (darkOf, toneOf) => LOOK.name ? named : (n <= 150 ? written : []).map(i => ({
    x: s.pos[i][0], y: s.pos[i][1], z: s.pos[i][2], showarrow: false, captureevents: false, bgcolor: "rgba(0,0,0,0)",
    text: `<b>${escape(s.labels[i].slice(0, 4))}</b>` + (wanted.numbered ? `<sub>${i}</sub>` : ""),
    font: { size: wanted.numbered ? 11 : 13, color: darkOf(i) ? "#ffffff" : "#10151f",
      shadow: ["1px 0", "-1px 0", "0 1px", "0 -1px", "0 0"].map(at => `${at} 2px ${darkOf(i) ? toneOf(i) : "#ffffff"}`).join(", ") } }));
  const axis = c => ({ visible: false, range: [centre[c] - REACH * radius, centre[c] + REACH * radius], autorange: false, showspikes: false });
  const layout3 = (domain, annotations) => ({ domain, camera: state.camera, aspectmode: "manual", aspectratio: { x: REACH, y: REACH, z: REACH },
    xaxis: axis(0), yaxis: axis(1), zaxis: axis(2), annotations, dragmode: "orbit" });
  const stacked = narrow();
  view.classList.toggle("pair", pair);
  const layout = { margin: { l: 0, r: 0, t: 0, b: 0 }, paper_bgcolor: "rgba(0,0,0,0)", showlegend: false,
    modebar: { bgcolor: "rgba(0,0,0,0)", color: "#9aa1ac", activecolor: "#1a2230" },
    hoverlabel: { bgcolor: "#ffffff", bordercolor: "#9aa1ac", font: { color: "#1a2230", size: 12.5 }, align: "left" },
    scene: layout3(!pair ? { x: [0, 1], y: [0, 1] } : stacked ? { x: [0, 1], y: [0.5, 1] } : { x: [0, 0.5], y: [0, 1] },
      symbols(i => dark[i], i => colours[i])) };
  if (pair) layout.scene2 = layout3(stacked ? { x: [0, 1], y: [0, 0.5] } : { x: [0.5, 1], y: [0, 1] },
    symbols(i => s.important[i], () => DATA.colours.true));
  state.drawn = { s, pair, halos: traces.map((trace, at) => trace.name === "halo" ? at : -1).filter(at => at >= 0) };
  Plotly.react(view, traces, layout, { ...CONFIG, displayModeBar: "hover", modeBarButtonsToRemove: ["tableRotation", "resetCameraLastSave3d", "resetCameraDefault3d", "hoverClosest3d"] })
    .then(listen).catch(noWebgl);
  $("truth-caption").hidden = !pair;
  document.querySelector(".captions").classList.toggle("single", !pair);
  $("importance-name").textContent = title.charAt(0).toUpperCase() + title.slice(1);
  $("scale-label").hidden = document.querySelector(".colour-bar").hidden = !!kinds;
  $("kinds").hidden = !kinds;
  $("kinds").replaceChildren(...(kinds || []).map(([kind, colour]) => {
    const item = make("span", "", kind), dot = make("span", "dot");
    dot.style.background = colour;
    item.prepend(dot);
    return item;
  }));
  $("bar-low").textContent = low;
  $("bar-high").textContent = high;
  $("bar").style.background = `linear-gradient(90deg,${(signed ? DATA.colours.diverging : DATA.colours.map).join(",")})`;
  $("bar").classList.toggle("signed", !!signed);
  $("bar").textContent = signed ? "0" : "";
  const inside = sizeLabel();
  marks(s);
  $("stage-note").textContent = [about, note].filter(Boolean).join(" ") + (!chosen.length ? "" : ` ${s.radius ? "Spheres" : "Ellipsoids"} are drawn at ${show(kValue(), 2)} × the standard deviation`
    + ` (${inside < 0.005 ? "under 1" : (100 * inside).toFixed(0)}\u00a0% of the noise lies inside): by what the model learned, `
    + words(s.radius ? "{a_point} with a large one may move far and the prediction stays; a small one marks {a_point} that matters. "
      : "{a_point} with a large one may move far and the prediction stays; a small one marks {a_point}, a short axis a direction, that matters. ") + s.noise_note);
  if (onlySizes) return;
  table(s, colours, rank);
  recolour(colours, dark);
}

// What stands beside the points: sticks, lines to the points that touch them, and the outline of the important points.
const HULL = 1.9; // times the radius of what it wraps
function besides(s, mesh, level) {
  const { pos, labels, bonds } = s.sticks, tone = labels.map(besideColour), thick = 2 * lengthScale(s.sticks), unitAxes = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
  const texts = labels.map((label, i) => `<b>${escape(s.sticks.name)}</b>, ${escape(label)} ${i}`), scale = lengthScale(s);
  const shown = m => ({ text: m.owner.map(i => texts[i]), hovertemplate: "%{text}<extra></extra>" });
  const rods = Mesh.bonds(pos, bonds, thick, a => tone[a], true);
  const joints = Mesh.ellipsoids(pos, pos.map(() => unitAxes), pos.map(() => [0.12, 0.12, 0.12].map(r => r * thick)), tone, pos.map((p, i) => i), 2);
  const traces = [mesh("beside", rods, "scene", shown(rods)), mesh("beside joints", joints, "scene", shown(joints))];
  for (const [kind, colour] of lineKinds(s)) {
    const line = { x: [], y: [], z: [] };
    s.columns[LOOK.lines].forEach((value, i) => {
      if (value !== kind) return;
      const away = pos.map(p => Mesh.length(Mesh.sub(p, s.pos[i]))), to = pos[away.indexOf(Math.min(...away))];
      ["x", "y", "z"].forEach((axis, c) => line[axis].push(s.pos[i][c], to[c], null));
    });
    traces.push({ type: "scatter3d", mode: "lines", name: "lines", scene: "scene", ...line, line: { color: colour, width: 6, dash: "dash" },
      hoverinfo: "skip", connectgaps: false });
  }
  if (s.important && outlined()) {
    const inside = s.pos.map((p, i) => i).filter(i => s.important[i]), colour = DATA.colours.true, r = HULL * 0.2 * scale;
    const balls = Mesh.ellipsoids(inside.map(i => s.pos[i]), inside.map(() => unitAxes), inside.map(() => [r, r, r]), inside.map(() => colour), inside, Math.min(level + 1, 2));
    const tubes = Mesh.bonds(s.pos, s.bonds.filter(([a, b]) => s.important[a] && s.important[b]), HULL * 1.3 * scale, () => colour);
    for (const [name, m] of [["truth", balls], ["truth tubes", tubes]]) traces.push(mesh(name, m, "scene", { opacity: 0.22, hoverinfo: "skip" }));
  }
  return traces;
}

const outlined = () => LOOK.switches !== "truth" || !LOOK.switch || $("switch").checked;
const lineKinds = s => s.columns[LOOK.lines] ? DATA.columns[LOOK.lines].colours.map((colour, kind) => [kind, colour])
  .filter(([kind]) => kind && s.columns[LOOK.lines].includes(kind)) : [];

function marks(s) { // what the scene shows beside the points
  const entries = !s.sticks ? [] : [[`${s.sticks.name}, ${LOOK.beside}`, besideColour(""), "dot"],
    ...lineKinds(s).map(([kind, colour]) => [DATA.columns[LOOK.lines].kinds[kind], colour, "dash"]),
    ...(s.important && outlined() ? [[LOOK.switches === "truth" && LOOK.switch || LOOK.truth.caption, DATA.colours.true, "dot faint"]] : [])];
  $("marks").hidden = !entries.length;
  $("marks").replaceChildren(...entries.map(([text, colour, cls]) => {
    const item = make("span", "", text), dot = make("span", cls);
    dot.style.setProperty("--tone", colour);
    item.prepend(dot);
    return item;
  }));
}

function chooseEllipsoids(s) {
  const wanted = $("ellipsoids").value, all = s.pos.map((p, i) => i);
  if (!extents(s) || wanted === "none") return [];
  if (wanted === "all") return all;
  const known = rankOrder(strength(s));
  return known.slice(0, Math.max(1, Math.round(known.length / 4)));
}

function noWebgl() {
  view.replaceChildren(make("div", "no-webgl quiet", "The 3D view needs WebGL, which this browser does not offer; the drawings and the table below do not."));
}

let listening = false;
function listen() {
  if (listening) return;
  listening = true;
  // The two cameras move as one. While one is dragged the other is set directly: a relayout would put the dragged one
  // back to where it was when the drag began. When the drag ends both are set, properly.
  const moved = (event, ended) => {
    const which = ["scene", "scene2"].filter(name => event[name + ".camera"]);
    if (which.length !== 1) return; // both: the echo of our own doing
    state.camera = event[which[0] + ".camera"];
    if (!state.drawn.pair) return;
    if (ended) { Plotly.relayout(view, { "scene.camera": state.camera, "scene2.camera": state.camera }); return; }
    const other = view._fullLayout[which[0] === "scene" ? "scene2" : "scene"];
    other._scene?.setViewport?.({ camera: state.camera, aspectratio: other.aspectratio });
  };
  view.on("plotly_relayouting", event => moved(event, false));
  view.on("plotly_relayout", event => moved(event, true));
  view.on("plotly_hover", event => {
    const point = event.points[0], owner = point.data.customdata ? point.data.customdata[point.pointNumber] : -1;
    light(finite(owner) ? owner : -1, true);
  });
  view.on("plotly_unhover", () => light(-1, true));
}
