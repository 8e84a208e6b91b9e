const find = id => document.getElementById(id);

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const css = ([r, g, b], alpha = 1) => `rgb(${r} ${g} ${b} / ${alpha})`;
const count = n => n.toLocaleString("en");
const counted = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
const seconds = s => s >= 10 ? `${s.toFixed(0)} s` : s >= 0.1 ? `${s.toFixed(2)} s` : s >= 1e-4 ? `${(s * 1000).toFixed(1)} ms` : "< 0.1 ms";
const total = data.seconds.reduce((sum, [, s]) => sum + s, 0);

document.title = `${data.title} · partstad`;
find("title").textContent = data.title;
find("summary").textContent = [
  counted(data.count, "point"), counted(data.superpoints, "superpoint"), counted(data.boxes.length, "box", "boxes"),
  counted(data.instances.length, "instance"), seconds(total),
].join(" · ");
for (const text of data.warnings) find("warnings").append(element("p", { className: "warning", textContent: text }));
if (data.points.shown < data.count) {
  find("warnings").append(element("p", { className: "note", textContent: `The 3D view shows ${count(data.points.shown)} of the points.` }));
}

// 3D and legend

const scene = createScene(find("scene"), data.points, data.mesh);
if (scene) {
  for (const mode of scene.modes) {
    const button = element("button", { type: "button", textContent: mode });
    button.ariaPressed = mode === scene.modes[0];
    button.onclick = () => {
      scene.set({ mode });
      for (const other of find("modes").children) other.ariaPressed = other === button;
    };
    find("modes").append(button);
  }
  find("size").oninput = e => scene.set({ size: Number(e.target.value) });
} else {
  find("scene").replaceWith(element("p", { className: "note", style: "padding: 70px 20px", textContent: "The 3D view needs WebGL 2, which this browser does not offer." }));
}

let kept = null, pointed = null;
const focus = () => pointed ?? kept ?? -2;
function refocus() {
  scene?.set({ focus: focus() });
  for (const row of find("parts").tBodies[0].rows) row.ariaPressed = Number(row.dataset.part) === kept;
  find("votes").textContent = kept >= 0 && kept !== null ? votes(data.parts[kept], kept) : "";
  drawViews();
}

function votes(part, index) {
  const boxes = data.boxes.filter(box => box.part === index), scores = boxes.map(box => box.score);
  const seen = boxes.length
    ? `${counted(boxes.length, "box", "boxes")} in ${new Set(boxes.map(box => box.view)).size} of ${counted(data.views.length, "view")}, ` +
      `scores ${Math.min(...scores).toFixed(2)} to ${Math.max(...scores).toFixed(2)}. ` +
      `They hold points of ${counted(part.superpoints, "superpoint")}, of which the part won ${count(part.won)}.`
    : "";
  const made = data.instances.filter(instance => instance.label === index);
  const listed = made.slice(0, 12).map(({ points, confidence }) => `${confidence < 0.01 ? "below 0.01" : confidence.toFixed(2)} (${counted(points, "point")})`);
  const confident = made.length
    ? ` Confidence of its ${counted(made.length, "instance")}: ${listed.join(", ")}${made.length > 12 ? ", ..." : ""}.`
    : "";
  const loose = made.length && part.without_instance ? ` ${counted(part.without_instance, "point")} in no instance.` : "";
  return `${part.name}: ${part.reason ? `no ${part.points ? "instance" : "points"}: ${part.reason}. ` : ""}${seen}${confident}${loose}`;
}

const legend = element("tbody");
const unlabelled = data.count - data.parts.reduce((sum, part) => sum + part.points, 0);
const rows = [...data.parts.entries(), [-1, { name: "no part", color: data.none, points: unlabelled, instances: "", boxes: "" }]];
for (const [index, part] of rows) {
  const swatch = element("span", { className: "swatch", style: `background: ${css(part.color)}` });
  const share = `${(100 * part.points / data.count).toFixed(1)} %`;
  const row = element("tr", { className: part.points ? "" : "absent", tabIndex: 0 },
    element("td", {}, swatch, part.name), element("td", {}, count(part.points)),
    element("td", { className: "share", textContent: share }), element("td", {}, part.instances), element("td", {}, part.boxes));
  row.dataset.part = index;
  row.role = "button";
  row.onpointerenter = e => { if (e.pointerType === "mouse") { pointed = index; refocus(); } };
  row.onpointerleave = () => { if (pointed !== null) { pointed = null; refocus(); } };
  row.onclick = () => { kept = kept === index ? null : index; pointed = null; refocus(); };
  row.onkeydown = e => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); row.onclick(); } };
  legend.append(row);
  if (part.reason) legend.append(element("tr", { className: "reason" }, element("td", { colSpan: 5, textContent: part.reason })));
}
const cells = [...legend.rows].filter(row => row.dataset.part !== undefined).map(row => row.cells);
const titles = ["part", "points", "share", "inst.", "boxes"].map(textContent => element("th", { textContent }));
find("parts").append(element("thead", {}, element("tr", {}, ...titles)), legend);

