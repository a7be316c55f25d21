// Which layers are shown, and in which words. Those of the preprocessing and those that leave numbers as they are have
// nothing to show, nor has the last, which the bars show.

const run = JSON.parse(document.getElementById("described").textContent);
const read = new Map();
run.layers.forEach((layer, i) => layer.from.forEach(from => read.set(from, [...read.get(from) ?? [], i])));
const shown = run.layers.map((layer, i) => ({layer, i})).filter(({layer: {kind, activation}, i}) => {
  if (i < run.hidden || i === run.layers.length - 1 || ["Affine", "ZeroPadding2D"].includes(kind)) return false;
  const [after] = read.get(i) ?? [];  // a convolution whose values are changed at once is shown after that
  return activation !== "linear" || !["Affine", "Activation", "ReLU"].includes(run.layers[after]?.kind);
});

const number = new Intl.NumberFormat("en");
const by = sides => sides.map(side => number.format(side)).join("×");

function described({kind, shape, kernel_size, pool_size, return_sequences, from}) {
  const maps = `${number.format(shape[2])} maps of ${by(shape.slice(0, 2))}`, count = number.format(last(shape));
  const steps = `${number.format(shape[0])} steps`, sequence = shape.length === 2 ? `, at each of ${steps}` : "";
  return {
    Conv2D: () => `${count} filters of ${by(kernel_size)} look for patterns: ${maps}`,
    DepthwiseConv2D: () => `a filter of ${by(kernel_size)} for each map: ${maps}`,
    MaxPooling2D: () => `the largest of every ${by(pool_size)}: ${maps}`,
    AveragePooling2D: () => `the mean of every ${by(pool_size)}: ${maps}`,
    GlobalAveragePooling2D: () => "the mean of each map",
    Dense: () => `${count} units, each weighs all that came before${sequence}`,
    LSTM: () => `${count} units with a memory, from left to right${return_sequences ? "" : "; the last step goes on"}`,
    Concatenate: () => `what ${from.length} branches found, side by side: ${count} values`,
    Add: () => `the sum of ${from.length} branches`,
  }[kind]?.() ?? (shape.length === 3 ? maps : `${count} values`);
}
