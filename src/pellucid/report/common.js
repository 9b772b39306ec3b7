// Helpers and colours. All files but mesh.js share one closure, in the order that page.py names.
const DATA = JSON.parse(document.getElementById("content").textContent);
const $ = id => document.getElementById(id);
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const make = (tag, cls, text) => {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  if (text !== undefined) node.textContent = text; // never innerHTML: names come from users
  return node;
};
const finite = x => typeof x === "number" && Number.isFinite(x);
const show = (x, digits = 3) => !finite(x) ? "–" : x === 0 ? "0" :
  Math.abs(x) >= 1e4 || Math.abs(x) < 1e-3 ? x.toExponential(2).replace("-", "−") : String(+x.toPrecision(digits)).replace("-", "−");
const escape = text => String(text).replace(/[&<>]/g, c => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]); // for Plotly's texts
const uncapital = text => text.charAt(0).toLowerCase() + text.slice(1); // units keep their capitals
const UNITS = { angstrom: "Å", ångström: "Å", angstroms: "Å", nanometer: "nm", nanometre: "nm" };
const unitOf = s => UNITS[s.unit.toLowerCase()] || s.unit;

const isMolecule = DATA.words.point === "atom";
const isComplex = DATA.words.point === "residue";
const words = text => isMolecule ? text : text.replace(/\ban atom\b/g, "a " + DATA.words.point) // as Words.of in content.py
  .replace(/\batom(?=s?\b)/g, DATA.words.point).replace(/\bmolecules\b/g, DATA.words.cloud + (DATA.words.cloud.endsWith("x") ? "es" : "s"))
  .replace(/\bmolecule\b/g, DATA.words.cloud);

const MAP = DATA.colours.map.map(h => [1, 3, 5].map(at => parseInt(h.slice(at, at + 2), 16)));
const rgbAt = t => {
  const at = Math.min(Math.max(t, 0), 1) * (MAP.length - 1), low = Math.min(Math.floor(at), MAP.length - 2);
  return [0, 1, 2].map(c => Math.round(MAP[low][c] + (MAP[low + 1][c] - MAP[low][c]) * (at - low)));
};
const colourAt = t => finite(t) ? "rgb(" + rgbAt(t).join(",") + ")" : DATA.colours.none;
const darkAt = t => { const [r, g, b] = rgbAt(t); return 0.299 * r + 0.587 * g + 0.114 * b < 127.5; };

function ranks(values) { // average ranks, 0 = least important; missing values have none
  const order = values.map((v, i) => i).filter(i => finite(values[i])).sort((a, b) => values[a] - values[b]);
  const out = values.map(() => null);
  for (let start = 0; start < order.length;) {
    let end = start;
    while (end + 1 < order.length && values[order[end + 1]] === values[order[start]]) end++;
    for (let at = start; at <= end; at++) out[order[at]] = (start + end) / 2;
    start = end + 1;
  }
  return out;
}

function quantity(sample) { // what the atoms are coloured by
  const id = $("shown").value, column = sample.columns[id];
  return column ? { id, values: column, ...DATA.columns[id] }
    : { id: "importance", values: sample.importance, label: sample.importance_name, about: "", kinds: [] };
}

function painted(sample, mode) { // the colour of each atom, whether it is dark, and what the colours mean
  const { values, kinds, colours } = quantity(sample);
  if (!kinds.length) {
    const { t, ...more } = scaled(sample, mode);
    return { colours: t.map(colourAt), dark: t.map(x => finite(x) && darkAt(x)), kinds: null, ...more };
  }
  const known = v => finite(v) && kinds[v] !== undefined, bright = v => [1, 3, 5].reduce((sum, at, c) =>
    sum + [0.299, 0.587, 0.114][c] * parseInt(colours[v].slice(at, at + 2), 16), 0);
  return { colours: values.map(v => known(v) ? colours[v] : DATA.colours.none), dark: values.map(v => known(v) && bright(v) < 127.5),
    kinds: kinds.map((kind, v) => [kind, colours[v]]), low: "", high: "", note: "" };
}

function scaled(sample, mode) { // where each atom is on the colour map, and what its two ends mean
  const { id, values, label } = quantity(sample);
  if (mode === "rank") {
    const rank = ranks(values), last = Math.max(...rank.filter(finite), 0) || 1, lowest = Math.min(...rank.filter(finite), last);
    return { t: rank.map(r => finite(r) ? (last > lowest ? (r - lowest) / (last - lowest) : 0.5) : null),
      low: id === "importance" ? "least important" : "lowest", high: id === "importance" ? "most important" : "highest",
      note: words("Colours show ranks within this molecule: how much the atoms differ is not shown.") };
  }
  const pool = mode === "all"
    ? DATA.samples.map(quantity).filter(q => q.id === id && q.label === label).flatMap(q => q.values) : values;
  let low = Infinity, high = -Infinity;
  for (const v of pool) if (finite(v)) { if (v < low) low = v; if (v > high) high = v; }
  return { t: values.map(v => finite(v) ? (high > low ? (v - low) / (high - low) : 0.5) : null),
    low: show(low), high: show(high),
    note: words(mode === "all" ? "Colours span all molecules of this report: they may be compared between molecules."
      : "Colours span this molecule's lowest to highest value: do not compare them between molecules.") };
}

function auc(values, truth) { // chance that an important atom is ranked above an unimportant one
  const rank = ranks(values);
  let sum = 0, ones = 0, zeros = 0;
  rank.forEach((r, i) => { if (!finite(r)) return; if (truth[i]) { sum += r; ones++; } else zeros++; });
  return ones && zeros ? (sum - ones * (ones - 1) / 2) / (ones * zeros) : null;
}
