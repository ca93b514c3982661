/** The trained model outside of its training: as files, and among the page's models. */

import { loadZip } from '../../engine/tf.js';
import * as store from '../../storage/models.js';
import { toFiles } from '../session/layers-model.js';

/** @typedef {import('../../network/model.js').ModelArtifacts} ModelArtifacts */
/** @typedef {keyof typeof WRITERS} Format */

/** Name of the trained model among the page's models. */
export const TRAINED = 'Trained in this browser';

const WRITERS = {
  tfjs: async (artifacts, name) => toFiles(artifacts, name),
  safetensors: async (artifacts, name) => {
    const [tensors, { writeSafetensors }] = await Promise.all([
      authorsTensors(artifacts),
      import('../../checkpoints/safetensors.js'),
    ]);
    const { license } = artifacts.userDefinedMetadata?.span ?? {};
    const stated = { format: 'pt', ...(license && { license }) };
    return [new File(writeSafetensors(tensors, stated), `${name}.safetensors`)];
  },
  pth: async (artifacts, name) => {
    const [tensors, { torchMembers }, { downloadZip }] = await Promise.all([
      authorsTensors(artifacts),
      import('../../checkpoints/torch-file.js'),
      loadZip(),
    ]);
    return [new File([await downloadZip(torchMembers(tensors, name)).blob()], `${name}.pth`)];
  },
};

async function authorsTensors(artifacts) {
  const { stateDict } = await import('../../checkpoints/authors.js');
  return stateDict(artifacts);
}

/**
 * Make the files of a model.
 * @param {Format} format of TensorFlow.js, or of PyTorch's tools under the authors' names
 * @param {ModelArtifacts} artifacts
 * @param {string} name of the files without ending
 * @returns {Promise<File[]>} those of TensorFlow.js are two
 * @throws {import('../../network/model.js').ModelError} PyTorch's tools compute no such network
 */
export const modelFilesOf = (format, artifacts, name) => WRITERS[format](artifacts, name);

/**
 * Keep the trained model among the page's models.
 * @param {ModelArtifacts} artifacts
 * @returns {Promise<string>} why it could not be kept, or nothing
 */
export async function keepAmongModels(artifacts) {
  try {
    await store.saveModel(TRAINED, artifacts);
    return '';
  } catch (error) {
    return error.message;
  }
}

/** @returns {Promise<boolean>} whether the trained model was among the page's models; it is deleted then */
export async function deleteFromModels() {
  const models = await store.listModels();
  const isThere = models.some(({ name }) => name === TRAINED);
  if (isThere) await store.deleteModel(TRAINED);
  return isThere;
}
