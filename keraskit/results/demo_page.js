// What the page does: takes strokes and pictures, asks the network in a worker of its own, and shows what it made.

const $ = id => document.getElementById(id);
const run = JSON.parse($("described").textContent), ink = $("ink"), photo = $("photo"), pen = ink?.getContext("2d", {willReadFrequently: true});
const PEN = 50, MOST_PIXELS = 12e6, BARS = 12, WAIT = 700;

// --- The network, beside the page, so that drawing never waits for it. One question at a time; only the newest waits.

let busy = false, next = null, asked = 0, known = "";
const worker = startWorker();

function startWorker() {
  const code = ["demo_network.js", "demo_pictures.js"].map(name => document.querySelector(`[data-name="${name}"]`).textContent);
  code.push(`let run, layers;
    onmessage = ({data}) => {
      if (data.run) [run, layers] = [data.run, withWeights(data.run.layers, data.weights)];
      else postMessage(answer(run, layers, data.image, data.drawn));
    };`);
  const made = new Worker(URL.createObjectURL(new Blob(code, {type: "text/javascript"})));
  made.postMessage({run, weights: [...document.querySelectorAll(".weights")].map(each => each.textContent)});
  made.onmessage = ({data}) => {
    busy = false;
    if (next) send();
    if (asked) show(data);
  };
  return made;
}

// Asks what a picture is; `image` makes it, {width, height, data} as a canvas has it, once the network is free.
function ask(image, drawn, truth = "") {
  next = {image, drawn, truth};
  asked++;
  if (!busy) send();
}

function send() {
  const {image, drawn, truth} = next;
  [busy, next] = [true, null];
  known = truth && `A test picture of ${truth}.`;
  worker.postMessage({image: image(), drawn});
}

// --- Pictures: drawn, dropped, pasted, chosen, or one of the run's own.

function strokes() {
  const {width, height} = ink, data = pen.getImageData(0, 0, width, height).data;
  for (let i = 0; i < data.length; i += 4) data[i] = data[i + 1] = data[i + 2] = data[i + 3], data[i + 3] = 255;  // bright on dark
  return {width, height, data};
}

function clear() {
  pen?.clearRect(0, 0, ink.width, ink.height);
  photo.getContext("2d").clearRect(0, 0, photo.width, photo.height);
  $("slate").classList.remove("used");
  [next, asked] = [null, 0];
  nothing();
}

function draw() {
  let at = null, middle = null;
  const place = event => {
    const box = ink.getBoundingClientRect();
    return [(event.clientX - box.left) * ink.width / box.width, (event.clientY - box.top) * ink.height / box.height];
  };
  ink.addEventListener("pointerdown", event => {
    if (event.button) return;
    if (photo.dataset.shown) clear();
    photo.dataset.shown = "";
    ink.setPointerCapture(event.pointerId);
    at = middle = place(event);
    Object.assign(pen, {lineCap: "round", lineJoin: "round", lineWidth: PEN, strokeStyle: "#000"});
    line(at, at, at);
  });
  ink.addEventListener("pointermove", event => {
    if (!at) return;
    for (const each of event.getCoalescedEvents?.() ?? [event]) {
      const to = place(each), half = [(at[0] + to[0]) / 2, (at[1] + to[1]) / 2];
      line(middle, at, half);
      [at, middle] = [to, half];
    }
  });
  for (const name of ["pointerup", "pointercancel"]) ink.addEventListener(name, () => {
    if (at) line(middle, at, at);
    at = null;
  });
  function line(from, over, to) {
    pen.beginPath();
    pen.moveTo(...from);
    pen.quadraticCurveTo(...over, ...to);
    pen.stroke();
    $("slate").classList.add("used");
    ask(strokes, true);
  }
}

