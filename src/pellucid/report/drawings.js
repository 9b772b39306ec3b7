// The flat drawings: of the chosen sample and of other explainers, their colours and numbers, and what is saved of them.
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

function paint(svg, { colours, dark }) { // a drawing in the colours of the points
  if (svg.dataset.colours !== "importance") return;
  for (const node of svg.querySelectorAll("[data-point]")) {
    const at = +node.dataset.point;
    if (node.localName === "ellipse") { node.style.fill = colours[at]; if (!node.dataset.kept && !node.dataset.outlined) node.style.stroke = colours[at]; }
    else if (node.getAttribute("fill") || node.style.fill) node.style.fill = dark[at] ? "#fff" : "#000";
  }
}

function truthDrawing(s) { // the sample's own drawing in the colours of the ground truth
  const node = s.important && s.svg ? clean(s.svg) : null;
  if (!node || node.dataset.colours !== "importance") return null;
  paint(node, { colours: s.important.map(yes => yes ? DATA.colours.true : DATA.colours.false), dark: s.important.map(() => false) });
  node.querySelectorAll("[data-kept]").forEach(disc => { delete disc.dataset.kept; disc.style.stroke = disc.style.fill; disc.style.strokeWidth = "1px"; });
  node.dataset.colours = "fixed";
  return node;
}

function depictions(s) {
  const drawn = [[s.svg && clean(s.svg), LOOK.drawing], [s.svg_truth ? clean(s.svg_truth) : truthDrawing(s), LOOK.truth.caption],
    ...Object.entries(s.views).map(([text, svg]) => [clean(svg), text])].filter(([node]) => node);
  $("depictions").replaceChildren(...drawn.map(([node, text], at) => figure(s, node, text + (node.dataset.colours === "fixed" || at && text === LOOK.truth.caption ? "" : ", same colours as in 3D")
    + (node.querySelector("[data-kept]") ? "; outlined: the subgraph" : ""), text)));
  document.querySelector(".below").classList.toggle("no-depictions", !drawn.length);
  $("numbered-label").hidden = !drawn.some(([node]) => node.querySelector("ellipse[data-point]"));
  numberAll();
}

function figure(s, node, caption, name) { // with buttons that save it
  const box = make("figure"), below = make("figcaption", "", caption), saves = make("span", "saves");
  for (const [kind, save] of [["SVG", saveSvg], ["PNG", savePng]]) {
    const button = make("button", "", kind);
    button.type = "button";
    button.setAttribute("aria-label", `Save the drawing as ${kind}: ${name}`);
    button.onclick = () => save(box.querySelector("svg"), fileName(s, name));
    saves.append(button);
  }
  below.append(saves);
  box.append(node, below);
  return box;
}

function besideOthers(s) { // the same sample by all explainers, each in its own colours
  $("sides").hidden = !s.sides.length;
  $("sides").replaceChildren(...!s.sides.length || !s.svg && !Object.keys(s.views).length ? [] : ["importance", ...s.sides.map(side => "=by " + side.name)].map((id, at) => {
    const node = clean(s.svg || Object.values(s.views)[0]), colours = painted(s, "own", id), side = s.sides[at - 1];
    paint(node, colours);
    node.classList.add(...[doubted(s, side?.name)].filter(Boolean));
    return figure(s, node, `${side ? side.name : s.explainer}: ${colours.low} to ${colours.high}${side ? `. ${[words(side.about), agreement(side)].filter(Boolean).join(" ")}` : ""}`, side ? side.name : s.explainer);
  }));
}
const agreement = side => finite(side.rank_correlation) ? words(`Against ${samples[state.at].explainer}: rank correlation ${side.rank_correlation.toFixed(2)}, ${(side.overlap * 100).toFixed(0)}\u00a0% of the ${side.most} most important {points} shared`) : "";

