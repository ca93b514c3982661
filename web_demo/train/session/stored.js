/** The training that is kept: in memory, and in the browser's storage as far as there is room. */

import { FullError, TrainingError } from '../errors.js';
import { deleteTraining, loadTraining, saveTraining } from './store.js';

const PHOTOGRAPHS_TOO_LARGE =
  'The photographs do not fit into the storage that the browser grants this page; choose them again after a reload.';

const NO_PHOTOGRAPHS = 'The photographs could not be stored; choose them again after a reload.';

/** Milliseconds for which a browser may hold the lock of a thread that it has ended. */
const ENDED_HOLDS = 10_000;

/** @typedef {import('./store.js').TrainingState} TrainingState */
/** @typedef {import('./store.js').Photograph} Photograph */

export class StoredTraining {
  /**
   * The newest state and photographs off the GPU: what Start goes on from and Save writes.
   * @type {{state: TrainingState, photographs: Photograph[]} | null}
   */
  kept = null;
  /** @type {Photograph[] | null} to be stored with the next state */
  #unstored = null;
  /** @type {Photograph[] | null} not stored, for instance for want of room: the next run tries again */
  #omitted = null;
  /** Milliseconds to wait for another session of this page that may hold the lock still. */
  #patience = 0;
  /** What could not be kept, as it was told last. */
  #reported = '';
  #send;
  #log;

  /**
   * @param {(event: string, detail: object) => void} send receives `saved` and `unsaved`; with this comes what is kept
   * @param {(message: string) => void} log
   */
  constructor(send, log) {
    this.#send = send;
    this.#log = log;
  }

  /**
   * Keep what is stored if it is newer than what is kept: another tab may have trained.
   * @returns {Promise<boolean>} whether anything is stored: another tab may have deleted it
   * @throws {import('../errors.js').StorageError} nothing can be read, and nothing is kept
   */
  async read() {
    const stored = await loadTraining().catch((error) => {
      if (!this.kept) throw error;
      return null;
    });
    const age = (training) => Number(training?.state.savedAt); // not a number, and never older, where nothing tells
    if (stored && !(age(stored) <= age(this.kept))) this.kept = stored;
    return Boolean(stored);
  }

  /**
   * What to go on from.
   * @param {Photograph[] | null} chosen in place of those that are kept
   * @returns {Promise<{state: TrainingState, photographs: Photograph[], others: boolean, fresh: boolean}>} `others`: the
   *   photographs were replaced; `fresh`: they are not stored yet
   * @throws {TrainingError} nothing is kept
   */
  async resume(chosen) {
    const isStored = await this.read();
    if (!this.kept) throw new TrainingError('There is no stored training to go on with; choose another start.');
    const { state, photographs: kept } = this.kept;
    const photographs = chosen?.length ? chosen : kept;
    const others = photographs !== kept;
    const fresh = !isStored || others || kept === this.#unstored || kept === this.#omitted;
    return { state, photographs, others, fresh };
  }

  /**
   * Go on after another session, which was ended in the middle of its work.
   * @param {{state: TrainingState, photographs: Photograph[]} | null} kept what that could not store
   */
  adopt(kept) {
    this.#patience = ENDED_HOLDS;
    if (!kept) return;
    this.kept = kept;
    this.#omitted = kept.photographs;
  }

  /** Tell the next failure to write even if it is the last one again. */
  forgetReports() {
    this.#reported = '';
  }

  /**
   * Keep the state that a run begins with.
   * @param {TrainingState} state
   * @param {Photograph[]} photographs
   * @param {boolean} fresh they are not stored yet
   */
  begin(state, photographs, fresh) {
    this.kept = { state: { ...state, savedAt: Date.now() }, photographs };
    this.#unstored = fresh ? photographs : null;
  }

  /** @param {Partial<TrainingState>} changes keep the state with them */
  update(changes) {
    if (!this.kept) throw new Error('There is no training to update.');
    const { state, photographs } = this.kept;
    this.kept = { state: { ...state, ...changes, savedAt: Date.now() }, photographs };
  }

  /** Write what is kept; a full disk is reported once, and at the end again, and does not stop the training. */
  async write() {
    if (!this.kept) return;
    const { state } = this.kept;
    let failure = '';
    let wasFull = false;
    // Photographs that cannot be stored must not keep the state from it.
    for (const photographs of this.#unstored ? [this.#unstored, []] : [undefined]) {
      try {
        await saveTraining(state, photographs);
        if (this.#unstored) {
          this.#omitted = photographs === this.#unstored ? null : this.#unstored;
          if (this.#omitted) failure = wasFull ? PHOTOGRAPHS_TOO_LARGE : `${NO_PHOTOGRAPHS} ${failure}`;
        }
        this.#unstored = null;
        this.#send('saved', { step: state.step });
        break;
      } catch (error) {
        failure = error.message;
        wasFull = error instanceof FullError;
      }
    }
    if (failure && failure !== this.#reported) {
      this.#log(failure);
      this.#send('unsaved', { message: failure, kept: this.kept });
    }
    this.#reported = failure;
  }

  /** Forget the training, here and in the storage. */
  async remove() {
    await this.alone(deleteTraining);
    this.kept = null;
  }

  /**
   * Do what no other tab may do meanwhile.
   * @template T
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   * @throws {TrainingError} another tab trains
   */
  async alone(work) {
    if (!navigator.locks) return work(); // there are none without a secure context
    const isElsewhere = () =>
      new TrainingError('A training is running in another tab of this page; stop it there first.');
    const options = this.#patience ? { signal: AbortSignal.timeout(this.#patience) } : { ifAvailable: true };
    let answered = false;
    try {
      return await navigator.locks.request('span-training', options, (lock) => {
        answered = true;
        if (lock) return work();
        throw isElsewhere();
      });
    } catch (error) {
      if (answered) throw error;
      if (error.name === 'TimeoutError') throw isElsewhere();
      return work(); // pages that may store nothing may not lock either
    }
  }
}
