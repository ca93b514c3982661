/** What the page keeps between visits, in IndexedDB: models by name. */

import { openDatabase } from './database.js';

const DATABASE = 'span';

/**
 * @typedef {object} StoredModel
 * @property {string} name
 * @property {import('../network/model.js').ModelArtifacts} artifacts
 * @property {Date} saved
 * @property {number} bytes of weights
 */

/** @returns {Promise<Array<{name: string, saved: Date, bytes: number}>>} by name */
export async function listModels() {
  const all = await run('readonly', (models) => models.getAll());
  return all.map(({ name, saved, bytes }) => ({ name, saved, bytes }));
}

/** @returns {Promise<import('../network/model.js').ModelArtifacts | undefined>} */
export async function loadModel(name) {
  return (await run('readonly', (models) => models.get(name)))?.artifacts;
}

/** Keep a model; an older one of the same name is replaced. */
export function saveModel(name, artifacts) {
  const { modelTopology, weightSpecs, weightData, userDefinedMetadata } = artifacts;
  const model = { name, saved: new Date(), bytes: weightData.byteLength };
  model.artifacts = { modelTopology, weightSpecs, weightData, userDefinedMetadata };
  return run('readwrite', (models) => models.put(model));
}

export const deleteModel = (name) => run('readwrite', (models) => models.delete(name));

/** One transaction; resolves when it is on disk. */
async function run(mode, action) {
  const database = await openDatabase(DATABASE, { models: { keyPath: 'name' } }).catch((error) => {
    throw new Error(`This browser keeps no data for the page (${error?.message}); private windows often do not.`);
  });
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction('models', mode);
      const request = action(transaction.objectStore('models'));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onerror = transaction.onabort = () => {
        const error = transaction.error ?? request.error;
        const full = error?.name === 'QuotaExceededError';
        reject(full ? new Error('The browser has no room left to keep this model.') : error);
      };
    });
  } finally {
    database.close();
  }
}
