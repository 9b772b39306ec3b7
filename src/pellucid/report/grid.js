// All samples at a glance: filters, order, cards that are drawn when they come into sight, and the list beside the details.
const PARTS = ["Split", "Fold"]; // facts that one may filter by
const predicted = a => !finite(a.prediction) ? "–" : a.probability ? a.prediction.toFixed(3) : show(a.prediction, 4);
const texts = samples.map(s => (s.name + " " + Object.entries(s.facts).flat().join(" ")).toLowerCase());

function setUpGrid() {
  const names = [...new Set(samples.flatMap(s => s.answers.map(answer => answer.name)))], firsts = new Set(samples.map(s => s.answers[0].name));
  const rest = firsts.size > 1 ? names : names.filter(name => !firsts.has(name));
  $("target").replaceChildren(new Option(firsts.size > 1 ? "the predicted class" : [...firsts][0], ""), ...rest.map(name => new Option(name, name)));
  $("target-label").hidden = !rest.length;
  const judged = samples.some(s => error(s) !== null), probable = samples.every(s => s.answers.every(a => a.probability));
  for (const option of [...$("order").options]) {
    if (option.value === "error" && probable) option.textContent = "most confident mistakes first";
    const useless = option.value === "error" && !judged || ["high", "low"].includes(option.value) && samples.every(s => !finite(s.answers[0].prediction)) || option.value === "warned" && !samples.some(s => s.facts.Warning);
    if (useless) option.remove();
  }
  for (const part of PARTS) {
    const values = [...new Set(samples.map(s => s.facts[part]))].filter(Boolean).sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    if (values.length < 2) continue;
    const label = make("label", "", part + " "), select = make("select");
    select.dataset.part = part;
    select.replaceChildren(new Option("all", ""), ...values.map(value => new Option(value, value)));
    select.onchange = filter;
    label.append(select);
    $("parts").append(label);
  }
  const many = samples.length > 1;
  for (const id of ["grid", "order-label", "back", "search"]) $(id).hidden = !many;
  document.querySelector(".list-side").hidden = !many;
  $("browser").classList.toggle("single", !many);
  samples.forEach((s, at) => { $("list").append(listed(s, at)); if (many) $("grid").append(tile(s, at)); });
  $("search").oninput = $("wrong").onchange = $("order").onchange = filter;
  $("target").onchange = retarget;
  $("back").onclick = () => { $("samples").scrollIntoView({ behavior: "smooth" }); $("tile-" + state.at).focus({ preventScroll: true }); };
  $("grid").addEventListener("keydown", walk);
  say();
}

const doubted = (s, name) => (name ? s.sides.find(side => side.name === name).level === "no" : DATA.no_answer) ? "no-answer" : ""; // the class of what must not look like one

function listed(s, at) {
  const item = make("div", "item");
  item.id = "sample-" + at;
  item.setAttribute("role", "option");
  item.onclick = () => select(at);
  return item;
}

function tile(s, at) {
  const card = make("button", "tile");
  card.type = "button";
  card.id = "tile-" + at;
  card.tabIndex = -1;
  card.append(make("span", "tile-name"), make("span", "tile-drawings"), make("span", "tile-answer"));
  if (s.facts.Warning) card.append(make("span", "tile-warning", "⚠ " + s.facts.Warning));
  const none = ["", ...s.sides.map(side => side.name)].filter(name => doubted(s, name)).map(name => name || s.explainer);
  if (none.length) card.append(make("span", "tile-mark", s.sides.length ? `${none.join(", ")}: not an answer` : "not an answer"));
  card.onclick = () => { select(at); $("browser").scrollIntoView({ behavior: "smooth" }); };
  return card;
}

const sight = new IntersectionObserver(entries => entries.forEach(({ target, isIntersecting }) => {
  target.dataset.seen = isIntersecting ? "1" : "";
  if (isIntersecting) drawTile(+target.id.slice(5));
}), { rootMargin: "300px" });
function drawTile(at) { // once; later only its colours change
  const s = samples[at], box = $("tile-" + at).querySelector(".tile-drawings"), id = contributed(s), mode = $("scale").value;
  if (box.dataset.colours === id + mode) return;
  box.dataset.colours = id + mode;
  const drawing = s.svg || Object.values(s.views)[0];
  if (!box.childElementCount) {
    if (!drawing) { box.replaceChildren(make("span", "quiet", counted(s.pos.length))); return; }
    for (const name of ["", ...s.sides.map(side => side.name)]) {
      const one = make("span", "tile-drawing " + doubted(s, name)), node = clean(drawing);
      if (node) one.append(node);
      if (s.sides.length) one.append(make("span", "tile-by", name || s.explainer));
      box.append(one);
    }
    box.classList.toggle("several", !!s.sides.length);
  }
  box.querySelectorAll("svg").forEach((svg, k) => paint(svg, painted(s, mode, k ? "=by " + s.sides[k - 1].name : id)));
}
function repaintTiles() { document.querySelectorAll(".tile[data-seen='1']").forEach(card => drawTile(+card.id.slice(5))); }