// Labels by other weights: what ops::lift::labels does, on the votes that the page holds

function labelOf(row, valid, factor, threshold) {
  if (!valid) return null;
  const scores = [row[0] * factor, ...row.subarray(1)];
  if (data.votes.rule !== "votes") {
    const most = Math.max(...scores), powers = scores.map(score => Math.exp(score - most));
    const sum = powers.reduce((a, b) => a + b);
    powers.forEach((power, i) => { scores[i] = power / sum; });
  }
  if (data.votes.rule === "arg-max") return scores.lastIndexOf(Math.max(...scores)) - 1;
  const passes = i => data.votes.rule === "votes" ? scores[i] > scores[0] : scores[i] >= threshold;
  for (let i = scores.length - 1; i > 0; i--) if (data.votes.small[i - 1] && passes(i)) return i - 1;
  const best = scores.indexOf(Math.max(...scores.slice(1)), 1);
  return passes(best) ? best - 1 : -1;
}

if (scene && data.votes && !data.mesh) {
  const columns = data.parts.length + 1, numbers = new Float32Array(bytes(data.votes.rows).buffer);
  const superpoint = new Uint32Array(bytes(data.votes.superpoints).buffer), valid = bytes(data.votes.valid);
  const given = new Int16Array(bytes(data.points.labels).buffer), labels = given.slice(), colors = new Uint8Array(3 * given.length);
  const relabel = () => {
    const factor = Number(find("null").value), threshold = Number(find("threshold").value);
    const of = Array.from(valid, (is, s) => labelOf(numbers.subarray(s * columns, (s + 1) * columns), is, factor, threshold));
    const points = new Array(columns).fill(0);
    for (let i = 0; i < labels.length; i++) {
      labels[i] = of[superpoint[i]] ?? given[i];
      colors.set(data.parts[labels[i]]?.color ?? data.none, 3 * i);
      points[labels[i] < 0 ? columns - 1 : labels[i]] += 1;
    }
    scene.relabel(labels, colors);
    points.forEach((shown, j) => {
      const share = shown / labels.length;
      cells[j][1].textContent = count(Math.round(share * data.count));
      cells[j][2].textContent = `${(100 * share).toFixed(1)} %`;
    });
    find("null-text").textContent = `${(factor * data.votes.null).toPrecision(3)}`;
    find("threshold-text").textContent = threshold.toFixed(2);
  };
  find("threshold").value = data.votes.threshold;
  find("threshold-slider").hidden = data.votes.rule !== "threshold";
  find("rule").hidden = false;
  find("null-text").textContent = data.votes.null.toPrecision(3);
  find("threshold-text").textContent = data.votes.threshold.toFixed(2);
  find("null").oninput = find("threshold").oninput = relabel;
}

// Views

const images = data.views.map(view => Object.assign(new Image(), { src: `data:image/png;base64,${view.image}` }));
const byView = data.views.map((_, k) => data.boxes.filter(box => box.view === k));
const sorted = data.views.map((_, k) => [...data.weak.filter(box => box.view === k), ...byView[k]].sort((a, b) => a.score - b.score));
find("views-note").textContent = data.threshold === null
  ? "The boxes that were given, on the rendered images. Click a view to enlarge it. Boxes drawn with dashes do not vote."
  : "What the 2D models found in each rendered image. Click a view to enlarge it. Boxes drawn with dashes do not vote; their masks show when a view is enlarged. Lower the score to see those that were too weak.";
find("score-slider").hidden = data.threshold === null;
find("score").value = data.threshold ?? 0;
const canvases = [];
let enlarged = null;

