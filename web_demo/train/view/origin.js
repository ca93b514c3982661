/** What a training starts from, as the form says. */

import { readConfig, requireTrainable } from '../../network/model.js';
import { defaultConfig } from '../session/layers-model.js';

/** @typedef {{name: string, artifacts: import('../../network/model.js').ModelArtifacts}} Model */

/**
 * @param {import('./form.js').Form} form
 * @param {Model | undefined} loaded from a file; there is one if that is chosen
 * @param {() => Promise<Model>} getModel the page's
 * @returns {Promise<import('../session/start.js').StartRequest['origin']>}
 * @throws {import('../../network/model.js').ModelError} the model cannot be trained
 */
export async function originOf(form, loaded, getModel) {
  const kind = form.originKind;
  if (kind === 'stored') return { kind };
  if (kind === 'scratch') return { kind, config: defaultConfig(form.network) };
  const { name, artifacts } = kind === 'file' && loaded ? loaded : await getModel();
  requireTrainable(readConfig(artifacts)); // tells what is wrong before anything starts
  return { kind: 'model', name, artifacts };
}