async function look(file, truth) {
  let image;
  try {
    image = await createImageBitmap(file, {colorSpaceConversion: "none"});
  } catch {
    clear();
    $("note").textContent = "This browser cannot read that file as a picture.";
    return;
  }
  clear();
  const scale = Math.min(1, Math.sqrt(MOST_PIXELS / (image.width * image.height))), brush = photo.getContext("2d");
  photo.width = Math.max(1, Math.round(image.width * scale));
  photo.height = Math.max(1, Math.round(image.height * scale));
  brush.fillStyle = "#fff";  // what is transparent lies on white
  brush.fillRect(0, 0, photo.width, photo.height);
  brush.drawImage(image, 0, 0, photo.width, photo.height);
  photo.dataset.shown = "1";
  photo.style.imageRendering = photo.width < 100 ? "pixelated" : "";
  $("slate").classList.add("used");
  const {width, height, data} = brush.getImageData(0, 0, photo.width, photo.height);
  ask(() => ({width, height, data}), false, truth);
}

function takePictures() {
  const slate = $("slate"), file = $("file");
  $("choose").addEventListener("click", () => file.click());
  if (!ink) slate.addEventListener("click", () => file.click());
  file.addEventListener("change", () => {
    if (file.files[0]) look(file.files[0]);
    file.value = "";
  });
  for (const name of ["dragenter", "dragover"]) addEventListener(name, event => {
    event.preventDefault();
    slate.classList.add("over");
  });
  for (const name of ["dragleave", "drop"]) addEventListener(name, () => slate.classList.remove("over"));
  addEventListener("drop", event => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) look(event.dataTransfer.files[0]);
  });
  addEventListener("paste", event => {
    if (event.clipboardData.files[0]) look(event.clipboardData.files[0]);
  });
  $("clear").addEventListener("click", clear);
  for (const button of document.querySelectorAll(".examples button"))
    button.addEventListener("click", () => look(blobOf(button.firstElementChild.src), button.dataset.truth));
}

function blobOf(source) {
  const [, type, base64] = source.match(/^data:(.*);base64,(.*)$/);
  return new Blob([Uint8Array.from(atob(base64), letter => letter.charCodeAt(0))], {type});
}

function element(tag, properties, parent) {
  const made = Object.assign(document.createElement(tag), properties);
  parent?.append(made);
  return made;
}

// --- What is shown. Layers that leave numbers as they are have nothing to show, nor has the last, which the bars show.

const read = new Map();
run.layers.forEach((layer, i) => layer.from.forEach(from => read.set(from, [...read.get(from) ?? [], i])));
const shown = run.layers.map((layer, i) => ({layer, i})).filter(({layer: {kind, shape, activation}, i}) => {
  if (i === run.output || ["Flatten", "Reshape", "Dropout", "SpatialDropout2D", "GaussianNoise", "Affine", "ZeroPadding2D"].includes(kind)) return false;
  if (kind === "InputLayer") return shape.length === 2 || !Array.isArray(run.shape);
  const [after] = read.get(i) ?? [];  // a convolution whose values are changed at once is shown after that
  return !(activation === "linear" && after !== undefined && ["Affine", "Activation", "ReLU"].includes(run.layers[after].kind));
});

const number = new Intl.NumberFormat("en");
const by = sides => sides.map(side => number.format(side)).join("×");

function described({kind, shape, kernel_size, pool_size, return_sequences, from}) {
  const maps = `${number.format(shape[2])} maps of ${by(shape.slice(0, 2))}`, count = number.format(shape[shape.length - 1]);
  const sequence = shape.length === 2 ? `, at each of ${number.format(shape[0])} steps` : "";
  return {
    InputLayer: () => shape.length === 2 ? `the picture as a sequence: ${number.format(shape[0])} steps of ${count === "1" ? "one pixel" : `${count} pixels`}` : `the picture in ${by(shape.slice(0, 2))}, ${shape[2] === 3 ? "in colour" : "in grey"}`,
    Conv2D: () => `${count} filters of ${by(kernel_size)} look for patterns: ${maps}`,
    DepthwiseConv2D: () => `a filter of ${by(kernel_size)} for each map: ${maps}`,
    MaxPooling2D: () => `the largest of every ${by(pool_size)}: ${maps}`,
    AveragePooling2D: () => `the mean of every ${by(pool_size)}: ${maps}`,
    GlobalAveragePooling2D: () => "the mean of each map",
    GlobalMaxPooling2D: () => "the largest value of each map",
    Dense: () => `${count} units, each weighs all that came before${sequence}`,
    LSTM: () => `${count} units with a memory, step after step${return_sequences ? "" : "; the last step goes on"}`,
    TimeDistributed: () => `the same layer${sequence}`,
    Concatenate: () => `what ${from.length} branches found, side by side: ${count} values`,
    Add: () => `the sum of ${from.length} branches`,
  }[kind]?.() ?? (shape.length === 3 ? maps : `${count} values`);
}

