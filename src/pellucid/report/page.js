// Starts everything.
setUpCurves();
setUpSamples();
let wasNarrow = narrow();
addEventListener("resize", () => { if (samples.length && narrow() !== wasNarrow) { wasNarrow = narrow(); draw(); } });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => curves.forEach(draw => draw()));
