// What the page does: takes strokes and pictures, asks the network in a worker of its own, and shows what it made.

const $ = id => document.getElementById(id);
const photo = $("photo"), ink = $("ink");
const pen = ink?.getContext("2d", {willReadFrequently: true});
const PEN = 50;  // of the paper's 640 pixels: about as wide as MNIST's
const MOST_PIXELS = 12e6;  // of a photograph; some browsers have no larger canvas
const BARS = 12, MANY = 12;  // classes at most, and layers, that have all their room
const WAIT = 700;  // milliseconds without a change before an answer is read aloud

// --- The network, beside the page, so that drawing never waits for it. One question at a time; only the newest waits.

let busy = false, next = null, stale = false, known = "";
const worker = startWorker();

function startWorker() {
  const script = name => document.querySelector(`[data-name="${name}"]`).textContent;
  const code = ["network", "resizing", "pictures"].map(script);
  code.push(`let run, layers;
    onmessage = ({data}) => {
      if (data.run) [run, layers] = [data.run, withWeights(data.run.layers, data.weights)];
      else postMessage(answer(run, layers, data.image, data.drawn));
    };`);
  const made = new Worker(URL.createObjectURL(new Blob(code, {type: "text/javascript"})));
  made.postMessage({run, weights: [...document.querySelectorAll(".weights")].map(each => each.textContent)});
  made.onmessage = ({data}) => {
    if (!stale) show(data);
    busy = stale = false;
    if (next) send();
  };
  return made;
}

// Asks what a picture is; `image` makes it, {width, height, data} as a canvas has it, once the network is free.
function ask(image, drawn, truth = "") {
  next = {image, drawn, truth};
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
  for (let i = 0; i < data.length; i += 4) {  // bright on dark
    data[i] = data[i + 1] = data[i + 2] = data[i + 3];
    data[i + 3] = 255;
  }
  return {width, height, data};
}

function clear() {
  pen?.clearRect(0, 0, ink.width, ink.height);
  photo.getContext("2d").clearRect(0, 0, photo.width, photo.height);
  $("slate").classList.remove("used");
  [next, stale] = [null, busy];
  nothing();
}

function draw() {
  let at = null, middle = null;
  const place = event => {
    const box = ink.getBoundingClientRect();
    return [(event.clientX - box.left) * ink.width / box.width, (event.clientY - box.top) * ink.height / box.height];
  };
  ink.addEventListener("pointerdown", event => {
    if (event.button || !event.isPrimary) return;
    if (photo.dataset.shown) clear();
    photo.dataset.shown = "";
    ink.setPointerCapture(event.pointerId);
    at = middle = place(event);
    Object.assign(pen, {lineCap: "round", lineJoin: "round", lineWidth: PEN, strokeStyle: "#000"});
    line(at, at, at);
  });
  ink.addEventListener("pointermove", event => {
    if (!at || !event.isPrimary) return;
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
  const scale = Math.min(1, Math.sqrt(MOST_PIXELS / (image.width * image.height)));
  const brush = photo.getContext("2d");
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

// --- What is shown.

function lay() {
  shown.forEach(({layer, i}, place) => {
    const item = element("li", {}, $("layers"));
    item.style.setProperty("--i", place);
    element("h3", {textContent: layer.name}, item);
    element("p", {textContent: described(layer) + origin(place)}, item);
    const canvas = element("canvas", {ariaLabel: `Activations of ${layer.name}`}, item);
    canvas.setAttribute("role", "img");
    const found = shown[place];
    found.canvas = canvas;
    if (layer.shape.length === 2 || layer.kind === "LSTM") {
      const axis = element("div", {className: "axis"}, item);
      for (const text of ["first step", "last step"]) element("span", {textContent: text}, axis);
    }
    if (layer.shape.length === 2 && layer.activation === "softmax" && layer.shape[0] === run.size[0] * run.size[1]) {
      const said = `At each step the most probable of ${layer.shape[1]}, in the places of the picture:`;
      element("p", {textContent: said, className: "said"}, item);
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
  const [big, share] = $("verdict").children;
  [big.textContent, big.className, share.textContent] = ["?", "", ""];
  $("note").textContent = $("time").textContent = "";
  bars(run.classes.map(() => 0));
  paint();
}

function show(found) {
  const first = !latest;
  latest = found;
  const values = [...found.made[run.output].data];
  const probabilities = values.length === 1 ? [1 - values[0], values[0]] : values;
  const best = probabilities.indexOf(Math.max(...probabilities)), name = run.classes[best], sure = probabilities[best];
  const [big, share] = $("verdict").children;
  [big.textContent, big.className, share.textContent] = [name, name.length > 2 ? "word" : "", percent(sure)];
  $("verdict").className = sure < 0.5 ? "unsure" : "verdict";
  const done = found.note && `${found.note[0].toUpperCase()}${found.note.slice(1)}.`;
  $("note").textContent = [known, done].join(" ");
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

function paint() {
  if (!palette) mixPalette();
  const room = Math.floor($("layers").clientWidth - parseFloat(getComputedStyle($("layers")).paddingLeft));
  for (const {layer, i, canvas, whole} of shown) {
    const made = latest?.made[i], still = layer.kind === "LSTM" ? [1, last(layer.shape)] : layer.shape;
    const shape = made ? made.states?.shape ?? layer.shape : still;
    const data = made?.states?.data ?? made?.data ?? new Float32Array(size(shape));
    if (layer.kind === "InputLayer") paintInput(canvas, shape, data, room);
    else if (shape.length === 3) paintMaps(canvas, shape, data, room, shown.length > MANY ? 0.6 : 1);
    else if (shape.length === 2) paintSequence(canvas, shape, data, room);
    else paintUnits(canvas, data, room);
    if (whole) paintMostProbable(whole, run.size, shape[1], made?.data);
  }
  paintSeen();
}

function paintSeen() {
  const [height, width] = run.size, {pixels} = latest ?? {}, pixel = run.channels === 3
    ? k => opaque(...pixels.subarray(3 * k, 3 * k + 3))
    : k => opaque(pixels[k], pixels[k], pixels[k]);
  paintPixels($("seen"), Uint32Array.from({length: width * height}, (_, k) => pixels ? pixel(k) : 0), height, width);
}

lay();
nothing();
if (ink) draw();
takePictures();
addEventListener("resize", paint);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (mixPalette(), paint()));
