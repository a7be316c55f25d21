// What the page does: takes strokes and pictures, asks the network in a worker of its own, and shows what it made.

const $ = id => document.getElementById(id);
const photo = $("photo"), ink = $("ink"), brush = photo.getContext("2d", {willReadFrequently: true});
const pen = ink?.getContext("2d", {willReadFrequently: true});
const PEN = 50;  // of the paper's 640 pixels: about as wide as MNIST's
const MOST_PIXELS = 12e6;  // of a photograph; some browsers have no larger canvas

// The network computes beside the page, so that drawing never waits for it. One question at a time; only the newest
// waits.
let busy = false, next = null, stale = false, known = "", latest = null;
const worker = startWorker();

function startWorker() {
  const code = ["network", "pictures"].map(name => document.querySelector(`[data-name="${name}"]`).textContent);
  code.push(`let run, layers;
    onmessage = ({data}) => {
      if (data.run) [run, layers] = [data.run, withWeights(data.run)];
      else postMessage(answer(run, layers, data.image, data.drawn));
    };`);
  const made = new Worker(URL.createObjectURL(new Blob(code, {type: "text/javascript"})));
  made.postMessage({run});
  made.onmessage = ({data}) => {
    if (!stale) show(data);
    busy = stale = false;
    if (next) send();
  };
  return made;
}

// Asks what a picture is; `image` makes it, as a canvas has it, once the network is free.
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

const strokes = () => pen.getImageData(0, 0, ink.width, ink.height);

function clear() {
  pen?.clearRect(0, 0, ink.width, ink.height);
  brush.clearRect(0, 0, photo.width, photo.height);
  photo.dataset.shown = "";
  $("slate").classList.remove("used");
  [next, stale] = [null, busy];
  show(null);
}

function draw() {
  let at = null;
  const place = event => {
    const box = ink.getBoundingClientRect();
    return [(event.clientX - box.left) * ink.width / box.width, (event.clientY - box.top) * ink.height / box.height];
  };
  const line = to => {
    pen.beginPath();
    pen.moveTo(...at);
    pen.lineTo(...to);
    pen.stroke();
    at = to;
    $("slate").classList.add("used");
    ask(strokes, true);
  };
  ink.addEventListener("pointerdown", event => {
    if (event.button || !event.isPrimary) return;
    if (photo.dataset.shown) clear();
    ink.setPointerCapture(event.pointerId);
    Object.assign(pen, {lineCap: "round", lineJoin: "round", lineWidth: PEN, strokeStyle: "#000"});
    at = place(event);
    line(at);
  });
  ink.addEventListener("pointermove", event => at && event.isPrimary && line(place(event)));
  for (const name of ["pointerup", "pointercancel"]) ink.addEventListener(name, () => at = null);
}

// A file, or an element of the page.
async function look(source, truth) {
  const image = await createImageBitmap(source, {colorSpaceConversion: "none"}).catch(() => null);
  clear();
  if (!image) {
    $("note").textContent = "This browser cannot read that file as a picture.";
    return;
  }
  const scale = Math.min(1, Math.sqrt(MOST_PIXELS / (image.width * image.height)));
  photo.width = Math.max(1, Math.round(image.width * scale));
  photo.height = Math.max(1, Math.round(image.height * scale));
  brush.fillStyle = "#fff";  // what is transparent lies on white
  brush.fillRect(0, 0, photo.width, photo.height);
  brush.drawImage(image, 0, 0, photo.width, photo.height);
  photo.dataset.shown = "1";
  photo.style.imageRendering = photo.width < 100 ? "pixelated" : "";
  $("slate").classList.add("used");
  const aspect = run.crop ? run.size[1] / run.size[0] : photo.width / photo.height;
  const wide = Math.min(photo.width, photo.height * aspect), high = wide / aspect;
  const [[left, right], [top, bottom]] = [[photo.width, wide], [photo.height, high]].map(([whole, side]) =>
    [even((whole - side) / 2), Math.max(even((whole + side) / 2), even((whole - side) / 2) + 1)]);
  const pixels = brush.getImageData(left, top, right - left, bottom - top);
  ask(() => pixels, false, truth);
}

