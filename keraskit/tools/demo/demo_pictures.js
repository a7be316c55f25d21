// Pictures made into what the model was trained on, by the steps that keraskit's predict takes, rounding included:
// digit_pictures.py says why each is taken. A grey picture is {width, height, data}, its pixels row by row.

const FIELD = 28, BOX = 20, MIDDLE = 14, WORKED = 320, GRID = 32, DIM = 64, FAINT = 0.1, NEARLY_ALL = 0.95;

// The brightness of a picture from a canvas, which has red, green, blue and opacity, as Pillow weighs it.
function grey({width, height, data}) {
  const out = new Uint8Array(width * height);
  for (let i = 0; i < out.length; i++)
    out[i] = data[4 * i] * 19595 + data[4 * i + 1] * 38470 + data[4 * i + 2] * 7471 + 0x8000 >> 16;
  return {width, height, data: out};
}

function crop({width, data}, left, top, right, bottom) {
  const out = new data.constructor((right - left) * (bottom - top));
  for (let y = top; y < bottom; y++)
    out.set(data.subarray(y * width + left, y * width + right), (y - top) * (right - left));
  return {width: right - left, height: bottom - top, data: out};
}

// The value of the given rank among the nine around each pixel; beyond the border as on it.
function ranked({width, height, data}, rank) {
  const out = new data.constructor(data.length), around = new Float32Array(9);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
    let count = 0;
    for (let i = -1; i <= 1; i++) for (let j = -1; j <= 1; j++) {
      const row = Math.min(Math.max(y + i, 0), height - 1), column = Math.min(Math.max(x + j, 0), width - 1);
      const value = data[row * width + column];
      let at = count++;  // sorted as they come
      for (; at > 0 && around[at - 1] > value; at--) around[at] = around[at - 1];
      around[at] = value;
    }
    out[y * width + x] = around[rank];
  }
  return {width, height, data: out};
}

// The value that would stand at a place of the sorted values, which it moves about (Hoare's quickselect).
function nth(values, place) {
  for (let low = 0, high = values.length - 1; low < high;) {
    const pivot = values[low + high >> 1];
    let i = low, j = high;
    while (i <= j) {
      while (values[i] < pivot) i++;
      while (values[j] > pivot) j--;
      if (i > j) break;
      const larger = values[i];
      values[i++] = values[j];
      values[j--] = larger;
    }
    if (place <= j) high = j;
    else if (place >= i) low = i;
    else break;
  }
  return values[place];
}

// As NumPy has it: between two values in proportion.
function percentile(values, share) {
  const at = share * (values.length - 1), below = Math.floor(at), low = nth(values, below);
  return at > below ? low + (at - below) * (nth(values, below + 1) - low) : low;
}

const strength = ink => {
  const most = ink.reduce((a, b) => Math.max(a, b));
  return percentile(ink.filter(v => v > most / 2), 0.75);
};

// The brightness of the paper under the ink: a surface of second degree, and what remains of it around each cell.
function paperUnder(picture) {
  const cells = resize(picture, GRID, GRID, "box").data, terms = [], known = [];
  for (let i = 0; i < GRID; i++) for (let j = 0; j < GRID; j++) {
    const y = -1 + 2 * i / (GRID - 1), x = -1 + 2 * j / (GRID - 1);
    terms.push([1, x, y, x * x, x * y, y * y]);
    known.push(i % (GRID - 1) && j % (GRID - 1) ? 0.1 : 1);
  }
  let weights = known, light;
  for (let round = 0; round < 20; round++) {
    const surface = leastSquares(terms, cells, weights);
    light = terms.map(row => row.reduce((sum, v, k) => sum + v * surface[k], 0));
    weights = known.map((w, i) => w / Math.sqrt(Math.max(Math.abs(cells[i] - light[i]), 1)));
  }
  const reach = Math.trunc(GRID / 3), inside = v => Math.min(Math.max(v, 0), GRID - 1);
  const around = new Float32Array((2 * reach + 1) ** 2), estimate = new Float32Array(GRID * GRID);
  for (let y = 0; y < GRID; y++) for (let x = 0; x < GRID; x++) {
    let k = 0;
    for (let i = -reach; i <= reach; i++) for (let j = -reach; j <= reach; j++) {
      const at = inside(y + i) * GRID + inside(x + j);
      around[k++] = cells[at] - light[at];
    }
    estimate[y * GRID + x] = light[y * GRID + x] + nth(around, around.length >> 1);
  }
  return resize({width: GRID, height: GRID, data: estimate}, picture.width, picture.height, "bicubic").data;
}

