/**
 * The training state in IndexedDB. State and photographs are written in one transaction: after a crash, a reload or a
 * full disk the earlier state is there whole, never half of a new one.
 */

import { SCALES, VARIANTS } from '../../constants.js';
import { transact } from '../../storage/database.js';
import { DamagedError, FullError, StorageError } from '../errors.js';
import { validate } from '../settings.js';
import { weightCount } from './layers-model.js';

/** @type {import('../../storage/database.js').Schema} */
const DATABASE = { name: 'span-training', stores: { state: {}, photographs: {} } };
/** Key of the one state. */
const CURRENT = 'current';
/** Raised when an older state could not be read as the new one. */
const FORMAT = 1;

/**
 * @typedef {object} TrainingState
 * @property {import('./layers-model.js').NetworkConfig} config
 * @property {{name: string, source?: {name: string, sha256: string}, license?: string}} origin what the training started from
 * @property {import('../settings.js').Settings} settings
 * @property {'auto' | import('../../engine/backend.js').BackendName} [backend] that was chosen
 * @property {number} step steps done, skipped ones included
 * @property {number} skipped
 * @property {number} streak
 * @property {number[]} recentLosses to recognise a leap
 * @property {import('./history.js').HistoryData} history
 * @property {number} updates the optimizer's step count
 * @property {Float32Array} parameters in the order of `weightTable`, like the three below
 * @property {Float32Array} average of the parameters: the network that is shown and saved
 * @property {Float32Array} momentum
 * @property {Float32Array} velocity
 * @property {number} [savedAt] when it was kept, in milliseconds since 1970
 */

/** @typedef {{name: string, blob: Blob}} Photograph */

/**
 * Replace the stored state, and the photographs if some are given.
 * @param {TrainingState} state `savedAt` is now where it says nothing
 * @param {Photograph[]} [photographs]
 * @returns {Promise<void>}
 * @throws {StorageError}
 */
export async function saveTraining(state, photographs) {
  // As bytes: private windows of some browsers keep no files.
  const entries = photographs && (await Promise.all(photographs.map(toEntry)).catch(refuse));
  await run('readwrite', (stores) => {
    stores.state.put({ ...state, savedAt: state.savedAt ?? Date.now(), format: FORMAT }, CURRENT);
    if (!entries) return;
    stores.photographs.clear();
    entries.forEach((entry, i) => stores.photographs.put(entry, i));
  });
}

/** @param {Photograph} photograph */
async function toEntry({ name, blob }) {
  return { name, type: blob.type, bytes: await blob.arrayBuffer() };
}

/** The page once kept the files themselves. @returns {Photograph} */
const fromEntry = ({ name, blob, type, bytes }) => ({
  name,
  blob: bytes instanceof ArrayBuffer ? new Blob([bytes], { type }) : blob,
});

/**
 * @returns {Promise<{state: TrainingState, photographs: Photograph[]} | null>} `null` if nothing is stored
 * @throws {DamagedError} what is stored cannot be used
 * @throws {StorageError} the browser keeps nothing for the page
 */
export async function loadTraining() {
  const { stored, entries } = await run('readonly', (stores) => ({
    stored: stores.state.get(CURRENT),
    entries: stores.photographs.getAll(),
  }));
  if (stored === undefined) return null;
  const photographs = entries.map(fromEntry);
  // The page once kept no average, which starts at the weights, and no such count.
  const state = { average: stored?.parameters, streak: 0, ...stored };
  const problem = findProblem(state, photographs);
  if (problem) {
    throw new DamagedError(`The training stored in this browser cannot be used (${problem}); Delete Model removes it.`);
  }
  return { state, photographs };
}

/**
 * Remove the state and the photographs.
 * @returns {Promise<void>}
 * @throws {StorageError}
 */
export async function deleteTraining() {
  await run('readwrite', (stores) => {
    stores.state.clear();
    stores.photographs.clear();
  });
}

/** @returns {string} why a stored training cannot be used; empty if it can */
function findProblem(state, photographs) {
  if (state.format !== FORMAT) return `its format is ${state.format}, expected ${FORMAT}`;
  const { config, step, skipped, streak, updates } = state;
  const whole = (value, min) => Number.isInteger(value) && value >= min;
  const known = SCALES.includes(config?.scale) && VARIANTS.includes(config.variant);
  if (!known || !whole(config.channels, 1) || !whole(config.blocks, 1) || config.rgbMean?.length !== 3) {
    return 'its network is not described';
  }
  if (![step, skipped, streak, updates].every((value) => whole(value, 0))) return 'its step count is damaged';
  for (const key of ['parameters', 'average', 'momentum', 'velocity']) {
    const array = state[key];
    const expected = weightCount(config);
    if (!(array instanceof Float32Array) || array.length !== expected) {
      return `${key} holds ${array?.length ?? 0} numbers, expected ${expected}`;
    }
    if (!array.every(Number.isFinite)) return `${key} holds values that are not numbers`;
  }
  const problems = Object.values(validate(state.settings ?? {}).problems);
  if (problems.length) return `its settings are damaged: ${problems[0]}`;
  if (!Array.isArray(state.history?.points)) return 'its history is damaged';
  if (!Array.isArray(state.recentLosses) || !Array.isArray(state.history.quality)) return 'its history is damaged';
  return photographs.every(({ blob }) => blob instanceof Blob) ? '' : 'its photographs are damaged';
}

/** `transact` with errors that the page can show. */
const run = (mode, work) => transact(DATABASE, mode, work).catch(refuse);

/** @returns {never} @throws {StorageError} with what an error means */
function refuse({ kind, message, cause }) {
  if (kind === 'unavailable') {
    throw new StorageError(`This browser keeps no data for the page (${message}); progress lasts until it is closed.`);
  }
  if (kind === 'full') {
    throw new FullError(
      'The storage that the browser grants this page is full; free some, or use Save Model to keep the weights.',
    );
  }
  const reason = cause?.name && cause.name !== 'Error' ? `${cause.name}: ${message}` : message;
  throw new StorageError(
    `The browser could not keep or read the training (${reason}); use Save Model to keep the weights.`,
  );
}
