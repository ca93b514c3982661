/** Messages in, messages out: lets `span.js` use an `Engine` without holding up the page. */
import { Engine } from './engine/engine.js';
import { PngEncoder } from './images/png.js';
import { fetchModel } from './network/model.js';

const jobs = new Map();
const engine = new Engine((status) => postMessage({ event: 'status', status }));

const operations = {
  async load({ url, artifacts, options }) {
    const loaded = artifacts ?? (await fetchModel(url));
    return engine.load(loaded, options);
  },

  upscale: ({ id, source, output, write, preview }) =>
    cancellable(id, async (signal) => {
      const writer = write?.getWriter();
      const options = {
        signal,
        write: writer && ((bytes) => writer.write(bytes)),
        onSize: (size) => postMessage({ id, event: 'size', size }),
        onProgress: (progress) => postMessage({ id, event: 'progress', progress }),
        onTile: preview ? (tile) => send(id, tile) : undefined,
      };
      try {
        const result = await (output === 'pixels' ? engine.pixels(source, options) : engine.upscale(source, options));
        await writer?.close();
        return { ...result, backend: engine.status.backend, memory: engine.memory };
      } catch (error) {
        await writer?.abort(error).catch(() => {});
        throw error;
      }
    }),

  measure: ({ id, source }) =>
    cancellable(id, async (signal) => {
      const { measure } = await import('./engine/measure.js');
      return measure(engine, source, signal);
    }),

  memory: () => engine.memory,
};

async function cancellable(id, work) {
  const controller = new AbortController();
  jobs.set(id, controller);
  try {
    return await work(controller.signal);
  } finally {
    jobs.delete(id);
  }
}

/** A tile goes out as a bitmap: it crosses without a copy and is drawn without decoding. */
async function send(id, { x, y, width, height, colorSpace, icc, data }) {
  const tile = icc ? await toFile(width, height, data, icc) : new ImageData(data, width, height, { colorSpace });
  const bitmap = await createImageBitmap(tile);
  postMessage({ id, event: 'tile', tile: { x, y, width, height, bitmap } }, [bitmap]);
}

/** A profile that no canvas has: browsers apply it only where they decode a file. */
async function toFile(width, height, data, icc) {
  const encoder = new PngEncoder(width, height, { alpha: true, icc });
  await encoder.rows(data);
  return encoder.finish();
}

addEventListener('message', async ({ data: message }) => {
  if (message.operation === 'cancel') return jobs.get(message.target)?.abort();
  try {
    const result = await operations[message.operation](message);
    postMessage({ id: message.id, event: 'done', result }, result?.data ? [result.data.buffer] : []);
  } catch (error) {
    postMessage({ id: message.id, event: 'failed', error: { name: error?.name, message: String(error?.message ?? error) } });
  }
});