// The coefficients of the terms that fit values best, each row with its weight: normal equations, eliminated.
function leastSquares(terms, values, weights) {
  const n = terms[0].length, rows = Array.from({length: n}, () => new Float64Array(n + 1));
  terms.forEach((row, i) => {
    const square = weights[i] ** 2;
    for (let a = 0; a < n; a++) {
      for (let b = 0; b < n; b++) rows[a][b] += square * row[a] * row[b];
      rows[a][n] += square * row[a] * values[i];
    }
  });
  for (let a = 0; a < n; a++) for (let b = 0; b < n; b++) if (a !== b) {
    const share = rows[b][a] / rows[a][a];
    for (let k = a; k <= n; k++) rows[b][k] -= share * rows[a][k];
  }
  return rows.map((row, a) => row[n] / row[a]);
}

function bounds({width, height, data}) {
  let [top, bottom, left, right] = [height, 0, width, 0];
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) if (data[y * width + x]) {
    top = Math.min(top, y), bottom = Math.max(bottom, y + 1), left = Math.min(left, x), right = Math.max(right, x + 1);
  }
  return [top, bottom, left, right];
}

// The digit of a grey picture as MNIST has it, {pixels, dark}: 28x28 bytes, white on black; null where there is no ink.
function cutOut(picture, dark = null) {
  const longer = Math.max(picture.width, picture.height);
  const [wide, high] = longer > WORKED ? thumbnail(picture.width, picture.height) : [picture.width, picture.height];
  let small = resize(picture, wide, high, "box");
  const fine = Math.max(wide, high) >= 100;
  if (fine) small = ranked(small, 4);
  const values = Float32Array.from(small.data), paper = paperUnder({width: wide, height: high, data: values});
  if (dark === null) dark = values.reduce((sum, v, i) => sum + (v - paper[i]) ** 3, 0) < 0;
  const difference = values.map((v, i) => dark ? paper[i] - v : v - paper[i]);
  const ink = difference.map((d, i) => d / Math.max(dark ? paper[i] : 255 - paper[i], DIM));
  const steps = difference.subarray(1).map((d, i) => Math.abs(d - difference[i]));
  const most = values => values.reduce((a, b) => Math.max(a, b), -Infinity);
  if (most(ink) < FAINT || most(difference) < (fine ? 20 : 8) * percentile(steps, 0.5)) return null;
  const full = strength(ink), shaped = data => ({width: wide, height: high, data});
  const strokes = ranked(shaped(ink.map(v => v > full / 3 ? 1 : 0)), 8).data;  // with their soft edges
  const digit = shaped(ink.map((v, i) => strokes[i] && v > full / 50 ? v : 0));

  const [top, bottom, left, right] = bounds(digit), side = Math.max(bottom - top, right - left);
  if (2 * side < Math.max(wide, high)) {  // look again, nearer
    const scale = longer / Math.max(wide, high), room = side / 2, whole = v => Math.trunc(scale * v);
    const near = [whole(Math.max(0, left - room)), whole(Math.max(0, top - room))];
    const far = [Math.min(whole(right + room), picture.width), Math.min(whole(bottom + room), picture.height)];
    return cutOut(crop(picture, ...near, ...far), dark);
  }
  const to = [right - left, bottom - top].map(v => Math.max(1, even(v * BOX / side)));
  const scaled = resize(digit, ...to, "hamming", [left, top, right, bottom]), strong = strength(scaled.data);
  return {pixels: centred({...scaled, data: scaled.data.map(v => Math.min(Math.max(v / strong, 0), 1))}), dark};
}

// The width and height of a picture whose longer side is to be WORKED, as Pillow rounds them.
function thumbnail(width, height) {
  const aspect = width / height, nearest = (value, error) => {
    const [low, high] = [Math.floor(value), Math.ceil(value)];
    return Math.max(error(high) < error(low) ? high : low, 1);
  };
  if (aspect <= 1) return [nearest(WORKED * aspect, n => Math.abs(aspect - n / WORKED)), WORKED];
  return [WORKED, nearest(WORKED / aspect, n => n ? Math.abs(aspect - WORKED / n) : 0)];
}