// Numbers of points, as the table has them.
function numberAll() { document.querySelectorAll("#depictions svg, #sides svg").forEach(svg => numbered(svg, $("numbered").checked)); }
function numbered(svg, wanted) {
  svg.querySelectorAll(".number").forEach(node => node.remove());
  if (wanted) for (const disc of [...svg.querySelectorAll("ellipse[data-point]")]) {
    const text = document.createElementNS("http://www.w3.org/2000/svg", "text"), size = v => +disc.getAttribute(v);
    text.textContent = disc.dataset.point;
    for (const [name, value] of Object.entries({ class: "number", x: size("cx") + 0.75 * size("rx"), y: size("cy") - 0.75 * size("ry"), "font-size": 10, "font-family": "sans-serif",
      fill: "#10151f", stroke: "#fff", "stroke-width": 2.5, "paint-order": "stroke" })) text.setAttribute(name, value);
    svg.append(text);
  }
}

// Saving: all of it happens in the page.
const fileName = (s, what) => `${s.name} ${what}`.normalize("NFKD").replace(/[^\w.-]+/g, "_").replace(/^[_.]+|_+$/g, "").slice(0, 80) || "drawing";
function save(url, name) {
  const link = make("a");
  Object.assign(link, { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}
function whole(svg) { // as a file of its own
  const copy = svg.cloneNode(true), [, , width, height] = copy.getAttribute("viewBox").split(/[\s,]+/).map(Number);
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
  copy.querySelectorAll(".lit").forEach(node => node.classList.remove("lit"));
  if (getComputedStyle(svg).filter !== "none") { // it says so wherever it goes
    copy.style.filter = MUTED;
    copy.append(Object.assign(document.createElementNS(copy.namespaceURI, "text"), { textContent: NOT_ONE }));
    for (const [name, value] of Object.entries({ x: 8, y: height - 8, "font-size": 12, "font-family": "sans-serif", fill: "#a0202a" })) copy.lastChild.setAttribute(name, value);
  }
  return { text: new XMLSerializer().serializeToString(copy), width, height };
}
const MUTED = "saturate(0.22)", NOT_ONE = "importance: not an answer";
const svgUrl = text => "data:image/svg+xml;charset=utf-8," + encodeURIComponent(text);
function saveSvg(svg, name) { save(svgUrl(whole(svg).text), name + ".svg"); }
function savePng(svg, name) {
  const { text, width, height } = whole(svg);
  toPng(svgUrl(text), 4 * width, 4 * height, name);
}
function toPng(url, width, height, name, muted = false) {
  const image = new Image();
  image.onload = () => {
    const canvas = Object.assign(document.createElement("canvas"), { width, height }), pen = canvas.getContext("2d");
    pen.fillStyle = "#fff"; // on paper and on dark slides alike
    pen.fillRect(0, 0, width, height);
    if (muted) pen.filter = MUTED;
    pen.drawImage(image, 0, 0, width, height);
    if (muted) Object.assign(pen, { filter: "none", font: "24px sans-serif", fillStyle: "#a0202a" }).fillText(NOT_ONE, 16, height - 16);
    save(canvas.toDataURL("image/png"), name + ".png");
  };
  image.src = url;
}

function setUpDrawings() {
  $("numbered").onchange = numberAll;
  $("save3d").onclick = () => {
    const [width, height] = [view.clientWidth, view.clientHeight];
    Plotly.toImage(view, { format: "png", width, height, scale: 2 }).then(url => toPng(url, 2 * width, 2 * height, fileName(samples[state.at], "3D"), DATA.no_answer));
  };
}

function recolour(colours, dark) { // the 2D drawing follows the colour scale of the 3D scene
  if (LOOK.switched) document.querySelectorAll("#depictions ." + LOOK.switched).forEach(part => { part.style.display = $("switch").checked ? "" : "none"; });
  document.querySelectorAll("#depictions ellipse[data-point], #sides ellipse[data-point]").forEach(disc => {
    const at = +disc.dataset.point;
    disc.onmouseenter = () => light(at);
    disc.onmouseleave = () => light(-1);
  });
  document.querySelectorAll("#depictions svg").forEach(svg => paint(svg, { colours, dark }));
}
