// Pictures in another size: as Pillow makes them, whose documentation says how, and as TensorFlow does. A picture of one
// channel is {width, height, data}, its pixels row by row.

const filters = {  // Pillow's: how far each reaches, and its weight at a distance
  box: [0.5, x => x > -0.5 && x <= 0.5 ? 1 : 0],
  bilinear: [1, x => Math.max(0, 1 - Math.abs(x))],
  hamming: [1, x => {
    const angle = Math.PI * x;
    return x === 0 ? 1 : Math.abs(x) >= 1 ? 0 : Math.sin(angle) / angle * (0.54 + 0.46 * Math.cos(angle));
  }],
  bicubic: [2, x => {
    x = Math.abs(x);
    return x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
  }],
};

// For each of `to` pixels, which of `from` pixels it is made of between two edges, and their weights.
function taps(from, to, [start, end], [reach, weight]) {
  const scale = (end - start) / to, wide = Math.max(scale, 1);
  return Array.from({length: to}, (_, i) => {
    const centre = start + (i + 0.5) * scale, first = Math.max(0, Math.trunc(centre - reach * wide + 0.5));
    const beyond = Math.min(from, Math.trunc(centre + reach * wide + 0.5));
    const weights = Array.from({length: beyond - first}, (_, k) => weight((first + k - centre + 0.5) / wide));
    const sum = weights.reduce((a, b) => a + b, 0);
    return {first, weights: weights.map(w => w / sum)};
  });
}

// A picture of one channel in another size, {width, height, data}; `box` is left, top, right, bottom. Bytes stay bytes.
function resize(picture, toWidth, toHeight, filter, box = [0, 0, picture.width, picture.height]) {
  const {width, height, data} = picture;
  if (width === toWidth && height === toHeight && box.join() === [0, 0, width, height].join()) return picture;
  const across = taps(width, toWidth, [box[0], box[2]], filters[filter]);
  const down = taps(height, toHeight, [box[1], box[3]], filters[filter]);
  const narrow = weighted(data, across, [toWidth, 1], [height, toWidth, width]);
  return {width: toWidth, height: toHeight, data: weighted(narrow, down, [toHeight, toWidth], [toWidth, 1, 1])};
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

// Scaled pixels in another size and number of channels, as TensorFlow resizes them: between the four nearest.
function stretched(x, height, width, channels, [toHeight, toWidth, toChannels]) {
  const out = new Float32Array(toHeight * toWidth * toChannels), weights = [0.2989, 0.587, 0.114];
  const at = (i, from, to) => {
    const place = (i + 0.5) * from / to - 0.5, below = Math.floor(place);
    return [Math.max(below, 0), Math.min(below + 1, from - 1), place - below];
  };
  const pixel = (y, xx, c) => {
    const start = (y * width + xx) * channels;
    if (channels === toChannels) return x[start + c];
    return channels === 1 ? x[start] : weights.reduce((sum, w, k) => sum + w * x[start + k], 0);
  };
  for (let i = 0; i < toHeight; i++) for (let j = 0; j < toWidth; j++) for (let c = 0; c < toChannels; c++) {
    const [top, bottom, down] = at(i, height, toHeight), [left, right, along] = at(j, width, toWidth);
    const above = pixel(top, left, c) * (1 - along) + pixel(top, right, c) * along;
    const below = pixel(bottom, left, c) * (1 - along) + pixel(bottom, right, c) * along;
    out[(i * toWidth + j) * toChannels + c] = above * (1 - down) + below * down;
  }
  return out;
}