function takePictures() {
  const file = $("file");
  $("choose").addEventListener("click", () => file.click());
  if (!ink) $("slate").addEventListener("click", () => file.click());
  file.addEventListener("change", () => {
    if (file.files[0]) look(file.files[0]);
    file.value = "";
  });
  addEventListener("dragover", event => event.preventDefault());
  addEventListener("drop", event => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) look(event.dataTransfer.files[0]);
  });
  $("clear").addEventListener("click", clear);
  for (const button of document.querySelectorAll(".examples button"))
    button.addEventListener("click", () => look(button.firstElementChild, button.dataset.truth));
}

// --- What is shown.

function lay() {
  const element = (tag, properties, parent) => {
    const made = Object.assign(document.createElement(tag), properties);
    parent.append(made);
    return made;
  };
  shown.forEach(each => {
    const item = element("li", {}, $("layers"));
    element("h3", {textContent: each.layer.name}, item);
    element("p", {textContent: described(each.layer)}, item);
    each.canvas = element("canvas", {role: "img", ariaLabel: `Activations of ${each.layer.name}`}, item);
  });
}

// What the network made of a picture; before there is one, everything is dark.
function show(found) {
  latest = found;
  const values = found ? [...last(found.made).data] : run.classes.map(() => 0);
  const probabilities = values.length === 1 ? [1 - values[0], values[0]] : values;
  const sure = Math.max(...probabilities), name = found ? run.classes[probabilities.indexOf(sure)] : "?";
  const [big, share] = $("verdict").children;
  [big.textContent, big.className, share.textContent] = [name, name.length > 2 ? "word" : "", found && percent(sure)];
  $("verdict").className = sure < 0.5 ? "unsure" : "verdict";
  const done = found?.note && `${found.note[0].toUpperCase()}${found.note.slice(1)}.`;
  $("note").textContent = found && [known, done].join(" ");
  $("time").textContent = found && `Computed in ${Math.max(1, Math.round(found.milliseconds))} ms.`;
  bars(probabilities);
  document.body.classList.toggle("lit", Boolean(found));
  paint();
}

const percent = share => `${(100 * share).toFixed(1)} %`;
// In the order of the classes; where there are many, the most probable ones first.
function bars(probabilities) {
  let order = probabilities.map((_, i) => i);
  const best = Math.max(...probabilities), lines = [...$("bars").children];
  if (order.length > lines.length) order = order.sort((a, b) => probabilities[b] - probabilities[a]);
  lines.forEach((line, i) => {
    const k = order[i], [name, track, share] = line.children;
    name.textContent = name.title = run.classes[k];
    track.firstChild.style.transform = `scaleX(${Math.min(1, Math.max(0, probabilities[k]))})`;
    share.textContent = latest ? percent(probabilities[k]) : "";
    line.classList.toggle("best", latest && probabilities[k] === best);
  });
}

function paint() {
  if (!palette) mixPalette();
  const room = Math.floor($("layers").clientWidth - parseFloat(getComputedStyle($("layers")).paddingLeft));
  for (const {layer, i, canvas} of shown) {
    const made = latest?.made[i], still = layer.kind === "LSTM" ? [1, last(layer.shape)] : layer.shape;
    const shape = made ? made.states?.shape ?? layer.shape : still;
    const data = made?.states?.data ?? made?.data ?? new Float32Array(size(shape));
    if (shape.length === 3) paintTiles(canvas, shape, data, room, MAPS);
    else if (shape.length === 2) paintSequence(canvas, shape, data, room);
    else paintTiles(canvas, [1, 1, data.length], data, room, UNITS);
  }
  paintSeen();
}

function paintSeen() {
  const [height, width] = run.size, {pixels} = latest ?? {}, pixel = run.channels === 3
    ? k => opaque(...pixels.subarray(3 * k, 3 * k + 3))
    : k => opaque(pixels[k], pixels[k], pixels[k]);
  const seen = Uint32Array.from({length: width * height}, (_, k) => pixels ? pixel(k) : 0), canvas = $("seen");
  [canvas.width, canvas.height] = [width, height];  // which the page stretches
  canvas.getContext("2d").drawImage(bitmap(seen, width, height), 0, 0);
}

lay();
show(null);
if (ink) draw();
takePictures();
addEventListener("resize", paint);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (mixPalette(), paint()));
