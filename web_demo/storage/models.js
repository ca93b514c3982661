/** Models that the page keeps between visits, by name. */

import { transact } from './database.js';

/**
 * @typedef {object} StoredModel
 * @property {string} name
 * @property {import('../network/model.js').ModelArtifacts} artifacts
 * @property {Date} saved
 * @property {number} bytes of weights
 */

/** @returns {Promise<Array<{name: string, saved: Date, bytes: number}>>} sorted by name */
export async function listModels() {
  const { all } = await run('readonly', ({ models }) => ({ all: models.getAll() }));
  return all.map(({ name, saved, bytes }) => ({ name, saved, bytes }));
}

/**
 * @param {string} name
 * @returns {Promise<import('../network/model.js').ModelArtifacts | undefined>} nothing if no model is kept by that name
 */
export async function loadModel(name) {
  const { model } = await run('readonly', ({ models }) => ({ model: models.get(name) }));
  return model?.artifacts;
}

/**
 * Keep a model; an older one of the same name is replaced.
 * @param {string} name
 * @param {import('../network/model.js').ModelArtifacts} artifacts
 * @returns {Promise<void>}
 */
export async function saveModel(name, artifacts) {
  const { modelTopology, weightSpecs, weightData, userDefinedMetadata } = artifacts;
  /** @type {StoredModel} */
  const model = {
    name,
    saved: new Date(),
    bytes: weightData.byteLength,
    artifacts: { modelTopology, weightSpecs, weightData, userDefinedMetadata },
  };
  await run('readwrite', ({ models }) => void models.put(model));
}

/**
 * Keep a model no longer, if there is one by that name.
 * @param {string} name
 * @returns {Promise<void>}
 */
export async function deleteModel(name) {
  await run('readwrite', ({ models }) => void models.delete(name));
}

/** `transact` with errors that the page can show. */
function run(mode, work) {
  return transact({ name: 'span', stores: { models: { keyPath: 'name' } } }, mode, work).catch((error) => {
    if (error.kind === 'unavailable') {
      throw new Error(`This browser keeps no data for the page (${error.message}); private windows often do not.`);
    }
    if (error.kind === 'full') throw new Error('The browser has no room left to keep this model.');
    throw error;
  });
}