function lay() {
  shown.forEach(({layer, i}, place) => {
    const item = element("li", {}, $("layers"));
    item.style.setProperty("--i", place);
    element("h3", {textContent: layer.name}, item);
    element("p", {textContent: described(layer)}, item);
    const canvas = element("canvas", {ariaLabel: `Activations of ${layer.name}`}, item);
    canvas.setAttribute("role", "img");
    const found = shown[place];
    found.canvas = canvas;
    if (layer.shape.length === 2 || layer.kind === "LSTM") {
      const axis = element("div", {className: "axis"}, item);
      for (const text of ["first step", "last step"]) element("span", {textContent: text}, axis);
    }
    if (layer.shape.length === 2 && layer.activation === "softmax" && layer.shape[0] === run.size[0] * run.size[1]) {
      element("p", {textContent: `At each step the most probable of ${layer.shape[1]}, in the places of the picture:`}, item).style.display = "block";
      found.whole = element("canvas", {className: "whole", ariaLabel: `${layer.name} as a picture`}, item);
      found.whole.setAttribute("role", "img");
    }
  });
  const entries = run.classes.slice(0, BARS);
  for (const name of entries) {
    const line = element("li", {}, $("bars"));
    element("span", {className: "name", textContent: name}, line);
    element("span", {className: "bar"}, element("span", {className: "track"}, line));
    element("span", {className: "share"}, line);
  }
  const [height, width] = run.size;
  $("size").textContent = `${by([width, height])} pixels${run.channels === 3 ? " in colour" : ""}.`;
  $("seen").classList.toggle("smooth", width >= 100);
}

let latest = null, quiet = 0;

// Before there is a picture: everything is dark.
function nothing() {
  latest = null;
  document.body.classList.remove("lit", "pulse");
  $("verdict").className = "unsure";
  $("verdict").children[0].textContent = "?";
  $("verdict").children[0].className = $("verdict").children[1].textContent = $("note").textContent = $("time").textContent = "";
  bars(run.classes.map(() => 0));
  paint();
}

function show(found) {
  const first = !latest;
  latest = found;
  const values = [...found.made[run.output].data], probabilities = values.length === 1 ? [1 - values[0], values[0]] : values;
  const best = probabilities.indexOf(Math.max(...probabilities)), name = run.classes[best], sure = probabilities[best];
  const [big, share] = $("verdict").children;
  [big.textContent, big.className, share.textContent] = [name, name.length > 2 ? "word" : "", percent(sure)];
  $("verdict").className = sure < 0.5 ? "unsure" : "verdict";
  $("note").textContent = [known, found.note && `${found.note[0].toUpperCase()}${found.note.slice(1)}.`].join(" ");
  $("time").textContent = `Computed in ${Math.max(1, Math.round(found.computing))} ms.`;
  bars(probabilities);
  document.body.classList.add("lit");
  if (first) document.body.classList.add("pulse");
  paint();
  clearTimeout(quiet);
  quiet = setTimeout(() => $("spoken").textContent = `${name}, ${percent(sure)}`, WAIT);
}

function percent(share) {
  const fine = share >= 0.0005 && share < 0.0995 || share >= 0.995 && share < 0.9995;
  return `${(100 * share).toFixed(fine ? 1 : 0)} %`;
}

