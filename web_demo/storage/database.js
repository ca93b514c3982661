/**
 * Open one of the page's databases in IndexedDB. The browser gives up the first attempt while the user clears what
 * the page keeps; the second one then makes the database anew.
 * @param {string} name
 * @param {Record<string, IDBObjectStoreParameters>} stores that it holds, by name
 * @returns {Promise<IDBDatabase>} to be closed by the caller, or else clearing it would disturb a later transaction
 * @throws {DOMException} the browser keeps no data for the page
 */
export async function openDatabase(name, stores) {
  try {
    return await attempt(name, stores);
  } catch (error) {
    if (error?.name !== 'AbortError') throw error;
    return attempt(name, stores);
  }
}

function attempt(name, stores) {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => {
      for (const [store, options] of Object.entries(stores)) request.result.createObjectStore(store, options);
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
