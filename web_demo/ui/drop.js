/** The files in dropped folders. */

/**
 * List the files of a folder and of those in it, in the order of their names; hidden ones are passed over.
 * @param {any} entry a `FileSystemEntry`
 * @returns {Promise<File[]>}
 * @throws {Error} a folder cannot be read
 */
export async function filesIn(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const entries = [];
  try {
    // Browsers give some hundred at a time, and none at the end.
    for (let some; (some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject))).length;) {
      entries.push(...some);
    }
  } catch (error) {
    throw new Error(`The folder ${entry.name} cannot be read (${error.message.replace(/\.$/, '')}).`);
  }
  const files = [];
  for (const one of entries.sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }))) {
    if (!one.name.startsWith('.')) files.push(...(await filesIn(one)));
  }
  return files;
}
