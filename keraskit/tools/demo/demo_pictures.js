// Pictures made into what the model was trained on, by the steps that keraskit's predict takes, rounding included:
// keraskit's digit_pictures.py says why each is taken. A grey picture is {width, height, data}, its pixels row by row.

const FIELD = 28, BOX = 20, MIDDLE = 14, WORKED = 320, FAINT = 0.1, INK = 0.25, NEGATIVE = 64;
// Pillow's filters: how far each reaches, and its weight at a distance.
const box = [0.5, x => x > -0.5 && x <= 0.5 ? 1 : 0], bilinear = [1, x => Math.max(0, 1 - Math.abs(x))];

// The brightness of a picture from a canvas, which has red, green, blue and opacity, as Pillow weighs it. What was
// drawn here is opaque where it is bright.
function grey({width, height, data}, drawn) {
  const out = new Uint8Array(width * height);
  for (let i = 0; i < out.length; i++)
    out[i] = drawn ? data[4 * i + 3]
      : data[4 * i] * 19595 + data[4 * i + 1] * 38470 + data[4 * i + 2] * 7471 + 0x8000 >> 16;
  return {width, height, data: out};
}

// For each of `to` pixels, which of `from` pixels it is made of, and their weights, as Pillow has them.
function taps(from, to, [reach, weight]) {
  const scale = from / to, wide = Math.max(scale, 1);
  return Array.from({length: to}, (_, i) => {
    const centre = (i + 0.5) * scale, first = Math.max(0, Math.trunc(centre - reach * wide + 0.5));
    const beyond = Math.min(from, Math.trunc(centre + reach * wide + 0.5));
    const weights = Array.from({length: beyond - first}, (_, k) => weight((first + k - centre + 0.5) / wide));
    const sum = weights.reduce((a, b) => a + b, 0);
    return {first, weights: weights.map(w => w / sum)};
  });
}

// A grey picture in another size. Bytes stay bytes.
function resize({width, height, data}, toWidth, toHeight, filter) {
  const narrow = weighted(data, taps(width, toWidth, filter), [toWidth, 1], [height, toWidth, width]);
  const small = weighted(narrow, taps(height, toHeight, filter), [toHeight, toWidth], [toWidth, 1, 1]);
  return {width: toWidth, height: toHeight, data: small};
}

// Sums of what lies along lines, as `taps` says. The results of a line are `step` apart; lines begin `next` apart in
// the results, and `nextFrom` apart in the data.
function weighted(data, taps, [count, step], [lines, next, nextFrom]) {
  const out = new data.constructor(count * lines), bytes = data.BYTES_PER_ELEMENT === 1;
  for (let i = 0; i < count; i++) {
    const {first, weights} = taps[i], length = weights.length;
    for (let line = 0; line < lines; line++) {
      let sum = bytes ? 0.5 : 0;
      for (let k = 0, at = line * nextFrom + first * step; k < length; k++, at += step) sum += weights[k] * data[at];
      out[line * next + i * step] = bytes ? Math.min(255, Math.max(0, Math.floor(sum))) : sum;
    }
  }
  return out;
}

// To the nearest whole number, halves to the even one, as Python and NumPy do.
function even(value) {
  const below = Math.floor(value);
  return value - below === 0.5 ? below + below % 2 : Math.round(value);
}

const mean = values => values.reduce((a, b) => a + b) / values.length;

// The outermost pixels; those in the corners count twice.
function border({width, height, data}) {
  const rows = [data.subarray(0, width), data.subarray((height - 1) * width)], column = x =>
    Array.from({length: height}, (_, y) => data[y * width + x]);
  return [...rows[0], ...rows[1], ...column(0), ...column(width - 1)];
}

function bounds({width, height, data}) {
  let [top, bottom, left, right] = [height, 0, width, 0];
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) if (data[y * width + x]) {
    top = Math.min(top, y), bottom = Math.max(bottom, y + 1), left = Math.min(left, x), right = Math.max(right, x + 1);
  }
  return [top, bottom, left, right];
}

