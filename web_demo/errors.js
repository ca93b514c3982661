/** What errors say. */

/** @param {any} error @returns {string} its message, to stand within a sentence: without its full stop */
export const reasonOf = (error) => String(error?.message ?? error).replace(/\.$/, '');