function say() { // what list and cards say of each sample: it depends on the target
  samples.forEach((s, at) => {
    const a = asked(s), ok = verdict(s), mark = () => make("span", ok === null ? "quiet" : ok ? "right" : "wrong", ok === null ? "·" : ok ? "✓" : "✗");
    const unit = a.unit ? ` ${a.unit}` : "", item = $("sample-" + at), card = $("tile-" + at);
    item.replaceChildren(mark(), make("span", "item-name", s.name), make("span", "item-p", s.level === "point" ? "" : predicted(a)),
      make("span", "item-sub", [...s.level === "point" ? [] : [a.quantity + (a.unit ? ` in ${a.unit}` : "")], ...finite(a.target) ? [`target ${knownAs(a, a.probability ? 3 : 4)}`] : [],
        ...ok === false ? ["wrong"] : [], counted(s.labels.length)].join(", ")));
    item.title = `${s.name}: ${item.lastChild.textContent}`;
    if (!card) return;
    card.querySelector(".tile-name").replaceChildren(...ok === null ? [] : [mark(), " "], s.name);
    card.querySelector(".tile-answer").textContent = s.level === "point" ? counted(s.labels.length)
      : `${a.quantity} ${predicted(a)}${unit}${finite(a.target) ? ` · known ${knownAs(a, a.probability ? 1 : 3)}` : ""}`;
    card.title = s.name;
  });
  $("wrong-label").hidden = !samples.some(s => verdict(s) === false);
  if ($("wrong-label").hidden) $("wrong").checked = false;
}

function retarget() {
  say();
  repaintTiles();
  filter();
  const id = contributed(samples[state.at]);
  if ([...$("shown").options].some(option => option.value === id)) $("shown").value = id;
  describe(samples[state.at]);
  draw();
}

const ORDERS = {
  given: () => 0,
  error: s => -Math.abs(error(s) ?? NaN),
  high: s => -(asked(s).prediction ?? NaN),
  low: s => asked(s).prediction ?? NaN,
  warned: s => s.facts.Warning ? 0 : 1,
};
function ordered(order) {
  const all = samples.map((s, at) => at);
  if (order === "name") return all.sort((a, b) => samples[a].name.localeCompare(samples[b].name, "en", { numeric: true }) || a - b);
  const keys = samples.map(ORDERS[order]).map(key => Number.isNaN(key) ? Infinity : key); // what is missing comes last
  return all.sort((a, b) => (keys[a] === keys[b] ? 0 : keys[a] - keys[b]) || a - b);
}

function filter() {
  const wanted = $("search").value.trim().toLowerCase(), wrong = $("wrong").checked, order = $("order").value || "given";
  const parts = [...$("parts").querySelectorAll("select")].filter(one => one.value);
  const kept = (s, at) => (!wanted || texts[at].includes(wanted)) && (!wrong || verdict(s) === false) && parts.every(one => s.facts[one.dataset.part] === one.value);
  const places = ordered(order);
  state.visible = places.filter(at => kept(samples[at], at));
  const shown = new Set(state.visible);
  for (const at of places) for (const node of [$("sample-" + at), $("tile-" + at)]) if (node) node.hidden = !shown.has(at);
  if (state.order !== order + $("target").value) {
    state.order = order + $("target").value;
    $("list").append(...places.map(at => $("sample-" + at)));
    if ($("grid").childElementCount) $("grid").append(...places.map(at => $("tile-" + at)));
  }
  if ($("grid").childElementCount) places.forEach(at => sight.observe($("tile-" + at)));
  const judged = samples.filter(s => verdict(s) !== null), right = judged.filter(s => verdict(s));
  $("count").textContent = `${state.visible.length} of ${samples.length} shown`
    + (judged.length ? `; ${right.length} of ${judged.length} right at 0.5` : "") + ". Keys ↑ ↓ move.";
  if (state.visible.length && !state.visible.includes(state.at)) select(state.visible[0]);
}

function chooseTile(at) { // the one that Tab reaches
  document.querySelectorAll(".tile[tabindex='0']").forEach(card => { card.tabIndex = -1; card.removeAttribute("aria-current"); });
  const card = $("tile-" + at);
  if (!card) return;
  card.tabIndex = 0;
  card.setAttribute("aria-current", "true");
}

function walk(event) { // arrows go from card to card, line by line; Enter and Space click
  if (event.altKey || event.ctrlKey || event.metaKey || !event.target.classList.contains("tile")) return;
  const cards = state.visible.map(at => $("tile-" + at)), at = cards.indexOf(event.target), top = cards[0]?.offsetTop;
  const wide = Math.max(cards.filter(card => card.offsetTop === top).length, 1), last = cards.length - 1;
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + wide, ArrowUp: at - wide, Home: 0, End: last }[event.key];
  if (to === undefined || at < 0) return;
  event.preventDefault();
  cards[Math.min(Math.max(to, 0), last)].focus();
}
