/** What `torch.save` writes: a zip archive of a pickle and the tensors' bytes. Twin: `span_keras/checkpoints/authors.py`. */

/** What BasicSR, and the trainers descended from it, name the state dictionary in a file. */
const ROOT = 'params';
/** The time of writing has no place in the file: the same weights make the same bytes. */
const lastModified = new Date(1980, 0, 1);
/** An empty dictionary, filled by what follows. A tensor has one for hooks, too. */
const DICTIONARY = 'ccollections\nOrderedDict\n)R';

/** @typedef {{name: string, lastModified: Date, input: string | ArrayBufferView<ArrayBuffer>}} Member */

/**
 * The members of a `.pth` that holds `{"params": tensors}`; `torch.load` reads it with `weights_only=True`. They lie in
 * the archive as they are: PyTorch reads no compressed ones.
 * @param {Map<string, import('./authors.js').Tensor>} tensors
 * @param {string} name of the file without its ending
 * @returns {Member[]}
 */
export function torchMembers(tensors, name) {
  const member = (path, input) => ({ name: `${name}/${path}`, lastModified, input });
  return [
    member('data.pkl', pickle(tensors)),
    member('byteorder', 'little'),
    ...[...tensors.values()].map(({ values }, number) => member(`data/${number}`, values)),
    member('version', '3\n'),
  ];
}

/**
 * The pickle, of protocol 2. Every tensor becomes `torch._utils._rebuild_tensor_v2` of a storage named by its number.
 * @returns {Uint8Array<ArrayBuffer>}
 */
function pickle(tensors) {
  const parts = ['\x80\x02', DICTIONARY, '(', text(ROOT), DICTIONARY, '('];
  [...tensors].forEach(([name, { shape, values }], number) => {
    const storage = `(${text('storage')}ctorch\nFloatStorage\n${text(String(number))}${text('cpu')}${whole(values.length)}tQ`;
    const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, side) => product * side, 1));
    const places = `${whole(0)}(${shape.map(whole).join('')}t(${strides.map(whole).join('')}t`;
    parts.push(text(name), `ctorch._utils\n_rebuild_tensor_v2\n(${storage}${places}\x89${DICTIONARY}tR`);
  });
  parts.push('u', 'u', '.');
  return Uint8Array.from(parts.join(''), (letter) => letter.charCodeAt(0));
}

/** Names are ASCII, so a letter is a byte. */
const text = (string) => `X${bytes(string.length)}${string}`;
const whole = (number) => `J${bytes(number)}`;
/** A little-endian 32-bit number, a letter per byte. */
const bytes = (number) => String.fromCharCode(...[0, 8, 16, 24].map((shift) => (number >> shift) & 255));