// The digit of a grey picture as MNIST has it, {pixels, dark}: 28x28 bytes, white on black; null where there is no ink.
// Its paper is taken to be evenly lit: the page is for drawing, and `keraskit predict` for photographs.
function cutOut(picture, dark = null) {
  const scale = Math.min(1, WORKED / Math.max(picture.width, picture.height));
  const [wide, high] = [picture.width, picture.height].map(side => Math.max(1, even(scale * side)));
  const values = Float32Array.from(resize(picture, wide, high, box).data);
  const most = values => values.reduce((a, b) => Math.max(a, b));
  const sides = border({width: wide, height: high, data: values}).sort((a, b) => a - b), half = sides.length / 2;
  const paper = (sides[half - 1] + sides[half]) / 2;
  dark ??= paper + most(values.map(v => -v)) > most(values) - paper;
  const contrast = values.map(v => (dark ? paper - v : v - paper) / 255), strongest = most(contrast);
  if (strongest < FAINT) return null;
  const ink = contrast.map(v => v / strongest > INK ? v / strongest : 0);
  const [top, bottom, left, right] = bounds({width: wide, height: high, data: ink}), width = right - left;
  const cut = Float32Array.from({length: width * (bottom - top)}, (_, i) =>
    ink[(top + Math.floor(i / width)) * wide + left + i % width]);
  const to = side => Math.max(1, even(side * BOX / Math.max(width, bottom - top)));
  const digit = resize({width, height: bottom - top, data: cut}, to(width), to(bottom - top), box);
  return {pixels: centred(digit, most(digit.data)), dark};
}

// The centre of mass, [row, column].
function middle({width, data}) {
  let mass = 0, down = 0, right = 0;
  data.forEach((v, i) => (mass += v, down += v * Math.floor(i / width), right += v * (i % width)));
  return [down / mass, right / mass];
}

// Whether a picture has MNIST's size, its ink at most two pixels less than 20, and in the middle within one.
function isPrepared(picture) {
  const paper = mean(border(picture)), ink = Float32Array.from(picture.data, v => Math.abs(v - paper));
  const found = {...picture, data: ink.map(v => v < 255 * FAINT ? 0 : v)}, [top, bottom, left, right] = bounds(found);
  const longest = Math.max(bottom - top, right - left), placed = middle(found).every(at => Math.abs(at - MIDDLE) <= 1);
  return picture.width === FIELD && picture.height === FIELD && longest >= BOX - 2 && longest <= BOX && placed;
}

// Ink of at most 20x20 as bytes, with its centre of mass in the middle of 28x28 pixels.
function centred({width, height, data}, strongest) {
  const beside = (middle, side) => Math.min(Math.max(even(MIDDLE - middle), 0), FIELD - side);
  const [down, right] = middle({width, data}), field = new Uint8Array(FIELD * FIELD);
  const top = beside(down, height), left = beside(right, width);
  data.forEach((v, i) => field[(top + Math.floor(i / width)) * FIELD + left + i % width] = even(255 * v / strongest));
  return field;
}

// A picture from a canvas in the run's size, {pixels, note}: bytes, with as many channels as the run's had.
function prepared(image, {size: [height, width], channels, digits, trained}, drawn = false) {
  if (channels === 3) return {pixels: colours(image, width, height), note: ""};
  const bright = trained.darkest_border + trained.brightest_border > 255, picture = grey(image, drawn);
  const inverted = data => data.map(v => 255 - v);
  const note = digits && !isPrepared(picture) ? "no digit found" : "";
  if (note) {
    const found = cutOut(picture, drawn ? false : null);
    const other = found && !drawn && found.dark !== bright ? "; inverted" : "";
    const cut = `digit cut out, scaled to 20x20 and centred${other}`;
    if (found) return {pixels: bright ? inverted(found.pixels) : found.pixels, note: cut};
  }
  const small = resize(picture, width, height, bilinear), brightness = mean(border(small));
  const distance = v => Math.max(trained.darkest_border - v, v - trained.brightest_border, 0);
  if (distance(brightness) - distance(255 - brightness) <= NEGATIVE) return {pixels: small.data, note};
  return {pixels: inverted(small.data), note: note ? `${note}; inverted` : "inverted"};
}

function colours({width, height, data}, toWidth, toHeight) {
  const out = new Uint8Array(3 * toWidth * toHeight);
  for (let c = 0; c < 3; c++) {
    const channel = {width, height, data: Uint8Array.from({length: width * height}, (_, i) => data[4 * i + c])};
    resize(channel, toWidth, toHeight, bilinear).data.forEach((v, i) => out[3 * i + c] = v);
  }
  return out;
}

// Everything the page shows of a picture: what the model saw, what was done to it before, and what each layer made.
function answer(run, layers, image, drawn) {
  const start = performance.now(), {pixels, note} = prepared(image, run, drawn);
  const made = compute(layers, pixels);
  return {pixels, note, made, milliseconds: performance.now() - start};
}