function drawView(canvas, k, labelled) {
  const size = canvas.width, scale = size / data.side, paper = canvas.getContext("2d");
  paper.drawImage(images[k], 0, 0, size, size);
  const least = Number(find("score").value);
  const passes = box => data.threshold === null || box.score > least;
  const shown = sorted[k].filter(box => (focus() === -2 || box.part === focus()) && passes(box));
  if (find("show-masks").checked) drawMasks(paper, shown.filter(box => labelled || box.votes), size);
  if (!find("show-boxes").checked) return;
  for (const box of shown) {
    const [x, y, w, h] = box.bbox.map(v => v * scale), color = data.parts[box.part].color;
    paper.lineWidth = labelled ? 2.5 : 1.75;
    paper.strokeStyle = css(color, 0.35 + 0.65 * box.score);
    paper.setLineDash(box.votes ? [] : [6, 5]);
    paper.strokeRect(x, y, w, h);
    paper.setLineDash([]);
    if (!labelled) continue;
    paper.font = "500 13px system-ui, sans-serif";
    const text = `${data.parts[box.part].name} ${box.score.toFixed(2)}`, width = paper.measureText(text).width + 10;
    const [left, top] = [Math.max(0, Math.min(x - 1, size - width)), Math.max(0, y - 18)];
    paper.fillStyle = css(color);
    paper.fillRect(left, top, width, 18);
    const [r, g, b] = color;
    paper.fillStyle = r * 0.3 + g * 0.59 + b * 0.11 > 150 ? "#111" : "#fff";
    paper.fillText(text, left + 5, top + 13);
  }
}

function drawMasks(paper, boxes, size) {
  const side = data.maskSide, sheet = element("canvas", { width: side, height: side }), pen = sheet.getContext("2d");
  const pixels = pen.createImageData(side, side);
  for (const box of boxes) {
    let cell = 0;
    (box.mask ?? []).forEach((run, i) => {
      if (i % 2) for (let at = cell; at < cell + run; at++) pixels.data.set([...data.parts[box.part].color, 165], at * 4);
      cell += run;
    });
  }
  pen.putImageData(pixels, 0, 0);
  paper.drawImage(sheet, 0, 0, size, size);
}

function drawViews() {
  find("score-text").textContent = Number(find("score").value).toFixed(2);
  canvases.forEach((canvas, k) => drawView(canvas, k, false));
  if (enlarged !== null) drawView(find("large").querySelector("canvas"), enlarged, true);
}

const caption = k => `elevation ${data.views[k].elevation}°, azimuth ${data.views[k].azimuth}°`;
for (const k of data.views.keys()) {
  const canvas = element("canvas", { width: 400, height: 400 });
  const button = element("button", { type: "button", ariaLabel: `Enlarge view ${k}` }, canvas,
    element("span", {}, element("b", { textContent: k }), `${data.views[k].elevation}° / ${data.views[k].azimuth}°`));
  button.title = `${caption(k)}: ${counted(byView[k].length, "box", "boxes")}`;
  button.onclick = () => {
    enlarged = k;
    find("large").querySelector("p").textContent = `View ${k} · ${caption(k)} · ${counted(byView[k].length, "box", "boxes")}`;
    drawViews();
    find("large").showModal();
  };
  canvases.push(canvas);
  find("views").append(button);
}
find("large").onclose = () => { enlarged = null; };
find("large").onclick = e => { if (e.target === find("large")) find("large").close(); };
find("show-boxes").onchange = find("show-masks").onchange = find("score").oninput = drawViews;
find("mask-toggle").hidden = data.boxes.every(box => box.mask === null);
Promise.all(images.map(image => image.decode())).then(drawViews);

// Times and parameters

const longest = Math.max(...data.seconds.map(([, s]) => s), 1e-9);
for (const [stage, s] of [...data.seconds, ["total", total]]) {
  const bar = stage === "total" ? "" : element("span", { className: "bar", style: `width: ${100 * s / longest}%` });
  find("times").append(element("tr", {}, element("td", { textContent: stage }), element("td", {}, bar), element("td", { textContent: seconds(s) })));
}

function table(object) {
  const simple = element("table"), nested = [];
  for (const [key, value] of Object.entries(object)) {
    if (value !== null && typeof value === "object" && !(Array.isArray(value) && value.every(v => typeof v !== "object"))) {
      nested.push(element("details", {}, element("summary", { textContent: key }), ...table(value)));
    } else {
      const text = Array.isArray(value) ? value.join(", ") : String(value ?? "none");
      simple.append(element("tr", {}, element("td", { textContent: key }), element("td", { textContent: text })));
    }
  }
  return [simple, ...nested];
}
find("parameters").append(...table(data.parameters));
