/** What the page keeps between visits, in IndexedDB: models by name. */

const DATABASE = 'span';

/**
 * @typedef {object} StoredModel
 * @property {string} name
 * @property {import('./model.js').ModelArtifacts} artifacts
 * @property {Date} saved
 * @property {number} bytes of weights
 */

/** @returns {Promise<Array<{name: string, saved: Date, bytes: number}>>} by name */
export async function listModels() {
  const all = await run('readonly', (models) => models.getAll());
  return all.map(({ name, saved, bytes }) => ({ name, saved, bytes }));
}

/** @returns {Promise<import('./model.js').ModelArtifacts | undefined>} */
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

let opening;

function open() {
  opening ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore('models', { keyPath: 'name' });
    request.onsuccess = () => {
      const database = request.result;
      // The user may clear what the page keeps while it is open.
      database.onclose = () => (opening = undefined);
      resolve(database);
    };
    request.onerror = () => {
      opening = undefined;
      reject(new Error(`This browser keeps no data for the page (${request.error?.message}); private windows often do not.`));
    };
  });
  return opening;
}

/** One transaction; resolves when it is on disk. */
async function run(mode, action) {
  const database = await open();
  return new Promise((resolve, reject) => {
    const transaction = database.transaction('models', mode);
    const request = action(transaction.objectStore('models'));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onerror = transaction.onabort = () => {
      const full = transaction.error?.name === 'QuotaExceededError';
      reject(full ? new Error('The browser has no room left to keep this model.') : transaction.error);
    };
  });
}
