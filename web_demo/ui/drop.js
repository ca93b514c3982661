/** The files in dropped folders. */

/**
 * List the files of a folder and of those in it, in the order of their names; hidden ones are passed over.
 * @param {any} entry a `FileSystemEntry`
 * @param {string[]} unread gets the names of files and folders that cannot be read
 * @returns {Promise<File[]>}
 */
export async function filesIn(entry, unread) {
  try {
    if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
    const files = [];
    for (const one of await entriesOf(entry)) {
      if (!one.name.startsWith('.')) files.push(...(await filesIn(one, unread)));
    }
    return files;
  } catch {
    unread.push(entry.name);
    return [];
  }
}

async function entriesOf(folder) {
  const reader = folder.createReader();
  const entries = [];
  // Browsers give some hundred at a time, and none at the end.
  for (let some; (some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject))).length;) {
    entries.push(...some);
  }
  return entries.sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
}