// In the order of the classes; where there are many, the most probable ones first.
function bars(probabilities) {
  let order = probabilities.map((_, i) => i);
  if (order.length > BARS) order = order.sort((a, b) => probabilities[b] - probabilities[a]).slice(0, BARS);
  const best = Math.max(...probabilities);
  order.forEach((k, i) => {
    const line = $("bars").children[i], [name, track, share] = line.children;
    name.textContent = name.title = run.classes[k];
    track.firstChild.style.transform = `scaleX(${Math.min(1, Math.max(0, probabilities[k]))})`;
    share.textContent = latest ? percent(probabilities[k]) : "";
    line.classList.toggle("best", latest && probabilities[k] === best);
  });
}

// --- Painting: 511 colours, from orange over the page's own to blue and on to its ink, the strongest.

let palette;

function mix() {
  const style = getComputedStyle(document.documentElement);
  const [soft, up, down, end] = ["--soft", "--train", "--validation", "--ink"].map(name => {
    const hex = style.getPropertyValue(name).trim();
    return [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16));
  });
  palette = new Uint32Array(511);
  const bytes = new Uint8Array(palette.buffer);
  for (let i = 0; i < 511; i++) {
    const t = Math.abs(i - 255) / 255, to = i < 255 ? down : up, bright = Math.max(0, t - 0.75) * 2.2;
    for (let c = 0; c < 3; c++) {
      const middle = soft[c] + (to[c] - soft[c]) * Math.min(1, t / 0.75);
      bytes[4 * i + c] = middle + (end[c] - middle) * bright;
    }
    bytes[4 * i + 3] = 255;
  }
}

// Values as pixels of the palette, the largest of all at its end; roots, so that weak ones are seen too.
function coloured(data) {
  let most = 0;
  for (const v of data) most = Math.max(most, Math.abs(v));
  const out = new Uint32Array(data.length);
  for (let i = 0; i < data.length; i++) {
    const share = most ? Math.sqrt(Math.abs(data[i]) / most) : 0;
    out[i] = palette[255 + Math.round(data[i] < 0 ? -255 * share : 255 * share)];
  }
  return out;
}

function bitmap(pixels, width, height) {
  const made = new OffscreenCanvas(width, height);
  made.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), width, height), 0, 0);
  return made;
}

// A canvas of this size on the page, at the screen's own resolution, ready to be drawn on.
function sized(canvas, width, height) {
  const dense = Math.min(devicePixelRatio, 2);
  [canvas.width, canvas.height, canvas.style.width] = [Math.round(width * dense), Math.round(height * dense), `${width}px`];
  const brush = canvas.getContext("2d");
  brush.scale(dense, dense);
  return brush;
}

function paint() {
  if (!palette) mix();
  const room = Math.floor($("layers").clientWidth - parseFloat(getComputedStyle($("layers")).paddingLeft));
  for (const {layer, i, canvas, whole} of shown) {
    const made = latest?.made[i], shape = made?.states?.shape ?? layer.shape;
    const data = made?.states?.data ?? made?.data ?? new Float32Array(size(shape));
    if (layer.kind === "InputLayer") paintInput(canvas, shape, data, room);
    else if (layer.kind === "LSTM" && !made) paintSequence(canvas, [1, last(shape)], new Float32Array(last(shape)), room);
    else if (shape.length === 3) paintMaps(canvas, shape, data, room);
    else if (shape.length === 2) paintSequence(canvas, shape, data, room);
    else paintUnits(canvas, data, room);
    if (whole) paintMostProbable(whole, shape, made?.data);
  }
  paintSeen();
}

// How many stand in a line, so that all of about this size fit into the room, every line as long as the others.
function inLine(count, side, room) {
  const lines = Math.ceil(count / Math.max(1, Math.floor(room / side)));
  return Math.ceil(count / lines);
}