// To the nearest whole number, halves to the even one, as Python and NumPy do.
function even(value) {
  const below = Math.floor(value);
  return value - below === 0.5 ? below + below % 2 : Math.round(value);
}

// Ink from 0 to 1 of at most 20x20, with its centre of mass in the middle of 28x28 pixels.
function centred({width, height, data}) {
  let mass = 0, down = 0, right = 0;
  data.forEach((v, i) => (mass += v, down += v * Math.floor(i / width), right += v * (i % width)));
  const beside = (sum, side) => Math.min(Math.max(even(MIDDLE - sum / mass), 0), FIELD - side);
  const top = beside(down, height), left = beside(right, width);
  const field = new Uint8Array(FIELD * FIELD);
  data.forEach((v, i) => field[(top + Math.floor(i / width)) * FIELD + left + i % width] = even(255 * v));
  return field;
}

function border({width, height, data}) {
  let sum = 0;
  for (let x = 0; x < width; x++) sum += data[x] + data[(height - 1) * width + x];
  for (let y = 0; y < height; y++) sum += data[y * width] + data[(y + 1) * width - 1];
  return sum / (2 * (width + height));
}

// A picture from a canvas in the run's size, {pixels, note}: bytes, with as many channels as the run's had. Of one that
// was drawn here it is known that its ink is bright.
function prepared(image, {size: [height, width], channels, trained}, drawn = false) {
  if (channels === 3) return {pixels: colours(image, width, height), note: ""};
  const picture = grey(image), bright = trained.darkest_border + trained.brightest_border > 255;
  const [paper, ink] = bright ? ["bright", "dark"] : ["dark", "bright"];
  const asMnist = trained.as_mnist >= NEARLY_ALL && width === FIELD && height === FIELD;
  let notes = [];
  if (asMnist && (image.width !== width || image.height !== height)) {
    const found = cutOut(picture, drawn ? false : null);
    if (found) {
      const note = drawn || found.dark === bright ? "" : `; inverted: ${paper} ink, ${ink} in training`;
      const pixels = bright ? found.pixels.map(v => 255 - v) : found.pixels;
      return {pixels, note: `digit cut out, scaled to 20x20 and centred${note}`};
    }
    notes = ["no ink found, taken whole"];
  }
  const small = resize(picture, width, height, "bilinear"), brightness = border(small);
  const distance = v => Math.max(trained.darkest_border - v, v - trained.brightest_border, 0);
  if (distance(255 - brightness) >= distance(brightness)) return {pixels: small.data, note: notes.join()};
  const known = trained.assumed ? `${paper} is assumed of the training pictures'` : `${paper} in training`;
  const inverted = {...picture, data: picture.data.map(v => 255 - v)};
  notes.push(`inverted: ${ink} border, ${known}`);
  return {pixels: resize(inverted, width, height, "bilinear").data, note: notes.join("; ")};
}

function colours({width, height, data}, toWidth, toHeight) {
  const out = new Uint8Array(3 * toWidth * toHeight);
  for (let c = 0; c < 3; c++) {
    const channel = {width, height, data: Uint8Array.from({length: width * height}, (_, i) => data[4 * i + c])};
    resize(channel, toWidth, toHeight, "bilinear").data.forEach((v, i) => out[3 * i + c] = v);
  }
  return out;
}

// Pixels of the run's size as the model is fed them: data, or of several inputs {name: data}.
function fed(pixels, {size: [height, width], channels, scale, shape}) {
  const scaled = Float32Array.from(pixels, {
    pixels: v => v,
    unit: v => v / 255,
    standard: v => (v / 255 - 0.1307) / 0.3081,
    caffe: (_, i) => pixels[i + 2 - 2 * (i % 3)] - [103.939, 116.779, 123.68][i % 3],
  }[scale]);
  if (Array.isArray(shape)) return scaled;
  const each = ([name, own]) => [name, stretched(scaled, height, width, channels, own)];
  return Object.fromEntries(Object.entries(shape).map(each));
}

// Everything the page shows of a picture: what the model saw, what was done to it before, and what each layer made.
function answer(run, layers, image, drawn) {
  const start = performance.now(), {pixels, note} = prepared(image, run, drawn);
  const ready = performance.now(), made = compute(layers, fed(pixels, run));
  return {pixels, note, made, preparing: ready - start, computing: performance.now() - ready};
}
