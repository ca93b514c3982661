/** Reading exported models from files; the page needs it only when some are chosen. */
import { ModelError, assemble, parse } from './model.js';

/**
 * Read a model from files.
 * @param {Iterable<File>} files a `model.json` with the `.bin` files that it names, in any order
 * @returns {Promise<import('./model.js').ModelArtifacts>}
 * @throws {ModelError} a file is missing, one too many, or not what it should be
 */
export async function readModelFiles(files) {
  const all = [...files];
  const found = all.map((file) => file.name).join(', ') || 'nothing';
  const jsons = all.filter((file) => /\.json$/i.test(file.name));
  if (jsons.length !== 1) throw new ModelError(`Choose one model.json together with its .bin files; found ${found}.`);
  const json = parse(await jsons[0].text(), jsons[0].name);
  return assemble(json, async (path) => {
    const file = all.find((candidate) => candidate.name === path.split('/').pop());
    if (!file) throw new ModelError(`${jsons[0].name} needs ${path}, found ${found}; choose both files together.`);
    return file.arrayBuffer();
  });
}