// The channels as tiles, as large as fits into some lines of them.
function paintMaps(canvas, [height, width, channels], data, room) {
  const most = Math.min(120, Math.max(18, Math.sqrt(240 * room / channels)));
  const columns = inLine(channels, most, room), tile = Math.min(120, room / columns) - 2, high = tile * height / width;
  const brush = sized(canvas, columns * (tile + 2) - 2, Math.ceil(channels / columns) * (high + 2) - 2);
  const colours = coloured(data), one = new Uint32Array(width * height);
  brush.imageSmoothingEnabled = tile * devicePixelRatio < width;
  for (let c = 0; c < channels; c++) {
    for (let k = 0; k < one.length; k++) one[k] = colours[k * channels + c];
    brush.drawImage(bitmap(one, width, height), c % columns * (tile + 2), Math.floor(c / columns) * (high + 2), tile, high);
  }
}

// Each unit a cell.
function paintUnits(canvas, data, room) {
  const columns = inLine(data.length, Math.min(20, Math.max(6, Math.sqrt(70 * room / data.length))), room);
  const side = Math.min(22, room / columns), lines = Math.ceil(data.length / columns);
  const brush = sized(canvas, columns * side, lines * side), colours = new Uint8Array(coloured(data).buffer);
  for (let k = 0; k < data.length; k++) {
    brush.fillStyle = `rgb(${colours.subarray(4 * k, 4 * k + 3).join()})`;
    brush.beginPath();
    brush.roundRect(k % columns * side, Math.floor(k / columns) * side, side - 1.5, side - 1.5, side / 5);
    brush.fill();
  }
}

// Time to the right, a unit a line.
function paintSequence(canvas, [steps, units], data, room, colours = coloured(data)) {
  const height = units === 1 ? 16 : Math.min(150, Math.max(56, units * 2)), pixels = new Uint32Array(steps * units);
  const brush = sized(canvas, room, height);
  for (let step = 0; step < steps; step++) for (let unit = 0; unit < units; unit++) pixels[unit * steps + step] = colours[step * units + unit];
  brush.imageSmoothingEnabled = steps > 100;
  brush.drawImage(bitmap(pixels, steps, units), 0, 0, room, height);
}

const opaque = (red, green, blue) => (255 << 24 | blue << 16 | green << 8 | red) >>> 0;

// What the model is fed, from its darkest value to its brightest.
function paintInput(canvas, shape, data, room) {
  const [low, high] = data.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, 1e-6]);
  const level = v => Math.round(255 * (v - low) / (high - low)), grey = v => opaque(level(v), level(v), level(v));
  if (shape.length === 2) return paintSequence(canvas, shape, data, room, Uint32Array.from(data, grey));
  const [height, width, channels] = shape, side = Math.max(width * 2, 128), brush = sized(canvas, side, side * height / width);
  const colour = (_, k) => opaque(...[0, 1, 2].map(c => level(data[k * channels + Math.min(c, channels - 1)])));
  brush.imageSmoothingEnabled = false;
  brush.drawImage(bitmap(Uint32Array.from({length: width * height}, colour), width, height), 0, 0, side, side * height / width);
}

function paintMostProbable(canvas, [steps, classes], data) {
  [canvas.height, canvas.width] = run.size;
  const pixels = new Uint32Array(steps);
  for (let step = 0; data && step < steps; step++) {
    const row = data.subarray(step * classes, (step + 1) * classes), level = Math.round(255 * row.indexOf(row.reduce((a, b) => Math.max(a, b))) / (classes - 1));
    pixels[step] = opaque(level, level, level);
  }
  canvas.getContext("2d").drawImage(bitmap(pixels, canvas.width, canvas.height), 0, 0);
}

function paintSeen() {
  const [height, width] = run.size, canvas = $("seen"), pixels = new Uint32Array(width * height);
  for (let k = 0; latest && k < pixels.length; k++) {
    const grey = latest.pixels[k];
    pixels[k] = run.channels === 3 ? opaque(...latest.pixels.subarray(3 * k, 3 * k + 3)) : opaque(grey, grey, grey);
  }
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").drawImage(bitmap(pixels, width, height), 0, 0);
}

lay();
nothing();
if (ink) draw();
takePictures();
addEventListener("resize", paint);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (mix(), paint()));
