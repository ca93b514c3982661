/** Messages in, messages out: lets `span.js` use an `Engine` without holding up the page. */
import { Engine } from './engine.js';
import { fetchModel } from './model.js';

const jobs = new Map();
const engine = new Engine((status) => postMessage({ event: 'status', status }));

const operations = {
  async load({ url, artifacts, options }) {
    const loaded = artifacts ?? (await fetchModel(url));
    return { ...(await engine.load(loaded, options)), artifacts: options.keepArtifacts ? loaded : undefined };
  },

  async upscale({ id, source, write, preview }) {
    const controller = new AbortController();
    jobs.set(id, controller);
    const writer = write?.getWriter();
    try {
      const result = await engine.upscale(source, {
        signal: controller.signal,
        write: writer && ((bytes) => writer.write(bytes)),
        onSize: (size) => postMessage({ id, event: 'size', size }),
        onProgress: (progress) => postMessage({ id, event: 'progress', progress }),
        onTile: preview && ((tile) => send(id, tile)),
      });
      await writer?.close();
      return { ...result, memory: engine.memory, status: engine.status };
    } catch (error) {
      await writer?.abort(error).catch(() => {});
      throw error;
    } finally {
      jobs.delete(id);
    }
  },

  memory: () => engine.memory,
};

/** A tile goes out as a bitmap: it crosses without a copy and is drawn without decoding. */
async function send(id, { x, y, width, height, data }) {
  const bitmap = await createImageBitmap(new ImageData(data, width, height));
  postMessage({ id, event: 'tile', tile: { x, y, width, height, bitmap } }, [bitmap]);
}

addEventListener('message', async ({ data: message }) => {
  if (message.operation === 'cancel') return jobs.get(message.target)?.abort();
  try {
    const result = await operations[message.operation](message);
    postMessage({ id: message.id, event: 'done', result });
  } catch (error) {
    postMessage({ id: message.id, event: 'failed', error: { name: error.name, message: String(error.message ?? error) } });
  }
});
