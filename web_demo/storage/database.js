/** The one way into IndexedDB, where the page keeps things between visits. */

import { within } from '../limit.js';

/** Milliseconds within which a database opens; some browsers' never does, for instance while they shut down. */
const OPEN_LIMIT = 10_000;
/** Milliseconds within which a transaction ends; that of a training holds some hundred megabytes of photographs. */
const WORK_LIMIT = 120_000;

/**
 * @typedef {object} Schema
 * @property {string} name of the database
 * @property {Record<string, IDBObjectStoreParameters>} stores its object stores by name
 */

/** The browser did not keep or read something; `message` is its own wording. */
class DatabaseError extends Error {
  name = 'DatabaseError';

  /**
   * @param {'unavailable' | 'full' | 'failed'} kind `unavailable`: the browser keeps nothing for the page; `full`: it
   *   has no room left
   * @param {any} cause
   */
  constructor(kind, cause) {
    super(String(cause?.message ?? cause), { cause });
    this.kind = kind;
  }
}

/**
 * Run one transaction: all of it is done, or nothing.
 * @param {Schema} schema the database is made on first use
 * @param {'readonly' | 'readwrite'} mode
 * @param {(stores: Record<string, IDBObjectStore>) => Record<string, IDBRequest> | void} work makes all requests before
 *   it returns; if it throws, nothing is done
 * @returns {Promise<Record<string, any>>} results of the requests that `work` returned, by name; everything is on disk
 * @throws {DatabaseError}
 */
export async function transact(schema, mode, work) {
  const opening = open(schema);
  const database = await within(opening, OPEN_LIMIT, 'its storage did not answer').catch((error) => {
    opening.then((late) => late.close()).catch(() => {});
    throw new DatabaseError('unavailable', error);
  });
  try {
    const done = run(database, Object.keys(schema.stores), mode, work);
    return await within(done, WORK_LIMIT, 'its storage did not finish');
  } catch (error) {
    throw new DatabaseError(error?.name === 'QuotaExceededError' ? 'full' : 'failed', error);
  } finally {
    database.close(); // an open one would be in the way when the user clears what the page keeps
  }
}

/** @returns {Promise<Record<string, any>>} see `transact` */
function run(database, names, mode, work) {
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(names, mode, { durability: 'strict' });
    let requests = {};
    transaction.oncomplete = () => {
      resolve(Object.fromEntries(Object.entries(requests).map(([name, request]) => [name, request.result])));
    };
    transaction.onerror = transaction.onabort = ({ target }) => reject(transaction.error ?? target.error);
    try {
      requests = work(Object.fromEntries(names.map((name) => [name, transaction.objectStore(name)]))) ?? {};
    } catch (error) {
      transaction.abort(); // else what was asked for before the error would be committed
      reject(error);
    }
  });
}

/**
 * The browser gives up the first attempt while the user clears what the page keeps; the second one then makes the
 * database anew.
 * @returns {Promise<IDBDatabase>}
 */
async function open(schema) {
  try {
    return await attempt(schema);
  } catch (error) {
    if (error?.name !== 'AbortError') throw error;
    return attempt(schema);
  }
}

function attempt({ name, stores }) {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => {
      for (const [store, options] of Object.entries(stores)) request.result.createObjectStore(store, options);
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
