// The arithmetic of a Keras model for one example, layer by layer.
//
// A tensor is {shape, data}: its sides without the batch, and its numbers row by row in a Float32Array. A layer is
// {kind, from, shape, weights, ...}: its Keras class, the layers that it reads, the shape of what it gives out, its
// weights as Keras orders them, and the settings of its class that matter here.

const activations = {
  linear: x => x,
  relu: x => x.map(v => Math.max(v, 0)),
  relu6: x => x.map(v => Math.min(Math.max(v, 0), 6)),
  silu: x => x.map(v => v * sigmoid(v)),
  sigmoid: x => x.map(sigmoid),
  tanh: x => x.map(Math.tanh),
  softmax(x, classes = x.length) {  // over the last axis; the largest is subtracted, so that nothing overflows
    for (let start = 0; start < x.length; start += classes) {
      const row = x.subarray(start, start + classes), largest = row.reduce((a, b) => Math.max(a, b));
      let sum = 0;
      for (let i = 0; i < classes; i++) sum += row[i] = Math.exp(row[i] - largest);
      for (let i = 0; i < classes; i++) row[i] /= sum;
    }
    return x;
  },
};

function sigmoid(v) {
  return 1 / (1 + Math.exp(-v));
}

const size = shape => shape.reduce((a, b) => a * b, 1);
const last = shape => shape[shape.length - 1];

// Calls visit(output's offset, input's offset, place in the window) for each pixel that a window covers in a picture.
// "same" puts the odd pixel of its margin behind.
function slide(input, shape, [high, wide], [down, right], padding, visit) {
  const [height, width, channels] = input.shape, [rows, columns, filters] = shape;
  const margin = (from, to, window, stride) =>
    padding === "same" ? Math.max((to - 1) * stride + window - from, 0) >> 1 : 0;
  const top = margin(height, rows, high, down), left = margin(width, columns, wide, right);
  for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++)
    for (let i = 0; i < high; i++) for (let j = 0; j < wide; j++) {
      const y = row * down + i - top, x = column * right + j - left;
      if (y >= 0 && y < height && x >= 0 && x < width)
        visit((row * columns + column) * filters, (y * width + x) * channels, i * wide + j);
    }
}

// Adds a few numbers times as many rows of a matrix: target[at + k] += x[from + i] * matrix[row + i][k], with i below
// `count` and k below `width`. Nearly all the time goes here, so four rows are taken for each look at the target.
function addRows(target, at, x, from, count, matrix, row, width) {
  let i = 0;
  for (; i + 3 < count; i += 4) {
    const a = x[from + i], b = x[from + i + 1], c = x[from + i + 2], d = x[from + i + 3];
    if (!a && !b && !c && !d) continue;
    const first = (row + i) * width, second = first + width, third = second + width, fourth = third + width;
    for (let k = 0; k < width; k++)
      target[at + k] += a * matrix[first + k] + b * matrix[second + k] + c * matrix[third + k] + d * matrix[fourth + k];
  }
  for (; i < count; i++) {
    const a = x[from + i], first = (row + i) * width;
    if (a) for (let k = 0; k < width; k++) target[at + k] += a * matrix[first + k];
  }
}

// Each row of `x` times the matrix `kernel` of `units` columns, on top of the bias.
function product(x, kernel, bias, units) {
  const inputs = kernel.length / units, rows = x.length / inputs, out = filled([rows, units], bias);
  for (let row = 0; row < rows; row++) addRows(out, row * units, x, row * inputs, inputs, kernel, 0, units);
  return out;
}

function filled(shape, bias) {
  const out = new Float32Array(size(shape));
  if (bias) for (let at = 0; at < out.length; at += bias.length) out.set(bias, at);
  return out;
}

// What windows over each channel hold, put together by `join`, and how many pixels each has.
function pooled({shape, pool_size, strides, padding}, x, start, join) {
  const out = new Float32Array(size(shape)).fill(start), counts = new Float32Array(size(shape)), channels = last(shape);
  slide(x, shape, pool_size, strides, padding, (at, from) => {
    for (let c = 0; c < channels; c++) {
      out[at + c] = join(out[at + c], x.data[from + c]);
      counts[at + c]++;
    }
  });
  return [out, counts];
}

