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

const LOOK = DATA.look; // how samples are drawn: see Look in words.py
const words = text => text.replace(/\{(\w+)\}/g, (whole, name) => DATA.words[name] ?? whole); // as Words.of in words.py
const nameless = s => s.labels.every((label, i) => label === String(i)); // labels that only count the points
const plus = (x, digits = 3) => (finite(x) && x > 0 ? "+" : "") + show(x, digits); // a number with its sign

const [MAP, DIVERGING] = [DATA.colours.map, DATA.colours.diverging].map(map => map.map(h => [1, 3, 5].map(at => parseInt(h.slice(at, at + 2), 16))));
const rgbAt = (t, signed) => { // of t in [0, 1], with a sign in [-1, 1]
  const map = signed ? DIVERGING : MAP, at = Math.min(Math.max(signed ? (t + 1) / 2 : t, 0), 1) * (map.length - 1), low = Math.min(Math.floor(at), map.length - 2);
  return [0, 1, 2].map(c => Math.round(map[low][c] + (map[low + 1][c] - map[low][c]) * (at - low)));
};
const colourAt = (t, signed = false) => finite(t) ? "rgb(" + rgbAt(t, signed).join(",") + ")" : DATA.colours.none;
const darkAt = (t, signed = false) => { const [r, g, b] = rgbAt(t, signed); return 0.299 * r + 0.587 * g + 0.114 * b < 127.5; };
const strength = s => s.signed ? s.importance.map(v => finite(v) ? Math.abs(v) : v) : s.importance; // what ranks go by

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

function quantity(sample, id = $("shown").value) { // what the points are coloured by
  const column = sample.columns[id];
  if (!column) return { id: "importance", values: sample.importance, label: sample.importance_name + (sample.signed ? `: ${sample.predicts}` : ""), kinds: [], signed: sample.signed, unit: sample.importance_unit,
    about: sample.signed ? meaning(sample.quantity, sample.importance_unit) : "" };
  const known = { unit: "", signed: false, ...DATA.columns[id] };
  return { id, values: column, ...known, label: known.signed && id.startsWith("=of ") ? `${sample.importance_name}: ${known.label}` : known.label, about: known.signed ? meaning(known.of, known.unit) : known.about };
}

const meaning = (of, unit) => `Positive (red) raises ${of}, negative (blue) lowers it${unit ? `; in ${unit}` : ""}.`;

function painted(sample, mode, id = $("shown").value) { // the colour of each point, whether it is dark, and what the colours mean
  const { values, kinds, colours, signed } = quantity(sample, id);
  if (!kinds.length) {
    const { t, ...more } = scaled(sample, mode, id);
    return { colours: t.map(x => colourAt(x, signed)), dark: t.map(x => finite(x) && darkAt(x, signed)), kinds: null, signed, ...more };
  }
  const known = v => finite(v) && kinds[v] !== undefined, bright = v => [1, 3, 5].reduce((sum, at, c) =>
    sum + [0.299, 0.587, 0.114][c] * parseInt(colours[v].slice(at, at + 2), 16), 0);
  return { colours: values.map(v => known(v) ? colours[v] : DATA.colours.none), dark: values.map(v => known(v) && bright(v) < 127.5),
    kinds: kinds.map((kind, v) => [kind, colours[v]]), low: "", high: "", note: "", signed: false };
}

const pools = new Map();
function pooled(asked, { id, label, unit }) { // the values of all samples that mean the same
  const key = [asked, id, label, unit].join("\n");
  if (!pools.has(key)) pools.set(key, DATA.samples.map(s => quantity(s, asked)).filter(q => q.id === id && q.label === label && q.unit === unit).flatMap(q => q.values));
  return pools.get(key);
}

function scaled(sample, mode, asked) { // where each point is on the colour map, and what its two ends mean
  const own = quantity(sample, asked), { id, values, label, signed, unit } = own, size = v => signed ? Math.abs(v) : v;
  if (mode === "rank" && signed) { // by |value|, with the sign's colour; 0 is the middle
    const rank = ranks(values.map(v => finite(v) ? Math.abs(v) : v)), last = Math.max(...rank.filter(finite), 0);
    return { t: rank.map((r, i) => finite(r) ? Math.sign(values[i]) * (r + 1) / (last + 1) : null), low: "lowers most", high: "raises most",
      note: words("Colours show ranks by absolute value within this {sample}: how much the {points} differ is not shown.") };
  }
  if (mode === "rank") {
    const rank = ranks(values), last = Math.max(...rank.filter(finite), 0) || 1, lowest = Math.min(...rank.filter(finite), last);
    return { t: rank.map(r => finite(r) ? (last > lowest ? (r - lowest) / (last - lowest) : 0.5) : null),
      low: id === "importance" ? "least important" : "lowest", high: id === "importance" ? "most important" : "highest",
      note: words("Colours show ranks within this {sample}: how much the {points} differ is not shown.") };
  }
  const pool = mode === "all" ? pooled(asked, own) : values;
  let low = Infinity, high = -Infinity;
  for (const v of pool) if (finite(v)) { if (size(v) < low) low = size(v); if (size(v) > high) high = size(v); }
  if (signed) {
    const most = high > 0 ? high : 0, named = v => plus(v) + (unit ? " " + unit : "");
    return { t: values.map(v => finite(v) ? (most ? v / most : 0) : null), low: named(-most), high: named(most),
      note: words(mode === "all" ? "Colours span all {samples} of this report, alike to both sides of 0: they may be compared between {samples}."
        : "Colours span this {sample}'s largest absolute value to both sides of 0: do not compare them between {samples}.") };
  }
  return { t: values.map(v => finite(v) ? (high > low ? (v - low) / (high - low) : 0.5) : null),
    low: show(low), high: show(high),
    note: words(mode === "all" ? "Colours span all {samples} of this report: they may be compared between {samples}."
      : "Colours span this {sample}'s lowest to highest value: do not compare them between {samples}.") };
}

function auc(values, truth) { // chance that an important point is ranked above an unimportant one
  const rank = ranks(values);
  let sum = 0, ones = 0, zeros = 0;
  rank.forEach((r, i) => { if (!finite(r)) return; if (truth[i]) { sum += r; ones++; } else zeros++; });
  return ones && zeros ? (sum - ones * (ones - 1) / 2) / (ones * zeros) : null;
}
