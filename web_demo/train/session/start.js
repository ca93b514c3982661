/** What a training starts from: the stored one, a model, or scratch. */

import { readConfig, requireTrainable } from '../../network/model.js';
import { TrainingError } from '../errors.js';
import { validate } from '../settings.js';
import { History } from './history.js';
import { initialise } from './init.js';
import { readParameters } from './layers-model.js';

/** @typedef {import('../../network/model.js').ModelArtifacts} ModelArtifacts */
/** @typedef {import('./store.js').Photograph} Photograph */
/** @typedef {import('./store.js').TrainingState} TrainingState */
/** @typedef {TrainingState['config']} Config */

/**
 * @typedef {object} StartRequest
 * @property {Record<string, unknown>} settings
 * @property {{kind: 'stored'} | {kind: 'scratch', config: Config} | {kind: 'model', name: string, artifacts: ModelArtifacts}} origin
 * @property {Photograph[] | null} photographs `null` keeps those of the stored training
 * @property {'auto' | import('../../engine/backend.js').BackendName} [backend] that was chosen: tried first, and kept with
 *   the training
 * @property {string} [suggested] tried first where none was chosen
 * @property {string} perceptualUrl
 * @property {boolean} [untimed] begin without timing a step before
 */

/**
 * The state and the photographs that a training begins with.
 * @param {Tf} tf
 * @param {import('./stored.js').StoredTraining} stored
 * @param {StartRequest} request
 * @returns {Promise<{state: TrainingState, photographs: Photograph[], fresh: boolean}>} `fresh`
 *   photographs are not stored yet
 * @throws {TrainingError} a setting is wrong, or nothing is stored to go on with
 * @throws {import('../../network/model.js').ModelError} the model that was chosen cannot be used
 */
export async function prepare(tf, stored, { origin, settings: typed, photographs, backend }) {
  if (origin.kind === 'stored') {
    const { state, photographs: chosen, others, fresh } = await stored.resume(photographs);
    const settings = checked(typed);
    // Losses of another function or other images do not compare with those before.
    const comparable = !others && settings.vggWeight === state.settings.vggWeight;
    const recentLosses = comparable ? state.recentLosses : [];
    return { state: { ...state, settings, backend, recentLosses }, photographs: chosen, fresh };
  }
  const artifacts = origin.kind === 'model' ? origin.artifacts : null;
  const config = origin.kind === 'model' ? readConfig(origin.artifacts) : origin.config;
  requireTrainable(config);
  const settings = checked(typed);
  const parameters = artifacts
    ? await readParameters(tf, artifacts, config)
    : await initialise(tf, config, settings.seed);
  const zeros = () => new Float32Array(parameters.length);
  const { source, license } = artifacts?.userDefinedMetadata?.span ?? {};
  const { scale, channels, blocks, variant, imgRange } = config;
  const rgbMean = config.rgbMean.map((mean) => Number(mean.toPrecision(6))); // float32 leaves digits that nobody wrote
  const state = {
    config: { scale, channels, blocks, variant, imgRange, rgbMean },
    origin: { name: origin.kind === 'model' ? origin.name : 'scratch', source, license },
    settings,
    backend,
    step: 0,
    skipped: 0,
    streak: 0,
    recentLosses: [],
    history: new History().toJSON(),
    updates: 0,
    parameters,
    average: parameters,
    momentum: zeros(),
    velocity: zeros(),
  };
  return { state, photographs: photographs ?? stored.kept?.photographs ?? [], fresh: true };
}

/** @throws {TrainingError} a setting is wrong */
function checked(typed) {
  const { settings, problems } = validate(typed);
  const [problem] = Object.values(problems);
  if (problem) throw new TrainingError(problem);
  return settings;
}