// What each class of layer makes of its inputs: data of the layer's shape. `seen` collects more to be looked at.
const kinds = {
  Dense({shape, weights: [kernel, bias], activation}, [x]) {
    return activations[activation](product(x.data, kernel, bias, last(shape)), last(shape));
  },
  Conv2D({shape, weights: [kernel, bias], kernel_size, strides, padding, activation}, [x]) {
    const out = filled(shape, bias), channels = last(x.shape), filters = last(shape);
    slide(x, shape, kernel_size, strides, padding, (at, from, place) =>
      addRows(out, at, x.data, from, channels, kernel, place * channels, filters));
    return activations[activation](out, filters);
  },
  DepthwiseConv2D({shape, weights: [kernel, bias], kernel_size, strides, padding, activation}, [x]) {
    const out = filled(shape, bias), channels = last(x.shape);
    slide(x, shape, kernel_size, strides, padding, (at, from, place) => {
      for (let c = 0; c < channels; c++) out[at + c] += x.data[from + c] * kernel[place * channels + c];
    });
    return activations[activation](out, channels);
  },
  MaxPooling2D: (layer, [x]) => pooled(layer, x, -Infinity, (a, b) => Math.max(a, b))[0],
  AveragePooling2D(layer, [x]) {  // a margin does not count
    const [sums, counts] = pooled(layer, x, 0, (a, b) => a + b);
    return sums.map((sum, i) => sum / counts[i]);
  },
  GlobalAveragePooling2D: (_, [x]) =>
    kinds.AveragePooling2D({shape: [1, 1, last(x.shape)], pool_size: x.shape, strides: [1, 1], padding: "valid"}, [x]),
  ZeroPadding2D({shape, padding: [[top], [left]]}, [x]) {
    const [height, width, channels] = x.shape, out = new Float32Array(size(shape));
    for (let y = 0; y < height; y++) {
      const row = x.data.subarray(y * width * channels, (y + 1) * width * channels);
      out.set(row, ((y + top) * shape[1] + left) * channels);
    }
    return out;
  },
  // Keras's gates stand side by side in this order: input, forget, cell, output. The states of all steps are kept.
  LSTM({shape, weights: [kernel, recurrent, bias], activation, recurrent_activation, return_sequences}, [x], seen) {
    const units = last(shape), [steps] = x.shape, states = new Float32Array(steps * units);
    const ahead = product(x.data, kernel, bias, 4 * units), z = new Float64Array(4 * units);
    const cell = new Float32Array(units), act = activations[activation], gate = activations[recurrent_activation];
    let state = new Float32Array(units);
    for (let step = 0; step < steps; step++) {
      z.set(ahead.subarray(step * 4 * units, (step + 1) * 4 * units));
      addRows(z, 0, state, 0, units, recurrent, 0, 4 * units);
      const part = (of, i) => of(z.subarray(i * units, (i + 1) * units));
      const [input, forget, fresh, output] = [gate, gate, act, gate].map(part);
      for (let i = 0; i < units; i++) cell[i] = forget[i] * cell[i] + input[i] * fresh[i];
      state = act(cell.slice()).map((v, i) => v * output[i]);
      states.set(state, step * units);
    }
    seen.states = {shape: [steps, units], data: states};
    return return_sequences ? states : state;
  },
  Concatenate({axis, shape}, inputs) {  // of every run of numbers along the axis, one input's after the other's
    const place = axis < 0 ? axis + shape.length : axis - 1;  // Keras counts the batch
    const runs = inputs.map(x => size(x.shape.slice(place))), total = runs.reduce((a, b) => a + b);
    const out = new Float32Array(inputs.reduce((sum, x) => sum + x.data.length, 0));
    let before = 0;
    inputs.forEach((x, k) => {
      for (let i = 0; i * runs[k] < x.data.length; i++)
        out.set(x.data.subarray(i * runs[k], (i + 1) * runs[k]), i * total + before);
      before += runs[k];
    });
    return out;
  },
  Add: (_, [first, ...others]) => first.data.map((v, i) => others.reduce((sum, x) => sum + x.data[i], v)),
  Affine: ({scale, offset}, [x]) => x.data.map((v, i) => v * scale[i % scale.length] + offset[i % offset.length]),
  Activation: ({activation, shape}, [x]) => activations[activation](x.data.slice(), last(shape)),
  ReLU: ({max_value}, [x]) => activations[max_value ? "relu6" : "relu"](x.data),
  // A grey picture, enlarged: then Pillow's filter does as TensorFlow's.
  Resize: ({shape}, [x]) =>
    resize({width: x.shape[1], height: x.shape[0], data: x.data}, shape[1], shape[0], bilinear).data,
};

// Layers with weights as numbers: they come as little-endian float16 in base64.
function withWeights({layers}) {
  const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const numbers = text => {  // the bits of a float16 in their places of a float32, where the exponent is 112 less
    const halves = new Uint16Array(bytes(text).buffer);
    const bits = Uint32Array.from(halves, half => (half & 0x8000) << 16 | (half & 0x7fff) << 13);
    return new Float32Array(bits.buffer).map(v => v * 2 ** 112);
  };
  return layers.map(layer => ({...layer, weights: layer.weights.map(numbers)}));
}

// What every layer makes of a picture, whose pixels are from 0 to 255: a list of {shape, data}, and of an LSTM {states}.
function compute(layers, pixels) {
  const made = [];
  for (const layer of layers) {
    const seen = {shape: layer.shape}, given = layer.from.map(i => made[i]);
    seen.data = layer.kind === "InputLayer" ? Float32Array.from(pixels) : kinds[layer.kind](layer, given, seen);
    made.push(seen);
  }
  return made;
}
