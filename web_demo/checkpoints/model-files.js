/** Reading models from files; the page needs it only when some are chosen or dropped. */
import { ModelError, assemble, parse } from '../network/model.js';

/** Files of models that are not read here. */
const OTHERS = /\.(pth?|ckpt|h5|keras|onnx|tflite)$/i;
const OURS = /\.(json|safetensors)$/i;

/**
 * Read a model from files.
 * @param {Iterable<File>} files a `.safetensors`, or a `model.json` with the `.bin` files that it names, in any order
 * @returns {Promise<import('../network/model.js').ModelArtifacts>}
 * @throws {ModelError} a file is missing, one too many, or not what it should be
 */
export async function readModelFiles(files) {
  const all = [...files];
  const found = all.map((file) => file.name).join(', ') || 'nothing';
  const other = all.find(({ name }) => OTHERS.test(name));
  if (other) {
    const way = `span-export --weights ${other.name} --tfjs model`;
    throw new ModelError(`${other.name} is read by Python, not here; write a model.json from it: ${way}.`);
  }
  const [tensors, ...more] = all.filter(({ name }) => /\.safetensors$/i.test(name));
  if (more.length) throw new ModelError(`Choose one .safetensors at a time; found ${found}.`);
  if (tensors) return readTensors(tensors);
  const jsons = all.filter((file) => /\.json$/i.test(file.name));
  if (jsons.length !== 1) {
    throw new ModelError(`Choose one model.json together with its .bin files, or a .safetensors; found ${found}.`);
  }
  const json = parse(await jsons[0].text(), jsons[0].name);
  return assemble(json, async (path) => {
    const file = all.find((candidate) => candidate.name === path.split('/').pop());
    if (!file) throw new ModelError(`${jsons[0].name} needs ${path}, found ${found}; choose both files together.`);
    return file.arrayBuffer();
  });
}

async function readTensors(file) {
  const [{ readSafetensors }, { detect }] = await Promise.all([import('./safetensors.js'), import('./detect.js')]);
  return detect(readSafetensors(await file.arrayBuffer(), file.name), file.name);
}

/**
 * Tell the file that a model is named after.
 * @param {Iterable<File>} files of which `readModelFiles` made a model
 * @returns {File}
 */
export const modelFile = (files) => /** @type {File} */ ([...files].find(({ name }) => OURS.test(name)));
