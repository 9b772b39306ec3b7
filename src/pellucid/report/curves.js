// Training curves.
const CONFIG = { displaylogo: false, responsive: true, showSendToCloud: false, plotlyServerURL: "" };
const flat = (entry, prefix = "") => Object.entries(entry).flatMap(([key, value]) =>
  value && typeof value === "object" ? flat(value, prefix + key + ".") : [[prefix + key, value]]);
const curves = [];

function setUpCurves() {
  if (!DATA.history.length) return;
  const rows = DATA.history.map(entry => Object.fromEntries(flat(entry)));
  let epochs = rows.map((row, at) => finite(row.epoch) ? row.epoch : at);
  const rising = epochs.every((e, at) => !at || e > epochs[at - 1]);
  const names = epochs.map((e, at) => `epoch ${e}` + (rows[at].phase ? `, ${rows[at].phase}` : ""));
  if (!rising) epochs = rows.map((row, at) => at); // each phase counts from zero: count on instead
  const selected = DATA.selected_epoch === null ? -1 : rows.map(r => r.epoch).lastIndexOf(DATA.selected_epoch);
  const keys = [...new Set(rows.flatMap(row => Object.keys(row)))]
    .filter(key => key !== "epoch" && key !== "phase" && rows.some(row => finite(row[key])));
  const groups = { loss: [], prediction: [], interpretation: [], other: [] };
  for (const key of keys) {
    if (/loss/i.test(key)) groups.loss.push(key);
    else if (/interp|explan|attr/i.test(key) && /auc|roc/i.test(key)) groups.interpretation.push(key);
    else if (/auc|roc/i.test(key)) groups.prediction.push(key);
    else groups.other.push(key);
  }
  const warm = rows.map(row => /warm|pre-?train/i.test(String(row.phase || "")));
  const titles = { loss: "Loss", prediction: "ROC AUC of the prediction", interpretation: "Interpretation ROC AUC", other: "More" };
  for (const [group, members] of Object.entries(groups)) {
    if (!members.length) continue;
    const box = make("div", "chart"), head = make("h4", "", titles[group]), plot = make("div", "plot");
    let chosen = members;
    if (group === "other") {
      const select = make("select");
      select.setAttribute("aria-label", "Quantity");
      members.forEach(key => select.add(new Option(key.replace(/[_.]/g, " "), key)));
      chosen = [members[0]];
      select.onchange = () => { chosen = [select.value]; draw(); };
      head.append(select);
    }
    box.append(head, plot);
    $("charts").append(box);
    const draw = () => drawCurve(plot, chosen, { rows, epochs, names, warm, selected, rising });
    curves.push(draw);
  }
  $("curves").hidden = false;
  curves.forEach(draw => draw());
}

function drawCurve(plot, keys, { rows, epochs, names, warm, selected, rising }) {
  const ink = css("--ink"), quiet = css("--quiet"), line = css("--line");
  const palette = [css("--ours"), "#ef7f45", "#0f8f83", "#4c7bd9", "#b0892a", "#d32b6b"];
  let spare = 2;
  const traces = keys.map(key => {
    const colour = /(^|[._ ])(val|valid|validation)/i.test(key) && keys.filter(k => /val/i.test(k)).length === 1 ? palette[0]
      : /train/i.test(key) && keys.filter(k => /train/i.test(k)).length === 1 ? palette[1] : palette[spare++ % palette.length];
    return { type: "scatter", mode: epochs.length > 40 ? "lines" : "lines+markers", name: escape(key.replace(/[_.]/g, " ")),
      x: epochs, y: rows.map(row => finite(row[key]) ? row[key] : null), text: names.map(escape),
      hovertemplate: "%{y:.4~g}<br>%{text}", line: { color: colour, width: 2 }, marker: { size: 4.5 }, connectgaps: true };
  });
  const shapes = [], annotations = [];
  for (let start = 0; start < warm.length; start++) {
    if (!warm[start]) continue;
    let end = start;
    while (warm[end + 1]) end++;
    const half = at => (epochs[Math.min(at + 1, epochs.length - 1)] + epochs[at]) / 2;
    const x0 = start ? half(start - 1) : epochs[0], x1 = half(end);
    shapes.push({ type: "rect", xref: "x", yref: "paper", x0, x1, y0: 0, y1: 1, fillcolor: css("--warm"), line: { width: 0 }, layer: "below" });
    annotations.push({ x: x0, xanchor: "left", y: 1, yanchor: "bottom", yref: "paper", showarrow: false, text: "warm-up", font: { size: 11, color: quiet } });
    start = end;
  }
  if (selected >= 0) {
    shapes.push({ type: "line", xref: "x", yref: "paper", x0: epochs[selected], x1: epochs[selected], y0: 0, y1: 1,
      line: { color: quiet, width: 1.5, dash: "dot" } });
    annotations.push({ x: epochs[selected], xanchor: selected > epochs.length * 0.7 ? "right" : "center", y: 1, yanchor: "bottom",
      yref: "paper", showarrow: false, text: "selected", font: { size: 11, color: ink } });
  }
  Plotly.react(plot, traces, {
    margin: { l: 48, r: 8, t: 20, b: 62 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: quiet, size: 12, family: "inherit" }, shapes, annotations, hovermode: "closest",
    xaxis: { title: { text: rising ? "epoch" : "epoch, counted over the phases", standoff: 4 }, gridcolor: line, zeroline: false, linecolor: line },
    yaxis: { gridcolor: line, zeroline: false, tickformat: ".4~g", nticks: 6 },
    legend: { orientation: "h", x: 0, y: -0.22, yanchor: "top" }, showlegend: true,
  }, { ...CONFIG, displayModeBar: false });
}
