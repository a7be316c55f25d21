// How numbers become pictures, in the page's own colours: maps are tiles, units are cells, time runs to the right.

// How high all tiles of a layer are, about, and how wide one of them is at least and at most, in pixels.
const MAPS = {high: 240, least: 18, most: 120}, UNITS = {high: 70, least: 6, most: 22};

// 511 colours, from orange over the page's own for zero to blue, and the strongest on to its ink, as 32 bits each.
let palette;

function mixPalette() {
  const style = getComputedStyle(document.documentElement), brush = new OffscreenCanvas(511, 1).getContext("2d");
  const mixed = brush.createLinearGradient(-50, 0, 561, 0);
  const stops = [["--ink", 0], ["--validation", 0.19], ["--soft", 0.5], ["--train", 0.81], ["--ink", 1]];
  for (const [name, place] of stops) mixed.addColorStop(place, style.getPropertyValue(name).trim());
  brush.fillStyle = mixed;
  brush.fillRect(0, 0, 511, 1);
  palette = new Uint32Array(brush.getImageData(0, 0, 511, 1).data.buffer);
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

// Pixels as something that can be drawn in another size.
function bitmap(pixels, width, height, made = new OffscreenCanvas(width, height)) {
  made.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), width, height), 0, 0);
  return made;
}

// A canvas of this size on the page, at the screen's own resolution, ready to be drawn on.
function sized(canvas, width, height) {
  const dense = Math.min(devicePixelRatio, 2);
  [canvas.width, canvas.height] = [Math.round(width * dense), Math.round(height * dense)];
  canvas.style.width = `${width}px`;
  const brush = canvas.getContext("2d");
  brush.scale(dense, dense);
  return brush;
}

// The channels as tiles, of about one size, in lines of the same length.
function paintTiles(canvas, [height, width, channels], data, room, {high: all, least, most}) {
  const side = Math.min(most, Math.max(least, Math.sqrt(all * room / channels)));
  const columns = Math.ceil(channels / Math.ceil(channels / Math.max(1, Math.floor(room / side))));
  const tile = Math.min(most, room / columns) - 2, high = tile * height / width;
  const brush = sized(canvas, columns * (tile + 2) - 2, Math.ceil(channels / columns) * (high + 2) - 2);
  const colours = coloured(data), one = new Uint32Array(width * height);
  const canvasOfOne = new OffscreenCanvas(width, height);
  brush.imageSmoothingEnabled = tile * devicePixelRatio < width;
  for (let c = 0; c < channels; c++) {
    for (let k = 0; k < one.length; k++) one[k] = colours[k * channels + c];
    const left = c % columns * (tile + 2), top = Math.floor(c / columns) * (high + 2);
    brush.drawImage(bitmap(one, width, height, canvasOfOne), left, top, tile, high);
  }
}

// Time to the right, a unit a line.
function paintSequence(canvas, [steps, units], data, room) {
  const height = units === 1 ? 16 : Math.min(150, Math.max(56, units * 2)), pixels = new Uint32Array(steps * units);
  const colours = coloured(data);
  const brush = sized(canvas, room, height);
  for (let step = 0; step < steps; step++)
    for (let unit = 0; unit < units; unit++) pixels[unit * steps + step] = colours[step * units + unit];
  brush.imageSmoothingEnabled = steps > 100;
  brush.drawImage(bitmap(pixels, steps, units), 0, 0, room, height);
}

const opaque = (red, green, blue) => (255 << 24 | blue << 16 | green << 8 | red) >>> 0;
