/** Writes files of a model as the training view does: `node save-model.mjs FOLDER FORMAT TARGET`. */
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readModelFiles } from '../../web_demo/checkpoints/model-files.js';
import { modelFilesOf } from '../../web_demo/train/view/trained.js';

const [folder, format, target] = process.argv.slice(2);
const names = (await readdir(folder)).filter((name) => /\.(json|bin)$/.test(name));
const artifacts = await readModelFiles(
  await Promise.all(names.map(async (name) => new File([await readFile(join(folder, name))], name))),
);
for (const file of await modelFilesOf(/** @type {any} */ (format), artifacts, 'network')) {
  await writeFile(join(target, file.name), Buffer.from(await file.arrayBuffer()));
}
