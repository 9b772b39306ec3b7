// Geometry: balls, sticks and ellipsoids as triangles for mesh3d. Pure functions, no page, no Plotly.
const Mesh = (() => {
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const sub = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
  const along = (a, d, t) => [a[0] + d[0] * t, a[1] + d[1] * t, a[2] + d[2] * t];
  const length = a => Math.sqrt(dot(a, a));
  const unit = a => { const l = length(a) || 1; return [a[0] / l, a[1] / l, a[2] / l]; };
  const perpendicular = d => unit(cross(d, Math.abs(d[2]) < 0.9 ? [0, 0, 1] : [0, 1, 0]));

  const spheres = {};
  function sphere(level) { // an icosahedron, each triangle cut in four `level` times
    if (spheres[level]) return spheres[level];
    const g = (1 + Math.sqrt(5)) / 2;
    let points = [[-1, g, 0], [1, g, 0], [-1, -g, 0], [1, -g, 0], [0, -1, g], [0, 1, g], [0, -1, -g], [0, 1, -g],
      [g, 0, -1], [g, 0, 1], [-g, 0, -1], [-g, 0, 1]].map(unit);
    let faces = [[0, 11, 5], [0, 5, 1], [0, 1, 7], [0, 7, 10], [0, 10, 11], [1, 5, 9], [5, 11, 4], [11, 10, 2],
      [10, 7, 6], [7, 1, 8], [3, 9, 4], [3, 4, 2], [3, 2, 6], [3, 6, 8], [3, 8, 9], [4, 9, 5], [2, 4, 11], [6, 2, 10],
      [8, 6, 7], [9, 8, 1]];
    for (let step = 0; step < level; step++) {
      const middle = new Map(), next = [];
      const half = (a, b) => {
        const key = a < b ? a + "_" + b : b + "_" + a;
        if (!middle.has(key)) {
          middle.set(key, points.length);
          points.push(unit([0, 1, 2].map(c => points[a][c] + points[b][c])));
        }
        return middle.get(key);
      };
      for (const [a, b, c] of faces) {
        const ab = half(a, b), bc = half(b, c), ca = half(c, a);
        next.push([a, ab, ca], [b, bc, ab], [c, ca, bc], [ab, bc, ca]);
      }
      faces = next;
    }
    return spheres[level] = { points, faces };
  }

  const empty = () => ({ x: [], y: [], z: [], i: [], j: [], k: [], colour: [], owner: [] });

  // One ellipsoid at each centre: axes[n] = three unit vectors, radii[n] = three half-lengths.
  function ellipsoids(centres, axes, radii, colours, owners, level) {
    const out = empty(), { points, faces } = sphere(level);
    centres.forEach((centre, n) => {
      const base = out.x.length;
      for (const p of points) {
        let v = centre;
        for (let a = 0; a < 3; a++) v = along(v, axes[n][a], p[a] * radii[n][a]);
        out.x.push(v[0]); out.y.push(v[1]); out.z.push(v[2]); out.colour.push(colours[n]); out.owner.push(owners[n]);
      }
      for (const [a, b, c] of faces) { out.i.push(base + a); out.j.push(base + b); out.k.push(base + c); }
    });
    return out;
  }

  // The three principal ellipses as one polyline with gaps: they show the shape where the surface is faint.
  function rings(centres, axes, radii, colours) {
    const out = { x: [], y: [], z: [], colour: [] };
    centres.forEach((centre, n) => {
      for (const [a, b] of [[0, 1], [1, 2], [0, 2]]) {
        for (let s = 0; s <= 36; s++) {
          const t = s * Math.PI / 18;
          const v = along(along(centre, axes[n][a], radii[n][a] * Math.cos(t)), axes[n][b], radii[n][b] * Math.sin(t));
          out.x.push(v[0]); out.y.push(v[1]); out.z.push(v[2]); out.colour.push(colours[n]);
        }
        out.x.push(null); out.y.push(null); out.z.push(null); out.colour.push(colours[n]);
      }
    });
    return out;
  }

  function stick(out, from, to, radius, colour, sides, owner = -1) {
    const d = unit(sub(to, from)), u = perpendicular(d), v = cross(d, u), base = out.x.length;
    for (const end of [from, to]) {
      for (let s = 0; s < sides; s++) {
        const t = 2 * Math.PI * s / sides;
        const p = along(along(end, u, radius * Math.cos(t)), v, radius * Math.sin(t));
        out.x.push(p[0]); out.y.push(p[1]); out.z.push(p[2]); out.colour.push(colour); out.owner.push(owner);
      }
    }
    for (let s = 0; s < sides; s++) {
      const a = base + s, b = base + (s + 1) % sides;
      out.i.push(a, b); out.j.push(b, b + sides); out.k.push(a + sides, a + sides);
    }
  }

  // Bonds as one to three sticks; one and a half is one full and one broken stick. With `halves`, each half of a bond
  // belongs to its point and has its colour: colourOf(point, its neighbour).
  function bonds(pos, list, scale, colourOf, halves = false) {
    const out = empty(), sides = list.length > 5000 ? 4 : list.length > 1500 ? 5 : 9, neighbours = pos.map(() => []);
    for (const [a, b] of list) { neighbours[a].push(b); neighbours[b].push(a); }
    for (const [a, b, order] of list) {
      const d = unit(sub(pos[b], pos[a])), colour = colourOf(a, b);
      const rod = (from, to, radius) => {
        if (!halves) { stick(out, from, to, radius, colour, sides); return; }
        const middle = along(from, sub(to, from), 0.5);
        stick(out, from, middle, radius, colour, sides, a);
        stick(out, middle, to, radius, colourOf(b, a), sides, b);
      };
      let side = null; // double bonds lie in the plane of their neighbours
      for (const [at, other] of [[a, b], [b, a]]) {
        for (const n of neighbours[at]) {
          if (n === other || side) continue;
          const w = sub(pos[n], pos[at]), across = along(w, d, -dot(w, d));
          if (length(across) > 0.2 * scale) side = unit(across);
        }
      }
      side = side || perpendicular(d);
      const put = (shift, radius) => rod(along(pos[a], side, shift * scale), along(pos[b], side, shift * scale), radius * scale);
      if (order === 1.5) {
        put(-0.045, 0.075);
        const from = along(pos[a], side, 0.14 * scale), span = length(sub(pos[b], pos[a]));
        for (let s = 0; s < 4; s++) {
          const t0 = span * (0.2 + s * 0.16);
          stick(out, along(from, d, t0), along(from, d, t0 + 0.1 * span), 0.042 * scale,
            halves && s > 1 ? colourOf(b, a) : colour, sides, !halves ? -1 : s > 1 ? b : a);
        }
      } else if (order > 2.5) { put(-0.16, 0.05); put(0, 0.05); put(0.16, 0.05);
      } else if (order > 1.5) { put(-0.095, 0.06); put(0.095, 0.06);
      } else put(0, 0.085);
    }
    return out;
  }

  // Principal axes of a cloud (Jacobi rotations), widest first: the first view looks along the narrowest.
  function principal(pos) {
    const n = pos.length, centre = middle(pos);
    const m = [[0, 0, 0], [0, 0, 0], [0, 0, 0]], v = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
    for (const p of pos) for (let a = 0; a < 3; a++) for (let b = 0; b < 3; b++)
      m[a][b] += (p[a] - centre[a]) * (p[b] - centre[b]) / n;
    for (let sweep = 0; sweep < 24; sweep++) for (const [p, q] of [[0, 1], [0, 2], [1, 2]]) {
      if (Math.abs(m[p][q]) < 1e-12) continue;
      const theta = 0.5 * Math.atan2(2 * m[p][q], m[q][q] - m[p][p]), c = Math.cos(theta), s = Math.sin(theta);
      for (let k = 0; k < 3; k++) { const a = m[k][p], b = m[k][q]; m[k][p] = c * a - s * b; m[k][q] = s * a + c * b; }
      for (let k = 0; k < 3; k++) { const a = m[p][k], b = m[q][k]; m[p][k] = c * a - s * b; m[q][k] = s * a + c * b; }
      for (let k = 0; k < 3; k++) { const a = v[k][p], b = v[k][q]; v[k][p] = c * a - s * b; v[k][q] = s * a + c * b; }
    }
    const order = [0, 1, 2].sort((a, b) => m[b][b] - m[a][a]);
    const axes = order.map(a => [v[0][a], v[1][a], v[2][a]]).map(axis => {
      const big = axis.reduce((best, x) => Math.abs(x) > Math.abs(best) + 1e-9 ? x : best, 0);
      return big < 0 ? axis.map(x => -x) : axis; // a fixed sign, so that a view is the same each time
    });
    return { centre, axes, variances: order.map(a => m[a][a]) };
  }

  const middle = pos => [0, 1, 2].map(c => pos.reduce((sum, p) => sum + p[c], 0) / pos.length);

  return { ellipsoids, rings, bonds, principal, middle, sub, length, cross, dot };
})();
