/** A zip archive of files that are compressed already: stored as they are, with their checksums. */
import { crc32 } from '../images/checksum.js';

/**
 * @param {Array<{name: string, blob: Blob}>} files names are made unique
 * @returns {Promise<Blob>}
 */
export async function zip(files) {
  const parts = [];
  const directory = [];
  let offset = 0;
  const names = unique(files.map(({ name }) => name));
  for (const [i, { blob }] of files.entries()) {
    const name = new TextEncoder().encode(names[i]);
    const crc = await checksum(blob);
    // version 2.0, UTF-8 names, stored, 1980-01-01 00:00, checksum, size twice, lengths of name and extra
    const common = [[20, 2], [0x0800, 2], [0, 2], [0, 2], [0x21, 2], [crc, 4], [blob.size, 4], [blob.size, 4], [name.length, 2], [0, 2]];
    const local = record([[0x04034b50, 4], ...common]);
    directory.push(record([[0x02014b50, 4], [20, 2], ...common, [0, 2], [0, 2], [0, 2], [0, 4], [offset, 4]]), name);
    parts.push(local, name, blob);
    offset += local.length + name.length + blob.size;
  }
  const length = directory.reduce((sum, part) => sum + part.length, 0);
  if (offset + length > 0xffffffff) throw new Error('These files are over 4 GB together; download them one by one.');
  const end = record([[0x06054b50, 4], [0, 2], [0, 2], [files.length, 2], [files.length, 2], [length, 4], [offset, 4], [0, 2]]);
  return new Blob([...parts, ...directory, end], { type: 'application/zip' });
}

function record(fields) {
  const bytes = new Uint8Array(fields.reduce((sum, [, width]) => sum + width, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [value, width] of fields) {
    if (width === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += width;
  }
  return bytes;
}

function unique(names) {
  const seen = new Map();
  return names.map((name) => {
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    return count === 1 ? name : name.replace(/(\.[^.]*)?$/, ` (${count})$1`);
  });
}

async function checksum(blob) {
  let crc = 0;
  const reader = blob.stream().getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) crc = crc32(next.value, crc);
  return crc;
}
